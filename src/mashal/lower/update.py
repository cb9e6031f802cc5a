"""A whole optimizer step as one kernel, from an update rule.

The kernel walks a table of addresses, one line a parameter, in rows of at most 16 Ki elements, so that one
call changes all parameters, each element read and written once. Its words:

    0 the table     a line a parameter: the address of each of the update's slots, then the values of its numbers
    1 the rows      (line, first element, elements) each
    2 rows   3 lines   4 elements in all   5… the options that are numbers, doubles

First every line's numbers (`step`) are read, kept in the table as doubles, and written anew; then the rows run, in parallel where
there is enough to do. What is the same for a whole row is computed once a row.
"""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import float64
from mashal.lang.expression import Expression, walk
from mashal.lang.update import Update
from mashal.lower.emit import Emitter, load_element, register_type, store_element
from mashal.machine import threads  # noqa: F401  (provides mashal_parallel_for)
from mashal.machine.host import HOST
from mashal.machine.jit import provide_from_process
from mashal.machine.text import Function, Module, Value

ROW = 1 << 14  # elements; 64 KiB of float32 a slot: long enough to stream, short enough to share out
PARALLEL = 1 << 15  # elements from which threads help
TABLE, ROWS, ROW_COUNT, LINES, ELEMENTS, SCALARS = range(6)

provide_from_process("pow")


def update_kernel(update: Update) -> Module:
    """The kernel of an update."""
    return _Writer(update).module


class _NumberEmitter(Emitter):
    """Numbers of a row or a line; their powers are the C library's, which are Python's."""

    def _compute(self, node: Expression) -> Any:
        if node.kind == "pow" and node.dtype is float64:
            return self.f.call("double", "pow", *map(self, node.operands))
        return super()._compute(node)


class _Writer:
    def __init__(self, update: Update):
        self.update = update
        self.numbers = [name for name in update.slots if name in update.numbers]
        self.width = len(update.slots) + len(self.numbers)
        self.module = Module()
        self._write_row()
        self._write_kernel()

    def number(self, f: Function, words: Value, line: Value) -> Emitter:
        """Computes expressions without elements, from the options and a line's numbers."""

        def leaf(node: Expression) -> Value:
            if node.value in self.update.scalars:
                return f.word(words, SCALARS + self.update.scalars.index(node.value), "double")
            return f.word(line, len(self.update.slots) + self.numbers.index(node.value), "double")

        return _NumberEmitter(f, 0, leaf)

    def _write_kernel(self) -> None:
        f = self.module.function("kernel", "i64", [("ptr", "words")])
        (words,) = f.parameters
        if self.numbers:
            table = f.word(words, TABLE, "ptr")
            f.loop(0, f.word(words, LINES), 1, lambda i: self._line(f, words, f.at(table, i * self.width, "i64")))
        run = Value(f, "@kernel_row", "ptr")
        rows = f.word(words, ROW_COUNT)

        def together():
            f.call("void", "mashal_parallel_for", run, words, rows)

        def alone():
            f.loop(0, rows, 1, lambda i: f.do(f"call void @kernel_row({words}, {i}, i64 0)"))

        f.if_(f.word(words, ELEMENTS).compare("sgt", PARALLEL), together, alone)
        f.end(f.i64(-1))

    def _line(self, f: Function, words: Value, line: Value) -> None:
        """Reads the numbers of one parameter into its line and writes the new ones."""
        slots, stored = self.update.slots, self.update.number_dtype
        for j, name in enumerate(self.numbers):
            old = f.load(f.word(line, slots.index(name), "ptr"), type=stored.llvm)
            old = old if stored is float64 else f.convert("fpext", old, "double")
            f.set_word(line, len(slots) + j, old)
        number = self.number(f, words, line)
        new = [number(self.update.results[slots.index(name)]) for name in self.numbers]  # type: ignore[arg-type]
        for name, value in zip(self.numbers, new):
            value = value if stored is float64 else f.convert("fptrunc", value, stored.llvm)
            f.store(value, f.word(line, slots.index(name), "ptr"))

    def _write_row(self) -> None:
        update, d = self.update, self.update.dtype
        parameters = [("ptr", "words"), ("i64", "chunk"), ("i64", "thread")]
        f = self.module.function("kernel_row", "void", parameters, linkage="internal")
        words, chunk, _ = f.parameters
        row = f.at(f.word(words, ROWS, "ptr"), chunk * 3, "i64")
        index, start, count = (f.word(row, i) for i in range(3))
        line = f.at(f.word(words, TABLE, "ptr"), index * self.width, "i64")
        elements = [i for i, name in enumerate(update.slots) if name not in update.numbers]
        data = {i: f.at(f.word(line, i, "ptr"), start, d.llvm) for i in elements}
        results = {i: e for i in elements if (e := update.results[i]) is not None}
        varying = _varying(results.values())
        number = self.number(f, words, line)
        for node in walk(results.values()):  # before the loops, whatever they need from outside
            if node in varying:
                for o in node.operands:
                    if o not in varying and o.kind != "constant":
                        number(o)

        def step(n: int):
            def at(i: Value) -> None:
                emit = Emitter(f, n, lambda node: load_element(f, d, data[node.value], i, n), varying, number)
                for k, value in [(k, emit(e)) for k, e in results.items()]:
                    store_element(f, d, value, data[k], i)

            return at

        lanes = HOST.lanes(8 if register_type(d) == "double" else 4)
        whole = count - (count & (lanes - 1))
        f.loop(0, whole, lanes, step(lanes))
        f.loop(whole, count, 1, step(0))
        f.end()


def _varying(roots: Any) -> set[Expression]:
    """The expressions in which an element occurs."""
    found: set[Expression] = set()
    for node in walk(roots):
        if node.kind == "operand" or any(o in found for o in node.operands):
            found.add(node)
    return found
