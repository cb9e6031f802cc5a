"""Updates that wait: an optimizer's kernel runs when the recorded call has ended well.

A call that raises leaves everything as it was, so what a kernel changes is copied before. Of an optimizer that would be all
parameters and their states, several times what they need, just while a call is recorded. Most often nothing looks at them
after the step, so its kernel is put off: to the end of the call, or until somebody asks for what it reads or changes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mashal.capture.trail import Buffer, UpdateStep


@dataclass
class Waiting:
    """Kernels of optimizers that have not run yet. buffers: what they read or change."""

    buffers: set[Buffer] = field(default_factory=set)
    steps: list[UpdateStep] = field(default_factory=list)
    _arrays: list[Any] = field(default_factory=list)
    _storages: list[Any] = field(default_factory=list)

    def put_off(self, step: UpdateStep, addresses: Sequence[Sequence[int]], storages: list[Any]) -> None:
        """addresses: where the slots of each line lie, in these storages."""
        table = _array([word for line in addresses for word in (*line, *[0] * step.spare)])
        rows = _array([word for row in step.rows for word in row])
        words = _array(step.words(table, rows, step.numbers()))
        self.steps.append(step)
        self.buffers.update(v.buffer for v in step.read)
        self._arrays.append((words, rows, table))
        self._storages.append(storages)

    def run(self) -> None:
        """Calls all kernels, in the order in which they came."""
        for step, (words, *_) in zip(self.steps, self._arrays):
            ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(step.kernel)(ctypes.addressof(words))
        self.forget()

    def forget(self) -> None:
        """Calls none of them."""
        for things in (self.buffers, self.steps, self._arrays, self._storages):
            things.clear()


def _array(words: list[int]) -> Any:
    return (ctypes.c_int64 * len(words))(*words)
