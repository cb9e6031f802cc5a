"""Sizes that change: one replay for all calls that differ in a size n only.

A recording holds for one size (or one int among its arguments); its kernels don't. Sizes, strides and offsets are words that
kernels are given, and as functions of n they are polynomials: n, 3·n + 1, n². So when a call comes with another n, it is
rehearsed (recorded, and everything put back) at three sizes more: the two that follow, and a wide one. Where all recordings run
the same kernels and every word goes through their values as one polynomial, the wide one is kept, and *tuned*
(capture.tuning) to each n in between before it is replayed; so is its backward. The memory that is planned for the wide one is
enough for all.

Which kernel suits a size is decided by thresholds: one that is right at both ends is right between them. A program could
decide otherwise (`if n % 8 == 0`): where n, or what cannot be seen, is compared for equality, divided with a remainder or looked up,
nothing is generalised. Nor are calls after which a schedule steps.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock
from types import CodeType
from typing import Any

from mashal.capture.answers import Remembered
from mashal.capture.guards import Guard, holding, same
from mashal.capture.making import rehearse
from mashal.capture.outline import Outline, aligned, outlines_of
from mashal.capture.planning import past_of
from mashal.capture.program import MISS
from mashal.capture.recording import Recording
from mashal.capture.structure import rebuild
from mashal.capture.tuning import Tuned, remembered_at
from mashal.core.forms import form
from mashal.core.tape import AccumulateGrad, enable_grad, mode
from mashal.core.tensor import Tensor, empty
from mashal.machine.replay_tables import ANY_HISTORY

WIDER = 8, 2  # how much wider than n the widest rehearsal is, the first that goes
MOST = 1 << 28  # bytes that a rehearsal may be expected to need


@dataclass(frozen=True)
class Growth:
    """How the leaves of calls follow from a size n: (leaf, dimension, factor, addend). The first is n itself.

    dimension: None for an int; -1, -2, … for a stride of a tensor that isn't contiguous, counted from the last one. situation: what
    must be the same, which the laws do not say: the modes, and which tensors are leaves or computed.
    """

    laws: tuple[tuple[int, int | None, int, int], ...]
    situation: tuple = ()

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
            if not isinstance(x, Tensor) or operand.history not in (ANY_HISTORY, past_of(x)):
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
        first = (sizes or [change for change in changes if change[1] is None] or [None])[0]
        if first is None or any(min(a, b) < 2 for _, _, a, b in sizes) or first[3] < 2:
            return None
        n0, n1 = first[2:]
        laws = []
        for i, d, a, b in [first, *(change for change in changes if change is not first)]:
            factor, rest = divmod(b - a, n1 - n0)
            if rest or (d is not None and type(leaves[i]) is not Tensor):
                return None
            laws.append((i, d, factor, b - factor * n1))
        pasts = [past_of(leaves[i]) for i in before.places]
        return Growth(tuple(laws), (mode.recording, mode.inference, *pasts))

    @property
    def what(self) -> tuple:
        """What it is that changes, without how."""
        return *[law[:2] for law in self.laws], self.situation

    def size(self, leaves: Sequence[Any]) -> int:
        """The n of a call."""
        i, d, _, _ = self.laws[0]
        return leaves[i] if d is None else leaves[i].form.shape[d]

    def size_of(self, recording: Recording) -> int:
        """The n of a recorded call."""
        i, d, _, _ = self.laws[0]
        if d is None:
            return dict(recording.fixed)[i]
        value = recording.program.plan.operands[recording.places.index(i)].value
        assert value is not None, "an operand whose size changes has a place of its own"
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
            changed[i] = _with_a_past(empty(form(x.dtype, x.device, tuple(shape), apart)).fill_(0), leaves[i])
        return changed


def _with_a_past(x: Tensor, like: Tensor) -> Tensor:
    """x, a leaf or computed as `like` is."""
    if like.node is None:
        return x
    with enable_grad():
        x.requires_grad_()  # type: ignore[attr-defined]
        return x if isinstance(like.node, AccumulateGrad) else x.as_strided(x.shape, x.stride())  # type: ignore[attr-defined]


# ---------------------------------------------------------------- making one
def grow(
    fn: Callable[..., Any], growth: Growth, like: Recording, leaves: Sequence[Any], n: int, places: Sequence[Guard] = ()
) -> tuple[Growing | None, int]:
    """(a replay for calls like one with these leaves, from size n on, or None; the next size that is not settled by it)."""
    at = lambda m: rehearsed(fn, like.structure, growth.at(m, leaves), places) if growth.reaches(m) else None
    near = [at(m) for m in (n, n + 1, n + 2)]
    if None in near:
        return None, 2 * n
    outlines = [outlines_of(recording) for recording in near]  # type: ignore[arg-type]
    if not (_fit(outlines[0], outlines[1]) and _fit(outlines[0], outlines[2])):
        return None, n + 1
    given = sum(leaves[i].form.nbytes for i in {law[0] for law in growth.laws if law[1] is not None})
    needed = near[0].program.needs + given  # type: ignore[union-attr]

    def up_to(wide: int) -> Growing | None:
        widest = at(wide) if needed * (wide / n) ** 2 <= MOST else None
        if widest is None:
            return None
        last = outlines_of(widest)
        if not all(_fit(some, last) for some in outlines):
            return None
        parts = [aligned(of) for of in zip(*outlines, last)]
        growing = Growing(widest, growth, (n, wide), parts)
        return growing if all(t.words_at(wide) == of[-1].words for t, of in zip(growing.tuned, parts)) else None

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


def _fit(some: Sequence[Outline], wide: Sequence[Outline]) -> bool:
    return len(some) == len(wide) and all(a.fits(b) for a, b in zip(some, wide))


def rehearsed(fn: Callable[..., Any], structure: Any, leaves: list[Any], places: Sequence[Guard]) -> Recording | None:
    """The recording of a call that is put back; None if it cannot be recorded, or branches on a number it has computed."""
    args, options, *held = rebuild(structure, leaves)
    with holding(places, held[0] if held else leaves[len(leaves) - len(places) :]):
        recording, codes = rehearse(fn, args, options, structure, leaves, places)
    return recording if recording is not None and all(map(_uniform, codes)) else None


@cache
def _uniform(code: CodeType) -> bool:
    """Whether code branches on no number that it has just computed (capture.sightings sees the others)."""
    before = ""
    for step in dis.get_instructions(code):
        if before.startswith("BINARY") and step.opname.startswith(("POP_JUMP", "JUMP_IF", "TO_BOOL", "UNARY_NOT")):
            return False
        before = step.opname
    return True


# ---------------------------------------------------------------- the replay
class Growing:
    """A recording that is tuned to the size of each call. least, most: the sizes that it is for."""

    def __init__(
        self, recording: Recording, growth: Growth, sizes: tuple[int, int], outlines: Sequence[Sequence[Outline]]
    ) -> None:
        self.recording, self.growth = recording, growth
        self.least, self.most = sizes
        self._now = self.most
        self._lock = Lock()
        self.tuned = [Tuned(recording.program, (), recording.answers, self.least, outlines[0])]
        self._after = recording.after
        for finish, of in zip((x for x in recording.after if isinstance(x, Remembered)), outlines[1:]):
            back = finish.program
            self.tuned.append(Tuned(back.program, back.forms, back.answers, self.least, of))

    def size(self, structure: Any, leaves: Sequence[Any]) -> int | None:
        """The n of a call like those that this replay is for; it may be too small or too large."""
        if structure != self.recording.structure:
            return None
        i, d, _, _ = self.growth.laws[0]
        x = leaves[i]
        if d is not None:
            if not isinstance(x, Tensor) or len(x.form.shape) <= d:
                return None
            x = x.form.shape[d]
        if type(x) is not int or x < 2:
            return None
        n = x
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
        """From now on the recording is one of a call of this size; its backward is tuned when it runs."""
        forward, *backward = self.tuned
        forward.tune(n)
        self.recording.answers = forward.at(n)[1]
        self.recording.after = [
            remembered_at(x, backward[0], n) if isinstance(x, Remembered) else x for x in self._after
        ]
        self._now = n
