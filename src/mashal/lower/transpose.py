"""Copies in which one side is contiguous along one dimension and the other side along another: tiles of whole cache lines.

    words: out, in, sizes (rank), strides of out (rank), strides of in (rank)

The last two dimensions are (i, j): out is contiguous along j, in along i. A tile is read as vectors along i, transposed
in registers, and written as vectors along j: every line of memory is touched once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mashal.lower.pack import transpose
from mashal.machine.text import Function, Module, Value, vector
from mashal.machine.threads import PARALLEL_FOR

TYPES = {1: "i8", 2: "i16", 4: "i32", 8: "i64"}
SIDE = {1: 16, 2: 16, 4: 16, 8: 8}
BAND = 8  # tiles along i in one chunk


def transposed_dims(sizes: Sequence[int], out: Sequence[int], source: Sequence[int]) -> list[int] | None:
    """The order of dimensions in which the kernel walks, or None if it is not for these strides."""
    rank = len(sizes)
    if rank < 2 or out[-1] != 1 or source[-1] in (0, 1):
        return None
    i = next((d for d in range(rank - 1) if source[d] == 1 and sizes[d] >= 8), None)
    if i is None or sizes[-1] < 8:
        return None
    return [*(d for d in range(rank - 1) if d != i), i, rank - 1]


def transposing(size: int, rank: int) -> Module:
    """The kernel for elements of so many bytes."""
    return _Writer(size, rank).module


class _Writer:
    def __init__(self, size: int, rank: int):
        self.type, self.side, self.rank = TYPES[size], SIDE[size], rank
        self.module = Module()
        self._write_chunk()
        f = self.module.function("kernel", "i64", [("ptr", "words")])
        (words,) = f.parameters
        chunk = Value(f, "@kernel_chunk", "ptr")
        f.call("void", PARALLEL_FOR, chunk, words, self._outer(f, words) * self._bands(f, words))
        f.end(f.constant("i64", -1))

    def _size(self, f: Function, words: Value, d: int) -> Value:
        return f.word(words, 2 + d)

    def _stride(self, f: Function, words: Value, tensor: int, d: int) -> Value:
        return f.word(words, 2 + self.rank * (1 + tensor) + d)

    def _outer(self, f: Function, words: Value) -> Value:
        total = f.i64(1)
        for d in range(self.rank - 2):
            total = total * self._size(f, words, d) if d else self._size(f, words, d)
        return total

    def _bands(self, f: Function, words: Value) -> Value:
        rows = self.side * BAND
        return (self._size(f, words, self.rank - 2) + rows - 1) // rows

    def _write_chunk(self) -> None:
        f = self.module.function(
            "kernel_chunk", "void", [("ptr", "words"), ("i64", "chunk"), ("i64", "t")], linkage="internal"
        )
        words, chunk, _ = f.parameters
        bands = self._bands(f, words)
        outer = chunk // bands
        band = chunk - outer * bands
        out, source = self._starts(f, words, outer)
        n_i, n_j = (self._size(f, words, self.rank - k) for k in (2, 1))
        step_out = self._stride(f, words, 0, self.rank - 2)
        step_in = self._stride(f, words, 1, self.rank - 1)
        first = band * (self.side * BAND)
        last = f.min(first + self.side * BAND, n_i)
        whole_j = n_j & -self.side

        def strip(j: Value) -> None:
            whole_i = first + ((last - first) & -self.side)
            f.loop(first, whole_i, self.side, lambda i: self._tile(f, out, source, i, j, step_out, step_in))
            self._one_by_one(f, out, source, (whole_i, last), (j, j + self.side), step_out, step_in)

        f.loop(0, whole_j, self.side, strip)
        self._one_by_one(f, out, source, (first, last), (whole_j, n_j), step_out, step_in)
        f.end()

    def _starts(self, f: Function, words: Value, index: Value) -> tuple[Value, Value]:
        """Where out and in begin for an index of the outer dimensions taken as one."""
        pointers = [f.word(words, t, "ptr") for t in range(2)]
        for d in range(self.rank - 3, -1, -1):
            n = self._size(f, words, d)
            following = index // n
            place, index = index - following * n, following
            pointers = [f.at(p, place * self._stride(f, words, t, d), self.type) for t, p in enumerate(pointers)]
        return pointers[0], pointers[1]

    def _tile(
        self, f: Function, out: Value, source: Value, i: Value, j: Value, step_out: Value, step_in: Value
    ) -> None:
        type = vector(self.side, self.type)
        rows = [f.load(f.at(source, (j + k) * step_in + i, self.type), type=type) for k in range(self.side)]
        for k, column in enumerate(transpose(f, rows)):
            f.store(column, f.at(out, (i + k) * step_out + j, self.type))

    def _one_by_one(
        self,
        f: Function,
        out: Value,
        source: Value,
        rows: tuple[Any, Any],
        columns: tuple[Any, Any],
        step_out: Value,
        step_in: Value,
    ) -> None:
        def one(i: Value, j: Value) -> None:
            f.store(f.load(source, j * step_in + i, self.type), out, i * step_out + j)

        f.loop(rows[0], rows[1], 1, lambda i: f.loop(columns[0], columns[1], 1, lambda j: one(i, j)))
