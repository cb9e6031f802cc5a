"""Where a file's bytes come from: a real file, bytes in memory, or any object that can seek and read.

A source reads at positions, counted from where the file object stood, and knows its size; it reads into given
memory without a copy between, where the object allows. Large reads from a real file are spread over threads.

Stands on the standard library alone.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Sequence
from typing import IO, Any

BITE = 1 << 30  # bytes: one system call reads at most 2 GiB
WORTH_A_THREAD = 4 << 20  # bytes


class Source:
    """Bytes at positions, through a file object's seek and read."""

    def __init__(self, file: IO[bytes]):
        self.file: Any = file
        self.base = file.tell()
        self.size = max(0, file.seek(0, io.SEEK_END) - self.base)
        file.seek(self.base)

    def read(self, start: int, size: int) -> bytes:
        """Exactly `size` bytes; EOFError if the file ends earlier."""
        if start < 0 or size < 0 or start + size > self.size:
            raise EOFError(f"load: the file ends at byte {self.size}; {size} bytes at {start} were to be read")
        self.file.seek(self.base + start)
        data = self.file.read(size)
        if len(data) != size:
            raise EOFError(f"load: the file gave {len(data)} of the {size} bytes at {start}")
        return data

    def read_into(self, start: int, target: memoryview) -> None:
        """Fills `target` with the bytes from `start` on."""
        readinto = getattr(self.file, "readinto", None)
        if readinto is None:
            target[:] = self.read(start, len(target))
            return
        self.file.seek(self.base + start)
        done = 0
        while done < len(target):
            got = readinto(target[done : done + BITE])
            if not got:
                raise EOFError(
                    f"load: the file ends at byte {start + done}; {len(target)} bytes at {start} were to be read"
                )
            done += got

    def read_all(self, jobs: Sequence[tuple[int, memoryview]]) -> None:
        """Fills several targets, each from its position."""
        for start, target in jobs:
            self.read_into(start, target)


class FileSource(Source):
    """Bytes of a real file, read at positions without moving it, by several threads where it is worth it."""

    def __init__(self, file: IO[bytes]):
        super().__init__(file)
        self.descriptor = file.fileno()

    def read_into(self, start: int, target: memoryview) -> None:
        done = 0
        while done < len(target):
            got = os.preadv(self.descriptor, [target[done : done + BITE]], self.base + start + done)
            if not got:
                raise EOFError(
                    f"load: the file ends at byte {start + done}; {len(target)} bytes at {start} were to be read"
                )
            done += got

    def read_all(self, jobs: Sequence[tuple[int, memoryview]]) -> None:
        workers = min(4, os.cpu_count() or 1, len(jobs))
        if workers < 2 or sum(len(target) for _, target in jobs) < WORTH_A_THREAD:
            super().read_all(jobs)
            return
        failures: list[BaseException] = []

        def work(mine: Sequence[tuple[int, memoryview]]) -> None:
            try:
                for start, target in mine:
                    self.read_into(start, target)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(jobs[i::workers],)) for i in range(1, workers)]
        for thread in threads:
            thread.start()
        work(jobs[::workers])
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]


def source_of(file: IO[bytes]) -> Source:
    """The fastest source for a file object that is open for reading bytes."""
    plain = isinstance(file, io.FileIO) or (
        isinstance(file, (io.BufferedReader, io.BufferedRandom)) and isinstance(file.raw, io.FileIO)
    )
    if plain and hasattr(os, "preadv"):
        return FileSource(file)
    return Source(file)
