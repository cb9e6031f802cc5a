"""torch.cuda.profiler: begins and ends what NVIDIA's profiler watches; there is nothing to watch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

__all__ = ["profile", "start", "stop"]


def start() -> None:
    """Begins to watch: there is nothing."""


def stop() -> None:
    """Ends to watch."""


@contextlib.contextmanager
def profile() -> Iterator[None]:
    """A block that is watched."""
    start()
    try:
        yield
    finally:
        stop()
