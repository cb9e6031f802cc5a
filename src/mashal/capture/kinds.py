"""Kinds of calls: which came before, and which went well though nothing was recorded."""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import Any

from mashal.capture.structure import PLAIN
from mashal.core.tensor import Tensor

__all__ = ["Kinds"]

MOST_KINDS = 4096
MOST_SOUND = 32  # kinds: where each call is of another one, running it as it is written must not cost much
ENOUGH = 2  # kinds of calls that went well, until others that differ in an int only are taken to

_form = attrgetter("form")


class Kinds:
    """The kinds of calls that a function has seen.

    A kind is the structure of the arguments, the forms of tensors, and plain values: calls of one kind raise all or none, but for what
    depends on the numbers in their tensors.
    """

    def __init__(self) -> None:
        self._came: set[tuple] = set()
        self._sound: set[tuple] = set()
        self._sorts: Counter[tuple] = Counter()
        """How many kinds went well that differ in ints and the like only: a counter is another int in each call."""

    def is_first(self, structure: Any, leaves: list[Any]) -> bool:
        """Whether a call with such arguments has not come before."""
        kind = (
            structure,
            *[x.form if isinstance(x, Tensor) else repr(x) if isinstance(x, PLAIN) else id(x) for x in leaves],
        )
        known = kind in self._came
        if len(self._came) < MOST_KINDS:
            self._came.add(kind)
        return not known

    def is_sound(self, structure: Any, leaves: list[Any]) -> bool:
        """Whether a call with such arguments has gone well before, or may be taken to."""
        if len(self._sound) >= MOST_SOUND or _kind(structure, leaves) in self._sound:
            return True
        return self._sorts[_sorts(structure, leaves)] >= ENOUGH

    def are_sound(self, args: tuple) -> bool:
        """The same for arguments that are all tensors, found quickly; False if they are not."""
        try:
            return _forms(args) in self._sound or len(self._sound) >= MOST_SOUND
        except AttributeError:
            return False

    def note_sound(self, args: tuple, structure: Any, leaves: list[Any]) -> None:
        """A call has gone well."""
        self._sound.add(_kind(structure, leaves))
        self._sorts[_sorts(structure, leaves)] += 1
        if len(leaves) == len(args) and all(isinstance(x, Tensor) for x in args):
            self._sound.add(_forms(args))


def _forms(args: tuple) -> tuple:
    return tuple(map(_form, args))


def _kind(structure: Any, leaves: list[Any]) -> tuple:
    return structure, *[_sort(x) for x in leaves]


def _sorts(structure: Any, leaves: list[Any]) -> tuple:
    """The kind of a call, but for its ints and other plain values."""
    return structure, *[x.form if isinstance(x, Tensor) else type(x) for x in leaves]


def _sort(x: Any) -> Any:
    return x.form if isinstance(x, Tensor) else x if isinstance(x, PLAIN) and not isinstance(x, float) else type(x)
