"""What a recording saw of modules: looked at again when some module of the program has changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mashal.capture.guards import same
from mashal.core.tensor import Tensor
from mashal.machine.observing import settings_now

_MEMBERS = "_modules"
_OF_CALLS = frozenset(("training", "forward", "_long_way", "_compiled_call_impl", "_is_full_backward_hook"))


class Seen:
    """Modules and all below them, with their attributes as they are now, and all settings; guards: what was read of others;
    used: the ids of tensors that the recording uses, all others may be other ones; set_: (id of a dictionary, key) of what it sets
    itself, which is no matter unless there is a guard for it; hooks: dictionaries of hooks; leaves: nodes that have hooks of their own."""

    def __init__(
        self,
        modules: Iterable[Any],
        guards: Iterable[Any] = (),
        used: Iterable[int] = (),
        set_: Iterable[tuple[int, Any]] = (),
        hooks: Iterable[Any] = (),
        leaves: Iterable[Any] = (),
    ):
        self.guards, self.settings = list(guards), settings_now()
        self.used, self.set_ = frozenset(used), frozenset(set_)
        self.hooks = [(held, list(held.values())) for held in hooks]
        self.leaves = [(node, _hooks_of(node)) for node in leaves]
        self.modules: dict[int, tuple[Any, dict[str, Any]]] = {}
        stack = list(modules)
        while stack:
            module = stack.pop()
            if module is not None and id(module) not in self.modules:
                self.modules[id(module)] = module, self._attributes(module)
                stack += module.__dict__[_MEMBERS].values()

    def unchanged(self) -> bool:
        """Whether every attribute is the same object, or an equal plain value."""
        modules = self.modules.values()
        if self.settings != settings_now() or any(list(held.values()) != was for held, was in self.hooks):
            return False
        if any(_hooks_of(node) != was for node, was in self.leaves):
            return False
        return all(guard.holds() for guard in self.guards) and all(
            _same(was, self._attributes(m)) for m, was in modules
        )

    def _attributes(self, module: Any) -> dict[str, Any]:
        """The attributes; of dictionaries (members, hooks) what is in them. Tensors that are not used are all alike.

        Of a module whose class is the program's, those that calls of modules depend on: what its own code reads has guards.
        """
        own, ours = module.__dict__, type(module).__module__.partition(".")[0] == "mashal"
        held = {
            name: x
            for name, x in own.items()
            if (ours or name in _OF_CALLS or _is_registry(name, x)) and (id(own), name) not in self.set_
        }
        alike = lambda x: x if id(x) in self.used or not isinstance(x, Tensor) else Tensor
        return {
            name: tuple((key, alike(y)) for key, y in x.items()) if isinstance(x, dict) else alike(x)
            for name, x in held.items()
        }


def _hooks_of(node: Any) -> list[Any]:
    """The hooks of a leaf's node."""
    hooks = node.hooks
    places = [] if hooks is None else [*hooks.tensors.values(), hooks.before, hooks.after, hooks.accumulated]
    return [list(place.values()) for place in places if place]


def is_module(x: Any) -> bool:
    return _MEMBERS in getattr(x, "__dict__", ())


def of_module(holder: Any) -> bool:
    """Whether this is a dictionary of a module: such tell when they change (machine.observing)."""
    return isinstance(holder, dict) and (_MEMBERS in holder or hasattr(type(holder), "owner"))


def _is_registry(name: str, x: Any) -> bool:
    return name.startswith("_") and isinstance(x, dict)


def _same(was: dict[str, Any], now: dict[str, Any]) -> bool:
    return was.keys() == now.keys() and all(same(x, now[name]) for name, x in was.items())
