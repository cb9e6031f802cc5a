"""Normalizations over a batch or a neighbourhood; those over a row are operations of their own."""

from __future__ import annotations

import math

from mashal import ops
from mashal.core.tensor import Tensor


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(variance + eps)·weight + bias for each channel (dim 1).

    training: mean and variance are the batch's, and the running ones move towards them by momentum; otherwise they
    are the running ones. ValueError in training where a channel has a single value.
    """
    if eps < 0 or (training and eps == 0):
        raise ValueError(f"batch_norm: eps must be {'positive' if training else 'non-negative'}, it is {eps}")
    if training and input.dim() > 1 and 0 < input.numel() == input.size(1):
        raise ValueError(
            f"batch_norm: expected more than 1 value per channel when training, got input {tuple(input.shape)}"
        )
    return ops.batch_norm(
        input,
        running_mean,
        running_var,
        weight=weight,
        bias=bias,
        training=training,
        momentum=momentum,
        eps=eps,
    )


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """batch_norm for each example of (batch, channels, *) by itself; the running values follow the batch's mean."""
    batch, channels, *window = input.shape
    if use_input_stats and math.prod(window) == 1:
        raise ValueError(
            f"instance_norm: expected more than 1 spatial element when training, got input {tuple(input.shape)}"
        )

    def repeated(values: Tensor | None) -> Tensor | None:
        return None if values is None else values.repeat(batch)

    mean, variance = repeated(running_mean), repeated(running_var)
    joined = input.reshape(1, batch * channels, *window)
    result = ops.batch_norm(
        joined,
        mean,
        variance,
        weight=repeated(weight),
        bias=repeated(bias),
        training=use_input_stats,
        momentum=momentum,
        eps=eps,
    )
    if (
        use_input_stats
        and running_mean is not None
        and running_var is not None
        and mean is not None
        and variance is not None
    ):
        running_mean.copy_(mean.view(batch, channels).mean(0))
        running_var.copy_(variance.view(batch, channels).mean(0))
    return result.view(input.shape)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha·mean of x² over `size` neighbouring channels)^beta, channels in dim 1 (at least 3 dimensions)."""
    if input.dim() < 3:
        raise ValueError(
            f"local_response_norm: expected (batch, channels, *) with at least 3 dimensions, got {tuple(input.shape)}"
        )
    if input.numel() == 0:
        return input
    squares = input * input
    before, after = size // 2, (size - 1) // 2
    edges = [squares.new_zeros((input.size(0), n, *input.shape[2:])) for n in (before, after)]
    padded = ops.cat([edges[0], squares, edges[1]], 1)
    total = padded.narrow(1, 0, input.size(1))
    for offset in range(1, size):
        total = total + padded.narrow(1, offset, input.size(1))
    return input / (total / size * alpha + k) ** beta
