"""Dropout and its relatives: the arguments checked, then the operation that draws.

In training each value (or, in those that end in a number of dimensions, each channel) is set to 0 with probability p,
and the others are divided by 1 - p; otherwise nothing happens.
"""

from __future__ import annotations

import warnings

from mashal import ops
from mashal.core.tensor import Tensor


def check_probability(operation: str, p: float) -> None:
    """ValueError unless p lies between 0 and 1."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{operation}: dropout probability has to be between 0 and 1, but got {p}")


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set values to 0 with probability p and divide the others by 1 - p.

    >>> F.dropout(torch.ones(2), training=False)
    tensor([1., 1.])
    """
    check_probability("dropout", p)
    return ops.dropout_(input, p, training) if inplace else ops.dropout(input, p, training)  # pyright: ignore[reportCallIssue]


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout that keeps mean and variance of what selu returns."""
    check_probability("alpha_dropout", p)
    return ops.alpha_dropout_(input, p, training) if inplace else ops.alpha_dropout(input, p, training)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """alpha_dropout of whole channels."""
    check_probability("feature_alpha_dropout", p)
    operation = ops.feature_alpha_dropout_ if inplace else ops.feature_alpha_dropout
    return operation(input, p, training)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels of (batch, channels, length) or (channels, length)."""
    check_probability("dropout1d", p)
    if input.dim() not in (2, 3):
        raise RuntimeError(
            f"dropout1d: input {tuple(input.shape)} has {input.dim()} dimensions; "
            "expected (channels, length) or (batch, channels, length)"
        )
    return _without_batch(input, p, training, inplace) if input.dim() == 2 else _whole(input, p, training, inplace)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels of (batch, channels, height, width)."""
    check_probability("dropout2d", p)
    if input.dim() not in (3, 4):
        _warn_of_dimensions("dropout2d", input, "(batch, channels, height, width)")
    return _whole(input, p, training, inplace)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels of (batch, channels, depth, height, width) or the same without batch."""
    check_probability("dropout3d", p)
    if input.dim() not in (4, 5):
        _warn_of_dimensions("dropout3d", input, "(batch, channels, depth, height, width)")
    return _without_batch(input, p, training, inplace) if input.dim() == 4 else _whole(input, p, training, inplace)


def _whole(input: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    return ops.feature_dropout_(input, p, training) if inplace else ops.feature_dropout(input, p, training)


def _without_batch(input: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    result = _whole(input.unsqueeze(0), p, training, inplace).squeeze(0)
    return input if inplace else result


def _warn_of_dimensions(operation: str, input: Tensor, expected: str) -> None:
    warnings.warn(
        f"{operation}: input {tuple(input.shape)} has {input.dim()} dimensions; expected {expected}", stacklevel=3
    )
