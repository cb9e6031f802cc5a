"""Reductions: what joins the elements of a row, or of the whole tensor, into one value.

Everywhere dim is an int, several, or None for all dimensions; keepdim leaves reduced dimensions with size 1; dtype is
what the elements are converted to first. Integers and bools are summed and multiplied as int64. nan propagates.
"""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import bool as _BOOL
from mashal.core.dtypes import dtype
from mashal.core.dtypes import int64 as _INT64
from mashal.core.tensor import Tensor
from mashal.core.tensor import alias as _plain
from mashal.errors import message
from mashal.lang.expression import (
    Expression,
    cast,
    constant,
    is_nan,
    max_over,
    min_over,
    over,
    row_length,
    sqrt,
    sum_over,
    where,
)  # fmt: skip
from mashal.ops import return_types
from mashal.ops.arithmetic import mul
from mashal.ops.define import real_part, recorded, spelled, write_out, write_outs
from mashal.ops.picking import place_along
from mashal.ops.reducing import Rows, formula, index, reduction, rows_along, truth, whole, with_ones
from mashal.ops.run import scalar_name
from mashal.ops.selection import maximum, minimum


# ---------------------------------------------------------------- refusals
def _only_floating(name: str, d: dtype) -> None:
    if d.kind not in "fc":
        raise RuntimeError(
            f"{name}(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
            f"Got: {scalar_name(d)}; convert it, or say dtype="
        )


def only_floating_kernel(name: str, d: dtype) -> None:
    """NotImplementedError for integers and bools, for operations that have no result dtype for them."""
    if d.kind != "f":
        raise NotImplementedError(
            message(name, f"not implemented for {scalar_name(d)} ({d})", "convert it to a floating dtype")
        )


def _only_real(name: str, d: dtype) -> None:
    if d.kind == "c":
        raise NotImplementedError(message(name, f"not implemented for complex numbers ({d})", "they have no order"))


def _only_ordered(name: str, d: dtype) -> None:
    if d.kind == "b":
        raise RuntimeError(message(name, "does not support bool input", "convert it to an integer dtype"))
    _not_complex(name, d)


def _not_complex(name: str, d: dtype) -> None:
    if d.kind == "c":
        raise RuntimeError(message(name, f"does not support complex inputs ({d})"))


# ---------------------------------------------------------------- sums
@reduction(whole, node=("SumBackward0", "SumBackward1"))
def sum_(x: Expression) -> Expression:
    """The sum of all elements, or of those along dim.

    >>> torch.sum(torch.tensor([[1, 2], [3, 4]]), dim=0)
    tensor([4, 6])
    """
    return sum_over(x)


@sum_.backward
def _(g: Tensor) -> Tensor:
    return g


@formula()
def _quotient(x: Expression, n: Expression) -> Expression:
    return x / n


@reduction(node=("MeanBackward0", "MeanBackward1"), refuse=_only_floating)
def mean(x: Expression) -> Expression:
    """The mean of all elements, or of those along dim. Floating or complex; integers need dtype.

    >>> torch.mean(torch.tensor([1.0, 2.0, 6.0]))
    tensor(3.)
    """
    return sum_over(x) / row_length(x.dtype)


@mean.backward
def _(g: Tensor, n: int) -> Tensor:
    return _quotient(g, n)


def _without_nan(x: Expression) -> Expression:
    return where(is_nan(x), constant(0, x.dtype), x)


@reduction(whole, refuse=_not_complex)
def nansum(x: Expression) -> Expression:
    """The sum of the elements that are not nan."""
    return sum_over(_without_nan(x))


@formula()
def _where_not_nan(g: Expression, x: Expression) -> Expression:
    return where(is_nan(x), constant(0, g.dtype), g)


@nansum.backward
def _(g: Tensor, x: Tensor) -> Tensor:
    return _where_not_nan(g, x)


@reduction(node=("DivBackward0",), refuse=_only_floating)
def nanmean(x: Expression) -> Expression:
    """The mean of the elements that are not nan."""
    return sum_over(_without_nan(x)) / sum_over(where(is_nan(x), constant(0, x.dtype), constant(1, x.dtype)))


