"""Protocol buffers, the little of them that events need: a message is the bytes of its fields, one after another.

A field is written as its number and kind, then its value. Missing fields have defaults; nested messages are bytes with a length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

__all__ = ["boolean", "double", "doubles", "field", "floating", "integer", "message"]


def _varint(n: int) -> bytes:
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def integer(number: int, value: int) -> bytes:
    """A whole number (also of an enumeration)."""
    return _key(number, 0) + _varint(int(value))


def boolean(number: int, value: bool) -> bytes:
    """A truth value."""
    return integer(number, int(value))


def double(number: int, value: float) -> bytes:
    """A number of 8 bytes."""
    return _key(number, 1) + struct.pack("<d", value)


def floating(number: int, value: float) -> bytes:
    """A number of 4 bytes; one too large for them is infinite."""
    try:
        packed = struct.pack("<f", value)
    except OverflowError:
        packed = struct.pack("<f", float("inf") if value > 0 else -float("inf"))
    return _key(number, 5) + packed


def field(number: int, value: bytes | str) -> bytes:
    """Bytes, a text, or a message.

    >>> field(1, "ab")
    b'\\n\\x02ab'
    """
    data = value.encode() if isinstance(value, str) else value
    return _key(number, 2) + _varint(len(data)) + data


def doubles(number: int, values: Iterable[float]) -> bytes:
    """Numbers of 8 bytes, packed."""
    values = list(values)
    return field(number, struct.pack(f"<{len(values)}d", *values))


def message(*parts: bytes) -> bytes:
    """A message of some fields."""
    return b"".join(parts)
