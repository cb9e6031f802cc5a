"""What is held somewhere (in attributes, items, globals, cells) and is another one from call to call: an input, like an argument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mashal.capture.guards import Guard, same
from mashal.capture.places import of_tensors
from mashal.capture.recording import Recording
from mashal.capture.structure import flatten

__all__ = ["flatten_held", "new_places", "place_of_each"]

MOST_PLACES = 64


def flatten_held(places: Sequence[Guard], leaves: list[Any]) -> Any:
    """Appends the leaves of what is in some places; returns its structure, or None if each place holds one leaf."""
    found = tuple([place.found() for place in places])
    structure = flatten(found, leaves)
    return None if structure == (tuple, *[None] * len(found)) else structure


def place_of_each(places: Sequence[Guard]) -> list[Guard]:
    """For each leaf that no argument has the place where it is held."""
    held: list[Guard] = []
    for where in places:
        flatten(where.found(), leaves := [])
        held += [where] * len(leaves)
    return held


def new_places(
    places: Sequence[Guard], recordings: Sequence[Recording], structure: Any, leaves: list[Any]
) -> list[Guard]:
    """Where nothing but a tensor or a float that is held somewhere is another one than in a recording: what is an input from now on."""
    new: dict[tuple[int, Any], Guard] = {}
    for recording in recordings:
        if recording.structure == structure and recording.takes(leaves):
            for guard in recording.guards:
                found = guard.found() if isinstance(guard.expected, float) or of_tensors(guard.expected) else None
                if type(found) is type(guard.expected) and not same(found, guard.expected):
                    new[id(guard.holder), guard.key] = Guard(guard.holder, guard.key, None, guard.what)
    return list(new.values()) if len(places) + len(new) <= MOST_PLACES else []
