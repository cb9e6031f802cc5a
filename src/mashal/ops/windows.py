"""Windows of signal processing: hann_window and its relatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mashal.core.dtypes import get_default_dtype
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.creation import arange, ones
from mashal.ops.define import spelled

TORCH = ("torch",)


def _window(name: str, length: int, periodic: bool, options: dict, value: Callable[[Tensor, int], Tensor]) -> Tensor:
    """value(0 … length - 1, the distance of the ends) as a tensor; a periodic window is one longer without its last element."""
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={length}")
    dtype, wants = options.pop("dtype", None) or get_default_dtype(), options.pop("requires_grad", False)
    if not dtype.is_floating_point:
        raise RuntimeError(message(name, f"expects floating point dtypes, got: {dtype}"))
    if length <= 1:
        result = ones(length, dtype=dtype, **options)
    else:
        result = value(arange(length, dtype=dtype, **options), length if periodic else length - 1)
    return result.requires_grad_() if wants else result


def _cosines(name: str, length: int, periodic: bool, options: dict, *terms: float) -> Tensor:
    """a₀ - a₁ cos(2πi/N) + a₂ cos(4πi/N)"""

    def value(i: Tensor, n: int) -> Tensor:
        total = terms[0] - terms[1] * (i * (2 * math.pi / n)).cos()
        return total + terms[2] * (i * (4 * math.pi / n)).cos() if len(terms) > 2 else total

    return _window(name, length, periodic, options, value)


@spelled(TORCH)
def hann_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """½ - ½ cos(2πi/N).

    >>> torch.hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _cosines("hann_window", window_length, periodic, options, 0.5, 0.5)


@spelled(TORCH)
def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, **options: Any
) -> Tensor:
    """α - β cos(2πi/N)."""
    return _cosines("hamming_window", window_length, periodic, options, alpha, beta)


@spelled(TORCH)
def blackman_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """0.42 - 0.5 cos(2πi/N) + 0.08 cos(4πi/N)."""
    return _cosines("blackman_window", window_length, periodic, options, 0.42, 0.5, 0.08)


@spelled(TORCH)
def bartlett_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """1 - |2i/N - 1|: a triangle."""
    return _window("bartlett_window", window_length, periodic, options, lambda i, n: 1 - (i * (2 / n) - 1).abs())


@spelled(TORCH)
def kaiser_window(window_length: int, periodic: bool = True, beta: float = 12.0, **options: Any) -> Tensor:
    """I₀(β √(1 - (2i/N - 1)²)) / I₀(β), with I₀ the modified Bessel function."""

    def value(i: Tensor, n: int) -> Tensor:
        rounded = ((1 - (i * (2 / n) - 1).square()).clamp(min=0).sqrt() * beta).i0()
        return rounded / ones(1, dtype=i.dtype).mul(beta).i0()

    return _window("kaiser_window", window_length, periodic, options, value)
