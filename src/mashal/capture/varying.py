"""Numbers that change: one replay for all calls that differ in floats among the arguments only.

A recording holds for one value of each float. Its kernels don't: they are given numbers as words. So when a call comes with
another one, it is rehearsed (recorded, and everything put back) with values of two wide apart. Where the recordings run
the same kernels, and every word that differs follows from one of the floats in one simple way (x, -x, 1 - x, x·c, c / x, x + c), the
last is kept, and its words are set before each replay. It serves the values between those that were rehearsed: a threshold
(`if rate > 1:`) that is right at both ends is right between them. Values that kernels may know by name (0, 0.5, 1, 2, …) are left
to recordings of their own.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from threading import Lock
from typing import Any

from mashal.capture.answers import Remembered
from mashal.capture.growing import rehearsed
from mashal.capture.guards import Guard, same
from mashal.capture.history import BackwardProgram
from mashal.capture.outline import Outline, outlines_of
from mashal.capture.program import MISS
from mashal.capture.recording import Recording

SPANS = 4096.0, 16.0, 1.0
"""How much further than the values that have come the rehearsed ones lie, the first that goes."""

FEW = 12  # binary digits of numbers that somebody may compare with: 0.5, 3, 1000

Law = Callable[[float], float]


def floats_that_differ(like: Recording, leaves: Sequence[Any]) -> list[int]:
    """The places of the floats in which a call differs from a recorded one; [] if it differs in something else."""
    before = dict(like.fixed)
    which = [i for i, x in before.items() if not same(leaves[i], x)]
    floats = all(type(x) is float and usual(x) for i in which for x in (before[i], leaves[i]))
    return which if floats and like.takes(leaves) else []


def vary(
    fn: Callable[..., Any], like: Recording, leaves: Sequence[Any], places: Sequence[Guard] = ()
) -> Varying | None:
    """A replay for calls that differ from a recorded one in the same floats as this call; None if there is none."""
    before = dict(like.fixed)
    which = floats_that_differ(like, leaves)
    for span in SPANS:
        ends = [_ends(k, before[i], leaves[i], span) for k, i in enumerate(which)]
        made = _between(fn, like, leaves, places, which, ends)
        if made is not None:
            return made
    return None


def usual(x: float) -> bool:
    """Whether no kernel, and no program, treats a number apart from those around it: it has more than a few digits.

    >>> usual(0.1), usual(0.25), usual(2.0), usual(float("inf")), usual(torch.tensor(0.1).item())
    (True, False, False, False, True)
    """
    return isfinite(x) and x.as_integer_ratio()[0].bit_length() > FEW


def _general(x: float) -> float:
    """x, or if a float32 holds it exactly, which a fused kernel makes use of, a number beside it: its replay is right for both."""
    return x if ctypes.c_float(x).value != x else x * (1 + 2.0**-30)


def _ends(k: int, a: float, b: float, span: float) -> tuple[float, float]:
    """Two values around those that have come: of one sign, if these are."""
    low, high = min(a, b), max(a, b)
    low = low / span if low > 0 else low * span
    high = high * span if high > 0 else high / span
    tilt = 1 + (k + 1) * 2.0**-20 if span > 1 else 1.0  # so that several floats have different values
    return low * tilt, high * tilt


def _between(
    fn: Callable[..., Any],
    like: Recording,
    leaves: Sequence[Any],
    places: Sequence[Guard],
    which: list[int],
    ends: list[tuple[float, float]],
) -> Varying | None:
    """The replay for values between the ends; None if it is not the same program there."""
    given = [[low for low, _ in ends], [leaves[i] for i in which], [high for _, high in ends]]
    given = [[_general(x) for x in values] for values in given]
    found: list[list[Outline]] = []
    for values in given:
        changed = list(leaves)
        for i, x in zip(which, values):
            changed[i] = x
        recording = rehearsed(fn, like.structure, changed, places) if all(map(usual, values)) else None
        if recording is None:
            return None
        found.append(outlines_of(recording, reals=True))
    last = found[-1]
    if not all(len(of) == len(last) and all(map(_alike, of, last)) for of in found):
        return None
    cells = [_cells(of, given) for of in zip(*found)]
    return None if None in cells else Varying(recording, dict(zip(which, ends)), cells)  # type: ignore[arg-type]


def _alike(a: Outline, b: Outline) -> bool:
    """Whether two outlines are of one program but for the words; the memory is of the same size too."""
    return a.fixed == b.fixed and a.contents == b.contents and a.reals == b.reals


# ---------------------------------------------------------------- words that follow from a float
@dataclass(frozen=True)
class _Cell:
    """A word of a program: law(value of a float) belongs there."""

    word: ctypes.c_double
    which: int
    law: Law


def _cells(outlines: Sequence[Outline], given: Sequence[Sequence[float]]) -> list[_Cell] | None:
    """The words that are not the same in all outlines of a program; None if one of them is none of our laws."""
    cells = []
    for i, words in enumerate(zip(*(outline.words for outline in outlines))):
        if len({*words}) == 1:
            continue
        place, _ = outlines[-1].places[i]
        found = _law([_number(word) for word in words], given) if place and i in outlines[-1].reals else None
        if found is None:
            return None
        cells.append(_Cell(ctypes.c_double.from_address(place), *found))
    return cells


def _number(word: int) -> float:
    return struct.unpack("<d", struct.pack("<q", word))[0]


def _law(numbers: Sequence[float], given: Sequence[Sequence[float]]) -> tuple[int, Law] | None:
    """From which float numbers follow, and how."""
    for k, values in enumerate(zip(*given)):
        for x, y in zip(values, numbers):
            for law in _laws(x, y):
                if all(law(x) == y for x, y in zip(values, numbers)):
                    return k, law
    return None


def _laws(x: float, y: float) -> Iterator[Law]:
    """Simple ways from x to y, with constants that were rounded at most once."""
    yield lambda v: v
    yield lambda v: -v
    yield lambda v, c=y + x: c - v
    yield lambda v, c=y - x: v + c
    yield lambda v, c=y / x: v * c
    yield lambda v, c=x * y: c / v
    if y:
        yield lambda v, c=x / y: v / c


# ---------------------------------------------------------------- the replay
class Varying:
    """A recording whose words are set for the floats of each call. between: for their places the least and the greatest value."""

    def __init__(self, recording: Recording, between: dict[int, tuple[float, float]], cells: list[list[_Cell]]) -> None:
        self.recording, self.between, self.cells = recording, between, cells
        self._lock = Lock()
        self._after = recording.after

    def takes(self, structure: Any, leaves: Sequence[Any]) -> bool:
        """Whether this is a call with such floats, all else being the same."""
        return structure == self.recording.structure and self._fits(leaves)

    def _fits(self, leaves: Sequence[Any]) -> bool:
        between = self.between
        for i, expected in self.recording.fixed:
            x = leaves[i]
            if i in between:
                low, high = between[i]
                if type(x) is not float or not low <= x <= high or not usual(x):
                    return False
            elif x is not expected and not same(x, expected):
                return False
        return True

    def direct(self, *leaves: Any) -> Any:
        """The answer of a call whose arguments are a flat list; MISS if it is another one."""
        recording = self.recording
        if len(leaves) != len(recording.fixed) + len(recording.places) or not self._fits(leaves):
            return MISS
        return self(leaves)

    def __call__(self, leaves: Sequence[Any]) -> Any:
        """The call's answer; MISS if something besides the floats is not as it was, or another thread is at it."""
        if not self._lock.acquire(blocking=False):
            return MISS
        try:
            values = [leaves[i] for i in self.between]
            forward, *backward = self.cells
            _set(forward, values)
            recording = self.recording
            recording.after = [
                replace(x, program=_With(x.program, backward[0], values), alone=[]) if isinstance(x, Remembered) else x
                for x in self._after
            ]
            answer = recording(leaves)
            return recording(leaves) if answer is MISS and recording.program.adapt() else answer
        finally:
            self._lock.release()


def _set(cells: list[_Cell], values: Sequence[float]) -> None:
    for cell in cells:
        cell.word.value = cell.law(values[cell.which])


class _With:
    """A backward program, with the floats of its forward."""

    def __init__(self, backward: BackwardProgram, cells: list[_Cell], values: list[float]):
        self.backward, self.cells, self.values = backward, cells, values

    def __call__(self, gradients: tuple, kept: list[Any]) -> tuple:
        of = self.backward
        return of.run(gradients, kept, of.forms, of.answers, lambda: _set(self.cells, self.values))
