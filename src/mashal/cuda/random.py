"""Random generators of CUDA devices, of which there are none: seeds are accepted, states are empty."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mashal.core.devices import device as device_of
from mashal.core.devices import usable
from mashal.core.tensor import Tensor

__all__ = ["get_rng_state", "get_rng_state_all", "initial_seed", "manual_seed", "manual_seed_all", "seed", "seed_all", "set_rng_state",
           "set_rng_state_all"]  # fmt: skip


def manual_seed(seed: int) -> None:
    """Seeds the device in use: there is none, so nothing happens."""
    int(seed)


def manual_seed_all(seed: int) -> None:
    """Seeds all devices: there are none, so nothing happens."""
    int(seed)


def seed() -> None:
    """Seeds the device in use at random: there is none, so nothing happens."""


def seed_all() -> None:
    """Seeds all devices at random: there are none, so nothing happens."""


def initial_seed() -> int:
    """The seed of the device in use; AssertionError, for there is none."""
    return usable(device_of("cuda"))  # type: ignore[return-value]


def get_rng_state(device: Any = "cuda") -> Tensor:
    """The state of a device's generator; AssertionError, for there is none."""
    return usable(device_of("cuda"))  # type: ignore[return-value]


def get_rng_state_all() -> list[Tensor]:
    """The states of all devices' generators: an empty list."""
    return []


def set_rng_state(new_state: Tensor, device: Any = "cuda") -> None:
    """Sets the state of a device's generator: there is none, so nothing happens."""


def set_rng_state_all(new_states: Iterable[Tensor]) -> None:
    """Sets the states of all devices' generators: there are none, so nothing happens."""
