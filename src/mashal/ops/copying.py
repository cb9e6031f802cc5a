"""Copies: clone, contiguous, copy_, filling, and other dtypes and devices.

Read first `copy_into` and `copied_as`, on which all others (and views, joining, indexing) stand: which kernel copies between
two forms is decided in `_copy_plan`, once for each pair.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.core import devices, dtypes, tape
from mashal.core.devices import usable
from mashal.core.dtypes import dtype as DType
from mashal.core.forms import Form, dense_strides, form
from mashal.core.shapes import Strides, broadcast_strides
from mashal.core.tape import mode
from mashal.core.tensor import Tensor, alias, bump, empty, plan_of
from mashal.errors import message
from mashal.lang.expression import cast, operand, scalar
from mashal.lang.nest import Nest, Operand
from mashal.lang.recipes import Copy
from mashal.lower.pointwise import pointwise
from mashal.lower.schedule import collapse
from mashal.lower.transpose import TYPES, transposed_dims, transposing
from mashal.ops.broadcast import sum_to
from mashal.ops.define import (
    PLAIN,
    check_not_expanded,
    check_writable,
    dispatched,
    late,
    overlaps,
    overrides,
    spelled,
)
from mashal.ops.run import Plan, elements_layout, kernel_of, plan_pointwise, remember

_into: dict[tuple[Form, Form], Plan] = {}
_new: dict[tuple[Form, Form], Plan] = {}
_fills: dict[Form, Plan] = {}
_copies: dict[tuple[DType, DType], Nest] = {}
_SAME_SIZE = {1: dtypes.uint8, 2: dtypes.int16, 4: dtypes.int32, 8: dtypes.int64, 16: dtypes.complex128}


# ---------------------------------------------------------------- between forms
def copy_into(target: Tensor, source: Tensor) -> None:
    """Writes source (broadcast, converted) into target's elements; records nothing, checks nothing."""
    if not target.form.numel or target.capsule is None:
        return
    if target.capsule is source.capsule and overlaps(source, target):
        source = copied_as(source, form(source.form.dtype, source.form.device, source.form.shape))
    key = target.form, source.form
    plan = _into.get(key) or remember(_into, key, _copy_plan(source.form, target.form, in_place=True))
    plan(target, source)


def copied_as(x: Tensor, to: Form) -> Tensor:
    """A new tensor of a form (x's shape broadcasts to it) with x's elements, converted; records nothing."""
    if x.capsule is None or not to.numel:
        return empty(to)
    key = x.form, to
    plan = _new.get(key) or remember(_new, key, _copy_plan(x.form, to, in_place=False))
    return plan(x)


def copying_plan(source: Form, walked: Form, made: Form) -> Plan:
    """The plan of a copy as the contiguous form `walked`, handed out in another form of as many elements."""
    if not made.numel:
        return plan_of(0, [(0, made)], [source.dtype.itemsize])
    if walked is made:
        return _copy_plan(source, made, in_place=False)
    layout, constants = elements_layout(walked.shape, [walked.strides, source.strides])
    address = kernel_of(pointwise, _copy_nest(source.dtype, made.dtype), layout)
    return plan_of(address, [(made.nbytes, made)], [source.dtype.itemsize], constants, work=made.numel)


def _copy_plan(source: Form, target: Form, in_place: bool) -> Plan:
    a, b = source.dtype, target.dtype
    if a is b and a.itemsize in TYPES:
        sizes, (to, of) = collapse(
            target.shape, [target.strides, broadcast_strides(source.shape, source.strides, target.shape)]
        )
        order = transposed_dims(sizes, to, of)
        if order is not None:
            address = kernel_of(transposing, a.itemsize, len(sizes))
            words = [each[d] for each in (sizes, to, of) for d in order]
            recipe = Copy(source, target, in_place)
            if in_place:
                kinds = [a.itemsize] * 2
                return plan_of(address, [], kinds, words, work=target.numel, returns_first=True, recipe=recipe)
            made = [(target.extent * a.itemsize, target)]
            return plan_of(address, made, [a.itemsize], words, work=target.numel, recipe=recipe)
    return plan_pointwise(_copy_nest(a, b), [source], target.shape, [target], in_place)


