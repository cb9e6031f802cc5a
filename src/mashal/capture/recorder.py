"""The recorder: runs a call and notes every kernel, every buffer, and what Python did past the kernels.

    with Recorder(operands) as recorder:
        answer = fn(*args)
    recorder.trail, recorder.obstacles, recorder.touched

The call runs for real, so the first call of a compiled function costs little more than an eager one. If it raises, whatever it
had changed is put back: the bytes of buffers, versions, gradients, the random generator.

Here is how it listens and what it notes of a kernel. The rest of what it can do stands in the classes that it is built on, one on the
other: `buffers` (memory), `undoing` (taking the call back), `told` (what Python tells), `stepping` (optimizers and schedules).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable
from typing import Any

from mashal.capture.modules import is_module
from mashal.capture.stepping import Stepping
from mashal.capture.trail import Step, Value, note_computed
from mashal.core.generator import PLACE, default_generator, living
from mashal.core.tensor import _LAYOUT, Tensor
from mashal.machine import memory
from mashal.machine.launch import Call
from mashal.machine.observing import watch

__all__ = ["Recorder"]

_KEPT = 1 << 25  # bytes that lie free meanwhile: a recorded call is to need no more than one that isn't


class Recorder(Stepping):
    """A context around a call; operands: its tensors."""

    def __init__(self, operands: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self._operands = list(operands)
        self._calls: dict[int, Call] = {}
        self._blocks: list[bytes] = []  # keeps the ids that are keys of _calls
        self._modules: dict[int, Any] = {}
        self._ended = False

    # ---------------------------------------------------------------- on and off
    def __enter__(self) -> Recorder:
        assert watch.recorder is None, "one recording at a time"
        self._note_generators()
        self._outside = sys._getframe(1)
        for x in self._operands:
            self.value(x)
        self._begun = True
        memory.keep_free(_KEPT)
        self._listen(True)
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self._begun = False
        self._listen(False)
        memory.empty_cache()  # a replay has memory of its own
        memory.keep_free()
        if kind is not None:
            self.undo()
        self._ended = True

    def end(self) -> None:
        """Takes everything back, if that has not been done: leaving may have been interrupted."""
        if not self._ended:
            self.__exit__(BaseException, None, None)

    def _listen(self, on: bool) -> None:
        watch.recorder = self if on else None
        _LAYOUT.listen(self._record if on else None)

    # ---------------------------------------------------------------- kernels
    def _record(self, owner: Any, *operands: Any) -> Any:
        """Runs a plan in the launcher's stead and notes it; or notes a tensor that has been made."""
        if type(owner) is not tuple:
            return self.new.add(id(owner))
        self._listen(False)
        try:
            step = self._step(owner, operands)
            for value in step.operands[: step.writes]:
                if isinstance(value, Value):
                    self._before_change(value.buffer)
            result = _LAYOUT.rerun(owner)(*operands)
            step.results = tuple(self._made(x) for x in _listed(result, len(owner) - 4))
            step.fails = self._limits.may_fail(owner[2], step)
            self.trail.steps.append(step)
            if step.call.kernel:
                note_computed(step)
            return result
        finally:
            self._listen(True)

    def _step(self, owner: tuple, operands: tuple) -> Step:
        """What a plan is about to do, but for its results."""
        block, *_, recipe = owner
        call = self._calls.get(id(block))
        if call is None:
            self._blocks.append(block)
            call = self._calls[id(block)] = Call.of(block)
        values = tuple(self.value(x) if isinstance(x, Tensor) else self._lent.get(x, x) for x in operands)
        self._note_generators(operands)
        name, place = self._origins.of(sys._getframe(2))
        self._note_modules(sys._getframe(2))
        return Step(call, values, (), call.writes, recipe=recipe, name=name, place=place)

    # ---------------------------------------------------------------- what works with kernels
    def _note_generators(self, operands: Iterable[Any] = (default_generator.address,)) -> None:
        """Notes where the random generators stand whose addresses are among operands."""
        for x in operands:
            if type(x) is int and x in living and living[x] not in self.generators:
                self.generators[living[x]] = ctypes.string_at(x, PLACE)

    def _note_modules(self, frame: Any) -> None:
        """Notes the modules that are at work above a frame."""
        while frame is not None and frame is not self._outside:
            name = frame.f_code.co_name
            if name == "forward" or name == "__call__":
                it = frame.f_locals.get("self")
                if it is not None and is_module(it):
                    self._modules.setdefault(id(it), it)
            frame = frame.f_back

    @property
    def modules(self) -> list[Any]:
        """The modules that were at work."""
        return list(self._modules.values())


def _listed(result: Any, count: int) -> tuple:
    """The tensors that a plan has made, by what it returns."""
    return () if not count else (result,) if count == 1 else result
