"""Replays of a function that are for many calls: for sizes that change (capture.growing), and for floats (capture.varying).

When a call comes that no recording fits, it is looked at what it differs in from those that were recorded. If that is sizes, or
floats, a replay for many of them is tried to make; how often, and when again, is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mashal.capture.growing import Growing, grow
from mashal.capture.guards import Guard
from mashal.capture.program import MISS
from mashal.capture.recording import Recording
from mashal.capture.settings import SETTINGS
from mashal.capture.sizes import Growth, Sizes, changes_between
from mashal.capture.varying import Varying, floats_that_differ, vary

__all__ = ["General"]

MOST_TRIES, PATIENCE = 12, 4
"""So often a replay for many sizes is tried; so often before anybody is told: small sizes may have kernels of their own."""
MOST_TRIALS = 4  # at a replay for floats that change


class General:
    """The replays for many calls. made: is told of each new one; hopeful: whether calls that differ in their sizes may yet get one."""

    def __init__(self, fn: Callable[..., Any], dynamic: bool | None, made: Callable[[Recording], None]) -> None:
        self._fn, self._dynamic, self._made = fn, dynamic, made
        self.growing: list[Growing] = []
        self.varying: list[Varying] = []
        self.hopeful = False
        self._trials = 0
        """How often it was tried to make a replay for floats."""
        self._settled: list[tuple[tuple, Sizes, bool]] = []
        """Of what changes: at which sizes a replay for many was tried to make, and whether it was made."""

    def __bool__(self) -> bool:
        return bool(self.growing or self.varying)

    def answer(self, structure: Any, leaves: list[Any]) -> tuple[Any, Varying | None]:
        """(the answer of a call, or MISS; the replay for floats that gave it)."""
        for growing, n in self.fitting(structure, leaves):
            answer = growing(n, leaves)
            if answer is not MISS:
                return answer, None
        for varying in self.varying:
            answer = varying(leaves) if varying.takes(structure, leaves) else MISS
            if answer is not MISS:
                return answer, varying
        return MISS, None

    def fitting(self, structure: Any, leaves: list[Any]) -> list[tuple[Growing, Sizes]]:
        """The replays for many sizes that are for such a call, each with its sizes."""
        sizes = [(growing, growing.sizes(structure, leaves)) for growing in self.growing]
        return [(growing, n) for growing, n in sizes if n is not None and growing.spans(n)]

    def extend(
        self, recordings: Sequence[Recording], most: int, structure: Any, leaves: list[Any], places: Sequence[Guard]
    ) -> bool:
        """If a call differs from recorded ones in sizes only, or in floats: whether there is now a replay for it."""
        self.hopeful = False
        dynamic = self._asked(leaves)
        made = len(recordings) + len(self.varying)
        if dynamic is False or len(recordings) < (1 if dynamic else 2) or made >= most:
            return False
        like = [x for x in recordings if x.structure == structure and changes_between(x, leaves)]
        whole = Growth.between(like, leaves) if like else None
        if whole is not None and self._grow(whole, like[0], leaves, places):
            return True
        for other in like if whole is None or whole.count > 1 else ():
            growth = Growth.between([other], leaves)
            if growth is not None and not (whole is not None and growth.mixes(whole)):
                return self._grow(growth, other, leaves, places)
        return whole is None and self._vary(recordings, structure, leaves, places)

    def _asked(self, leaves: list[Any]) -> bool | None:
        """Whether sizes are to be taken for ones that change: True at once, False never, None if they do."""
        if self._dynamic is not None:
            return self._dynamic
        if not SETTINGS["automatic_dynamic_shapes"]:
            return False
        marked = any(getattr(x, "_dynamo_dynamic_indices", None) for x in leaves)
        return True if marked or not SETTINGS["assume_static_by_default"] else None

    def _grow(self, growth: Growth, like: Recording, leaves: list[Any], places: Sequence[Guard]) -> bool:
        n = growth.sizes(leaves)
        tried = [(sizes, made) for what, sizes, made in self._settled if what == growth.what]
        self.hopeful |= len(tried) < PATIENCE
        vain = [sizes for sizes, made in tried if not made]
        near = lambda sizes: all(0 <= a - b <= len(tried) + 1 for a, b in zip(n, sizes))
        if len(tried) >= MOST_TRIES or any(map(near, vain)):
            return False
        came = [*(sizes for sizes, _ in tried), growth.sizes_of(like)]
        smaller = any(a < b for sizes in came for a, b in zip(n, sizes))  # where sizes don't grow
        growing = grow(self._fn, growth, like, leaves, smaller, places)
        self._settled.append((growth.what, n, growing is not None))
        if growing is not None:
            self.growing.insert(0, growing)
            self._made(growing.recording)
        return growing is not None

    def _vary(
        self, recordings: Sequence[Recording], structure: Any, leaves: list[Any], places: Sequence[Guard]
    ) -> bool:
        like = [other for other in recordings if other.structure == structure and floats_that_differ(other, leaves)]
        if not like or self._trials >= MOST_TRIALS:
            return False
        self._trials += 1
        made = vary(self._fn, like[0], leaves, places)
        if made is not None:
            self.varying.insert(0, made)
            self._made(made.recording)
        return made is not None
