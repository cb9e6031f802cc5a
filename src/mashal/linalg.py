"""torch.linalg: linear algebra, from the definitions that name this place."""

from mashal.errors import LinAlgError
from mashal.methods.families import found
from mashal.nearest import nearest
from mashal.ops.names import public

found("mashal.ops.algebra")
_FUNCTIONS = public("linalg")
__all__ = ["LinAlgError", *sorted(_FUNCTIONS)]
globals().update(_FUNCTIONS)

__getattr__ = nearest(__name__)
