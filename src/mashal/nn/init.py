"""First values of parameters: each function fills a tensor in place, without gradient, and returns it.

The draws come in PyTorch's order, their bounds computed in doubles in PyTorch's order of operations, so the same seed
gives the same parameters to the bit.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any

from mashal.core.interop import numpy
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.nearest import nearest
from mashal.ops import empty_like, from_numpy, randperm, where

_GAIN_ONE = ("linear", "sigmoid", *(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)))


# ---------------------------------------------------------------- what the bounds are made of
def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much a nonlinearity's weights must be scaled for the values to keep their variance.

    param: leaky_relu's negative slope, 0.01 if left out. Raises ValueError for a name without a known gain.

    >>> nn.init.calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity in _GAIN_ONE:
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"calculate_gain: leaky_relu's slope must be a number, not {slope!r}")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(
        f"calculate_gain: no gain is known for {nonlinearity!r}; "
        f"known are {', '.join(_GAIN_ONE)}, tanh, relu, leaky_relu, selu"
    )


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many values a weight adds up for each output, and how many outputs each input goes into."""
    if tensor.dim() < 2:
        raise ValueError(
            f"fan in and fan out are those of a weight with at least 2 dimensions; this tensor is {tuple(tensor.shape)}"
        )
    outputs, inputs, *window = tensor.shape
    return inputs * math.prod(window), outputs * math.prod(window)


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"kaiming: mode must be 'fan_in' or 'fan_out', not {mode!r}")
    return _calculate_fan_in_and_fan_out(tensor)[mode == "fan_out"]


