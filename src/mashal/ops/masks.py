"""Masks: where elements are true, the elements there, and putting others in their place."""

from __future__ import annotations

from typing import Any

from mashal.core import dtypes
from mashal.core.dtypes import dtype as DType
from mashal.core.forms import Form, form
from mashal.core.shapes import broadcast
from mashal.core.tensor import Tensor, empty, plan_of
from mashal.errors import message
from mashal.lang.expression import operand, where
from mashal.lang.nest import Nest, Operand
from mashal.lower import masks as kernels
from mashal.lower.transpose import TYPES
from mashal.machine.launch import INTEGER
from mashal.ops.blocks import int_at
from mashal.ops.broadcast import sum_to
from mashal.ops.copying import check_tensor, checked_number, converted, copied_as, copy_into, filled, zeros_of
from mashal.ops.define import overlaps, recorded, spelled, write_out
from mashal.ops.joining import cat
from mashal.ops.parts import slice_op, unbind
from mashal.ops.run import Plan, kernel_of, plan_pointwise, remember
from mashal.ops.views import expand, reshape, transpose, view_as_complex, view_as_real
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
    return int_at(plan(mask, n), 0)


def true_places(mask: Tensor) -> Tensor:
    """(rank, count) int64: row d has the index in dimension d of every true element, in order."""
    mask = _bytes(mask)
    f = mask.form
    total = count_of(mask)
    made = form(dtypes.int64, f.device, (f.rank, total))
    if not made.numel:
        return empty(made)
    words = [f.numel, total, *f.shape]
    return plan_of(kernel_of(kernels.positions, f.rank), [(made.nbytes, made)], [1], words, work=f.numel)(mask)


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
    found = true_places(input)
    if as_tuple:
        return unbind(found, 0) if found.form.rank else ()
    result = transpose(found, 0, 1)
    if not input.form.rank:
        result = empty(form(dtypes.int64, input.form.device, (count_of(_bytes(input)), 0)))
    result.base = None
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


def _flat(x: Tensor, shape: tuple[int, ...], d: DType | None = None) -> Tensor:
    """x broadcast to a shape, contiguous, in a dtype."""
    to = form(d or x.form.dtype, x.form.device, shape)
    return x if x.form is to else copied_as(x, to)


def _select(x: Tensor, mask: Tensor) -> Tensor:
    """The elements of x where mask (both contiguous, of one shape) is true."""
    f = x.form
    if f.dtype.itemsize == 16:
        return view_as_complex(_select_rows(view_as_real(x), mask))
    made = form(f.dtype, f.device, (count_of(mask),))
    if not made.numel:
        return empty(made)
    address = kernel_of(kernels.compressed, TYPES[f.dtype.itemsize])
    return plan_of(address, [(made.nbytes, made)], [f.dtype.itemsize, 1], [f.numel], work=f.numel)(x, mask)


def _select_rows(x: Tensor, mask: Tensor) -> Tensor:
    both = _flat(expand(reshape(mask, (*mask.form.shape, 1)), tuple(x.form.shape)), tuple(x.form.shape))
    return reshape(_select(x, both), (-1, 2))


@recorded("MaskedSelectBackward0")
def _masked_select(x: Tensor, mask: Tensor) -> tuple[Tensor, tuple]:
    shape = broadcast("masked_select", x.form.shape, mask.form.shape)
    return _select(_flat(x, shape), _flat(mask, shape)), (x.form, mask)


@_masked_select.backward
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
def fill_where(x: Tensor, mask: Tensor, value: Tensor) -> None:
    """Puts a 0-d tensor's element into x where mask (which broadcasts to x) is true; records nothing."""
    if not x.form.numel or x.capsule is None:
        return
    key = "fill", x.form, mask.form
    plan = _plans.get(key)
    if plan is None:
        d = x.form.dtype
        nest = _fill_nest(d)
        plan = remember(
            _plans,
            key,
            plan_pointwise(
                nest, [mask.form, form(d, x.form.device, ()), x.form], x.form.shape, [x.form], in_place=True
            ),
        )
    plan(x, mask, value, x)


_nests: dict[DType, Nest] = {}


def _fill_nest(d: DType) -> Nest:
    found = _nests.get(d)
    if found is None:
        chosen = where(operand(0, dtypes.bool), operand(1, d), operand(2, d))
        found = _nests[d] = Nest(((chosen, d),), (Operand(dtypes.bool), Operand(d), Operand(d)))
    return found


def scalar_of(name: str, value: Any, of: Form) -> Tensor:
    """A number as a 0-d tensor of a form's dtype."""
    return filled(empty(form(of.dtype, of.device, ())), checked_number(name, value, of.dtype))


def _spread_over(x: Tensor, mask: Any, *rest: Any, **options: Any) -> Tensor:
    if not isinstance(mask, Tensor) or mask.form.shape == x.form.shape:
        return x
    shape = broadcast("masked_fill", x.form.shape, mask.form.shape)
    return x if shape == tuple(x.form.shape) else expand(x, shape)


@writing("MaskedFillBackward0", before=_spread_over)
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
        given, value = None, scalar_of("masked_fill", value, x.form)
    if broadcast("masked_fill", x.form.shape, mask.form.shape) != tuple(x.form.shape):
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
