"""What a recording is, apart from its sizes: its outline, by which recordings of several sizes are compared (capture.growing)."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mashal.capture import answers
from mashal.capture.planning import whose_version
from mashal.capture.program import Program
from mashal.capture.recording import Recording
from mashal.capture.trail import CONSTANT, Step, Value, bits_of
from mashal.core.dtypes import int64
from mashal.core.forms import Form, form
from mashal.core.saved import FREED
from mashal.core.shapes import Size
from mashal.core.tape import AccumulateGrad
from mashal.core.tensor import Tensor
from mashal.machine import memory
from mashal.machine.launch import NUMBER
from mashal.machine.replay_tables import TENSOR, WORDS

MOST_MOVING = 1 << 15  # bytes of a constant whose elements are polynomials


@dataclass
class Outline:
    """A program as what must be the same for all sizes (`fixed`), and what is to be a polynomial (`words`).

    places: for each word the address where it stands in the program's own memory, and what is added to it there; 0 if nowhere.
    reals: which words stand there as float64. constants: of tensors that Python makes in the call, the bytes, where they are, and
    whether they are int64.
    """

    fixed: list[Any] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)
    reals: set[int] = field(default_factory=set)
    constants: list[tuple[bytes, int, bool]] = field(default_factory=list)
    tail: int = 0
    """How many words stand in the program's own memory; after them come those of its tables, of forms and of answers."""

    def add(self, word: int, place: int = 0, added: int = 0) -> None:
        self.words.append(word)
        self.places.append((place, added))

    def fits(self, other: Outline) -> bool:
        """Whether it may be the same program as another one, but for the words."""
        return (
            self.fixed == other.fixed
            and len(self.words) == len(other.words)
            and all(
                a[0][: len(b[0])] == b[0][: len(a[0])] or _may_move(a, b)
                for a, b in zip(self.constants, other.constants)
            )
        )

    def within(self, wide: Outline) -> bool:
        """Whether what is constant is there in a wider one, or can be set there."""
        return all(b[0].startswith(a[0]) or _may_move(a, b) for a, b in zip(self.constants, wide.constants))

    @property
    def contents(self) -> list[bytes]:
        """The bytes of the constants."""
        return [content for content, _, _ in self.constants]

    def with_constants(self, which: Iterable[int]) -> Outline:
        """The same with words for the elements of some constants."""
        words, places = list(self.words), list(self.places)
        for k in which:
            content, address, _ = self.constants[k]
            elements = struct.unpack(f"<{len(content) // 8}q", content)
            words += elements
            places += [(address + 8 * i, 0) for i in range(len(elements))]
        return replace(self, words=words, places=places)


def moving_in(outlines: Sequence[Outline], wide: Outline) -> list[int]:
    """Which constants have words, for they are not beginnings of the wide one's."""
    return [
        k for k, all_of in enumerate(wide.contents) if not all(all_of.startswith(of.contents[k]) for of in outlines)
    ]


def _may_move(a: tuple[bytes, int, bool], b: tuple[bytes, int, bool]) -> bool:
    return a[2] and b[2] and len(a[0]) == len(b[0]) <= MOST_MOVING


def outlines_of(recording: Recording, reals: bool = False) -> list[Outline]:
    """The outline of a recording, and that of its backward if it has one. reals: with the bits of all floats as words."""
    found = Outline()
    _outline_program(recording.program, found, reals)
    for part in recording.answers:
        _outline_answer(part, found)
    after = [_finish(finish) for finish in recording.after]
    stores = [place.name for place in recording.stores]
    found.fixed.append((recording.shape, len(recording.fixed), list(recording.picked), after, stores))
    return [found, *(_outline_backward(x.program, reals) for x in recording.after if isinstance(x, answers.Remembered))]


def _outline_backward(backward: Any, reals: bool) -> Outline:
    found = Outline()
    _outline_program(backward.program, found, reals)
    for of in backward.forms:
        found.fixed.append((of.dtype, of.device, of.rank))
        _outline_form(of, found)
    for part in backward.answers:
        _outline_answer(part, found)
    found.fixed.append(backward.sources)
    return found


def _finish(finish: Any) -> Any:
    """What is left to do after a replay, as something to compare."""
    if isinstance(finish, answers.Bumped):
        return finish
    if not isinstance(finish, answers.Remembered):
        return object()
    kept = [(type(answer), vars(answer), needed) for answer, needed in finish.kept]
    watched = [(whose_version(x), needed) for x, needed in finish.watched]
    ends = [end if type(end) is int else id(end) for end in finish.ends]
    return kept, watched, ends, finish.places, finish.results


