"""torch.storage: storages by the names of old."""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import dtype
from mashal.core.storage import UntypedStorage
from mashal.core.tensor import Tensor
from mashal.core.typed_storage import CLASSES, TypedStorage
from mashal.errors import message

__all__ = [
    "BFloat16Storage",
    "BoolStorage",
    "ByteStorage",
    "CharStorage",
    "ComplexDoubleStorage",
    "ComplexFloatStorage",
    "DoubleStorage",
    "FloatStorage",
    "HalfStorage",
    "IntStorage",
    "LongStorage",
    "ShortStorage",
    "Storage",
    "TypedStorage",
    "UntypedStorage",
]


class _OfDtype(type):
    """The class of the storage classes: a TypedStorage of its dtype is an instance, and calling it makes one."""

    dtype: dtype

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, TypedStorage) and instance.dtype is cls.dtype

    def __call__(cls, *arguments: Any, **options: Any) -> TypedStorage:
        if len(arguments) > 1 or options:
            given = [type(a).__name__ for a in arguments] + list(options)
            raise RuntimeError(message(cls.__name__, f"takes a size or a sequence, not ({', '.join(given)})"))
        return TypedStorage(*arguments, dtype=cls.dtype)

    def from_buffer(cls, buffer: Any, byte_order: str = "native") -> TypedStorage:
        """A copy of a buffer's bytes as elements; see TypedStorage.from_buffer."""
        return TypedStorage.from_buffer(buffer, byte_order, dtype=cls.dtype)

    def from_file(cls, filename: Any, shared: bool = False, size: int = 0) -> TypedStorage:
        """The storage that is a file's bytes, mapped; see UntypedStorage.from_file."""
        return TypedStorage.from_file(filename, shared, size, dtype=cls.dtype)


def _named(name: str) -> Any:
    d = CLASSES[name]
    return _OfDtype(name, (), {"dtype": d, "__doc__": f"A TypedStorage of {d}.", "__module__": "torch"})


DoubleStorage, FloatStorage = _named("DoubleStorage"), _named("FloatStorage")
HalfStorage, BFloat16Storage = _named("HalfStorage"), _named("BFloat16Storage")
LongStorage, IntStorage = _named("LongStorage"), _named("IntStorage")
ShortStorage, CharStorage = _named("ShortStorage"), _named("CharStorage")
ByteStorage, BoolStorage = _named("ByteStorage"), _named("BoolStorage")
ComplexDoubleStorage, ComplexFloatStorage = _named("ComplexDoubleStorage"), _named("ComplexFloatStorage")
Storage = FloatStorage
_OF_DTYPE = {cls.dtype: cls for name, cls in list(globals().items()) if name in CLASSES}


def storage_type(self: Tensor) -> Any:
    """The class of a tensor's storage: torch.FloatStorage for float32."""
    return _OF_DTYPE[self.form.dtype]


Tensor.storage_type = storage_type  # type: ignore[attr-defined]
