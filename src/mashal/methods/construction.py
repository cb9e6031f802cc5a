"""Tensor(...) itself, Tensor.new, and what makes tensors of subclasses."""

from __future__ import annotations

from typing import Any

from mashal.core import interop
from mashal.core.devices import device as device_of
from mashal.core.dtypes import get_default_dtype
from mashal.core.forms import form
from mashal.core.layouts import strided
from mashal.core.nested import from_list, tensor_from_data
from mashal.core.shapes import Size
from mashal.core.storage import UntypedStorage
from mashal.core.tensor import Tensor, alias, as_subclass, make
from mashal.core.typed_storage import TypedStorage
from mashal.errors import message
from mashal.ops import creation
from mashal.ops.options import sizes_of


def constructed(cls: type, *arguments: Any, device: Any = None, data: Any = None, **unknown: Any) -> Any:
    """Tensor(sizes …), Tensor(sequence), Tensor(tensor), Tensor(): in the default dtype; sizes give it uninitialised."""
    if unknown:
        raise TypeError(f"{cls.__name__}() got an unexpected keyword argument {min(unknown)!r}")
    if data is not None:
        arguments = (data, *arguments)
    if device is not None and device_of(device).type != "cpu" and device_of(device).type != "meta":
        raise RuntimeError(
            message(
                "Tensor",
                f"legacy constructor expects device type: cpu but device type: {device_of(device).type} was passed",
            )
        )
    x = legacy(arguments, get_default_dtype(), "cpu" if device is None else device)
    return x if cls is Tensor else as_subclass(cls, x)


def legacy(arguments: tuple, dtype: Any, device: Any = None) -> Tensor:
    """What the constructors of old make of their arguments: sizes, a sequence, a tensor, an array or a storage."""
    if not arguments:
        return creation.empty(0, dtype=dtype, device=device)
    first = arguments[0]
    if len(arguments) == 1:
        if isinstance(first, Tensor):
            if first.form.dtype is not dtype:
                raise TypeError(
                    message("Tensor", f"expected a tensor of {dtype} (got {first.form.dtype})", "use .to(dtype)")
                )
            return alias(first)
        if isinstance(first, Size):
            return creation.empty(*first, dtype=dtype, device=device)
        if isinstance(first, (UntypedStorage, TypedStorage)):
            untyped = first.untyped()
            return make(untyped.capsule, 0, form(dtype, untyped.device, (untyped.nbytes() // dtype.itemsize,)))
        if isinstance(first, (list, tuple)):
            return from_list(first, dtype)
        if interop.is_array(first):
            return tensor_from_data(first, dtype, device)
        if isinstance(first, str):
            raise TypeError("new(): invalid data type 'str'")
        if not hasattr(first, "__index__") and hasattr(first, "__len__"):
            return tensor_from_data(list(first), dtype, device)
    if isinstance(first, float):
        raise TypeError("new(): data must be a sequence (got float)")
    return creation.empty(*sizes_of("Tensor", arguments), dtype=dtype, device=device)


def new(self: Tensor, *arguments: Any, device: Any = None) -> Tensor:
    """A tensor as Tensor(...) makes it, in the dtype of self."""
    return legacy(arguments, self.form.dtype, device)


def subclassed(self: Tensor, cls: type) -> Any:
    """The tensor as an object of a subclass of Tensor: the same data, the same history."""
    if not (isinstance(cls, type) and issubclass(cls, Tensor)):
        raise TypeError(message("as_subclass", f"{cls!r} is no subclass of torch.Tensor"))
    return as_subclass(cls, self)


def make_subclass(cls: type, data: Tensor, require_grad: bool = False, **options: Any) -> Any:
    """data, without its history, as an object of a subclass of Tensor."""
    made = as_subclass(cls, alias(data))
    made.requires_grad = require_grad
    return made


METHODS = {"new": new, "as_subclass": subclassed, "_make_subclass": staticmethod(make_subclass), "layout": strided,
           "__new__": staticmethod(constructed)}  # fmt: skip
for _name, _method in METHODS.items():
    setattr(Tensor, _name, _method)
Tensor.__module__ = "mashal"  # where pickle finds it
