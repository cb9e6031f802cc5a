"""torch.mtia: Meta's accelerators, of which this build uses none."""

from __future__ import annotations

from mashal.nearest import nearest

__all__ = ["device_count", "is_available", "is_initialized"]


def is_available() -> bool:
    """Whether there is one: no."""
    return False


def is_initialized() -> bool:
    """Whether the devices have been started: no."""
    return False


def device_count() -> int:
    """How many there are: 0."""
    return 0


__getattr__ = nearest(__name__)
