"""torch.accelerator: the device beside the cpu, whatever it is; this build has none."""

from __future__ import annotations

from typing import Any

from mashal.core.devices import device
from mashal.nearest import nearest

__all__ = [
    "current_accelerator",
    "current_device_index",
    "device_count",
    "empty_cache",
    "is_available",
    "set_device_index",
    "synchronize",
]


def is_available() -> bool:
    """Whether there is one: no."""
    return False


def device_count() -> int:
    """How many there are: 0."""
    return 0


def current_accelerator(check_available: bool = False) -> device | None:
    """The device's type: None."""
    return None


def current_device_index() -> int:
    """The index of the device in use; RuntimeError, for there is none."""
    return _refuse()


def set_device_index(device: Any) -> None:
    """Chooses a device; RuntimeError, for there is none."""
    _refuse()


def synchronize(device: Any = None) -> None:
    """Waits for a device; RuntimeError, for there is none."""
    _refuse()


def empty_cache() -> None:
    """Gives unused device memory back: there is none."""


def _refuse() -> Any:
    raise RuntimeError("accelerator: Cannot access accelerator device when none is available.")


__getattr__ = nearest(__name__)
