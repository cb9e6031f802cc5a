"""The default generator's seed and state: `manual_seed`, `get_rng_state`, `fork_rng` …

Every random function of mashal draws from `default_generator` unless it is given another generator.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mashal.core.generator import Generator, default_generator
from mashal.core.tensor import Tensor
from mashal.nearest import nearest

__all__ = ["fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state", "thread_safe_generator"]


def manual_seed(seed: Any) -> Generator:
    """Starts the default generator's stream that belongs to this seed; returns that generator.

    seed: anything that int() takes, from -2**63 to 2**64 - 1.

    >>> manual_seed(123).initial_seed()
    123
    """
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Seeds the default generator with 64 random bits of the operating system, and returns them."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator, a uint8 tensor of 5056 elements."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Puts the default generator where `get_rng_state` found it."""
    default_generator.set_state(new_state)


def thread_safe_generator() -> Generator | None:
    """The generator of a DataLoader's worker thread; None, for mashal's workers are processes."""
    return None


@contextmanager
def fork_rng(
    devices: Any = None,
    enabled: bool = True,
    _caller: str = "fork_rng",
    _devices_kw: str = "devices",
    device_type: str | None = None,
) -> Iterator[None]:
    """Inside the block the default generator may be seeded and used at will; afterwards it stands where it stood.

    devices, device_type: accelerators whose generators are kept too; there are none besides the CPU.

    >>> before = initial_seed()
    >>> with fork_rng():
    ...     _ = manual_seed(7)
    >>> initial_seed() == before
    True
    """
    if not enabled:
        yield
        return
    state = default_generator.state_bytes()
    try:
        yield
    finally:
        default_generator.set_state_bytes(state)


__getattr__ = nearest(__name__)
