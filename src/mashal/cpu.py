"""torch.cpu: the processor in the manner of a device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from mashal.nearest import nearest

__all__ = [
    "Stream",
    "current_device",
    "current_stream",
    "device_count",
    "is_available",
    "set_device",
    "stream",
    "synchronize",
]


class Stream:
    """A queue of work; the cpu does everything at once."""

    def __init__(self, priority: int = -1):
        self.priority = priority

    def wait_stream(self, stream: Any) -> None:
        """Waits for another queue: there is nothing to wait for."""


_STREAM = Stream()


def is_available() -> bool:
    """Whether there is a processor: yes."""
    return True


def device_count() -> int:
    """How many there are: 1."""
    return 1


def current_device() -> str:
    """The device in use: "cpu"."""
    return "cpu"


def set_device(device: Any) -> None:
    """Chooses the device: there is one."""


def synchronize(device: Any = None) -> None:
    """Waits for the work that was begun: it is done."""


def current_stream(device: Any = None) -> Stream:
    """The queue in use."""
    return _STREAM


@contextlib.contextmanager
def stream(stream: Any) -> Iterator[None]:
    """The work inside the block goes into a queue: it is done at once."""
    yield


__getattr__ = nearest(__name__)
