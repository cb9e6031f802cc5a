"""Sizes that change: one replay for all calls that differ in a size n only.

A recording holds for one size; its kernels don't. Sizes, strides and offsets are words that kernels are given, and as
functions of n they are polynomials: n, 3·n + 1, n². So when a call comes with another n, it is rehearsed (recorded, and everything
put back) at three sizes more: the two that follow, and a wide one. Where all recordings run the same kernels and every word
goes through their values as one polynomial, the wide one is kept, and *tuned* to each n in between before it is replayed.
The memory that is planned for the wide one is enough for all.

Which kernel suits a size is decided by thresholds: one that is right at both ends is right between them. A program could
decide otherwise (`if n % 8 == 0`); code that compares for equality or takes remainders is not generalised. Nor are calls
after which Python has something to do, such as those whose results can be differentiated.
"""

from __future__ import annotations

import ctypes
import dis
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock
from types import CodeType
from typing import Any

from mashal.capture.guards import same
from mashal.capture.making import rehearse
from mashal.capture.outline import Outline, outline
from mashal.capture.program import MISS
from mashal.capture.recording import Recording
from mashal.capture.structure import rebuild
from mashal.core.forms import Form, form
from mashal.core.tensor import Tensor, empty
from mashal.machine.replay_tables import TENSOR, WORDS

WIDER = 8, 2  # how much wider than n the widest rehearsal is, the first that goes
MOST = 1 << 28  # bytes that a rehearsal may be expected to need
KNOWN = 256  # sizes whose forms are kept


@dataclass(frozen=True)
class Growth:
    """How the leaves of calls follow from a size n: (leaf, dimension, factor, addend). The first is n itself.

    dimension: None for an int; -1, -2, … for a stride of a tensor that isn't contiguous, counted from the last one.
    """

    laws: tuple[tuple[int, int | None, int, int], ...]

    @staticmethod
    def between(before: Recording, leaves: Sequence[Any]) -> Growth | None:
        """What differs between a recorded call and another one, if that can be sizes alone."""
        changes: list[tuple[int, int | None, int, int]] = []
        for i, x in before.fixed:
            if type(x) is int and type(leaves[i]) is int and x != leaves[i]:
                changes.append((i, None, x, leaves[i]))
            elif not same(leaves[i], x):
                return None
        for i, operand in zip(before.places, before.program.plan.operands):
            x = leaves[i]
            if operand.value is None:
                if x is not operand.same:
                    return None
                continue
            if not isinstance(x, Tensor):
                return None
            was, now = operand.value.form, x.form
            if was is now:
                continue
            if was.dtype is not now.dtype or was.rank != now.rank or was.contiguous != now.contiguous:
                return None
            changes += [(i, d, a, b) for d, (a, b) in enumerate(zip(was.shape, now.shape)) if a != b]
            if not was.contiguous:
                strides = enumerate(zip(was.strides, now.strides), -was.rank)
                changes += [(i, d, a, b) for d, (a, b) in strides if a != b]
        sizes = [change for change in changes if change[1] is not None and change[1] >= 0]
        if not sizes or any(min(a, b) < 2 for _, _, a, b in sizes):
            return None
        _, _, n0, n1 = sizes[0]
        laws = []
        for i, d, a, b in changes:
            factor, rest = divmod(b - a, n1 - n0)
            if rest:
                return None
            laws.append((i, d, factor, b - factor * n1))
        return Growth(tuple(sorted(laws, key=lambda law: (law[1] is None or law[1] < 0, law[0], law[1] or 0))))

    def size(self, leaves: Sequence[Any]) -> int:
        """The n of a call."""
        i, d, _, _ = self.laws[0]
        return leaves[i].form.shape[d]

    def size_of(self, recording: Recording) -> int:
        """The n of a recorded call."""
        i, d, _, _ = self.laws[0]
        value = recording.program.plan.operands[recording.places.index(i)].value
        assert value is not None and d is not None, "an operand whose size changes has a place of its own"
        return value.form.shape[d]

    def reaches(self, n: int) -> bool:
        """Whether there is such a call with this n: no size is negative."""
        return all(factor * n + addend >= 0 for _, d, factor, addend in self.laws if d is not None)

    def at(self, n: int, leaves: Sequence[Any]) -> list[Any]:
        """The leaves with another n: ints, and zeros in place of tensors."""
        changed, shapes, strides = list(leaves), {}, {}
        for i, d, factor, addend in self.laws:
            if d is None:
                changed[i] = factor * n + addend
                continue
            shape = shapes.setdefault(i, list(leaves[i].form.shape))
            if d >= 0:
                shape[d] = factor * n + addend
            else:
                strides.setdefault(i, list(leaves[i].form.strides))[d] = factor * n + addend
        for i, shape in shapes.items():
            x = leaves[i].form
            apart = None if x.contiguous else tuple(strides.get(i, x.strides))
            changed[i] = empty(form(x.dtype, x.device, tuple(shape), apart)).fill_(0)
        return changed