def _copy_nest(a: DType, b: DType) -> Nest:
    if a is b:
        a = b = _SAME_SIZE[a.itemsize]
    found = _copies.get((a, b))
    if found is None:
        found = _copies[a, b] = Nest(((cast(operand(0, a), operand(0, b).dtype), b),), (Operand(a),))
    return found


def compact(x: Tensor) -> Tensor:
    """x, or a contiguous copy of it; records nothing."""
    return x if x.form.contiguous else copied_as(x, form(x.form.dtype, x.form.device, tuple(x.form.shape)))


def is_channels_last(of: Form) -> bool:
    """Whether the channels (dimension 1) of images or volumes lie side by side, and nothing else does."""
    if of.contiguous or of.rank not in (4, 5):
        return False
    return of.strides == channels_last_strides("", of.shape, "channels_last" if of.rank == 4 else "channels_last_3d")


def in_order_of(y: Tensor, like: Form) -> Tensor:
    """y, or a copy of it with channels last where a tensor like this has them last; records nothing."""
    if not is_channels_last(like) or is_channels_last(y.form) or y.form.rank != like.rank:
        return y
    name = "channels_last" if like.rank == 4 else "channels_last_3d"
    return copied_as(y, form(y.form.dtype, y.form.device, y.form.shape, channels_last_strides("", y.form.shape, name)))


def zeros_of(to: Form) -> Tensor:
    """A new tensor of a form, all zeros."""
    return filled(empty(to), 0)


def filled(x: Tensor, value: Any) -> Tensor:
    """x with one number in all its elements; records nothing."""
    if not x.form.numel or x.capsule is None:
        return x
    plan = _fills.get(x.form) or remember(_fills, x.form, _fill_plan(x.form))
    return plan(x, value)


def _fill_plan(to: Form) -> Plan:
    d = to.dtype
    if d.kind == "c":
        parts = form(d.to_real(), to.device, (*to.shape, 1), (*(2 * s for s in to.strides), 1))
        each = _fill_plan(parts)

        def both(x: Tensor, value: Any) -> Tensor:
            for shift, number in enumerate((complex(value).real, complex(value).imag)):
                part = alias(x)
                part.form, part.offset = parts, 2 * x.offset + shift
                each(part, number)
            return x

        return both
    kind = dtypes.float64 if d.kind == "f" else dtypes.int64
    nest = _fill_nests.get(d)
    if nest is None:
        stored = operand(0, d).dtype
        nest = _fill_nests[d] = Nest(((cast(scalar(0, kind), stored), d),), (Operand(kind, number=True),))
    plan = plan_pointwise(nest, [None], to.shape, [to], in_place=True)
    if d.kind == "f":
        return plan
    if d.kind == "b":
        return lambda x, value: plan(x, int(bool(value)))
    return lambda x, value: plan(x, value if type(value) is int and value < _TOP else _whole(value, d))


_fill_nests: dict[DType, Nest] = {}
_TOP = 1 << 63


def _whole(value: Any, d: DType) -> int:
    """A number as an integer dtype's bits."""
    n = int(value)
    return n - (1 << 64) if d is dtypes.uint64 and n >= _TOP else n


def preserved(of: Form, d: DType | None = None) -> Form:
    """The form of a copy: the strides kept if the elements are dense, else compact in the same order."""
    d = d or of.dtype
    if of.contiguous:
        return form(d, of.device, of.shape)
    return form(d, of.device, of.shape, of.strides if of.dense else dense_strides(of.shape, of.strides))


