"""What a recording depended on in Python: `Guard`, and when two objects mean the same.

A guard is one entry of a dictionary (a module's globals, an instance's `__dict__`, a dictionary of the program), of a list, or the
content of a cell, with the object that was found there. Numbers, strings and tuples of them hold while they are
equal; everything else while it is the same object. Which places those are, `looking` finds out.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from operator import is_
from types import CellType, MappingProxyType
from typing import Any

from mashal.core.interop import is_array, is_array_scalar
from mashal.core.tensor import Tensor

__all__ = [
    "ABSENT",
    "CONTENTS",
    "LENGTH",
    "UNKNOWN",
    "Guard",
    "HasGradient",
    "holding",
    "same",
    "shown_key",
]


class _Word:
    """A value that stands for something and is nothing else."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


ABSENT = _Word("nothing")  # expected: the holder has no such key
LENGTH = _Word("length")  # key: what is expected is len(holder)
CONTENTS = _Word("contents")  # key: what is expected is all that the holder holds
UNKNOWN = _Word("unknown")  # what could not be found out without running the program's code

_PLAIN = (int, str, bool, bytes, complex, type(None), type(...), range, slice, frozenset)


def same(found: Any, expected: Any) -> bool:
    """Whether two objects mean the same to a recording: equal numbers, strings and tuples of them, else one object.

    >>> same(1.5, 3 / 2), same((1, "a"), (1, "a")), same(0.0, -0.0), same(1, True), same([], [])
    (True, True, False, False, False)
    """
    if found is expected:
        return True
    kind = type(found)
    if kind is not type(expected):
        return False
    if kind is float:
        return struct.pack("d", found) == struct.pack("d", expected)
    if kind is tuple:
        return len(found) == len(expected) and (all(map(is_, found, expected)) or all(map(same, found, expected)))
    if kind in _PLAIN:
        return found == expected
    return is_array_scalar(found) and found.tobytes() == expected.tobytes()


@contextmanager
def holding(places: Sequence[Guard], values: Sequence[Any]) -> Iterator[None]:
    """Other objects in some places, for a while; nobody is told."""
    kept = [(place, place.found(), value) for place, value in zip(places, values) if value is not ABSENT]
    try:
        for place, _, value in kept:
            place.put(value)
        yield
    finally:
        for place, before, _ in kept:
            place.put(before)


def _held(holder: Any) -> Any:
    """What a container holds, as something that `same` compares."""
    if isinstance(holder, ContextVar):
        return holder.get(ABSENT)
    if isinstance(holder, (set, frozenset)):
        return frozenset(holder)
    if isinstance(holder, (dict, MappingProxyType)):
        return tuple(holder.items())
    if isinstance(holder, (bytearray, array)):
        return bytes(holder)
    return (holder.dtype.str, holder.shape, holder.tobytes()) if is_array(holder) else tuple(holder)


@dataclass(frozen=True, eq=False, slots=True)
class Guard:
    """What was found in one place, which must hold for the recording to be used again.

    holder: a dict, a list, a cell (key None), any container (key CONTENTS), or an object with slots (key a str). key LENGTH:
    expected is the holder's length. expected ABSENT: there was nothing. what: the place in words, for messages.

    >>> settings = {"scale": 2}
    >>> guard = Guard(settings, "scale", 2, "global `scale`")
    >>> guard.holds()
    True
    >>> settings["scale"] = 3
    >>> guard.holds(), guard.found()
    (False, 3)
    """

    holder: Any
    key: Any
    expected: Any
    what: str

    @property
    def name(self) -> tuple[int, Any]:
        """The same for the same place."""
        return id(self.holder), self.key

    def found(self) -> Any:
        """What is there now; ABSENT if nothing."""
        holder, key = self.holder, self.key
        try:
            if key is LENGTH:
                return len(holder)
            if key is CONTENTS:
                return _held(holder)
            if isinstance(holder, dict):
                return dict.get(holder, key, ABSENT)
            if isinstance(holder, CellType):
                return holder.cell_contents
            return holder[key] if isinstance(holder, list) else getattr(holder, key)
        except (ValueError, IndexError, AttributeError):
            return ABSENT

    def put(self, value: Any) -> None:
        """Puts an object there."""
        if isinstance(self.holder, CellType):
            self.holder.cell_contents = value
        elif isinstance(self.holder, dict):
            dict.__setitem__(self.holder, self.key, value)
        elif isinstance(self.holder, list):
            self.holder[self.key] = value
        else:
            object.__setattr__(self.holder, self.key, value)

    def holds(self) -> bool:
        """Whether what is there still means the same."""
        return same(self.found(), self.expected)


def shown_key(key: Any) -> str:
    """A key in words; what is no plain value isn't asked what it looks like: that may be much work, and runs its code."""
    return repr(key) if isinstance(key, _PLAIN) else f"a {type(key).__name__}"


@dataclass(frozen=True, eq=False, slots=True)
class HasGradient:
    """That a tensor has a gradient of a form."""

    tensor: Tensor
    form: Any

    def holds(self) -> bool:
        return self.tensor.grad_ is not None and self.tensor.grad_.form is self.form
