"""Which steps wait for which, and which may become one.

Groups of steps are joined two at a time: what one makes and the other needs, or what both read. Two groups may become one if
no third one stands between them, waiting for the first and waited for by the second. Sets of steps are bits of an int: step i
is bit i, so asking whether one is above another is one `and`.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from mashal.capture.trail import Buffer, Value

WINDOW = 160
"""Steps between two that are tried as one. What lies further apart would keep memory alive for long."""
SIBLINGS = 4
"""Readers of the same memory that are tried."""


class Group:
    """Steps that run as one kernel. after: groups it waits for at once; above: bits of all steps it waits for."""

    __slots__ = ("above", "after", "bits", "content", "first", "last", "steps")

    def __init__(self, index: int, content: Any):
        self.first = self.last = index
        self.steps = [index]
        self.bits, self.above = 1 << index, 0
        self.after: set[int] = set()  # numbers of steps
        self.content = content


class Graph:
    """Groups, grown step by step. join(a, b) gives the content of both as one (a's steps first), None if they stay apart."""

    def __init__(self, join: Callable[[Group, Group], Any]):
        self._join = join
        self.owner: list[Group] = []
        self._writes: defaultdict[Buffer, list[tuple[int, int, int]]] = defaultdict(list)  # start, stop, step
        self._reads: defaultdict[Buffer, list[tuple[int, int, int]]] = defaultdict(list)
        self._stateful = -1

    def add(self, step: Any, content: Any, stateful: bool) -> None:
        """The next step; content: what join takes, None if it stays alone. stateful: keeps its order among such steps."""
        i = len(self.owner)
        group = Group(i, content)
        self.owner.append(group)
        near: dict[Group, None] = {}  # whom to try first: who made or changed what it needs
        for place, writes in _accesses(step):
            for start, stop, other in self._writes[place.buffer]:
                if start < place.stop and place.start < stop:
                    group.after.add(other)
                    near[self.owner[other]] = None
            if writes:
                for start, stop, other in self._reads[place.buffer]:
                    if start < place.stop and place.start < stop:
                        group.after.add(other)
        if stateful:
            if self._stateful >= 0:
                group.after.add(self._stateful)
            self._stateful = i
        for other in group.after:
            group.above |= self.owner[other].above | self.owner[other].bits
        siblings = self._siblings(step) if content is not None else []
        self._note(step, i)
        if content is not None:
            self._grow(i, [*near, *siblings])

    def _siblings(self, step: Any) -> list[Group]:
        found: dict[Group, None] = {}
        for place in step.read:
            for *_, other in self._reads[place.buffer][-SIBLINGS:]:
                found[self.owner[other]] = None
        return list(found)

    def _note(self, step: Any, i: int) -> None:
        for place, writes in _accesses(step):
            if writes:
                for kind in (self._writes, self._reads):  # what is written over need not be waited for twice
                    kind[place.buffer] = [
                        a
                        for a in kind[place.buffer]
                        if a[2] == i
                        or not (place.start <= a[0] and a[1] <= place.stop)
                        or place.form.numel * place.form.dtype.itemsize != place.stop - place.start
                    ]
                self._writes[place.buffer].append((place.start, place.stop, i))
        for place in step.read:
            self._reads[place.buffer].append((place.start, place.stop, i))

    # ---------------------------------------------------------------- joining
    def _grow(self, i: int, candidates: list[Group]) -> None:
        tried: set[int] = set()
        for other in candidates:
            other, mine = self.owner[other.first], self.owner[i]
            if other is mine or other.content is None or id(other) in tried or i - other.last > WINDOW:
                continue
            tried.add(id(other))
            if mine.first - other.last > WINDOW or not self._free(other, mine):
                continue
            a, b = (mine, other) if other.above & mine.bits else (other, mine)
            if not (a.bits & b.above) and b.first < a.first:
                a, b = b, a
            content = self._join(a, b)
            if content is not None:
                self._merge(a, b, content)

    def _free(self, a: Group, b: Group) -> bool:
        """Whether no third group waits for one of them and is waited for by the other."""
        for x, y in ((a, b), (b, a)):
            if y.above & x.bits:
                for step in y.after:
                    third = self.owner[step]
                    if third is not x and third is not y and third.above & x.bits:
                        return False
        return True

    def _merge(self, a: Group, b: Group, content: Any) -> None:
        if b.first < a.first:
            a.first = b.first
        a.steps = sorted([*a.steps, *b.steps])
        a.last = a.steps[-1]
        a.bits |= b.bits
        a.above = (a.above | b.above) & ~a.bits
        a.after |= b.after
        a.content = content
        for step in b.steps:
            self.owner[step] = a
        whole = a.above | a.bits
        seen = set()
        for other in self.owner[a.first :]:
            if other is not a and other.above & a.bits and id(other) not in seen:
                seen.add(id(other))
                other.above |= whole

    # ---------------------------------------------------------------- afterwards
    def ordered(self) -> Iterator[Group]:
        """The groups, each after those it waits for, otherwise as their last steps came."""
        groups = list(dict.fromkeys(self.owner))
        waits: dict[Group, set[Group]] = {g: {self.owner[s] for s in g.after} - {g} for g in groups}
        waited: defaultdict[Group, list[Group]] = defaultdict(list)
        for g, others in waits.items():
            for other in others:
                waited[other].append(g)
        left = {g: len(others) for g, others in waits.items()}
        ready = [(g.last, g.first, g) for g in groups if not left[g]]
        heapq.heapify(ready)
        while ready:
            *_, g = heapq.heappop(ready)
            yield g
            for other in waited[g]:
                left[other] -= 1
                if not left[other]:
                    heapq.heappush(ready, (other.last, other.first, other))


def _accesses(step: Any) -> list[tuple[Value, bool]]:
    """(place, whether it is written), the written ones first."""
    written = step.written
    return [(v, True) for v in written] + [(v, False) for v in step.read]
