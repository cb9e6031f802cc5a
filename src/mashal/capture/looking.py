"""Looking into a program's objects without running its code.

`look_up` and `evaluate` find what `config.layers[0].scale` is now: they look into dictionaries, and never call a property, a
`__getattr__` or anything else that the program defined. What they cannot find out is UNKNOWN.
"""

from __future__ import annotations

import gc
from enum import Enum
from operator import attrgetter, itemgetter
from threading import local
from types import FrameType, FunctionType, GetSetDescriptorType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

from mashal.capture.frames import foreign
from mashal.capture.guards import ABSENT, UNKNOWN, Guard
from mashal.core.tensor import Tensor

__all__ = [
    "candidates",
    "dictionary_of",
    "evaluate",
    "evaluate_number",
    "gives_tensor",
    "item_of",
    "look_up",
    "place_of",
]

_MOST = 64  # items of a container of which each may be the one that is meant
_KEYS = (int, str, float, bytes, tuple, type(None), Enum, Tensor)


# ---------------------------------------------------------------- attributes
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


def _in_classes(kind: type, name: str) -> tuple[Any, Any]:
    """The dictionary of the first class that has a name, and what it has; (None, UNKNOWN) if none has it."""
    for base in kind.__mro__:
        if name in base.__dict__:
            dictionaries = [d for d in gc.get_referents(base.__dict__) if isinstance(d, dict)]
            return (dictionaries[0] if dictionaries else None), base.__dict__[name]
    return None, UNKNOWN


def dictionary_of(owner: Any) -> dict | None:
    """The attributes of an object that keeps them in a dictionary."""
    try:
        own = object.__getattribute__(owner, "__dict__")
    except AttributeError:
        return None
    return own if isinstance(own, dict) else None


# ---------------------------------------------------------------- items, and places that are set
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


# ---------------------------------------------------------------- expressions
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
                if isinstance(owner, (list, tuple, dict)) and len(owner) <= _MOST
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


def evaluate_number(expression: Any, frame: FrameType) -> Any:
    """What an expression is, as `evaluate`, also where it is a tensor's or a container's size, or a part of a tensor."""
    match expression:
        case ("call", ("global", "len"), (of,)):
            thing = evaluate(of, frame)
            return len(thing) if isinstance(thing, (Tensor, list, tuple, dict, str)) else UNKNOWN
        case ("call", ("attribute", of, "dim" | "ndimension"), ()):
            thing = evaluate(of, frame)
            return thing.ndim if isinstance(thing, Tensor) else UNKNOWN
        case ("call", ("attribute", of, "size"), (key,)):
            thing, key = evaluate(of, frame), evaluate(key, frame)
            return thing.shape[key] if isinstance(thing, Tensor) and type(key) is int else UNKNOWN
        case ("item", of, _) if isinstance(thing := evaluate(of, frame), Tensor):
            return thing  # a part of a tensor is one
    return evaluate(expression, frame)


def gives_tensor(expression: Any, frame: FrameType) -> bool:
    """Whether an expression is a tensor, whatever is in it: a call of one of our functions that say they return one."""
    match expression:
        case ("call", ("attribute", of, name) as method, _):
            owner = evaluate(of, frame)
            if isinstance(owner, Tensor):
                callee = getattr(type(owner), name, None)
            elif owner is UNKNOWN and gives_tensor(of, frame):
                callee = getattr(Tensor, name, None)
            else:
                callee = evaluate(method, frame)
        case ("call", function, _):
            callee = evaluate(function, frame)
        case _:
            return isinstance(evaluate(expression, frame), Tensor)
    ours = isinstance(callee, FunctionType) and callee.__module__.startswith("mashal.")
    return ours and callee.__annotations__.get("return") == "Tensor"
