"""Running sums, products and extremes along a dimension, and differences of neighbours."""

from __future__ import annotations

from math import prod
from typing import Any

from mashal.core.dtypes import dtype as DType
from mashal.core.dtypes import int64
from mashal.core.forms import Form, form
from mashal.core.shapes import wrap_dim
from mashal.core.tensor import Tensor, plan_of
from mashal.errors import message
from mashal.lang.expression import Expression, exp
from mashal.lower.scan import recurrence, scan
from mashal.ops import return_types
from mashal.ops.arithmetic import mul, sub
from mashal.ops.creation import ones_like, zeros_like
from mashal.ops.define import recorded, row_major, spelled, write_out
from mashal.ops.joining import cat
from mashal.ops.logic import logical_xor
from mashal.ops.moving import spread
from mashal.ops.parts import narrow
from mashal.ops.promotion import floating as as_floating
from mashal.ops.reducing import formula, in_dtype
from mashal.ops.reductions import sum_
from mashal.ops.remembered import door, remembered
from mashal.ops.run import Plan, kernel_of, remember

_plans: dict[Any, Any] = {}


# ---------------------------------------------------------------- kernels
def _run(kind: str, reverse: bool, dim: int, *operands: Tensor) -> Any:
    """The scan of contiguous operands along dim."""
    operands = tuple([x if x.form.contiguous else row_major(x) for x in operands])
    key = kind, reverse, dim, operands[0].form
    plan = _plans.get(key) or remember(_plans, key, _plan(kind, reverse, dim, operands[0].form))
    return plan(*operands)


def _plan(kind: str, reverse: bool, dim: int, of: Form) -> Any:
    shape = tuple(of.shape) or (1,)
    made = [form(of.dtype, of.device, of.shape)]
    if kind in ("max", "min"):
        made.append(form(int64, of.device, of.shape))
    kinds = [of.dtype.itemsize] * (2 if kind == "recurrence" else 1)
    results = [(f.nbytes, f) for f in made]
    if not of.numel:
        return plan_of(0, results, kinds)
    address = (
        kernel_of(recurrence, of.dtype, reverse) if kind == "recurrence" else kernel_of(scan, of.dtype, kind, reverse)
    )
    constants = [prod(shape[:dim]), shape[dim], prod(shape[dim + 1 :])]
    return plan_of(address, results, kinds, constants, work=2 * of.numel)


# ---------------------------------------------------------------- sums and products
@remembered("CumsumBackward0")
def _cumsum(x: Form, dim: int, reverse: bool) -> Plan:
    return _plan("sum", reverse, dim, x) if x.contiguous else lambda x: _run("sum", reverse, dim, x)


_cumsum.transposed_by(_cumsum, lambda dim, reverse: (dim, not reverse))


@recorded("CumprodBackward0")
def _cumprod(x: Tensor, dim: int) -> tuple[Tensor, tuple]:
    y = _run("prod", False, dim, x)
    return y, (x, y, dim)


@_cumprod.backward
def _(node: Any, g: Tensor) -> tuple:
    x, y, dim = node.kept()
    return (mul(_conjugate(_before(y, dim, 1)), _recur(g, _conjugate(x), dim, True)),)


def _conjugate(x: Tensor) -> Tensor:
    return _conj(x) if x.form.dtype.is_complex else x


@formula()
def _conj(x: Expression) -> Expression:
    return Expression("conj", (x,), x.dtype)


@recorded("RecurrenceBackward0", tensors=2)
def _recur(x: Tensor, factors: Tensor, dim: int, reverse: bool) -> tuple[Tensor, tuple]:
    """s[k] = x[k] + factors[k]·s[k - 1]; in reverse, s[k] = x[k] + factors[k + 1]·s[k + 1]."""
    s = _run("recurrence", reverse, dim, x, factors)
    return s, (factors, s, dim, reverse)


@_recur.backward
def _(node: Any, g: Tensor) -> tuple:
    factors, s, dim, reverse = node.kept()
    other = _recur(g, _conjugate(factors), dim, not reverse)
    return other, mul(_conjugate(_before(other if reverse else s, dim, 0)), s if reverse else other)


