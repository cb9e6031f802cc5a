"""Losses: how far predictions are from targets. `reduction` is "mean", "sum" or "none" everywhere.

`@loss` makes one of a formula over elements: the mean or sum is one kernel, the gradient another. nll_loss and
cross_entropy pick elements by class: they are in ops.classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

from mashal.core.dtypes import dtype
from mashal.core.forms import form
from mashal.core.saved import kept
from mashal.core.shapes import broadcast
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang.derivative import adjoints
from mashal.lang.expression import (
    Expression,
    abs_,
    cast,
    constant,
    exp,
    log,
    log1p,
    maximum,
    operand,
    row_length,
    sum_over,
    where,
)  # fmt: skip
from mashal.lang.nest import Nest, Operand
from mashal.ops.arithmetic import absolute, sub
from mashal.ops.broadcast import sum_to
from mashal.ops.comparison import refuse_complex
from mashal.ops.creation import ones
from mashal.ops.define import Pointwise, Rule, door, in_registers, only_floating, same, spelled
from mashal.ops.planned import Part, Planned, PlanNode
from mashal.ops.reductions import mean, sum_
from mashal.ops.run import plan_rowwise, remember, same_device

REDUCTIONS = ("none", "mean", "sum")


def check_reduction(name: str, reduction: Any) -> None:
    """ValueError for another word."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"{name}: {reduction} is not a valid value for reduction; it is 'none', 'mean' or 'sum'")


class Loss:
    """body(*operands, **options) is the loss of one element."""

    def __init__(self, name: str, body: Callable[..., Any], nodes: tuple[str, str, str], rule: Rule = only_floating):
        self.name, self.body = name, body
        self.pointwise = Pointwise(name, body, rule, nodes[0], refuse_complex(name))
        self.of_elements = door(self.pointwise)
        self.calls: dict[Any, _Call] = {}
        self.gradients: dict[Any, Any] = {}
        self.nodes = {
            reduction: type(node, (LossNode,), {"__slots__": ()}) for reduction, node in zip(REDUCTIONS, nodes)
        }

    def __call__(self, operands: tuple, reduction: str, options: tuple = ()) -> Tensor:
        """The loss of tensors, which broadcast."""
        if reduction == "none":
            return self.of_elements(*operands, **dict(options))
        key = (*[x.form for x in operands], reduction, options)
        call = self.calls.get(key)
        if call is None:
            check_reduction(self.name, reduction)
            call = remember(self.calls, key, _Call(self, operands, reduction, options))
        return call.plan(*operands)

    def plan(self, operands: tuple, shape: tuple[int, ...], reduction: str, options: tuple) -> tuple[Any, dtype]:
        """The plan of a loss that is reduced, and its dtype."""
        device = same_device(self.name, operands)
        refuse_complex(self.name)(*operands)
        d, _ = self.pointwise.dtypes_of(operands)
        if reduction == "mean" and d.kind not in "fc":
            raise RuntimeError(message(self.name, f"there is no mean of {d}", "the input must be floating"))
        compute = in_registers(d)
        x = [cast(operand(i, o.form.dtype), compute) for i, o in enumerate(operands)]
        total = sum_over(self.body(*x, **dict(options)))
        value = total / row_length(total.dtype) if reduction == "mean" else total
        nest = Nest(((value, d.to_real()),), tuple(Operand(o.form.dtype) for o in operands))
        made = form(d.to_real(), device, ())
        kept = form(made.dtype, device, (1,) * len(shape))
        return plan_rowwise(nest, [o.form for o in operands], shape, range(len(shape)), [kept], [made]), made.dtype

    def gradient(self, i: int, options: tuple) -> Callable[..., Tensor]:
        """The gradient of operand i: a pointwise operation of (g, n, *operands)."""
        found = self.gradients.get((i, options))
        if found is None:
            count = self.pointwise.arity

            def body(g: Expression, n: Expression, *x: Expression) -> Any:
                (part,) = adjoints(self.body(*x, **dict(options)), g / n, [x[i]])
                return g * 0 if part is None else part

            positional = inspect.Parameter.POSITIONAL_ONLY
            names = ["g", "n", *(f"x{k}" for k in range(count))]
            body.__signature__ = inspect.Signature([inspect.Parameter(name, positional) for name in names])  # type: ignore[attr-defined]
            title = "".join(part.capitalize() for part in self.name.split("_"))
            found = self.gradients[i, options] = door(
                Pointwise(f"{self.name}_backward", body, same, f"{title}BackwardBackward0")
            )
        return found


class _Call(Planned):
    """What is known of a loss of operands of certain forms, reduced: plan(*operands). count: by what a mean divides."""

    __slots__ = ("count", "operation", "options")

    def __init__(self, operation: Loss, operands: tuple, reduction: str, options: tuple):
        self.operation, self.options = operation, options
        shape = broadcast(operation.name, *(x.form.shape for x in operands))
        bare, made = operation.plan(operands, shape, reduction, options)
        self.count = float(prod(shape)) if reduction == "mean" else 1.0
        n = len(operands)
        super().__init__(bare, operation.nodes[reduction], (True,) * n, n, kept=range(n), recorded=made.kind in "fc")

    def gradient_of(self, i: int, g: Tensor, *operands: Tensor) -> Tensor:
        """The gradient of operand i, written with operations."""
        part = self.operation.gradient(i, self.options)(g, self.count, *operands)
        return sum_to(part, operands[i].form.shape)

    def parts(self, things: list[Any], g: Tensor) -> Sequence[Part]:
        n = len(things)
        return [Part(partial(self.gradient_of, i), (n, *range(n))) for i in range(n)]


