"""interpolate: images, signals and volumes in other sizes. Every mode is a `Map` for each dimension (ops.resampling).

Source places are worked out in the precision of the elements (half precisions: float32), as PyTorch does: where a place falls on an
element's edge, another rounding would choose another element.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from mashal.core.dtypes import float32, uint8
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.averages import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from mashal.ops.copying import check_tensor
from mashal.ops.define import spelled
from mashal.ops.resampling import Map, linear_map, mapped
from mashal.ops.run import scalar_name

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
_CAPITAL = {"nearest": "Nearest", "nearest-exact": "NearestExact", "linear": "Linear", "bilinear": "Bilinear",
            "trilinear": "Trilinear", "bicubic": "Bicubic", "lanczos": "Lanczos"}  # fmt: skip


# ---------------------------------------------------------------- places, in a precision
def _single(x: float) -> float:
    return struct.unpack("f", struct.pack("f", x))[0]


def _double(x: float) -> float:
    return x


def _scale(n: int, m: int, given: float | None, at: Callable[[float], float]) -> float:
    """Elements for a result."""
    return at(1.0 / given) if given is not None and given > 0 else at(at(n) / at(m))


def _corner_scale(n: int, m: int, given: float | None, corners: bool, at: Callable[[float], float]) -> float:
    if corners:
        return at(at(n - 1) / at(m - 1)) if m > 1 else 0.0
    return _scale(n, m, given, at)


def _place(scale: float, j: int, corners: bool, at: Callable[[float], float]) -> float:
    """Where the j-th result lies among the elements."""
    return at(scale * j) if corners else at(at(scale * at(j + 0.5)) - 0.5)


# ---------------------------------------------------------------- maps
@lru_cache(maxsize=1024)
def nearest_map(n: int, m: int, given: float | None, exact: bool) -> Map:
    """The element at the result's place; exact: at the middle of the result."""
    if exact:
        scale = _scale(n, m, given, _single)
        starts = [min(int(_single(_single(j + 0.5) * scale)), n - 1) for j in range(m)]
    elif n == m:
        starts = list(range(n))
    elif m == 2 * n:
        starts = [j >> 1 for j in range(m)]
    else:
        scale = _scale(n, m, given, _single)
        starts = [min(int(_single(j * scale)), n - 1) for j in range(m)]
    return Map(n, starts, [1] * m)


@lru_cache(maxsize=1024)
def linear_of(n: int, m: int, given: float | None, corners: bool, double: bool) -> Map:
    """The two elements around the result's place, weighted by their distance."""
    if n == m:
        return Map(n, range(n), [1] * n)
    at = _double if double else _single
    scale, starts, weights = _corner_scale(n, m, given, corners, at), [], []
    for j in range(m):
        place = max(_place(scale, j, corners, at), 0.0)
        first = min(int(place), n - 1)
        share = min(max(at(place - first), 0.0), 1.0)
        starts.append(first)
        weights.append([at(1 - share), share] if first < n - 1 else [1.0])
    return Map(n, starts, [len(w) for w in weights], weights)


def _cubic(x: float, a: float) -> float:
    """Keys' cubic convolution kernel."""
    x = abs(x)
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a if x < 2 else 0.0


@lru_cache(maxsize=1024)
def cubic_of(n: int, m: int, given: float | None, corners: bool, double: bool) -> Map:
    """Four elements around the result's place; those outside are the outermost."""
    at = _double if double else _single
    scale, starts, weights = _corner_scale(n, m, given, corners, at), [], []
    for j in range(m):
        place = _place(scale, j, corners, at)
        middle = min(math.floor(place), n - 1)
        share = min(max(at(place - middle), 0.0), 1.0)
        low, high = min(max(middle - 1, 0), n - 1), min(max(middle + 2, 0), n - 1)
        row = [0.0] * (high - low + 1)
        for k in range(-1, 3):
            row[min(max(middle + k, 0), n - 1) - low] += _cubic(share - k, -0.75)
        starts.append(low)
        weights.append(row)
    return Map(n, starts, [len(w) for w in weights], weights)


def _sinc(x: float) -> float:
    return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)


