"""Returning: the way back through a node that a recorded plan made, as one native call.

    gradients(node, g) -> the gradient of each operand, None where it is not wanted

A *gradient plan* takes what the node kept, compares versions, and calls a plan for each operand whose gradient is wanted. What is
not usual goes to a Python function: an operand changed in place, something that a hook has kept, a graph that was freed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mashal.machine.jit import JIT
from mashal.machine.launch import builtin
from mashal.machine.objects import Writer, member
from mashal.machine.recording import block_of
from mashal.machine.text import Function, Value

# members of __self__; after them for each operand a plan, and what is done to its result
_BLOCK, _TYPE, _OTHERWISE, _MEMBERS = range(4)


@dataclass(frozen=True)
class Part:
    """The gradient of one operand: plan(*operands), then `then` of its result, if given.

    operands: places among what the node kept, in the order of `saved`; after them stand the incoming gradient and the number 0. plan
    None: the operand itself.
    """

    plan: Callable[..., Any] | None
    operands: tuple[int, ...]
    then: Callable[..., Any] | None = None


class ReturningLayout:
    """Types of objects (with the slot version) and of nodes, compiled."""

    def __init__(self, type: type, node: type):
        self.type = type
        (self._address,) = JIT.functions(_Returner(type, node).module.text(), "return", ["_gradients"])

    def gradients(
        self, kept: Sequence[bool], parts: Sequence[Part | None], otherwise: Callable[..., Any]
    ) -> Callable[..., Any]:
        """gradients(node, g) -> one for each edge of the node, or None.

        kept: for each thing in `saved` whether it has a version (or is a number). parts: for each edge, None: no gradient.
        otherwise(node, g): the same by Python, where something is not usual.
        """
        words = [len(kept), len(parts), *map(int, kept)]
        callables: list[Any] = []
        for part in parts:
            operands = () if part is None else part.operands
            words += [len(operands), *operands, *(0,) * (len(kept) + 2 - len(operands))]
            callables += [None, None] if part is None else [part.plan, part.then]
        return builtin(self._address, "gradients", (block_of(words), self.type, otherwise, *callables))


class _Returner(Writer):
    """Writes the machine code for one type of objects and one of nodes."""

    def __init__(self, type: type, node: type):
        super().__init__("return")
        self.version = member(type, "version")
        self.node = {name: member(node, name) for name in ("edges", "saved")}
        self._write_part()
        self._write_gradients()

    def _write_gradients(self) -> None:
        f, (owner, args, n) = self.function("gradients", "ptr", "self args n")
        block = self.words(f, self.item(f, owner, _BLOCK))
        type = self.item(f, owner, _TYPE)
        node, g = f.load(args, 0, "ptr"), f.load(args, 1, "ptr")
        kept, edges = f.word(block, 0), f.word(block, 1)
        versioned = f.at(block, 2, "i64")
        parts = f.at(versioned, kept, "i64")
        saved = self.read(f, node, self.node["saved"])

        def otherwise() -> None:
            self.leave(f, self.vectorcall(f, self.item(f, owner, _OTHERWISE), args, n))

        def lost() -> None:
            f.call("void", "PyErr_Clear")
            otherwise()

        # a tuple of so many; what stands for a freed graph is none
        f.if_(f.call("i64", "PyTuple_Size", saved).compare("ne", kept * 2), lost)
        values = f.op("ptr", f"alloca ptr, i64 {(kept + 2).spelling}, align 16")
        operands = f.op("ptr", f"alloca ptr, i64 {(kept + 2).spelling}, align 16")

        def fetch(i: Value, good: Value) -> Value:
            value = self.item(f, saved, i * 2)
            f.store(value, values, i)
            check = lambda: self._unchanged(f, type, value, self.item(f, saved, i * 2 + 1))
            return good & f.if_(f.word(versioned, i).compare("ne", 0), check, lambda: f.i64(1))

        f.if_(f.loop(0, kept, 1, fetch, [f.i64(1)]).compare("eq", 0), otherwise)
        zero = self.number(f, 0)
        f.store(g, values, kept)
        f.store(zero, values, kept + 1)
        self.keep(f, saved)  # another thread may give it back meanwhile
        found = f.call("ptr", "PyTuple_New", edges)
        targets = self.read(f, node, self.node["edges"])

        def one(i: Value) -> None:
            part = f.at(parts, i * (kept + 3), "i64")
            unwanted = self.is_none(f, self.item(f, targets, i))

            def compute() -> Value:
                plan, then = self.item(f, owner, i * 2 + _MEMBERS), self.item(f, owner, i * 2 + (_MEMBERS + 1))
                return f.call("ptr", "return_part", part, plan, then, values, operands)

            gradient = f.if_(unwanted, lambda: self.another_none(f), compute)

            self.leave_if(f, self.is_null(f, gradient), gradient, found, zero, saved)
            self.put(f, found, i, gradient)

        f.loop(0, edges, 1, one)
        self.drop(f, zero, saved)
        f.end(found)

    def _unchanged(self, f: Function, type: Value, value: Value, version: Value) -> Value:
        """1 if something kept is of the type (nothing that a hook put there), and its data as it was; or it was not needed."""
        actual = self.type_of(f, value)

        def kin() -> Value:
            return f.convert("sext", f.call("i32", "PyType_IsSubtype", actual, type), "i64")

        def compare() -> Value:
            versions = self.read(f, value, self.version)

            def count() -> Value:
                now = f.call("i64", "PyLong_AsLongLong", f.call("ptr", "PyList_GetItem", versions, 0))
                then = f.call("i64", "PyLong_AsLongLong", version)
                return f.convert("zext", now.compare("eq", then), "i64")

            return f.if_(self.is_none(f, versions), lambda: f.i64(1), count)

        is_kin = f.if_(self.same(f, actual, type), lambda: f.i64(1), kin)
        there = lambda: f.if_(is_kin.compare("ne", 0), compare, lambda: f.i64(0))
        return f.if_(self.is_none(f, version), lambda: f.i64(1), there)

    def _write_part(self) -> None:
        """The gradient of one operand."""
        f, (part, plan, then, values, operands) = self.function("part", "ptr", "part plan then values operands", True)
        count = f.word(part, 0)
        f.loop(0, count, 1, lambda i: f.store(f.load(values, f.word(part, i + 1), "ptr"), operands, i))

        def pass_() -> Value:
            def first() -> Value:
                operand = f.load(operands, 0, "ptr")
                self.keep(f, operand)
                return operand

            return f.if_(count.compare("ne", 0), first, lambda: self.another_none(f))

        made = f.if_(self.is_none(f, plan), pass_, lambda: self.vectorcall(f, plan, operands, count))
        f.return_if(self.is_null(f, made), made)

        def go_on() -> Value:
            f.store(made, operands, 0)
            last = self.vectorcall(f, then, operands, 1)
            self.drop(f, made)
            return last

        f.end(f.if_(self.is_none(f, then), lambda: made, go_on))
