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
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter, is_, itemgetter
from threading import local
from types import (
    CellType,
    FrameType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)  # fmt: skip
from typing import Any

from mashal.capture.frames import foreign
from mashal.core.interop import is_array, is_array_scalar
from mashal.core.tensor import Tensor

__all__ = [
    "ABSENT",
    "CONTENTS",
    "LENGTH",
    "UNKNOWN",
    "Guard",
    "candidates",
    "dictionary_of",
    "evaluate",
    "holding",
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
CONTENTS = _Word("contents")  # key: what is expected is all that the holder holds
UNKNOWN = _Word("unknown")  # what could not be found out without running the program's code
MOST = 64  # items of a container of which each may be the one that is meant

_KEYS = (int, str, float, bytes, tuple, type(None), Enum, Tensor)
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


# ---------------------------------------------------------------- looking without touching
def look_up(owner: Any, name: str) -> tuple[Any, Any]:
    """Where an attribute is found, and what it is: (holder or None, value or UNKNOWN).

    holder: the dictionary that has it, the object itself where a slot has it; None where no guard is needed, as for
    modules that are not the program's.
    """
    if isinstance(owner, Tensor):
        return _in_tensor(owner, name)
    if isinstance(owner, local):
        return owner, getattr(owner, name, ABSENT)
    if name == "__class__":
        return None, type(owner)
    if name == "__dict__" and not isinstance(owner, type):
        own = dictionary_of(owner)
        return None, UNKNOWN if own is None else own
    if isinstance(owner, ModuleType):
        held = ModuleType.__getattribute__(owner, "__dict__")
        return (None if foreign(held.get("__file__")) else held), held.get(name, UNKNOWN)
    if isinstance(owner, type):
        holder, value = _in_classes(owner, name)
        if value is UNKNOWN:
            holder, value = _in_classes(type(owner), name)
            return (None, UNKNOWN) if hasattr(type(value), "__get__") else (holder, value)
        value = value.__func__ if isinstance(value, staticmethod) else value
        return holder, UNKNOWN if isinstance(value, (classmethod, property)) else value
    return _in_instance(owner, name)


def _in_tensor(owner: Tensor, name: str) -> tuple[Any, Any]:
    """What a program has hung on a tensor; what tensors have themselves is known to those who ask for it."""
    if hasattr(type(owner), name):
        return None, UNKNOWN
    own = dictionary_of(owner)
    return own, UNKNOWN if own is None else own.get(name, ABSENT)


def _in_instance(owner: Any, name: str) -> tuple[Any, Any]:
    kind, own = type(owner), dictionary_of(owner)
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
        return item_of(owner, name) if _in_classes(kind, "__getattr__")[1] is dict.__getitem__ else (None, UNKNOWN)
    if isinstance(value, FunctionType):
        return None if foreign(value.__code__.co_filename) else holder, MethodType(value, owner)
    if hasattr(type(value), "__get__"):
        return None, UNKNOWN if isinstance(value, (property, GetSetDescriptorType)) else _bound(value, owner)
    return holder, value


def _bound(descriptor: Any, owner: Any) -> Any:
    """A C function, static or class method of a class as an instance gives it; UNKNOWN for the program's own."""
    if type(descriptor).__module__ == "builtins":
        return descriptor.__get__(owner, type(owner))
    return UNKNOWN


def dictionary_of(owner: Any) -> dict | None:
    """The attributes of an object that keeps them in a dictionary."""
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
        plain = isinstance(key, _KEYS) if isinstance(owner, dict) else type(owner) is list and isinstance(key, int)
        guard = Guard(owner, key, None, what) if plain else None
    elif type(owner) is type:
        holder, value = _in_classes(owner, key)
        own = key in owner.__dict__ and not hasattr(type(value), "__set__")
        guard = Guard(holder, key, None, what) if own and holder is not None else None
    elif isinstance(owner, (type, Tensor)) or (isinstance(owner, ModuleType) and look_up(owner, key)[0] is None):
        return None
    else:
        own, (_, shared) = dictionary_of(owner), _in_classes(type(owner), key)
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
            return UNKNOWN if owner is UNKNOWN else _there(look_up(owner, name)[1])
        case ("call", ("global", "vars" | "type" as name), (of,)) if name not in frame.f_globals:
            return evaluate(("attribute", of, "__dict__" if name == "vars" else "__class__"), frame)
        case ("call", made, arguments) if (getter := evaluate(made, frame)) in (attrgetter, itemgetter):
            names = [evaluate(argument, frame) for argument in arguments]
            return UNKNOWN if UNKNOWN in names else getter(*names)
        case ("item", of, key):
            return _there(item_of(evaluate(of, frame), evaluate(key, frame))[1])
    return UNKNOWN


def _there(value: Any) -> Any:
    return UNKNOWN if value is ABSENT else value


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
    return [value for value in found if value is not UNKNOWN and value is not ABSENT]


def item_of(owner: Any, key: Any) -> tuple[Any, Any]:
    """Where owner[key] is found and what it is, for Python's own lists, tuples and dictionaries: as `look_up`."""
    if key is UNKNOWN or not isinstance(key, _KEYS):
        return None, UNKNOWN
    try:
        if isinstance(owner, dict) and type(owner).__getitem__ is dict.__getitem__:
            return owner, dict.get(owner, key, ABSENT)
        if type(owner) is list and isinstance(key, int):
            return owner, owner[key]
        if type(owner) is tuple and isinstance(key, int):
            return None, owner[key]
        if _is_layers(owner) and isinstance(key, (int, str)):
            layers: Any = owner
            return None, layers[key]
    except (IndexError, KeyError, TypeError):  # no such item, a key that cannot be one
        pass
    return None, UNKNOWN


def _is_layers(owner: Any) -> bool:
    """Whether this is a Sequential, ModuleList or the like: asking it for an item is looking into its dictionary of layers."""
    return getattr(getattr(type(owner), "__getitem__", None), "__module__", None) == "mashal.nn.containers"
