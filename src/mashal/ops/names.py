"""Which names the definitions have, and where: what public modules and methods are made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.ops.define import DEFINITIONS

__all__ = ["public"]


def public(place: str = "") -> dict[str, Callable[..., Any]]:
    """Name -> function of every definition found at a place ("torch", "method", "functional", "special", "linalg"; "": any).

    Aliases and in-place forms included; the latter only where the operation says "in_place".
    """
    found: dict[str, Callable[..., Any]] = {}
    for definition in DEFINITIONS.values():
        if place and place not in definition.where:
            continue
        for name in (definition.name, *definition.aliases):
            found[name] = definition.function
            if definition.in_place is not None:
                found[f"{name}_"] = definition.in_place
    return found
