"""The seam between files and tensors: everything here that touches memory or makes a tensor.

Of a storage it asks: `UntypedStorage(nbytes, device=...)`, `from_buffer(memory)` without a copy, `nbytes()`, `device`,
`data_ptr()`, `buffer()` (its memory, writable), `capsule` (what a tensor's `capsule` holds too; None on meta).

Stands on core.
"""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import dtype
from mashal.core.forms import form
from mashal.core.shapes import Size
from mashal.core.storage import UntypedStorage
from mashal.core.tensor import Tensor, make

BITE = 1 << 20  # bytes turned around at a time


class StorageType:
    """A storage class as pickles name it (FloatStorage): it stands for a dtype, and is never instantiated."""

    __slots__ = ("dtype", "name")

    def __init__(self, name: str, dtype_: dtype):
        self.name = name
        self.dtype = dtype_

    def __repr__(self) -> str:
        return f"StorageType(dtype={self.dtype})"


class TypedStorage:
    """A storage and the dtype its bytes are seen as: what a tensor gives to, and gets from, a pickle."""

    __slots__ = ("dtype", "storage")

    def __init__(self, storage: UntypedStorage, dtype_: dtype):
        self.storage = storage
        self.dtype = dtype_

    def __reduce__(self) -> Any:
        return TypedStorage, (self.storage, self.dtype)


def identity(storage: UntypedStorage) -> object:
    """Equal for two storages that are the same memory."""
    return storage.data_ptr() or id(storage)


def bytes_of(storage: UntypedStorage) -> memoryview:
    """A storage's memory as bytes that can be written; the storage must be on the CPU."""
    return memoryview(storage.buffer()).cast("B")


def allocated(nbytes: int) -> UntypedStorage:
    """A new storage on the CPU, its bytes not set."""
    return UntypedStorage(nbytes)


def over(buffer: memoryview) -> UntypedStorage:
    """A storage that is the given memory, without a copy."""
    return UntypedStorage.from_buffer(buffer)


def byteswap(view: memoryview, dtype_: dtype) -> None:
    """Turns the bytes of every number around, in place; a complex number is two."""
    width = dtype_.itemsize // 2 if dtype_.is_complex else dtype_.itemsize
    if width == 1:
        return
    for start in range(0, len(view), BITE):
        old = bytes(view[start : start + BITE])
        new = bytearray(len(old))
        for i in range(width):
            new[i::width] = old[width - 1 - i :: width]
        view[start : start + BITE] = new


def tensor_over(typed: TypedStorage, offset: int, shape: Any, strides: Any, requires_grad: bool) -> Tensor:
    """A tensor that sees a storage; RuntimeError if it would see past its end.

    offset and strides are in elements.
    """
    if type(typed) is not TypedStorage:
        raise RuntimeError(f"load: a tensor's storage is an object of {type(typed).__name__}")
    shape, strides = tuple(shape), tuple(strides)
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or not all(type(n) is int and 0 <= n < 1 << 62 for n in numbers):
        raise RuntimeError(f"load: a tensor cannot have offset {offset!r}, shape {shape} and strides {strides}")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    have = typed.storage.nbytes() // typed.dtype.itemsize
    if 0 not in shape and last >= have:
        raise RuntimeError(
            f"load: a tensor of shape {shape}, strides {strides}, offset {offset} needs {last + 1} elements; "
            f"its storage holds {have}"
        )
    return rebuild_tensor(typed.storage, typed.dtype, offset, shape, strides, bool(requires_grad))


def rebuild_tensor(
    storage: UntypedStorage,
    dtype_: dtype,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    requires_grad: bool,
) -> Tensor:
    """A tensor from its parts, all of them known to fit together."""
    tensor = make(storage.capsule, offset, form(dtype_, storage.device, Size(shape), strides))
    if requires_grad:
        tensor.requires_grad = True
    return tensor