class LossNode(PlanNode):
    """A recorded loss that was reduced; saved: the operands."""

    __slots__ = ()

    def by_operations(self, g: Tensor) -> tuple:
        """Each operand's gradient, one kernel each."""
        operands = kept(self)
        return tuple([None if e is None else self.entry.gradient_of(i, g, *operands) for i, e in enumerate(self.edges)])


def loss(*nodes: str, rule: Rule = only_floating) -> Callable[[Callable[..., Any]], Loss]:
    """A formula over elements as a loss. nodes: grad_fn's name, or one each for none, mean and sum; rule: which dtypes."""
    none, mean, sum = nodes if len(nodes) == 3 else nodes * 3
    return lambda body: Loss(body.__name__.strip("_"), body, (none, mean, sum), rule)


_ones: dict[dtype, Tensor] = {}


def one_like(x: Tensor) -> Tensor:
    """The number 1 as a tensor of x's dtype, which broadcasts."""
    found = _ones.get(x.form.dtype)
    if found is None:
        found = _ones[x.form.dtype] = ones((), dtype=x.form.dtype)
    return found


# ---------------------------------------------------------------- differences
@loss("MseLossBackward0")
def _mse_loss(x: Expression, t: Expression) -> Expression:
    away = x - t
    return away * away


@spelled(where=())
def mse_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """(x - t)²."""
    return _mse_loss((input, target), reduction)


@loss("AbsBackward0", "MeanBackward0", "SumBackward0", rule=same)
def _l1_loss(x: Expression, t: Expression) -> Expression:
    return abs_(x - t)


@spelled(where=())
def l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """|x - t|; of complex numbers the distances, which are real."""
    if input.form.dtype.is_complex or target.form.dtype.is_complex:
        away = absolute(sub(input, target))
        return away if reduction == "none" else mean(away) if reduction == "mean" else sum_(away)
    return _l1_loss((input, target), reduction)


@loss("SmoothL1LossBackward0")
def _smooth_l1_loss(x: Expression, t: Expression, *, beta: float) -> Expression:
    away = abs_(x - t)
    return where(away < beta, away * away * (0.5 / beta), away - 0.5 * beta)


@spelled(where=())
def smooth_l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """(x - t)² / (2·beta) where |x - t| is below beta, |x - t| - beta / 2 elsewhere."""
    return _smooth_l1_loss((input, target), reduction, (("beta", beta),))


@loss("HuberLossBackward0")
def _huber_loss(x: Expression, t: Expression, *, delta: float) -> Expression:
    away = abs_(x - t)
    return where(away < delta, away * away * 0.5, (away - 0.5 * delta) * delta)


@spelled(where=())
def huber_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """(x - t)² / 2 where |x - t| is below delta, delta·(|x - t| - delta / 2) elsewhere."""
    return _huber_loss((input, target), reduction, (("delta", delta),))


# ---------------------------------------------------------------- probabilities
def _log_at_least_100(x: Expression) -> Expression:
    return maximum(log(x), constant(-100, x.dtype))


@loss("BinaryCrossEntropyBackward0")
def _binary_cross_entropy(x: Expression, t: Expression, w: Expression) -> Expression:
    return -(t * _log_at_least_100(x) + (1 - t) * _log_at_least_100(1 - x)) * w


@loss("BinaryCrossEntropyWithLogitsBackward0")
def _binary_cross_entropy_with_logits(x: Expression, t: Expression, w: Expression) -> Expression:
    return (maximum(x, constant(0, x.dtype)) - x * t + log1p(exp(-abs_(x)))) * w


@loss("BinaryCrossEntropyWithLogitsBackward0")
def _binary_cross_entropy_with_logits_and_positives(
    x: Expression, t: Expression, w: Expression, p: Expression
) -> Expression:
    more = (p - 1) * t + 1
    return ((1 - t) * x + more * (log1p(exp(-abs_(x))) + maximum(-x, constant(0, x.dtype)))) * w


@loss("SubBackward0", "MeanBackward0", "SumBackward0")
def _kl_div(x: Expression, t: Expression) -> Expression:
    return where(t == 0, constant(0, t.dtype), t * log(where(t == 0, constant(1, t.dtype), t))) - t * x


@loss("MulBackward0", "MeanBackward0", "SumBackward0")
def _kl_div_of_logarithms(x: Expression, t: Expression) -> Expression:
    return exp(t) * (t - x)


def _weight_or_one(x: Tensor, weight: Tensor | None) -> Tensor:
    return one_like(x) if weight is None else weight


@spelled(where=())
def binary_cross_entropy(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """-(t·log x + (1 - t)·log(1 - x)) for probabilities x; the logarithms are at least -100."""
    return _binary_cross_entropy((input, target, _weight_or_one(input, weight)), reduction)


@spelled(where=("torch",))
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """binary_cross_entropy of sigmoid(x), without its loss of digits. pos_weight multiplies t·log x."""
    weight = _weight_or_one(input, weight)
    if pos_weight is None:
        return _binary_cross_entropy_with_logits((input, target, weight), reduction)
    return _binary_cross_entropy_with_logits_and_positives((input, target, weight, pos_weight), reduction)


@spelled(where=("torch",))
def kl_div(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """t·(log t - x), or with log_target exp(t)·(t - x)."""
    return (_kl_div_of_logarithms if log_target else _kl_div)((input, target), reduction)
