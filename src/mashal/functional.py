"""torch.functional: functions of tensors under the name of the file PyTorch has them in."""

from mashal import ops
from mashal.nearest import nearest
from mashal.nn import functional as F
from mashal.ops.names import public

_NAMES = """align_tensors atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors cartesian_prod cdist einsum
meshgrid norm split tensordot unique unique_consecutive""".split()
globals().update({name: found for name, found in public("torch").items() if name in _NAMES})
__all__ = ["F", *sorted(name for name in globals() if name in _NAMES)]
__getattr__ = nearest(__name__, (), lambda name: getattr(ops, name, None))
