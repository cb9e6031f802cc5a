"""Which names the definitions have, and where: what public modules and methods are made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.ops.define import DEFINITIONS

__all__ = ["public"]


def public(place: str = "") -> dict[str, Callable[..., Any]]:
    """Name -> function of every definition found at a place ("torch", "method", "functional", "special", "linalg"; "": any).

    Aliases and in-place forms included; the latter only where the operation says "in_place". An alias with a place in
    front ("special.expit") is a name at that place only.
    """
    found: dict[str, Callable[..., Any]] = {}
    for definition in DEFINITIONS.values():
        for name in (definition.name, *definition.aliases):
            own, _, name = name.rpartition(".")
            if place and (place != own if own else place not in definition.where):
                continue
            found[name] = definition.function
            if own:
                continue
            if definition.in_place is not None:
                found[f"{name}_"] = definition.in_place
    return found
