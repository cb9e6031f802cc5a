"""Results that take the place of operands: a pointwise kernel may write where it reads for the last time.

Every element is read before it is written, so a result of the same size and strides as an operand that nobody needs any more
lies in the operand's memory: less is alive at once, and what is written is in the cache already. A result that outlives the call
has memory of its own; there the operand lies in the result's memory, from the beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mashal.capture.fuse_parts import Place
from mashal.capture.fuse_steps import Drawn
from mashal.capture.trail import MADE, Buffer, Step, UpdateStep, Value


def in_place(steps: Sequence[Any], pointwise: Sequence[Drawn | None], outliving: set[Buffer]) -> list[Any]:
    """The steps, some writing over their operands. pointwise: the nest of each step that is one."""
    first, last = _spans(steps)
    instead: dict[Buffer, Buffer] = {}
    in_results: dict[Buffer, Buffer] = {}
    done = []
    ours = lambda b: b.source is MADE and b not in outliving
    for i, (step, drawn) in enumerate(zip(steps, pointwise)):
        if drawn is not None:
            taken = {place.buffer for place in drawn.results}  # in place of which nothing else can be written
            for place in drawn.results:
                made = place.buffer
                if made.source is not MADE or first[made] != i or not _whole(place, step):
                    continue
                for o in drawn.operands:
                    over = instead.get(o.buffer, o.buffer)
                    dying = ours(o.buffer) and first[o.buffer] < i and last[o.buffer] == i
                    if (
                        dying
                        and not {o.buffer, over} & taken
                        and _same_room(o, place)
                        and sum(p.buffer is o.buffer for p in drawn.operands) == 1
                    ):
                        taken.add(over)
                        if made in outliving:
                            in_results[over] = made
                        else:
                            instead[made] = over
                        break
        done.append(_renamed(step, instead) if instead else step)
    return [_renamed(step, in_results) for step in done] if in_results else done


def _spans(steps: Sequence[Any]) -> tuple[dict[Buffer, int], dict[Buffer, int]]:
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for i, step in enumerate(steps):
        for v in (*step.written, *step.read):
            first.setdefault(v.buffer, i)
            last[v.buffer] = i
    return first, last


def _whole(place: Place, step: Step) -> bool:
    """Whether a place is all of its buffer."""
    value = next(v for v in step.written if v.buffer is place.buffer)
    return place.start == 0 and value.form.nbytes == place.buffer.nbytes


def _same_room(a: Place, b: Place) -> bool:
    return (
        a.start == b.start and a.strides == b.strides and a.dtype.itemsize == b.dtype.itemsize
        and a.buffer.nbytes == b.buffer.nbytes
    )  # fmt: skip


def _renamed(step: Any, instead: dict[Buffer, Buffer]) -> Any:
    def new(x: Any) -> Any:
        return Value(instead[x.buffer], x.offset, x.form) if isinstance(x, Value) and x.buffer in instead else x

    if isinstance(step, UpdateStep):
        return replace(step, lines=[tuple(map(new, line)) for line in step.lines])
    return replace(step, operands=tuple(map(new, step.operands)), results=tuple(map(new, step.results)))
