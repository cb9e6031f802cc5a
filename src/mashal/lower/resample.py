"""Kernels that resample along one dimension: each result is a weighted sum of neighbouring elements.

    words: y | x, starts, counts, weights, divisors | outer, n, m, inner, taps, first, last

x is (outer, n, inner), y is (outer, m, inner), both without gaps. Result j is Σ over k < counts[j] of
weights[j, k] · x[starts[j] + k], divided by divisors[j]; starts and counts are int64. The weights lie as (m, taps)
where inner is above 1: then the lanes are along inner. Else they lie as (taps, m) and the lanes are along m; results from
`first` to `last` begin at every step-th element and have all taps, so for steps of 1 and 2 they need no gathers.

Averages over windows, interpolation and the gradients of both are made of these, a dimension at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mashal.core.dtypes import dtype
from mashal.lower.emit import gather_element, load_element, register_type, store_element
from mashal.machine.host import HOST
from mashal.machine.text import SIZES, Function, Module, Value, vector
from mashal.machine.threads import PARALLEL_FOR

GRAIN = 1 << 15  # multiplications of a chunk
_BLOCK = 4  # vectors that share a tap's weight


@dataclass(frozen=True)
class Resampling:
    """dtype; beside: whether the lanes are along the elements beside the dimension (inner above 1); weighted, divided:
    whether there are weights and divisors; step: of regular results, 0 if there are none."""

    dtype: dtype
    beside: bool
    weighted: bool
    divided: bool
    step: int


def resample(how: Resampling) -> Module:
    """The kernel."""
    return _Writer(how).module


class _Writer:
    def __init__(self, how: Resampling):
        self.how, self.d = how, how.dtype
        self.type = register_type(how.dtype)
        self.lanes = min(HOST.lanes(SIZES[self.type]), HOST.lanes(4))
        self.module = Module()
        parameters = [("ptr", "words"), ("i64", "chunk"), ("i64", "thread")]
        f = self.module.function("kernel_chunk", "void", parameters, linkage="internal")
        words, chunk, _ = f.parameters
        w = self._words(f, words)
        rows = self._rows(w)
        each = self._each(f, w)
        start = chunk * each
        row = self._row_beside if how.beside else self._row_along
        f.loop(start, f.min(start + each, rows), 1, lambda r: row(f, w, r))
        f.end()
        f = self.module.function("kernel", "i64", [("ptr", "words")])
        (words,) = f.parameters
        w = self._words(f, words)
        each = self._each(f, w)
        chunks = (self._rows(w) + each - 1) / each
        f.call("void", PARALLEL_FOR, Value(f, "@kernel_chunk", "ptr"), words, chunks)
        f.end(f.constant("i64", -1))

    def _words(self, f: Function, words: Value) -> dict[str, Value]:
        pointers = ["y", "x", "starts", "counts", "weights", "divisors"]
        names = [*pointers, "outer", "n", "m", "inner", "taps", "first", "last"]
        return {name: f.word(words, i, "ptr" if name in pointers else "i64") for i, name in enumerate(names)}

    def _rows(self, w: dict[str, Value]) -> Value:
        """What is shared out: results of a whole inner row, or whole rows of results."""
        return w["outer"] * w["m"] if self.how.beside else w["outer"]

    def _each(self, f: Function, w: dict[str, Value]) -> Value:
        cost = w["taps"] * (w["inner"] if self.how.beside else w["m"])
        return f.max(f.i64(GRAIN) / f.max(cost, 1), 1)

    # ---------------------------------------------------------------- lanes beside
    def _row_beside(self, f: Function, w: dict[str, Value], r: Value) -> None:
        o = r / w["m"]
        j = r - o * w["m"]
        inner, count = w["inner"], f.load(w["counts"], j, "i64")
        x = f.at(w["x"], (o * w["n"] + f.load(w["starts"], j, "i64")) * inner, self.d.llvm)
        y = f.at(w["y"], r * inner, self.d.llvm)
        weights = f.at(w["weights"], j * w["taps"], self.type)
        divisor = f.splat(f.load(w["divisors"], j, self.type), self.lanes) if self.how.divided else None

        def vectors(i: Value, n: int, mask: Value | None) -> None:
            zero = f.constant(vector(self.lanes, self.type), 0)

            def tap(k: Value, *sums: Value) -> list[Value]:
                weight = f.splat(f.load(weights, k, self.type), self.lanes) if self.how.weighted else None
                at = k * inner + i
                return [
                    self._add(f, s, load_element(f, self.d, x, at + b * self.lanes, self.lanes, mask), weight)
                    for b, s in enumerate(sums)
                ]

            for b, s in enumerate(_listed(f.loop(0, count, 1, tap, [zero] * n))):
                store_element(f, self.d, self._divided(s, divisor), y, i + b * self.lanes, mask)

        big, whole = inner & -(self.lanes * _BLOCK), inner & -self.lanes
        f.loop(0, big, self.lanes * _BLOCK, lambda i: vectors(i, _BLOCK, None))
        f.loop(big, whole, self.lanes, lambda i: vectors(i, 1, None))
        mask = f.first(inner - whole, self.lanes)
        f.if_(whole.compare("slt", inner), lambda: vectors(whole, 1, mask))

    def _add(self, f: Function, sum_: Value, v: Value, weight: Value | None) -> Value:
        if weight is None:
            return sum_ + v
        return f.fma(v, weight, sum_) if self.type in ("float", "double") else sum_ + v * weight

    def _divided(self, v: Value, divisor: Value | None) -> Value:
        return v if divisor is None else v / divisor

    # ---------------------------------------------------------------- lanes along
    def _row_along(self, f: Function, w: dict[str, Value], o: Value) -> None:
        x, y = f.at(w["x"], o * w["n"], self.d.llvm), f.at(w["y"], o * w["m"], self.d.llvm)
        m, lanes = w["m"], self.lanes
        anywhere = lambda a, b: self._sweep(f, a, b, lambda j, mask: self._gathered(f, w, x, y, j, mask))
        if not self.how.step:
            return anywhere(f.i64(0), m)
        anywhere(f.i64(0), w["first"])
        whole = w["first"] + ((w["last"] - w["first"]) & -lanes)
        f.loop(w["first"], whole, lanes, lambda j: self._regular(f, w, x, y, j))
        anywhere(whole, m)

    def _sweep(self, f: Function, a: Value, b: Value, body: Callable[[Value, Any], None]) -> None:
        whole = a + ((b - a) & -self.lanes)
        f.loop(a, whole, self.lanes, lambda j: body(j, None))
        mask = f.first(b - whole, self.lanes)
        f.if_(whole.compare("slt", b), lambda: body(whole, mask))

    def _gathered(self, f: Function, w: dict[str, Value], x: Value, y: Value, j: Value, mask: Value | None) -> None:
        wide = vector(self.lanes, "i64")
        starts, counts = (f.load(w[name], j, wide, mask) for name in ("starts", "counts"))

        def tap(k: Value, sum_: Value) -> Value:
            there = counts.compare("sgt", f.splat(k, self.lanes))
            v = gather_element(f, self.d, x, starts + f.splat(k, self.lanes), there)
            return self._add(f, sum_, v, self._weight(f, w, k, j, mask))

        self._finish(f, w, y, j, mask, f.loop(0, w["taps"], 1, tap, [f.constant(vector(self.lanes, self.type), 0)]))

    def _regular(self, f: Function, w: dict[str, Value], x: Value, y: Value, j: Value) -> None:
        place = f.load(w["starts"], j, "i64")

        def tap(k: Value, sum_: Value) -> Value:
            return self._add(
                f, sum_, strided(f, self.d, x, place + k, self.lanes, self.how.step), self._weight(f, w, k, j, None)
            )

        self._finish(f, w, y, j, None, f.loop(0, w["taps"], 1, tap, [f.constant(vector(self.lanes, self.type), 0)]))

    def _weight(self, f: Function, w: dict[str, Value], k: Value, j: Value, mask: Value | None) -> Value | None:
        if not self.how.weighted:
            return None
        return f.load(w["weights"], k * w["m"] + j, vector(self.lanes, self.type), mask)

    def _finish(self, f: Function, w: dict[str, Value], y: Value, j: Value, mask: Value | None, sum_: Value) -> None:
        divisor = None
        if self.how.divided:
            divisor = f.load(w["divisors"], j, vector(self.lanes, self.type), mask, other=1)
        store_element(f, self.d, self._divided(sum_, divisor), y, j, mask)


def strided(f: Function, d: dtype, x: Value, i: Value, n: int, step: int) -> Any:
    """n elements of dtype d from the i-th on, every one (step 1) or every second (2; the one behind the last is read too)."""
    if step == 1:
        return load_element(f, d, x, i, n)
    low, high = load_element(f, d, x, i, n), load_element(f, d, x, i + n, n)
    return f.shuffle(low, high, range(0, 2 * n, 2))


def _listed(v: Any) -> list[Value]:
    return [v] if isinstance(v, Value) else list(v)
