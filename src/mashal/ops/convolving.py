"""Plans of convolutions and their transposes on floating tensors: tables of where windows' elements lie, for lower.convolve.

Everything is worked out in three dimensions of space, those that are missing have size 1. In a spaced copy of the source (zeros
around planes, the phases of a stride apart) a window's element lies at a distance from its first one that is the same for all windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any, NamedTuple

from mashal.core.dtypes import int64
from mashal.core.forms import Form
from mashal.core.nested import table_of
from mashal.core.tensor import Tensor, plan_of
from mashal.lang.recipes import Counted
from mashal.lower import convolve, depthwise, tilings
from mashal.lower.emit import register_type
from mashal.machine.text import SIZES
from mashal.ops.run import kernel_of
from mashal.ops.sliding import Geometry

__all__ = ["Space", "Spaced", "correlation_plan", "space_of", "spread_plan"]


class Space(NamedTuple):
    """A geometry in three dimensions: kernel, stride, zeros before, dilation, results; and the source's sizes."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    low: tuple[int, ...]
    dilation: tuple[int, ...]
    results: tuple[int, ...]
    source: tuple[int, ...]


def space_of(source: Sequence[int], kernel: Sequence[int], results: Sequence[int], geometry: Geometry) -> Space:
    fill = lambda values, n: (n,) * (3 - len(kernel)) + tuple(values)
    one = lambda values: fill(values, 1)
    return Space(
        one(kernel), one(geometry.stride), fill(geometry.low, 0), one(geometry.dilation), one(results), one(source)
    )


class Spaced(NamedTuple):
    """How a source lies when it is read: first: of each phase, three numbers; sizes: of a phase; direct: where it is."""

    first: list[tuple[int, ...]]
    step: tuple[int, ...]
    sizes: tuple[int, ...]
    direct: bool

    @property
    def channel(self) -> int:
        """Elements of a channel."""
        return len(self.first) * prod(self.sizes)


class Part(NamedTuple):
    """One part of a call: distances of the terms in the source and in the weights; results; where they go in y."""

    koff: list[int]
    aoff: list[int]
    results: tuple[int, ...]
    base: int
    strides: tuple[int, ...]


def readable(of: Form) -> bool:
    """Whether a kernel may read the tensor where it lies: compact, in the type that is computed with."""
    return of.contiguous and of.dtype.llvm == register_type(of.dtype)


