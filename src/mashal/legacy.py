"""FloatTensor, LongTensor … : the constructors of old, one for each dtype."""

from __future__ import annotations

from typing import Any

from mashal.core import dtypes
from mashal.core.dtypes import dtype, set_default_dtype
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.methods.construction import legacy

__all__ = ["BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor",
           "LongTensor", "ShortTensor", "set_default_tensor_type"]  # fmt: skip


class _OfDtype(type):
    """The class of FloatTensor …: every tensor of the dtype counts as an instance."""

    def __instancecheck__(cls: Any, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.form.dtype is cls.dtype and instance.form.device.type == "cpu"


def _named(name: str, d: dtype) -> Any:
    def make(cls: Any, *arguments: Any, device: Any = None) -> Tensor:
        return legacy(arguments, d, device)

    doc = f"Old name for tensors of {d} on the cpu: {name}(sizes …) or {name}(sequence)."
    return _OfDtype(name, (), {"__new__": make, "dtype": d, "__doc__": doc, "__module__": "torch", "is_cuda": False})


FloatTensor, DoubleTensor = _named("FloatTensor", dtypes.float32), _named("DoubleTensor", dtypes.float64)
HalfTensor, BFloat16Tensor = _named("HalfTensor", dtypes.float16), _named("BFloat16Tensor", dtypes.bfloat16)
LongTensor, IntTensor = _named("LongTensor", dtypes.int64), _named("IntTensor", dtypes.int32)
ShortTensor, CharTensor = _named("ShortTensor", dtypes.int16), _named("CharTensor", dtypes.int8)
ByteTensor, BoolTensor = _named("ByteTensor", dtypes.uint8), _named("BoolTensor", dtypes.bool)
_BY_DTYPE = {kind.dtype: kind for kind in (FloatTensor, DoubleTensor, HalfTensor, BFloat16Tensor, LongTensor, IntTensor, ShortTensor,
                                           CharTensor, ByteTensor, BoolTensor)}  # fmt: skip
_BY_NAME = {f"torch.{kind.__name__}": kind for kind in _BY_DTYPE.values()}


def set_default_tensor_type(t: Any) -> None:
    """Makes the dtype of a floating tensor type the default one; old: use set_default_dtype."""
    kind: Any = _BY_NAME.get(t) if isinstance(t, str) else t
    if getattr(kind, "dtype", None) is None or not kind.dtype.is_floating_point:
        raise TypeError(
            message(
                "set_default_tensor_type", "only floating-point types are supported as the default type", f"not {t}"
            )
        )
    set_default_dtype(kind.dtype)
