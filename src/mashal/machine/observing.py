"""Who watches while a call is recorded: what Python does to memory and tensors past the launcher.

`watch.recorder` is None but during a recording (capture.recorder). Those who do such things tell it (capture.told,
capture.stepping):

    address_taken(storage)      Python reads or writes a storage's memory
    born(storage)               Python has made a storage
    touch(tensor)               Python reads a tensor's slots past the kernels, or is about to change them (its grad)
    derived(tensor, made)       Python has made a tensor out of another one's slots
    replaces(tensor)            a tensor is about to see other memory
    looks_at_gradient(tensor)   Python asks for a tensor's grad
    lend(tensor)                a kernel is given a tensor's address as a number
    update(step)                an optimizer's kernel is to run: the recorder runs it
    takes_back(function)        what undoes a change past tensors, should the call raise
    walks(nodes)                backward begins at these nodes
    gives(node, gradients)      a node of backward has made the gradients of its operands
    unfinished(why)             what was made now is there already the next time, so a replay would differ
    relies(dictionary, *keys)   what results depend on besides tensors is read there, or about to be changed
    grant(truth)                a truth that may be taken for granted
    feed(function, *reads)      a number that Python computes anew in each call: a tensor that each replay fills
    may_choose(*indices)        whether tensors of one integer may choose a part by a kernel
    chooses(tensor, part)       a part, which would be a view, was chosen so: it is a copy
    repeat(function)            Python that a replay has to do again (a schedule's step)
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any


class _Watch(threading.local):
    """In each thread its own: what another thread does is none of a recording's."""

    recorder: Any = None


watch = _Watch()
changes = {"structure": object()}
"""Its entry is another object after every change of a module's attributes, an optimizer's groups and the like, so that
native code sees by one comparison that nothing of the kind has happened."""


def changed() -> None:
    """Notes that some module, optimizer or setting is not what it was."""
    changes["structure"] = object()


settings: list[Callable[[], Any]] = []
"""What results depend on besides their operands: each gives a setting as it is in this thread. Who sets one calls `changed`."""


def settings_now() -> tuple:
    """All settings, to be compared."""
    return tuple(setting() for setting in settings)


def number(function: Callable[[], float], *reads: Any) -> Any:
    """function(), a number that may be another one in each call. While a call is recorded, a float64 tensor of that number, which
    each replay fills anew. reads: what function reads; of tensors what is there when a call begins."""
    return function() if watch.recorder is None else watch.recorder.feed(function, *reads)


def repeated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Python that changes state outside tensors: a recording runs it unrecorded, and each replay runs it again."""

    @functools.wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        recorder = watch.recorder
        if recorder is None:
            return function(*args, **options)
        recorder.repeat(functools.partial(function, *args, **options))
        return recorder.aside(functools.partial(function, *args, **options))

    return run
