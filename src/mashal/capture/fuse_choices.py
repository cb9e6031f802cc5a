"""What fusing chooses by cost: a replay for many sizes needs recordings whose kernels are the same, so rehearsals choose alike.

Each choice leaves the bits as they are, so one that is the best for some sizes is right for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Choose = Callable[[tuple[int, ...], bool], bool]
"""choose(what, best): whether to do something; `what` names it, `best` says whether it costs less here."""


class Choices:
    """What was chosen for the trails of a recording, one after another, and the room that each of their buffers takes.

    rooms: how much it is to be at least; taken: how much it was without that, in the recording that was made last.
    """

    def __init__(self) -> None:
        self._chosen: list[dict[tuple[int, ...], bool]] = []
        self._now = 0
        self.rooms: list[list[int]] = []
        self.taken: list[list[int]] = []

    @contextmanager
    def alike(self) -> Iterator[None]:
        """Within, a recording is fused as the first one was that was made so."""
        self._now, self.taken = 0, []
        token = _choices.set(self)
        try:
            yield
        finally:
            _choices.reset(token)

    def chooser(self) -> Choose:
        """For the next trail."""
        if self._now == len(self._chosen):
            self._chosen.append({})
        self._now += 1
        return self._chosen[self._now - 1].setdefault

    def room(self, sizes: list[int]) -> list[int]:
        """For the buffers of the next trail."""
        self.taken.append(sizes)
        return most_of([sizes, *self.rooms[len(self.taken) - 1 : len(self.taken)]])


_choices: ContextVar[Choices | None] = ContextVar("choices", default=None)


def chooser() -> Choose:
    """For the next trail that is fused: what is best, or what was chosen for other sizes."""
    choices = _choices.get()
    return choices.chooser() if choices is not None else lambda what, best: best


def room_for(sizes: list[int]) -> list[int]:
    """How many bytes buffers of these many get."""
    choices = _choices.get()
    return choices.room(sizes) if choices is not None else sizes


def most_of(rooms: Iterable[list[int]]) -> list[int]:
    """The most of each."""
    return [max(sizes) for sizes in zip(*rooms)]
