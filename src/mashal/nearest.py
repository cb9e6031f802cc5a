"""What is said of a public name that is not there: which one comes nearest.

__getattr__ = nearest(__name__)                     at the end of a public module
__getattr__ = nearest(__name__, later={"optim"})    with submodules that are imported when they are first asked for
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["AbsentName", "nearest"]


class AbsentName(AttributeError):
    """A module does not have a name; which one comes nearest is looked for when the message is read."""

    def __init__(self, module: Any, name: str):
        super().__init__(name=name, obj=module)

    def __str__(self) -> str:
        wrong = f"module '{self.obj.__name__}' has no attribute {self.name!r}"
        near = nearest_names(
            str(self.name), [n for n in {*vars(self.obj), *getattr(self.obj, "__all__", ())} if not n.startswith("_")]
        )
        return f"{wrong}; the nearest it has: {', '.join(near)}" if near else wrong


def nearest_names(name: str, names: Iterable[str], most: int = 3) -> list[str]:
    """Of names, those that come nearest to one: written alike, or containing it.

    >>> nearest_names("one_likes", ["ones_like", "zeros", "ones"])
    ['ones_like']
    """
    names = sorted(names)
    alike = importlib.import_module("difflib").get_close_matches(name, names, most, 0.7)
    words = {word for word in name.lower().strip("_").split("_") if len(word) > 3}
    parts = [n for n in names if words & set(n.lower().split("_")) or name.lower() == n.lower()]
    return list(dict.fromkeys([*alike, *parts]))[:most]


def nearest(
    module: str, later: Iterable[str] = (), find_value: Callable[[str], Any] | None = None
) -> Callable[[str], Any]:
    """A module's `__getattr__`: imports what comes later, else raises the AttributeError.

    find_value: gives the value of a name that is looked for when it is first asked for, and then kept; None if there is none.
    """
    waiting = frozenset(later)

    def find(name: str) -> Any:
        if name in waiting:
            return importlib.import_module(f"{module}.{name}")
        value = None if find_value is None else find_value(name)
        if value is not None:
            return vars(sys.modules[module]).setdefault(name, value)
        raise AbsentName(sys.modules[module], name)

    return find
