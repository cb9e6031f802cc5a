"""The common losses: their arguments as PyTorch has them, then the operation.

Everywhere `reduction` is "mean", "sum" or "none"; `size_average` and `reduce` are its old spellings.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.nn.functions.reduction import check_reduction, reduced, reduction_from
from mashal.ops.keeping import granted


# ---------------------------------------------------------------- classes
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input) at the target's class.

    input: (classes,), (batch, classes) or (batch, classes, *). target: classes, integers of input's shape without
    the classes, or probabilities of input's shape. weight: (classes,). Targets equal to ignore_index don't count.
    label_smoothing: how much of each target is spread over all classes, 0 to 1.

    >>> F.cross_entropy(torch.zeros(1, 2), torch.tensor([0]))
    tensor(0.6931)
    """
    if size_average is not None or reduce is not None:
        reduction = reduction_from(size_average, reduce, reduction)
    return ops.cross_entropy(
        input,
        target,
        weight=weight,
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-input at the target's class, for input that holds logarithms of probabilities; shapes as in cross_entropy."""
    reduction = reduction_from(size_average, reduce, reduction)
    return ops.nll_loss(input, target, weight=weight, ignore_index=ignore_index, reduction=reduction)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(t·log x + (1 - t)·log(1 - x)) for probabilities x; the logarithms are at least -100. Shapes must be equal."""
    reduction = reduction_from(size_average, reduce, reduction)
    check_same("binary_cross_entropy", input, target)
    return ops.binary_cross_entropy(input, target, weight=weight, reduction=reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """binary_cross_entropy of sigmoid(x), without its loss of digits. pos_weight multiplies t·log x."""
    reduction = reduction_from(size_average, reduce, reduction)
    check_same("binary_cross_entropy_with_logits", input, target)
    return ops.binary_cross_entropy_with_logits(
        input, target, weight=weight, pos_weight=pos_weight, reduction=reduction
    )


# ---------------------------------------------------------------- differences
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(x - t)². weight, of x's shape, multiplies the values; the mean is then divided by its sum."""
    reduction = reduction_from(size_average, reduce, reduction)
    return _difference("mse_loss", ops.mse_loss, input, target, weight, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|x - t|; weight as in mse_loss."""
    reduction = reduction_from(size_average, reduce, reduction)
    return _difference("l1_loss", ops.l1_loss, input, target, weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """(x - t)² / (2·beta) where |x - t| is below beta, |x - t| - beta / 2 elsewhere; beta 0 is l1_loss."""
    reduction = reduction_from(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss: beta must not be negative; it is {beta}")
    if beta == 0:
        return _difference("smooth_l1_loss", ops.l1_loss, input, target, None, reduction)
    return _difference("smooth_l1_loss", ops.smooth_l1_loss, input, target, None, reduction, beta=beta)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """(x - t)² / 2 where |x - t| is below delta, delta·(|x - t| - delta / 2) elsewhere; weight as in mse_loss."""
    if delta <= 0:
        raise RuntimeError(f"huber_loss: delta must be positive; it is {delta}")
    return _difference("huber_loss", ops.huber_loss, input, target, weight, reduction, delta=delta)


def _difference(
    name: str,
    operation: Callable[..., Tensor],
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    **options: Any,
) -> Tensor:
    """A loss of input - target, weighted where there is a weight; warns where the shapes differ."""
    if target.shape != input.shape:
        warnings.warn(
            f"{name}: target {tuple(target.shape)} has another shape than input {tuple(input.shape)}; "
            "the two are broadcast, which is seldom what is meant",
            stacklevel=3,
        )
    check_reduction(reduction, name)
    if weight is None:
        return operation(input, target, reduction=reduction, **options)
    if weight.shape != input.shape:
        raise ValueError(f"{name}: weight {tuple(weight.shape)} must have the shape of input {tuple(input.shape)}")
    losses = operation(input, target, reduction="none", **options) * weight
    return losses.sum() / weight.sum() if reduction == "mean" else reduced(losses, reduction, name)


# ---------------------------------------------------------------- distributions
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """t·(log t - x): how far log-probabilities x are from probabilities t (from their logarithms, with log_target).

    reduction "batchmean" divides the sum by the batch's size, which is the Kullback-Leibler divergence.
    """
    reduction = reduction_from(size_average, reduce, reduction)
    if reduction == "batchmean":
        total = ops.kl_div(input, target, reduction="sum", log_target=log_target)
        return total / input.size(0) if input.dim() else total
    check_reduction(reduction, "kl_div")
    if reduction == "mean":
        warnings.warn(
            "kl_div: reduction='mean' divides by the number of values; the divergence itself is 'batchmean'",
            stacklevel=2,
        )
    return ops.kl_div(input, target, reduction=reduction, log_target=log_target)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """exp(x) - t·x, or x - t·log(x + eps) without log_input; full adds Stirling's estimate of log t! where t > 1."""
    reduction = reduction_from(size_average, reduce, reduction)
    losses = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        losses = losses + ops.where(target > 1, stirling, ops.zeros_like(target))
    return reduced(losses, reduction, "poisson_nll_loss")


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log v + (x - t)² / v) / 2 with v the variance, taken to be at least eps; full adds log(2π) / 2.

    var: a number, or of input's shape, or without its last dim, or with 1 in one dim.
    """
    if not isinstance(var, Tensor):
        var = ops.full_like(input, var)
    elif var.shape != input.shape:
        if var.shape == input.shape[:-1]:
            var = var.unsqueeze(-1)
        elif var.dim() != input.dim() or sum(m for n, m in zip(input.shape, var.shape) if n != m) != 1:
            raise ValueError(f"gaussian_nll_loss: var {tuple(var.shape)} doesn't fit input {tuple(input.shape)}")
    check_reduction(reduction, "gaussian_nll_loss")
    if granted((var < 0).any()):
        raise ValueError("gaussian_nll_loss: var has negative entries; a variance is at least 0")
    variance = var + (var.clamp_min(eps) - var).detach()  # at least eps, with the gradient of var everywhere
    losses = 0.5 * (variance.log() + (input - target) ** 2 / variance)
    return reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction, "gaussian_nll_loss")


def check_same(operation: str, input: Tensor, target: Tensor) -> None:
    """ValueError unless input and target have the same shape."""
    if target.size() != input.size():
        raise ValueError(f"{operation}: target {tuple(target.shape)} must have the shape of input {tuple(input.shape)}")
