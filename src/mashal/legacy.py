"""FloatTensor, LongTensor … : the constructors of old, one for each dtype."""

from __future__ import annotations

from typing import Any

from mashal.core import dtypes
from mashal.core.dtypes import dtype, set_default_dtype
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.methods.construction import legacy

__all__ = ["BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor",
           "LongTensor", "ShortTensor", "set_default_tensor_type", "tensor_class"]  # fmt: skip


class _OfDtype(type):
    """The class of FloatTensor …: every tensor of the dtype counts as an instance."""

    def __instancecheck__(cls: Any, instance: Any) -> bool:
        form = instance.form if isinstance(instance, Tensor) else None
        return form is not None and form.dtype is cls.dtype and form.device.type == cls.place


def tensor_class(name: str, d: dtype, place: str = "cpu") -> Any:
    """The old class of tensors of a dtype on a device."""
    module = "torch" if place == "cpu" else f"torch.{place}"

    def make(cls: Any, *arguments: Any, device: Any = None) -> Tensor:
        if place != "cpu":
            raise TypeError(f"type {module}.{name} not available. Torch not compiled with {place.upper()} enabled.")
        return legacy(arguments, d, device)

    doc = f"Old name for tensors of {d} on the {place}: {name}(sizes …) or {name}(sequence)."
    parts = {
        "__new__": make,
        "dtype": d,
        "place": place,
        "__doc__": doc,
        "__module__": module,
        "is_cuda": place == "cuda",
    }
    return _OfDtype(name, (), parts)


FloatTensor, DoubleTensor = tensor_class("FloatTensor", dtypes.float32), tensor_class("DoubleTensor", dtypes.float64)
HalfTensor, BFloat16Tensor = tensor_class("HalfTensor", dtypes.float16), tensor_class("BFloat16Tensor", dtypes.bfloat16)
LongTensor, IntTensor = tensor_class("LongTensor", dtypes.int64), tensor_class("IntTensor", dtypes.int32)
ShortTensor, CharTensor = tensor_class("ShortTensor", dtypes.int16), tensor_class("CharTensor", dtypes.int8)
ByteTensor, BoolTensor = tensor_class("ByteTensor", dtypes.uint8), tensor_class("BoolTensor", dtypes.bool)
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
