"""How a nest runs, as data: which dimensions are loops, which one has the lanes, what lies side by side.

A `Layout` says of each tensor how its elements lie along the innermost dimension:

    UNIT   side by side: vector loads        ZERO   one element for all: a broadcast        ANY   gathers

and how many dimensions there are after those that can be walked as one have been collapsed. Kernels depend on the
layout; sizes and strides are arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

UNIT, ZERO, ANY = "unit", "zero", "any"


@dataclass(frozen=True)
class Layout:
    """rank: dimensions left after collapsing; modes: for each tensor, how it lies along the innermost one."""

    rank: int
    modes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.rank} dimension(s), innermost {', '.join(self.modes)}"


def mode(stride: int) -> str:
    return UNIT if stride == 1 else ZERO if stride == 0 else ANY


def collapse(shape: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """The fewest dimensions that walk the same elements of all tensors together, innermost last.

    Dimensions are ordered by the first tensor's strides, so that a transposed result is walked as it lies.

    >>> collapse((2, 3, 4), [(12, 4, 1), (0, 0, 1)])
    ([6, 4], [[4, 1], [0, 1]])
    """
    dims = [d for d in range(len(shape)) if shape[d] != 1]
    dims.sort(key=lambda d: -strides[0][d])
    sizes: list[int] = []
    walked: list[list[int]] = [[] for _ in strides]
    for d in dims:
        if sizes and all(w[-1] == shape[d] * s[d] for w, s in zip(walked, strides)):
            sizes[-1] *= shape[d]
            for w, s in zip(walked, strides):
                w[-1] = s[d]
        else:
            sizes.append(shape[d])
            for w, s in zip(walked, strides):
                w.append(s[d])
    if not sizes:
        return [1], [[1] for _ in strides]
    return sizes, walked


SHORT, LONG = 8, 16  # elements of an innermost dimension that leave most lanes empty; that fill them


def with_long_rows(sizes: list[int], walked: list[list[int]]) -> tuple[list[int], list[list[int]]]:
    """The same dimensions, a longer one innermost where the innermost is short: that along which most tensors lie side by side.

    >>> with_long_rows([6, 50, 2], [[100, 2, 1], [100, 1, 50]])
    ([6, 2, 50], [[100, 1, 2], [100, 50, 1]])
    """
    if len(sizes) < 2 or sizes[-1] >= SHORT:
        return sizes, walked
    long = [d for d in range(len(sizes) - 1) if sizes[d] >= LONG]
    if not long:
        return sizes, walked
    d = max(long, key=lambda d: (sum(w[d] in (0, 1) for w in walked), sizes[d]))
    return [*sizes[:d], *sizes[d + 1 :], sizes[d]], [[*w[:d], *w[d + 1 :], w[d]] for w in walked]
