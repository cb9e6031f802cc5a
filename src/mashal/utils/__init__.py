"""mashal.utils: data, and small things around tensors.

data       datasets, samplers, the DataLoader
dlpack     tensors of other libraries and for them
hooks      handles of registered hooks
_pytree    nests of dicts, lists and tuples, flattened and put together
"""

import importlib

from mashal.utils import _pytree, dlpack, hooks

__all__ = ["data", "dlpack", "hooks"]


def __getattr__(name: str):
    if name == "data":  # the largest part; many programs don't need it
        return importlib.import_module("mashal.utils.data")
    raise AttributeError(f"module 'mashal.utils' has no attribute {name!r}")
