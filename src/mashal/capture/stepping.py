"""An optimizer's step, and a schedule's, in a recorded call; and numbers that Python computes in each call.

A part of the recorder. An optimizer's step is a kernel, run as late as may be (`waiting`), whose options are read anew before each
replay. A schedule's step is Python that each replay runs again when its kernels have run; so what it may have changed is no
business of a kernel after it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any

from mashal.capture.modules import is_module
from mashal.capture.noted import Feed
from mashal.capture.origins import Origins
from mashal.capture.told import Told
from mashal.capture.trail import CONSTANT, OUTSIDE, UpdateStep, note_computed
from mashal.core import tape
from mashal.core.devices import CPU
from mashal.core.dtypes import float64
from mashal.core.forms import form
from mashal.core.tensor import Tensor, empty
from mashal.machine import memory

__all__ = ["Stepping"]


class Stepping(Told):
    """A call in which optimizers and schedules step. repeats: what each replay calls in the end. feeds: numbers that it begins with."""

    def __init__(self) -> None:
        super().__init__()
        self.repeats: list[Callable[[], Any]] = []
        self.feeds: list[Feed] = []
        self._origins = Origins()

    def update(self, lines: list[tuple[Tensor, ...]], **rest: Any) -> None:
        """Notes an optimizer's kernel. lines, rest: as in trail.UpdateStep, with tensors."""
        if any(id(group) in self.moved for group, _ in rest["watched"]):
            self.obstacle("an optimizer's step after its schedule's")
        _, where = self._origins.of(sys._getframe(1))
        rest["given"] = tuple(self.value(x) for x in rest["numbers"]() or () if isinstance(x, Tensor))
        step = UpdateStep(lines=[tuple(map(self.value, line)) for line in lines], place=where, **rest)
        for value in step.written:
            self._note_chosen(value.buffer)
            if value.buffer.source is CONSTANT:
                self.aside(partial(self._before_change, value.buffer))
            value.buffer.changed = True
        place = lambda x: memory.address_of(x.capsule) + x.offset * x.form.dtype.itemsize
        addresses = self.aside(lambda: [[place(x) for x in line] for line in lines])
        storages = [x.capsule for line in lines for x in line]
        self.aside(partial(self._waiting.put_off, step, addresses, storages))
        self.trail.steps.append(step)
        note_computed(step)

    def repeat(self, function: Callable[[], Any]) -> None:
        """Notes that each replay calls function() when its kernels have run."""
        given = (*function.args, *function.keywords.values()) if isinstance(function, partial) else ()
        if any(isinstance(x, Tensor) for x in given):
            self.obstacle("a schedule is given a tensor")
        self.repeats.append(function)
        held = _held(given)
        options = _options(held)
        self.moved.update(map(id, held), [id(x.capsule) for x in options])
        self.takes_back(partial(_refill, [(x, x.copy()) for x in held if isinstance(x, (dict, list))]))
        self.takes_back(partial(_fill, options, self.aside(lambda: [x.clone() for x in options])))

    def feed(self, function: Callable[[], float], *reads: Any) -> Tensor:
        """A tensor of function(), which each replay fills before it begins. reads: what function reads."""
        buffers = [self.value(x).buffer for x in reads if isinstance(x, Tensor)]
        if any(id(x) in self.moved for x in reads) or any(b.source is not OUTSIDE or b.changed for b in buffers):
            self.obstacle("a number follows from what the call itself has changed")
        made = self.aside(lambda: empty(form(float64, CPU, ())).fill_(function()))
        self.feeds.append(Feed(function, made))
        return made


# ---------------------------------------------------------------- what a schedule may have changed
def _held(things: Any) -> list[Any]:
    """All dictionaries and lists of plain objects among these things, in them and in their attributes."""
    found, stack = {}, list(things)
    while stack:
        x = stack.pop()
        inside = x if isinstance(x, (dict, list, tuple)) else getattr(x, "__dict__", None)
        if inside is None or isinstance(x, (Tensor, type, FunctionType)) or is_module(x) or id(inside) in found:
            continue
        found[id(inside)] = inside
        stack += inside.values() if isinstance(inside, dict) else inside
    return list(found.values())


def _options(held: list[Any]) -> list[Tensor]:
    """The options of an optimizer's groups that are tensors, which a schedule fills."""
    groups = [x for x in held if isinstance(x, dict) and "params" in x]
    return [option for group in groups for option in group.values() if isinstance(option, Tensor)]


def _refill(containers: list[tuple[Any, Any]]) -> None:
    """Puts dictionaries and lists back to what they were copied as."""
    for x, before in containers:
        x.clear()
        (x.update if isinstance(x, dict) else x.extend)(before)


def _fill(options: list[Tensor], before: list[Tensor]) -> None:
    """Puts options that are tensors back to what they were."""
    with tape.no_grad():
        for option, was in zip(options, before):
            option.copy_(was)
