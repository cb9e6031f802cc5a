"""cross_entropy: one kernel for loss and gradient where it fits, else composed of log_softmax and nll_loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mashal.core.dtypes import int64
from mashal.core.forms import Form, form
from mashal.core.saved import kept
from mashal.core.tape import mode
from mashal.core.tensor import Tensor, alias, plan_of
from mashal.errors import message
from mashal.lower.crossentropy import cross_entropy as fused_kernel
from mashal.lower.crossentropy import scratch_bytes
from mashal.machine.launch import INTEGER
from mashal.machine.observing import watch
from mashal.ops.arithmetic import add, mul, neg, sub
from mashal.ops.classes import check_classes, nll_loss, wrong_class
from mashal.ops.comparison import ne
from mashal.ops.define import spelled
from mashal.ops.division import div
from mashal.ops.losses import check_reduction
from mashal.ops.picking import place_along
from mashal.ops.planned import Part, Planned, PlanNode
from mashal.ops.reducing import in_dtype, with_ones
from mashal.ops.reductions import sum_
from mashal.ops.run import kernel_of, remember
from mashal.ops.softmaxes import log_softmax, softmax

_LARGE = 4096  # elements from which a pass over the gradient is worth looking at a number for
_calls: dict[Any, _Fused] = {}


@spelled(where=())
def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """-log softmax(input) at each row's class, or for a target of probabilities of input's shape their mean by it."""
    recorded = input.node is not None and mode.recording
    key = input.form, target.form, None if weight is None else weight.form, reduction, label_smoothing, recorded
    call = _calls.get(key)
    if call is None:
        call = _prepared(key, input, target, weight, reduction, label_smoothing)
        if call is None:
            return _composed(input, target, weight, ignore_index, reduction, label_smoothing)
    return call.plan(input, target, ignore_index) if weight is None else call.plan(input, target, weight, ignore_index)


# ---------------------------------------------------------------- one kernel
class CrossEntropyNode(PlanNode):
    """saved: input, target, the gradient that the forward kernel made (or None), the factor of each row."""

    __slots__ = ()

    def by_operations(self, g: Tensor) -> tuple:
        """The gradient that was made, times g; or written with operations."""
        x, target, made, factor = kept(self)
        if self.entry.reduction == "none":
            g = with_ones(g, (*g.form.shape, 1))
        if made is None or mode.recording:
            return (_gradient(g, x, target, factor),)
        if self.entry.reduction != "none" and made.form.numel >= _LARGE and watch.recorder is None and g.item() == 1:
            self.saved = (*self.saved[:4], None, 0, *self.saved[6:])  # whoever gets it may change it
            return (made,)
        return (mul(made, g),)


CrossEntropyNode.__name__ = "NllLossBackward0"


def _gradient(g: Tensor, x: Tensor, target: Tensor, factor: Tensor) -> Tensor:
    """The gradient written with operations."""
    dim = x.form.rank - 1
    labels = with_ones(in_dtype(target, int64), factor.form.shape)
    at_labels = place_along(factor, labels, x.form.shape, dim)
    return mul(sub(mul(softmax(x, dim), factor), at_labels), g)


class _Fused(Planned):
    """One kernel for loss and gradient, for scores whose classes lie side by side.

    plan(input, target[, weight], ignored label) gives the loss; the gradient and the rows' factors are kept.
    """

    __slots__ = ("reduction",)

    def __init__(self, x: Form, target: Form, weight: Form | None, reduction: str, gradient: bool):
        self.reduction = reduction
        n, classes = x.shape if x.rank == 2 else (1, x.shape[0])
        loss = form(x.dtype, x.device, target.shape if reduction == "none" else ())
        made = [loss]
        if gradient:
            made += [form(x.dtype, x.device, x.shape), form(x.dtype, x.device, (*x.shape[:-1], 1))]
        strides = [
            x.strides[0] if x.rank == 2 else 0,
            target.strides[0] if target.rank else 0,
            weight.strides[0] if weight else 0,
        ]
        bare = plan_of(
            kernel_of(fused_kernel, x.dtype, target.dtype, weight is not None, reduction, gradient),
            [(f.nbytes, f) for f in made],
            [*(f.dtype.itemsize for f in (x, target, weight) if f is not None), INTEGER],
            [n, classes, *strides],
            work=16 * x.numel,
            scratch=scratch_bytes(n),
            fail=wrong_class("cross_entropy", classes),
        )
        tensors = (True, True, *([True] if weight else []), False)
        super().__init__(bare, CrossEntropyNode, tensors, 1, kept=(0, 1), results=len(made), recorded=gradient)

    @staticmethod
    def fits(x: Form, target: Form, weight: Form | None) -> bool:
        """Whether there is a kernel for operands of these forms."""
        if x.rank not in (1, 2) or x.strides[-1] != 1 or not x.numel or x.device.type != "cpu":
            return False
        return target.rank == x.rank - 1 and (weight is None or weight.dtype is x.dtype)

    def parts(self, things: list[Any], g: Tensor) -> Sequence[Part] | None:
        """The gradient that was made, times g; a large one may be handed on as it is (by_operations)."""
        made = things[2]
        if self.reduction == "none" or made is None or made.form.numel >= _LARGE:
            return None
        entry, _ = mul.operation.prepare((made, g), ())  # type: ignore[attr-defined]
        return [Part(entry.bare, (2, 4))]


def _prepared(
    key: tuple, x: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> _Fused | None:
    """What is known of a call of one kernel; None where the loss is composed of other operations."""
    check_reduction("cross_entropy", reduction)
    if not 0.0 <= smoothing <= 1.0:
        raise RuntimeError(message("cross_entropy", f"label_smoothing must be between 0.0 and 1.0, got {smoothing}"))
    if target.form.shape == x.form.shape and target.form.dtype.kind == "f":
        return None
    check_classes("cross_entropy", x, target, weight)
    weights = None if weight is None else weight.form
    if smoothing or (weight is not None and weight.node is not None) or not _Fused.fits(x.form, target.form, weights):
        return None
    return remember(_calls, key, _Fused(x.form, target.form, weights, reduction, key[-1]))


# ---------------------------------------------------------------- composed
def _composed(
    input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str, label_smoothing: float
) -> Tensor:
    dim = 1 if input.form.rank > 1 else 0
    if target.form.shape == input.form.shape and target.form.dtype.kind == "f":
        if ignore_index >= 0:
            wrong = f"ignore_index is not supported for floating point target, but it is {ignore_index}"
            raise RuntimeError(message("cross_entropy", wrong))
        return _from_probabilities(input, target, weight, reduction, label_smoothing, dim)
    logarithms = log_softmax(input, dim)
    if label_smoothing:
        return _smoothed(logarithms, target, weight, ignore_index, reduction, label_smoothing, dim)
    return nll_loss(logarithms, target, weight, ignore_index=ignore_index, reduction=reduction)


def _from_probabilities(
    x: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float, dim: int
) -> Tensor:
    if smoothing:
        target = add(mul(target, 1 - smoothing), smoothing / x.form.shape[dim])
    losses = mul(log_softmax(x, dim), target)
    losses = losses if weight is None else mul(losses, _by_class(weight, x, dim))
    if reduction == "none":
        return neg(sum_(losses, dim))
    total = neg(sum_(losses))
    return total if reduction == "sum" else div(total, max(x.form.numel // max(x.form.shape[dim], 1), 1) if dim else 1)


def _by_class(weight: Tensor, x: Tensor, dim: int) -> Tensor:
    """A weight for each class, in a shape that broadcasts to x."""
    n = x.form.shape[dim]
    return with_ones(weight, (1,) * dim + (n,) + (1,) * (x.form.rank - dim - 1))


def _smoothed(
    logs: Tensor, target: Tensor, weight: Tensor | None, ignored: int, reduction: str, smoothing: float, dim: int
) -> Tensor:
    """(1 - smoothing) times the loss of the classes, and the rest spread over all classes."""
    chosen = nll_loss(logs, target, weight, ignore_index=ignored, reduction=reduction)
    everywhere = neg(sum_(logs if weight is None else mul(logs, _by_class(weight, logs, dim)), dim))
    counted = ne(target, ignored)
    spread = mul(everywhere, counted)
    if reduction != "none":
        spread = sum_(spread)
    if reduction == "mean":
        ones = neg(full_like_rows(logs, dim))
        spread = div(spread, sum_(nll_loss(ones, target, weight, ignore_index=ignored, reduction="none")))
    return add(mul(chosen, 1 - smoothing), mul(spread, smoothing / logs.form.shape[dim]))


def full_like_rows(x: Tensor, dim: int) -> Tensor:
    """Ones of x's form, without history."""
    return add(mul(alias(x), 0), 1)
