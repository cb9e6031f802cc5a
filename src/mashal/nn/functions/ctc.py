"""Connectionist temporal classification: how likely a sequence of labels is, over all ways to spread it over the steps.

A label may stand for several steps, and blanks between labels. States are the labels with blanks around each: alpha[t, s] sums the ways to
be in state s at step t, beta those to come from there to the end, both as logarithms. A state is entered from itself, the one
before it, and the one before that if that is no blank between equal labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mashal import ops
from mashal.core.dtypes import int32, int64
from mashal.core.tensor import Tensor
from mashal.lang import expression as e
from mashal.nn.functions.reduction import check_reduction
from mashal.ops.define import Pointwise, door, recorded, same

__all__ = ["ctc_loss"]

_NEVER = -1e30  # the logarithm of no chance at all: finite, so that differences of two of them are numbers


def _of_elements(stay: Any, next: Any, skip: Any, forbidden: Any, here: Any) -> Any:
    """log(exp(stay) + exp(next) + exp(skip + forbidden)) + here."""
    skip = skip + forbidden
    most = e.maximum(e.maximum(stay, next), skip)
    return e.log(e.exp(stay - most) + e.exp(next - most) + e.exp(skip - most)) + most + here


_step = door(Pointwise("ctc_step", _of_elements, same, "CtcStepBackward0"))


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of how likely each sequence of labels is, given the logarithms of the labels' probabilities at each step.

    log_probs: (steps, batch, labels), or (steps, labels). targets: (batch, longest), or all behind each other. input_lengths,
    target_lengths: of each sequence, at most steps and longest. blank: the label that stands for none. reduction: "mean" divides by the
    targets' lengths first. zero_infinity: targets that can't be give 0, without gradient, instead of infinity.

    >>> even = torch.full((2, 1, 3), 1 / 3).log()
    >>> F.ctc_loss(even, torch.tensor([[1]]), [2], [1])
    tensor(1.0986)
    """
    check_reduction(reduction, "ctc_loss")
    alone = log_probs.dim() == 2
    if alone:
        log_probs = log_probs.unsqueeze(1)  # type: ignore[attr-defined]
        targets = targets.unsqueeze(0) if targets.dim() == 1 else targets  # type: ignore[attr-defined]
    steps, widths = _lengths("input_lengths", input_lengths), _lengths("target_lengths", target_lengths)
    _check(log_probs, targets, steps, widths, blank)
    labels = _padded(targets, widths, blank)
    losses = _ctc(log_probs, labels, tuple(steps), tuple(widths), blank, zero_infinity)
    if zero_infinity:
        losses = ops.where(losses == math.inf, 0.0, losses)  # type: ignore[arg-type]
    if reduction == "none":
        return losses.squeeze(0) if alone else losses  # type: ignore[attr-defined]
    if reduction == "sum":
        return losses.sum()  # type: ignore[attr-defined]
    return (losses / losses.new_tensor([max(n, 1) for n in widths])).mean()  # type: ignore[attr-defined]


# ---------------------------------------------------------------- arguments
def _lengths(name: str, lengths: Any) -> list[int]:
    if isinstance(lengths, Tensor):
        if lengths.dtype not in (int64, int32) and lengths.is_floating_point():
            raise RuntimeError(f"ctc_loss: {name} must be integral, not {lengths.dtype}")
        found = lengths.tolist()  # type: ignore[attr-defined]
        return [found] if isinstance(found, int) else found
    return [int(n) for n in (lengths if isinstance(lengths, Sequence) else [lengths])]


def _check(log_probs: Tensor, targets: Tensor, steps: list[int], widths: list[int], blank: int) -> None:
    if log_probs.dim() != 3 or not log_probs.is_floating_point():
        raise RuntimeError(
            f"ctc_loss: log_probs must be floating (steps, batch, labels), not {log_probs.dtype} {tuple(log_probs.shape)}"
        )
    if targets.is_floating_point() or targets.dtype.is_complex:
        raise RuntimeError(f"ctc_loss: targets must be integral, not {targets.dtype}")
    length, batch, labels = log_probs.shape
    if not 0 <= blank < labels:
        raise RuntimeError(f"ctc_loss: blank must be in label range, 0 to {labels - 1}, not {blank}")
    if not length or not batch:
        raise RuntimeError(f"ctc_loss: log_probs {tuple(log_probs.shape)} must not be empty")
    for name, lengths in (("input_lengths", steps), ("target_lengths", widths)):
        if len(lengths) != batch:
            raise RuntimeError(f"ctc_loss: {name} must be of size batch_size {batch}, not {len(lengths)}")
        if min(lengths) < 0:
            raise RuntimeError(f"ctc_loss: Expected {name} to have value at least 0, but got {min(lengths)}")
    if max(steps) > length:
        raise RuntimeError(f"ctc_loss: Expected input_lengths to have value at most {length}, but got {max(steps)}")
    if targets.dim() == 2 and (targets.size(0) != batch or targets.size(1) < max(widths)):
        raise RuntimeError(
            f"ctc_loss: Expected tensor to have size at least {max(widths)} at dimension 1 and {batch} at dimension 0, but targets "
            f"is {tuple(targets.shape)}"
        )
    if targets.dim() not in (1, 2) or (targets.dim() == 1 and targets.size(0) < sum(widths)):
        raise RuntimeError(
            f"ctc_loss: targets {tuple(targets.shape)} must be (batch, longest) or all {sum(widths)} labels in a row"
        )


