"""Recording: what backward needs is noted by native code, in the same call that computes.

A *recorded plan* is a builtin around a plan. It calls the plan, and if an operand has a node (and the thread records, see
modes) makes the node of the result; some 0.1 us. The way back is in `returning`.

What is not usual goes to a Python function that was given for it: hooks on what is saved, anomaly mode, and the first
call, before it is known what backward needs.

Nothing here knows what a tensor or a node is, but where their slots lie. A node made here has

    edges     for each operand (its node, its output), or None
    saved     operand, its version, operand, its version … then the result's twin (the same data without history), 0, then
              the plan's other results, each with 0. Numbers are kept as they are; of an operand that only gradients need that
              nobody wants its form, None.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mashal.machine.jit import JIT, provide_from_process
from mashal.machine.launch import builtin, c_string
from mashal.machine.modes import NOT_RECORDING, PASSING
from mashal.machine.objects import Writer, member
from mashal.machine.text import Function, Value

provide_from_process("PyIter_Next", "PyList_GetItem")

_NODE_SLOTS = ("edges", "saved", "sequence", "hooks", "entry")

# words of a recorded plan's block, and members of its __self__
_OPERANDS, _EDGES, _KEPT, _KEEPS_RESULT, _RESULTS, _HEADER = range(6)
_BLOCK, _PLAN, _NODE, _ENTRY, _OTHERWISE, _NUMBERS, _MAKE = range(7)


@dataclass(frozen=True)
class Recording:
    """How the calls of a plan are recorded.

    node: the type of the node, None: always `otherwise`. entry: what the node's slot of that name refers to. tensors: for each
    operand whether it is an object with a node (or a number). edges: how many operands (the first ones) may get a gradient. kept: which
    operands the node keeps; needs: for each of these which operands' gradients need it, a bit each (-1: all); keeps_result: whether
    it keeps the result. results: how many the plan gives; the call returns the
    first, the node keeps the others. otherwise(result or tuple of results, *operands) records whatever is not usual.
    """

    node: type | None
    entry: Any
    tensors: tuple[bool, ...]
    edges: int
    kept: tuple[int, ...] = ()
    keeps_result: bool = False
    results: int = 1
    needs: tuple[int, ...] | None = None
    otherwise: Callable[..., None] = field(kw_only=True)


class RecordingLayout:
    """Types of objects (with the slots node, output, version, capsule, form) and of nodes, compiled."""

    def __init__(self, type: type, node: type, make: Callable[..., Any], numbers: Any):
        """make(storage, offset, form): a new object without history. numbers: an iterator of the nodes' numbers."""
        self._make, self._numbers = make, numbers
        (self._record,) = JIT.functions(_Recorder(type, node).module.text(), "record", ["_plan"])

    def recorded(self, plan: Callable[..., Any], how: Recording) -> Callable[..., Any]:
        """A plan whose calls are recorded."""
        words = [len(how.tensors), how.edges, len(how.kept), int(how.keeps_result), how.results]
        words += [*map(int, how.tensors), *how.kept, *(how.needs or [-1] * len(how.kept))]
        owner = block_of(words), plan, how.node, how.entry, how.otherwise, self._numbers, self._make
        return builtin(self._record, "recorded", owner)


def block_of(words: Sequence[int]) -> bytes:
    """Words as native code reads them."""
    return struct.pack(f"<{len(words)}q", *words)


