"""Kernels of pointwise nests: one pass over memory, whatever the layout.

    words: results' pointers | operands (pointers, numbers) | n                                  all side by side
    words: results' pointers | operands | sizes (rank) | strides of results, of tensor operands (rank each)

The innermost dimension has the lanes; its last, partial vector is masked. Above `GRAIN` elements (fewer, if
each costs much) the elements or the outer dimensions are shared out in chunks, whose size depends on nothing but sizes.
"""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import dtype
from mashal.lang.expression import Expression, walk
from mashal.lang.nest import Nest
from mashal.lower.emit import Emitter, gather_element, load_element, register_type, scatter_element, store_element
from mashal.lower.schedule import ANY, UNIT, ZERO, Layout
from mashal.machine.host import HOST
from mashal.machine.text import SIZES, Function, Module, Value, vector
from mashal.machine.threads import PARALLEL_FOR

GRAIN = 1 << 15
MASKED_FROM = 100  # weight of an element; masked stores take three times as long where whole lines go to memory
CHEAP = {"add", "sub", "mul", "neg", "and", "or", "xor", "not", "cast", "select", "min", "max", "abs", "operand", "scalar",
          "constant", "lt", "le", "gt", "ge", "eq", "ne", "shl", "shr", "fma", "conj", "real", "imag", "complex"}  # fmt: skip


def pointwise(nest: Nest, layout: Layout) -> Module:
    """The kernel of a nest for operands that lie in a given way."""
    return _Writer(nest, layout).module


def weight(nest: Nest) -> int:
    """How much one element costs, in units of an addition."""
    return 1 + sum(8 for node in walk(e for e, _ in nest.results) if node.kind not in CHEAP)


def lanes_of(nest: Nest) -> int:
    """Elements in a vector: as many of the widest type met as a register holds."""
    widest = max(SIZES[register_type(node.dtype)] for node in walk(e for e, _ in nest.results))
    stored = max(SIZES[d.llvm] for _, d in nest.results)
    return min(64, HOST.lanes(max(widest, stored)))


def number_word(f: Function, words: Value, n_results: int, node: Expression) -> Value:
    """The value of an operand that is a number."""
    d = node.dtype
    if d.kind == "f":
        x = f.word(words, n_results + node.value, "double")
        return x if d.itemsize == 8 else f.convert("fptrunc", x, "float")
    x = f.word(words, n_results + node.value)
    if d.kind == "b":
        return x.compare("ne", 0)
    return x if d.itemsize == 8 else f.convert("trunc", x, d.llvm)