# ---------------------------------------------------------------- making one
def grow(
    fn: Callable[..., Any], growth: Growth, like: Recording, leaves: Sequence[Any], n: int
) -> tuple[Growing | None, int]:
    """(a replay for calls like one with these leaves, from size n on, or None; the next size that is not settled by it)."""
    rehearsed = lambda m: _rehearsed(fn, like.structure, growth.at(m, leaves)) if growth.reaches(m) else None
    near = [rehearsed(m) for m in (n, n + 1, n + 2)]
    if None in near:
        return None, 2 * n
    outlines = [outline(recording) for recording in near]  # type: ignore[arg-type]
    if not (outlines[0].fits(outlines[1]) and outlines[0].fits(outlines[2])):
        return None, n + 1
    given = sum(leaves[i].form.nbytes for i in {law[0] for law in growth.laws if law[1] is not None})
    needed = near[0].program.needs + given  # type: ignore[union-attr]

    def up_to(wide: int) -> Growing | None:
        widest = rehearsed(wide) if needed * (wide / n) ** 2 <= MOST else None
        if widest is None:
            return None
        last = outline(widest)
        if not all(o.fits(last) for o in outlines):
            return None
        growing = Growing(widest, growth, (n, wide), [*outlines, last])
        return growing if growing.words_at(wide) == last.words else None

    for wider in WIDER:
        growing = up_to(wider * n)
        if growing is not None:
            return growing, wider * n + 1
    best, low, high = None, n + 2, 2 * n  # a threshold lies between: most of the way to it
    for _ in range(3):
        middle = (low + high) // 2
        growing = up_to(middle) if low < middle < high else None
        best, low, high = (growing, middle, high) if growing is not None else (best, low, middle)
    return best, low + 1 if best is not None else high


def _rehearsed(fn: Callable[..., Any], structure: Any, leaves: list[Any]) -> Recording | None:
    args, options = rebuild(structure, leaves)
    recording, codes = rehearse(fn, args, options, structure, leaves)
    return recording if recording is not None and not recording.after and all(map(_uniform, codes)) else None


@cache
def _uniform(code: CodeType) -> bool:
    """Whether what code does with a size can change at thresholds only: it neither compares for equality nor takes remainders."""
    before = ""
    for step in dis.get_instructions(code):
        if step.opname == "CONTAINS_OP" or step.opname == "COMPARE_OP" and step.argrepr.strip("bol()") in ("==", "!="):
            return False
        if step.opname in _UNEVEN or step.opname == "BINARY_OP" and step.argrepr.rstrip("=") in ("%", "&", "|", "^"):
            return False
        if before.startswith("BINARY") and step.opname.startswith(("POP_JUMP", "JUMP_IF", "TO_BOOL", "UNARY_NOT")):
            return False  # a branch on a number
        before = step.opname
    return True


_UNEVEN = {f"{kind}_{name}" for kind in ("BINARY", "INPLACE") for name in ("MODULO", "AND", "OR", "XOR")}  # up to 3.10


