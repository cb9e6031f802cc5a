"""What memory the tensors of a recorded call see: a buffer for each storage, and what was there before the call.

The first part of the recorder. A storage that a kernel is given, or makes, gets a `Buffer` of the trail when it is first met; of what
was there before, bytes and tensors' slots are noted before they change (`undoing` puts them back).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from mashal.capture.indices import Chosen, Limits
from mashal.capture.noted import Obstacle, Touched
from mashal.capture.trail import CONSTANT, MADE, OUTSIDE, Buffer, Trail, Value
from mashal.capture.waiting import Waiting
from mashal.core.nested import is_table
from mashal.core.tensor import Tensor
from mashal.machine import memory
from mashal.machine.observing import watch

__all__ = ["Buffers"]


class Buffers:
    """The buffers of a recorded call.

    trail: what the call did. obstacles: what a replay could not do again. touched: the tensors that were there before, by id. new:
    ids of tensors that were made in the call (what was there before is alive, so no id is mistaken). moved: ids of
    dictionaries, lists and storages that a schedule's step may have changed. walked: what was there before, and was changed by
    walking the history after the call's end (`finishing`): as it was then. lines: gives the program's frames at this moment
    (capture.watch).
    """

    def __init__(self) -> None:
        self.trail = Trail()
        self.obstacles: list[Obstacle] = []
        self.touched: dict[int, Touched] = {}
        self.new: set[int] = set()
        self.moved: set[int] = set()
        self.finishing = False
        self.walked: dict[Buffer, bytes] = {}
        self.lines: Callable[[], Any] = tuple
        self._buffers: dict[int, Buffer] = {}
        self._chosen = Chosen()
        self._limits = Limits()
        self._waiting = Waiting()
        self._begun = False

    def _listen(self, on: bool) -> None:
        """Whether kernels, and what Python does, are noted from now on."""
        raise NotImplementedError

    def aside(self, function: Callable[[], Any]) -> Any:
        """function(), not recorded. The tensors that it returns were not made in the call, whatever had their ids before."""
        listened = watch.recorder is self
        self._listen(False)
        try:
            found = function()
            for x in found if isinstance(found, (list, tuple)) else (found,):
                if isinstance(x, Tensor):
                    self._buffers.pop(id(x.capsule), None)
                    self.new.discard(id(x))
            return found
        finally:
            self._listen(listened)

    def obstacle(self, what: str, reads: bool = False, chooses: bool = False) -> None:
        """Something that a replay could not do again happens here."""
        self.obstacles.append(Obstacle(what, tuple(self.lines()), reads, chooses=chooses))

    # ---------------------------------------------------------------- from tensors to buffers
    def buffer_of(self, x: Tensor) -> Buffer | None:
        """The buffer of a tensor's storage; None if the call has not met it."""
        return self._buffers.get(id(x.capsule))

    def value(self, x: Tensor) -> Value:
        """The place that a tensor sees."""
        if x.capsule is None:
            self.obstacle("a tensor without data (on meta) takes part")
            return Value(Buffer(-1, None, 0, MADE), x.offset, x.form)
        buffer = self.buffer_of(x) or self._new_buffer(x.capsule, CONSTANT if is_table(x) else OUTSIDE)
        self._is_asked_for(buffer)
        if self._chosen.is_outdated(buffer):
            self.obstacle("what a tensor chose has changed: it is a view")
        if buffer.source is OUTSIDE:
            self.touch(x)
        if id(x.capsule) in self.moved:
            self.obstacle("an option that a schedule's step has set is read")
        return Value(buffer, x.offset, x.form)

    def _made(self, x: Tensor) -> Value:
        """A result's place; its storage is new, whatever had the same id before is gone."""
        self.new.add(id(x))
        return Value(self._new_buffer(x.capsule, MADE), x.offset, x.form)

    def _new_buffer(self, storage: Any, source: str) -> Buffer:
        kept = None if source is MADE else storage  # who holds what was made decides whether it may be taken over
        buffer = Buffer(len(self.trail.buffers), kept, memory.bytes_of(storage), source)
        self.trail.buffers.append(buffer)
        self._buffers[id(storage)] = buffer
        return buffer

    def touch(self, x: Tensor) -> None:
        """If x was there before, or what x is a view of, notes its slots."""
        if id(x) not in self.touched and id(x) not in self.new:
            self.touched[id(x)] = Touched.as_now(x)
        if x.base is not None:
            self.touch(x.base)

    # ---------------------------------------------------------------- before a buffer changes, or is looked at
    def _before_change(self, buffer: Buffer) -> None:
        """A buffer is about to change: what was there before the call is copied."""
        self._note_chosen(buffer)
        self._limits.forget(buffer)
        if self.finishing and buffer.source is OUTSIDE:
            self.walked.setdefault(buffer, _bytes_of(buffer))
        if buffer.source is not MADE and buffer.before is None:
            buffer.before = _bytes_of(buffer)
        buffer.changed = True

    def _note_chosen(self, buffer: Buffer) -> None:
        """A buffer is about to change, of which a part was chosen, or which is such a part."""
        self._chosen.changes(buffer)
        if self._chosen.has(buffer):
            self.obstacle("what a tensor chose is changed: it is a view")

    def _is_asked_for(self, buffer: Buffer | None) -> None:
        """Runs the optimizers' kernels that wait, if what they are about is needed now."""
        if self._begun and buffer in self._waiting.buffers:
            self.aside(lambda: [self._before_change(v.buffer) for step in self._waiting.steps for v in step.written])
            self._waiting.run()


def _bytes_of(buffer: Buffer) -> bytes:
    return ctypes.string_at(memory.address_of(buffer.capsule), buffer.nbytes)