@reduction(lambda d: (d, whole(d)[1]), where=())
def _count_of_numbers(x: Expression) -> Expression:
    return sum_over(where(is_nan(x), constant(0, x.dtype), constant(1, x.dtype)))


@nanmean.backward
def _(g: Tensor, x: Tensor, rows: Rows) -> Tensor:
    return _where_not_nan(_quotient(g, _count_of_numbers(x, rows.dims, True)), x)


@reduction(lambda d: (d, whole(_BOOL)[1]), where=("torch", "method"))
def count_nonzero(x: Expression) -> Expression:
    """How many elements are not 0; int64."""
    return sum_over(cast(x != 0, whole(_BOOL)[1]))


# ---------------------------------------------------------------- products, truth
@reduction(whole, node=("ProdBackward0", "ProdBackward1"))
def prod_(x: Expression) -> Expression:
    """The product of all elements, or of those along dim.

    >>> torch.prod(torch.tensor([1.0, 2.0, 3.0]))
    tensor(6.)
    """
    return over("prod", x)


@reduction(where=())
def _zeros_in(x: Expression) -> Expression:
    return sum_over(where(x == 0, constant(1, x.dtype), constant(0, x.dtype)))


@reduction(where=())
def _product_of_nonzeros(x: Expression) -> Expression:
    return over("prod", where(x == 0, constant(1, x.dtype), x))


