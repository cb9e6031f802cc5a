"""softmax and its relatives, along one dimension.

softmax's forward and backward are one kernel each; the row's exponentials are computed once and wait in the result.
"""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import dtype as DType
from mashal.core.shapes import wrap_dim
from mashal.core.tensor import Tensor
from mashal.lang.complex import conjugate, real
from mashal.lang.expression import Expression, apply, cast, constant, exp, log, max_over, sum_over, where
from mashal.ops.arithmetic import neg
from mashal.ops.define import dispatched, floating, overrides, recorded, spelled, write_out
from mashal.ops.reducing import formula, in_dtype, reduction
from mashal.ops.reductions import only_floating_kernel, sum_
from mashal.ops.rows import one, row_formula


def _exp_below(x: Expression) -> Expression:
    """exp of what is at most 0."""
    return apply("exp_nonpositive", x)


# ---------------------------------------------------------------- kernels
@row_formula()
def _softmax(x: Expression) -> Expression:
    e = _exp_below(x - max_over(x))
    return e * (one(x) / sum_over(e))


@row_formula()
def _softmax_gradient(g: Expression, y: Expression) -> Expression:
    return y * (g - sum_over(g * y))


@row_formula()
def _log_softmax(x: Expression) -> Expression:
    away = x - max_over(x)
    return away - log(sum_over(_exp_below(away)))


@row_formula()
def _log_softmax_gradient(g: Expression, y: Expression) -> Expression:
    return g - _exp_below(y) * sum_over(g)


# ---------------------------------------------------------------- gradients of gradients
@formula()
def _by_rest(h: Expression, g: Expression, inner: Expression, outer: Expression) -> Expression:
    """The gradient of y * (g - Σ g·y) with respect to y, given h: inner is Σ g·y, outer Σ h·y."""
    return h * (g - inner) - g * outer


@formula()
def _product(x: Expression, y: Expression) -> Expression:
    return x * y


@recorded("SoftmaxBackwardDataBackward0", tensors=2)
def softmax_gradient(g: Tensor, y: Tensor, dim: int) -> tuple[Tensor, tuple]:
    """softmax's gradient from that of its result y."""
    return _softmax_gradient(_rows_of(y, dim), g, y), (g, y, dim)


@softmax_gradient.backward
def _(node: Any, h: Tensor) -> tuple:
    g, y, dim = node.kept()
    inner, outer = sum_(_product(g, y), dim, True), sum_(_product(h, y), dim, True)
    return softmax_gradient(h, y, dim), _by_rest(h, g, inner, outer)


@formula()
def _minus_exp(g: Expression, y: Expression, total: Expression) -> Expression:
    return -(g * exp(y) * total)


@recorded("LogSoftmaxBackwardDataBackward0", tensors=2)
def log_softmax_gradient(g: Tensor, y: Tensor, dim: int) -> tuple[Tensor, tuple]:
    """log_softmax's gradient from that of its result y."""
    return _log_softmax_gradient(_rows_of(y, dim), g, y), (g, y, dim)


@formula()
def _exp(x: Expression) -> Expression:
    return exp(x)


@log_softmax_gradient.backward
def _(node: Any, h: Tensor) -> tuple:
    g, y, dim = node.kept()
    p = _exp(y)
    overlap = sum_(_product(h, p), dim, True)
    return _plus_row(h, neg(overlap)), _minus_exp(h, y, sum_(g, dim, True))


@formula()
def _plus_row(h: Expression, r: Expression) -> Expression:
    return h + r


# ---------------------------------------------------------------- operations
def _rows_of(x: Tensor, dim: int) -> tuple[int, ...]:
    return (dim,) if x.form.rank else ()


@recorded("SoftmaxBackward0")
def _softmax_along(x: Tensor, dim: int, to: DType | None) -> tuple[Tensor, tuple]:
    y = _softmax(_rows_of(x, dim), x, to=to)
    return y, (y, dim, x.form.dtype)


@_softmax_along.backward
def _(node: Any, g: Tensor) -> tuple:
    y, dim, d = node.kept()
    return (in_dtype(softmax_gradient(g, y, dim), d),)


@recorded("LogSoftmaxBackward0")
def _log_softmax_along(x: Tensor, dim: int, to: DType | None) -> tuple[Tensor, tuple]:
    y = _log_softmax(_rows_of(x, dim), x, to=to)
    return y, (y, dim, x.form.dtype)


@_log_softmax_along.backward
def _(node: Any, g: Tensor) -> tuple:
    y, dim, d = node.kept()
    return (in_dtype(log_softmax_gradient(g, y, dim), d),)


def _checked(name: str, function: Any, x: Any, dim: Any, to: DType | None) -> Any:
    """The dim counted from the front; NotImplementedError for integers without dtype."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}")
    only_floating_kernel(name, to or x.form.dtype)
    return wrap_dim(name, dim, x.form.rank)


def _along(name: str, function: Any, operation: Any, x: Any, dim: int, to: DType | None, out: Tensor | None) -> Tensor:
    kinds = overrides((x,))
    if kinds:
        return dispatched(function, kinds, (x, dim), {} if to is None else {"dtype": to})
    y = operation(x, _checked(name, function, x, dim, to), to)
    return y if out is None else write_out(name, out, y)


@spelled(where=("torch", "method", "special"))
def softmax(input: Tensor, dim: int, dtype: DType | None = None, *, out: Tensor | None = None) -> Tensor:
    """exp(x) / Σ exp(x) along dim: positive numbers that sum to 1. Floating; dtype: convert to it first.

    >>> torch.softmax(torch.tensor([0.0, 0.0]), 0)
    tensor([0.5000, 0.5000])
    """
    return _along("softmax", softmax, _softmax_along, input, dim, dtype, out)


@spelled(where=("torch", "method", "special"))
def log_softmax(input: Tensor, dim: int, dtype: DType | None = None, *, out: Tensor | None = None) -> Tensor:
    """log(softmax(x)) along dim, without its loss of digits.

    >>> torch.log_softmax(torch.tensor([0.0, 0.0]), 0)
    tensor([-0.6931, -0.6931])
    """
    return _along("log_softmax", log_softmax, _log_softmax_along, input, dim, dtype, out)


@spelled(where=())
def softmin(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """softmax(-x) along dim."""
    return softmax(neg(input), dim, dtype)


# ---------------------------------------------------------------- logsumexp
@reduction(floating, name="logsumexp", where=())
def _logsumexp(x: Expression) -> Expression:
    top = max_over(real(x) if x.dtype.is_complex else x)
    safe = where((top == float("inf")) | (top == float("-inf")), constant(0, top.dtype), top)
    safe = cast(safe, x.dtype)
    return safe + log(sum_over(exp(x - safe)))


@formula()
def _weighted(g: Expression, x: Expression, y: Expression) -> Expression:
    if x.dtype.is_complex:
        return g * conjugate(where(real(y) == float("-inf"), constant(0, x.dtype), exp(x - y)))
    return g * where(y == float("-inf"), constant(0, x.dtype), exp(x - y))


@_logsumexp.backward
def _(g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return _weighted(g, x, y)


@spelled(where=("torch", "method", "special"))
def logsumexp(input: Tensor, dim: Any, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """log Σ exp(x) along dim (one or several), without overflow; integers are converted to the default dtype.

    >>> torch.logsumexp(torch.tensor([0.0, 0.0]), 0)
    tensor(0.6931)
    """
    return _logsumexp(input, dim, keepdim, out=out)
