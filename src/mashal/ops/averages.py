"""Means over windows: avg_pool of one, two and three dimensions, adaptive_avg_pool, lp_pool."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

from mashal.core.dtypes import int64
from mashal.core.nested import tensor_from_data
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.copying import check_tensor
from mashal.ops.define import spelled, write_out
from mashal.ops.division import div
from mashal.ops.reductions import mean
from mashal.ops.remembered import Door
from mashal.ops.resampling import Map, linear_map, mapped
from mashal.ops.run import scalar_name
from mashal.ops.windowing import adaptive_bounds, check_adaptive, check_space, per_dimension, positions, targets

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
]

_averaged = {1: linear_map("AvgPool1D"), 2: linear_map("AvgPool2D"), 3: linear_map("AvgPool3D")}
_adapted = {1: linear_map("AdaptiveAvgPool1D"), 2: linear_map("AdaptiveAvgPool2D"), 3: linear_map("AdaptiveAvgPool3D")}


# ---------------------------------------------------------------- windows of one size
@lru_cache(maxsize=1024)
def _windows(n: int, k: int, s: int, p: int, ceil: bool, padded: bool, divided: bool) -> Map:
    """Means (divided; else sums) of windows; padded: zeros of the padding count as elements."""
    starts, counts, sizes = [], [], []
    for j in range(positions("avg_pool", n, k, s, p, 1, ceil)):
        low, high = j * s - p, min(j * s - p + k, n + p)
        inside = max(low, 0), min(high, n)
        starts.append(min(inside[0], n))
        counts.append(max(inside[1] - inside[0], 0))
        sizes.append(high - low if padded else max(counts[-1], 1))
    return Map(n, starts, counts, None, sizes if divided else None)


def _averages(rank: int, x: Any, kernel: Any, stride: Any, padding: Any, ceil: Any, padded: Any, divisor: Any) -> Any:
    """What is known of such a call, or its result."""
    name = f"avg_pool{rank}d"
    check_tensor(name, x)
    kernel = per_dimension(name, "kernel_size", kernel, rank, 1)
    stride = (
        kernel if stride is None or stride == [] or stride == () else per_dimension(name, "stride", stride, rank, 1)
    )
    padding = per_dimension(name, "padding", padding, rank, 0)
    check_space(name, x, rank, kernel, padding, (1,) * rank)
    if divisor is not None and not divisor:
        raise RuntimeError(message(name, "divisor must be not zero"))
    d = x.form.dtype
    if d.kind not in "f" and d is not int64:
        raise NotImplementedError(f"{name}: not implemented for '{scalar_name(d)}'")
    space = x.form.shape[-rank:]
    whole = d is int64
    make = lambda divided: tuple(
        (i - rank, _windows(n, k, s, p, bool(ceil), bool(padded), divided))
        for i, (n, k, s, p) in enumerate(zip(space, kernel, stride, padding))
    )
    if whole:
        return _whole_averages(x, make(False), make(True), divisor)
    if divisor is None:
        return _averaged[rank].known(x, make(True))
    return _averaged[rank](x, make(False)) / int(divisor)  # type: ignore[operator]


_doors = {rank: Door(partial(_averages, rank), 1) for rank in (1, 2, 3)}


def _whole_averages(x: Tensor, sums: Any, means: Any, divisor: int | None) -> Tensor:
    """Of integers: the sums of windows by how many elements they have, towards zero."""
    by: Any = divisor
    if by is None:
        by = 1
        for d, each in means:
            by = tensor_from_data(list(each.divisors), int64, None).view(-1, *(1,) * (-d - 1)) * by  # type: ignore[attr-defined]
    return div(mapped(x, sums), by, rounding_mode="trunc")


@spelled(("torch", "functional"))
def avg_pool1d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Tensor:  # fmt: skip
    """Means of windows of kernel_size elements of (n, channels, length), or without n; windows begin at every stride-th.

    stride: by default kernel_size. padding: zeros on both sides, which count as elements unless count_include_pad is False.
    ceil_mode: a last window may reach beyond the end.

    >>> F.avg_pool1d(torch.tensor([[1.0, 3.0, 5.0, 7.0]]), 2)
    tensor([[2., 6.]])
    """
    return _doors[1].find(input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@spelled(("functional",))
def avg_pool2d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None, *, out: Tensor | None = None) -> Tensor:  # fmt: skip
    """As avg_pool1d, for images (n, channels, height, width). divisor_override: what sums are divided by instead.

    >>> F.avg_pool2d(torch.ones(1, 1, 4, 4), 2)
    tensor([[[[1., 1.],
              [1., 1.]]]])
    """
    y = _doors[2].find(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return y if out is None else write_out("avg_pool2d", out, y)


@spelled(("functional",))
def avg_pool3d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None, *, out: Tensor | None = None) -> Tensor:  # fmt: skip
    """As avg_pool2d, for volumes (n, channels, depth, height, width)."""
    y = _doors[3].find(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return y if out is None else write_out("avg_pool3d", out, y)


# ---------------------------------------------------------------- windows for a number of results
@lru_cache(maxsize=1024)
def adaptive_map(n: int, m: int) -> Map:
    """Means of m windows that cover n elements."""
    bounds = [adaptive_bounds(j, n, m) for j in range(m)]
    counts = [high - low for low, high in bounds]
    return Map(n, [low for low, _ in bounds], counts, None, counts)


def _adaptive(rank: int, x: Any, size: Any) -> Any:
    """What is known of such a call, or its result."""
    name = f"adaptive_avg_pool{rank}d"
    check_tensor(name, x)
    size = targets(name, size, x, rank)
    check_adaptive(name, x, rank, size)
    if x.form.dtype.kind != "f":
        raise NotImplementedError(f"{name}: not implemented for '{scalar_name(x.form.dtype)}'")
    space = x.form.shape[-rank:]
    if size == (1,) * rank and x.form.numel:
        return mean(x, tuple(range(-rank, 0)), True)
    return _adapted[rank].known(x, tuple((i - rank, adaptive_map(n, m)) for i, (n, m) in enumerate(zip(space, size))))


_adaptive_doors = {rank: Door(partial(_adaptive, rank), 1) for rank in (1, 2, 3)}


@spelled(("torch", "functional"))
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Means of output_size windows that cover the length of (n, channels, length), or without n.

    >>> F.adaptive_avg_pool1d(torch.tensor([[1.0, 3.0, 5.0, 7.0]]), 2)
    tensor([[2., 6.]])
    """
    return _adaptive_doors[1].find(input, output_size)


