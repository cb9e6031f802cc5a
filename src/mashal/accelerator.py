"""torch.accelerator: the device beside the cpu, whatever it is; this build has none."""

from __future__ import annotations

import contextlib
from typing import Any

from mashal.core.devices import device
from mashal.core.devices import device as device_of
from mashal.nearest import nearest

__all__ = ["Graph", "current_accelerator", "current_device_idx", "current_device_index", "current_stream", "device_count",
           "device_index", "empty_cache", "empty_host_cache", "get_device_capability", "get_memory_info", "is_available",
           "max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved", "memory_stats",
           "reset_accumulated_memory_stats", "reset_peak_memory_stats", "set_device_idx", "set_device_index", "set_stream",
           "synchronize"]  # fmt: skip


def _refuse() -> Any:
    if not is_available():
        raise RuntimeError("accelerator: Cannot access accelerator device when none is available.")


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
    """Chooses a device: RuntimeError, for there is none; a negative index chooses nothing."""
    index = device if isinstance(device, int) else 0 if device is None else device_of(device).index or 0
    if index >= 0:
        _refuse()


current_device_idx, set_device_idx = current_device_index, set_device_index


class device_index(contextlib.AbstractContextManager):
    """`with torch.accelerator.device_index(i):` chooses a device inside; None chooses nothing."""

    def __init__(self, device: int | None):
        self.idx = device

    def __enter__(self) -> None:
        if self.idx is not None:
            set_device_index(self.idx)

    def __exit__(self, *exception: Any) -> None:
        return None


class Graph:
    """Work of a device, recorded and run again as a whole; RuntimeError, for there is none."""

    def __init__(self, *arguments: Any, **options: Any):
        _refuse()


def synchronize(device: Any = None) -> None:
    """Waits for a device; RuntimeError, for there is none."""
    _refuse()


def current_stream(device: Any = None) -> Any:
    """The device's queue in use; RuntimeError, for there is none."""
    return _refuse()


def set_stream(stream: Any) -> None:
    """Chooses a queue; RuntimeError, for there is no device."""
    _refuse()


def get_device_capability(device: Any = None) -> dict[str, Any]:
    """What a device can do; RuntimeError, for there is none."""
    return _refuse()


# ---------------------------------------------------------------- memory
def empty_cache() -> None:
    """Gives unused device memory back; RuntimeError, for there is no device."""
    _refuse()


def empty_host_cache() -> None:
    """Gives unused pinned memory back; RuntimeError, for there is no device."""
    _refuse()


def get_memory_info(device: Any = None) -> tuple[int, int]:
    """Free and total memory of a device; RuntimeError, for there is none."""
    return _refuse()


def memory_stats(device: Any = None) -> dict[str, Any]:
    """All statistics by name; RuntimeError, for there is no device."""
    return _refuse()


def memory_allocated(device: Any = None) -> int:
    """Bytes that tensors hold on a device; RuntimeError, for there is none."""
    return _refuse()


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that tensors held on a device; RuntimeError, for there is none."""
    return _refuse()


def memory_reserved(device: Any = None) -> int:
    """Bytes that are kept for tensors on a device; RuntimeError, for there is none."""
    return _refuse()


def max_memory_reserved(device: Any = None) -> int:
    """The most bytes that were kept for tensors on a device; RuntimeError, for there is none."""
    return _refuse()


def reset_peak_memory_stats(device: Any = None) -> None:
    """Starts the highest numbers anew; RuntimeError, for there is no device."""
    _refuse()


def reset_accumulated_memory_stats(device: Any = None) -> None:
    """Starts the sums anew; RuntimeError, for there is no device."""
    _refuse()


__getattr__ = nearest(__name__)
