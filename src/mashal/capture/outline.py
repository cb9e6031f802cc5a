"""What a recording is, apart from its sizes: its outline, by which recordings of several sizes are compared (capture.growing)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mashal.capture import answers
from mashal.capture.program import Program
from mashal.capture.recording import Recording
from mashal.capture.trail import CONSTANT, Step, Value
from mashal.core.forms import Form
from mashal.core.saved import FREED
from mashal.core.tensor import Tensor
from mashal.machine import memory
from mashal.machine.launch import NUMBER
from mashal.machine.replay_tables import TENSOR, WORDS


@dataclass
class Outline:
    """A program as what must be the same for every n (`fixed`), what is to be a polynomial (`words`), and what the widest has most of.

    places: for each word the address where it stands in the program's own memory, and what is added to it there; 0 if nowhere.
    constants: the bytes of tensors that Python makes in the call.
    """

    fixed: list[Any] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)
    constants: list[bytes] = field(default_factory=list)
    room: list[int] = field(default_factory=list)
    tail: int = 0
    """How many words stand in the program's own memory; after them come those of its tables."""

    def add(self, word: int, place: int = 0, added: int = 0) -> None:
        self.words.append(word)
        self.places.append((place, added))

    def fits(self, wide: Outline) -> bool:
        """Whether it may be the same program as a wider one, but for the words."""
        return (
            self.fixed == wide.fixed
            and len(self.words) == len(wide.words)
            and all(a <= b for a, b in zip(self.room, wide.room))
            and all(b.startswith(a) for a, b in zip(self.constants, wide.constants))
        )


def outline(recording: Recording) -> Outline:
    program, found = recording.program, Outline()
    tables, plan = program.tables, program.plan
    offsets = _places_of_offsets(program)
    buffers: dict[Any, int] = {}

    def point(value: Value, address: int) -> None:
        base, added = program._bases[value.buffer]
        buffer = value.buffer
        if buffer not in buffers:
            found.fixed.append((base, buffer.source))
            found.room.append(buffer.nbytes)
            if buffer.source is CONSTANT:
                found.constants.append(ctypes.string_at(memory.address_of(buffer.capsule), buffer.nbytes))
        found.fixed.append(buffers.setdefault(buffer, len(buffers)))
        place = 0 if base else added  # where a buffer lies in the arena is the widest recording's affair
        found.add(value.start + added - place, offsets[address], place)

    launches = iter(tables.launches)
    for step in plan.trail.steps:
        if not isinstance(step, Step):
            _outline_update(step, next(launches), point, found)
        elif step.call.kernel:
            kernel, address = next(launches)
            pointers = [*step.results, *step.operands]
            kinds = [*[1] * len(step.results), *step.call.kinds]
            found.fixed.append((kernel, len(step.call.constants), tuple(kinds)))
            found.room.append(step.call.scratch)
            for k, (x, kind) in enumerate(zip(pointers, kinds)):
                if isinstance(x, Value):
                    point(x, address + 8 * k)
                elif kind == NUMBER:
                    found.fixed.append(float(x))
                else:
                    found.add(int(x), address + 8 * k)
            first = len(pointers) + bool(step.call.scratch)
            for k, word in enumerate(step.call.constants, first):
                found.add(word, address + 8 * k)
    found.tail = len(found.words)
    _outline_tables(program, found)
    found.fixed.append((recording.shape, [_constant(part) for part in recording.answers], len(recording.fixed)))
    return found


def _places_of_offsets(program: Program) -> dict[int, int]:
    """For the address of each word that points somewhere, that of its offset in the replay's table."""
    rows = program.tables.words["bases"]
    width = WORDS["bases"]
    return {
        address: rows[width * base + 1] + 16 * i + 8
        for base, patches in enumerate(program._patches)
        for i, (address, _) in enumerate(patches)
    }


def _outline_update(step: Any, launch: tuple[int, int], point: Callable[[Value, int], None], found: Outline) -> None:
    """An optimizer's step: nothing of it may depend on n."""
    kernel, address = launch
    table = ctypes.c_int64.from_address(address).value
    width = len(step.lines[0]) + step.spare
    found.fixed.append((kernel, width, tuple(step.rows), step.changed))
    for i, line in enumerate(step.lines):
        for k, value in enumerate(line):
            found.fixed.append(value.form)
            point(value, table + 8 * (i * width + k))


def _outline_tables(program: Program, found: Outline) -> None:
    tables = program.tables
    for row in tables.operands:
        if row[0] == TENSOR:
            _, of, *rest = row
            found.fixed.append((of.dtype, of.device, of.rank, *rest))
            _outline_form(of, found)
        else:
            found.fixed.append(id(row[1]))
    for nbytes, base, owner, of in tables.blocks:
        found.fixed.append((base, id(owner), of.dtype, of.device, of.rank))
        found.add(nbytes)
        _outline_form(of, found)
    for place, of, offset, node in tables.results:
        found.fixed.append((place, of.dtype, of.device, of.rank, type(node) if _is_spent(node) else id(node)))
        found.add(offset)
        _outline_form(of, found)
    alike = [[id(capsule) for capsule, base in tables.storages if base not in _constants(program)]]
    alike += [[(id(x), of, base) for x, of, _, base in tables.gradients]]
    alike += [[row[:3] for row in tables.undo], [(id(x), i) for x, i in tables.leaves]]
    alike += [[(id(x), by) for x, by in tables.bumps], [(a, b, id(c)) for a, b, c in tables.apart]]
    alike += [tables.together, len(tables.slots), len(tables.entries), tables.returned, tables.returns]
    found.fixed += alike


def _is_spent(node: Any) -> bool:
    """Whether backward went through a result's node in the call: nothing is left of it but its name."""
    return node is not None and node.saved is FREED


def _constants(program: Program) -> set[int]:
    return {base for buffer, (base, _) in program._bases.items() if buffer.source is CONSTANT}


def _outline_form(of: Form, found: Outline) -> None:
    for number in (*of.shape, *of.strides):
        found.add(number)


def _constant(part: Any) -> Any:
    """A part of the answer as something to compare; None for what has a form of its own."""
    if isinstance(part, answers.Constant):
        return "constant", part.value if not isinstance(part.value, Tensor) else id(part.value)
    return (type(part), *vars(part).values()) if isinstance(part, _PLACES) else object()


_PLACES = answers.Made, answers.Whole, answers.Argument
