"""What a recording depended on in Python: `Guard`, and reading a program's objects without running its code.

A guard is one entry of a dictionary (a module's globals, an instance's `__dict__`, a dictionary of the program), of a list, or the
content of a cell, with the object that was found there. Numbers, strings and tuples of them hold while they are
equal; everything else while it is the same object.

`look_up` and `evaluate` find what `config.layers[0].scale` is now: they look into dictionaries, and never call a property, a
`__getattr__` or anything else the program defined.
"""

from __future__ import annotations

import gc
import struct
from dataclasses import dataclass
from types import CellType, FrameType, FunctionType, GetSetDescriptorType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

from mashal.capture.frames import foreign
from mashal.core.tensor import Tensor

__all__ = [
    "ABSENT",
    "CONTENTS",
    "LENGTH",
    "UNKNOWN",
    "Guard",
    "candidates",
    "content_guards",
    "evaluate",
    "look_up",
    "place_of",
    "same",
]


class _Word:
    """A value that stands for something and is nothing else."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


ABSENT = _Word("nothing")  # expected: the holder has no such key
LENGTH = _Word("length")  # key: what is expected is len(holder)
CONTENTS = _Word("contents")  # key: what is expected is the holder as a frozenset
UNKNOWN = _Word("unknown")  # what could not be found out without running the program's code
MOST = 64  # items of a container that are guarded

_PLAIN = (int, str, bool, bytes, complex, type(None), type(...), range, slice)


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
        return len(found) == len(expected) and all(map(same, found, expected))
    return kind in _PLAIN and found == expected


@dataclass(frozen=True, eq=False, slots=True)
class Guard:
    """What was found in one place, which must hold for the recording to be used again.

    holder: a dict, a list, a cell (key None), a set (key CONTENTS), or an object with slots (key a str). key LENGTH:
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

    def found(self) -> Any:
        """What is there now; ABSENT if nothing."""
        holder, key = self.holder, self.key
        try:
            if key is LENGTH:
                return len(holder)
            if key is CONTENTS:
                return frozenset(holder)
            if isinstance(holder, dict):
                return dict.get(holder, key, ABSENT)
            if isinstance(holder, CellType):
                return holder.cell_contents
            return holder[key] if isinstance(holder, list) else getattr(holder, key)
        except (ValueError, IndexError, AttributeError):
            return ABSENT

    def holds(self) -> bool:
        """Whether what is there still means the same."""
        found = self.found()
        return found == self.expected if self.key is CONTENTS else same(found, self.expected)


def content_guards(value: Any, what: str) -> list[Guard]:
    """Guards for the items of a list, dictionary or set of the program; for the length alone where it is long."""
    if isinstance(value, (set, frozenset)) and type(value) is set and len(value) <= MOST:
        return [Guard(value, CONTENTS, frozenset(value), what)]
    if not isinstance(value, (list, dict)):
        return []
    length = Guard(value, LENGTH, len(value), f"the length of {what}")
    if len(value) > MOST:
        return [length]
    entries = dict.items(value) if isinstance(value, dict) else enumerate(list.__iter__(value))
    return [length, *(Guard(value, key, item, f"{what}[{_shown(key)}]") for key, item in entries)]


def _shown(key: Any) -> str:
    """A key in words; what is no plain value isn't asked what it looks like: that may be much work, and runs its code."""
    return repr(key) if isinstance(key, _PLAIN) else f"a {type(key).__name__}"


# ---------------------------------------------------------------- looking without touching
def look_up(owner: Any, name: str) -> tuple[Any, Any]:
    """Where an attribute is found, and what it is: (holder or None, value or UNKNOWN).

    holder: the dictionary that has it, the object itself where a slot has it; None where no guard is needed, as for
    modules that are not the program's.
    """
    if isinstance(owner, Tensor):
        return None, UNKNOWN
    if name == "__class__":
        return None, type(owner)
    if name == "__dict__" and not isinstance(owner, type):
        own = _dictionary(owner)
        return None, UNKNOWN if own is None else own
    if isinstance(owner, ModuleType):
        held = ModuleType.__getattribute__(owner, "__dict__")
        return (None if foreign(held.get("__file__")) else held), held.get(name, UNKNOWN)
    if isinstance(owner, type):
        holder, value = _in_classes(owner, name)
        value = value.__func__ if isinstance(value, staticmethod) else value
        return holder, UNKNOWN if isinstance(value, (classmethod, property)) else value
    return _in_instance(owner, name)


