"""How convolutions are cut: the shape of a tile, and whether what it reads is packed."""

from __future__ import annotations

from dataclasses import dataclass

from mashal.machine.host import HOST, Host

AHEAD = 16  # terms whose elements are asked for beforehand
ROOM = 9 << 13  # sums that a chunk keeps in the second-level cache
NEAR = 1 << 12  # packed elements of a panel that stay in the first-level cache
PACKED = 4  # panels of positions that are packed together
SEGMENT = 3  # cost of a row that a packed vector is in, in cycles of a pair of multiplications
TASKS = 16  # chunks wanted, so that some threads find work
FEW = 8  # of the narrowest tiles: a call that has fewer results a channel leaves parts of tiles empty
PANELS = 8  # of positions that a panel of weights is used for while it is near


@dataclass(frozen=True)
class Tiling:
    """rows of results times vectors of positions, kept in registers."""

    rows: int
    vectors: int
    width: int

    @property
    def across(self) -> int:
        return self.vectors * self.width


def tilings(itemsize: int, host: Host = HOST) -> list[Tiling]:
    """The shapes a tile may have on this host, that of most reuse first."""
    shapes = [(12, 2), (8, 3), (4, 6)] if host.registers >= 32 else [(6, 2), (4, 3), (2, 5)]
    return [Tiling(rows, vectors, host.lanes(itemsize)) for rows, vectors in shapes]


def choose(
    m: int, positions: int, oh: int, ow: int, images: int, itemsize: int, host: Host = HOST
) -> tuple[Tiling, int]:
    """The tiling that costs least for m rows, and in how many rows of an image a packed vector may lie, 0 if none is packed.

    positions: of an image, ends of rows included. oh, ow: its results. Of images there are one, few or many, and how many exactly
    makes no difference, so that most batches are the same kernels.
    """
    shapes = tilings(itemsize, host)
    narrow, results = shapes[0].across, oh * ow
    if images > 1:
        images = max(2, narrow * (FEW if images * results >= FEW * narrow else 1) // results)

    def cost(choice: tuple[Tiling, int]) -> float:
        t, dense = choice
        panels = -(-results * images // t.across) if dense else -(-positions // t.across) * images
        return panels * (-(-m // t.rows) * t.rows * t.vectors / 2 + SEGMENT * dense * t.vectors)

    return min([(t, dense) for t in shapes for dense in (0, -(-(t.width - 1) // ow) + 1)], key=cost)


def packed_depth(tiling: Tiling) -> int:
    """Terms of a packed block."""
    return NEAR // tiling.across & -16
