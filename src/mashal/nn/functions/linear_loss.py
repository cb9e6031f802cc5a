"""A linear layer and the cross entropy of its result, in one call."""

from __future__ import annotations

from typing import Any

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.nn.functions.losses import cross_entropy

__all__ = ["linear_cross_entropy"]


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:
    """cross_entropy(linear(input, linear_weight, linear_bias), target).

    input: (features,) or (batch, features). linear_weight: (classes, features), or (classes, *places, features) for a loss at each of
    several places; linear_bias without the features. options: how PyTorch would cut the work; the numbers don't depend on it.
    RuntimeError: shapes that do not go together, ignore_index for targets that are probabilities.

    >>> F.linear_cross_entropy(torch.ones(1, 2), torch.zeros(3, 2), torch.tensor([1]))
    tensor(1.0986)
    """
    classes, places = _check(input, linear_weight, linear_bias)
    many = len(places) > 0
    flat = linear_weight.reshape(-1, linear_weight.size(-1)) if many else linear_weight  # type: ignore[attr-defined]
    bias = linear_bias.reshape(-1) if many and linear_bias is not None else linear_bias  # type: ignore[attr-defined]
    logits = ops.linear(input, flat, bias)
    if many:
        logits = logits.view(input.size(0), classes, *places)  # type: ignore[attr-defined]
    if ignore_index is not None and target.shape == logits.shape:
        raise RuntimeError("linear_cross_entropy: ignore_index cannot be specified when target contains probabilities")
    ignored = -100 if ignore_index is None else ignore_index
    return cross_entropy(
        logits, target, weight, ignore_index=ignored, reduction=reduction, label_smoothing=label_smoothing
    )


def _check(input: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[int, tuple[int, ...]]:
    """(classes, places)."""
    name = "linear_cross_entropy"
    if input.dim() not in (1, 2):
        raise RuntimeError(f"{name}: expected input with dimensionality 1 or 2, got {input.dim()}")
    if weight.dim() < 2:
        raise RuntimeError(f"{name}: expected linear_weight with dimensionality at least 2, got {weight.dim()}")
    if input.shape[-1] != weight.shape[-1]:
        raise RuntimeError(
            f"{name}: expected equal input and linear_weight last dimensions (in_features), got {input.shape[-1]} and {weight.shape[-1]}"
        )
    expected = tuple(weight.shape[:-1])
    if bias is not None and tuple(bias.shape) != expected:
        raise RuntimeError(f"{name}: expected linear_bias shape {expected}, got {tuple(bias.shape)}")
    if len(expected) > 1 and input.dim() == 1:
        raise RuntimeError(
            f"{name}: a loss at several places, as linear_weight {tuple(weight.shape)} defines it, requires batched input, got "
            f"{tuple(input.shape)}"
        )
    return weight.size(0), expected[1:]
