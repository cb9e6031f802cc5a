"""torch.cpu: the processor in the manner of a device."""

from __future__ import annotations

import contextlib
import platform
from typing import Any

from mashal.machine import host
from mashal.nearest import nearest

__all__ = [
    "Event",
    "Stream",
    "StreamContext",
    "current_device",
    "current_stream",
    "device_count",
    "get_capabilities",
    "is_available",
    "is_initialized",
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

    def wait_event(self, event: Any) -> None:
        """Waits for a mark: there is nothing to wait for."""

    def record_event(self, event: Any = None) -> Any:
        """Puts a mark into the queue; returns the mark."""
        return Event() if event is None else event


class Event:
    """A mark in a queue of work; what is before it is done at once."""

    def __init__(self, enable_timing: bool = False):
        self.enable_timing = enable_timing

    def record(self, stream: Any = None) -> None:
        """Puts the mark into a queue."""

    def wait(self, stream: Any = None) -> None:
        """Makes a queue wait for the mark: there is nothing to wait for."""

    def synchronize(self) -> None:
        """Waits for the mark: what is before it is done."""

    def query(self) -> bool:
        """Whether what is before the mark is done: yes."""
        return True


class StreamContext(contextlib.AbstractContextManager):
    """`with torch.cpu.stream(s):` puts the work inside into a queue: it is done at once."""

    def __init__(self, stream: Any):
        self.stream, self.before = stream, _STREAM

    def __exit__(self, *exception: Any) -> None:
        return None


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


def stream(stream: Any) -> StreamContext:
    """The work inside the block goes into a queue: it is done at once."""
    return StreamContext(stream)


def is_initialized() -> bool:
    """Whether the processor has been started: yes."""
    return True


def get_capabilities() -> dict[str, Any]:
    """What the processor can do, under LLVM's names: its kind, the instructions it has, the cores this process may use.

    >>> "num_physical_cores" in torch.cpu.get_capabilities()
    True
    """
    found: dict[str, Any] = {
        name[1:].replace(".", "_"): name[0] == "+" for name in host.HOST.features.split(",") if name
    }
    found |= {"architecture": platform.machine(), "cpu_name": host.HOST.cpu, "num_physical_cores": host.cores()}
    return found


__getattr__ = nearest(__name__)
