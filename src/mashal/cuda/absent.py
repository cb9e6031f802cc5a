"""What is said of CUDA devices by a build that has none: questions are answered, uses refused with PyTorch's errors."""

from __future__ import annotations

import contextlib
from typing import Any

from mashal.core.devices import device as device_of
from mashal.core.devices import usable

__all__ = [
    "Event", "Stream", "StreamContext", "can_device_access_peer", "current_device", "current_stream", "default_stream", "device",
    "device_count", "device_of", "empty_cache", "get_arch_list", "get_device_capability", "get_device_name", "get_device_properties",
    "init", "ipc_collect", "is_available", "is_bf16_supported", "is_current_stream_capturing", "is_initialized", "mem_get_info",
    "set_device", "set_stream", "stream", "synchronize",
]  # fmt: skip


def _refuse() -> Any:
    """AssertionError: there is no CUDA here."""
    return usable(device_of("cuda"))


def is_available() -> bool:
    """Whether there is a CUDA device: no.

    >>> torch.cuda.is_available()
    False
    """
    return False


def is_initialized() -> bool:
    """Whether CUDA has been started: no."""
    return False


def init() -> None:
    """Starts CUDA; AssertionError, for there is none."""
    _refuse()


def device_count() -> int:
    """How many CUDA devices there are: 0."""
    return 0


def current_device() -> int:
    """The index of the device in use; AssertionError, for there is none."""
    return _refuse()


def set_device(device: Any) -> None:
    """Chooses a device; AssertionError unless device is negative."""
    if not isinstance(device, int) or device >= 0:
        _refuse()


def get_device_name(device: Any = None) -> str:
    """A device's name; AssertionError, for there is none."""
    return _refuse()


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """A device's compute capability; AssertionError, for there is none."""
    return _refuse()


def get_device_properties(device: Any = None) -> Any:
    """A device's properties; AssertionError, for there is none."""
    return _refuse()


def get_arch_list() -> list[str]:
    """The architectures this was built for: none."""
    return []


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Whether one device reads another's memory; AssertionError, for there is none."""
    return _refuse()


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the device computes in bfloat16: there is none."""
    return False


def is_current_stream_capturing() -> bool:
    """Whether a graph is being captured: no."""
    return False


def synchronize(device: Any = None) -> None:
    """Waits for a device; AssertionError, for there is none."""
    _refuse()


def empty_cache() -> None:
    """Gives unused device memory back: there is none."""


def ipc_collect() -> None:
    """Gives shared device memory back: there is none."""


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free and total memory of a device; AssertionError, for there is none."""
    return _refuse()


class device(contextlib.AbstractContextManager):
    """`with torch.cuda.device(i):` chooses a device inside; with none there it does nothing for a negative or no index."""

    def __init__(self, device: Any):
        self.idx = -1 if device is None else device if isinstance(device, int) else device_of(device).index or 0

    def __enter__(self) -> None:
        if self.idx >= 0:
            _refuse()

    def __exit__(self, *exception: Any) -> None:
        return None


class Stream:
    """A queue of work on a device; AssertionError, for there is none."""

    def __new__(cls, *arguments: Any, **options: Any) -> Any:
        return _refuse()

    def synchronize(self) -> None:
        """Waits until the queue's work is done; AssertionError, for there is none."""
        _refuse()

    def query(self) -> bool:
        """Whether the queue's work is done; AssertionError, for there is none."""
        return _refuse()

    def wait_stream(self, stream: Any) -> None:
        """Waits for another queue's work; AssertionError, for there is none."""
        _refuse()

    def wait_event(self, event: Any) -> None:
        """Waits for a mark; AssertionError, for there is none."""
        _refuse()

    def record_event(self, event: Any = None) -> Any:
        """Puts a mark into the queue; AssertionError, for there is none."""
        return _refuse()


class Event:
    """A mark in a queue of work; it can be made, and used with a device only."""

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False, external: bool = False
    ):
        self.enable_timing = enable_timing

    def record(self, stream: Any = None) -> None:
        """Puts the mark into a queue; AssertionError, for there is none."""
        _refuse()

    def wait(self, stream: Any = None) -> None:
        """Makes a queue wait for the mark; AssertionError, for there is none."""
        _refuse()

    def synchronize(self) -> None:
        """Waits for the mark; it was never put anywhere, so at once."""

    def query(self) -> bool:
        """Whether what is before the mark is done."""
        return True

    @classmethod
    def from_ipc_handle(cls, device: Any, handle: Any) -> Any:
        """Another process's mark; AssertionError, for there is no device."""
        return _refuse()

    def ipc_handle(self) -> Any:
        """What another process finds the mark by; AssertionError, for there is no device."""
        return _refuse()

    def elapsed_time(self, end_event: Any) -> float:
        """Milliseconds between two marks; AssertionError, for there is no device."""
        return _refuse()


class StreamContext(contextlib.AbstractContextManager):
    """`with torch.cuda.stream(s):` puts the work inside into a queue; does nothing for None."""

    def __init__(self, stream: Any):
        self.stream = stream

    def __exit__(self, *exception: Any) -> None:
        return None


def stream(stream: Any) -> StreamContext:
    """The work inside the block goes into a queue; does nothing for None."""
    return StreamContext(stream)


def current_stream(device: Any = None) -> Any:
    """The queue in use; AssertionError, for there is none."""
    return _refuse()


def default_stream(device: Any = None) -> Any:
    """The device's first queue; AssertionError, for there is none."""
    return _refuse()


def set_stream(stream: Any) -> None:
    """Chooses a queue; does nothing for None."""
    if stream is not None:
        _refuse()