_FILTERS: dict[str, tuple[float, Callable[[float], float]]] = {
    "bilinear": (1.0, lambda x: max(1 - abs(x), 0.0)),
    "bicubic": (2.0, lambda x: _cubic(x, -0.5)),
    "lanczos": (3.0, lambda x: _sinc(x) * _sinc(x / 3) if abs(x) < 3 else 0.0),
}


@lru_cache(maxsize=1024)
def smooth_of(n: int, m: int, given: float | None, corners: bool, mode: str, double: bool) -> Map:
    """A filter as wide as the result's share of the elements (antialias)."""
    at = _double if double else _single
    reach, filter = _FILTERS[mode]
    scale, starts, weights = _corner_scale(n, m, given, corners, at), [], []
    wide = max(scale, 1.0)
    for j in range(m):
        center = at(scale * (j + 0.5))
        low = max(int(center - reach * wide + 0.5), 0)
        high = max(min(int(center + reach * wide + 0.5), n), low + 1)
        row = [filter((k - center + 0.5) / wide) for k in range(low, high)]
        total = sum(row) or 1.0
        starts.append(low)
        weights.append([w / total for w in row])
    return Map(n, starts, [len(w) for w in weights], weights)


def _map(mode: str, n: int, m: int, given: float | None, corners: bool, smooth: bool, double: bool) -> Map:
    if mode.startswith("nearest"):
        return nearest_map(n, m, given, mode == "nearest-exact")
    if smooth:
        return smooth_of(n, m, given, corners, mode, double)
    if mode == "bicubic":
        return cubic_of(n, m, given, corners, double)
    return linear_of(n, m, given, corners, double)


# ---------------------------------------------------------------- the functions
_resampled = {
    name: linear_map(f"Upsample{name}")
    for name in [
        *(f"{kind}{rank}D" for kind in ("Nearest", "NearestExact") for rank in (1, 2, 3)),
        *("Linear1D", "Bilinear2D", "Trilinear3D", "Bicubic2D", "Bilinear2DAa", "Bicubic2DAa", "Lanczos2DAa"),
    ]
}


def _interpolated(
    x: Tensor, size: Sequence[int], scales: Sequence[float | None], mode: str, corners: bool, smooth: bool
) -> Tensor:
    rank, d = x.form.rank - 2, x.form.dtype
    name = f"upsample_{mode.replace('-', '_')}{rank}d"
    if min(size) < 1 or min(x.form.shape[2:]) < 1 or not x.form.shape[1]:
        wrong = (
            f"Input and output sizes should be greater than 0, but got input {tuple(x.shape)} and output {tuple(size)}"
        )
        raise RuntimeError(message(name, wrong))
    if d.kind != "f" and d is not uint8:
        raise NotImplementedError(f"{name}: not implemented for '{scalar_name(d)}'")
    space, double = x.form.shape[2:], d.name == "float64" or (d is uint8 and not mode.startswith("nearest"))
    maps = tuple(
        (i + 2, _map(mode, n, m, s, corners, smooth, double)) for i, (n, m, s) in enumerate(zip(space, size, scales))
    )
    if d is uint8 and not mode.startswith("nearest"):
        return _bytes_mapped(x, maps)
    return _resampled[f"{_CAPITAL[mode]}{rank}D{'Aa' if smooth else ''}"](x, maps)


def _bytes_mapped(x: Tensor, maps: Sequence[tuple[int, Map]]) -> Tensor:
    """x of bytes with maps applied along dimensions, the last one first; rounded after each, as PyTorch's images are."""
    for d, by in reversed(maps):
        y = mapped(x.to(float32), [(d, _fixed_point(by))])  # type: ignore[attr-defined]
        x = (y + 0.5).floor().clamp(0, 255).to(uint8)
    return x


@lru_cache(maxsize=1024)
def _fixed_point(by: Map) -> Map:
    """A map with its weights as integers of 15 bits, over a common power of two: with them float32 is exact."""
    if by.identity or by.weights is None:
        return by
    weights = [[w / by.divisors[j] if by.divisors else w for w in row] for j, row in enumerate(by.weights)]
    top = max(max(row, default=0.0) for row in weights)
    bits = 0
    while bits < 22 and int(0.5 + top * 2 ** (bits + 1)) < 1 << 15:
        bits += 1
    fixed = [[math.copysign(int(0.5 + abs(w) * 2**bits), w) / 2**bits for w in row] for row in weights]
    return Map(by.n, by.starts, by.counts, fixed)


