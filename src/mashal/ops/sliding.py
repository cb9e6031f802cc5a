"""Windows that slide over space: their geometry, a view that has them all, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from mashal.core.shapes import contiguous_strides
from mashal.core.tensor import Tensor
from mashal.ops.creation import new_zeros
from mashal.ops.parts import as_strided, slice_op


class Geometry(NamedTuple):
    """How windows lie, a number for each dimension of space; low and high: zeros before and after."""

    stride: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    def positions(self, space: Sequence[int], kernel: Sequence[int]) -> tuple[int, ...]:
        """How many windows there are along each dimension."""
        return tuple(
            [
                (n + lo + hi - d * (k - 1) - 1) // s + 1
                for n, k, s, lo, hi, d in zip(space, kernel, self.stride, self.low, self.high, self.dilation)
            ]
        )


def inside(padded: Tensor, space: Sequence[int], low: Sequence[int]) -> Tensor:
    """The part of a padded tensor that is not padding, as a view."""
    for d, (n, lo) in enumerate(zip(space, low), 2):
        if padded.form.shape[d] != n:
            padded = slice_op(padded, d, lo, lo + n)
    return padded


def padded_copy(x: Tensor, geometry: Geometry) -> Tensor:
    """x (n, channels, space …) with zeros around it, contiguous."""
    n, channels, *space = x.form.shape
    if not any(geometry.low) and not any(geometry.high):
        return x.contiguous()  # type: ignore[attr-defined]
    sizes = [m + lo + hi for m, lo, hi in zip(space, geometry.low, geometry.high)]
    padded = new_zeros(x, (n, channels, *sizes))
    inside(padded, space, geometry.low).copy_(x)  # type: ignore[attr-defined]
    return padded


def windows_of(x: Tensor, kernel: Sequence[int], geometry: Geometry) -> Tensor:
    """The windows of x as a view over a padded copy: (n, groups, channels of a group, kernel …, positions …)."""
    n, channels, *space = x.form.shape
    padded = padded_copy(x, geometry)
    batch, channel, *steps = contiguous_strides(padded.form.shape)
    own = channels // geometry.groups
    return as_strided(
        padded,
        (n, geometry.groups, own, *kernel, *geometry.positions(space, kernel)),
        (
            batch,
            channel * own,
            channel,
            *[step * d for step, d in zip(steps, geometry.dilation)],
            *[step * s for step, s in zip(steps, geometry.stride)],
        ),
    )


def add_windows(padded: Tensor, columns: Tensor, kernel: Sequence[int], geometry: Geometry) -> None:
    """Adds columns (n, channels, kernel positions, positions …) to the places of a padded tensor their windows were taken from."""
    n, channels, *_ = padded.form.shape
    positions = columns.form.shape[3:]
    batch, channel, *steps = contiguous_strides(padded.form.shape)
    walk = (batch, channel, *[step * s for step, s in zip(steps, geometry.stride)])
    for k in range(prod(kernel)):
        start, rest = 0, k
        for size, step, d in zip(reversed(kernel), reversed(steps), reversed(geometry.dilation)):
            start, rest = start + rest % size * step * d, rest // size
        as_strided(padded, (n, channels, *positions), walk, start).add_(columns.select(2, k))  # type: ignore[attr-defined]