# ---------------------------------------------------------------- memory formats
def laid_out(operation: str, of: Form, memory_format: Any, d: DType | None = None) -> Form:
    """The form of a copy in a memory format (None: preserved)."""
    name = str(memory_format).removeprefix("torch.") if memory_format is not None else "preserve_format"
    if name == "preserve_format":
        return preserved(of, d)
    if name == "contiguous_format":
        return form(d or of.dtype, of.device, of.shape)
    if name in ("channels_last", "channels_last_3d"):
        return form(d or of.dtype, of.device, of.shape, channels_last_strides(operation, of.shape, name))
    raise RuntimeError(
        message(operation, f"memory_format {memory_format} is unknown", "one of torch.memory_format's is")
    )


def channels_last_strides(operation: str, shape: tuple[int, ...], name: str) -> Strides:
    """Strides of images whose channels are neighbours."""
    rank = 4 if name == "channels_last" else 5
    if len(shape) != rank:
        raise RuntimeError(
            message(operation, f"required rank {rank} tensor to use {name} format, got {len(shape)} dimensions")
        )
    order = [0, *range(2, rank), 1]
    strides, step = [0] * rank, 1
    for d in reversed(order):
        strides[d] = step
        step *= max(shape[d], 1)
    return tuple(strides)


# ---------------------------------------------------------------- clone, contiguous
class CloneBackward0(tape.Node):
    """A copy; the gradient is that of the copy."""

    __slots__ = ()
    frees = False

    def backward(self, *gradients: Any) -> tuple:
        return gradients


def _cloned(x: Tensor, to: Form) -> Tensor:
    y = copied_as(x, to)
    if x.node is not None and mode.recording:
        y.node = CloneBackward0(((x.node, x.output),), None)
    return y


@spelled()
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy of input with memory of its own; backward goes through it.

    >>> x = torch.tensor([1.0, 2.0])
    >>> torch.clone(x)
    tensor([1., 2.])
    """
    if type(input) not in PLAIN:
        kinds = overrides((input,))
        if kinds:
            return dispatched(clone, kinds, (input,), {"memory_format": memory_format})
        check_tensor("clone", input)
    of = input.form
    return _cloned(input, of if of.contiguous and memory_format is None else laid_out("clone", of, memory_format))


@spelled(where=("method",))
def contiguous(input: Tensor, memory_format: Any = None) -> Tensor:
    """input itself if its elements lie in order and without gaps, else a copy that does."""
    of = input.form
    if memory_format is None:
        return input if of.contiguous else _cloned(input, form(of.dtype, of.device, of.shape))
    to = laid_out("contiguous", of, memory_format)
    return input if is_contiguous(input, memory_format) else _cloned(input, to)


@spelled(where=("method",))
def is_contiguous(input: Tensor, memory_format: Any = None) -> bool:
    """Whether the elements lie in row-major order without gaps (or in that of a memory format)."""
    of = input.form
    name = str(memory_format).removeprefix("torch.")
    if memory_format is None or name == "contiguous_format":
        return of.contiguous
    if of.rank != (4 if name == "channels_last" else 5):
        return False
    expected = channels_last_strides("is_contiguous", of.shape, name)
    return all(n == 1 or s == e for n, s, e in zip(of.shape, of.strides, expected)) or not of.numel


def check_tensor(name: str, x: Any, argument: str = "input", position: int = 1) -> None:
    """TypeError unless x is a tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument '{argument}' (position {position}) must be Tensor, not {type(x).__name__}")


# ---------------------------------------------------------------- in place
class CopyBackwards(tape.Node):
    """copy_. saved: the source's form."""

    __slots__ = ()
    frees = False

    def backward(self, *gradients: Any) -> tuple:
        (g,) = gradients
        own, other = self.edges
        source = self.saved
        mine = zeros_of(form(g.form.dtype, g.form.device, g.form.shape)) if own is not None else None
        return mine, converted(sum_to(g, source.shape), source.dtype) if other is not None else None