# ---------------------------------------------------------------- the replay
class Growing:
    """A recording that is tuned to the size of each call. least, most: the sizes that it is for."""

    def __init__(
        self, recording: Recording, growth: Growth, sizes: tuple[int, int], outlines: Sequence[Outline]
    ) -> None:
        self.recording, self.growth = recording, growth
        self.least, self.most = sizes
        self._now = self.most
        self._lock = Lock()
        a, b, c = (outline.words for outline in outlines[:3])
        self._laws = [(x, y - x, z - 2 * y + x) for x, y, z in zip(a, b, c)]
        last = outlines[-1]
        self._moving = [
            (ctypes.c_int64.from_address(place), first + added, rise, bend)
            for (place, added), (first, rise, bend) in zip(last.places, self._laws)
            if place and (rise or bend)
        ]
        self._tail = last.tail
        self._cells = [cell for name, column in _COLUMNS for cell in self._column(name, column)]
        self._bases = list(self._column("bases", 0))
        self._known: dict[int, tuple[list[int], list[Form]]] = {}

    def words_at(self, n: int) -> list[int]:
        """The words for a size: Newton's polynomial through those of `least` and the two that follow."""
        t, u = n - self.least, (n - self.least) * (n - self.least - 1) // 2
        return [first + t * rise + u * bend for first, rise, bend in self._laws]

    def size(self, structure: Any, leaves: Sequence[Any]) -> int | None:
        """The n of a call like those that this replay is for; it may be too small or too large."""
        if structure != self.recording.structure:
            return None
        i, d, _, _ = self.growth.laws[0]
        x = leaves[i]
        if not isinstance(x, Tensor) or d is None or len(x.form.shape) <= d:
            return None
        n = x.form.shape[d]
        if n < 2:
            return None
        numbers = {i: factor * n + addend for i, d, factor, addend in self.growth.laws if d is None}
        for i, expected in self.recording.fixed:
            if leaves[i] != numbers[i] if i in numbers else not same(leaves[i], expected):
                return None
        return n

    def __call__(self, n: int, leaves: Sequence[Any]) -> Any:
        """The call's answer; MISS if something besides its size is not as it was, or another thread is at it."""
        if not self._lock.acquire(blocking=False):
            return MISS
        try:
            if n != self._now:
                self.tune(n)
            answer = self.recording(leaves)
            return self.recording(leaves) if answer is MISS and self.recording.program.adapt() else answer
        finally:
            self._lock.release()

    def tune(self, n: int) -> None:
        """From now on the recording is one of a call of this size."""
        t, u = n - self.least, (n - self.least) * (n - self.least - 1) // 2
        for cell, first, rise, bend in self._moving:
            cell.value = first + t * rise + u * bend
        if n not in self._known:
            if len(self._known) > KNOWN:
                self._known.clear()
            self._known[n] = self._tables_at(n)
        for cell, word in zip(self._cells, self._known[n][0]):
            cell.value = word
        for cell in self._bases:  # so that every word that depends on a base is written anew
            cell.value = 0
        self._now = n

    def _tables_at(self, n: int) -> tuple[list[int], list[Form]]:
        """What stands in the columns for a size, and the forms whose addresses are in there."""
        rest = iter(self.words_at(n)[self._tail :])
        columns: dict[tuple[str, int], list[int]] = {}
        forms: list[Form] = []

        def add_form(name: str, column: int, of: Form) -> None:
            shape, strides = (tuple([next(rest) for _ in range(of.rank)]) for _ in range(2))
            forms.append(form(of.dtype, of.device, shape, strides))
            columns.setdefault((name, column), []).append(id(forms[-1]))

        tables = self.recording.program.tables
        for row in tables.operands:
            if row[0] == TENSOR:
                add_form("operands", 1, row[1])
        for _, _, _, of in tables.blocks:
            columns.setdefault(("blocks", 0), []).append(next(rest))
            add_form("blocks", 3, of)
        for _, of, _, _ in tables.results:
            columns.setdefault(("results", 2), []).append(next(rest))
            add_form("results", 1, of)
        return [word for place in _COLUMNS for word in columns.get(place, ())], forms

    def _column(self, name: str, column: int) -> Iterator[ctypes.c_int64]:
        """The words in a column of the replay's table; of the operands those that are tensors."""
        tables, width = self.recording.program.tables, WORDS[name]
        words = tables.words[name]
        for row in range(len(words) // width):
            if name != "operands" or tables.operands[row][0] == TENSOR:
                yield ctypes.c_int64.from_buffer(words, 8 * (width * row + column))


_COLUMNS = ("operands", 1), ("blocks", 0), ("blocks", 3), ("results", 2), ("results", 1)
