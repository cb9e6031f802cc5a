"""New tensors of data, of one value, and of numbers in a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from mashal.core import buffers, dtypes, interop
from mashal.core.devices import CPU, META, chosen, default_device, usable
from mashal.core.devices import device as device_of
from mashal.core.dlpack import from_dlpack
from mashal.core.dtypes import dtype as DType
from mashal.core.dtypes import get_default_dtype
from mashal.core.forms import Form, form
from mashal.core.nested import tensor_from_data
from mashal.core.tensor import Tensor, make
from mashal.core.tensor import empty as new
from mashal.errors import message
from mashal.lang.complex import joined
from mashal.lang.expression import Expression, cast, constant, exp, fma, log, operand, place, scalar, where
from mashal.lang.nest import Nest, Operand
from mashal.ops.define import spelled, write_out
from mashal.ops.options import check_layout, dtype_of, form_like, form_of, place_of, sizes_of
from mashal.ops.remembered import Made, door
from mashal.ops.run import plan_pointwise, plan_rowwise, remember

_fills: dict[Any, Any] = {}
TORCH = ("torch",)


# ---------------------------------------------------------------- of data
@spelled(TORCH)
def tensor(
    data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Tensor:
    """A new tensor with a copy of data: a number, numbers in nested sequences, an array, or a tensor.

    dtype: by default what holds the numbers: bool, int64, the default dtype (float32) or its complex partner.

    >>> torch.tensor([[1, 2], [3, 4.5]])
    tensor([[1.0000, 2.0000],
            [3.0000, 4.5000]])
    """
    dtype = dtype_of("tensor", dtype)
    if pin_memory:
        check_layout("tensor", None, pin_memory)
    x = tensor_from_data(data, dtype, device)
    return x.requires_grad_() if requires_grad else x


@spelled(TORCH)
def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """data as a tensor, without a copy if it is a tensor or an array of this dtype already.

    >>> x = torch.ones(2)
    >>> torch.as_tensor(x) is x
    True
    """
    dtype = dtype_of("as_tensor", dtype)
    device = chosen(device)
    if isinstance(data, Tensor):
        return _converted(data, dtype, device, copy=False)
    if interop.is_array(data):
        x = interop.numpy_array(data)
        if dtype in (None, x.form.dtype) and place_of(device) is CPU:
            return x
    return tensor_from_data(data, dtype, device)


@spelled(TORCH)
def asarray(
    obj: Any,
    *,
    dtype: DType | None = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool | None = None,
) -> Tensor:
    """obj as a tensor: shares the memory of a tensor, an array, a DLPack capsule or a buffer unless a copy is asked for.

    copy: True always copies, False never (ValueError where one were needed), None if need be.
    requires_grad: True keeps a tensor's history, False gives it up, None leaves it as it is.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True) * 2
    >>> torch.asarray(x), torch.asarray(x, requires_grad=False)
    (tensor([2., 4.], grad_fn=<MulBackward0>), tensor([2., 4.]))
    """
    dtype = dtype_of("asarray", dtype)
    device = chosen(device)
    shared = obj if isinstance(obj, Tensor) else _shared(obj, dtype)
    if shared is None:
        if copy is False:
            raise ValueError(
                message("asarray", f"a {type(obj).__name__} can't be a tensor without a copy", "leave copy out")
            )
        result = tensor_from_data(obj, dtype, device)
    else:
        result = _converted(shared, dtype, device, copy)
    if requires_grad and result is obj and not result.requires_grad:
        result = result.detach()
    if requires_grad is False and result.requires_grad:
        result = result.detach()
    return result.requires_grad_() if requires_grad else result


def _shared(obj: Any, dtype: DType | None) -> Tensor | None:
    """What an object that lends its memory is as a tensor, None for one that doesn't."""
    kind = "" if isinstance(obj, (str, bytes, list, tuple, int, float, complex)) else interop.shares_memory(obj)
    if kind == "array":
        return interop.numpy_array(obj)
    if kind == "dlpack":
        return from_dlpack(obj)
    if kind == "interface":
        return interop.numpy_array(interop.numpy.asarray(obj))
    return buffers.frombuffer(obj, dtype=dtype or get_default_dtype()) if kind == "buffer" else None