class FillBackward2(tape.Node):
    """Every element was replaced by a number."""

    __slots__ = ()
    frees = False

    def backward(self, *gradients: Any) -> tuple:
        (g,) = gradients
        mine = zeros_of(form(g.form.dtype, g.form.device, g.form.shape))
        return (mine, converted(sum_to(g, ()), self.saved)) if len(self.edges) == 2 else (mine,)


FillBackward1 = type("FillBackward1", (FillBackward2,), {"__slots__": ()})
ZeroBackward0 = type("ZeroBackward0", (FillBackward2,), {"__slots__": ()})


@spelled(where=("method",))
def copy_(input: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """Writes src, broadcast to input's shape and converted to its dtype, into input; returns input.

    >>> torch.zeros(2, 2).copy_(torch.tensor([1, 2]))
    tensor([[1., 2.],
            [1., 2.]])
    """
    if not isinstance(src, Tensor):
        raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}")
    if src.form.shape != input.form.shape:
        _check_broadcast("copy_", src.form, input.form)
    if not input.form.contiguous:
        check_not_expanded(input)
    recorded = mode.recording and (input.node is not None or src.node is not None)
    if recorded:
        check_writable(input, "copy_")
    if src is not input:
        copy_into(input, src)
    bump(input)
    if recorded and input.form.dtype.kind in "fc":
        late.rebase(input, CopyBackwards(tape.edges(input, src), src.form))
    return input


def _check_broadcast(name: str, source: Form, target: Form) -> None:
    lead = target.rank - source.rank
    fits = lead >= 0 and all(n in (1, m) for n, m in zip(source.shape, target.shape[lead:]))
    if not fits and not (
        lead < 0 and all(n == 1 for n in source.shape[:-lead]) and source.shape[-lead:] == target.shape
    ):
        raise RuntimeError(message(name, f"source {tuple(source.shape)} does not broadcast to {tuple(target.shape)}"))


@spelled(where=("torch", "method"))
def fill_(input: Tensor, value: Any) -> Tensor:
    """Puts a number (or a 0-d tensor's) into every element; returns input."""
    return _filled_in_place(input, value, FillBackward1)


@spelled(where=("torch",))
def fill(input: Tensor, value: Any) -> Tensor:
    """A copy with a number (or a 0-d tensor's) in every element."""
    return fill_(clone(input), value)


@spelled(where=("torch", "method"))
def zero_(input: Tensor) -> Tensor:
    """Puts 0 into every element; returns input."""
    return _filled_in_place(input, 0, ZeroBackward0)


def _distinct(x: Tensor) -> Tensor:
    """x without the repetitions of an expanded dimension: what has to be written to change all of it."""
    f = x.form
    if f.contiguous or 0 not in f.strides:
        return x
    once = alias(x)
    once.form = f.viewed(tuple([n if s else min(n, 1) for n, s in zip(f.shape, f.strides)]), f.strides)
    return once


def _filled_in_place(x: Tensor, value: Any, node: Callable[..., tape.Node]) -> Tensor:
    other = value if isinstance(value, Tensor) else None
    recorded = mode.recording and (x.node is not None or (other is not None and other.node is not None))
    if recorded:
        check_writable(x, "fill_")
    if other is not None:
        if other.form.rank:
            raise RuntimeError(
                message("fill_", f"value has {other.form.rank} dimensions", "a number or a 0-d tensor fills")
            )
        copy_into(_distinct(x), other)
    else:
        filled(_distinct(x), checked_number("fill_", value, x.form.dtype))
    bump(x)
    if recorded and x.form.dtype.kind in "fc":
        if other is not None:
            late.rebase(x, FillBackward2(tape.edges(x, other), other.form.dtype))
        else:
            late.rebase(x, node(tape.edges(x), None))
    return x


