"""What a compiled function calls first: the quick ways, which say MISS where something has to be looked up (capture.recordings)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mashal.capture.frames import function_of
from mashal.capture.guards import Guard
from mashal.capture.held import flatten_held
from mashal.capture.kinds import Kinds
from mashal.capture.program import MISS
from mashal.capture.together import Together
from mashal.machine.observing import watch

__all__ = ["always_miss", "if_sound", "unchanged", "unless_recorded", "with_held"]


def with_held(direct: Callable[..., Any], places: Sequence[Guard], held: tuple) -> Callable[..., Any]:
    """A replay that is given what is in some places, too, if that has the structure it had."""
    expected = held[0] if held else None

    def call(*args: Any) -> Any:
        leaves: list[Any] = []
        return direct(*args, *leaves) if flatten_held(places, leaves) == expected else MISS

    return call


def unchanged(fn: Any) -> Callable[[], bool]:
    """Tells whether a function has still the code and the defaults that it has now."""
    function = function_of(fn)
    if function is None:
        return lambda: True
    code, defaults, keywords = function.__code__, function.__defaults__, function.__kwdefaults__
    return lambda: (
        function.__code__ is code and function.__defaults__ is defaults and function.__kwdefaults__ is keywords
    )


def unless_recorded(function: Callable[..., Any], is_same: Callable[[], bool]) -> Callable[..., Any]:
    """function, but MISS while something is recorded, and if the program has changed."""
    return lambda *args: function(*args) if watch.recorder is None and is_same() else MISS


def if_sound(parts: Together, kinds: Kinds, is_same: Callable[[], bool]) -> Callable[..., Any]:
    """A call in parts; MISS while something is recorded, if it may be the first of its kind, and if the program has changed."""

    def call(*args: Any) -> Any:
        if watch.recorder is not None or not is_same():
            return MISS
        return parts.now(*args) if kinds.are_sound(args) else MISS

    return call


def always_miss(*args: Any) -> Any:
    return MISS
