"""Values moved between channels and places: nothing is computed, only the order changes."""

from __future__ import annotations

from mashal.core.layouts import contiguous_format
from mashal.core.tensor import Tensor


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(*, channels·r², height, width) to (*, channels, height·r, width·r)."""
    _check_dimensions("pixel_shuffle", input)
    *batch, channels, height, width = input.shape
    r = upscale_factor
    if channels % (r * r):
        raise RuntimeError(
            f"pixel_shuffle: input {tuple(input.shape)} has {channels} channels; they must be divisible by the "
            f"square of upscale_factor, {r * r}"
        )
    n = len(batch)
    parts = input.reshape(*batch, channels // (r * r), r, r, height, width)
    moved = parts.permute(*range(n), n, n + 3, n + 1, n + 4, n + 2)  # (*, channels, height, r, width, r)
    return moved.clone(memory_format=contiguous_format).view(*batch, channels // (r * r), height * r, width * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(*, channels, height·r, width·r) to (*, channels·r², height, width): pixel_shuffle undone."""
    _check_dimensions("pixel_unshuffle", input)
    *batch, channels, height, width = input.shape
    r = downscale_factor
    if height % r or width % r:
        raise RuntimeError(
            f"pixel_unshuffle: height and width of input {tuple(input.shape)} must be divisible by "
            f"downscale_factor, {r}"
        )
    n = len(batch)
    parts = input.reshape(*batch, channels, height // r, r, width // r, r)
    moved = parts.permute(*range(n), n, n + 2, n + 4, n + 1, n + 3)  # (*, channels, r, r, height, width)
    return moved.clone(memory_format=contiguous_format).view(*batch, channels * r * r, height // r, width // r)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """(batch, channels, *): the first channel of every group, then the second of every group, and so on."""
    _check_dimensions("channel_shuffle", input)
    batch, channels, *window = input.shape
    if channels % groups:
        raise RuntimeError(f"channel_shuffle: {channels} channels must be divisible by the {groups} groups")
    return input.reshape(batch, groups, channels // groups, *window).transpose(1, 2).reshape(input.shape)


def _check_dimensions(operation: str, input: Tensor) -> None:
    if input.dim() < 3:
        raise RuntimeError(f"{operation}: input must have at least 3 dimensions; it is {tuple(input.shape)}")
