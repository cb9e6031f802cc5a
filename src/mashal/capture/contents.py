"""What containers hold: the guards for what a program reads as a whole, however deep it lies.

`content_guards` are the guards for a container (list, set, deque, array or the like)
and for the containers in it; `object_guards` those for an object that is handed to code which nobody follows: of
the library, or of C.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from contextvars import ContextVar
from types import FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

from mashal.capture.guards import ABSENT, CONTENTS, LENGTH, Guard, shown_key
from mashal.capture.looking import dictionary_of
from mashal.capture.modules import is_module
from mashal.core.interop import is_array
from mashal.core.tensor import Tensor

__all__ = ["LARGEST", "content_guards", "is_whole", "object_guards"]

MOST = 64  # entries of a dictionary that are guarded one by one
LONGEST = 4096  # items of a container that are guarded; of a longer one its length is
MANY = 1024  # guards for one container, however deep
LARGEST = 1 << 16  # bytes of an array that are guarded
_WHOLE = (set, deque, bytearray, array)


def is_whole(value: Any) -> bool:
    """Whether this is a container whose items can only be guarded together: a set, a deque, an array of numbers."""
    return isinstance(value, _WHOLE) or is_array(value)


def content_guards(value: Any, what: str) -> list[Guard]:
    """Guards for what a container of the program holds, and for what the containers in it hold."""
    return _guards([(value, what)], objects=False)


def object_guards(value: Any, what: str) -> list[Guard]:
    """Guards for all that hangs on an object: its attributes, the items of containers, and theirs."""
    return _guards([(value, what)], objects=True)


def _guards(stack: list[tuple[Any, str]], objects: bool) -> list[Guard]:
    found: list[Guard] = []
    seen: set[int] = set()
    while stack and len(found) < MANY:
        value, what = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        guards, parts = _of_one(value, what, objects)
        found += guards
        stack += [part for part in parts if not isinstance(part[0], (str, int, float, Tensor))]
    return found


def _of_one(value: Any, what: str, objects: bool) -> tuple[list[Guard], Iterator[tuple[Any, str]]]:
    """The guards for one container, and (item, in words) of those that it holds."""
    if isinstance(value, tuple):
        return [], ((item, f"{what}[{i}]") for i, item in enumerate(value))
    if is_whole(value):
        items = enumerate(value if isinstance(value, deque) else ())
        return [Guard(value, CONTENTS, _now(value), what)], ((item, f"{what}[{i}]") for i, item in items)
    if isinstance(value, (list, dict)):
        return _of_list(value, what)
    if isinstance(value, MappingProxyType):
        return [Guard(value, CONTENTS, _now(value), what)], iter(())
    if objects and _is_plain_object(value):
        own = dictionary_of(value) or {}
        entries = [(item, f"{what}.{name}") for name, item in own.items()]
        return [Guard(own, name, item, f"{what}.{name}") for name, item in own.items()], iter(entries)
    return [], iter(())


def _of_list(value: Any, what: str) -> tuple[list[Guard], Iterator[tuple[Any, str]]]:
    entries = list(dict.items(value) if isinstance(value, dict) else enumerate(list.__iter__(value)))
    length = Guard(value, LENGTH, len(value), f"the length of {what}")
    parts = ((item, f"{what}[{shown_key(key)}]") for key, item in entries[:LONGEST])
    if len(value) > LONGEST:
        return [length], iter(())
    if isinstance(value, list) or len(value) > MOST:
        return [Guard(value, CONTENTS, _now(value), what)], parts
    return [length, *(Guard(value, key, item, f"{what}[{shown_key(key)}]") for key, item in entries)], parts


def _now(holder: Any) -> Any:
    return Guard(holder, CONTENTS, ABSENT, "").found()


def _is_plain_object(value: Any) -> bool:
    """Whether an object is the program's own, with attributes in a dictionary, and no module, tensor or function."""
    if isinstance(value, (Tensor, type, ModuleType, FunctionType, MethodType, ContextVar)) or is_module(value):
        return False
    return dictionary_of(value) is not None and type(value).__module__.partition(".")[0] != "mashal"
