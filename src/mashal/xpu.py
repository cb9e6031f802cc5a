"""torch.xpu: Intel's GPUs, of which this build uses none."""

from __future__ import annotations

from typing import Any

from mashal.nearest import nearest

__all__ = ["device_count", "empty_cache", "is_available", "manual_seed", "manual_seed_all", "synchronize"]


def is_available() -> bool:
    """Whether there is one: no."""
    return False


def device_count() -> int:
    """How many there are: 0."""
    return 0


def empty_cache() -> None:
    """Gives unused memory back: there is none."""


def synchronize(device: Any = None) -> None:
    """Waits for a device: there is none."""


def manual_seed(seed: int) -> None:
    """Seeds the device: there is none, so nothing happens."""


def manual_seed_all(seed: int) -> None:
    """Seeds all devices: there are none, so nothing happens."""


__getattr__ = nearest(__name__)
