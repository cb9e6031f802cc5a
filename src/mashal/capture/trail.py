"""The trail: what a recorded call did, kernel by kernel.

A `Buffer` is a storage that kernels read or write, a `Value` a tensor's place in one, a `Step` a kernel call. What a
buffer is from the call's point of view is its `source`:

    made         a kernel of the call makes it; later calls make it anew
    outside      it was there before: parameters, the tensors a closure holds, an operand of the call
    constant     Python wrote it during the call (`tensor([1, 2])`): the same in every call
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mashal.core.devices import CPU
from mashal.core.dtypes import uint8
from mashal.core.forms import Form, form
from mashal.lang.recipes import Recipe
from mashal.machine import jit, memory
from mashal.machine.launch import Call
from mashal.machine.text import Module

jit.provide_from_process("memcpy")

MADE, OUTSIDE, CONSTANT = "made", "outside", "constant"


class Buffer:
    """A storage. before: its bytes before the first change, if no kernel of the call made it.

    changed: whether the call changes what was there before; computed: whether a kernel of the call writes it.
    """

    __slots__ = ("before", "capsule", "changed", "computed", "nbytes", "number", "source")

    def __init__(self, number: int, capsule: Any, nbytes: int, source: str):
        self.number, self.capsule, self.nbytes, self.source = number, capsule, nbytes, source
        self.changed = self.computed = False
        self.before: bytes | None = None

    def __repr__(self) -> str:
        return f"b{self.number}({self.source}, {self.nbytes} bytes)"


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor: elements of a form in a buffer, from an offset in elements on."""

    buffer: Buffer
    offset: int
    form: Form

    @property
    def start(self) -> int:
        """Where it begins, in bytes."""
        return self.offset * self.form.dtype.itemsize

    @property
    def stop(self) -> int:
        """Where the bytes that it sees end."""
        return (self.offset + self.form.extent) * self.form.dtype.itemsize


@dataclass(eq=False)
class Step:
    """A kernel call. operands: values and numbers; the first `writes` of them are changed; results: values made.

    fails: whether the kernel may find an index out of range. name, place: where it comes from (capture.origins). parts: the steps
    that this one does together, if it is made of several.
    """

    call: Call
    operands: tuple[Any, ...]
    results: tuple[Value, ...]
    writes: int = 0
    fails: bool = False
    recipe: Recipe | None = None
    name: str = ""
    place: tuple[str, int] | None = None
    parts: tuple[Any, ...] = ()

    @property
    def read(self) -> list[Value]:
        """The values whose elements it reads (also those that it changes)."""
        return [x for x in self.operands if isinstance(x, Value)]

    @property
    def written(self) -> list[Value]:
        return [*self.results, *(x for x in self.operands[: self.writes] if isinstance(x, Value))]


@dataclass(eq=False)
class UpdateStep:
    """An optimizer's kernel.

    lines: for each parameter the values of its slots; states: (dictionary, name, tensor) that must stay; rows as in
    lower.update. fits: tells whether the optimizer still has the same groups and states; numbers: gives the options that
    are numbers at each call, None if others have changed; watched: (dictionary, key) from which they come; changed:
    which slots are written; results: the formulas of the slots' new values (lang.update.Update). given: of the numbers those that
    are tensors, which are read before a replay begins.
    """

    kernel: int
    lines: list[tuple[Value, ...]]
    states: list[tuple[dict, str, Any]]
    spare: int
    rows: list[tuple[int, int, int]]
    fits: Any
    numbers: Any
    watched: list[tuple[dict, str]]
    changed: tuple[bool, ...]
    results: tuple[Any, ...] = ()
    given: tuple[Value, ...] = ()
    name: str = ""
    place: tuple[str, int] | None = None
    fails: bool = False
    recipe: Recipe | None = None

    @property
    def read(self) -> list[Value]:
        return [v for line in self.lines for v in line]

    @property
    def written(self) -> list[Value]:
        return [v for line in self.lines for v, changed in zip(line, self.changed) if changed]

    @property
    def elements(self) -> int:
        return sum(count for _, _, count in self.rows)

    def words(self, table: Any, rows: Any, numbers: Sequence[Any] | None) -> list[int]:
        """What its kernel is given: a table of the lines' addresses, each followed by `spare` words, the rows, and numbers."""
        head = [ctypes.addressof(table), ctypes.addressof(rows), len(self.rows), len(self.lines), self.elements]
        return [*head, *(bits_of(float(x)) for x in numbers or ())]


def bits_of(x: float) -> int:
    """The word that a kernel reads as this number."""
    return struct.unpack("<q", struct.pack("<d", x))[0]


def is_stateful(step: Any) -> bool:
    """Whether a kernel has a state besides its tensors (the address of a random generator is among its operands)."""
    return isinstance(step, Step) and any(type(x) is int and abs(x) >= 1 << 32 for x in step.operands)


def note_computed(step: Step | UpdateStep) -> None:
    """Notes of the buffers that a step writes that a kernel of the call has."""
    for value in step.written:
        value.buffer.computed = True


def refilled(buffer: Buffer) -> Step:
    """A step that makes a constant anew, for a call that changes it; from then on a kernel of the call makes it."""
    assert buffer.before is not None
    storage = memory.new_storage(buffer.nbytes)
    ctypes.memmove(memory.address_of(storage), buffer.before, buffer.nbytes)
    kept = Buffer(-1, storage, buffer.nbytes, CONSTANT)
    buffer.source, buffer.capsule = MADE, None
    whole = form(uint8, CPU, (buffer.nbytes,))
    call = Call(jit.compile(_copy()), buffer.nbytes, 0, False, 0, (1,), (buffer.nbytes,), (buffer.nbytes,))
    return Step(call, (Value(kept, 0, whole),), (Value(buffer, 0, whole),), name="copy")


def _copy() -> Module:
    """words: result | operand | bytes"""
    module = Module()
    f = module.function("kernel", "i64", [("ptr", "words")])
    (words,) = f.parameters
    f.call("ptr", "memcpy", f.word(words, 0, "ptr"), f.word(words, 1, "ptr"), f.word(words, 2))
    f.end(f.i64(-1))
    return module


@dataclass(eq=False)
class Trail:
    """steps in the order in which they ran; buffers by number."""

    steps: list[Any] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)

    def __str__(self) -> str:
        """A line for each step: what it writes, its name, what it reads."""
        show = lambda values: ", ".join(f"b{v.buffer.number}[{v.offset}:]{tuple(v.form.shape)}" for v in values)
        return "\n".join(f"{show(step.written)} = {step.name or 'copy'}({show(step.read)})" for step in self.steps)
