"""Buffers as tensors: whatever Python lends memory of, such as bytes, bytearray, array.array, mmap.

Stands on lending and tensor.
"""

from __future__ import annotations

import warnings
from typing import Any

from mashal.core import dtypes
from mashal.core.devices import CPU
from mashal.core.dtypes import dtype
from mashal.core.forms import form
from mashal.core.lending import lent, lent_address
from mashal.core.tensor import Tensor, make
from mashal.errors import message

__all__ = ["frombuffer", "warn_read_only"]


class _Warned:
    read_only = False


def warn_read_only(what: str, stacklevel: int = 4) -> None:
    """Says, once, that what a tensor has been made over may not be written."""
    if not _Warned.read_only:
        _Warned.read_only = True
        warnings.warn(
            f"the given {what} is not writable, and a tensor upon it doesn't know: writing to the tensor would write there, "
            "or end the process. Copy it first if the tensor is to be written. This is said only once.",
            stacklevel=stacklevel,
        )


def frombuffer(buffer: Any, *, dtype: dtype, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """The 1-d tensor that is a buffer's memory, such as that of bytes, bytearray, array.array, mmap.

    count: elements, -1 for all there are. offset: bytes to leave out at the beginning. ValueError: these do not fit.

    >>> frombuffer(bytearray(b"abcd"), dtype=dtypes.int16, offset=2).shape
    torch.Size([1])
    """
    if not isinstance(dtype, dtypes.dtype):
        raise TypeError(message("frombuffer", f"argument 'dtype' must be torch.dtype, not {type(dtype).__name__}"))
    try:
        view = memoryview(buffer)
    except TypeError:
        raise ValueError(
            message("frombuffer", f"object does not implement Python buffer protocol: {type(buffer).__name__}")
        ) from None
    if not view.contiguous:
        raise ValueError(message("frombuffer", "the buffer's bytes do not lie one behind the other"))
    count = _counted(view.nbytes, dtype.itemsize, count, offset)
    if view.readonly:
        warn_read_only("buffer")
    size = count * dtype.itemsize
    result = make(lent(lent_address(view) + offset, size, view), 0, form(dtype, CPU, (count,)))
    if requires_grad:
        result.requires_grad = True
    return result


def _counted(length: int, size: int, count: int, offset: int) -> int:
    """How many elements a buffer gives; ValueError if it doesn't have them."""
    if length <= 0 or count == 0:
        raise ValueError(message("frombuffer", f"both buffer length ({length}) and count ({count}) must not be 0"))
    if not 0 <= offset < length:
        raise ValueError(
            message(
                "frombuffer",
                f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({length} bytes) minus 1",
            )
        )
    rest = length - offset
    if count < 0:
        if rest % size:
            raise ValueError(
                message(
                    "frombuffer",
                    f"buffer length ({length} bytes) after offset ({offset} bytes) must be a multiple of element size ({size})",
                )
            )
        return rest // size
    if count * size > rest:
        raise ValueError(
            message(
                "frombuffer",
                f"requested buffer length ({count} * {size} bytes) after offset ({offset} bytes) must not be greater "
                f"than actual buffer length ({length} bytes)",
            )
        )
    return count
