"""Storages of a dtype: what `Tensor.storage()` gives, for old code. New code takes `untyped_storage()`.

Stands on storage and elements.
"""

from __future__ import annotations

import copy
import operator
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from mashal.core import dtypes
from mashal.core.dtypes import dtype, get_default_dtype
from mashal.core.elements import elements_of
from mashal.core.lending import lent
from mashal.core.storage import UntypedStorage
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.machine import memory

__all__ = ["CLASSES", "TypedStorage", "storage", "typed_storage"]

CLASSES = {
    "DoubleStorage": dtypes.float64, "FloatStorage": dtypes.float32, "HalfStorage": dtypes.float16,
    "BFloat16Storage": dtypes.bfloat16, "LongStorage": dtypes.int64, "IntStorage": dtypes.int32,
    "ShortStorage": dtypes.int16, "CharStorage": dtypes.int8, "ByteStorage": dtypes.uint8, "BoolStorage": dtypes.bool,
    "ComplexDoubleStorage": dtypes.complex128, "ComplexFloatStorage": dtypes.complex64,
}  # fmt: skip
"""The storage classes of old, each the name of a dtype."""
_NAMES = {d: name for name, d in CLASSES.items()}


def typed_storage(x: Tensor) -> TypedStorage:
    """The storage that a tensor sees, as elements of its dtype."""
    return TypedStorage(wrap_storage=x.untyped_storage(), dtype=x.form.dtype)


def storage(x: Tensor) -> TypedStorage:
    """The storage that a tensor sees, as elements of its dtype; `untyped_storage` gives it as bytes.

    >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> x[1].storage().tolist()
    [1.0, 2.0, 3.0, 4.0]
    """
    warnings.warn("storage: TypedStorage is deprecated, take tensor.untyped_storage()", UserWarning, stacklevel=2)
    return typed_storage(x)


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
        elif not hasattr(data, "__iter__") or isinstance(data, (str, bytes)):
            raise TypeError(message("storage", f"made of a size or a sequence, not of {type(data).__name__}"))
        else:
            numbers = list(data)
            self._untyped_storage = UntypedStorage(len(numbers) * dtype.itemsize, device=device)
            elements_of(dtype).store(numbers, self._untyped_storage.capsule, len(numbers))

    @classmethod
    def from_buffer(cls, buffer: Any, byte_order: str = "native", *, dtype: dtype | None = None) -> TypedStorage:
        """A copy of a buffer's bytes as elements; byte_order says how they lie there: native, little or big."""
        if byte_order not in ("native", "little", "big"):
            raise ValueError(message("from_buffer", f"byte_order is native, little or big, not {byte_order!r}"))
        d, content = dtype or get_default_dtype(), bytearray(buffer)
        width = d.itemsize // 2 if d.is_complex else d.itemsize
        if byte_order not in ("native", sys.byteorder) and width > 1:
            turned = bytes(content)
            for i in range(width):
                content[i::width] = turned[width - 1 - i :: width]
        return cls(wrap_storage=UntypedStorage(content), dtype=d)

    @classmethod
    def from_file(
        cls, filename: Any, shared: bool = False, size: int = 0, *, dtype: dtype | None = None
    ) -> TypedStorage:
        """The storage that is a file's bytes, mapped; see UntypedStorage.from_file."""
        d = dtype or get_default_dtype()
        return cls(wrap_storage=UntypedStorage.from_file(filename, shared, size * d.itemsize), dtype=d)

    # ------------------------------------------------------------ what it is
    device = property(operator.attrgetter("_untyped_storage.device"))
    filename = None
    is_cuda = is_hpu = is_sparse = False

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

    def get_device(self) -> int:
        """The index of its device; -1 on the cpu."""
        return self._untyped_storage.get_device()

    def resizable(self) -> bool:
        """Whether `resize_` may change its size."""
        return self._untyped_storage.resizable()

    def is_pinned(self, device: Any = "cuda") -> bool:
        """Whether a device may read it where it is; no."""
        return False

    def pickle_storage_type(self) -> str:
        """What files call its class."""
        return _NAMES[self.dtype]

    # ------------------------------------------------------------ its elements
    def tolist(self) -> list:
        """Its elements as numbers."""
        return elements_of(self.dtype).lists(self._untyped_storage._data("tolist"), 0, (self.size(),), (1,))

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
            if source.size() != self.size():
                raise RuntimeError(message("copy_", f"{source.size()} elements are no copy for {self.size()}"))
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

    def cuda(self, device: Any = None, non_blocking: bool = False) -> TypedStorage:
        """A copy on a CUDA device; AssertionError, for this build has none."""
        return self._like(self._untyped_storage.cuda(device))

    def to(self, *, device: Any, non_blocking: bool = False) -> TypedStorage:
        """The storage on a device; itself if it is there."""
        return self._like(self._untyped_storage.to(device=device))

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The name of its class; with a class, its name or a dtype: a copy with elements of that."""
        if dtype is None:
            return f"torch.{_NAMES[self.dtype]}"
        wanted = CLASSES.get(dtype.removeprefix("torch.")) if isinstance(dtype, str) else getattr(dtype, "dtype", dtype)
        if wanted not in _NAMES:
            raise ValueError(message("type", f"{dtype!r} is no storage class"))
        return self._as(wanted)

    def _as(self, d: dtypes.dtype) -> TypedStorage:
        numbers = self.tolist()
        if self.dtype.is_complex and not d.is_complex:
            numbers = [number.real for number in numbers]
        return TypedStorage([int(number) for number in numbers] if d.kind in "iu" else numbers, dtype=d)

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

    def __copy__(self) -> TypedStorage:
        return self.clone()

    def __deepcopy__(self, memo: dict) -> TypedStorage:
        return self._like(copy.deepcopy(self._untyped_storage, memo))

    def __reduce__(self) -> Any:
        return _rebuilt, (bytes(self._untyped_storage._view("pickle")), self.dtype)

    def __repr__(self) -> str:
        shown = "...\n" if self.device.type == "meta" else "".join(f" {element}\n" for element in self.tolist())
        return f"{shown}[torch.storage.TypedStorage(dtype={self.dtype}, device={self.device}) of size {self.size()}]"


def _rebuilt(content: bytes, d: dtype) -> TypedStorage:
    return TypedStorage.from_buffer(content, dtype=d)


def _conversion(name: str, d: dtype) -> Any:
    def convert(self: TypedStorage) -> TypedStorage:
        return self._as(d)

    convert.__name__, convert.__doc__ = name, f"A copy with elements of {d}."
    return convert


for _class, _dtype in CLASSES.items():
    _name = _class.removesuffix("Storage").lower().replace("complex", "complex_")
    setattr(TypedStorage, _name, _conversion(_name, _dtype))