def checked_number(name: str, value: Any, d: DType) -> Any:
    """A number that a dtype's elements can be; RuntimeError if an integer dtype cannot hold it."""
    if type(value) is int and 0 <= value < 128 and d.kind in "iu":
        return value
    if type(value) is float or (type(value) is int and d.kind in "fcb"):
        if d.kind in "fcb":
            return value
    elif isinstance(value, complex):
        if d.kind != "c":
            raise RuntimeError(message(name, f"value {value} cannot be converted to type {d} without overflow"))
        return value
    elif not isinstance(value, (int, float)):
        if not hasattr(value, "item") and not hasattr(value, "__index__"):
            raise TypeError(f"{name}(): argument 'value' must be Number, not {type(value).__name__}")
        return checked_number(name, value.item() if hasattr(value, "item") else int(value), d)
    if d.kind in "iu":
        try:
            n = int(value)
        except (ValueError, OverflowError):
            n = 0 if value != value else _TOP
        limits = dtypes.iinfo(d)
        low = limits.min if d.kind == "i" else -limits.max
        if not low <= n <= limits.max:
            raise RuntimeError(message(name, f"value {value} cannot be converted to type {d} without overflow"))
        return n
    return value


# ---------------------------------------------------------------- other dtypes and devices
class ToCopyBackward0(tape.Node):
    """A conversion. saved: the dtype that was converted."""

    __slots__ = ()
    frees = False

    def backward(self, *gradients: Any) -> tuple:
        return (converted(gradients[0], self.saved),)


def converted(x: Tensor, d: DType, to: Form | None = None) -> Tensor:
    """x in a dtype: itself if it has it and no form is asked for."""
    of = x.form
    if of.dtype is d and to is None:
        return x
    y = copied_as(x, to or preserved(of, d))
    if x.node is not None and mode.recording and d.kind in "fc":
        y.node = ToCopyBackward0(((x.node, x.output),), of.dtype)
    return y


@spelled(where=("method",))
def to(input: Tensor, *arguments: Any, **options: Any) -> Tensor:
    """input in another dtype, on another device, or as another tensor has them; itself if nothing changes.

    to(dtype), to(device), to(device, dtype), to(other); non_blocking, copy (always a copy), memory_format.

    >>> torch.tensor([1, 2]).to(torch.float32)
    tensor([1., 2.])
    """
    if len(arguments) == 1 and type(arguments[0]) is DType and not options:
        return converted(input, arguments[0])
    place, d, copy, memory_format = _target(arguments, options)
    if place is not None:
        place = usable(place)
    of = input.form
    d = d or of.dtype
    place = place or of.device
    expected = None if memory_format is None else laid_out("to", of, memory_format, d)
    same_layout = expected is None or is_contiguous(input, memory_format) or "preserve" in str(memory_format)
    if d is of.dtype and place is of.device and not copy and same_layout:
        return input
    made = expected or preserved(of, d)
    if place is not of.device:
        return _moved(input, form(d, place, made.shape, made.strides))
    return converted(input, d, made)


def _moved(x: Tensor, to: Form) -> Tensor:
    if x.form.device.type == "meta":
        raise NotImplementedError(
            "Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty() instead of torch.nn.Module.to() "
            "when moving module from meta to a different device."
        )
    y = empty(to)
    if x.node is not None and mode.recording:
        y.node = ToCopyBackward0(((x.node, x.output),), x.form.dtype)
    return y