class _Recorder(Writer):
    """Writes the machine code for one type of objects and one of nodes."""

    def __init__(self, type: type, node: type):
        super().__init__("record")
        self.slots = {name: member(type, name) for name in ("node", "output", "version", "capsule", "form")}
        self.node_slots = {name: member(node, name) for name in _NODE_SLOTS}
        self.module.add_global("PyExc_TypeError", "external global ptr")
        self.module.add_global("record_count", c_string("a recorded plan was given the wrong number of operands"))
        self._write_node()
        self._write_plan()

    # ---------------------------------------------------------------- recorded plans
    def _write_plan(self) -> None:
        f, (owner, args, n) = self.function("plan", "ptr", "self args n")
        block = self.words(f, self.item(f, owner, _BLOCK))
        good, bad = f.new_label(), f.new_label()
        f.branch_if(n.compare("eq", f.word(block, _OPERANDS)), good, bad)
        f.block(bad)
        error = f.load(Value(f, "@PyExc_TypeError", "ptr"), type="ptr")
        f.call("void", "PyErr_SetString", error, Value(f, "@record_count", "ptr"))
        f.do("ret ptr null")
        f.block(good)
        result = self.vectorcall(f, self.item(f, owner, _PLAN), args, n)
        f.return_if(self.is_null(f, result), result)
        several = f.word(block, _RESULTS).compare("ne", 1)
        first = f.if_(several, lambda: self.item(f, result, 0), lambda: result)
        tensors = f.at(block, _HEADER, "i64")

        def has_node(i: Value) -> Value:
            node = self.read(f, f.load(args, i, "ptr"), self.slots["node"])
            return f.convert("zext", self.differ(f, node, self.none(f)), "i64")

        def asks(i: Value, found: Value) -> Value:
            return found | f.if_(f.word(tensors, i).compare("ne", 0), lambda: has_node(i), lambda: f.i64(0))

        asked = f.loop(0, f.word(block, _EDGES), 1, asks, [f.i64(0)])
        modes = f.if_(asked.compare("ne", 0), lambda: f.call("i64", "mashal_modes"), lambda: f.i64(NOT_RECORDING))

        def note() -> None:
            node = self.item(f, owner, _NODE)
            unusual = self.any(f, (modes & ~PASSING).compare("ne", 0), self.is_none(f, node))
            status = f.if_(
                unusual,
                lambda: self._otherwise(f, owner, result, args, n),
                lambda: self._note(f, owner, result, first, args),
            )

            self.leave_if(f, status.compare("ne", 0), self.null(f), result)

        f.if_((modes & NOT_RECORDING).compare("eq", 0), note)

        def drop() -> None:
            self.keep(f, first)
            self.drop(f, result)

        f.if_(several, drop)
        f.end(first)

    def _otherwise(self, f: Function, owner: Value, result: Value, args: Value, n: Value) -> Value:
        """otherwise(result, *operands); whether it raised."""
        arguments = f.op("ptr", f"alloca ptr, i64 {(n + 1).spelling}, align 16")
        f.store(result, arguments, 0)
        f.loop(0, n, 1, lambda i: f.store(f.load(args, i, "ptr"), arguments, i + 1))
        answer = self.vectorcall(f, self.item(f, owner, _OTHERWISE), arguments, n + 1)
        raised = self.is_null(f, answer)
        f.if_(raised, None, lambda: self.drop(f, answer))
        return f.convert("zext", raised, "i64")

    def _note(self, f: Function, owner: Value, result: Value, first: Value, args: Value) -> Value:
        """Gives the result its node; whether that failed."""
        node = f.call("ptr", "record_node", owner, result, first, args)
        missing = self.is_null(f, node)

        f.if_(missing, None, lambda: self.give(f, first, self.slots["node"], node))
        return f.convert("zext", missing, "i64")

    def _write_node(self) -> None:
        """A new node for a call's result."""
        f, (owner, result, first, args) = self.function("node", "ptr", "owner result first args", internal=True)
        block = self.words(f, self.item(f, owner, _BLOCK))
        operands, edges, kept, keeps_result, results = (f.word(block, i) for i in range(_HEADER))
        tensors = f.at(block, _HEADER, "i64")
        places = f.at(tensors, operands, "i64")
        needs = f.at(places, kept, "i64")
        node = f.call("ptr", "PyType_GenericAlloc", self.item(f, owner, _NODE), 0)
        f.return_if(self.is_null(f, node), node)
        to = f.call("ptr", "PyTuple_New", edges)

        def edge(i: Value, wanted: Value) -> Value:
            self._put_edge(f, to, i, f.word(tensors, i), f.load(args, i, "ptr"))
            there = f.convert("zext", self.differ(f, self.item(f, to, i), self.none(f)), "i64")
            return wanted | (there << (i & 63))

        wanted = f.loop(0, edges, 1, edge, [f.i64(0)])
        n_saved = kept + keeps_result + results - 1
        saved = f.call("ptr", "PyTuple_New", n_saved * 2)

        def keep(i: Value) -> None:
            place = f.word(places, i)
            operand = f.load(args, place, "ptr")
            tensor = f.word(tensors, place)

            def whole() -> None:
                version = f.if_(tensor.compare("ne", 0), lambda: self._version(f, operand), lambda: self.number(f, 0))
                self.put_borrowed(f, saved, i * 2, operand)
                self.put(f, saved, i * 2 + 1, version)

            def form() -> None:
                self.put_borrowed(f, saved, i * 2, self.read(f, operand, self.slots["form"]))
                self.put(f, saved, i * 2 + 1, self.another_none(f))

            needed = (f.word(needs, i) & wanted).compare("ne", 0)
            f.if_(self.any(f, needed, tensor.compare("eq", 0)), whole, form)

        def keep_other(i: Value) -> None:
            at = (n_saved - results + i) * 2
            self.put_borrowed(f, saved, at, self.item(f, result, i))
            self.put(f, saved, at + 1, self.number(f, 0))

        f.loop(0, kept, 1, keep)
        f.if_(keeps_result.compare("ne", 0), lambda: self._keep_twin(f, saved, kept, owner, first))
        f.loop(1, results, 1, keep_other)
        number = f.call("ptr", "PyIter_Next", self.item(f, owner, _NUMBERS))
        entry = self.item(f, owner, _ENTRY)
        self.keep(f, entry)
        self.keep(f, self.none(f))
        for name, value in zip(_NODE_SLOTS, (to, saved, number, self.none(f), entry)):
            f.store(value, f.at(node, self.node_slots[name], "i8"))
        f.end(node)

    def _put_edge(self, f: Function, to: Value, i: Value, tensor: Value, operand: Value) -> None:
        """to[i] = (node, output) of an operand, or None."""

        def edge() -> Value:
            node = self.read(f, operand, self.slots["node"])

            def pair() -> Value:
                made = f.call("ptr", "PyTuple_New", 2)
                self.put_borrowed(f, made, 0, node)
                self.put_borrowed(f, made, 1, self.read(f, operand, self.slots["output"]))
                return made

            return f.if_(self.is_none(f, node), nothing, pair)

        nothing = lambda: self.another_none(f)
        self.put(f, to, i, f.if_(tensor.compare("ne", 0), edge, nothing))

    def _version(self, f: Function, operand: Value) -> Value:
        """How often the operand's data has been changed, as a new reference."""
        versions = self.read(f, operand, self.slots["version"])

        def count() -> Value:
            number = f.call("ptr", "PyList_GetItem", versions, 0)
            self.keep(f, number)
            return number

        return f.if_(self.is_none(f, versions), lambda: self.number(f, 0), count)

    def _keep_twin(self, f: Function, saved: Value, kept: Value, owner: Value, first: Value) -> None:
        """Puts the result's data, without history, behind the operands that were kept."""
        arguments = f.stack(3 * 8, 16)
        zero = self.number(f, 0)
        f.store(self.read(f, first, self.slots["capsule"]), arguments, 0)
        f.store(zero, arguments, 1)
        f.store(self.read(f, first, self.slots["form"]), arguments, 2)
        self.put(f, saved, kept * 2, self.vectorcall(f, self.item(f, owner, _MAKE), arguments, 3))
        self.put(f, saved, kept * 2 + 1, zero)
