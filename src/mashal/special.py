"""torch.special: functions of mathematics, from the definitions that name this place."""

from mashal.methods.families import found
from mashal.nearest import nearest
from mashal.ops.names import public

found("mashal.ops.bessel")
_FUNCTIONS = public("special")
__all__ = sorted(_FUNCTIONS)
globals().update(_FUNCTIONS)

__getattr__ = nearest(__name__)