# ---------------------------------------------------------------- constants
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value."""
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0."""
    with no_grad():
        return tensor.zero_()


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix; the tensor must have 2 dimensions.

    >>> nn.init.eye_(torch.empty(2, 3))
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    _check_dimensions("eye_", tensor, (2,))
    with no_grad():
        tensor.zero_()
        tensor.diagonal().fill_(1)
    return tensor


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution weight (3 to 5 dimensions) that passes as many channels as it can through unchanged."""
    _check_dimensions("dirac_", tensor, (3, 4, 5))
    outputs, inputs, *window = tensor.shape
    if outputs % groups:
        raise ValueError(f"dirac_: {outputs} output channels cannot be divided into {groups} groups")
    middle = tuple(n // 2 for n in window)
    with no_grad():
        tensor.zero_()
        for group in range(groups):
            for channel in range(min(outputs // groups, inputs)):
                tensor[(group * (outputs // groups) + channel, channel, *middle)] = 1
    return tensor


# ---------------------------------------------------------------- plain draws
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with numbers drawn evenly from [a, b)."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with numbers drawn from a normal distribution."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None
) -> Tensor:
    """Fill with numbers drawn from a normal distribution, of which those outside [a, b] are drawn again."""
    if std <= 0:
        raise ValueError(f"trunc_normal_: std must be positive, not {std}")
    if a >= b:
        raise ValueError(f"trunc_normal_: a must be less than b; they are {a} and {b}")
    inside = _normal_below((b - mean) / std) - _normal_below((a - mean) / std)
    with no_grad():
        draw = _redraw_what_is_outside if inside > 0.3 else _accept_by_density
        draw(tensor, mean, std, a, b, generator)
    return tensor


def _normal_below(x: float) -> float:
    """The share of a standard normal distribution below x."""
    return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0


def _redraw_what_is_outside(tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any) -> None:
    """Where most draws are inside: draw all again and take the new ones where the old are outside."""
    tensor.normal_(mean, std, generator=generator)
    outside = (tensor < a) | (tensor > b)
    while outside.any():
        again = empty_like(tensor).normal_(mean, std, generator=generator)
        tensor.copy_(where(outside, again, tensor))
        outside = (tensor < a) | (tensor > b)


def _accept_by_density(tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any) -> None:
    """Where most draws would be outside: draw evenly in [a, b], and keep each with the density it should have."""
    mode = min(max(mean, a), b)
    peak = -0.5 * ((mode - mean) / std) ** 2
    pending = None
    while pending is None or pending.any():
        candidate = empty_like(tensor).uniform_(a, b, generator=generator)
        chance = empty_like(tensor).uniform_(0, 1, generator=generator)
        tensor.copy_(candidate if pending is None else where(pending, candidate, tensor))
        refused = chance.log() > -0.5 * ((candidate - mean) / std) ** 2 - peak
        pending = refused if pending is None else pending & refused


# ---------------------------------------------------------------- by the size of the weight
def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Fill evenly from [-b, b), b = gain · sqrt(6 / (fan in + fan out)) (Glorot and Bengio, 2010)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    std = gain * math.sqrt(2.0 / float(fan_in + fan_out))
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Fill from a normal distribution with deviation gain · sqrt(2 / (fan in + fan out))."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / float(fan_in + fan_out)), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Fill evenly from [-b, b), b = gain · sqrt(3 / fan) (He and others, 2015).

    a: the slope, where the nonlinearity after this layer is leaky_relu. mode: "fan_in" keeps the variance of the
    values going forward, "fan_out" that of the gradients going back.
    """
    if 0 in tensor.shape:
        return _nothing_to_fill(tensor)
    bound = math.sqrt(3.0) * _kaiming_deviation(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Fill from a normal distribution with deviation gain / sqrt(fan); the arguments are kaiming_uniform_'s."""
    if 0 in tensor.shape:
        return _nothing_to_fill(tensor)
    return normal_(tensor, 0, _kaiming_deviation(tensor, a, mode, nonlinearity), generator)


def _kaiming_deviation(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    fan = _calculate_correct_fan(tensor, mode)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """Rows (or columns, if there are more rows) of length gain at right angles to each other (Saxe and others, 2013).

    The tensor has at least 2 dimensions; those after the first count as one.
    """
    if tensor.dim() < 2:
        raise ValueError(f"orthogonal_: the tensor must have at least 2 dimensions; it is {tuple(tensor.shape)}")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    columns = tensor.numel() // rows
    with no_grad():
        matrix = tensor.new_empty((rows, columns)).normal_(0, 1, generator=generator).cpu().numpy()
        q, r = numpy.linalg.qr(matrix.T if rows < columns else matrix)
        q = q * numpy.sign(numpy.diagonal(r))
        q = numpy.ascontiguousarray(q.T if rows < columns else q)
        tensor.copy_(from_numpy(q).view(tensor.shape)).mul_(gain)
    return tensor


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """A matrix of normal draws, of which in every column a share `sparsity`, rounded up, is 0."""
    _check_dimensions("sparse_", tensor, (2,))
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    with no_grad():
        tensor.normal_(0, std, generator=generator)
        for column in range(columns):
            tensor[randperm(rows)[:zeros], column] = 0
    return tensor


def _check_dimensions(operation: str, tensor: Tensor, allowed: tuple[int, ...]) -> None:
    if tensor.dim() not in allowed:
        counts = " or ".join(str(n) for n in allowed)
        raise ValueError(f"{operation}: the tensor must have {counts} dimensions; it is {tuple(tensor.shape)}")


def _nothing_to_fill(tensor: Tensor) -> Tensor:
    warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
    return tensor


# ---------------------------------------------------------------- old names, without the underscore
def _old_name(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    name = function.__name__

    @wraps(function)
    def old(*args: Any, **kwargs: Any) -> Tensor:
        warnings.warn(f"nn.init.{name[:-1]} is now nn.init.{name}", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    old.__name__ = name[:-1]
    old.__doc__ = f"The old name of {name}."
    return old


uniform = _old_name(uniform_)
normal = _old_name(normal_)
constant = _old_name(constant_)
eye = _old_name(eye_)
dirac = _old_name(dirac_)
xavier_uniform = _old_name(xavier_uniform_)
xavier_normal = _old_name(xavier_normal_)
kaiming_uniform = _old_name(kaiming_uniform_)
kaiming_normal = _old_name(kaiming_normal_)
orthogonal = _old_name(orthogonal_)
sparse = _old_name(sparse_)

__getattr__ = nearest(__name__)
