"""Tuning: a program that was recorded at its widest is set to the sizes of each call.

What depends on sizes are words: of kernels (in the program's own memory), of the replay's tables, of forms and of answers. As
functions of sizes they are polynomials, known from their values at a few sizes (capture.sizes, capture.outline).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mashal.capture.answers import Remembered
from mashal.capture.history import BackwardProgram
from mashal.capture.outline import Outline, answer_at, form_at
from mashal.capture.program import Program
from mashal.capture.sizes import Sizes, basis, law_through
from mashal.core.forms import Form
from mashal.machine.replay_tables import TENSOR, WORDS

KNOWN = 256  # sizes whose forms are kept
_COLUMNS = ("operands", 1), ("blocks", 0), ("blocks", 3), ("results", 2), ("results", 1)


@dataclass(frozen=True)
class Laws:
    """The words of an outline as polynomials of sizes, from those at a base and at sizes a pitch apart from it."""

    base: Sizes
    pitch: Sizes
    factors: list[list[int]]

    @staticmethod
    def through(base: Sizes, pitch: Sizes, outlines: Sequence[Outline]) -> Laws:
        """outlines: at the sizes near the base."""
        words = zip(*(outline.words for outline in outlines))
        return Laws(base, pitch, [law_through(values, len(base)) for values in words])

    def reach(self, n: Sizes) -> bool:
        """Whether sizes are a whole number of pitches apart from the base."""
        return not any((a - b) % p for a, b, p in zip(n, self.base, self.pitch))

    def basis_at(self, n: Sizes) -> list[int]:
        """What the factors are multiplied with."""
        return basis(tuple([(a - b) // p for a, b, p in zip(n, self.base, self.pitch)]))

    def at(self, n: Sizes) -> list[int]:
        """The words for sizes."""
        now = self.basis_at(n)
        return [sum(map(int.__mul__, law, now)) for law in self.factors]


class Tuned:
    """A program, the forms of what it is given and the answers built of it, at many sizes. outline: the program's own."""

    def __init__(self, program: Program, given: Sequence[Form], answers: Sequence[Any], laws: Laws, outline: Outline):
        self.program, self.given, self.answers, self.laws = program, given, answers, laws
        self._moving = [
            (
                (ctypes.c_double if i in outline.reals else ctypes.c_int64).from_address(place),
                law[0] + added,
                [(k, factor) for k, factor in enumerate(law) if k and factor],
            )
            for i, ((place, added), law) in enumerate(zip(outline.places, laws.factors))
            if place and any(law[1:])
        ]
        self._tail = outline.tail
        self._cells = [cell for name, column in _COLUMNS for cell in self._column(name, column)]
        self._bases = list(self._column("bases", 0))
        self._known: dict[Sizes, tuple[list[int], list[Form], list[Form], list[Any]]] = {}

    def at(self, n: Sizes) -> tuple[list[Form], list[Any]]:
        """The forms of what the program is given, and the answers, at a size."""
        if n not in self._known:
            if len(self._known) > KNOWN:
                self._known.clear()
            self._known[n] = self._tables_at(n)
        return self._known[n][2:]

    def tune(self, n: Sizes) -> None:
        """From now on the program is that of a call of these sizes."""
        now = self.laws.basis_at(n)
        for cell, word, parts in self._moving:
            for k, factor in parts:
                word += factor * now[k]
            cell.value = word
        self.at(n)
        for cell, word in zip(self._cells, self._known[n][0]):
            cell.value = word
        for cell in self._bases:  # so that every word that depends on a base is written anew
            cell.value = 0

    def _tables_at(self, n: Sizes) -> tuple[list[int], list[Form], list[Form], list[Any]]:
        """What stands in the columns for a size, the forms whose addresses are in there, and what `at` gives."""
        rest = iter(self.laws.at(n)[self._tail :])
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

    def __init__(self, backward: BackwardProgram, tuned: Tuned, n: Sizes):
        self.backward, self.tuned, self.n = backward, tuned, n

    def __call__(self, gradients: tuple, kept: list[Any]) -> tuple:
        return self.backward.run(gradients, kept, *self.tuned.at(self.n), lambda: self.tuned.tune(self.n))


def remembered_at(remembered: Remembered, tuned: Tuned, n: Sizes) -> Remembered:
    """The step after a replay that makes the node, for a size."""
    return replace(remembered, program=BackwardAt(remembered.program, tuned, n), alone=[])