@_product_of_nonzeros.backward
def _(g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return _product_of_others(g, x, y, mul(y, 0))


@formula()
def _product_of_others(g: Expression, x: Expression, p: Expression, zeros: Expression) -> Expression:
    """g times the product of the row's other elements; p: that of its nonzeros; zeros: how many zeros it has."""
    conjugate = (lambda e: Expression("conj", (e,), e.dtype)) if p.dtype.is_complex else (lambda e: e)
    none = constant(0, g.dtype)
    elsewhere = where(zeros == 0, g * conjugate(p / where(x == 0, constant(1, x.dtype), x)), none)
    return where(x == 0, where(zeros == 1, g * conjugate(p), none), elsewhere)


@prod_.backward
def _(g: Tensor, x: Tensor, rows: Rows) -> Tensor:
    return _product_of_others(g, x, _product_of_nonzeros(x, rows.dims, True), _zeros_in(x, rows.dims, True))


@reduction(truth)
def any_(x: Expression) -> Expression:
    """Whether any element is not 0 (nan is not).

    >>> torch.any(torch.tensor([0.0, 2.0]))
    tensor(True)
    """
    return over("any", x)


@reduction(truth)
def all_(x: Expression) -> Expression:
    """Whether all elements are not 0; True for none."""
    return over("all", x)


# ---------------------------------------------------------------- extremes
@reduction(identity=False, refuse=_only_real)
def amax(x: Expression) -> Expression:
    """The largest element, or the largest ones along dim; their gradient is shared by equals.

    >>> torch.amax(torch.tensor([[1.0, 2.0], [4.0, 3.0]]), 1)
    tensor([2., 4.])
    """
    return max_over(x)


@reduction(identity=False, refuse=_only_real)
def amin(x: Expression) -> Expression:
    """The smallest element, or the smallest ones along dim; their gradient is shared by equals."""
    return min_over(x)


@formula()
def _equals(x: Expression, y: Expression) -> Expression:
    return where(x == y, constant(1, x.dtype), constant(0, x.dtype))


@formula()
def _same(x: Expression, y: Expression) -> Expression:
    return where((x == y) | (is_nan(x) & is_nan(y)), constant(1, x.dtype), constant(0, x.dtype))


@formula()
def _share(g: Expression, mask: Expression, count: Expression) -> Expression:
    return g * mask / count


def _shared_by_equals(g: Tensor, x: Tensor, y: Tensor, rows: Rows) -> Tensor:
    mask = _equals(_plain(x), _plain(y))
    return _share(g, mask, sum_(mask, rows.dims, True))


def _shared_by_same(g: Tensor, x: Tensor, y: Tensor, rows: Rows) -> Tensor:
    mask = _same(_plain(x), _plain(y))
    return _share(g, mask, sum_(mask, rows.dims, True))


amax.backward(_shared_by_equals)
amin.backward(_shared_by_equals)


@reduction(index, identity=False, refuse=_only_ordered)
def argmax(x: Expression) -> Expression:
    """The index of the largest element (of the first of equals), in the flattened tensor if dim is None; int64.

    >>> torch.argmax(torch.tensor([1.0, 3.0, 3.0]))
    tensor(1)
    """
    return over("argmax", x)


@reduction(index, identity=False, refuse=_only_ordered)
def argmin(x: Expression) -> Expression:
    """The index of the smallest element (of the first of equals), in the flattened tensor if dim is None; int64."""
    return over("argmin", x)


def _largest_and_where(x: Expression) -> tuple[Expression, Expression]:
    return max_over(x), over("argmax", x)


def _smallest_and_where(x: Expression) -> tuple[Expression, Expression]:
    return min_over(x), over("argmin", x)


def _with_place(d: dtype) -> tuple[dtype, tuple[dtype, dtype]]:
    return d, (d, _INT64)


_extreme = {
    "max": reduction(_with_place, name="max", where=(), identity=False, refuse=_not_complex)(_largest_and_where),
    "min": reduction(_with_place, name="min", where=(), identity=False, refuse=_not_complex)(_smallest_and_where),
}


def _recorded_extreme(name: str, node: str) -> Any:
    @recorded(node)
    def along(x: Tensor, dim: int, keepdim: bool) -> tuple[tuple, tuple]:
        values, places = _extreme[name](x, dim, keepdim)
        return (values, places), (places, x.form.shape, dim % (x.form.rank or 1))

    @along.backward
    def _(node: Any, g: Tensor, _: Any = None) -> tuple:
        places, shape, dim = node.kept()
        kept = rows_along(name, shape, dim).kept
        return (place_along(with_ones(g, kept), with_ones(places, kept), shape, dim),)

    return along


_along = {"max": _recorded_extreme("max", "MaxBackward0"), "min": _recorded_extreme("min", "MinBackward0")}
_of_all = {
    "max": reduction(name="max", node=("MaxBackward1",), where=(), identity=False, refuse=_only_real)(
        lambda x: max_over(x)
    ),
    "min": reduction(name="min", node=("MinBackward1",), where=(), identity=False, refuse=_only_real)(
        lambda x: min_over(x)
    ),
}
_of_all["max"].backward(_shared_by_same)
_of_all["min"].backward(_shared_by_same)
_of_two = {"max": maximum, "min": minimum}


def _max_or_min(name: str, input: Tensor, dim: Any, keepdim: bool, out: Any) -> Any:
    if dim is None:
        return _of_all[name](input, out=out)
    if isinstance(dim, Tensor):
        return _of_two[name](input, dim, out=out)
    values, places = _along[name](input, dim, keepdim)
    if out is not None:
        return getattr(return_types, name)(write_out(name, out[0], values), write_out(name, out[1], places))
    return getattr(return_types, name)(values, places)


@spelled(name="max")
def max_(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None, axis: Any = None, out: Any = None
) -> Any:
    """max(x): the largest element. max(x, dim): (values, indices) along dim. max(x, y): the larger ones of two tensors.

    The index is that of the first of equals; nan counts as the largest.

    >>> torch.max(torch.tensor([[1.0, 5.0], [7.0, 2.0]]), 1).indices
    tensor([1, 0])
    """
    return _max_or_min("max", input, other if other is not None else axis if dim is None else dim, keepdim, out)


@spelled(name="min")
def min_(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None, axis: Any = None, out: Any = None
) -> Any:
    """min(x): the smallest element. min(x, dim): (values, indices) along dim. min(x, y): the smaller ones of two tensors."""
    return _max_or_min("min", input, other if other is not None else axis if dim is None else dim, keepdim, out)


@spelled()
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False, out: Any = None) -> Any:
    """The smallest and the largest element, of all or along dim."""
    low, high = amin(input, dim, keepdim), amax(input, dim, keepdim)
    if out is not None:
        for given in out:
            if given.form.dtype is not input.form.dtype:
                raise RuntimeError(
                    message(
                        "aminmax", f"expected out tensors to have dtype {input.dtype}, but got {given.dtype} instead"
                    )
                )
        low, high = write_outs("aminmax", out, (low, high))
    return return_types.aminmax(low, high)


