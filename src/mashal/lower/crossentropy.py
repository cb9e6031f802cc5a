"""The kernel of cross_entropy: logarithm, loss and gradient of each row of scores in three sweeps.

    words: loss[, gradient of x (n, classes), factor of each row] | x, labels[, weight], ignored label | scratch, n + 1 words
           | n, classes, strides: of x's rows, of the labels, of the weight

A first pass over the labels checks them and adds up their weights, so the gradient (softmax - 1 at the label)·factor is
already divided by the total. Rows are shared out; their losses wait in scratch and are added in order.
"""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import dtype
from mashal.lower import vectormath
from mashal.lower.emit import load_element, register_type, store_element
from mashal.lower.pointwise import GRAIN
from mashal.machine.host import HOST
from mashal.machine.text import SIZES, Function, Module, Value, vector
from mashal.machine.threads import PARALLEL_FOR

_COST = 16  # an element's sweeps in units of an addition


def cross_entropy(d: dtype, index: dtype, weighted: bool, reduction: str, gradient: bool) -> Module:
    """The kernel for scores of a dtype, labels of another; classes lie side by side."""
    return _Writer(d, index, weighted, reduction, gradient).module


def scratch_bytes(n: int) -> int:
    """What the kernel needs for the losses of n rows."""
    return 8 * (n + 1)


