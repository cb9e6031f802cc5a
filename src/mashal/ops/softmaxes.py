"""softmax and its relatives, along one dimension.

softmax's forward and backward are one kernel each; the row's exponentials are computed once and wait in the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mashal.core.dtypes import dtype as DType
from mashal.core.saved import kept
from mashal.core.shapes import wrap_dim
from mashal.core.tape import mode
from mashal.core.tensor import Tensor
from mashal.lang.complex import conjugate, real
from mashal.lang.expression import Expression, apply, cast, constant, exp, log, max_over, sum_over, where
from mashal.ops.arithmetic import neg
from mashal.ops.define import PLAIN, dispatched, floating, overrides, recorded, refuse_recorded_out, spelled, write_out
from mashal.ops.planned import Part, Planned, PlanNode
from mashal.ops.reducing import formula, in_dtype, reduction
from mashal.ops.reductions import only_floating_kernel, sum_
from mashal.ops.rows import one, row_formula
from mashal.ops.run import remember


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


def _rows_of(x: Tensor, dim: int) -> tuple[int, ...]:
    return (dim,) if x.form.rank else ()


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
class _Along:
    """softmax or log_softmax. formula, gradient_formula: their kernels; gradient: the operation (g, y, dim)."""

    def __init__(self, name: str, formula: Any, gradient_formula: Any, gradient: Any, node: str):
        self.name, self.formula, self.gradient_formula, self.gradient = name, formula, gradient_formula, gradient
        self.node = type(node, (SoftmaxNode,), {"__slots__": ()})
        self.calls: dict[Any, _Call] = {}

    def long(self, function: Any, x: Any, dim: Any, to: DType | None, out: Tensor | None) -> Tensor:
        """A call that the table does not know yet."""
        kinds = overrides((x,))
        if kinds:
            return dispatched(function, kinds, (x, dim), {} if to is None else {"dtype": to})
        if not isinstance(x, Tensor):
            raise TypeError(f"{self.name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}")
        only_floating_kernel(self.name, to or x.form.dtype)
        call = _Call(self, x, wrap_dim(self.name, dim, x.form.rank), to)
        if out is None:
            return remember(self.calls, (x.form, dim, to), call).plan(x)
        if x.node is not None and mode.recording:
            refuse_recorded_out(self.name)
        return write_out(self.name, out, call.bare(x))


class _Call(Planned):
    """What is known of a call for a form along a dimension."""

    __slots__ = ("dim", "dtype", "operation")

    def __init__(self, operation: _Along, x: Tensor, dim: int, to: DType | None):
        self.operation, self.dim, self.dtype = operation, dim, x.form.dtype
        bare = operation.formula.plan(_rows_of(x, dim), x, to=to)
        super().__init__(bare, operation.node, (True,), 1, keeps_result=True)

    def parts(self, things: list[Any], g: Tensor) -> Sequence[Part] | None:
        """One kernel, where no other dtype was asked for."""
        (y,) = things
        if y.form.dtype is not self.dtype:
            return None
        return [Part(self.operation.gradient_formula.plan(_rows_of(y, self.dim), g, y), (1, 0))]


class SoftmaxNode(PlanNode):
    """saved: the result."""

    __slots__ = ()

    def by_operations(self, g: Tensor) -> tuple:
        """The gradient from the result."""
        (y,), call = kept(self), self.entry
        return (in_dtype(call.operation.gradient(g, y, call.dim), call.dtype),)


_SOFTMAX = _Along("softmax", _softmax, _softmax_gradient, softmax_gradient, "SoftmaxBackward0")
_LOG_SOFTMAX = _Along("log_softmax", _log_softmax, _log_softmax_gradient, log_softmax_gradient, "LogSoftmaxBackward0")


@spelled(where=("torch", "method", "special"))
def softmax(input: Tensor, dim: int, dtype: DType | None = None, *, out: Tensor | None = None) -> Tensor:
    """exp(x) / Σ exp(x) along dim: positive numbers that sum to 1. Floating; dtype: convert to it first.

    >>> torch.softmax(torch.tensor([0.0, 0.0]), 0)
    tensor([0.5000, 0.5000])
    """
    call = _SOFTMAX.calls.get((input.form, dim, dtype)) if type(input) in PLAIN else None
    if call is None or out is not None:
        return _SOFTMAX.long(softmax, input, dim, dtype, out)
    return call.plan(input)


@spelled(where=("torch", "method", "special"))
def log_softmax(input: Tensor, dim: int, dtype: DType | None = None, *, out: Tensor | None = None) -> Tensor:
    """log(softmax(x)) along dim, without its loss of digits.

    >>> torch.log_softmax(torch.tensor([0.0, 0.0]), 0)
    tensor([-0.6931, -0.6931])
    """
    call = _LOG_SOFTMAX.calls.get((input.form, dim, dtype)) if type(input) in PLAIN else None
    if call is None or out is not None:
        return _LOG_SOFTMAX.long(log_softmax, input, dim, dtype, out)
    return call.plan(input)


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
