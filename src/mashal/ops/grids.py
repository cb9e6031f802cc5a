"""grid_sample: images and volumes read at places between their elements; affine_grid: places of an affine map.

Places become, by operations, numbers of elements and their weights; ops.blending reads and adds up.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import reduce
from itertools import product
from math import prod
from operator import mul
from typing import Any

from mashal.core.dtypes import int32
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.blending import blend
from mashal.ops.creation import full_like, linspace, ones_like, zeros_like
from mashal.ops.define import spelled
from mashal.ops.joining import stack
from mashal.ops.selection import where

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


# ---------------------------------------------------------------- places
def _unnormalized(x: Any, n: int, corners: bool) -> Any:
    """Places from [-1, 1] as element numbers."""
    return (x + 1) * ((n - 1) / 2) if corners else ((x + 1) * n - 1) / 2


def _clipped(x: Any, n: int) -> Any:
    """Within the elements; without a gradient at the outermost ones and beyond."""
    x = where(x > 0, x, zeros_like(x))
    return where(x < n - 1, x, x.new_full((), n - 1))


def _reflected(x: Any, n: int, corners: bool) -> Any:
    """Mirrored at the outermost elements, or at their edges, as often as needed."""
    low, span = (0.0, float(n - 1)) if corners else (-0.5, float(n))
    if not span:
        return zeros_like(x)
    away = (x - low).abs()
    over = away % span
    even = (away / span).floor() % 2 == 0
    return where(even, over + low, span - over + low)


def _brought_in(x: Any, n: int, padding: str, corners: bool) -> Any:
    if padding == "border":
        return _clipped(x, n)
    return _clipped(_reflected(x, n, corners), n) if padding == "reflection" else x


# ---------------------------------------------------------------- elements
def _at(places: Sequence[Any], weight: Any, space: Sequence[int]) -> tuple[Any, Any]:
    """The numbers in a plane of whole places, one tensor for each dimension of space, and their weight: -1 and 0 outside."""
    number, valid = 0, True
    for x, n in zip(places, space):
        here = (x >= 0) & (x <= n - 1)
        number = number * n + where(here, x, zeros_like(x)).to(int32)
        valid = here & valid
    return where(valid, number, full_like(number, -1)), where(valid, weight, zeros_like(weight))


def _cubic_weights(t: Any) -> list[Any]:
    """Weights of the four elements around a place, t behind the second one."""
    a = -0.75
    near = lambda x: ((a + 2) * x - (a + 3)) * x * x + 1
    far = lambda x: ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _taps(places: list[Any], space: Sequence[int], mode: str, padding: str, corners: bool) -> list[tuple[Any, Any]]:
    """For each element that is looked at its number and its weight."""
    if mode == "nearest":
        whole = [_brought_in(p, n, padding, corners).detach().round() for p, n in zip(places, space)]
        return [_at(whole, ones_like(whole[0]), space)]
    taps = []
    if mode == "bicubic":
        whole = [p.detach().floor() for p in places]
        weights = [_cubic_weights(p - w) for p, w in zip(places, whole)]
        for tap in product(range(4), repeat=len(space)):
            spots = [_brought_in(w + (k - 1), n, padding, corners) for w, k, n in zip(whole, tap, space)]
            taps.append(_at(spots, reduce(mul, [w[k] for w, k in zip(weights, tap)]), space))
        return taps
    places = [_brought_in(p, n, padding, corners) for p, n in zip(places, space)]
    whole = [p.detach().floor() for p in places]
    shares = [p - w for p, w in zip(places, whole)]
    for corner in product((0, 1), repeat=len(space)):
        weight = reduce(mul, [s if k else 1 - s for s, k in zip(shares, corner)])
        taps.append(_at([w + k for w, k in zip(whole, corner)], weight, space))
    return taps


def _sampled(x: Any, grid: Any, mode: str, padding: str, corners: bool) -> Any:
    n, channels, *space = x.shape
    axes = zip(range(len(space) - 1, -1, -1), space)
    places = [_unnormalized(grid[..., i].reshape(n, -1), size, corners) for i, size in axes]
    taps = _taps(places, space, mode, padding, corners)
    numbers, weights = stack([number for number, _ in taps], 1), stack([weight for _, weight in taps], 1)
    return blend(x.reshape(n, channels, prod(space)), weights, numbers).reshape(n, channels, *grid.shape[1:-1])


# ---------------------------------------------------------------- the public functions
@spelled(("functional",))
def grid_sample(input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
                align_corners: bool | None = None) -> Tensor:  # fmt: skip
    """input (n, channels, height, width) read at the places grid (n, …, …, 2) says: (x, y) in [-1, 1]; or volumes, (x, y, z).

    mode: "bilinear" (between the elements around), "nearest", "bicubic" (images only). padding_mode: what lies outside: "zeros",
    "border" (the outermost elements), "reflection". align_corners: -1 and 1 are the outermost elements, not their edges.

    >>> x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> F.grid_sample(x, torch.tensor([[[[0.0, 0.0]]]]), align_corners=False)
    tensor([[[[2.5000]]]])
    """
    name = "grid_sample"
    for word, value, known in (("mode", mode, _MODES), ("padding_mode", padding_mode, _PADDINGS)):
        if value not in known:
            raise ValueError(
                message(name, f"expected {word} to be one of {', '.join(map(repr, known))}, but got {value!r}")
            )
    return _checked_sample(input, grid, mode, padding_mode, _corners(name, align_corners))


def _corners(name: str, align_corners: bool | None) -> bool:
    if align_corners is None:
        warnings.warn(
            f"{name}: align_corners is not given and is taken as False; say so to silence this warning", stacklevel=3
        )
    return bool(align_corners)


@spelled(("torch",))
def grid_sampler(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """grid_sample with modes by number: 0 bilinear, 1 nearest, 2 bicubic; 0 zeros, 1 border, 2 reflection."""
    return _checked_sample(input, grid, _MODES[interpolation_mode], _PADDINGS[padding_mode], align_corners)


@spelled(("torch",))
def grid_sampler_2d(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """grid_sampler, for images."""
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


@spelled(("torch",))
def grid_sampler_3d(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """grid_sampler, for volumes."""
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


def _checked_sample(x: Tensor, grid: Tensor, mode: str, padding: str, corners: bool) -> Tensor:
    name = "grid_sample"
    a, b = tuple(x.form.shape), tuple(grid.form.shape)
    if x.form.dtype is not grid.form.dtype:
        raise RuntimeError(
            message(name, f"expected input and grid to have same dtype, but got {x.dtype} and {grid.dtype}")
        )
    if len(a) not in (4, 5) or len(a) != len(b):
        wrong = f"expected 4D or 5D input and grid with same number of dimensions, but got sizes {a} and {b}"
        raise RuntimeError(message(name, wrong))
    if a[0] != b[0]:
        raise RuntimeError(message(name, f"expected grid and input to have same batch size, but got sizes {a} and {b}"))
    if b[-1] != len(a) - 2:
        raise RuntimeError(message(name, f"expected grid to have size {len(a) - 2} in last dimension, but got {b}"))
    if not all(a[2:]):
        raise RuntimeError(message(name, f"expected input to have non-empty spatial dimensions, but got {a}"))
    if len(a) == 5 and mode == "bicubic":
        raise RuntimeError(message(name, "bicubic interpolation only supports 4D input"))
    if x.form.dtype.kind != "f":
        raise NotImplementedError(message(name, f"not implemented for {x.dtype}"))
    return _sampled(x, grid, mode, padding, corners)


@spelled(("functional",))
def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The places (n, height, width, 2) that affine maps theta (n, 2, 3) send each element of images of a size to; or of volumes.

    >>> F.affine_grid(torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]), (1, 1, 1, 2), align_corners=False)
    tensor([[[[-0.5000,  0.0000],
              [ 0.5000,  0.0000]]]])
    """
    corners, size = _corners("affine_grid", align_corners), tuple(size)
    if theta.form.dtype.kind != "f":
        raise ValueError(message("affine_grid", f"Expected theta to have floating point type, but got {theta.dtype}"))
    if len(size) not in (4, 5):
        raise NotImplementedError(message("affine_grid", "only 4D and 5D sizes are supported", f"got {size}"))
    rank = len(size) - 2
    if theta.form.rank != 3 or tuple(theta.form.shape[1:]) != (rank, rank + 1):
        wrong = f"Expected a batch of affine matrices of shape (n, {rank}, {rank + 1}) for size {size}, got {tuple(theta.shape)}"
        raise ValueError(message("affine_grid", wrong))
    if min(size) <= 0:
        raise ValueError(message("affine_grid", f"Expected non-zero, positive output size. Got {size}"))
    return _affine(theta, size[2:], corners)


def _affine(theta: Any, space: tuple[int, ...], corners: bool) -> Any:
    rank = len(space)
    axes = []
    for i in range(rank - 1, -1, -1):  # x first
        n = space[i]
        axis = linspace(-1, 1, n, dtype=theta.dtype, device=theta.device) if n > 1 else theta.new_zeros(1)
        axis = axis if corners else axis * ((n - 1) / n)
        axes.append(axis.reshape([n if d == i else 1 for d in range(rank)]).expand(space))
    base = stack([*axes, ones_like(axes[0])], -1)  # (space …, rank + 1)
    flat = base.reshape(1, -1, rank + 1).expand(theta.shape[0], -1, -1)
    return flat.bmm(theta.transpose(1, 2)).reshape(theta.shape[0], *space, rank)


@spelled(("torch",))
def affine_grid_generator(theta: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """affine_grid, by its name in torch."""
    return affine_grid(theta, size, align_corners)
