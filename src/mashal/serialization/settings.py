"""What a program may set about saving and loading, for all calls: PyTorch's options, under its names.

`load` and `save` below are the values (also reachable as `mashal.utils.serialization.config`); the functions are how
PyTorch's users change them.

Stands on the standard library alone.
"""

from __future__ import annotations

import mmap as mapping
import threading
from enum import Enum
from types import SimpleNamespace

__all__ = [
    "LoadEndianness",
    "get_crc32_options",
    "get_default_load_endianness",
    "get_default_mmap_options",
    "set_crc32_options",
    "set_default_load_endianness",
    "set_default_mmap_options",
    "skip_data",
]

MAP_PRIVATE: int | None = getattr(mapping, "MAP_PRIVATE", None)
MAP_SHARED: int | None = getattr(mapping, "MAP_SHARED", None)


class LoadEndianness(Enum):
    """The byte order assumed of a file that doesn't say its own."""

    NATIVE = 1
    LITTLE = 2
    BIG = 3


load = SimpleNamespace(mmap=False, endianness=None, mmap_flags=MAP_PRIVATE, calculate_storage_offsets=False)
save = SimpleNamespace(compute_crc32=True, use_pinned_memory_for_d2h=False, storage_alignment=64)


class _ThreadState(threading.local):
    """What `skip_data` sets, for the thread it is used in."""

    skip_data = False


state = _ThreadState()


def get_default_load_endianness() -> LoadEndianness | None:
    """The byte order assumed of files that don't say it; None, which is the default, means little.

    >>> get_default_load_endianness() is None
    True
    """
    return load.endianness


def set_default_load_endianness(endianness: LoadEndianness | None) -> None:
    """Sets the byte order assumed of files that don't say it. TypeError for anything but a LoadEndianness or None.

    >>> set_default_load_endianness("big")
    Traceback (most recent call last):
    TypeError: set_default_load_endianness: 'big' is no LoadEndianness; pass LoadEndianness.LITTLE, BIG, NATIVE or None
    """
    if endianness is not None and not isinstance(endianness, LoadEndianness):
        raise TypeError(
            f"set_default_load_endianness: {endianness!r} is no LoadEndianness; "
            "pass LoadEndianness.LITTLE, BIG, NATIVE or None"
        )
    load.endianness = endianness


def get_crc32_options() -> bool:
    """Whether `save` writes a checksum with every record; True unless changed.

    >>> get_crc32_options()
    True
    """
    return save.compute_crc32


def set_crc32_options(compute_crc32: bool) -> None:
    """Sets whether `save` writes checksums. Without them unzip complains of such files; `load` doesn't.

    >>> set_crc32_options(True)
    """
    save.compute_crc32 = bool(compute_crc32)


def get_default_mmap_options() -> int | None:
    """The flag `load(..., mmap=True)` maps files with: mmap.MAP_PRIVATE unless changed; None where there is none.

    >>> get_default_mmap_options() == MAP_PRIVATE
    True
    """
    return load.mmap_flags


class set_default_mmap_options:
    """Sets the flag files are mapped with: mmap.MAP_PRIVATE, where writing to a tensor leaves the file alone, or
    mmap.MAP_SHARED, where it changes the file. As a context manager, only inside it.

    ValueError for another flag; RuntimeError on Windows, which has neither.

    >>> with set_default_mmap_options(MAP_SHARED):
    ...     get_default_mmap_options() == MAP_SHARED
    True
    >>> get_default_mmap_options() == MAP_SHARED
    False
    """

    def __init__(self, flags: int):
        if MAP_PRIVATE is None:
            raise RuntimeError("set_default_mmap_options: this system maps files in one way only")
        if flags not in (MAP_PRIVATE, MAP_SHARED):
            raise ValueError(
                f"set_default_mmap_options: flags is {flags!r}; it must be mmap.MAP_PRIVATE or mmap.MAP_SHARED"
            )
        self.previous = load.mmap_flags
        load.mmap_flags = flags

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        load.mmap_flags = self.previous


class skip_data:
    """Inside it `save` leaves the place of tensors' bytes empty (zeros), and `load` leaves tensors' memory unread.

    materialize_fake_tensors: accepted for PyTorch's sake; there are no fake tensors.
    """

    def __init__(self, materialize_fake_tensors: bool = False):
        self.materialize_fake_tensors = materialize_fake_tensors

    def __enter__(self) -> None:
        self.previous = state.skip_data
        state.skip_data = True

    def __exit__(self, *exception: object) -> None:
        state.skip_data = self.previous
