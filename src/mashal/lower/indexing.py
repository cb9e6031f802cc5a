"""Kernels that read or write where integer tensors say: x[…, i, j, …] for whole blocks of elements.

    words: target | source | indices (k) | B | sizes (k) | strides (k) | before: sizes, strides (p each) | after: sizes, strides (q each)

x is seen as (before…, picked…, after…): p dimensions, then k that are picked from by index tensors of B int64 each, then q
that are copied along. The other tensor is dense: (before…, B, after…) without gaps.

    take   dense = x[…]        put   x[…] = dense        add   x[…] += dense

Negative indices count from the end. One that is outside is reported as place · k + which; nothing else is wrong then.
Rows of a take are shared out; a put or add is shared out where no two threads meet: by what is before, and along after.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mashal.core.dtypes import dtype
from mashal.lower.emit import load_element, real_operation, store_element
from mashal.machine.host import HOST
from mashal.machine.text import SIZES, Function, Module, Value, vector
from mashal.machine.threads import PARALLEL_FOR

GRAIN = 1 << 14
SLICE = 256  # elements along `after` that a chunk of a put or add has at least


@dataclass(frozen=True)
class Blocks:
    """kind: take, put or add. k, p, q: the numbers of dimensions. unit: after's last stride is 1. one: the source is one element.

    wraps: negative indices count from the end.
    """

    kind: str
    dtype: dtype
    k: int
    p: int
    q: int
    unit: bool
    one: bool = False
    wraps: bool = True


def blocks(how: Blocks) -> Module:
    """The kernel for blocks at indices."""
    return _Writer(how).module


class _Words:
    """The kernel's words, read in one function."""

    def __init__(self, f: Function, words: Value, how: Blocks):
        k, p, q = how.k, how.p, how.q
        at = iter(range(2 + k, 2 + k + 1 + 2 * (k + p + q)))
        read: Callable[[int], list[Value]] = lambda n: [f.word(words, next(at)) for _ in range(n)]
        self.first, self.second = f.word(words, 0, "ptr"), f.word(words, 1, "ptr")
        self.indices = [f.word(words, 2 + i, "ptr") for i in range(k)]
        (self.places,) = read(1)
        self.sizes, self.strides = read(k), read(k)
        self.before, self.before_strides = read(p), read(p)
        self.after, self.after_strides = read(q), read(q)
        self.block, self.outer = product(f, self.after), product(f, self.before)


def product(f: Function, sizes: list[Value]) -> Value:
    """The product of sizes."""
    total = f.i64(1)
    for i, n in enumerate(sizes):
        total = total * n if i else n
    return total


def offset_of(f: Function, index: Value, sizes: list[Value], strides: list[Value]) -> Value:
    """The offset of an index that counts through all of these dimensions."""
    total = f.i64(0)
    for d in range(len(sizes) - 1, -1, -1):
        if d:
            following = f.op("i64", f"udiv i64 {index.spelling}, {sizes[d].spelling}")
            place, index = index - following * sizes[d], following
        else:
            place = index
        total = total + place * strides[d]
    return total


