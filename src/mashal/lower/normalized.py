"""The kernel of layer_norm's and rms_norm's gradients: all of them in one pass over the rows.

    words: gradient of x, of the weight[, of the bias] | g, x[, means], 1 / deviations, weight | scratch
           | rows, columns
    words of the one that adds: gradient of the weight[, of the bias] | grad of x, g, x … as above

With y = (x - mean) / deviation the gradient of x needs two sums over each row, those of weight and bias sums over each column.
Rows are cut into ranges, how many follows from the sizes only; each range adds its columns' sums up in its own memory
while a row is at hand, and in the end the ranges are added in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mashal.core.dtypes import dtype
from mashal.lower.emit import load_element, register_type, store_element
from mashal.machine.host import HOST
from mashal.machine.text import SIZES, Function, Module, Value, vector
from mashal.machine.threads import PARALLEL_FOR

MOST_PARTS = 64
ROWS_SHIFT, ELEMENTS_SHIFT = 4, 14  # a range has at least so many rows, and so many elements (powers of two)


def norm_gradients(d: dtype, of_weight: dtype, centered: bool, adds: bool) -> Module:
    """The kernel for rows of a dtype and a weight of another.

    centered: with means (and a bias). adds: the gradient of x is added to what is there, the first operand.
    """
    return _Writer(d, of_weight, centered, adds).module


def scratch_bytes(rows: int, columns: int) -> int:
    """What the kernel needs for the sums of all ranges."""
    parts = max(1, min(MOST_PARTS, rows >> ROWS_SHIFT, rows * columns >> ELEMENTS_SHIFT))
    return parts * 2 * columns * 8


class _Writer:
    def __init__(self, d: dtype, of_weight: dtype, centered: bool, adds: bool):
        self.d, self.of_weight, self.centered, self.adds = d, of_weight, centered, adds
        self.type = register_type(d)
        self.lanes = HOST.lanes(SIZES[self.type])
        self.vector = vector(self.lanes, self.type)
        self.module = Module()
        self._write_chunk()
        self._write_kernel()

    def _words(self, f: Function, words: Value) -> dict[str, Value]:
        of_parameters = ["dw", "db"][: 1 + self.centered]
        pointers = [
            *([*of_parameters, "dx"] if self.adds else ["dx", *of_parameters]),
            *["g", "x", *(["mean"] if self.centered else []), "root", "weight", "scratch"],
        ]
        names = [*pointers, "rows", "columns"]
        w = {name: f.word(words, i, "ptr" if name in pointers else "i64") for i, name in enumerate(names)}
        full = f.min(w["rows"] >> ROWS_SHIFT, w["rows"] * w["columns"] >> ELEMENTS_SHIFT)
        return {**w, "parts": f.max(1, f.min(MOST_PARTS, full))}

    def _write_kernel(self) -> None:
        f = self.module.function("kernel", "i64", [("ptr", "words")])
        (words,) = f.parameters
        w = self._words(f, words)
        f.call("void", PARALLEL_FOR, Value(f, "@kernel_chunk", "ptr"), words, w["parts"])
        columns = w["columns"]
        zero = f.constant(self.vector, 0.0)
        for result, first in (("dw", f.i64(0)), ("db", columns))[: 1 + self.centered]:

            def total(j: Value, mask: Any, result: str = result, first: Value = first) -> None:
                add = lambda q, so_far: so_far + f.load(w["scratch"], q * (columns * 2) + first + j, self.vector, mask)
                store_element(f, self.of_weight, f.loop(0, w["parts"], 1, add, [zero]), w[result], j, mask)

            self._sweep(f, columns, total)
        f.end(f.constant("i64", -1))

    def _write_chunk(self) -> None:
        parameters = [("ptr", "words"), ("i64", "chunk"), ("i64", "thread")]
        f = self.module.function("kernel_chunk", "void", parameters, linkage="internal")
        words, q, _ = f.parameters
        w = self._words(f, words)
        sums = f.at(w["scratch"], q * (w["columns"] * 2), self.type)
        zero = f.constant(self.vector, 0.0)
        self._sweep(f, w["columns"] * 2, lambda j, mask: f.store(zero, sums, j, mask))
        start, stop = q * w["rows"] / w["parts"], (q + 1) * w["rows"] / w["parts"]
        f.loop(start, stop, 1, lambda r: self._row(f, w, sums, r))
        f.end()

    def _row(self, f: Function, w: dict[str, Value], sums: Value, r: Value) -> None:
        n = w["columns"]
        g_row, x_row, dx_row = (f.at(w[name], r * n, self.d.llvm) for name in ("g", "x", "dx"))
        root = f.splat(load_element(f, self.d, w["root"], r, 0), self.lanes)
        mean = f.splat(load_element(f, self.d, w["mean"], r, 0), self.lanes) if self.centered else None

        def at(j: Value, mask: Any) -> tuple[Value, Value]:
            """g and y, 0 behind the row's end."""
            g = load_element(f, self.d, g_row, j, self.lanes, mask)
            x = load_element(f, self.d, x_row, j, self.lanes, mask)
            if mean is not None:
                x = x - mean if mask is None else f.select(mask, x - mean, 0.0)
            return g, x * root

        def gather(j: Value, mask: Any, *so_far: Value) -> list[Value]:
            """The row's sums of g·w·y and g·w, and its share of the columns' sums."""
            g, y = at(j, mask)
            f.store(f.fma(g, y, f.load(sums, j, self.vector, mask)), sums, j, mask)
            t = g * self._weight(f, w["weight"], j, mask)
            if not self.centered:
                return [f.fma(t, y, so_far[0])]
            f.store(g + f.load(sums, n + j, self.vector, mask), sums, n + j, mask)
            return [f.fma(t, y, so_far[0]), so_far[1] + t]

        found = self._sweep(f, n, gather, [f.constant(self.vector, 0.0)] * (1 + self.centered))
        length = f.convert("sitofp", n, self.type)
        shares = [f.splat(f.reduce("fadd", v) / length, self.lanes) for v in found]

        def give(j: Value, mask: Any) -> None:
            g, y = at(j, mask)
            v = g * self._weight(f, w["weight"], j, mask) - y * shares[0]
            v = v - shares[1] if self.centered else v
            v = v * root
            v = v + load_element(f, self.d, dx_row, j, self.lanes, mask) if self.adds else v
            store_element(f, self.d, v, dx_row, j, mask)

        self._sweep(f, n, give)

    def _weight(self, f: Function, weight: Value, j: Value, mask: Any) -> Value:
        wide, stored = load_element(f, self.of_weight, weight, j, self.lanes, mask), register_type(self.of_weight)
        return (
            wide if stored == self.type else f.convert("fpext" if self.type == "double" else "fptrunc", wide, self.type)
        )

    def _sweep(self, f: Function, n: Value, body: Callable[..., Any], initial: Sequence[Value] = ()) -> list[Value]:
        """carried = body(j, mask, *carried) for all vectors of n elements, the last one masked."""
        whole = n & -self.lanes
        now = _listed(f.loop(0, whole, self.lanes, lambda j, *c: body(j, None, *c), initial))
        mask = f.first(n - whole, self.lanes)
        return _listed(f.if_(whole.compare("slt", n), lambda: body(whole, mask, *now), lambda: now))


def _listed(v: Any) -> list[Value]:
    return [] if v is None else [v] if isinstance(v, Value) else list(v)
