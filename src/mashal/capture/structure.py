"""Arguments and results as flat lists: tensors and other objects out of nested tuples, lists and dictionaries, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

PLAIN = (int, float, complex, str, bytes, bool, type(None))


def flatten(x: Any, leaves: list[Any]) -> Any:
    """Appends the leaves of x, and returns its structure: hashable, equal for equal structures."""
    kind = type(x)
    if kind is tuple or kind is list:
        return (kind, *[flatten(y, leaves) for y in x])
    if kind is dict:
        return (kind, tuple(x), *[flatten(y, leaves) for y in x.values()])
    if isinstance(x, tuple) and hasattr(kind, "_fields"):
        return (kind, *[flatten(y, leaves) for y in x])
    leaves.append(x)
    return None


def rebuild(structure: Any, leaves: Sequence[Any]) -> Any:
    """The object with this structure and these leaves."""
    places = iter(leaves)
    return _rebuild(structure, places)


def _rebuild(structure: Any, leaves: Any) -> Any:
    if structure is None:
        return next(leaves)
    kind = structure[0]
    if kind is dict:
        return {key: _rebuild(part, leaves) for key, part in zip(structure[1], structure[2:])}
    parts = [_rebuild(part, leaves) for part in structure[1:]]
    return parts if kind is list else tuple(parts) if kind is tuple else _named(kind, parts)


def _named(kind: Any, parts: list[Any]) -> Any:
    return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
