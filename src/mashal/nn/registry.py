"""The dictionaries inside a module, which tell their module what is put into them.

`_parameters`, `_buffers` and `_modules` are dictionaries apart from `__dict__`, and Python would reach what is in
them only by failing first: a lookup, then `__getattr__`, 0.4 us for each `self.weight`. `Members` therefore writes
every entry into the module's `__dict__` as well, and the ordinary lookup finds it (0.02 us). The entry in
`_parameters` is the one that counts; the other is its shadow, written nowhere else.

`Hooks` are hooks in the order in which they run. A module without any takes the short way through `__call__`; the
first hook that is put in sends its calls the long way (`mashal.nn.hooks`).

Both know their module weakly, so that a module goes the moment its last user does, and are copied and pickled as
the plain dictionaries they look like.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any
from weakref import ref

from mashal.machine.observing import changed

MEMBERS = ("_parameters", "_buffers", "_modules")
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_absent = object()


class Members(dict):
    """What a module has registered under names, shadowed in the module's `__dict__`."""

    __slots__ = ("owner",)

    def __init__(self, owner: Any, entries: Any = ()) -> None:
        self.owner = ref(owner)
        self.update(entries)

    def _names(self) -> dict[str, Any]:
        changed()
        owner = self.owner()
        return {} if owner is None else owner.__dict__

    def __setitem__(self, name: str, value: Any) -> None:
        changed()
        dict.__setitem__(self, name, value)
        owner = self.owner()
        if owner is not None and not hasattr(type(owner), name):  # a class's methods come before what is registered
            owner.__dict__[name] = value

    def __delitem__(self, name: str) -> None:
        dict.__delitem__(self, name)
        self._names().pop(name, None)

    def pop(self, name: str, *default: Any) -> Any:
        value = dict.pop(self, name, *default)
        self._names().pop(name, None)
        return value

    def popitem(self) -> tuple[str, Any]:
        name, value = dict.popitem(self)
        self._names().pop(name, None)
        return name, value

    def clear(self) -> None:
        names = self._names()
        for name in self:
            names.pop(name, None)
        dict.clear(self)

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]

    def update(self, *entries: Any, **named: Any) -> None:
        for name, value in dict(*entries, **named).items():
            self[name] = value

    def __ior__(self, entries: Any) -> Members:
        self.update(entries)
        return self

    def copy(self) -> dict[str, Any]:
        return dict(self)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (dict(self),)


class Hooks(OrderedDict):
    """Hooks by number, in the order in which they run; the first one sends the module's calls the long way."""

    def __init__(self, owner: Any, entries: Any = ()) -> None:
        self.owner = ref(owner)
        super().__init__(entries)

    def __setitem__(self, number: int, hook: Any) -> None:
        changed()
        super().__setitem__(number, hook)
        owner = self.owner()
        if owner is not None:
            owner.__dict__["_long_way"] = True

    def __delitem__(self, number: int) -> None:
        changed()
        super().__delitem__(number)

    def copy(self) -> OrderedDict:
        return OrderedDict(self)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return OrderedDict, (list(self.items()),)


def adopt(module: Any, name: str, entries: Any) -> Any:
    """Make `entries` the module's dictionary `name` (one of MEMBERS or HOOKS), linked to the module; return it."""
    held = module.__dict__
    if name in HOOKS:
        held[name] = linked = Hooks(module, entries)
        return linked
    old = held.get(name)
    for key in list(old) if type(old) is Members else ():
        if held.get(key, _absent) is old[key]:
            del held[key]
    held[name] = linked = Members(module, entries)
    return linked


def members(module: Any, name: str) -> Any:
    """The module's dictionary `name`, linked to the module, whoever put it there; None before Module.__init__()."""
    entries = module.__dict__.get(name)
    if entries is None or (type(entries) is Members and entries.owner() is module):
        return entries
    return adopt(module, name, entries)


def plain(held: dict[str, Any]) -> dict[str, Any]:
    """A module's `__dict__` as it is copied and pickled: without shadows, and with plain dictionaries."""
    state = dict(held)
    state.pop("_long_way", None)
    state.pop("_compiled_call_impl", None)
    for name in MEMBERS:
        entries = state.get(name)
        if type(entries) is Members:
            for key, value in entries.items():
                if state.get(key, _absent) is value:
                    del state[key]
            state[name] = dict(entries)
    for name in HOOKS:
        if type(state.get(name)) is Hooks:
            state[name] = OrderedDict(state[name])
    return state