def _target(arguments: tuple, options: dict) -> tuple[Any, DType | None, bool, Any]:
    """What a call of `to` asks for: device, dtype, copy, memory_format."""
    known = {"device", "dtype", "other", "tensor", "non_blocking", "copy", "memory_format"}
    unknown = sorted(options.keys() - known)
    if unknown:
        raise TypeError(f"to() received an invalid combination of arguments: unknown keyword '{unknown[0]}'")
    rest = list(arguments)
    place, d = options.get("device"), options.get("dtype")
    other = options.get("other", options.get("tensor"))
    if rest and isinstance(rest[0], Tensor):
        other = rest.pop(0)
    elif rest and isinstance(rest[0], DType):
        d = rest.pop(0)
    elif rest and (
        rest[0] is None or isinstance(rest[0], (str, int, devices.device)) and not isinstance(rest[0], bool)
    ):
        place = rest.pop(0)
        if rest and (rest[0] is None or isinstance(rest[0], DType)):
            d = rest.pop(0)
    elif rest:
        raise TypeError(
            f"to() received an invalid combination of arguments: {type(rest[0]).__name__} is no dtype, device or tensor"
        )
    if d is not None and not isinstance(d, DType):
        raise TypeError(f"to(): argument 'dtype' must be torch.dtype, not {type(d).__name__}")
    if len(rest) > 3:
        raise TypeError("to() received an invalid combination of arguments: too many")
    rest += [None] * (3 - len(rest))
    copy = options.get("copy", bool(rest[1]))
    memory_format = options.get("memory_format", rest[2])
    if other is not None:
        return other.form.device, other.form.dtype, copy, memory_format
    return None if place is None else devices.device(place), d, copy, memory_format


def _cast(name: str, d: DType) -> Callable[..., Tensor]:
    def cast_to(input: Tensor, memory_format: Any = None) -> Tensor:
        if memory_format is None:
            return converted(input, d)
        return to(input, d, memory_format=memory_format)

    cast_to.__name__ = cast_to.__qualname__ = name
    cast_to.__doc__ = f"input as {d}; itself if it is."
    return spelled(where=("method",))(cast_to)


CASTS = {
    name: _cast(name, d)
    for name, d in {
        "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16, "bfloat16": dtypes.bfloat16,
        "int": dtypes.int32, "long": dtypes.int64, "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8,
        "bool": dtypes.bool, "cfloat": dtypes.complex64, "cdouble": dtypes.complex128, "chalf": dtypes.complex32,
    }.items()
}  # fmt: skip
"""The methods that are named after a dtype."""

_LEGACY = {
    "FloatTensor": dtypes.float32, "DoubleTensor": dtypes.float64, "HalfTensor": dtypes.float16, "IntTensor": dtypes.int32,
    "BFloat16Tensor": dtypes.bfloat16, "LongTensor": dtypes.int64, "ShortTensor": dtypes.int16, "CharTensor": dtypes.int8,
    "ByteTensor": dtypes.uint8, "BoolTensor": dtypes.bool, "ComplexFloatTensor": dtypes.complex64,
    "ComplexDoubleTensor": dtypes.complex128,
}  # fmt: skip
_LEGACY_NAMES = {d: name for name, d in _LEGACY.items()}


@spelled(where=("method",), name="type")
def type_(input: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """input in another dtype, given itself or by its old name ("torch.FloatTensor"); without one, that name."""
    if dtype is None:
        return f"torch.{_LEGACY_NAMES.get(input.form.dtype, input.form.dtype.name)}"
    if isinstance(dtype, DType):
        return converted(input, dtype)
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", repr(dtype))
    if name.rpartition(".")[2] not in _LEGACY:
        raise ValueError(message("type", f"invalid type: '{name}'", f"one of {', '.join(_LEGACY)} or a torch.dtype is"))
    if name.startswith("torch.cuda."):
        usable(devices.device("cuda"))
    return converted(input, _LEGACY[name.rpartition(".")[2]])


@spelled(where=("method",))
def type_as(input: Tensor, other: Tensor) -> Tensor:
    """input in other's dtype."""
    return converted(input, other.form.dtype)


@spelled(where=("method",))
def cpu(input: Tensor, memory_format: Any = None) -> Tensor:
    """input in main memory; itself if it lies there."""
    return to(input, devices.CPU, memory_format=memory_format)


@spelled(where=("method",))
def cuda(input: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    """input on a CUDA device."""
    return to(input, devices.device("cuda" if device is None else device))
