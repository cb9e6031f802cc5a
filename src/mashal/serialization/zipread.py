"""Reads the archive that PyTorch's files are, believing nothing it says about itself.

A zip ends with its directory; each entry there names a record, its size and where its header is. Every position
is compared with the file's size before anything is read or allocated, and the sizes of all records together may not exceed
the file's: entries that lie, overlap or point outside are an error here, never a crash or an allocation without bound.
Records are found by their name behind the archive's folder, as PyTorch finds them. Checksums are not verified, as
PyTorch doesn't (it also writes files without them); `damaged` compares one where reading has failed already.

Stands on `sources`.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from mashal.serialization.sources import Source

LIMIT = 0xFFFFFFFF
LOCAL = struct.Struct("<4sHHHHHIIIHH")
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
LONG_END = struct.Struct("<4sQHHIIQQQQ")
LOCATOR = struct.Struct("<4sIQI")
END = struct.Struct("<4sHHHHIIH")
STORED, DEFLATED = 0, 8
MOST_DEFLATION = 1032  # deflate makes at most this many bytes of one


class Record(NamedTuple):
    """A record as the directory describes it: where its header is, its stored and its true size."""

    header: int
    stored: int
    size: int
    method: int
    checksum: int


class ZipReader:
    """The records of an archive.

    RuntimeError: the file is not a zip, is cut short, or says things about itself that cannot be.
    """

    def __init__(self, source: Source):
        self.source = source
        start, size, count = self.ending()
        self.end = start
        self.records = self.directory(source.read(start, size), count)
        first = next(iter(self.records), "")
        self.folder = first.split("/")[0] if "/" in first else ""

    def ending(self) -> tuple[int, int, int]:
        """Where the directory starts, its size, and how many entries it has."""
        source = self.source
        last = min(source.size, END.size + 0xFFFF)
        tail = source.read(source.size - last, last)
        at = tail.rfind(b"PK\5\6")
        if at < 0 or at + END.size > len(tail):
            raise broken("has no directory at its end; it is cut short, or was not written by save")
        _, _, _, _, count, size, start, _ = END.unpack_from(tail, at)
        position = source.size - last + at
        if position >= LOCATOR.size:
            mark, _, long, _ = LOCATOR.unpack(source.read(position - LOCATOR.size, LOCATOR.size))
            if mark == b"PK\6\7":
                if long + LONG_END.size > position:
                    raise broken("says its directory's ending lies outside the file")
                mark, _, _, _, _, _, _, count, size, start = LONG_END.unpack(source.read(long, LONG_END.size))
                if mark != b"PK\6\6":
                    raise broken("has a damaged directory")
        if start + size > position or count * CENTRAL.size > size:
            raise broken(
                f"says its directory of {count} records is {size} bytes at {start}, which the file doesn't hold"
            )
        return start, size, count

    def directory(self, data: bytes, count: int) -> dict[str, Record]:
        """The entries of the directory by name."""
        records: dict[str, Record] = {}
        at = total = 0
        for _ in range(count):
            if at + CENTRAL.size > len(data):
                raise broken("has a directory that ends too early")
            entry = CENTRAL.unpack_from(data, at)
            mark, method, checksum, stored, size = entry[0], entry[4], entry[7], entry[8], entry[9]
            name, extra, comment, header = entry[10], entry[11], entry[12], entry[16]
            if mark != b"PK\1\2" or at + CENTRAL.size + name + extra + comment > len(data):
                raise broken("has a damaged directory")
            at += CENTRAL.size
            path = data[at : at + name].decode("utf-8", "replace")
            size, stored, header = widened(data[at + name : at + name + extra], size, stored, header)
            at += name + extra + comment
            total += stored
            self.check(path, Record(header, stored, size, method, checksum), total)
            records[path] = Record(header, stored, size, method, checksum)
        return records

    def check(self, path: str, record: Record, total: int) -> None:
        """RuntimeError unless the record can lie in this file; `total` is the sum of the sizes so far."""
        if record.header + LOCAL.size + record.stored > self.end or total > self.end:
            raise broken(
                f"says record {path!r} is {record.stored} bytes at {record.header}, which the file doesn't hold"
            )
        if record.method == STORED and record.size != record.stored:
            raise broken(f"says stored record {path!r} has {record.size} bytes and {record.stored} at the same time")
        if record.method == DEFLATED and record.size > MOST_DEFLATION * record.stored:
            raise broken(f"says record {path!r} of {record.stored} bytes expands to {record.size}, which cannot be")

    def has(self, name: str) -> bool:
        """Whether there is a record of this name in the archive's folder."""
        return self.path(name) in self.records

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def record(self, name: str) -> Record:
        """The record of this name; RuntimeError if there is none."""
        found = self.records.get(self.path(name))
        if found is None:
            raise broken(f"has no record {name!r}; it was not written by save, or lost a part")
        if found.method not in (STORED, DEFLATED):
            raise broken(
                f"compresses record {name!r} by method {found.method}; only stored and deflated ones can be read"
            )
        return found

    def offset(self, name: str) -> int:
        """Where a record's bytes start in the file."""
        record = self.record(name)
        header = LOCAL.unpack(self.source.read(record.header, LOCAL.size))
        start = record.header + LOCAL.size + header[9] + header[10]
        if header[0] != b"PK\3\4" or start + record.stored > self.end:
            raise broken(f"has a damaged record {name!r}")
        return start

    def read(self, name: str) -> bytes:
        """A record's bytes."""
        record, start = self.record(name), self.offset(name)
        data = self.source.read(start, record.stored)
        return inflated(data, record.size, name) if record.method == DEFLATED else data

    def damaged(self, name: str) -> bool:
        """Whether a record's bytes differ from their checksum (0 stands for none)."""
        checksum = self.record(name).checksum
        return checksum != 0 and zlib.crc32(self.read(name)) != checksum


def widened(extra: bytes, size: int, stored: int, header: int) -> tuple[int, int, int]:
    """Size, stored size and position, those that are all ones replaced from zip64's extra field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            data = extra[at + 4 : at + 4 + length]
            longs = iter(struct.unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8]))
            size, stored, header = (next(longs, x) if x == LIMIT else x for x in (size, stored, header))
        at += 4 + length
    return size, stored, header


def inflated(data: bytes, size: int, name: str) -> bytes:
    """Deflated bytes expanded to exactly `size`; RuntimeError if they are not that many."""
    engine = zlib.decompressobj(-15)
    try:
        result = engine.decompress(data, size + 1)
    except zlib.error as error:
        raise broken(f"has a damaged record {name!r} ({error})") from error
    if len(result) != size:
        raise broken(f"says record {name!r} has {size} bytes, but it expands to {len(result)} or more")
    return result


def broken(what: str) -> RuntimeError:
    """The error for an archive that cannot be read."""
    return RuntimeError(f"load: the file {what}")
