"""Activations that can write over their input, and softmax and its relatives with their old default dim."""

from __future__ import annotations

import warnings
from typing import Any

from mashal import ops
from mashal.core.tensor import Tensor


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return ops.relu_(input) if inplace else ops.relu(input)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """x, no less than 0 and no more than 6."""
    return hardtanh(input, 0.0, 6.0, inplace)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x, no less than min_val and no more than max_val. ValueError if min_val is above max_val."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val must not be above max_val; they are {min_val} and {max_val}")
    return (ops.hardtanh_ if inplace else ops.hardtanh)(input, min_val, max_val)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where it is above threshold, elsewhere value."""
    return (ops.threshold_ if inplace else ops.threshold)(input, threshold, value)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x above 0, alpha·(exp(x) - 1) below."""
    return (ops.elu_ if inplace else ops.elu)(input, alpha)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x above 0, alpha·(exp(x / alpha) - 1) below."""
    return (ops.celu_ if inplace else ops.celu)(input, alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """elu with the alpha and the scale that keep mean 0 and variance 1 from layer to layer."""
    return (ops.selu_ if inplace else ops.selu)(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x above 0, negative_slope·x below."""
    return (ops.leaky_relu_ if inplace else ops.leaky_relu)(input, negative_slope)


def rrelu(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """leaky_relu whose slope is drawn from [lower, upper) in training, and their middle otherwise."""
    result = ops.rrelu(input, lower, upper, training)
    return input.copy_(result) if inplace else result


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """rrelu, written into its input."""
    return rrelu(input, lower, upper, training, inplace=True)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """x / 6 + 1/2, no less than 0 and no more than 1."""
    return (ops.hardsigmoid_ if inplace else ops.hardsigmoid)(input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x·hardsigmoid(x)."""
    return (ops.hardswish_ if inplace else ops.hardswish)(input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x·sigmoid(x)."""
    return (ops.silu_ if inplace else ops.silu)(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x·tanh(log(1 + exp(x)))."""
    return (ops.mish_ if inplace else ops.mish)(input)


# ---------------------------------------------------------------- along a dim
def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """exp(x) / Σ exp(x) along dim.

    >>> F.softmax(torch.tensor([1.0, 1.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    return ops.softmax(input, _chosen(dim, input, "softmax", _stacklevel), dtype=dtype)  # pyright: ignore[reportCallIssue]


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """softmax of -x."""
    return ops.softmax(-input, _chosen(dim, input, "softmin", _stacklevel), dtype=dtype)  # pyright: ignore[reportCallIssue]


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """The logarithm of softmax, with the digits that log(softmax(x)) loses."""
    return ops.log_softmax(input, _chosen(dim, input, "log_softmax", _stacklevel), dtype=dtype)


def _chosen(dim: int | None, input: Tensor, operation: str, stacklevel: int) -> int:
    """dim, or where none is given PyTorch's old choice: 0 for 0, 1 and 3 dimensions, else 1."""
    if dim is not None:
        return dim
    warnings.warn(
        f"Implicit dimension choice for {operation} has been deprecated. Change the call to include dim=X as an "
        "argument.",
        stacklevel=stacklevel,
    )
    return 0 if input.dim() in (0, 1, 3) else 1


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A random choice along dim with probabilities softmax(logits), smoothed by tau so that it has a gradient.

    hard: the choice itself (a 1 among 0), with the smooth one's gradient.
    """
    noise = -ops.empty_like(logits).exponential_().log()
    smooth = ops.softmax((logits + noise) / tau, dim)  # pyright: ignore[reportCallIssue]
    if not hard:
        return smooth
    index = smooth.max(dim, keepdim=True)[1]
    return ops.zeros_like(logits).scatter_(dim, index, 1.0) - smooth.detach() + smooth


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return input / (input.abs() + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return input - input.tanh()


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return input.tanh()


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return input.sigmoid()
