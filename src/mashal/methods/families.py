"""Methods of the families that are imported when they are first asked for (ops.families).

Until then a `Later` stands in Tensor under each of their names; whoever looks it up gets the method, which replaces it.
"""

from __future__ import annotations

import importlib
from typing import Any

from mashal.core.tensor import Tensor
from mashal.methods.attach import attach_new
from mashal.ops.families import names_at
from mashal.ops.interception import arm_new
from mashal.ops.names import public

__all__ = ["Later", "found", "found_name"]


def found(family: str) -> None:
    """Imports a family and attaches its methods."""
    importlib.import_module(family)
    attach_new()
    arm_new()


def found_name(name: str, place: str) -> Any:
    """The function of a name at a place ("torch"), its family imported; None if no family has it."""
    family = names_at(place).get(name)
    if family is None:
        return None
    found(family)
    return public(place)[name]


class Later:
    """Stands for a method of a family that is not imported yet."""

    __slots__ = ("family", "name")

    def __init__(self, name: str, family: str):
        self.name, self.family = name, family

    def __get__(self, instance: Any, owner: type) -> Any:
        found(self.family)
        return getattr(owner if instance is None else instance, self.name)


for _name, _family in names_at("method").items():
    setattr(Tensor, _name, Later(_name, _family))
