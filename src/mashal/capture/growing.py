"""Sizes that change: one replay for all calls that differ in a size n only, or in two, n and m (batch and time).

A recording holds for one size (or one int among its arguments); its kernels don't. Sizes, strides and offsets are words that
kernels are given, and as functions of sizes they are polynomials: n, 3·n + 1, n·m². So when a call comes with another size, it is
rehearsed (recorded, and everything put back) at that size and at a few next to it, from whose words the polynomials follow, and
further and further away, as long as the same kernels run and every word is what its polynomial says. The recording that is
kept has room for all of them, and is *tuned* (capture.tuning) to the sizes of each call before it is replayed; so is its backward.

Which kernel suits a size is decided by thresholds: of n, of m, or of a product of them (the rows of a matrix are n·m). What is right
for sizes that were rehearsed is right for all between which these lie. A program could decide otherwise (`if n % 8 == 0`): where
n, or what cannot be seen, is compared for equality, divided with a remainder or looked up, nothing is generalised. Nor are
calls after which a schedule steps.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from math import prod
from threading import Lock
from types import CodeType
from typing import Any, NamedTuple

from mashal.capture.answers import Remembered
from mashal.capture.fuse_choices import Choices, most_of
from mashal.capture.guards import Guard, holding, same
from mashal.capture.making import rehearse
from mashal.capture.outline import Outline, moving_in, outlines_of
from mashal.capture.program import MISS
from mashal.capture.recording import Recording
from mashal.capture.sizes import LEVELS, Growth, Sizes, monomials, near
from mashal.capture.structure import rebuild
from mashal.capture.tuning import Laws, Tuned, remembered_at
from mashal.core.tensor import Tensor

FARTHEST = 8.0  # how many times as large, or as small, a size is that is rehearsed
HALVINGS = 4  # on the way to the threshold, where that is not the same program
MOST, TIMES = 1 << 28, 2.0  # bytes that a rehearsal may be expected to need, and how many times what this call needs


# ---------------------------------------------------------------- making one
def grow(
    fn: Callable[..., Any],
    growth: Growth,
    like: Recording,
    leaves: Sequence[Any],
    smaller: bool = True,
    places: Sequence[Guard] = (),
) -> Growing | None:
    """A replay for calls like one with these leaves, at its sizes and around them, if there is one. smaller: below them too."""
    search = _Search(fn, growth, like, leaves, places)
    fits: list[_Fit] = []
    looked = False
    for pitch, count in product(dict.fromkeys([(1,) * growth.count, growth.pitch]), LEVELS[growth.count]):
        base = search.base(pitch, count)
        if base is None:
            continue
        if not looked:
            search.look_around(smaller)
            looked = True
        fit = search.fit(base, pitch, count)
        if fit is not None and fit.proven:
            fits.append(fit)
            if fit.wrong == 0:
                break
    return search.replay(max(fits, key=lambda fit: len(fit.right))) if fits else None


class _Found(NamedTuple):
    """A rehearsal: its outlines, and how much room its buffers take."""

    outlines: list[Outline]
    rooms: list[list[int]]


class _Fit(NamedTuple):
    """Polynomials for the words of rehearsals, and for which sizes they are right. wrong: of how many others they are not.

    moving: constants that have words. proven: whether they are right for more sizes than they were made from.
    """

    widest: Sizes
    right: list[Sizes]
    wrong: int
    proven: bool
    laws: list[Laws]
    moving: list[list[int]]


class _Search:
    """Rehearsals of a call at other sizes, fused alike. found: those that are the same program as the first."""

    def __init__(
        self, fn: Callable[..., Any], growth: Growth, like: Recording, leaves: Sequence[Any], places: Sequence[Guard]
    ) -> None:
        self.fn, self.growth, self.like, self.leaves, self.places = fn, growth, like, leaves, places
        self.choices = Choices()
        self.found: dict[Sizes, _Found] = {}
        self.here = growth.sizes(leaves)
        first = self.rehearsed(self.here)
        if first is not None:
            self.found[self.here] = _Found(outlines_of(first), self.choices.taken)
            given = sum(leaves[i].form.nbytes for i in {i for (i, d), _, _ in growth.laws if d is not None})
            self.needed = first.program.needs + given

    def rehearsed(self, sizes: Sizes) -> Recording | None:
        """The recording of a call of these sizes, if there can be one."""
        if min(sizes) < 2 or not self.growth.reaches(sizes):
            return None
        with self.choices.alike():
            return rehearsed(self.fn, self.like.structure, self.growth.at(sizes, self.leaves), self.places)

    def holds_at(self, sizes: Sizes) -> bool:
        """Whether the call of these sizes is the same program."""
        if sizes in self.found:
            return True
        ratios = [a / b for a, b in zip(sizes, self.here)]
        if not self.found or self.needed * prod(ratios) * max(1.0, *ratios) ** 0.5 > max(MOST, TIMES * self.needed):
            return False
        recording = self.rehearsed(sizes)
        outlines = [] if recording is None else outlines_of(recording)
        first = self.found[self.here].outlines
        if len(outlines) != len(first) or not all(map(Outline.fits, outlines, first)):
            return False
        self.found[sizes] = _Found(outlines, self.choices.taken)
        return True

    def base(self, pitch: Sizes, count: int) -> Sizes | None:
        """From where the calls whose words the polynomials are found from are all the same program."""
        bases = self.here, tuple([n - 2 * p for n, p in zip(self.here, pitch)])
        return next((base for base in bases if all(map(self.holds_at, near(base, pitch, count)))), None)

    def look_around(self, smaller: bool) -> None:
        """Tries sizes in all directions, as far away as the program is the same. smaller: also those below."""
        for direction in product((1, -1), repeat=self.growth.count):
            if not smaller and max(direction) < 0:
                continue
            low, high = 1.0, FARTHEST
            if self.holds_at(self._away(high, direction)):
                continue
            for _ in range(HALVINGS):
                middle = (low * high) ** 0.5
                low, high = (middle, high) if self.holds_at(self._away(middle, direction)) else (low, middle)

    def _away(self, times: float, direction: Sequence[int]) -> Sizes:
        """Sizes so many times as large as here (1) or as small (-1)."""
        return tuple(
            [max(round(n * times**way / p), 1) * p for n, way, p in zip(self.here, direction, self.growth.pitch)]
        )

    def fit(self, base: Sizes, pitch: Sizes, count: int) -> _Fit | None:
        """Polynomials that are right for the widest rehearsal that there are any for, and for what else they are.

        None: no rehearsal has the constants of all that the polynomials are made from.
        """
        nearest = near(base, pitch, count)
        for widest in sorted(self.found, key=lambda sizes: (prod(sizes), sizes), reverse=True):
            wide = self.found[widest].outlines
            sizes = [m for m, found in self.found.items() if all(map(Outline.within, found.outlines, wide))]
            if not set(nearest) <= set(sizes):
                continue
            moving = [moving_in([self.found[m].outlines[k] for m in sizes], of) for k, of in enumerate(wide)]
            words = {m: self._with_constants(m, moving) for m in sizes}
            laws = [Laws.through(base, pitch, of) for of in zip(*(words[m] for m in nearest))]
            right = [
                m for m in sizes if laws[0].reach(m) and all(law.at(m) == of.words for law, of in zip(laws, words[m]))
            ]
            if widest in right:
                wrong = sum(map(laws[0].reach, self.found)) - len(right)
                return _Fit(widest, right, wrong, len(right) > count, laws, moving)
        return None

    def _with_constants(self, m: Sizes, moving: Sequence[Sequence[int]]) -> list[Outline]:
        return [outline.with_constants(which) for outline, which in zip(self.found[m].outlines, moving)]

    def replay(self, fit: _Fit) -> Growing | None:
        """A recording with room for all these sizes."""
        self.choices.rooms = [most_of(rooms) for rooms in zip(*(self.found[m].rooms for m in fit.right))]
        recording = self.rehearsed(fit.widest)
        if recording is None:
            return None
        last = [outline.with_constants(which) for outline, which in zip(outlines_of(recording), fit.moving)]
        return Growing(recording, self.growth, fit, last)


def rehearsed(fn: Callable[..., Any], structure: Any, leaves: list[Any], places: Sequence[Guard]) -> Recording | None:
    """The recording of a call that is put back; None if it cannot be recorded, or branches on a number it has computed."""
    args, options, *held = rebuild(structure, leaves)
    with holding(places, held[0] if held else leaves[len(leaves) - len(places) :]):
        recording, codes = rehearse(fn, args, options, structure, leaves, places)
    return recording if recording is not None and all(map(_uniform, codes)) else None


@cache
def _uniform(code: CodeType) -> bool:
    """Whether code branches on no number that it has just computed (capture.picking sees the others)."""
    before = ""
    for step in dis.get_instructions(code):
        if before.startswith("BINARY") and step.opname.startswith(("POP_JUMP", "JUMP_IF", "TO_BOOL", "UNARY_NOT")):
            return False
        before = step.opname
    return True


# ---------------------------------------------------------------- the replay
class Growing:
    """A recording that is tuned to the size of each call. outlines: its own; bounds: those of the sizes' monomials."""

    def __init__(self, recording: Recording, growth: Growth, fit: _Fit, outlines: Sequence[Outline]) -> None:
        self.recording, self.growth, self.widest, self.laws = recording, growth, fit.widest, fit.laws
        self.bounds = [(min(column), max(column)) for column in zip(*map(monomials, fit.right))]
        self._now = fit.widest
        self._lock = Lock()
        self.tuned = [Tuned(recording.program, (), recording.answers, fit.laws[0], outlines[0])]
        self._after = recording.after
        after = (x.program for x in recording.after if isinstance(x, Remembered))
        for back, laws, outline in zip(after, fit.laws[1:], outlines[1:]):
            self.tuned.append(Tuned(back.program, back.forms, back.answers, laws, outline))

    def sizes(self, structure: Any, leaves: Sequence[Any]) -> Sizes | None:
        """Those of a call like those that this replay is for; they may be too small or too large."""
        if structure != self.recording.structure:
            return None
        growth, found = self.growth, []
        for (i, d), _, _ in growth.laws[: growth.count]:
            x = leaves[i]
            if d is not None:
                if not isinstance(x, Tensor) or len(x.form.shape) <= d:
                    return None
                x = x.form.shape[d]
            if type(x) is not int or x < 2:
                return None
            found.append(x)
        numbers = growth.numbers(tuple(found))
        for i, expected in self.recording.fixed:
            if leaves[i] != numbers[i] if i in numbers else not same(leaves[i], expected):
                return None
        return tuple(found)

    def spans(self, n: Sizes) -> bool:
        """Whether the replay is for these sizes: they lie between those that were rehearsed."""
        return self.laws[0].reach(n) and all(a <= x <= b for (a, b), x in zip(self.bounds, monomials(n)))

    def __call__(self, n: Sizes, leaves: Sequence[Any]) -> Any:
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

    def tune(self, n: Sizes) -> None:
        """From now on the recording is one of a call of these sizes; its backward is tuned when it runs."""
        forward, *backward = self.tuned
        forward.tune(n)
        self.recording.answers = forward.at(n)[1]
        self.recording.after = [
            remembered_at(x, backward[0], n) if isinstance(x, Remembered) else x for x in self._after
        ]
        self._now = n
