"""mashal.utils: data, and small things around tensors.

data       datasets, samplers, the DataLoader
dlpack     tensors of other libraries and for them
hooks      handles of registered hooks
_pytree    nests of dicts, lists and tuples, flattened and put together
"""

from mashal.utils import _pytree, data, dlpack, hooks

__all__ = ["data", "dlpack", "hooks"]
