"""torch.special: functions of mathematics, from the definitions that name this place."""

from mashal.nearest import nearest
from mashal.ops.names import public

_FUNCTIONS = public("special")
__all__ = sorted(_FUNCTIONS)
globals().update(_FUNCTIONS)

__getattr__ = nearest(__name__)