class _Writer:
    def __init__(self, d: dtype, index: dtype, weighted: bool, reduction: str, gradient: bool):
        self.d, self.index, self.weighted, self.reduction, self.gradient = d, index, weighted, reduction, gradient
        self.type = register_type(d)
        self.lanes = HOST.lanes(SIZES[self.type])
        self.module = Module()
        self._write_run()
        self._write_chunk()
        self._write_kernel()

    # ---------------------------------------------------------------- words
    def _words(self, f: Function, words: Value) -> dict[str, Value]:
        names = [
            "loss",
            *(["g", "factor"] if self.gradient else []),
            "x",
            "labels",
            *(["weight"] if self.weighted else []),
        ]
        numbers = ["ignored", "scratch", "n", "classes", "row", "label", "step"]
        pointers = {*names, "scratch"}
        return {
            name: f.word(words, i, "ptr" if name in pointers else "i64") for i, name in enumerate([*names, *numbers])
        }

    def _label(self, f: Function, w: dict[str, Value], i: Value) -> tuple[Value, Value]:
        """A row's label, and whether it is the ignored one."""
        raw = f.load(w["labels"], i * w["label"], self.index.llvm)
        c = raw if self.index.itemsize == 8 else f.convert("zext" if self.index.kind == "u" else "sext", raw, "i64")
        return c, c.compare("eq", w["ignored"])

    def _weight(self, f: Function, w: dict[str, Value], c: Value, skip: Value) -> Value:
        zero, one = f.constant(self.type, 0.0), f.constant(self.type, 1.0)
        if not self.weighted:
            return f.select(skip, zero, one)
        return f.select(skip, zero, load_element(f, self.d, w["weight"], f.select(skip, f.i64(0), c) * w["step"], 0))

    # ---------------------------------------------------------------- the kernel
    def _write_kernel(self) -> None:
        f = self.module.function("kernel", "i64", [("ptr", "words")])
        (words,) = f.parameters
        w = self._words(f, words)

        def check(i: Value, total: Value) -> Value:
            c, skip = self._label(f, w, i)
            outside = f.op("i1", f"and i1 {c.compare('uge', w['classes']).spelling}, {(skip ^ 1).spelling}")
            f.return_if(outside, i)
            return total + _double(f, self._weight(f, w, c, skip))

        total = f.loop(0, w["n"], 1, check, [f.constant("double", 0.0)])
        scale = f.constant("double", 1.0) / total if self.reduction == "mean" else f.constant("double", 1.0)
        f.store(scale, w["scratch"], w["n"])
        each = w["classes"] * _COST

        def together() -> None:
            step = f.max(f.i64(GRAIN // 2) // each, 1)
            f.call("void", PARALLEL_FOR, Value(f, "@kernel_chunk", "ptr"), words, (w["n"] + step - 1) // step)

        f.if_((each * w["n"]).compare("sgt", GRAIN), together, lambda: f.call("void", "kernel_run", words, 0, w["n"]))
        if self.reduction != "none":
            loss = f.loop(0, w["n"], 1, lambda i, s: s + f.load(w["scratch"], i, "double"), [f.constant("double", 0.0)])
            store_element(f, self.d, _narrow(f, loss * scale, self.type), w["loss"], 0)
        f.end(f.constant("i64", -1))

    def _write_chunk(self) -> None:
        parameters = [("ptr", "words"), ("i64", "chunk"), ("i64", "thread")]
        f = self.module.function("kernel_chunk", "void", parameters, linkage="internal")
        words, chunk, _ = f.parameters
        w = self._words(f, words)
        step = f.max(f.i64(GRAIN // 2) // (w["classes"] * _COST), 1)
        f.call("void", "kernel_run", words, chunk * step, f.min((chunk + 1) * step, w["n"]))
        f.end()

    def _write_run(self) -> None:
        parameters = [("ptr", "words"), ("i64", "start"), ("i64", "stop")]
        f = self.module.function("kernel_run", "void", parameters, linkage="internal")
        words, start, stop = f.parameters
        w = self._words(f, words)
        scale = _narrow(f, f.load(w["scratch"], w["n"], "double"), self.type)
        f.loop(start, stop, 1, lambda i: self._row(f, w, scale, i))
        f.end()

    # ---------------------------------------------------------------- a row
    def _row(self, f: Function, w: dict[str, Value], scale: Value, i: Value) -> None:
        c, skip = self._label(f, w, i)
        c = f.select(skip, f.i64(0), c)
        weight = self._weight(f, w, c, skip)
        x = f.at(w["x"], i * w["row"], self.d.llvm)
        g = f.at(w["g"], i * w["classes"], self.d.llvm) if self.gradient else None
        kept = (
            g if self.type == self.d.llvm else None
        )  # halves would lose digits: their exponentials are computed again
        top = self._top(f, w["classes"], x)
        total = self._exponentials(f, w["classes"], x, kept, top)
        score = load_element(f, self.d, x, c, 0)
        loss = (vectormath.emit("log", f, total) + (top - score)) * weight
        loss = f.select(skip, 0.0, loss)
        if self.reduction == "none":
            store_element(f, self.d, loss, w["loss"], i)
        else:
            f.store(_double(f, loss), w["scratch"], i)
        if g is not None:
            factor = weight * scale
            self._scale(f, w["classes"], x, g, kept, top, factor / total)
            at_label = load_element(f, self.d, g, c, 0) if kept else self._probability(f, score, top, total) * factor
            store_element(f, self.d, at_label - factor, g, c)
            store_element(f, self.d, factor, w["factor"], i)

    def _probability(self, f: Function, score: Value, top: Value, total: Value) -> Value:
        return vectormath.emit("exp_nonpositive", f, score - top) / total

    def _sweep(self, f: Function, n: Value, unroll: int, body: Any, initial: list[Value]) -> list[Value]:
        """carried[k] = body(place, mask, carried[k]) for vectors of the row, `unroll` of them side by side."""
        lanes = self.lanes
        whole, big = n & -lanes, n & -(lanes * unroll)

        def several(i: Value, *now: Value) -> list[Value]:
            return [v for k in range(unroll) for v in _listed(body(i + k * lanes, None, *now[k : k + 1]))]

        now = _listed(f.loop(0, big, lanes * unroll, several, initial))
        now = [*_listed(f.loop(big, whole, lanes, lambda i, *c: body(i, None, *c), now[:1])), *now[1:]]
        mask = f.first(n - whole, lanes)
        last = f.if_(whole.compare("slt", n), lambda: body(whole, mask, *now[:1]), lambda: now[:1])
        return [*_listed(last), *now[1:]]

    def _load(self, f: Function, x: Value, i: Value, mask: Value | None) -> Value:
        return load_element(f, self.d, x, i, self.lanes, mask)

    def _top(self, f: Function, n: Value, x: Value) -> Value:
        low = f.constant(vector(self.lanes, self.type), float("-inf"))

        def body(i: Value, mask: Value | None, best: Value) -> Value:
            v = self._load(f, x, i, mask)
            return f.math("maximum", best, v if mask is None else f.select(mask, v, low))

        a, b, c, d = self._sweep(f, n, 4, body, [low] * 4)
        return f.reduce("fmaximum", f.math("maximum", f.math("maximum", a, b), f.math("maximum", c, d)))

    def _exponentials(self, f: Function, n: Value, x: Value, kept: Value | None, top: Value) -> Value:
        wide, zero = f.splat(top, self.lanes), f.constant(vector(self.lanes, self.type), 0.0)

        def body(i: Value, mask: Value | None, sum_: Value) -> Value:
            e = vectormath.emit("exp_nonpositive", f, self._load(f, x, i, mask) - wide)
            if kept is not None:
                store_element(f, self.d, e, kept, i, mask)
            return sum_ + (e if mask is None else f.select(mask, e, zero))

        a, b = self._sweep(f, n, 2, body, [zero] * 2)
        return f.reduce("fadd", a + b)

    def _scale(self, f: Function, n: Value, x: Value, g: Value, kept: Value | None, top: Value, by: Value) -> None:
        wide, tops = f.splat(by, self.lanes), f.splat(top, self.lanes)

        def body(i: Value, mask: Value | None) -> None:
            if kept is not None:
                e = self._load(f, kept, i, mask)
            else:
                e = vectormath.emit("exp_nonpositive", f, self._load(f, x, i, mask) - tops)
            store_element(f, self.d, e * wide, g, i, mask)

        self._sweep(f, n, 2, body, [])


def _listed(v: Any) -> list[Value]:
    return [] if v is None else [v] if isinstance(v, Value) else list(v)


def _double(f: Function, v: Value) -> Value:
    return v if v.type == "double" else f.convert("fpext", v, "double")


def _narrow(f: Function, v: Value, type: str) -> Value:
    return v if v.type == type else f.convert("fptrunc", v, type)
