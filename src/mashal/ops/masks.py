"""Masks: where elements are true, the elements there, and putting others in their place."""

from __future__ import annotations

from functools import cache
from typing import Any

from mashal.core import dtypes
from mashal.core.dtypes import dtype as DType
from mashal.core.elements import element
from mashal.core.forms import Form, form
from mashal.core.shapes import broadcast
from mashal.core.tensor import Tensor, empty, plan_of
from mashal.errors import message
from mashal.lang.expression import cast, operand, scalar, where
from mashal.lang.nest import Nest, Operand
from mashal.lower import masks as kernels
from mashal.lower.transpose import TYPES
from mashal.machine.launch import INTEGER
from mashal.ops.broadcast import sum_to
from mashal.ops.copying import (
    check_tensor,
    checked_number,
    converted,
    copied_as,
    copy_into,
    filled,
    preserved,
    zeros_of,
)
from mashal.ops.define import PLAIN, overlaps, recorded, spelled, write_out
from mashal.ops.joining import cat
from mashal.ops.parts import slice_op, unbind
from mashal.ops.remembered import door, remembered
from mashal.ops.run import Plan, kernel_of, plan_pointwise, remember
from mashal.ops.views import expand, reshape, view_as_complex, view_as_real
from mashal.ops.writing import writing

_plans: dict[Any, Plan] = {}


# ---------------------------------------------------------------- where
def _bytes(mask: Tensor) -> Tensor:
    """A mask as contiguous bools."""
    f = mask.form
    return mask if f.contiguous and f.dtype is dtypes.bool else copied_as(mask, form(dtypes.bool, f.device, f.shape))


def count_of(mask: Tensor) -> int:
    """How many elements of a contiguous bool tensor are true."""
    n = mask.form.numel
    if not n:
        return 0
    if mask.form.device.type == "meta":
        wrong = "how many elements are true depends on values, and meta tensors have none"
        raise NotImplementedError(message("nonzero", wrong, "use tensors with data"))
    plan = _plans.get("count")
    if plan is None:
        made = form(dtypes.int64, mask.form.device, ())
        plan = _plans["count"] = plan_of(kernel_of(kernels.count), [(8, made)], [1, INTEGER])
    return element(plan(mask, n))


def true_places(mask: Tensor, by_rows: bool = False) -> Tensor:
    """(rank, count) int64: row d has the index in dimension d of every true element, in order; by_rows: (count, rank)."""
    mask = _bytes(mask)
    f = mask.form
    total = count_of(mask)
    if by_rows:
        found = empty(form(dtypes.int64, f.device, (total, f.rank), (1, total)))
    else:
        found = empty(form(dtypes.int64, f.device, (f.rank, total)))
    if not found.form.numel:
        return found
    key = "places", f
    plan = _plans.get(key)
    if plan is None:
        address = kernel_of(kernels.positions, f.rank)
        words = [f.numel, *f.shape]
        plan = remember(_plans, key, plan_of(address, [], [8, 1, INTEGER], words, work=f.numel, returns_first=True))
    return plan(found, mask, total)


@spelled()
def nonzero(input: Tensor, *, as_tuple: bool = False, out: Tensor | None = None) -> Any:
    """The indices of all elements that are not 0: a row each; as_tuple: a tensor of indices for each dimension.

    >>> torch.nonzero(torch.tensor([0, 3, 0, 4]))
    tensor([[1],
            [3]])
    """
    check_tensor("nonzero", input)
    if not input.form.rank and as_tuple:
        input = reshape(input, (1,))
    if as_tuple:
        return unbind(true_places(input), 0)
    result = true_places(input, by_rows=True)
    return result if out is None else write_out("nonzero", out, result)