def _outline_program(program: Program, found: Outline, reals: bool) -> None:
    tables, plan = program.tables, program.plan
    offsets = _places_of_offsets(program)
    buffers: dict[Any, int] = {}

    def point(value: Value, address: int) -> None:
        base, added = program._bases[value.buffer]
        buffer = value.buffer
        if buffer not in buffers:
            found.fixed.append((base, buffer.source))
            if buffer.source is CONSTANT:
                address_ = memory.address_of(buffer.capsule)
                whole = value.form.dtype is int64
                found.constants.append((ctypes.string_at(address_, buffer.nbytes), address_, whole))
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
            for k, (x, kind) in enumerate(zip(pointers, kinds)):
                if isinstance(x, Value):
                    point(x, address + 8 * k)
                elif kind == NUMBER and reals:
                    found.reals.add(len(found.words))
                    found.add(bits_of(float(x)), address + 8 * k)
                elif kind == NUMBER and _is_whole(float(x)):
                    found.reals.add(len(found.words))
                    found.fixed.append("a whole number")
                    found.add(int(x), address + 8 * k)
                elif kind == NUMBER:
                    found.fixed.append(float(x))
                else:
                    found.add(int(x), address + 8 * k)
            first = len(pointers) + bool(step.call.scratch)
            for k, word in enumerate(step.call.constants, first):
                found.add(word, address + 8 * k)
    found.tail = len(found.words)
    _outline_tables(program, found)


def _is_whole(x: float) -> bool:
    return x.is_integer() and abs(x) < 2**53 and str(x) != "-0.0"


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
        found.fixed.append((place, of.dtype, of.device, of.rank, _past(node)))
        found.add(offset)
        _outline_form(of, found)
    alike = [[id(capsule) for capsule, base in tables.storages if base not in _constants(program)]]
    alike += [[(id(x), of, base) for x, of, _, base in tables.gradients]]
    alike += [[row[:3] for row in tables.undo], [(id(x), i) for x, i in tables.leaves]]
    alike += [[(id(x), by) for x, by in tables.bumps], [(a, b, id(c)) for a, b, c in tables.apart]]
    alike += [
        tables.together,
        len(tables.slots),
        len(tables.entries),
        len(tables.items),
        tables.returned,
        tables.returns,
    ]
    found.fixed += alike


def _past(node: Any) -> list[Any]:
    """A result's history as something to compare. Of what backward went through in the call nothing is left but the names."""
    found: list[Any] = []
    numbers: dict[Any, int] = {}
    rest = [node]
    while rest:
        node = rest.pop()
        if node is None or node in numbers:
            found.append(numbers.get(node))
            continue
        numbers[node] = len(numbers)
        spent = node.saved is FREED
        inner = not isinstance(node, AccumulateGrad) and (spent or not node.saved)
        found.append(type(node) if inner else id(node))
        if inner and not spent:
            rest += [None if edge is None else edge[0] for edge in node.edges]
    return found


def _constants(program: Program) -> set[int]:
    return {base for buffer, (base, _) in program._bases.items() if buffer.source is CONSTANT}


def _outline_form(of: Form, found: Outline) -> None:
    for number in (*of.shape, *of.strides):
        found.add(number)


# ---------------------------------------------------------------- answers
def _outline_answer(part: Any, found: Outline) -> None:
    """A part of the answer: what `answer_at` takes from the words."""
    match part:
        case answers.Constant(Tensor() as value):
            found.fixed.append(id(value))
        case answers.Constant(Size() as value):
            found.fixed.append((Size, len(value)))
            for size in value:
                found.add(size)
        case answers.Constant(value) if type(value) is int:
            found.fixed.append(int)
            found.add(value)
        case answers.Constant(value):
            found.fixed.append((type(value), value))
        case answers.Further() | answers.Over() | answers.Seen():
            of = part.form
            like = getattr(part, "like", None)
            rest = [x for name, x in vars(part).items() if name not in ("form", "offset", "like")]
            found.fixed.append((type(part), rest, id(like), of.dtype, of.device, of.rank))
            found.add(part.offset)
            _outline_form(of, found)
        case answers.Made() | answers.Whole() | answers.Argument():
            found.fixed.append((type(part), vars(part)))
        case _:
            found.fixed.append(object())


def answer_at(part: Any, rest: Iterator[int]) -> Any:
    """A part of the answer as the next words say."""
    match part:
        case answers.Constant(Size() as value):
            return answers.Constant(Size([next(rest) for _ in value]))
        case answers.Constant(value) if type(value) is int:
            return answers.Constant(next(rest))
        case answers.Further() | answers.Over() | answers.Seen():
            offset = next(rest)
            return replace(part, offset=offset, form=form_at(part.form, rest))
    return part


def form_at(of: Form, rest: Iterator[int]) -> Form:
    """A form whose shape and strides are the next words."""
    shape, strides = (tuple([next(rest) for _ in range(of.rank)]) for _ in range(2))
    return form(of.dtype, of.device, shape, strides)
