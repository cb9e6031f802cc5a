"""torch.mps: Apple's GPUs, of which this build uses none: questions are answered, uses refused with PyTorch's errors."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.nearest import nearest

__all__ = ["current_allocated_memory", "device_count", "driver_allocated_memory", "empty_cache", "get_rng_state", "is_available",
           "manual_seed", "recommended_max_memory", "seed", "set_per_process_memory_fraction", "set_rng_state",
           "synchronize"]  # fmt: skip


def _refuse(what: str) -> Any:
    if not is_available():
        raise RuntimeError(
            f"mps: cannot execute {what}() without MPS backend; torch.mps.is_available() says whether there is one"
        )


def is_available() -> bool:
    """Whether there is one: no."""
    return False


def device_count() -> int:
    """How many there are: 0."""
    return 0


def empty_cache() -> None:
    """Gives unused memory back; RuntimeError, for there is no device."""
    _refuse("empty_cache")


def synchronize() -> None:
    """Waits for the device; RuntimeError, for there is none."""
    _refuse("synchronize")


def current_allocated_memory() -> int:
    """Bytes that tensors hold on the device; RuntimeError, for there is none."""
    return _refuse("current_allocated_memory")


def driver_allocated_memory() -> int:
    """Bytes that the driver holds for this process; RuntimeError, for there is no device."""
    return _refuse("driver_allocated_memory")


def recommended_max_memory() -> int:
    """Bytes that a program should not exceed; RuntimeError, for there is no device."""
    return _refuse("recommended_max_memory")


def set_per_process_memory_fraction(fraction: float) -> None:
    """Limits the memory of the device; RuntimeError, for there is none."""
    _refuse("set_per_process_memory_fraction")


# ---------------------------------------------------------------- random numbers
def manual_seed(seed: int) -> None:
    """Seeds the device: there is none, so nothing happens."""
    int(seed)


def seed() -> None:
    """Seeds the device at random: there is none, so nothing happens."""


def get_rng_state(device: Any = "mps") -> Tensor:
    """The state of the device's generator; RuntimeError, for there is no device."""
    return _refuse("get_rng_state")


def set_rng_state(new_state: Tensor, device: Any = "mps") -> None:
    """Sets the state of the device's generator; RuntimeError, for there is no device."""
    _refuse("set_rng_state")


__getattr__ = nearest(__name__)
