"""mashal.utils: data, and small things around tensors.

data       datasets, samplers, the DataLoader
dlpack     tensors of other libraries and for them
hooks      handles of registered hooks
checkpoint memory saved by computing twice
_pytree    nests of dicts, lists and tuples, flattened and put together
"""

from mashal.nearest import nearest
from mashal.utils import _mode_utils, _pytree, deterministic, dlpack, hooks
from mashal.utils.swapping import swap_tensors

__all__ = ["data", "deterministic", "dlpack", "hooks", "swap_tensors"]

__getattr__ = nearest(
    __name__, {"benchmark", "checkpoint", "data", "tensorboard"}
)  # data is the largest part; many programs don't need it