class _Writer:
    """Writes @kernel (decides whether to share out), @kernel_chunk (one share) and @kernel_run (the loops)."""

    def __init__(self, nest: Nest, layout: Layout):
        self.nest, self.layout = nest, layout
        self.lanes = lanes_of(nest)
        self.flat = layout.rank == 1 and ANY not in layout.modes
        self.grain = GRAIN // weight(nest)
        self.n_results, self.n_operands = len(nest.results), len(nest.operands)
        self.first = self.n_results + self.n_operands  # word of the sizes
        self.tensors = [
            *range(self.n_results),
            *(self.n_results + i for i, o in enumerate(nest.operands) if not o.number),
        ]
        self.module = Module()
        self._write_run()
        self._write_chunk()
        self._write_kernel()

    # ---------------------------------------------------------------- sharing out
    def _units(self, f: Function, words: Value) -> tuple[Value, Value]:
        """How many steps the outermost loop has, and how many elements each stands for."""
        sizes = [f.word(words, self.first + d) for d in range(self.layout.rank)]
        if self.layout.rank == 1:
            return sizes[0], f.i64(1)
        outer = sizes[0]
        for n in sizes[1:-1]:
            outer = outer * n
        return outer, sizes[-1]

    def _share(self, f: Function, each: Value) -> Value:
        """Steps in a chunk: about half a grain of elements, whole cache lines."""
        if self.layout.rank == 1:
            return f.i64(max(self.grain // 2, 1024))
        return f.max(f.i64(self.grain // 2) // each, 1)

    def _write_kernel(self) -> None:
        f = self.module.function("kernel", "i64", [("ptr", "words")])
        (words,) = f.parameters
        units, each = self._units(f, words)

        def together():
            step = self._share(f, each)
            chunk = Value(f, "@kernel_chunk", "ptr")
            f.call("void", PARALLEL_FOR, chunk, words, (units + step - 1) // step)

        f.if_(
            (units * each).compare("sgt", self.grain), together, lambda: f.call("void", "kernel_run", words, 0, units)
        )
        f.end(f.constant("i64", -1))

    def _write_chunk(self) -> None:
        f = self.module.function(
            "kernel_chunk", "void", [("ptr", "words"), ("i64", "chunk"), ("i64", "thread")], linkage="internal"
        )
        words, chunk, _ = f.parameters
        units, each = self._units(f, words)
        step = self._share(f, each)
        start = chunk * step
        f.call("void", "kernel_run", words, start, f.min(start + step, units))
        f.end()

    # ---------------------------------------------------------------- the loops
    def _write_run(self) -> None:
        f = self.module.function(
            "kernel_run", "void", [("ptr", "words"), ("i64", "start"), ("i64", "stop")], linkage="internal"
        )
        words, start, stop = f.parameters
        pointers = {t: f.word(words, t, "ptr") for t in self.tensors}
        invariant = Emitter(f, 0, lambda node: number_word(f, words, self.n_results, node))
        if self.layout.rank == 1:
            strides = {t: f.i64(1) for t in self.tensors} if self.flat else self._inner_strides(f, words)
            self._row(f, pointers, strides, invariant, start, stop)
        else:
            self._outer(f, words, pointers, invariant, start, stop)
        f.end()

    def _stride_word(self, tensor: int, dim: int) -> int:
        return self.first + self.layout.rank * (1 + self.tensors.index(tensor)) + dim

    def _inner_strides(self, f: Function, words: Value) -> dict[int, Value]:
        last = self.layout.rank - 1
        return {t: f.word(words, self._stride_word(t, last)) for t in self.tensors}

    def _outer(self, f: Function, words: Value, pointers: dict, invariant: Emitter, start: Value, stop: Value) -> None:
        """Rows start to stop of the outer dimensions taken as one; each begins where its index in every dimension says."""
        rank = self.layout.rank
        sizes = [f.word(words, self.first + d) for d in range(rank)]
        strides = {(t, d): f.word(words, self._stride_word(t, d)) for t in self.tensors for d in range(rank)}
        inner = {t: strides[t, rank - 1] for t in self.tensors}

        def row(r):
            offsets: dict[int, Any] = dict.fromkeys(self.tensors)
            left = r
            for d in range(rank - 2, -1, -1):
                if d:
                    following = f.op("i64", f"udiv i64 {left.spelling}, {sizes[d].spelling}")
                    index, left = left - following * sizes[d], following
                else:
                    index = left
                for t in self.tensors:
                    part = index * strides[t, d]
                    offsets[t] = part if offsets[t] is None else offsets[t] + part
            begin = {t: f.at(pointers[t], offsets[t] * self._parts(t), self._dtype(t).llvm) for t in self.tensors}
            self._row(f, begin, inner, invariant, f.i64(0), sizes[-1])

        f.loop(start, stop, 1, row)

    def _dtype(self, tensor: int) -> dtype:
        return (
            self.nest.results[tensor][1]
            if tensor < self.n_results
            else self.nest.operands[tensor - self.n_results].dtype
        )

    def _parts(self, tensor: int) -> int:
        return 2 if self._dtype(tensor).is_complex else 1

    def _row(self, f: Function, pointers: dict, strides: dict, invariant: Emitter, start: Value, stop: Value) -> None:
        """Elements start to stop along the innermost dimension."""
        n = self.lanes
        once = self._broadcast(f, pointers, invariant)
        whole = start + ((stop - start) & -n)

        def some(i: Value, mask: Value | None) -> None:
            emitter = Emitter(f, n, lambda node: self._element(f, node, once, pointers, strides, i, mask))
            values = [
                emitter(e) for e, _ in self.nest.results
            ]  # all is read before anything is written: results may be operands
            for r, ((_, stored), v) in enumerate(zip(self.nest.results, values)):
                if self.layout.modes[r] == ANY:
                    scatter_element(f, stored, v, pointers[r], self._offsets(f, strides[r], i), self._full(f, mask))
                else:
                    store_element(f, stored, v, pointers[r], i, mask)

        if weight(self.nest) > MASKED_FROM:  # so much code that one copy, always masked, has to do
            return f.loop(start, stop, n, lambda i: some(i, f.first(stop - i, n)))
        f.loop(start, whole, n, lambda i: some(i, None))
        f.if_(whole.compare("slt", stop), lambda: some(whole, f.first(stop - whole, n)))

    def _broadcast(self, f: Function, pointers: dict, invariant: Emitter) -> dict[int, Any]:
        """Operands that are one element for the whole row, loaded once."""
        once = {}
        for node in walk(e for e, _ in self.nest.results):
            t = self.n_results + (node.value if node.kind in ("operand", "scalar") else 0)
            if node.kind == "scalar":
                once[t] = invariant(node)
            elif node.kind == "operand" and self.layout.modes[self.tensors.index(t)] == ZERO:
                once[t] = load_element(f, node.dtype, pointers[t], 0, 0)
        return once

    def _element(
        self, f: Function, node: Expression, once: dict, pointers: dict, strides: dict, i: Value, mask: Value | None
    ) -> Any:
        t = self.n_results + node.value
        if t in once:
            return once[t]
        if self.layout.modes[self.tensors.index(t)] == UNIT:
            return load_element(f, node.dtype, pointers[t], i, self.lanes, mask)
        return gather_element(f, node.dtype, pointers[t], self._offsets(f, strides[t], i), self._full(f, mask))

    def _offsets(self, f: Function, stride: Value, i: Value) -> Value:
        n = self.lanes
        places = f.splat(i, n) + f.constant(vector(n, "i64"), list(range(n)))
        return places * f.splat(stride, n)

    def _full(self, f: Function, mask: Value | None) -> Value:
        return f.first(f.i64(self.lanes), self.lanes) if mask is None else mask