def _converted(x: Tensor, dtype: DType | None, device: Any, copy: bool | None) -> Tensor:
    """A tensor in a dtype and on a device; itself if it is so already."""
    place = x.form.device if device is None else usable(device_of(device))
    d = dtype or x.form.dtype
    if d is x.form.dtype and place is x.form.device:
        return x.clone() if copy else x
    return x.to(place, d)


@spelled(TORCH)
def from_numpy(ndarray: Any) -> Tensor:
    """The tensor that is an array's memory: what one writes, the other sees."""
    return interop.from_numpy(ndarray)


@spelled(TORCH)
def frombuffer(buffer: Any, *, dtype: DType, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """The 1-d tensor that is a buffer's memory, such as that of bytes, bytearray, array.array or mmap.

    count: elements, -1 for all there are. offset: bytes to leave out at the beginning.

    >>> torch.frombuffer(bytearray(b"abc"), dtype=torch.uint8)
    tensor([97, 98, 99], dtype=torch.uint8)
    """
    return buffers.frombuffer(buffer, dtype=dtype, count=count, offset=offset, requires_grad=requires_grad)


@spelled(TORCH)
def scalar_tensor(s: Any, *, dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
                  pin_memory: bool = False) -> Tensor:  # fmt: skip
    """A 0-d tensor with one number, in the default dtype unless one is given.

    >>> torch.scalar_tensor(2)
    tensor(2.)
    """
    return full((), s, dtype=dtype or get_default_dtype(), layout=layout, device=device, requires_grad=requires_grad)


# ---------------------------------------------------------------- of one value
def fill_plan(of: Form, kind: DType) -> Any:
    """The plan that makes a tensor of a form full of a number: plan(number), or plan(real, imaginary) of a complex one."""
    key = of, kind
    found = _fills.get(key)
    return found or remember(_fills, key, plan_pointwise(_fill_nest(of.dtype, kind), _numbers(kind), of.shape, [of]))


def _numbers(kind: DType) -> list[None]:
    return [None] * (2 if kind.kind == "c" else 1)


_fill_nests: dict[Any, Nest] = {}


def _fill_nest(d: DType, kind: DType) -> Nest:
    found = _fill_nests.get((d, kind))
    if found is None:
        found = _fill_nests[d, kind] = Nest(
            ((_value(d, kind), d),), tuple(Operand(kind.to_real(), True) for _ in _numbers(kind))
        )
    return found


def _value(d: DType, kind: DType) -> Expression:
    registers = operand(0, d).dtype
    if kind.kind == "c":
        parts = [cast(scalar(i, kind.to_real()), registers.to_real()) for i in range(2)]
        return Expression("complex", tuple(parts), registers)
    return cast(scalar(0, kind), registers)


def filled(of: Form, value: Any) -> Tensor:
    """A new tensor of a form, every element of which is a number."""
    if isinstance(value, complex):
        if of.dtype.kind != "c":
            raise RuntimeError(
                message("full", f"value cannot be converted to type {of.dtype.name} without overflow: {value}")
            )
        return fill_plan(of, dtypes.complex128)(value.real, value.imag)
    if of.dtype.kind in "iu":
        value = _whole_number(value, of.dtype)
    elif of.dtype.kind == "b":
        value = bool(value)
    elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        value = float(value)
    return fill_plan(of, dtypes.float64 if isinstance(value, float) else dtypes.int64)(value)


def _whole_number(value: Any, d: DType) -> int:
    """A number as an integer dtype holds it: nothing behind the point, negative ones of an unsigned dtype by their bits."""
    limits = dtypes.iinfo(d)
    if not -limits.max - (d.kind == "i") <= value <= limits.max:  # nor is nan
        raise RuntimeError(message("full", f"value cannot be converted to type {d.name} without overflow: {value}"))
    whole = int(value)
    return whole - (1 << 64) if whole >= 1 << 63 else whole


def _made(of: Form, value: Any, requires_grad: bool, out: Tensor | None = None, name: str = "full") -> Tensor:
    x = filled(of, value)
    if out is not None:
        x = write_out(name, out, x)
    return x.requires_grad_() if requires_grad else x


def _sizes(name: str, size: tuple, options: dict) -> tuple[int, ...]:
    if "size" in options:
        size = (options.pop("size"), *size)
    return sizes_of(name, size)


def _usual_form(name: str, size: tuple) -> Form:
    """The form of a new tensor where no options are given."""
    return form(get_default_dtype(), default_device(), sizes_of(name, size))


def _constant(name: str, value: int) -> Callable[..., Tensor]:
    def make_constant(*size: Any, out: Tensor | None = None, requires_grad: bool = False, **options: Any) -> Tensor:
        if not options and out is None:
            of = _usual_form(name, size)
            x = (_fills.get((of, dtypes.int64)) or fill_plan(of, dtypes.int64))(value)
            return x.requires_grad_() if requires_grad else x
        shape = _sizes(name, size, options)
        if out is not None:
            options.setdefault("dtype", out.form.dtype)
        return _made(_form(name, shape, options), value, requires_grad, out, name)

    make_constant.__name__ = make_constant.__qualname__ = name
    make_constant.__doc__ = f"""A new tensor full of {value}s. size: ints, or one sequence of them.

    Options: out, dtype, layout, device, requires_grad, pin_memory, memory_format.

    >>> torch.{name}(2, 3)
    tensor([[{value}., {value}., {value}.],
            [{value}., {value}., {value}.]])
    """
    return spelled(TORCH)(make_constant)


_OPTIONS = {"dtype", "layout", "device", "pin_memory", "memory_format"}


def _form(name: str, shape: tuple[int, ...], options: dict) -> Form:
    if not options.keys() <= _OPTIONS:
        raise TypeError(f"{name}() got an unexpected keyword argument {min(options.keys() - _OPTIONS)!r}")
    return form_of(name, shape, **options)


zeros = _constant("zeros", 0)
ones = _constant("ones", 1)


@spelled(TORCH)
def empty(*size: Any, out: Tensor | None = None, requires_grad: bool = False, **options: Any) -> Tensor:
    """A new tensor whose elements are whatever was in memory. size: ints, or one sequence of them.

    Options: out, dtype, layout, device, requires_grad, pin_memory, memory_format.

    >>> torch.empty(2, 3).shape
    torch.Size([2, 3])
    """
    of = _form("empty", _sizes("empty", size, options), options) if options else _usual_form("empty", size)
    if out is not None:
        return out if out.form.shape == of.shape else out.resize_(of.shape)
    x = new(of)
    return x.requires_grad_() if requires_grad else x


@spelled(TORCH)
def empty_strided(size: Sequence[int], stride: Sequence[int], *, dtype: DType | None = None, layout: Any = None, device: Any = None,
                  requires_grad: bool = False, pin_memory: bool = False) -> Tensor:  # fmt: skip
    """A new tensor of these sizes and strides, not initialised.

    >>> torch.empty_strided((2, 3), (1, 2)).stride()
    (1, 2)
    """
    shape, strides = sizes_of("empty_strided", (tuple(size),)), sizes_of("empty_strided", (tuple(stride),))
    if len(shape) != len(strides):
        raise RuntimeError(
            message("empty_strided", f"{len(shape)} sizes and {len(strides)} strides; there must be as many")
        )
    if any(s < 0 for s in strides):
        raise RuntimeError(message("empty_strided", f"strides {list(strides)} must not be negative"))
    plain = form_of("empty_strided", shape, dtype, layout, device, pin_memory)
    x = new(form(plain.dtype, plain.device, shape, strides))
    return x.requires_grad_() if requires_grad else x


@spelled(TORCH)
def empty_permuted(size: Sequence[int], physical_layout: Sequence[int], **options: Any) -> Tensor:
    """A new tensor whose dimensions lie in memory in the order of physical_layout, the outermost first.

    >>> torch.empty_permuted((2, 3), (1, 0)).stride()
    (1, 2)
    """
    shape, order = tuple(size), tuple(physical_layout)
    if sorted(order) != list(range(len(shape))):
        raise RuntimeError(message("empty_permuted", f"physical_layout {order} is no order of {len(shape)} dimensions"))
    strides, step = [0] * len(shape), 1
    for d in reversed(order):
        strides[d], step = step, step * max(shape[d], 1)
    return empty_strided(shape, strides, **options)


@spelled(TORCH)
def full(size: Sequence[int], fill_value: Any, *, out: Tensor | None = None, dtype: DType | None = None, requires_grad: bool = False,
         **options: Any) -> Tensor:  # fmt: skip
    """A new tensor full of one number; its dtype is that of `torch.tensor(number)` unless one is given.

    >>> torch.full((2,), 7)
    tensor([7, 7])
    """
    if isinstance(size, int):
        raise TypeError("full(): argument 'size' (position 1) must be tuple of ints, not int")
    if type(fill_value) is float and out is dtype is None and not options:
        return _made(_usual_form("full", (tuple(size),)), fill_value, requires_grad)
    value = fill_value.item() if isinstance(fill_value, Tensor) or hasattr(fill_value, "item") else fill_value
    if not isinstance(value, (bool, int, float, complex)):
        raise TypeError(f"full(): argument 'fill_value' (position 2) must be Number, not {type(value).__name__}")
    if dtype is None and out is not None:
        dtype = out.form.dtype
    options["dtype"] = dtype or (fill_value.dtype if isinstance(fill_value, Tensor) else _dtype_of_number(value))
    return _made(_form("full", sizes_of("full", (tuple(size),)), options), value, requires_grad, out)


def _dtype_of_number(x: Any) -> DType:
    if isinstance(x, bool):
        return dtypes.bool
    if isinstance(x, int):
        return dtypes.int64
    return get_default_dtype() if isinstance(x, float) else get_default_dtype().to_complex()


# ---------------------------------------------------------------- like another
def _number_of(name: str, value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, (bool, int, float, complex)):
        raise TypeError(f"{name}(): argument 'fill_value' must be Number, not {type(value).__name__}")
    return value


@spelled(TORCH)
def zeros_like(input: Tensor, *, requires_grad: bool = False, **options: Any) -> Tensor:
    """Zeros in the shape, dtype, device and order of input.

    >>> torch.zeros_like(torch.tensor([1, 2]))
    tensor([0, 0])
    """
    return _made(form_like("zeros_like", input, **options), 0, requires_grad)


@spelled(TORCH)
def ones_like(input: Tensor, *, requires_grad: bool = False, **options: Any) -> Tensor:
    """Ones in the shape, dtype, device and order of input."""
    return _made(form_like("ones_like", input, **options), 1, requires_grad)


@spelled(TORCH)
def empty_like(input: Tensor, *, requires_grad: bool = False, **options: Any) -> Tensor:
    """A tensor, not initialised, in the shape, dtype, device and order of input."""
    x = new(form_like("empty_like", input, **options))
    return x.requires_grad_() if requires_grad else x


@spelled(TORCH)
def full_like(input: Tensor, fill_value: Any, *, requires_grad: bool = False, **options: Any) -> Tensor:
    """One number in the shape, dtype, device and order of input.

    >>> torch.full_like(torch.ones(2), 3)
    tensor([3., 3.])
    """
    return _made(form_like("full_like", input, **options), _number_of("full_like", fill_value), requires_grad)


def _new_options(x: Tensor, options: dict) -> dict:
    return {**options, "dtype": options.get("dtype") or x.form.dtype, "device": options.get("device") or x.form.device}


def _new_form(name: str, x: Tensor, size: tuple, options: dict) -> Form:
    """The form of a new tensor with the dtype and the device of x, unless others are given."""
    if not options:
        return form(x.form.dtype, x.form.device, sizes_of(name, size))
    return _form(name, _sizes(name, size, options), _new_options(x, options))


METHOD = ("method",)


@spelled(METHOD)
def new_zeros(self: Tensor, *size: Any, requires_grad: bool = False, **options: Any) -> Tensor:
    """Zeros of a size, in the dtype and on the device of self."""
    return _made(_new_form("new_zeros", self, size, options), 0, requires_grad)


@spelled(METHOD)
def new_ones(self: Tensor, *size: Any, requires_grad: bool = False, **options: Any) -> Tensor:
    """Ones of a size, in the dtype and on the device of self."""
    return _made(_new_form("new_ones", self, size, options), 1, requires_grad)


@spelled(METHOD)
def new_empty(self: Tensor, *size: Any, requires_grad: bool = False, **options: Any) -> Tensor:
    """A tensor of a size, not initialised, in the dtype and on the device of self."""
    x = new(_new_form("new_empty", self, size, options))
    return x.requires_grad_() if requires_grad else x


@spelled(METHOD)
def new_full(
    self: Tensor, size: Sequence[int], fill_value: Any, *, requires_grad: bool = False, **options: Any
) -> Tensor:
    """One number in a size, in the dtype and on the device of self."""
    of = _form("new_full", sizes_of("new_full", (tuple(size),)), _new_options(self, options))
    return _made(of, _number_of("new_full", fill_value), requires_grad)


@spelled(METHOD)
def new_empty_strided(self: Tensor, size: Sequence[int], stride: Sequence[int], **options: Any) -> Tensor:
    """A tensor of sizes and strides, not initialised, in the dtype and on the device of self."""
    return empty_strided(size, stride, **_new_options(self, options))


@spelled(METHOD)
def new_tensor(
    self: Tensor,
    data: Any,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """A new tensor of data, in the dtype and on the device of self unless others are given."""
    return tensor(data, dtype=dtype or self.form.dtype, device=device or self.form.device, requires_grad=requires_grad)


# ---------------------------------------------------------------- in a row
def _row(
    of: Form, key: str, expression: Callable[..., Expression], kinds: Sequence[DType], numbers: Sequence[Any]
) -> Tensor:
    """A 1-d tensor of what a formula of the place and of numbers gives."""
    if of.device is META:
        return make(None, 0, of)
    full_key = of, key, *kinds
    plan = _fills.get(full_key)
    if plan is None:
        registers = operand(0, of.dtype).dtype
        nest_key = of.dtype, key, *kinds
        nest = _fill_nests.get(nest_key)
        if nest is None:
            value = cast(expression(*[scalar(i, d) for i, d in enumerate(kinds)]), registers)
            nest = _fill_nests[nest_key] = Nest(((value, of.dtype),), tuple(Operand(d, True) for d in kinds))
        plan = remember(_fills, full_key, plan_rowwise(nest, [None] * len(kinds), of.shape, (0,), [of]))
    return plan(*numbers)


def _numbers_of(name: str, *values: Any, complex_too: bool = False) -> list[Any]:
    found = []
    for value in values:
        value = value.item() if hasattr(value, "item") else value
        if complex_too and isinstance(value, complex):
            found.append(value)
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            if not isinstance(value, bool):
                raise TypeError(f"{name}(): argument must be Number, not {type(value).__name__}")
            value = int(value)
        found.append(value)
    return found


@spelled(TORCH)
def arange(*bounds: Any, start: Any = None, end: Any = None, step: Any = None, out: Tensor | None = None, dtype: DType | None = None,
           requires_grad: bool = False, **options: Any) -> Tensor:  # fmt: skip
    """The numbers start, start + step, … below end (above it, if step is negative): arange(end), arange(start, end, step).

    int64 if all numbers are whole, else the default dtype.

    >>> torch.arange(1, 2.5, 0.5)
    tensor([1.0000, 1.5000, 2.0000])
    """
    start, end, step = _arange_bounds(bounds, start, end, step)
    if type(start) is type(end) is type(step) is int and out is dtype is None and not options:
        return _count(start, end, step, requires_grad)
    start, end, step = _numbers_of("arange", start, end, step)
    if dtype is None:
        whole = all(isinstance(x, int) for x in (start, end, step))
        dtype = out.form.dtype if out is not None else dtypes.int64 if whole else get_default_dtype()
    if dtype.kind in "iu" and step and int(step) == 0:
        raise ValueError(message("arange", f"step must be nonzero: as {dtype} {step} is 0"))
    if dtype is dtypes.int64 and all(map(math.isfinite, (start, end, step))):
        start, end, step = int(start), int(end), int(step)
    _check_arange(start, end, step)
    n = max(0, -(-(end - start) // step) if _whole(start, end, step) else math.ceil((end - start) / step))
    if dtype.kind == "b" and n > 2:
        raise RuntimeError(message("arange", "bool numbers are only False and True", "use another dtype"))
    of = _form("arange", (n,), {**options, "dtype": dtype})
    if dtype.kind == "c":
        raise NotImplementedError(
            message("arange", f"not implemented for {dtype}", "convert a real one with .to(dtype)")
        )
    x = _progression(of, start, step)
    x = x if out is None else write_out("arange", out, x)
    return x.requires_grad_() if requires_grad else x


def _count(start: int, end: int, step: int, requires_grad: bool) -> Tensor:
    """Whole numbers, the commonest of all."""
    if not step or (end - start) * step < 0:
        _check_arange(start, end, step)
    x = _progression(form(dtypes.int64, default_device(), (-((start - end) // step),)), start, step)
    return x.requires_grad_() if requires_grad else x


def _arange_bounds(bounds: tuple, start: Any, end: Any, step: Any) -> tuple:
    if len(bounds) > 3:
        raise TypeError(f"arange(): 1 to 3 numbers are expected, not {len(bounds)}")
    if len(bounds) == 1:
        start, end = (0 if start is None else start, bounds[0]) if end is None else (bounds[0], end)
    elif bounds:
        start, end, step = (*bounds, step)[:3]
    if end is None:
        raise TypeError("arange(): argument 'end' is missing")
    return 0 if start is None else start, end, 1 if step is None else step


def _whole(*numbers: Any) -> bool:
    return all(isinstance(x, int) for x in numbers)


def _check_arange(start: Any, end: Any, step: Any) -> None:
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError(
            message(
                "arange", f"upper bound and lower bound inconsistent with step sign: from {start} to {end} by {step}"
            )
        )


def _progression(of: Form, start: Any, step: Any) -> Tensor:
    """start + step·i; computed in int64 if all is whole, else in float64."""
    if not of.numel:
        return new(of)
    if of.dtype.kind in "iub":
        start, step = int(start), int(step)
        kind = dtypes.int64
    else:
        start, step, kind = float(start), float(step), dtypes.float64
    return _row(of, "arange", lambda a, b: a + b * cast(place(), kind), (kind, kind), (start, step))


@spelled(TORCH, name="range")
def range_(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    **options: Any,
) -> Tensor:
    """start, start + step, … up to end, itself included; old, and in the default dtype: use arange."""
    start, end, step = _numbers_of("range", start, end, step)
    _check_arange(start, end, step)
    of = _form("range", (int((end - start) / step) + 1,), {**options, "dtype": dtype})
    x = _progression(of, start, step)
    return x if out is None else write_out("range", out, x)


@spelled(TORCH)
def linspace(start: Any, end: Any, steps: int, *, out: Tensor | None = None, dtype: DType | None = None, requires_grad: bool = False,
             **options: Any) -> Tensor:  # fmt: skip
    """steps numbers from start to end, both included, at equal distances.

    >>> torch.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    if type(start) in _PLAIN and type(end) in _PLAIN and type(steps) is int and out is dtype is None and not options:
        x = _between(_steps_form("linspace", steps, options), start, end)
        return x.requires_grad_() if requires_grad else x
    start, end = _numbers_of("linspace", start, end, complex_too=True)
    of = _steps_form("linspace", steps, {**options, "dtype": _spaced_dtype(dtype, out, start, end)})
    x = _complex_row(of, start, end, None) if of.dtype.kind == "c" else _between(of, start, end)
    x = x if out is None else write_out("linspace", out, x)
    return x.requires_grad_() if requires_grad else x


_PLAIN = (int, float)


def _spaced_dtype(dtype: DType | None, out: Tensor | None, *numbers: Any) -> DType | None:
    """The dtype asked for; complex for complex numbers. RuntimeError for complex numbers in a real dtype."""
    asked = dtype or getattr(out, "dtype", None)
    if not any(isinstance(x, complex) for x in numbers):
        return asked
    if asked is not None and asked.kind != "c":
        raise RuntimeError(
            message("linspace", f"inferred dtype {get_default_dtype().to_complex()} can't be safely cast to {asked}")
        )
    return asked or get_default_dtype().to_complex()


def _complex_row(of: Form, start: complex, end: complex, base: float | None) -> Tensor:
    """Complex numbers at equal distances, counted from the nearer end; with a base, its powers."""
    n = of.numel
    step = (end - start) / max(n - 1, 1)

    def value(*x: Expression) -> Expression:
        first, last, by = (joined(x[i], x[i + 1]) for i in (0, 2, 4))
        count, half, size = x[6:]
        ahead, left = (cast(cast(i, dtypes.float64), dtypes.complex128) for i in (place(), count - place()))
        z = where(place() < half, first + by * ahead, last - by * left)
        return z if base is None else exp(z * cast(log(size), dtypes.complex128))

    kinds = (*[dtypes.float64] * 6, dtypes.int64, dtypes.int64, dtypes.float64)
    parts = [float(part) for z in (start, end, step) for part in (complex(z).real, complex(z).imag)]
    if not n:
        return new(of)
    return _row(of, f"complex space {base is None}", value, kinds, (*parts, n - 1, (n + 1) // 2, float(base or 1)))


def _steps_form(name: str, steps: Any, options: dict) -> Form:
    (n,) = sizes_of(name, (steps,))
    if n < 0:
        raise RuntimeError(message(name, f"number of steps must be non-negative, not {n}"))
    return _form(name, (n,), options)


def _between(of: Form, start: Any, end: Any) -> Tensor:
    """Numbers at equal distances, counted from the nearer end, so that both ends are exact."""
    n = of.numel
    if n < 2:
        return filled(of, start)
    kind = of.dtype.to_real() if of.dtype.to_real() in (dtypes.float32, dtypes.float64) else dtypes.float32
    if of.dtype.kind in "iub":
        start, end, kind = int(start), int(end), dtypes.float64
    step = (end - start) / (n - 1)
    kinds = (kind, kind, kind, dtypes.int64, dtypes.int64)
    return _row(of, "linspace", _spaced, kinds, (float(start), float(end), float(step), n - 1, n // 2))


def _spaced(a: Expression, b: Expression, step: Expression, last: Expression, half: Expression) -> Expression:
    i, left = cast(place(), a.dtype), cast(last - place(), a.dtype)
    return where(place() < half, fma(step, i, a), fma(-step, left, b))  # rounded once, as PyTorch does


@spelled(TORCH)
def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, out: Tensor | None = None, dtype: DType | None = None,
             requires_grad: bool = False, **options: Any) -> Tensor:  # fmt: skip
    """base to the powers of steps numbers from start to end.

    >>> torch.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    start, end, base = _numbers_of("logspace", start, end, base, complex_too=True)
    of = _steps_form("logspace", steps, {**options, "dtype": _spaced_dtype(dtype, out, start, end)})
    if of.dtype.kind == "c":
        x = _complex_row(of, start, end, base)
        return x if out is None else write_out("logspace", out, x)
    if of.dtype.kind in "iub":
        start, end = int(start), int(end)
    n, step = of.numel, (end - start) / max(of.numel - 1, 1)

    def value(a: Expression, step: Expression, base: Expression) -> Expression:
        return Expression("pow", (base, a + step * cast(place(), dtypes.float64)), dtypes.float64)

    x = _row(of, "logspace", value, (dtypes.float64,) * 3, (float(start), float(step), float(base))) if n else new(of)
    x = x if out is None else write_out("logspace", out, x)
    return x.requires_grad_() if requires_grad else x


@door(0)
def _eye(n: int, m: int | None, dtype: DType, device: Any) -> Any:
    rows, columns = sizes_of("eye", (n, n if m is None else m))
    for what, size in ("n", rows), ("m", columns):
        if size < 0:
            raise RuntimeError(message("eye", f"{what} must be greater or equal to 0, got {size}"))
    of = form(dtype, device, (rows, columns))
    i, j = (tensor_from_data(list(range(size)), dtypes.int32, device) for size in (rows, columns))
    same = where(
        operand(0, dtypes.int32) == operand(1, dtypes.int32), constant(1, dtypes.int32), constant(0, dtypes.int32)
    )
    nest = Nest(((cast(same, operand(0, dtype).dtype), dtype),), (Operand(dtypes.int32), Operand(dtypes.int32)))
    plan = plan_pointwise(nest, [i.form.viewed((rows, 1), (1, 0)), j.form], of.shape, [of])
    return Made(lambda: plan(i, j))


@spelled(TORCH)
def eye(
    n: int, m: int | None = None, *, out: Tensor | None = None, requires_grad: bool = False, **options: Any
) -> Tensor:
    """A matrix of n rows and m columns (n if not given) with ones on the diagonal and zeros elsewhere.

    >>> torch.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    if out is None and not options:
        x = _eye.find(n, m, get_default_dtype(), default_device())
        return x.requires_grad_() if requires_grad else x
    if out is not None:
        options.setdefault("dtype", out.form.dtype)
    of = _form("eye", (), options)
    x = _eye(n, m, of.dtype, of.device)
    x = x if out is None else write_out("eye", out, x)
    return x.requires_grad_() if requires_grad else x
