"""torch.Stream and torch.Event: queues of work of any device, and marks in them; the cpu does everything at once."""

from __future__ import annotations

import time
from typing import Any

from mashal.core.devices import device as device_of
from mashal.core.devices import usable

__all__ = ["Event", "Stream"]


class Stream:
    """A queue of work of a device; that of the cpu is always empty.

    >>> torch.Stream().query()
    True
    """

    def __init__(self, device: Any = "cpu", *, priority: int = 0):
        self.device = usable(device_of(device))
        self.priority, self.stream_id, self.device_index = priority, 0, -1

    def query(self) -> bool:
        """Whether its work is done: yes."""
        return True

    def synchronize(self) -> None:
        """Waits for its work: it is done."""

    def wait_stream(self, stream: Any) -> None:
        """Waits for another queue's work: it is done."""

    def wait_event(self, event: Any) -> None:
        """Waits for a mark: what is before it is done."""

    def record_event(self, event: Event | None = None) -> Event:
        """Puts a mark into the queue; returns it."""
        event = Event(self.device) if event is None else event
        event.record(self)
        return event

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: Any) -> None:
        return None

    def __repr__(self) -> str:
        return (
            f"torch.Stream device_type={self.device.type}, device_index={self.device_index}, stream_id={self.stream_id}"
        )


class Event:
    """A mark in a queue of work, and when it was put there."""

    def __init__(
        self, device: Any = "cpu", *, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ):
        self.device = usable(device_of(device))
        self.enable_timing, self.event_id = enable_timing, 0
        self._at: float | None = None

    def record(self, stream: Any = None) -> None:
        """Puts the mark into a queue."""
        self._at = time.perf_counter()

    def wait(self, stream: Any = None) -> None:
        """Makes a queue wait for the mark: what is before it is done."""

    def query(self) -> bool:
        """Whether what is before the mark is done: yes."""
        return True

    def synchronize(self) -> None:
        """Waits for the mark: what is before it is done."""

    def elapsed_time(self, other: Event) -> float:
        """Milliseconds from this mark to another; both must have been put somewhere."""
        if self._at is None or other._at is None:
            raise RuntimeError("elapsed_time: both events must be recorded before the time between them is known")
        return (other._at - self._at) * 1000

    def __repr__(self) -> str:
        return f"torch.Event device_type={self.device.type}, device_index=-1, event_flag=0, event_id={self.event_id}"
