"""What is read off sorted rows: median, kthvalue, quantile, mode; and which elements are distinct."""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import int64
from mashal.core.forms import Form, form
from mashal.core.shapes import wrap_dim
from mashal.core.tensor import Tensor, view_plan
from mashal.errors import message
from mashal.lang.expression import Expression, is_nan, operand, where
from mashal.lang.nest import Nest, Operand
from mashal.ops import return_types
from mashal.ops.arithmetic import add, mul, sub
from mashal.ops.creation import tensor
from mashal.ops.define import boolean, check_apart, recorded, row_major, spelled, write_out, write_outs
from mashal.ops.moving import collect
from mashal.ops.parts import narrow
from mashal.ops.picking import place_along
from mashal.ops.reducing import formula, in_dtype, with_ones
from mashal.ops.reductions import sum_
from mashal.ops.remembered import remembered
from mashal.ops.run import Plan, plan_pointwise
from mashal.ops.sorting import sort, sorting_plan
from mashal.ops.views import reshape


# ---------------------------------------------------------------- one element of each sorted row
def _chosen(name: str, node: str, places: Any) -> Any:
    """A recorded operation that takes one element of each row: places(x, dim, k) -> their int64 places, size 1 in dim."""

    @recorded(node)
    def choose(x: Tensor, dim: int, keepdim: bool, k: Any = None) -> tuple[tuple, tuple]:
        at = places(x, dim, k)
        values = collect(x, at, dim) if x.form.rank else x.clone()  # type: ignore[attr-defined]
        shape = x.form.shape
        if not keepdim and x.form.rank:
            less = tuple(n for d, n in enumerate(at.form.shape) if d != dim)
            return (with_ones(values, less).clone(), with_ones(at, less).clone()), (at, shape, dim)  # type: ignore[attr-defined]
        return (values, at), (at, shape, dim)

    @choose.backward
    def _(node: Any, g: Tensor, _: Any = None) -> tuple:
        at, shape, dim = node.kept()
        return (place_along(with_ones(g, at.form.shape), at, shape, dim),)

    return choose


def _kth(x: Tensor, dim: int, k: int) -> Tensor:
    places = sort(x, dim)[1]
    return narrow(places, dim, k, 1) if x.form.rank else places


@formula(boolean)
def _nan(x: Expression) -> Expression:
    return is_nan(x)


def _count_numbers(x: Tensor, dim: int) -> Tensor:
    return sub(x.form.shape[dim] if x.form.rank else 1, sum_(_nan(x), dim, True))


