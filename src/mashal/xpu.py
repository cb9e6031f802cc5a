"""torch.xpu: Intel's GPUs, of which this build uses none: questions are answered, uses refused with PyTorch's errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from mashal.core.devices import device as device_of
from mashal.core.devices import usable
from mashal.core.tensor import Tensor
from mashal.nearest import nearest

__all__ = ["current_device", "device", "device_count", "empty_cache", "get_device_capability", "get_device_name",
           "get_device_properties", "get_rng_state", "get_rng_state_all", "is_available", "is_bf16_supported",
           "is_current_stream_capturing", "is_initialized", "manual_seed", "manual_seed_all", "max_memory_allocated",
           "max_memory_reserved", "mem_get_info", "memory_allocated", "memory_reserved", "memory_stats", "reset_peak_memory_stats",
           "seed", "seed_all", "set_device", "set_rng_state", "set_rng_state_all", "synchronize"]  # fmt: skip


def _refuse() -> Any:
    """AssertionError: there is no XPU here."""
    return usable(device_of("xpu"))


def is_available() -> bool:
    """Whether there is one: no."""
    return False


def is_initialized() -> bool:
    """Whether the devices have been started: no."""
    return False


def device_count() -> int:
    """How many there are: 0."""
    return 0


def current_device() -> int:
    """The index of the device in use; AssertionError, for there is none."""
    return _refuse()


def set_device(device: Any) -> None:
    """Chooses a device; AssertionError, for there is none."""
    _refuse()


def get_device_name(device: Any = None) -> str:
    """A device's name; AssertionError, for there is none."""
    return _refuse()


def get_device_capability(device: Any = None) -> dict[str, Any]:
    """What a device can do; AssertionError, for there is none."""
    return _refuse()


def get_device_properties(device: Any = None) -> Any:
    """A device's properties; AssertionError, for there is none."""
    return _refuse()


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the device computes in bfloat16: there is none."""
    return False


def is_current_stream_capturing() -> bool:
    """Whether a graph is being captured: no."""
    return False


class device(contextlib.AbstractContextManager):
    """`with torch.xpu.device(i):` chooses a device inside; with none there it does nothing for a negative or no index."""

    def __init__(self, device: Any):
        self.idx = -1 if device is None else device if isinstance(device, int) else device_of(device).index or 0

    def __enter__(self) -> None:
        if self.idx >= 0:
            _refuse()

    def __exit__(self, *exception: Any) -> None:
        return None


def empty_cache() -> None:
    """Gives unused memory back: there is none."""


def synchronize(device: Any = None) -> None:
    """Waits for a device; AssertionError, for there is none."""
    _refuse()


# ---------------------------------------------------------------- memory
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


def memory_stats(device: Any = None) -> dict[str, Any]:
    """All statistics by name: none."""
    return {}


def reset_peak_memory_stats(device: Any = None) -> None:
    """Starts the highest numbers anew."""


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free and total memory of a device; AssertionError, for there is none."""
    return _refuse()


# ---------------------------------------------------------------- random numbers
def manual_seed(seed: int) -> None:
    """Seeds the device: there is none, so nothing happens."""
    int(seed)


def manual_seed_all(seed: int) -> None:
    """Seeds all devices: there are none, so nothing happens."""
    int(seed)


def seed() -> None:
    """Seeds the device at random: there is none, so nothing happens."""


def seed_all() -> None:
    """Seeds all devices at random: there are none, so nothing happens."""


def get_rng_state(device: Any = "xpu") -> Tensor:
    """The state of a device's generator; AssertionError, for there is none."""
    return _refuse()


def get_rng_state_all() -> list[Tensor]:
    """The states of all devices' generators: an empty list."""
    return []


def set_rng_state(new_state: Tensor, device: Any = "xpu") -> None:
    """Sets the state of a device's generator: there is none, so nothing happens."""


def set_rng_state_all(new_states: Iterable[Tensor]) -> None:
    """Sets the states of all devices' generators: there are none, so nothing happens."""


__getattr__ = nearest(__name__)
