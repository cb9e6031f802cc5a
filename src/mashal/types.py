"""Names for type hints, and for `isinstance` where PyTorch has symbolic numbers (there are none here)."""

from __future__ import annotations

import os
from typing import Any

from mashal.core.devices import device
from mashal.core.dtypes import dtype
from mashal.core.layouts import layout
from mashal.core.shapes import Size
from mashal.core.storage import UntypedStorage
from mashal.core.tensor import Tensor

__all__ = ["Device", "FileLike", "Number", "Storage", "SymBool", "SymFloat", "SymInt"]

Number = int | float | bool
Device = device | str | int | None
FileLike = str | os.PathLike | Any
Storage = UntypedStorage
_dtype, _device, _size, _layout, _int, _float, _bool = dtype, device, Size | list | tuple, layout, int, float, bool
_TensorOrTensors = Tensor | tuple


class SymInt:
    """A whole number known later only: none is ever made."""


class SymFloat:
    """A number known later only: none is ever made."""


class SymBool:
    """A truth value known later only: none is ever made."""
