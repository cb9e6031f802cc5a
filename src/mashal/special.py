"""torch.special: functions of mathematics, from the definitions that name this place."""

from mashal.ops.names import public

_FUNCTIONS = public("special")
__all__ = sorted(_FUNCTIONS)
globals().update(_FUNCTIONS)
