"""Statistics of device memory, of which there is none: all numbers are 0."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from mashal.core.devices import device as device_of
from mashal.core.devices import usable

__all__ = [
    "get_per_process_memory_fraction", "host_memory_stats", "host_memory_stats_as_nested_dict", "memory_snapshot",
    "memory_stats_as_nested_dict", "reset_accumulated_host_memory_stats", "reset_peak_host_memory_stats",
    "max_memory_allocated", "max_memory_cached", "max_memory_reserved", "memory_allocated", "memory_cached", "memory_reserved",
    "memory_stats", "memory_summary", "reset_accumulated_memory_stats", "reset_max_memory_allocated", "reset_max_memory_cached",
    "reset_peak_memory_stats", "set_per_process_memory_fraction",
]  # fmt: skip


def memory_allocated(device: Any = None) -> int:
    """Bytes that tensors hold on a device: 0."""
    return 0


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that tensors held on a device: 0."""
    return 0


def memory_reserved(device: Any = None) -> int:
    """Bytes that are kept for tensors on a device: 0."""
    return 0


def max_memory_reserved(device: Any = None) -> int:
    """The most bytes that were kept for tensors on a device: 0."""
    return 0


memory_cached, max_memory_cached = memory_reserved, max_memory_reserved


def memory_stats(device: Any = None) -> dict[str, Any]:
    """All statistics by name: none."""
    return {}


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """The statistics as a table."""
    return "no CUDA device, no memory"


def reset_peak_memory_stats(device: Any = None) -> None:
    """Starts the highest numbers anew."""


def reset_accumulated_memory_stats(device: Any = None) -> None:
    """Starts the sums anew."""


reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats


def set_per_process_memory_fraction(fraction: float, device: Any = None) -> None:
    """Limits the memory of a device: there is none."""


def get_per_process_memory_fraction(device: Any = None) -> float:
    """The limit of a device's memory, as a part of it; AssertionError, for there is none."""
    return usable(device_of("cuda"))  # type: ignore[return-value]


def memory_stats_as_nested_dict(device: Any = None) -> dict[str, Any]:
    """All statistics, nested: none."""
    return {}


def memory_snapshot(mempool_id: Any = None) -> list[dict[str, Any]]:
    """Every block of device memory: none."""
    return []


def host_memory_stats() -> dict[str, Any]:
    """Statistics of pinned memory: none."""
    return OrderedDict()


def host_memory_stats_as_nested_dict() -> dict[str, Any]:
    """Statistics of pinned memory, nested: none."""
    return {}


def reset_peak_host_memory_stats() -> None:
    """Starts the highest numbers of pinned memory anew."""


def reset_accumulated_host_memory_stats() -> None:
    """Starts the sums of pinned memory anew."""