# ---------------------------------------------------------------- variance
def _squares(x: Expression) -> Expression:
    """|x - mean|² summed over the row."""
    away = x - sum_over(x) / row_length(x.dtype)
    if x.dtype.is_complex:
        re, im = (Expression(part, (away,), x.dtype.to_real()) for part in ("real", "imag"))
        return sum_over(re * re + im * im)
    return sum_over(away * away)


def _variance(x: Expression, correction: float) -> Expression:
    d = x.dtype.to_real()
    freedom = row_length(d) - correction if correction else row_length(d)
    return _squares(x) / where(freedom > 0, freedom, constant(0, d))


_std_and_var: dict[str, Any] = dict(where=(), refuse=_only_floating)


@reduction(real_part, name="var", **_std_and_var)
def _var(x: Expression, *, correction: float = 1) -> Expression:
    return _variance(x, correction)


@reduction(real_part, name="std", **_std_and_var)
def _std(x: Expression, *, correction: float = 1) -> Expression:
    return sqrt(_variance(x, correction))


@formula()
def _away(g: Expression, x: Expression, m: Expression, n: Expression) -> Expression:
    return (x - m) * (g * 2 / n)


@formula()
def _half_over(g: Expression, y: Expression) -> Expression:
    return where(y == 0, constant(0, g.dtype), g / (y * 2))


@_var.backward
def _variance_backward(g: Tensor, x: Tensor, n: int, rows: Rows, correction: float) -> Tensor:
    return _away(g, x, mean(x, rows.dims, True), float(n - correction) if n > correction else 0.0)


@_std.backward
def _(g: Tensor, x: Tensor, y: Tensor, n: int, rows: Rows, correction: float) -> Tensor:
    return _variance_backward(_half_over(g, y), x, n, rows, correction)


def _spread(
    input: Any, dim: Any, unbiased: Any, correction: Any, keepdim: bool, axis: Any, keepdims: Any
) -> tuple[Any, float, bool]:
    """(dim, correction, keepdim) of the several spellings: var(x, unbiased), var(x, dim, unbiased, keepdim), correction=."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None:
        correction = 1 if unbiased else 0
    return (
        dim if axis is None else axis,
        1 if correction is None else correction,
        keepdim if keepdims is None else keepdims,
    )


@spelled()
def var(input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None,
        axis: Any = None, keepdims: bool | None = None, out: Any = None) -> Tensor:  # fmt: skip
    """The variance: the mean square distance from the mean, divided by n - correction (1 unless said; unbiased=False: 0).

    >>> torch.var(torch.tensor([1.0, 2.0, 3.0]))
    tensor(1.)
    """
    dim, correction, keepdim = _spread(input, dim, unbiased, correction, keepdim, axis, keepdims)
    return _var(input, dim, keepdim, out=out, correction=correction)


@spelled()
def std(input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None,
        axis: Any = None, keepdims: bool | None = None, out: Any = None) -> Tensor:  # fmt: skip
    """The standard deviation, the square root of `var`.

    >>> torch.std(torch.tensor([1.0, 2.0, 3.0]))
    tensor(1.)
    """
    dim, correction, keepdim = _spread(input, dim, unbiased, correction, keepdim, axis, keepdims)
    return _std(input, dim, keepdim, out=out, correction=correction)


@spelled(where=("torch",))
def var_mean(input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None,
             axis: Any = None, keepdims: bool | None = None) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(variance, mean)."""
    dim, correction, keepdim = _spread(input, dim, unbiased, correction, keepdim, axis, keepdims)
    return _var(input, dim, keepdim, correction=correction), mean(input, dim, keepdim)


@spelled(where=("torch",))
def std_mean(input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None,
             axis: Any = None, keepdims: bool | None = None) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(standard deviation, mean)."""
    dim, correction, keepdim = _spread(input, dim, unbiased, correction, keepdim, axis, keepdims)
    return _std(input, dim, keepdim, correction=correction), mean(input, dim, keepdim)
