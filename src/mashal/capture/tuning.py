"""Tuning: a program that was recorded at its widest is set to the size of each call.

What depends on a size n are words: of kernels (in the program's own memory), of the replay's tables, of forms and of answers. As
functions of n they are polynomials, known from their values at the least size and at the two that follow (capture.outline).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from mashal.capture.answers import Remembered
from mashal.capture.history import BackwardProgram
from mashal.capture.outline import Outline, answer_at, form_at
from mashal.capture.program import Program
from mashal.core.forms import Form
from mashal.machine.replay_tables import TENSOR, WORDS

KNOWN = 256  # sizes whose forms are kept
_COLUMNS = ("operands", 1), ("blocks", 0), ("blocks", 3), ("results", 2), ("results", 1)


class Tuned:
    """A program, the forms of what it is given and the answers built of it, at any size from `least` on.

    outlines: at the least size, at the two that follow, and at the widest, whose program it is.
    """

    def __init__(
        self, program: Program, given: Sequence[Form], answers: Sequence[Any], least: int, outlines: Sequence[Outline]
    ):
        self.program, self.given, self.answers, self.least = program, given, answers, least
        a, b, c = (outline.words for outline in outlines[:3])
        self._laws = [(x, y - x, z - 2 * y + x) for x, y, z in zip(a, b, c)]
        last = outlines[-1]
        self._moving = [
            ((ctypes.c_double if i in last.reals else ctypes.c_int64).from_address(place), first + added, rise, bend)
            for i, ((place, added), (first, rise, bend)) in enumerate(zip(last.places, self._laws))
            if place and (rise or bend)
        ]
        self._tail = last.tail
        self._cells = [cell for name, column in _COLUMNS for cell in self._column(name, column)]
        self._bases = list(self._column("bases", 0))
        self._known: dict[int, tuple[list[int], list[Form], list[Form], list[Any]]] = {}

    def words_at(self, n: int) -> list[int]:
        """The words for a size: Newton's polynomial through those of `least` and the two that follow."""
        t, u = n - self.least, (n - self.least) * (n - self.least - 1) // 2
        return [first + t * rise + u * bend for first, rise, bend in self._laws]

    def at(self, n: int) -> tuple[list[Form], list[Any]]:
        """The forms of what the program is given, and the answers, at a size."""
        if n not in self._known:
            if len(self._known) > KNOWN:
                self._known.clear()
            self._known[n] = self._tables_at(n)
        return self._known[n][2:]

    def tune(self, n: int) -> None:
        """From now on the program is that of a call of this size."""
        t, u = n - self.least, (n - self.least) * (n - self.least - 1) // 2
        for cell, first, rise, bend in self._moving:
            cell.value = first + t * rise + u * bend
        self.at(n)
        for cell, word in zip(self._cells, self._known[n][0]):
            cell.value = word
        for cell in self._bases:  # so that every word that depends on a base is written anew
            cell.value = 0

    def _tables_at(self, n: int) -> tuple[list[int], list[Form], list[Form], list[Any]]:
        """What stands in the columns for a size, the forms whose addresses are in there, and what `at` gives."""
        rest = iter(self.words_at(n)[self._tail :])
        columns: dict[tuple[str, int], list[int]] = {}
        forms: list[Form] = []

        def add_form(name: str, column: int, of: Form) -> None:
            forms.append(form_at(of, rest))
            columns.setdefault((name, column), []).append(id(forms[-1]))

        tables = self.program.tables
        for row in tables.operands:
            if row[0] == TENSOR:
                add_form("operands", 1, row[1])
        for _, _, _, of in tables.blocks:
            columns.setdefault(("blocks", 0), []).append(next(rest))
            add_form("blocks", 3, of)
        for _, of, _, _ in tables.results:
            columns.setdefault(("results", 2), []).append(next(rest))
            add_form("results", 1, of)
        words = [word for place in _COLUMNS for word in columns.get(place, ())]
        return words, forms, [form_at(of, rest) for of in self.given], [answer_at(x, rest) for x in self.answers]

    def _column(self, name: str, column: int) -> Iterator[ctypes.c_int64]:
        """The words in a column of the replay's table; of the operands those that are tensors."""
        tables, width = self.program.tables, WORDS[name]
        words = tables.words[name]
        for row in range(len(words) // width):
            if name != "operands" or tables.operands[row][0] == TENSOR:
                yield ctypes.c_int64.from_buffer(words, 8 * (width * row + column))


class BackwardAt:
    """A backward program for many sizes, at the size of its forward."""

    def __init__(self, backward: BackwardProgram, tuned: Tuned, n: int):
        self.backward, self.tuned, self.n = backward, tuned, n

    def __call__(self, gradients: tuple, kept: list[Any]) -> tuple:
        return self.backward.run(gradients, kept, *self.tuned.at(self.n), lambda: self.tuned.tune(self.n))


def remembered_at(remembered: Remembered, tuned: Tuned, n: int) -> Remembered:
    """The step after a replay that makes the node, for a size."""
    return replace(remembered, program=BackwardAt(remembered.program, tuned, n), alone=[])
