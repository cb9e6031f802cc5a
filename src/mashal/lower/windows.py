"""Kernels of max_pool: the largest element of each window, and what goes back to it.

    words of `largest`:  y[, places] | x, then for depth, height, width: starts, counts | planes, sizes of x (3), sizes of y (3),
                         dilation (3), entries of a plane in starts (3; 0: the same for all), widest window, work of a row,
                         first, last

x is (planes, depth, height, width) without gaps. Result j of a dimension looks at counts[j] elements from starts[j] on, `dilation`
apart; starts and counts are int32. places are int32 too: where in its plane the largest element lies; the first of equal ones, the
last nan. Results from `first` to `last` of a row have whole windows that begin at every step-th element: no gathers.

    words of `taken`:    y | x, places | planes, elements of a plane of x, of y        y[p, j] = x[p, places[p, j]]
    words of `given`:    x | y, places | planes, elements of a plane of x, of y        x[p, places[p, j]] (+)= y[p, j], else 0
"""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import dtype
from mashal.lower.emit import gather_element, load_element, real_operation, register_type, store_element
from mashal.lower.resample import strided
from mashal.lower.rowwise import identity
from mashal.machine.host import HOST
from mashal.machine.text import SIZES, Function, Module, Value, vector
from mashal.machine.threads import PARALLEL_FOR

GRAIN = 1 << 15  # comparisons, or elements moved, of a chunk
_AXES = "dhw"


def largest(d: dtype, placed: bool, step: int) -> Module:
    """The kernel for a dtype; placed: it gives places too. step: of regular results, 0 if there are none."""
    return _Largest(d, placed, step).module


class _Largest:
    def __init__(self, d: dtype, placed: bool, step: int):
        self.d, self.placed, self.step = d, placed, step
        self.type = register_type(d)
        self.lanes = min(HOST.lanes(SIZES[self.type]), HOST.lanes(4))
        self.module = Module()
        parameters = [("ptr", "words"), ("i64", "chunk"), ("i64", "thread")]
        f = self.module.function("kernel_chunk", "void", parameters, linkage="internal")
        words, chunk, _ = f.parameters
        w = self._words(f, words)
        each = self._each(f, w)
        f.loop(chunk * each, f.min((chunk + 1) * each, self._rows(w)), 1, lambda r: self._row(f, w, r))
        f.end()
        f = self.module.function("kernel", "i64", [("ptr", "words")])
        (words,) = f.parameters
        w = self._words(f, words)
        each = self._each(f, w)
        chunks = (self._rows(w) + each - 1) / each
        f.call("void", PARALLEL_FOR, Value(f, "@kernel_chunk", "ptr"), words, chunks)
        f.end(f.constant("i64", -1))

    def _words(self, f: Function, words: Value) -> dict[str, Value]:
        pointers = ["y", *(["places"] if self.placed else []), "x"]
        pointers += [name + a for a in _AXES for name in ("starts_", "counts_")]
        numbers = ["planes", *("n_" + a for a in _AXES), *("m_" + a for a in _AXES), *("dilation_" + a for a in _AXES)]
        numbers += [*("own_" + a for a in _AXES), "widest", "work", "first", "last"]
        return {n: f.word(words, i, "ptr" if n in pointers else "i64") for i, n in enumerate([*pointers, *numbers])}

    def _rows(self, w: dict[str, Value]) -> Value:
        return w["planes"] * w["m_d"] * w["m_h"]

    def _each(self, f: Function, w: dict[str, Value]) -> Value:
        return f.max(f.i64(GRAIN) / f.max(w["work"], 1), 1)

    def _window(self, f: Function, w: dict[str, Value], axis: str, plane: Value, j: Value) -> tuple[Value, Value]:
        at = plane * w["own_" + axis] + j
        start, count = (f.load(w[name + axis], at, "i32") for name in ("starts_", "counts_"))
        return f.convert("sext", start, "i64"), f.convert("sext", count, "i64")

    # ---------------------------------------------------------------- a row of results
    def _row(self, f: Function, w: dict[str, Value], r: Value) -> None:
        plane = r / (w["m_d"] * w["m_h"])
        rest = r - plane * (w["m_d"] * w["m_h"])
        i = rest / w["m_h"]
        depth, height = self._window(f, w, "d", plane, i), self._window(f, w, "h", plane, rest - i * w["m_h"])
        x = f.at(w["x"], plane * (w["n_d"] * w["n_h"] * w["n_w"]), self.d.llvm)
        own = plane * w["own_w"]

        def vectors(j: Value, mask: Value | None, regular: bool) -> None:
            self._vector(f, w, x, depth, height, own + j, r * w["m_w"] + j, mask, regular)

        def anywhere(a: Value, b: Value) -> None:
            whole = a + ((b - a) & -self.lanes)
            f.loop(a, whole, self.lanes, lambda j: vectors(j, None, False))
            mask = f.first(b - whole, self.lanes)
            f.if_(whole.compare("slt", b), lambda: vectors(whole, mask, False))

        if not self.step:
            return anywhere(f.i64(0), w["m_w"])
        anywhere(f.i64(0), w["first"])
        whole = w["first"] + ((w["last"] - w["first"]) & -self.lanes)
        f.loop(w["first"], whole, self.lanes, lambda j: vectors(j, None, True))
        anywhere(whole, w["m_w"])

    def _vector(self, f: Function, w: dict[str, Value], x: Value, depth: tuple, height: tuple, table: Value, result: Value,
                mask: Value | None, regular: bool) -> None:  # fmt: skip
        lanes, short = self.lanes, vector(self.lanes, "i32")
        starts = f.load(w["starts_w"], table, short, mask)
        counts = f.load(w["counts_w"], table, short, mask)
        narrow = lambda v: f.convert("trunc", v, "i32")
        best = f.constant(vector(lanes, self.type), identity("max", self.d))
        first = starts + f.splat(narrow((depth[0] * w["n_h"] + height[0]) * w["n_w"]), lanes)
        begin = f.convert("sext", f.extract(starts, 0), "i64")

        def planes(a: Value, *now: Value) -> Any:
            def rows(b: Value, *now: Value) -> Any:
                row = ((depth[0] + a * w["dilation_d"]) * w["n_h"] + height[0] + b * w["dilation_h"]) * w["n_w"]

                def tap(k: Value, *now: Value) -> list[Value]:
                    shift = row + k * w["dilation_w"]
                    there = None
                    places = starts + f.splat(narrow(shift), lanes)
                    if regular:
                        v = strided(f, self.d, x, begin + shift, lanes, self.step)
                    else:
                        there = counts.compare("sgt", f.splat(narrow(k), lanes))
                        v = gather_element(f, self.d, x, f.convert("sext", places, "i64"), there)
                    return self._better(f, v, places, there, list(now))

                return f.loop(0, w["widest"], 1, tap, now)

            return f.loop(0, height[1], 1, rows, now)

        found = _listed(f.loop(0, depth[1], 1, planes, [best, first] if self.placed else [best]))
        store_element(f, self.d, found[0], w["y"], result, mask)
        if self.placed:
            f.store(found[1], w["places"], result, mask)

    def _better(self, f: Function, v: Value, places: Value, there: Value | None, now: list[Value]) -> list[Value]:
        if not self.placed:
            larger = real_operation(f, "max", self.d, now[0], v)
            return [larger if there is None else f.select(there, larger, now[0])]
        if self.d.kind == "f":
            better = v.compare("ogt", now[0]) | v.compare("uno", 0.0)
        else:
            better = real_operation(f, "lt", self.d, now[0], v)
        better = better if there is None else better & there
        return [f.select(better, v, now[0]), f.select(better, places, now[1])]


