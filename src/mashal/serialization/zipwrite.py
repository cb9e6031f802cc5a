"""Writes the archive that PyTorch's files are: a zip of stored records, each aligned to 64 bytes.

A record is a local header, padding, the bytes themselves, and a descriptor with their checksum behind them, so the
checksum may be computed while the bytes are being written: where that is slow (see checksum), helper threads do it,
without the GIL, and a save takes as long as the writing. Tensors are written straight from their memory. The bytes
equal those of PyTorch's writer, the last record (a fingerprint of the file) excepted.

Stands on checksum.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Sequence
from queue import SimpleQueue
from typing import IO

from mashal.serialization.checksum import crc32, folds

LIMIT = 0xFFFFFFFF  # sizes and positions from here on need zip64's longer fields
LOCAL = struct.Struct("<4sHHHHHIIIHH")
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
DESCRIPTOR, LONG_DESCRIPTOR = struct.Struct("<4sIII"), struct.Struct("<4sIQQ")
LONG_END = struct.Struct("<4sQHHIIQQQQ")
LOCATOR = struct.Struct("<4sIQI")
END = struct.Struct("<4sHHHHIIH")
UTF8, DESCRIBED = 1 << 11, 1 << 3  # flags: the name is UTF-8; sizes and checksum follow the bytes
WORTH_A_THREAD = 1 << 20  # bytes; below, the checksums are cheaper than a thread
WORTH_A_WAIT = 1 << 17  # bytes of a record; below, its checksum is cheaper than waiting for another thread's


def padding(position: int, name: int, size: int, alignment: int) -> bytes:
    """The extra field that brings a record's bytes to a multiple of `alignment`.

    position: where the record's header starts. name: the length of its name. size: of its bytes.

    >>> padding(0, 11, 374, 64)
    b'FB\\x13\\x00ZZZZZZZZZZZZZZZZZZZ'
    """
    long = long_fields(size, position)
    fill = -(position + LOCAL.size + name + len(long) + 4) % alignment
    return long + struct.pack("<2sH", b"FB", fill) + b"Z" * fill


def long_fields(size: int, position: int) -> bytes:
    """Zip64's extra field: the sizes and the position that do not fit 32 bits, or nothing."""
    values = ([size, size] if size >= LIMIT else []) + ([position] if position >= LIMIT else [])
    return struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values) if values else b""


class ZipWriter:
    """An archive being written to a file object that is open for writing bytes.

    file: only its `write` is used. name: the folder all records are in. checksums: whether to compute them.

    >>> import io
    >>> file = io.BytesIO()
    >>> archive = ZipWriter(file, "archive")
    >>> archive.write("data/0", b"1234")
    >>> archive.close()
    >>> file.getvalue()[64:68]
    b'1234'
    """

    def __init__(self, file: IO[bytes], name: str, checksums: bool = True, alignment: int = 64):
        self.file = file
        self.name = name
        self.checksums = checksums
        self.alignment = alignment
        self.position = 0
        self.directory: list[bytes] = []
        self.fingerprint = [0, 0]  # of the names, of the checksums

    def write(self, name: str, data: bytes | memoryview) -> None:
        """One record, its checksum computed here."""
        self.head(name, len(data))
        self.put(data)
        self.tail(name, len(data), crc32(data) if self.checksums else 0)

    def write_many(self, names: Sequence[str], datas: Sequence[memoryview]) -> None:
        """Records in order; where checksums are slow, they are computed beside the writing."""
        if not self.checksums or folds() or sum(map(len, datas)) < max(WORTH_A_THREAD, WORTH_A_WAIT * len(datas)):
            for name, data in zip(names, datas, strict=True):
                self.write(name, data)
            return
        with Checksums(datas) as checksums:
            for number, (name, data) in enumerate(zip(names, datas, strict=True)):
                self.head(name, len(data))
                self.put(data)
                self.tail(name, len(data), checksums.of(number))

    def write_hole(self, name: str, size: int) -> None:
        """A record whose bytes are left for later: zeros, in a file that can seek without taking space."""
        self.head(name, size)
        start = self.position
        step = bytes(min(size, 1 << 20))
        while self.position - start < size:
            self.put(step[: size - (self.position - start)])
        self.tail(name, size, 0)

    def head(self, name: str, size: int) -> None:
        """The local header, and the padding behind it; the record's place in the directory is kept."""
        path = f"{self.name}/{name}".encode()
        flags = UTF8 | (DESCRIBED if size else 0)
        extra = padding(self.position, len(path), size, self.alignment)
        self.start, self.flags = self.position, flags
        self.put(LOCAL.pack(b"PK\3\4", 0, flags, 0, 0, 0, 0, 0, 0, len(path), len(extra)) + path + extra)

    def tail(self, name: str, size: int, checksum: int) -> None:
        """The descriptor behind the bytes, and the record's entry for the directory."""
        path = f"{self.name}/{name}".encode()
        extra = long_fields(size, self.start)
        if size:
            form = LONG_DESCRIPTOR if extra else DESCRIPTOR
            self.put(form.pack(b"PK\7\10", checksum, size, size))
        size, start = min(size, LIMIT), min(self.start, LIMIT)
        entry = (b"PK\1\2", 0, 0, self.flags, 0, 0, 0, checksum, size, size, len(path), len(extra), 0, 0, 0, 0, start)
        self.directory.append(CENTRAL.pack(*entry) + path + extra)
        self.fingerprint[0] = zlib.crc32(path, self.fingerprint[0])
        self.fingerprint[1] = zlib.crc32(checksum.to_bytes(4, "little"), self.fingerprint[1])

    def put(self, data: bytes | memoryview) -> None:
        """Bytes into the file; a raw file may take them in several bites."""
        view = memoryview(data)
        self.position += len(view)
        while len(view):
            written = self.file.write(view)
            if not isinstance(written, int) or written >= len(view):  # some file objects return nothing
                return
            view = view[written:]

    def close(self) -> None:
        """The records every file of PyTorch ends with, then the directory and its three endings."""
        self.write("version", b"3\n")
        names, checksums = self.fingerprint
        self.write(".data/serialization_id", b"%020d%020d" % (names, checksums))
        start, count = self.position, len(self.directory)
        self.put(b"".join(self.directory))
        size, end = self.position - start, self.position
        self.put(LONG_END.pack(b"PK\6\6", LONG_END.size - 12, 0x031E, 45, 0, 0, count, count, size, start))
        self.put(LOCATOR.pack(b"PK\6\7", 0, end, 1))
        few = min(count, 0xFFFF)
        self.put(END.pack(b"PK\5\6", 0, 0, few, few, min(size, LIMIT), min(start, LIMIT), 0))


class Checksums:
    """The CRC-32 of several buffers, computed ahead by helper threads; `of` must be asked in order."""

    def __init__(self, datas: Sequence[memoryview]):
        self.stopped = False
        self.queues: list[SimpleQueue[int]] = [SimpleQueue() for _ in range(min(4, os.cpu_count() or 1, len(datas)))]
        n = len(self.queues)
        self.threads = [
            threading.Thread(target=self.work, args=(datas[i::n], queue), daemon=True)
            for i, queue in enumerate(self.queues)
        ]

    def work(self, datas: Sequence[memoryview], results: SimpleQueue[int]) -> None:
        for data in datas:
            if self.stopped:
                return
            results.put(crc32(data))

    def of(self, number: int) -> int:
        """The checksum of buffer `number`; waits for it."""
        return self.queues[number % len(self.queues)].get()

    def __enter__(self) -> Checksums:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stopped = True
        for thread in self.threads:
            thread.join()