def _before(y: Tensor, dim: int, first: int) -> Tensor:
    """y moved on by one place along dim, beginning with `first`."""
    if not y.form.rank:
        return ones_like(y) if first else zeros_like(y)
    if not y.form.numel:
        return y
    begin = narrow(y, dim, 0, 1)
    begin = ones_like(begin) if first else zeros_like(begin)
    return cat([begin, narrow(y, dim, 0, y.form.shape[dim] - 1)], dim)


@formula()
def _exp_difference(x: Expression, y: Expression) -> Expression:
    return exp(x - y)


@recorded("LogcumsumexpBackward0")
def _logcumsumexp(x: Tensor, dim: int) -> tuple[Tensor, tuple]:
    y = _run("logsumexp", False, dim, x)
    return y, (x, y, dim)


@_logcumsumexp.backward
def _(node: Any, g: Tensor) -> tuple:
    x, y, dim = node.kept()
    before = (
        cat([narrow(y, dim, 0, 1), narrow(y, dim, 0, y.form.shape[dim] - 1)], dim)
        if y.form.numel and y.form.rank
        else y
    )
    fading = _exp_difference(before, y)
    return (mul(_conjugate(_exp_difference(x, y)), _recur(g, _conjugate(fading), dim, True)),)


def _summed(x: Tensor, dtype: DType | None) -> Tensor:
    """x as sums and products take it: of a dtype, or int64 for integers and bools."""
    return in_dtype(x, dtype or (x.form.dtype if x.form.dtype.kind in "fc" else int64))


def _given(y: Tensor, name: str, out: Tensor | None) -> Tensor:
    return y if out is None else write_out(name, out, y)