@spelled(("functional",))
def interpolate(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
                recompute_scale_factor: bool | None = None, antialias: bool = False) -> Tensor:  # fmt: skip
    """input (n, channels, space …), with one to three dimensions of space, in another size, or so many times as large.

    mode: "nearest", "nearest-exact", "area" (means); "linear", "bilinear", "trilinear" for one, two, three dimensions; "bicubic" for
    two; "lanczos" with antialias. align_corners: the outermost elements keep their places, rather than the edges.
    recompute_scale_factor: the scale is that of the sizes, not the one given. antialias: shrinking looks at all elements.

    >>> F.interpolate(torch.tensor([[[1.0, 2.0]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    >>> F.interpolate(torch.tensor([[[1.0, 2.0]]]), size=3, mode="linear", align_corners=True)
    tensor([[[1.0000, 1.5000, 2.0000]]])
    """
    check_tensor("interpolate", input)
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        wrong = f"align_corners option can only be set with linear, bilinear, bicubic and trilinear, not {mode!r}"
        raise ValueError(message("interpolate", wrong))
    rank = input.form.rank - 2
    sizes, scales = _wanted(input, rank, size, scale_factor)
    if recompute_scale_factor and size is not None:
        raise ValueError(message("interpolate", "recompute_scale_factor is not meaningful with an explicit size"))
    if sizes is None:
        sizes = [int(n * s) for n, s in zip(input.form.shape[2:], scales)]
    if size is not None or recompute_scale_factor or mode == "area":
        scales = [None] * rank
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and rank == 2):
        wrong = (
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input"
        )
        raise ValueError(message("interpolate", wrong))
    if mode == "area" and 1 <= rank <= 3:
        return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[rank - 1](input, sizes)
    _check_mode(input, mode, rank, antialias)
    return _interpolated(input, sizes, scales, mode, bool(align_corners), antialias)


def _wanted(x: Tensor, rank: int, size: Any, factor: Any) -> tuple[list[int] | None, list[Any]]:
    """(sizes or None, factors), of which one is given."""
    if size is not None and factor is not None:
        raise ValueError(message("interpolate", "only one of size or scale_factor should be defined"))
    if size is None and factor is None:
        raise ValueError(message("interpolate", "either size or scale_factor should be defined"))
    word, value = ("size", size) if size is not None else ("scale_factor", factor)
    values: list[Any] = list(value) if isinstance(value, (tuple, list)) else [value] * max(rank, 0)
    if len(values) != rank:
        wrong = f"input {tuple(x.shape)} has {rank} dimensions of space, {word} {value!r} has {len(values)} values"
        raise ValueError(message("interpolate", wrong))
    if size is None:
        return None, [float(v) for v in values]
    if not all(hasattr(v, "__index__") for v in values):
        raise TypeError(message("interpolate", f"expected size to be an int or a tuple of ints, but got {size!r}"))
    return [v.__index__() for v in values], []


def _check_mode(x: Tensor, mode: str, rank: int, antialias: bool) -> None:
    """NotImplementedError for a mode that isn't for these dimensions."""
    if mode == "lanczos" and not antialias:
        raise ValueError(message("interpolate", "mode 'lanczos' needs antialias=True"))
    ranks = {"nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "linear": (1,), "bilinear": (2,), "bicubic": (2,), "trilinear": (3,),
             "lanczos": (2,)}  # fmt: skip
    if rank not in ranks.get(mode, ()):
        known = f"mode {mode!r} is for {' or '.join(f'{r + 2}D' for r in ranks.get(mode, ())) or 'no'} inputs"
        raise NotImplementedError(message("interpolate", known, f"got {x.form.rank}D input {tuple(x.shape)}"))


@spelled(("functional",))
def upsample(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
             align_corners: bool | None = None) -> Tensor:  # fmt: skip
    """interpolate, by its old name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


@spelled(("functional",))
def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """interpolate by the nearest element."""
    return interpolate(input, size, scale_factor, "nearest")


@spelled(("functional",))
def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """interpolate between four elements, with aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)