def _middle(x: Tensor, dim: int, ignore_nan: bool) -> Tensor:
    """The place of the lower median; of a nan, if there is one that counts."""
    _, places = sort(x, dim)
    if not x.form.rank:
        return places
    n = x.form.shape[dim]
    if x.form.dtype.kind != "f":
        return narrow(places, dim, (n - 1) // 2, 1)
    numbers = _count_numbers(x, dim)
    if ignore_nan:
        wanted = in_dtype((numbers - 1).clamp_min(0) // 2, int64)  # type: ignore[operator]
    else:
        wanted = _if_any_nan(numbers, n, (n - 1) // 2)
    return collect(places, wanted, dim)


@formula()
def _if_any_nan(numbers: Expression, n: Expression, middle: Expression) -> Expression:
    return where(numbers == n, middle, numbers)


_kthvalue = _chosen("kthvalue", "KthvalueBackward0", _kth)
_median = _chosen("median", "MedianBackward1", lambda x, dim, k: _middle(x, dim, False))
_nanmedian = _chosen("nanmedian", "NanmedianBackward1", lambda x, dim, k: _middle(x, dim, True))


@remembered("MedianBackward0", kept=(0,), keeps_result=True)
def _median_of_all(x: Form) -> Plan:
    """The middle one of all sorted elements; the last one where that is nan."""
    n, one = x.numel, form(x.dtype, x.device, ())
    row = form(x.dtype, x.device, (n,))
    middle, last = (view_plan(one, place) for place in ((n - 1) // 2, n - 1))
    y, greatest = operand(0, x.dtype), operand(1, x.dtype)
    chosen = where(is_nan(greatest), greatest, y) if x.dtype.kind == "f" else y
    pick = plan_pointwise(Nest(((chosen, x.dtype),), (Operand(x.dtype),) * 2), [one, one], (), [one])
    sort_row = sorting_plan(row, 0, False, None)

    def plan(x: Tensor) -> Tensor:
        values, _ = sort_row(x if x.form.contiguous else row_major(x))
        return pick(middle(values), last(values))

    return plan


@_median_of_all.backward
def _(node: Any, g: Tensor) -> tuple:
    x, y = node.kept()
    equal = (x == y) | ((x != x) & (y != y))  # all elements that are the median have an equal share
    return (equal * (g / equal.sum()),)


_nanmedian_of_all = _chosen("nanmedian", "NanmedianBackward0", lambda x, dim, k: _middle(x, dim, True))


def _named(name: str, pair: Any, out: Any) -> Any:
    kind = getattr(return_types, name)
    return kind(*pair) if out is None else kind(*write_outs(name, out, pair))


def _size_along(name: str, x: Tensor, dim: int) -> tuple[int, int]:
    """(dim from the front, its size); IndexError for size 0."""
    d = wrap_dim(name, dim, x.form.rank)
    size = x.form.shape[d] if x.form.rank else 1
    if size == 0:
        raise IndexError(
            message(name, f"Expected reduction dim {dim} to have non-zero size", f"the input is {tuple(x.form.shape)}")
        )
    return d, size


@spelled()
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """(values, indices): the k-th smallest element along dim, k from 1.

    >>> torch.kthvalue(torch.tensor([3.0, 1.0, 2.0]), 2).values
    tensor(2.)
    """
    d, size = _size_along("kthvalue", input, dim)
    if not 1 <= k <= size:
        raise RuntimeError(
            message("kthvalue", f"selected number k out of range for dimension {d}: k is {k}", f"the size is {size}")
        )
    if out is not None:
        check_apart("kthvalue", out, (input,))
    return _named("kthvalue", _kthvalue(input, d, keepdim, k - 1), out)


def _median_any(name: str, along: Any, of_all: Any, x: Tensor, dim: int | None, keepdim: bool, out: Any) -> Any:
    if x.form.dtype.kind == "c":
        raise NotImplementedError(
            message(name, f"not implemented for complex numbers ({x.form.dtype})", "they have no order")
        )
    if dim is None:
        empty = not x.form.numel
        y = tensor(float("nan"), dtype=x.form.dtype) if empty else of_all(x)
        return y if out is None else write_out(name, out, y)
    d, _ = _size_along(name, x, dim)
    return _named(name, along(x, d, keepdim), out)


@spelled()
def median(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """The lower of the middle elements; along dim (values, indices). nan if there is one.

    >>> torch.median(torch.tensor([3.0, 1.0, 2.0, 4.0]))
    tensor(2.)
    """
    return _median_any("median", _median, _median_of_all.find, input, dim, keepdim, out)


@spelled()
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """The median of the elements that are not nan."""
    of_all = lambda x: _nanmedian_of_all(reshape(x, (-1,)), 0, False)[0]
    return _median_any("nanmedian", _nanmedian, of_all, input, dim, keepdim, out)


# ---------------------------------------------------------------- mode
def _most_frequent(x: Tensor, dim: int, _: Any) -> Tensor:
    """The place of the smallest of the most frequent values (of its last occurrence)."""
    values, places = sort(x, dim)
    if not x.form.rank:
        return places
    n = x.form.shape[dim]
    if n == 1:
        return places
    same = values.narrow(dim, 1, n - 1) == values.narrow(dim, 0, n - 1)  # type: ignore[attr-defined]
    order = tensor(range(1, n)).reshape([-1 if d == dim else 1 for d in range(x.form.rank)])  # type: ignore[attr-defined]
    begins = (order * ~same).cummax(dim)[0]
    lengths = order - begins  # of the run so far, minus 1; at the first place 0
    best = lengths.argmax(dim, keepdim=True)
    longest = lengths.gather(dim, best) if hasattr(lengths, "gather") else collect(lengths, best, dim)
    return collect(places, (best + 1) * (longest > 0), dim)


_mode = _chosen("mode", "ModeBackward0", _most_frequent)


@spelled()
def mode(input: Tensor, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """(values, indices): the most frequent element along dim, the smallest of several."""
    d, _ = _size_along("mode", input, dim)
    return _named("mode", _mode(input, d, keepdim), out)


# ---------------------------------------------------------------- quantiles
_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(name: str, x: Tensor, q: Any, dim: int | None, keepdim: bool, way: str, ignore_nan: bool) -> Tensor:
    if x.form.dtype.name not in ("float32", "float64"):
        raise RuntimeError(message(name, "input tensor must be either float or double dtype", f"it is {x.form.dtype}"))
    if way not in _INTERPOLATIONS:
        raise RuntimeError(
            message(name, f"interpolation is {way!r}", f"it must be one of {', '.join(_INTERPOLATIONS)}")
        )
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise RuntimeError(message(name, f"q must be in the range [0, 1] but got {q}"))
        q = tensor(q, dtype=x.form.dtype)
    if q.form.rank > 1 or q.form.dtype is not x.form.dtype:
        raise RuntimeError(
            message(
                name, "q must be a scalar or 1D tensor of the input's dtype", f"it is {tuple(q.shape)} of {q.dtype}"
            )
        )
    if not x.form.numel:
        raise RuntimeError(message(name, "input tensor must be non-empty"))
    rank = x.form.rank
    flat = reshape(x, (-1,)) if dim is None or not rank else x.transpose(wrap_dim(name, dim, rank), -1)  # type: ignore[attr-defined]
    ordered = sort(flat, -1)[0]
    n = ordered.form.shape[-1]
    numbers = sub(n, sum_(_nan(flat.detach()), -1, True))  # type: ignore[attr-defined]
    last = in_dtype((numbers - 1).clamp_min(0), x.form.dtype) if ignore_nan else n - 1  # type: ignore[operator]
    ranks = mul(reshape(q, (-1,)), last)
    if not ignore_nan:
        ranks = add(mul(ranks, numbers == n), mul(numbers != n, float(n - 1)))
    elif ranks.form.shape[:-1] != ordered.form.shape[:-1]:
        ranks = ranks.expand(*ordered.form.shape[:-1], ranks.form.shape[-1])
    y = _interpolated(ordered, ranks, way)  # (*, q)
    y = y.movedim(-1, 0)  # type: ignore[attr-defined]
    if dim is None or not rank:
        y = reshape(y, (y.form.shape[0], *((1,) * rank if keepdim else ())))
    else:
        d = wrap_dim(name, dim, rank)
        y = y.unsqueeze(-1).transpose(d + 1, -1)
        y = y if keepdim else y.squeeze(d + 1)
    return y if q.form.rank else y.squeeze(0)


def _interpolated(ordered: Tensor, ranks: Tensor, way: str) -> Tensor:
    if way == "nearest":
        return collect(ordered, in_dtype(ranks.round(), int64), ordered.form.rank - 1)  # type: ignore[attr-defined]
    below = collect(ordered, in_dtype(ranks.floor(), int64), ordered.form.rank - 1)  # type: ignore[attr-defined]
    if way == "lower":
        return below
    above = collect(ordered, in_dtype(ranks.ceil(), int64), ordered.form.rank - 1)  # type: ignore[attr-defined]
    if way == "higher":
        return above
    weight = 0.5 if way == "midpoint" else ranks - ranks.floor()  # type: ignore[attr-defined]
    return add(below, mul(sub(above, below), weight))


@spelled()
def quantile(input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear",
             out: Tensor | None = None) -> Tensor:  # fmt: skip
    """The q-quantiles along dim (of all elements if None), q from 0 to 1; several q's make a leading dimension.

    >>> torch.quantile(torch.tensor([1.0, 2.0, 3.0, 4.0]), 0.5)
    tensor(2.5000)
    """
    y = _quantile("quantile", input, q, dim, keepdim, interpolation, False)
    return y if out is None else write_out("quantile", out, y)


@spelled()
def nanquantile(input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear",
                out: Tensor | None = None) -> Tensor:  # fmt: skip
    """The quantiles of the elements that are not nan."""
    y = _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)
    return y if out is None else write_out("nanquantile", out, y)