@spelled(("functional",))
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """As adaptive_avg_pool1d, for images; output_size: (height, width), None for the input's."""
    return _adaptive_doors[2].find(input, output_size)


@spelled(("functional",))
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """As adaptive_avg_pool1d, for volumes; output_size: (depth, height, width), None for the input's."""
    return _adaptive_doors[3].find(input, output_size)


# ---------------------------------------------------------------- lp_pool
def _lp(rank: int, x: Tensor, norm: float, kernel: Any, stride: Any, ceil: bool) -> Tensor:
    kernel = per_dimension(f"lp_pool{rank}d", "kernel_size", kernel, rank, 1)
    count = 1
    for k in kernel:
        count *= k
    means = _doors[rank].find(x.pow(norm), kernel, stride, 0, ceil, True, None)  # type: ignore[attr-defined]
    return (means * count).pow(1.0 / norm)  # type: ignore[attr-defined]


@spelled(("functional",))
def lp_pool1d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """(Σ x^p)^(1/p) of windows, p = norm_type; without absolute values.

    >>> F.lp_pool1d(torch.tensor([[3.0, 4.0]]), 2, 2)
    tensor([[5.]])
    """
    return _lp(1, input, norm_type, kernel_size, stride, ceil_mode)


@spelled(("functional",))
def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """As lp_pool1d, for images."""
    return _lp(2, input, norm_type, kernel_size, stride, ceil_mode)


@spelled(("functional",))
def lp_pool3d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """As lp_pool1d, for volumes."""
    return _lp(3, input, norm_type, kernel_size, stride, ceil_mode)