def _in_instance(owner: Any, name: str) -> tuple[Any, Any]:
    kind, own = type(owner), _dictionary(owner)
    if own is not None and name in own and type(kind) is type and getattr(kind, name, None) is None:
        return own, own[name]
    if kind.__module__ == "builtins":
        return None, getattr(owner, name, UNKNOWN)
    holder, value = _in_classes(kind, name)
    if isinstance(value, MemberDescriptorType):
        try:
            return owner, value.__get__(owner)
        except AttributeError:
            return owner, ABSENT
    if own is not None and name in own and not hasattr(type(value), "__set__"):
        return own, own[name]
    if value is UNKNOWN:
        return None, UNKNOWN
    if isinstance(value, FunctionType):
        return None, MethodType(value, owner)
    if hasattr(type(value), "__get__"):
        return None, UNKNOWN if isinstance(value, (property, GetSetDescriptorType)) else _bound(value, owner)
    return holder, value


def _bound(descriptor: Any, owner: Any) -> Any:
    """A C function, static or class method of a class as an instance gives it; UNKNOWN for the program's own."""
    if type(descriptor).__module__ == "builtins":
        return descriptor.__get__(owner, type(owner))
    return UNKNOWN


def _dictionary(owner: Any) -> dict | None:
    try:
        own = object.__getattribute__(owner, "__dict__")
    except AttributeError:
        return None
    return own if isinstance(own, dict) else None


def _in_classes(kind: type, name: str) -> tuple[Any, Any]:
    """The dictionary of the first class that has a name, and what it has; (None, UNKNOWN) if none has it."""
    for base in kind.__mro__:
        if name in base.__dict__:
            dictionaries = [d for d in gc.get_referents(base.__dict__) if isinstance(d, dict)]
            return (dictionaries[0] if dictionaries else None), base.__dict__[name]
    return None, UNKNOWN


def place_of(owner: Any, key: Any, way: str, what: str) -> Guard | None:
    """What is in the one place that setting an attribute or an item changes; None where more may change."""
    if way == "item":
        plain = type(owner) is list if isinstance(key, int) else isinstance(owner, dict) and isinstance(key, str)
        guard = Guard(owner, key, None, what) if plain else None
    elif isinstance(owner, (type, Tensor)) or (isinstance(owner, ModuleType) and look_up(owner, key)[0] is None):
        return None
    else:
        own, (_, shared) = _dictionary(owner), _in_classes(type(owner), key)
        slot = isinstance(shared, MemberDescriptorType)
        computed = not slot and hasattr(type(shared), "__set__")
        guard = None if computed or (own is None and not slot) else Guard(owner if slot else own, key, None, what)
    return guard and Guard(guard.holder, key, guard.found(), guard.what)


def evaluate(expression: Any, frame: FrameType) -> Any:
    """What an expression of `mashal.capture.bytecode` is in a frame, before its next instruction; UNKNOWN if unsure."""
    match expression:
        case ("constant", value):
            return value
        case ("local" | "cell", name):
            return frame.f_locals.get(name, UNKNOWN)
        case ("global", name):
            return frame.f_globals.get(name, frame.f_builtins.get(name, UNKNOWN))
        case ("attribute", of, name):
            owner = evaluate(of, frame)
            return UNKNOWN if owner is UNKNOWN else look_up(owner, name)[1]
        case ("call", ("global", "vars" | "type" as name), (of,)) if name not in frame.f_globals:
            return evaluate(("attribute", of, "__dict__" if name == "vars" else "__class__"), frame)
        case ("item", of, key):
            return item_of(evaluate(of, frame), evaluate(key, frame))[1]
    return UNKNOWN


def candidates(expression: Any, frame: FrameType) -> list[Any]:
    """What an expression may be: one object, or, where an item's key isn't known, all items of that list or dictionary."""
    match expression:
        case ("item", of, None):
            owners = [
                owner
                for owner in candidates(of, frame)
                if isinstance(owner, (list, tuple, dict)) and len(owner) <= MOST
            ]
            return [item for owner in owners for item in (owner.values() if isinstance(owner, dict) else owner)]
        case ("item", of, key) if of is not None and of[0] in ("item", "attribute"):
            key = evaluate(key, frame)
            found = [item_of(owner, key)[1] for owner in candidates(of, frame)]
        case ("attribute", of, name) if of is not None and of[0] in ("item", "attribute"):
            found = [look_up(owner, name)[1] for owner in candidates(of, frame)]
        case _:
            found = [evaluate(expression, frame)]
    return [value for value in found if value is not UNKNOWN]


def item_of(owner: Any, key: Any) -> tuple[Any, Any]:
    """Where owner[key] is found and what it is, for Python's own lists, tuples and dictionaries: as `look_up`."""
    if key is UNKNOWN or not isinstance(key, (int, str)):
        return None, UNKNOWN
    try:
        if isinstance(owner, dict) and type(owner).__getitem__ is dict.__getitem__:
            return owner, dict.get(owner, key, UNKNOWN)
        if type(owner) is list and isinstance(key, int):
            return owner, owner[key]
        if type(owner) is tuple and isinstance(key, int):
            return None, owner[key]
    except IndexError:
        pass
    return None, UNKNOWN
