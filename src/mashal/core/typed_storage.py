"""Storages of a dtype: what `Tensor.storage()` gave before PyTorch 2, for old code. New code takes `untyped_storage()`.

Stands on storage and elements.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

from mashal.core.dtypes import dtype, get_default_dtype
from mashal.core.elements import elements_of
from mashal.core.lending import lent
from mashal.core.storage import UntypedStorage
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.machine import memory

__all__ = ["TypedStorage", "typed_storage"]


def typed_storage(x: Tensor) -> TypedStorage:
    """The storage that a tensor sees, as elements of its dtype."""
    return TypedStorage(wrap_storage=x.untyped_storage(), dtype=x.form.dtype)


class TypedStorage:
    """An `UntypedStorage` seen as elements of one dtype.

    >>> TypedStorage([1, 2]).tolist()
    [1.0, 2.0]
    """

    __slots__ = ("__weakref__", "_untyped_storage", "dtype")
    dtype: dtype

    def __init__(self, data: Any = 0, *, wrap_storage: UntypedStorage | None = None, dtype: dtype | None = None,
                 device: Any = "cpu", _internal: bool = False):  # fmt: skip
        self.dtype = dtype = dtype or get_default_dtype()
        if wrap_storage is not None:
            self._untyped_storage = wrap_storage
        elif isinstance(data, int):
            self._untyped_storage = UntypedStorage(data * dtype.itemsize, device=device)
        else:
            numbers = list(data)
            self._untyped_storage = UntypedStorage(len(numbers) * dtype.itemsize, device=device)
            elements_of(dtype).store(numbers, self._untyped_storage.capsule, len(numbers))

    # ------------------------------------------------------------ what it is
    device = property(operator.attrgetter("_untyped_storage.device"))
    is_cuda = False

    def untyped(self) -> UntypedStorage:
        """The storage itself."""
        return self._untyped_storage

    def size(self) -> int:
        """How many elements it has."""
        return self._untyped_storage.nbytes() // self.dtype.itemsize

    __len__ = _size = size

    def nbytes(self) -> int:
        """How many bytes it has."""
        return self._untyped_storage.nbytes()

    def element_size(self) -> int:
        """Bytes of an element."""
        return self.dtype.itemsize

    def data_ptr(self) -> int:
        """The address of its first element."""
        return self._untyped_storage.data_ptr()

    def pickle_storage_type(self) -> str:
        """What files call its class."""
        return f"{self.dtype.name}Storage"

    # ------------------------------------------------------------ its elements
    def tolist(self) -> list:
        """Its elements as numbers."""
        return elements_of(self.dtype).row(self._untyped_storage._data("tolist"), 0, self.size(), 1)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise RuntimeError(message("storage", "slices are only supported in UntypedStorage.__getitem__"))
        return elements_of(self.dtype).item(self._untyped_storage._data("storage"), self._place(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        places = range(*index.indices(self.size())) if isinstance(index, slice) else [self._place(index)]
        for place in places:
            self._store(place, value)

    def fill_(self, value: Any) -> TypedStorage:
        """Sets every element."""
        elements_of(self.dtype).store([value] * self.size(), self._untyped_storage._data("fill_"), self.size())
        return self

    def _store(self, place: int, value: Any) -> None:
        whole, size = self._untyped_storage._data("storage"), self.dtype.itemsize
        elements_of(self.dtype).store([value], lent(memory.address_of(whole) + place * size, size, whole), 1)

    def _place(self, index: Any) -> int:
        if not isinstance(index, int):
            raise RuntimeError(message("storage", f"can't index a storage with {type(index).__name__}"))
        n = self.size()
        if not -n <= index < n:
            raise IndexError(message("storage", f"index {index} is out of range for storage of size {n}"))
        return index % n

    def copy_(self, source: Any, non_blocking: bool = False) -> TypedStorage:
        """Copies another storage's elements here; as many, and of the same dtype."""
        if isinstance(source, TypedStorage) and source.dtype is not self.dtype:
            elements_of(self.dtype).store(source.tolist(), self._untyped_storage._data("copy_"), self.size())
        else:
            self._untyped_storage.copy_(source.untyped())
        return self

    def clone(self) -> TypedStorage:
        """A copy."""
        return self._like(self._untyped_storage.clone())

    def cpu(self) -> TypedStorage:
        """Itself, if it is on the cpu."""
        return self._like(self._untyped_storage.cpu())

    def resize_(self, size: int) -> TypedStorage:
        """Gives it another number of elements."""
        self._untyped_storage.resize_(size * self.dtype.itemsize)
        return self

    def is_shared(self) -> bool:
        """Whether other processes can see it."""
        return self._untyped_storage.is_shared()

    def share_memory_(self) -> TypedStorage:
        """Moves it to memory that other processes can see."""
        self._untyped_storage.share_memory_()
        return self

    def _like(self, storage: UntypedStorage) -> TypedStorage:
        return TypedStorage(wrap_storage=storage, dtype=self.dtype)

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, TypedStorage):
            return NotImplemented
        return self.dtype is other.dtype and self._untyped_storage == other._untyped_storage

    def __hash__(self) -> int:
        return hash(self._untyped_storage)

    def __repr__(self) -> str:
        return f"[torch.storage.TypedStorage(dtype={self.dtype}, device={self.device}) of size {self.size()}]"