class _Writer:
    """Writes @kernel, @kernel_chunk and, in it, the loops over places and along blocks."""

    def __init__(self, how: Blocks):
        self.how, self.dtype = how, how.dtype
        self.lanes = HOST.lanes(SIZES[how.dtype.llvm])
        self.module = Module()
        (self._write_take_chunk if how.kind == "take" else self._write_put_chunk)()
        self._write_kernel()

    def _write_kernel(self) -> None:
        f = self.module.function("kernel", "i64", [("ptr", "words")])
        (words,) = f.parameters
        w = _Words(f, words, self.how)
        context = f.stack(16)
        f.set_word(context, 0, words)
        f.set_word(context, 1, -1)
        chunks = self._chunks(f, w)
        chunk = Value(f, "@kernel_chunk", "ptr")
        f.if_(
            chunks.compare("eq", 1),
            lambda: f.call("void", "kernel_chunk", context, 0, 0),
            lambda: f.call("void", PARALLEL_FOR, chunk, context, chunks),
        )
        f.end(f.word(context, 1))

    def _chunks(self, f: Function, w: _Words) -> Value:
        if self.how.kind == "take":
            rows = w.outer * w.places
            each = self._rows_each(f, w)
            return (rows + each - 1) // each
        small = (w.outer * w.places * w.block).compare("slt", GRAIN)
        return f.select(small, f.i64(1), w.outer * self._slices(f, w))

    def _rows_each(self, f: Function, w: _Words) -> Value:
        return f.max(f.i64(GRAIN) // w.block, 1)

    def _slices(self, f: Function, w: _Words) -> Value:
        """Pieces of after's last dimension."""
        if not self.how.q:
            return f.i64(1)
        return f.max(f.min(w.after[-1] // SLICE, 16), 1)

    def _chunk(self) -> tuple[Function, _Words, Value, Value]:
        f = self.module.function(
            "kernel_chunk", "void", [("ptr", "context"), ("i64", "chunk"), ("i64", "thread")], linkage="internal"
        )
        context, chunk, _ = f.parameters
        return f, _Words(f, f.word(context, 0, "ptr"), self.how), context, chunk

    # ---------------------------------------------------------------- who does what
    def _write_take_chunk(self) -> None:
        f, w, context, chunk = self._chunk()
        each = self._rows_each(f, w)
        start = chunk * each
        stop = f.min(start + each, w.outer * w.places)
        length = w.after[-1] if self.how.q else f.i64(1)

        def row(r: Value) -> None:
            outer = r // w.places if self.how.p else f.i64(0)
            place = r - outer * w.places if self.how.p else r
            x = self._at(f, w.second, offset_of(f, outer, w.before, w.before_strides))
            dense = self._at(f, w.first, r * w.block)
            self._picked(f, w, context, x, place, lambda block: self._block(f, w, block, dense, f.i64(0), length))

        f.loop(start, stop, 1, row)
        f.end()

    def _write_put_chunk(self) -> None:
        f, w, context, chunk = self._chunk()
        small = (w.outer * w.places * w.block).compare("slt", GRAIN)
        slices = f.select(small, f.i64(1), self._slices(f, w))
        first = f.select(small, f.i64(0), chunk // slices)
        last = f.select(small, w.outer, first + 1)
        length = w.after[-1] if self.how.q else f.i64(1)
        piece = (length + slices - 1) // slices
        begin = (chunk - chunk // slices * slices) * piece
        end = f.min(begin + piece, length)

        def outer(u: Value) -> None:
            x = self._at(f, w.first, offset_of(f, u, w.before, w.before_strides))

            def place(b: Value) -> None:
                dense = w.second if self.how.one else self._at(f, w.second, (u * w.places + b) * w.block)
                self._picked(f, w, context, x, b, lambda block: self._block(f, w, block, dense, begin, end))

            f.loop(0, w.places, 1, place)

        f.loop(first, last, 1, outer)
        f.end()

    def _at(self, f: Function, pointer: Value, offset: Value) -> Value:
        return f.at(pointer, offset, self.dtype.llvm)

    def _picked(
        self, f: Function, w: _Words, context: Value, x: Value, place: Value, then: Callable[[Value], None]
    ) -> None:
        """Goes on at the block that the indices of a place say, if they are all inside."""
        offset, good = f.i64(0), None
        for j, pointer in enumerate(w.indices):
            i = f.load(pointer, place, "i64")
            if self.how.wraps:
                i = f.select(i.compare("slt", 0), i + w.sizes[j], i)
            inside = i.compare("ult", w.sizes[j])
            f.if_(inside, None, lambda j=j: report(f, context, place * self.how.k + j))
            good = inside if good is None else good & inside
            offset = offset + i * w.strides[j]
        assert good is not None
        f.if_(good, lambda: then(self._at(f, x, offset)))

    # ---------------------------------------------------------------- blocks
    def _block(self, f: Function, w: _Words, x: Value, dense: Value, begin: Value, end: Value) -> None:
        """Elements begin to end of after's last dimension, for all indices of its others."""
        if not self.how.q:
            return self._elements(f, x, dense, f.i64(0), 0, None)
        sizes, strides = w.after[:-1], w.after_strides[:-1]
        if not sizes:
            return self._line(f, x, dense, w.after_strides[-1], begin, end)

        def line(r: Value) -> None:
            start = self._at(f, x, offset_of(f, r, sizes, strides))
            there = dense if self.how.one else self._at(f, dense, r * w.after[-1])
            self._line(f, start, there, w.after_strides[-1], begin, end)

        f.loop(0, product(f, sizes), 1, line)
        return None

    def _line(self, f: Function, x: Value, dense: Value, stride: Value, begin: Value, end: Value) -> None:
        if not self.how.unit:
            f.loop(begin, end, 1, lambda i: self._elements(f, self._at(f, x, i * stride), dense, i, 0, None))
            return
        n = self.lanes
        whole = begin + ((end - begin) & -n)
        some: Callable[..., None] = lambda i, n, mask: self._elements(f, self._at(f, x, i), dense, i, n, mask)
        f.loop(begin, whole, n, lambda i: some(i, n, None))
        if SIZES[self.dtype.llvm] >= 4:
            f.if_(whole.compare("slt", end), lambda: some(whole, n, f.first(end - whole, n)))
        else:
            f.loop(whole, end, 1, lambda i: some(i, 0, None))

    def _elements(self, f: Function, x: Value, dense: Value, i: Value, n: int, mask: Value | None) -> None:
        """n elements (0: one) at x, and at place i of the dense tensor."""
        d = self.dtype
        load: Callable[..., Any] = lambda pointer, at: f.load(pointer, at, vector(n, d.llvm), mask)
        if self.how.kind == "take":
            return f.store(load(x, 0), dense, i, mask)
        if self.how.kind == "put":
            value = f.load(dense, 0, d.llvm) if self.how.one else load(dense, i)
            return f.store(f.splat(value, n) if self.how.one and n else value, x, 0, mask)
        value = load_element(
            f, d, dense, 0 if self.how.one else i, 0 if self.how.one else n, None if self.how.one else mask
        )
        value = f.splat(value, n) if self.how.one and n else value
        return store_element(f, d, real_operation(f, "add", d, load_element(f, d, x, 0, n, mask), value), x, 0, mask)


def report(f: Function, context: Value, position: Value) -> None:
    """Notes a position at which an index is outside: the first one is what counts."""
    word = f.at(context, 1, "i64")
    f.op("i64", f"atomicrmw umin ptr {word.spelling}, i64 {position.spelling} monotonic")