def cumsum_(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """cumsum, written into the tensor itself."""
    return input.copy_(cumsum(input, dim, dtype=dtype))  # type: ignore[attr-defined]


def cumprod_(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """cumprod, written into the tensor itself."""
    return input.copy_(cumprod(input, dim, dtype=dtype))  # type: ignore[attr-defined]


@spelled(in_place=cumsum_)
def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None, out: Tensor | None = None) -> Tensor:
    """The sum of each element and all before it along dim.

    >>> torch.cumsum(torch.tensor([1, 2, 3]), 0)
    tensor([1, 3, 6])
    """
    return _given(_cumsum_of.find(input, dim, dtype), "cumsum", out)


@door(1)
def _cumsum_of(input: Tensor, dim: int, dtype: DType | None) -> Any:
    x, dim = _summed(input, dtype), wrap_dim("cumsum", dim, input.form.rank)
    return _cumsum.known(x, dim, False) if x is input else _cumsum(x, dim, False)


@spelled(in_place=cumprod_)
def cumprod(input: Tensor, dim: int, *, dtype: DType | None = None, out: Tensor | None = None) -> Tensor:
    """The product of each element and all before it along dim.

    >>> torch.cumprod(torch.tensor([1, 2, 3]), 0)
    tensor([1, 2, 6])
    """
    return _given(_cumprod(_summed(input, dtype), wrap_dim("cumprod", dim, input.form.rank)), "cumprod", out)


@spelled()
def logcumsumexp(input: Tensor, dim: int, *, out: Tensor | None = None) -> Tensor:
    """log Σ exp of each element and all before it along dim. Floating."""
    if input.form.dtype.kind not in "fc":
        wrong = f"not implemented for {input.form.dtype}"
        raise NotImplementedError(message("logcumsumexp", wrong, "convert it to a floating dtype"))
    return _given(_logcumsumexp(input, wrap_dim("logcumsumexp", dim, input.form.rank)), "logcumsumexp", out)


# ---------------------------------------------------------------- extremes
def _running_extreme(kind: str, node: str) -> Any:
    @recorded(node)
    def running(x: Tensor, dim: int) -> tuple[tuple, tuple]:
        values, places = _run(kind, False, dim, x)
        return (values, places), (places, x.form.shape, dim)

    @running.backward
    def _(node: Any, g: Tensor, _: Any = None) -> tuple:
        places, shape, dim = node.kept()
        return (spread(g, places, shape, dim),)

    return running


_cummax, _cummin = _running_extreme("max", "CummaxBackward0"), _running_extreme("min", "CumminBackward0")


def _running(name: str, operation: Any, x: Tensor, dim: int, out: Any) -> Any:
    if x.form.dtype.kind == "c":
        raise NotImplementedError(
            message(name, f"not implemented for complex numbers ({x.form.dtype})", "they have no order")
        )
    values, places = operation(x, wrap_dim(name, dim, x.form.rank))
    if out is not None:
        values, places = write_out(name, out[0], values), write_out(name, out[1], places)
    return getattr(return_types, name)(values, places)


@spelled()
def cummax(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """(values, indices): the largest of each element and all before it along dim; of equals the last."""
    return _running("cummax", _cummax, input, dim, out)


@spelled()
def cummin(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """(values, indices): the smallest of each element and all before it along dim; of equals the last."""
    return _running("cummin", _cummin, input, dim, out)


# ---------------------------------------------------------------- neighbours
@spelled()
def diff(input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None, *,
         out: Tensor | None = None) -> Tensor:  # fmt: skip
    """Each element's difference from the one before it along dim, n times over; with elements put before and after.

    >>> torch.diff(torch.tensor([1, 4, 9]))
    tensor([3, 5])
    """
    if not input.form.rank:
        raise RuntimeError(message("diff", "diff expects input to be at least one-dimensional", "it is a 0-d tensor"))
    if n < 0:
        raise RuntimeError(message("diff", f"order must be non-negative but got {n}"))
    d = wrap_dim("diff", dim, input.form.rank)
    if n == 0:
        return _given(input.clone(), "diff", out)  # type: ignore[attr-defined]
    parts = [x for x in (prepend, input, append) if x is not None]
    x = cat(parts, d) if len(parts) > 1 else input
    minus = logical_xor if x.form.dtype.kind == "b" else sub
    for _ in range(n):
        size = x.form.shape[d]
        if size == 0:
            break
        x = minus(narrow(x, d, 1, size - 1), narrow(x, d, 0, size - 1))
    return _given(x.clone() if x is input else x, "diff", out)  # type: ignore[attr-defined]


def _areas(y: Tensor, x: Any, dx: Any, dim: int) -> tuple[Tensor, int]:
    """The area below each piece of a line through y's elements."""
    d = wrap_dim("trapezoid", dim, y.form.rank)
    size = y.form.shape[d]
    together = narrow(y, d, 1, size - 1) + narrow(y, d, 0, size - 1)  # type: ignore[operator]
    if x is None:
        return mul(together, dx * 0.5 if not isinstance(dx, Tensor) else mul(dx, 0.5)), d
    if x.form.rank == 1 and y.form.rank > 1:
        if x.form.shape[0] != size:
            wrong = f"There must be one `x` value for each sample point: x has {x.form.shape[0]}"
            raise RuntimeError(message("trapezoid", wrong, f"y has {size} along dim {dim}"))
        widths = diff(x).reshape((size - 1,) + (1,) * (y.form.rank - 1 - d))  # type: ignore[attr-defined]
    else:
        widths = diff(x, dim=d - y.form.rank)
    return mul(mul(together, widths), 0.5), d


@spelled(where=("torch",), aliases=("trapz",))
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = 1, dim: int = -1) -> Tensor:
    """The area below a line through y's elements along dim, at places x (dx apart if there is no x)."""
    if isinstance(y, Tensor) and y.form.shape and y.form.shape[dim] == 0:
        return sum_(in_dtype(y, as_floating(y.form.dtype)), dim)
    areas, d = _areas(y, x, dx, dim)
    return sum_(areas, d)


@spelled(where=("torch",))
def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = 1, dim: int = -1) -> Tensor:
    """The running sums of `trapezoid`'s pieces."""
    areas, d = _areas(y, x, dx, dim)
    return cumsum(areas, d)