@spelled()
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1, out: Tensor | None = None) -> Tensor:
    """nonzero with exactly `size` rows: cut off, or filled up with fill_value."""
    if size < 0:
        raise RuntimeError(message("nonzero_static", f"size {size} must be non-negative"))
    found = nonzero(input)
    n, rank = found.form.shape
    result = filled(empty(form(dtypes.int64, input.form.device, (size, rank))), fill_value)
    copy_into(slice_op(result, 0, 0, min(n, size)), slice_op(found, 0, 0, min(n, size)))
    return result if out is None else write_out("nonzero_static", out, result)


@spelled()
def argwhere(input: Tensor) -> Tensor:
    """The indices of all elements that are not 0, a row each."""
    return nonzero(input)


# ---------------------------------------------------------------- the elements there
def exact_out(name: str, out: Tensor, result: Tensor, *operands: Tensor) -> Tensor:
    """write_out for operations whose out must have the result's dtype and share nothing with the operands."""
    if isinstance(out, Tensor):
        if out.form.dtype is not result.form.dtype:
            raise RuntimeError(
                f"{name}(): Expected out tensor to have dtype {result.dtype}, but got {out.dtype} instead"
            )
        if out.capsule is not None and any(out.capsule is x.capsule for x in operands):
            raise RuntimeError(
                f"{name}(): unsupported operation: the input tensor and the written-to tensor refer to a single memory location"
            )
        if any(s == 0 and n > 1 for n, s in zip(out.form.shape, out.form.strides)):
            raise RuntimeError(
                f"{name}(): unsupported operation: more than one element of the written-to tensor refers to a single memory location"
            )
    return write_out(name, out, result)


def check_mask(name: str, mask: Any) -> None:
    """Errors for what is no mask."""
    if not isinstance(mask, Tensor):
        raise TypeError(f"{name}(): argument 'mask' must be Tensor, not {type(mask).__name__}")
    if mask.form.dtype is not dtypes.bool:
        raise RuntimeError(message(name, f"expected BoolTensor for mask, got {mask.dtype}"))


