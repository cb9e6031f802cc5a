"""torch.storage: storages by the names of old."""

from __future__ import annotations

from typing import Any

from mashal.core import dtypes
from mashal.core.storage import UntypedStorage
from mashal.core.typed_storage import TypedStorage

__all__ = ["BFloat16Storage", "BoolStorage", "ByteStorage", "CharStorage", "ComplexDoubleStorage", "ComplexFloatStorage", "DoubleStorage",
           "FloatStorage", "HalfStorage", "IntStorage", "LongStorage", "ShortStorage", "TypedStorage", "UntypedStorage"]  # fmt: skip


class _OfDtype(type):
    def __instancecheck__(cls: Any, instance: Any) -> bool:
        return isinstance(instance, TypedStorage) and instance.dtype is cls.dtype


def _named(name: str, d: dtypes.dtype) -> Any:
    def make(cls: Any, *arguments: Any, **options: Any) -> TypedStorage:
        return TypedStorage(*arguments, dtype=d, **options)

    return _OfDtype(
        name, (), {"__new__": make, "dtype": d, "__doc__": f"A TypedStorage of {d}.", "__module__": "mashal.storage"}
    )


DoubleStorage, FloatStorage = _named("DoubleStorage", dtypes.float64), _named("FloatStorage", dtypes.float32)
HalfStorage, BFloat16Storage = _named("HalfStorage", dtypes.float16), _named("BFloat16Storage", dtypes.bfloat16)
LongStorage, IntStorage = _named("LongStorage", dtypes.int64), _named("IntStorage", dtypes.int32)
ShortStorage, CharStorage = _named("ShortStorage", dtypes.int16), _named("CharStorage", dtypes.int8)
ByteStorage, BoolStorage = _named("ByteStorage", dtypes.uint8), _named("BoolStorage", dtypes.bool)
ComplexDoubleStorage = _named("ComplexDoubleStorage", dtypes.complex128)
ComplexFloatStorage = _named("ComplexFloatStorage", dtypes.complex64)
