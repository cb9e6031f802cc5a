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