def _flat(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """x broadcast to a shape, contiguous."""
    f = x.form
    return x if f.contiguous and f.shape == shape else copied_as(x, form(f.dtype, f.device, shape))


def _select(x: Tensor, mask: Tensor) -> Tensor:
    """The elements of x where mask (both contiguous, of one shape) is true."""
    f = x.form
    if f.dtype.itemsize == 16:
        return view_as_complex(_select_rows(view_as_real(x), mask))
    made = empty(form(f.dtype, f.device, (count_of(mask),)))
    if not made.form.numel:
        return made
    key = "select", f
    plan = _plans.get(key)
    if plan is None:
        size = f.dtype.itemsize
        address = kernel_of(kernels.compressed, TYPES[size])
        kinds = [size, size, 1]
        plan = remember(_plans, key, plan_of(address, [], kinds, [f.numel], work=f.numel, returns_first=True))
    return plan(made, x, mask)


def _select_rows(x: Tensor, mask: Tensor) -> Tensor:
    both = _flat(expand(reshape(mask, (*mask.form.shape, 1)), tuple(x.form.shape)), tuple(x.form.shape))
    return reshape(_select(x, both), (-1, 2))


def _selected(x: Tensor, mask: Tensor) -> tuple[Tensor, tuple]:
    same = x.form.shape == mask.form.shape
    shape = x.form.shape if same else broadcast("masked_select", x.form.shape, mask.form.shape)
    return _select(_flat(x, shape), _flat(mask, shape)), (x.form, mask)


_masked_select = recorded("MaskedSelectBackward0")(_selected)
where_true = recorded("IndexBackward0")(_selected)  # x[mask], for a mask of x's shape


@_masked_select.backward
@where_true.backward
def _(node: Any, g: Tensor) -> tuple:
    f, mask = node.kept()
    shape = broadcast("masked_select", f.shape, mask.form.shape)
    zeros = zeros_of(form(g.form.dtype, f.device, shape))
    return (sum_to(masked_scatter(zeros, mask, g), f.shape),)


@spelled()
def masked_select(input: Tensor, mask: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements where mask (broadcast) is true, in one dimension.

    >>> torch.masked_select(torch.tensor([1, 2, 3]), torch.tensor([True, False, True]))
    tensor([1, 3])
    """
    check_mask("masked_select", mask)
    result = _masked_select(input, mask)
    return result if out is None else exact_out("masked_select", out, result, input, mask)


# ---------------------------------------------------------------- others in their place
def fill_where(x: Tensor, mask: Tensor, value: Any) -> None:
    """Puts a number (of x's dtype) or a 0-d tensor into x where mask (which broadcasts to x) is true; records nothing."""
    if not x.form.numel or x.capsule is None:
        return
    number = not isinstance(value, Tensor)
    if number and x.form.dtype.kind not in "fi":
        value, number = scalar_of("masked_fill", value, x.form), False
    key = "fill", x.form, mask.form, number
    plan = _plans.get(key)
    if plan is None:
        f = x.form
        operands = [f, mask.form, None if number else form(f.dtype, f.device, ())]
        plan = remember(_plans, key, plan_pointwise(_fill_nest(f.dtype, number), operands, f.shape, [f], in_place=True))
    plan(x, x, mask, value)


@cache
def _fill_nest(d: DType, number: bool) -> Nest:
    """value where mask, else x: operands x, mask, value; number: the value is a Python number."""
    kind = d if not number else dtypes.float64 if d.kind == "f" else dtypes.int64
    x = operand(0, d)
    value = cast(scalar(2, kind), x.dtype) if number else operand(2, d)
    chosen = where(operand(1, dtypes.bool), value, x)
    return Nest(((chosen, d),), (Operand(d), Operand(dtypes.bool), Operand(kind, number=number)))


def scalar_of(name: str, value: Any, of: Form) -> Tensor:
    """A number as a 0-d tensor of a form's dtype."""
    return filled(empty(form(of.dtype, of.device, ())), checked_number(name, value, of.dtype))


def _spread_over(x: Tensor, mask: Any, *rest: Any, **options: Any) -> Tensor:
    if not isinstance(mask, Tensor) or mask.form.shape == x.form.shape:
        return x
    shape = broadcast("masked_fill", x.form.shape, mask.form.shape)
    return x if shape == tuple(x.form.shape) else expand(x, shape)


@remembered("MaskedFillBackward0", 3, gradients=1, kept=(1,))
def _filled_where(x: Form, mask: Form, kind: type) -> Plan:
    shape = broadcast("masked_fill", x.shape, mask.shape)
    made = preserved(x) if shape == x.shape else form(x.dtype, x.device, shape)
    return plan_pointwise(_fill_nest(x.dtype, True), [x, mask, None], shape, [made])


@_filled_where.first
def _(g: Tensor, x: Form, mask: Tensor) -> Tensor:
    return sum_to(masked_fill(g, mask, 0), x.shape)


@door(3)
def _fill_by_number(x: Any = None, mask: Any = None, value: Any = None) -> Any:
    """masked_fill of a floating tensor by a number, where nothing but forms has to be looked at; None for any other call."""
    usual = type(value) in (int, float) and type(x) in PLAIN and type(mask) in PLAIN
    if not usual or x.form.dtype.kind != "f" or mask.form.dtype is not dtypes.bool:
        return None
    return _filled_where.known(x, mask, value) if x.form.numel and mask.form.numel and x.capsule is not None else None


@writing("MaskedFillBackward0", before=_spread_over, short=_fill_by_number.find)
def masked_fill(x: Tensor, mask: Tensor, value: Any) -> tuple:
    """value (a number or a 0-d tensor) where mask (broadcast) is true, else the element.

    >>> torch.masked_fill(torch.tensor([1, 2]), torch.tensor([True, False]), 0)
    tensor([0, 2])
    """
    check_mask("masked_fill", mask)
    if isinstance(value, Tensor):
        if value.form.rank:
            raise RuntimeError(
                message(
                    "masked_fill",
                    f"only supports a 0-dimensional value tensor, but got tensor with {value.form.rank} dimension(s)",
                )
            )
        if value.form.dtype.kind == "c" != x.form.dtype.kind:
            raise RuntimeError(message("masked_fill", f"value of {value.dtype} cannot be put into {x.dtype}"))
        given = value
        value = converted(value, x.form.dtype)
    else:
        given, value = None, checked_number("masked_fill", value, x.form.dtype)
    shape = x.form.shape
    if mask.form.shape != shape and broadcast("masked_fill", shape, mask.form.shape) != shape:
        raise RuntimeError(
            message(
                "masked_fill", f"mask {tuple(mask.shape)} does not broadcast to the tensor's shape {tuple(x.shape)}"
            )
        )
    fill_where(x, mask, value)
    return (given,), (mask, None if given is None else given.form.dtype)


@masked_fill.backward
def _(node: Any, g: Tensor) -> tuple:
    mask, d = node.kept()
    mine = masked_fill(g, mask, 0)
    if len(node.edges) < 2 or not node.wants(1):
        return mine, None
    return mine, converted(sum_to(g * mask, ()), d)  # type: ignore[operator]


@writing("MaskedScatterBackward0", before=_spread_over)
def masked_scatter(x: Tensor, mask: Tensor, source: Tensor) -> tuple:
    """source's elements, in order, at the places where mask (broadcast) is true."""
    check_mask("masked_scatter", mask)
    if source.form.dtype is not x.form.dtype:
        raise RuntimeError(
            message(
                "masked_scatter", f"expected self and source to have same dtypes but got {x.dtype} and {source.dtype}"
            )
        )
    shape = tuple(x.form.shape)
    if broadcast("masked_scatter", shape, mask.form.shape) != shape:
        raise RuntimeError(
            message("masked_scatter", f"mask {tuple(mask.shape)} does not broadcast to the tensor's shape {shape}")
        )
    mask = _flat(mask, shape)
    if x.form.numel and x.capsule is not None:
        _scatter(x, mask, source)
    return (source,), (mask, source.form)


def _scatter(x: Tensor, mask: Tensor, source: Tensor) -> None:
    f = x.form
    if f.dtype.itemsize == 16:
        both = expand(reshape(mask, (*mask.form.shape, 1)), (*f.shape, 2))
        return _scatter(view_as_real(x), _flat(both, (*f.shape, 2)), view_as_real(source))
    given = source
    source = _flat(source, tuple(source.form.shape))
    target = x if f.contiguous and not overlaps(source, x) else copied_as(x, form(f.dtype, f.device, f.shape))
    size = f.dtype.itemsize

    def fail(status: int, *operands: Any) -> None:
        wanted = count_of(mask)
        raise RuntimeError(
            message(
                "masked_scatter",
                f"Number of elements of source < number of ones in mask: {given.form.numel} < {wanted}",
            )
        )

    plan = plan_of(
        kernel_of(kernels.expanded, TYPES[size]),
        [],
        [size, size, 1],
        [f.numel, source.form.numel],
        returns_first=True,
        fail=fail,
    )
    plan(target, source, mask)
    if target is not x:
        copy_into(x, target)
    return None


@masked_scatter.backward
def _(node: Any, g: Tensor) -> tuple:
    mask, of = node.kept()
    mine = masked_fill(g, mask, 0)
    if not node.wants(1):
        return mine, None
    zeros = zeros_of(form(g.form.dtype, of.device, (of.numel,)))
    picked = masked_select(g, mask)
    from_start = zeros if not picked.form.numel else leading(picked, of.numel)
    return mine, reshape(from_start, of.shape)


def leading(x: Tensor, n: int) -> Tensor:
    """A vector with zeros behind it, up to n elements."""
    from_zero = [x, zeros_of(form(x.form.dtype, x.form.device, (n - x.form.numel,)))]
    return cat(from_zero)
