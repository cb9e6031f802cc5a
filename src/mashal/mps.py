"""torch.mps: Apple's GPUs, of which this build uses none."""

from __future__ import annotations

from mashal.nearest import nearest

__all__ = ["current_allocated_memory", "device_count", "empty_cache", "manual_seed", "seed", "synchronize"]


def device_count() -> int:
    """How many there are: 0."""
    return 0


def empty_cache() -> None:
    """Gives unused memory back: there is none."""


def synchronize() -> None:
    """Waits for the device: there is none."""


def manual_seed(seed: int) -> None:
    """Seeds the device: there is none, so nothing happens."""


def seed() -> None:
    """Seeds the device at random: there is none, so nothing happens."""


def current_allocated_memory() -> int:
    """Bytes that tensors hold on the device: 0."""
    return 0


__getattr__ = nearest(__name__)