# ---------------------------------------------------------------- convolution
def spaced_source(s: Space, plain: bool) -> tuple[Spaced, list[int]]:
    """The source of a convolution, and the distances of a channel's kernel positions. plain: it may be read where it lies."""
    reach = [d * (k - 1) + 1 for k, d in zip(s.kernel, s.dilation)]
    fits = all(m + r - 1 <= n for m, r, n in zip(s.results, reach, s.source))
    if plain and fits and s.stride == (1, 1, 1) and not any(s.low):
        spaced = Spaced([(0, 0, 0)], (1, 1, 1), s.source, True)
    else:
        used = [sorted({k * d % step for k in range(n)}) for n, d, step in zip(s.kernel, s.dilation, s.stride)]
        first = [tuple(q - lo for q, lo in zip(phase, s.low)) for phase in product(*used)]
        sizes = tuple(m + (k - 1) * d // step for m, k, d, step in zip(s.results, s.kernel, s.dilation, s.stride))
        spaced = Spaced(first, s.stride, sizes, False)
    number = {tuple(a + lo for a, lo in zip(phase, s.low)): i for i, phase in enumerate(spaced.first)}
    distances = []
    for position in product(*map(range, s.kernel)):
        far = [k * d for k, d in zip(position, s.dilation)]
        phase = number[tuple(a % step for a, step in zip(far, s.stride))] if not spaced.direct else 0
        z, y, x = (a // step for a, step in zip(far, s.stride))
        distances.append(((phase * spaced.sizes[0] + z) * spaced.sizes[1] + y) * spaced.sizes[2] + x)
    return spaced, distances


def correlation_plan(x: Form, w: Form, bias: Form | None, geometry: Geometry, result: Form) -> Any:
    """The plan (x, w[, bias]) of a convolution."""
    (outputs, own, *kernel), groups = w.shape, geometry.groups
    s = space_of(x.shape[2:], kernel, result.shape[2:], geometry)
    m, taps, size = outputs // groups, prod(kernel), prod(s.results)
    spaced, distances = spaced_source(s, readable(x))
    tiling, dense = _tiling(x, m, s.results, spaced)
    if spaced.direct and not dense and positions_of(s.results, spaced) < tiling.across:
        spaced, distances = spaced_source(s, False)
    koff = [c * spaced.channel + k for c in range(own) for k in distances]
    _, height, width = s.results
    part = Part(koff, list(range(own * taps)), s.results, 0, (height * width, width, 1))
    return _plan(
        x,
        w,
        bias,
        result,
        spaced,
        (tiling, dense),
        [part],
        groups,
        m,
        (m * own * taps, own * taps),
        (outputs * size, m * size, size),
    )


# ---------------------------------------------------------------- its transpose
def _residues(n: int, k: int, step: int, low: int, d: int) -> list[tuple[int, int, list[tuple[int, int]]]]:
    """(residue, how many places of x have it, [(kernel position, distance of the window in g)]) for each residue of the stride."""
    found = []
    for r in range(min(step, n)):
        taps = [(i, (r + low - i * d) // step) for i in range(k) if (r + low - i * d) % step == 0]
        found.append((r, -(-(n - r) // step), taps))
    return found


def spread_plan(g: Form, w: Form, geometry: Geometry, result: Form) -> Any:
    """The plan (g, w) of a convolution's transpose: what windows give, added up in the result's space."""
    (outputs, own, *kernel), groups = w.shape, geometry.groups
    s = space_of(result.shape[2:], kernel, g.shape[2:], geometry)
    of_group, taps, size = outputs // groups, prod(kernel), prod(s.source)
    axes = [_residues(*each) for each in zip(s.source, s.kernel, s.stride, s.low, s.dilation)]
    top = [max([0, *(-e for _, _, t in axis for _, e in t)]) for axis in axes]
    ends = [max([1, *(count + e for _, count, t in axis for _, e in t)]) for axis in axes]
    plain = readable(g) and not any(top) and all(end <= n for end, n in zip(ends, s.results))
    sizes = s.results if plain else tuple(t + end for t, end in zip(top, ends))
    spaced = Spaced([tuple(-t for t in top)], (1, 1, 1), sizes, plain)
    largest = tuple(max(count for _, count, _ in axis) for axis in axes)
    tiling, dense = _tiling(g, own, largest, spaced)
    least = tuple(min(count for _, count, _ in axis) for axis in axes)
    if plain and not dense and positions_of(least, spaced) < tiling.across:
        spaced = spaced._replace(direct=False)
    _, height, width = s.source
    parts = []
    for chosen in product(*axes):
        reached = list(product(*(t for _, _, t in chosen)))
        inside = [((z[1] + top[0]) * sizes[1] + y[1] + top[1]) * sizes[2] + x[1] + top[2] for z, y, x in reached]
        places = [(z[0] * s.kernel[1] + y[0]) * s.kernel[2] + x[0] for z, y, x in reached]
        koff = [o * spaced.channel + k for o in range(of_group) for k in inside]
        aoff = [o * own * taps + k for o in range(of_group) for k in places]
        base = (chosen[0][0] * height + chosen[1][0]) * width + chosen[2][0]
        strides = (s.stride[0] * height * width, s.stride[1] * width, s.stride[2])
        parts.append(Part(koff, aoff, tuple(count for _, count, _ in chosen), base, strides))
    channels = own * groups
    return _plan(
        g,
        w,
        None,
        result,
        spaced,
        (tiling, dense),
        parts,
        groups,
        own,
        (of_group * own * taps, taps),
        (channels * size, own * size, size),
    )


# ---------------------------------------------------------------- plans
def positions_of(results: Sequence[int], spaced: Spaced) -> int:
    """Positions of an image, ends of rows included."""
    return (results[1] - 1) * spaced.sizes[2] + results[2]


def _tiling(of: Form, m: int, results: Sequence[int], spaced: Spaced) -> tuple[tilings.Tiling, int]:
    images, size = of.shape[0] * results[0], SIZES[register_type(of.dtype)]
    return tilings.choose(m, positions_of(results, spaced), results[1], results[2], images, size)


def whole(values: Sequence[int]) -> Tensor:
    """A table of integers, of one at least."""
    return table_of(list(values) or [0], int64)


def first_of(spaced: Spaced) -> Tensor:
    """Where phases begin, as the kernels read it."""
    return whole([a for phase in spaced.first for a in phase])


def space_words(of: Form, spaced: Spaced) -> list[int]:
    """The words of lower.spacing.SPACE."""
    fill = (1,) * (5 - of.rank)
    space, strides = (*fill, *of.shape[2:]), (*(0 for _ in fill), *of.strides[2:])
    return [*of.shape[:2], *space, *of.strides[:2], *strides, len(spaced.first), *spaced.step, *spaced.sizes]


def _plan(source: Form, w: Form, bias: Form | None, result: Form, spaced: Spaced, how: tuple[tilings.Tiling, int], parts: list[Part],
          groups: int, m: int, of_weight: tuple[int, int], of_y: tuple[int, int, int]) -> Any:  # fmt: skip
    size, (tiling, dense), channels = SIZES[register_type(source.dtype)], how, source.shape[1]
    koff, aoff, words = [], [], []
    for p in parts:
        words += [len(p.koff), len(koff), len(aoff), *p.results, p.base, *p.strides]
        koff, aoff = koff + p.koff, aoff + p.aoff
    copied = 0 if spaced.direct else source.shape[0] * channels * spaced.channel * size
    rows_at = (copied + 2 * tiling.across * size + 63) // 64 * 64
    row_panels = -(-m // tiling.rows)
    panels = groups * row_panels * tiling.rows * max(len(p.koff) for p in parts) * size
    of_source = [channels * spaced.channel, channels // groups * spaced.channel]
    more = [groups, m, len(parts), *of_source, *of_weight, *of_y]
    tables = [first_of(spaced), whole([*koff, *[0] * tilings.AHEAD]), whole(aoff), whole(words)]
    if channels == groups and m <= depthwise.FEW:
        address = kernel_of(depthwise.depthwise, source.dtype, bias is not None, spaced.direct)
    else:
        address = kernel_of(convolve.convolution, source.dtype, tiling, bias is not None, spaced.direct, dense)
    plan = plan_of(
        address,
        [(result.nbytes, result)],
        [source.dtype.itemsize] * (2 if bias is None else 3) + [8] * 4,
        [*space_words(source, spaced), *more],
        work=result.numel * len(koff) // 8,
        scratch=rows_at + panels + 64,
        recipe=Counted(2 * m * groups * source.shape[0] * sum(prod(p.results) * len(p.koff) for p in parts)),
    )
    return lambda *operands: plan(*operands, *tables)
