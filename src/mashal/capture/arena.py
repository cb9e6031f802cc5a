"""The arena: one block of memory for the buffers that nobody sees after the call, which share room where they can.

A buffer is needed from the first step that writes it to the last that reads it; a step's scratch memory while it runs. Those that
are never needed at once may lie in the same place.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import Any

from mashal.capture.fuse_choices import room_for
from mashal.capture.trail import MADE, Buffer, Step, Trail

__all__ = ["Lives", "aligned", "arranged", "lives", "used"]

_ALIGN = 64


def used(trail: Trail) -> list[Buffer]:
    """The buffers that steps read or write, in the order in which they are met."""
    return list(dict.fromkeys(v.buffer for step in trail.steps for v in (*step.written, *step.read)))


@dataclass
class Lives:
    """From which step to which each buffer of the arena is needed; scratch: where each step's scratch lies."""

    spans: dict[Buffer, tuple[int, int]]
    scratch: dict[int, int] = field(default_factory=dict)


def lives(trail: Trail, outliving: set[Buffer]) -> Lives:
    """When the buffers that nobody sees after the call are alive."""
    spans: dict[Buffer, tuple[int, int]] = {}
    for i, step in enumerate(trail.steps):
        if isinstance(step, Step) and not step.call.kernel:
            continue
        for v in (*step.written, *step.read):
            if v.buffer.source is MADE and v.buffer not in outliving:
                spans[v.buffer] = spans.get(v.buffer, (i, i))[0], i
    return Lives(spans)


def arranged(lives: Lives, trail: Trail) -> tuple[dict[Buffer, int], int]:
    """Places in the arena, and its size: the largest buffers first, each where nobody is at its time."""
    scratch = {
        i: step.call.scratch for i, step in enumerate(trail.steps) if isinstance(step, Step) and step.call.kernel
    }
    users: list[tuple[int, int, Any]] = [(start, stop, buffer) for buffer, (start, stop) in lives.spans.items()]
    users += [(i, i, i) for i, nbytes in scratch.items() if nbytes]  # first step, last step, buffer or number of a step
    sizes = room_for([scratch[who] if type(who) is int else max(who.nbytes, 1) for _, _, who in users])
    placed: list[tuple[int, int, int, int]] = []  # place, its end, first step, last step; in the order of places
    places: dict[Buffer, int] = {}
    size = 0
    for nbytes, (start, stop, who) in sorted(zip(sizes, users), key=lambda x: -x[0]):
        room = aligned(nbytes)
        place = 0
        for begin, end, first, last in placed:
            if first <= stop and start <= last and end > place:
                if place + room <= begin:
                    break
                place = end
        insort(placed, (place, place + room, start, stop))
        size = max(size, place + room)
        if isinstance(who, Buffer):
            places[who] = place
        else:
            lives.scratch[who] = place
    return places, size


def aligned(nbytes: int) -> int:
    """So many bytes that what follows them begins at a multiple of what the widest vectors ask for."""
    return -(-nbytes // _ALIGN) * _ALIGN