# ---------------------------------------------------------------- to and from places
def taken(d: dtype) -> Module:
    """y[p, j] = x[p, places[p, j]]"""
    lanes = HOST.lanes(8)

    def plane(f: Function, y: Value, x: Value, places: Value, n: Value, m: Value) -> None:
        def vectors(j: Value, mask: Value | None) -> None:
            at = f.convert("sext", f.load(places, j, vector(lanes, "i32"), mask), "i64")
            store_element(f, d, gather_element(f, d, x, at, mask), y, j, mask)

        whole = m & -lanes
        f.loop(0, whole, lanes, lambda j: vectors(j, None))
        mask = f.first(m - whole, lanes)
        f.if_(whole.compare("slt", m), lambda: vectors(whole, mask))

    return _by_planes(d, plane, results_first=True)


def given(d: dtype, adds: bool) -> Module:
    """x[p, places[p, j]] = y[p, j], or adds it, and 0 elsewhere."""

    def plane(f: Function, x: Value, y: Value, places: Value, n: Value, m: Value) -> None:
        f.call("void", "llvm.memset.p0.i64", x, f.constant("i8", 0), n * d.itemsize, f.constant("i1", 0))

        def one(j: Value) -> None:
            at = f.convert("sext", f.load(places, j, "i32"), "i64")
            v = load_element(f, d, y, j, 0)
            v = real_operation(f, "add", d, v, load_element(f, d, x, at, 0)) if adds else v
            store_element(f, d, v, x, at)

        f.loop(0, m, 1, one)

    return _by_planes(d, plane, results_first=False)


def _by_planes(d: dtype, plane: Any, results_first: bool) -> Module:
    """A kernel that runs plane(result, source, places, n, m) for all planes."""
    module = Module()

    def words_of(f: Function, words: Value) -> tuple[Value, ...]:
        return tuple(f.word(words, i, "ptr" if i < 3 else "i64") for i in range(6))

    def each_of(f: Function, n: Value, m: Value) -> Value:
        return f.max(f.i64(GRAIN) / f.max(n + m * 4, 1), 1)

    parameters = [("ptr", "words"), ("i64", "chunk"), ("i64", "thread")]
    f = module.function("kernel_chunk", "void", parameters, linkage="internal")
    words, chunk, _ = f.parameters
    result, source, places, planes, n, m = words_of(f, words)
    each, of_result, of_source = each_of(f, n, m), m if results_first else n, n if results_first else m

    def one(p: Value) -> None:
        mine = f.at(result, p * of_result, d.llvm), f.at(source, p * of_source, d.llvm), f.at(places, p * m, "i32")
        plane(f, *mine, n, m)

    f.loop(chunk * each, f.min((chunk + 1) * each, planes), 1, one)
    f.end()
    f = module.function("kernel", "i64", [("ptr", "words")])
    (words,) = f.parameters
    _, _, _, planes, n, m = words_of(f, words)
    each = each_of(f, n, m)
    f.call("void", PARALLEL_FOR, Value(f, "@kernel_chunk", "ptr"), words, (planes + each - 1) / each)
    f.end(f.constant("i64", -1))
    return module


def _listed(v: Any) -> list[Value]:
    return [v] if isinstance(v, Value) else list(v)
