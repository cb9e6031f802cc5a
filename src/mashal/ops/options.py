"""What functions that make tensors take: sizes, and the options dtype, layout, device, pin_memory, memory_format."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from mashal.core.devices import default_device, usable
from mashal.core.devices import device as device_of
from mashal.core.dtypes import bool as bool_
from mashal.core.dtypes import complex128, float64, get_default_dtype, int64
from mashal.core.dtypes import dtype as DType
from mashal.core.forms import Form, form, like
from mashal.core.layouts import contiguous_format, format_strides, preserve_format, strided
from mashal.core.tensor import Tensor
from mashal.errors import message


def sizes_of(name: str, size: tuple) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence, as a tuple of ints; TypeError for what is none."""
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = tuple(size[0])
    for n in size:
        if type(n) is not int:
            return tuple(_whole(name, size))
    return size


def _whole(name: str, size: Iterable) -> Iterable[int]:
    for place, n in enumerate(size):
        if isinstance(n, (bool, float)) or not hasattr(n, "__index__"):
            raise TypeError(
                f"{name}(): argument 'size' (position 1) must be tuple of ints, but found element of type "
                f"{type(n).__name__} at pos {place}"
            )
        yield operator.index(n)


def place_of(device: Any) -> Any:
    """The device that an option names; the default one for None."""
    return default_device() if device is None else usable(device_of(device))


_PYTHON = {float: float64, int: int64, bool: bool_, complex: complex128}


def dtype_of(name: str, dtype: Any) -> DType | None:
    """A dtype option: a dtype, one of Python's types for the dtype it stands for, or None; TypeError for anything else."""
    if dtype is None or type(dtype) is DType:
        return dtype
    if isinstance(dtype, type) and dtype in _PYTHON:
        return _PYTHON[dtype]
    found = dtype.__name__ if isinstance(dtype, type) else type(dtype).__name__
    raise TypeError(f"{name}(): argument 'dtype' must be torch.dtype, not {found}")


def check_layout(name: str, layout: Any, pin_memory: bool = False) -> None:
    """Errors for what there is none of: sparse tensors, pinned memory without an accelerator."""
    if layout is not None and layout is not strided:
        raise NotImplementedError(message(name, f"there are no tensors of layout {layout}", "use torch.strided"))
    if pin_memory:
        raise RuntimeError(message(name, "pin_memory=True needs an accelerator", "there is none; leave it out"))


def form_of(
    name: str, shape: tuple[int, ...], dtype: DType | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False,
    memory_format: Any = None,
) -> Form:  # fmt: skip
    """The form of a new tensor with these options."""
    if dtype is not None and type(dtype) is not DType:
        dtype = dtype_of(name, dtype)
    if layout is not None or pin_memory:
        check_layout(name, layout, pin_memory)
    strides = None if memory_format is None else format_strides(name, shape, memory_format)
    return form(dtype or get_default_dtype(), place_of(device), shape, strides)


def form_like(
    name: str, template: Tensor, dtype: DType | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False,
    memory_format: Any = None,
) -> Form:  # fmt: skip
    """The form of a new tensor with the shape, and unless given otherwise the dtype, device and order, of a template."""
    if not isinstance(template, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(template).__name__}")
    check_layout(name, layout, pin_memory)
    of = like(template.form, dtype_of(name, dtype))
    place = of.device if device is None else usable(device_of(device))
    strides = of.strides
    if memory_format is not None and memory_format is not preserve_format:
        strides = None if memory_format is contiguous_format else format_strides(name, of.shape, memory_format)
    return of if strides == of.strides and place is of.device else form(of.dtype, place, of.shape, strides)
