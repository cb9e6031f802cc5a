"""Files of events: each record is its length, the length's checksum, the event, the event's checksum (CRC-32C, masked)."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from typing import Any

from mashal.utils.tensorboard.messages import double, field, integer, message

__all__ = ["EventFile", "FileWriter", "checksum"]


def _table() -> list[int]:
    rows = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        rows.append(n)
    return rows


_TABLE = _table()


def checksum(data: bytes) -> int:
    """CRC-32C (Castagnoli) of bytes.

    >>> hex(checksum(b"123456789"))
    '0xe3069283'
    """
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    crc = checksum(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


class EventFile:
    """One file of events in a folder; threads may write to it."""

    def __init__(self, folder: str, suffix: str = ""):
        os.makedirs(folder, exist_ok=True)
        name = (
            f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{_Count.next()}{suffix}"
        )
        self.path = os.path.join(folder, name)
        self._lock = threading.Lock()
        self._file = open(self.path, "ab")  # noqa: SIM115 (closed by close)
        self.write(message(double(1, time.time()), field(3, "brain.Event:2")))
        self.flush()

    def write(self, event: bytes) -> None:
        """Appends an event."""
        length = struct.pack("<Q", len(event))
        with self._lock:
            self._file.write(length + _masked(length) + event + _masked(event))

    def flush(self) -> None:
        """Makes sure that what was written can be read."""
        with self._lock:
            if not self._file.closed:
                self._file.flush()

    def close(self) -> None:
        """Writes what is left and closes the file."""
        with self._lock:
            self._file.close()


class _Count:
    _lock, _n = threading.Lock(), -1

    @classmethod
    def next(cls) -> int:
        with cls._lock:
            cls._n += 1
            return cls._n


class FileWriter:
    """Writes summaries, as the bytes of their messages, to a file of events in a folder.

    flush_secs: after so many seconds what was written is flushed by the next write.
    """

    def __init__(self, log_dir: Any, max_queue: int = 10, flush_secs: float = 120, filename_suffix: str = ""):
        self.log_dir, self.flush_secs, self.suffix = str(log_dir), flush_secs, filename_suffix
        self.event_writer = EventFile(self.log_dir, filename_suffix)
        self._flushed = time.time()

    def get_logdir(self) -> str:
        """The folder."""
        return self.log_dir

    def add_event(self, event: bytes, step: int | None = None, walltime: float | None = None) -> None:
        """Writes an event: fields to which time and step are added."""
        now = time.time() if walltime is None else walltime
        self.event_writer.write(message(double(1, now), b"" if step is None else integer(2, int(step)), event))
        if time.time() - self._flushed > self.flush_secs:
            self.flush()

    def add_summary(self, summary: bytes, global_step: int | None = None, walltime: float | None = None) -> None:
        """Writes a summary."""
        self.add_event(field(5, summary), global_step, walltime)

    def add_graph(self, graph: bytes, walltime: float | None = None) -> None:
        """Writes a graph."""
        self.add_event(field(4, graph), None, walltime)

    def flush(self) -> None:
        """Makes sure that what was written can be read."""
        self._flushed = time.time()
        self.event_writer.flush()

    def close(self) -> None:
        """Closes the file."""
        self.event_writer.close()

    def reopen(self) -> None:
        """Begins a new file in the folder."""
        self.event_writer = EventFile(self.log_dir, self.suffix)
