"""How a recorded call is taken back: what it changed is as it was before, or as it was when the call ended.

A part of the recorder. If a call raises, or if it turns out that it must run as it is written, nothing of its recording
is left: not in memory, in tensors' slots, in random generators, nor past tensors.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any

from mashal.capture.buffers import Buffers
from mashal.capture.trail import OUTSIDE
from mashal.core.generator import PLACE, Generator
from mashal.machine import memory

__all__ = ["Undoing"]


class Undoing(Buffers):
    """The buffers of a call that can be undone. generators: those that are drawn from, and where they stood."""

    def __init__(self) -> None:
        super().__init__()
        self.generators: dict[Generator, bytes] = {}
        self._grads: dict[int, Any] = {}  # of touched tensors: their gradients when the call ended
        self._taking_back: list[Callable[[], Any]] = []

    def takes_back(self, function: Callable[[], Any]) -> None:
        """Notes what undoes a change past tensors."""
        self._taking_back.append(function)

    @property
    def goes_beyond(self) -> bool:
        """Whether something past tensors was changed."""
        return bool(self._taking_back)

    def finish(self) -> None:
        """The call has ended: what follows is walking its history."""
        self.finishing = True
        self._grads = {id(was.tensor): was.tensor.grad_ for was in self.touched.values()}

    def walk_back(self) -> bool:
        """Puts back what walking the history changed; whether that was anything."""
        for buffer, data in self.walked.items():
            ctypes.memmove(self.aside(partial(memory.address_of, buffer.capsule)), data, buffer.nbytes)
        before = [(was.tensor, self._grads.get(id(was.tensor), was.grad)) for was in self.touched.values()]
        changed = [(x, grad) for x, grad in before if x.grad_ is not grad]
        for x, grad in changed:
            x.grad_ = grad
        return bool(self.walked or changed)

    def undo(self) -> None:
        """Puts back what the call changed so far."""
        self._waiting.forget()
        while self._taking_back:
            self._taking_back.pop()()
        for buffer in self.trail.buffers:
            if buffer.before is not None and buffer.source is OUTSIDE:
                ctypes.memmove(memory.address_of(buffer.capsule), buffer.before, buffer.nbytes)
        for was in self.touched.values():
            was.put_back()
        for generator, place in self.generators.items():
            ctypes.memmove(generator.address, place, PLACE)
        self.keep()

    def note_all(self, most: int) -> int | None:
        """Runs what waits; the call can be undone until `keep`. How many bytes are kept for that; None: it would be more than `most`."""
        waiting = {v.buffer for step in self._waiting.steps for v in step.written}
        buffers = {b for b in self.trail.buffers if b.before is not None and b.source is OUTSIDE} | waiting
        nbytes = sum(b.nbytes for b in buffers)
        if nbytes > most:
            return None
        for buffer in waiting:
            self._before_change(buffer)
        self._waiting.run()
        return nbytes

    def keep(self) -> None:
        """The call has ended: what was there before is not needed any more."""
        self._waiting.run()
        for buffer in self.trail.buffers:
            buffer.before = None