def _padded(targets: Tensor, widths: list[int], blank: int) -> Any:
    """(batch, 2 · longest + 1): every target's labels with blanks around each."""
    longest, made = max(widths), []
    rows = targets.tolist()  # type: ignore[attr-defined]
    start = 0
    for i, n in enumerate(widths):
        row = rows[i][:n] if targets.dim() == 2 else rows[start : start + n]
        start += n
        made.append([blank, *(label for x in row for label in (x, blank)), *[blank] * (2 * (longest - n))])
    return ops.tensor(made, dtype=int64, device=targets.device)


# ---------------------------------------------------------------- the sums
def _forbidden(labels: Any, blank: int, like: Tensor) -> Any:
    """0 where a state may be entered from two before it, _NEVER elsewhere: (batch, states)."""
    before = ops.pad(labels, (2, 0), value=blank)[:, :-2]
    allowed = (labels != blank) & (labels != before)
    allowed[:, :2] = False
    return ops.where(allowed, like.new_zeros(()), _NEVER)  # type: ignore[attr-defined]


def _here(log_probs: Any, labels: Any) -> Any:
    """(steps, batch, states): how likely each state's label is at each step."""
    found = log_probs.gather(2, labels.expand(log_probs.size(0), *labels.shape))
    return found.clamp_min(_NEVER)


@recorded("CtcLossBackward0")
def _ctc(log_probs: Any, labels: Any, steps: tuple, widths: tuple, blank: int, zero_infinity: bool) -> Any:
    log_probs = log_probs.contiguous()
    here, forbidden = _here(log_probs, labels), _forbidden(labels, blank, log_probs)
    batch = range(len(steps))
    first = ops.full_like(here[0], _NEVER)
    first[:, :2] = here[0, :, :2]
    alphas = [first]
    for t in range(1, log_probs.size(0)):
        wide = ops.pad(alphas[-1], (2, 0), value=_NEVER)
        alphas.append(_step(wide[:, 2:], wide[:, 1:-1], wide[:, :-2], forbidden, here[t]))  # type: ignore[attr-defined]
    alpha = ops.stack(alphas)
    ends = [(max(n - 1, 0), b, 2 * w) for n, b, w in zip(steps, batch, widths)]
    last = ops.stack([alpha[end] for end in ends])
    other = ops.stack([alpha[t, b, s - 1] if s else last[b] * 0 + _NEVER for t, b, s in ends])
    losses = -ops.logaddexp(last, other)
    losses = ops.where(losses > -_NEVER / 2, math.inf, losses)
    if 0 in steps:  # no steps: only no labels are possible
        none = [0.0 if w == 0 else math.inf for w in widths]
        losses = ops.where(ops.tensor([n == 0 for n in steps]), losses.new_tensor(none), losses)
    return losses, (log_probs, labels, alpha, losses, steps, widths, blank, zero_infinity)


@_ctc.backward
def _(node: Any, g: Any) -> tuple:
    log_probs, labels, alpha, losses, steps, widths, blank, zero_infinity = node.kept()
    here, forbidden = _here(log_probs, labels), _forbidden(labels, blank, log_probs)
    forbidden = ops.pad(forbidden, (0, 2), value=_NEVER)[:, 2:]  # of the state that is left for
    length = log_probs.size(0)
    states = ops.arange(labels.size(1), device=labels.device)
    width, last = ops.tensor(widths).unsqueeze(1), ops.tensor(steps).unsqueeze(1) - 1  # type: ignore[attr-defined]
    ends = (states == 2 * width) | (states == 2 * width - 1)
    beta = ops.full_like(here[0], _NEVER)
    gammas: list[Any] = [None] * length
    for t in range(length - 1, -1, -1):
        wide = ops.pad(beta, (0, 2), value=_NEVER)
        beta = _step(wide[:, :-2], wide[:, 1:-1], wide[:, 2:], forbidden, here[t])  # type: ignore[attr-defined]
        beta = ops.where((last == t) & ends, here[t], beta)
        beta = ops.where((last < t) | ((last == t) & ~ends), _NEVER, beta)
        gammas[t] = beta
    joint = (alpha + ops.stack(gammas) - here + losses.view(1, -1, 1)).exp()
    share = ops.zeros_like(log_probs).scatter_add_(2, labels.expand(length, *labels.shape), joint)
    grad = (log_probs.exp() - share) * g.view(1, -1, 1)
    inside = ops.arange(length).view(-1, 1, 1) <= last.view(1, -1, 1)  # type: ignore[attr-defined]
    if zero_infinity:
        inside = inside & (losses != math.inf).view(1, -1, 1)
    return (ops.where(inside, grad, 0.0),)
