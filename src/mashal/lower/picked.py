"""Kernels of nll_loss: one element of each row, chosen by the row's class, weighted and added up.

    words of `picked_loss`:      loss, total weight | x, classes[, weight], ignored class | n, d, classes
                                 | strides of x (n, class, d), of the classes (n, d), of the weight
    words of `picked_gradient`:  gradient of x | g, classes[, weight], total weight, ignored class | as above, of the gradient

x is (n, classes, d). A class outside [0, classes) that is not the ignored one ends the kernel with its position.
"""

from __future__ import annotations

from mashal.core.dtypes import dtype
from mashal.lower.emit import load_element, register_type, store_element
from mashal.machine.text import Function, Module, Value


def picked_loss(d: dtype, index: dtype, weighted: bool, reduction: str) -> Module:
    """loss = -weight[class] * x[class], one a row ("none"), or their sum or weighted mean."""
    module = Module()
    f = module.function("kernel", "i64", [("ptr", "words")])
    (words,) = f.parameters
    walk = _Rows(f, words, 2, 1, index, d if weighted else None)
    x, loss = f.word(words, 2, "ptr"), f.word(words, 0, "ptr")
    zero = f.constant("double", 0.0)

    def row(position: Value, i: Value, j: Value, sum_: Value, total: Value) -> list[Value]:
        c, skip = walk.row_class(position, i, j)

        def counted() -> list[Value]:
            v = load_element(f, d, x, i * walk.stride(0) + c * walk.stride(1) + j * walk.stride(2), 0)
            w = walk.weight_of(c, register_type(d))
            one = -(v * w)
            if reduction == "none":
                store_element(f, d, one, loss, position)
            return [sum_ + _double(f, one), total + _double(f, w)]

        def ignored() -> list[Value]:
            if reduction == "none":
                store_element(f, d, f.constant(register_type(d), 0.0), loss, position)
            return [sum_, total]

        return f.if_(skip, ignored, counted)

    sum_, total = walk.loop(row, [zero, zero])
    if reduction != "none":
        value = sum_ / total if reduction == "mean" else sum_
        store_element(f, d, _single(f, value, register_type(d)), loss, 0)
    store_element(f, d, _single(f, total, register_type(d)), f.word(words, 1, "ptr"), 0)
    f.end(f.constant("i64", -1))
    return module


def picked_gradient(d: dtype, index: dtype, weighted: bool, reduction: str) -> Module:
    """-g * weight[class] (divided by the total weight for "mean") at each row's class, 0 elsewhere."""
    module = Module()
    f = module.function("kernel", "i64", [("ptr", "words")])
    (words,) = f.parameters
    walk = _Rows(f, words, 1, 2, index, d if weighted else None)
    result, g = f.word(words, 0, "ptr"), f.word(words, 1, "ptr")
    bytes = walk.n * walk.d * walk.classes * d.itemsize
    f.call("void", "llvm.memset.p0.i64", result, f.constant("i8", 0), bytes, f.constant("i1", 0))
    if reduction != "none":
        whole = load_element(f, d, g, 0, 0)
        if reduction == "mean":
            whole = whole / load_element(f, d, f.word(words, 3 + weighted, "ptr"), 0, 0)

    def row(position: Value, i: Value, j: Value) -> None:
        c, skip = walk.row_class(position, i, j)

        def counted() -> None:
            mine = load_element(f, d, g, position, 0) if reduction == "none" else whole
            w = walk.weight_of(c, register_type(d))
            store_element(f, d, -(mine * w), result, i * walk.stride(0) + c * walk.stride(1) + j * walk.stride(2))

        f.if_(skip, None, counted)

    walk.loop(row, [])
    f.end(f.constant("i64", -1))
    return module


def _double(f: Function, v: Value) -> Value:
    return v if v.type == "double" else f.convert("fpext", v, "double")


def _single(f: Function, v: Value, type: str) -> Value:
    return v if v.type == type else f.convert("fptrunc", v, type)


class _Rows:
    """The rows of (n, classes, d), and the class of each."""

    def __init__(self, f: Function, words: Value, results: int, extra: int, index: dtype, weight: dtype | None):
        self.f, self.index, self.weight_dtype = f, index, weight
        place = results + 1
        self.labels = f.word(words, place, "ptr")
        self.weight = f.word(words, place + 1, "ptr") if weight else None
        after = place + (2 if weight else 1) + extra
        self.ignored = f.word(words, after - 1)
        self.n, self.d, self.classes = (f.word(words, after + i) for i in range(3))
        self._strides = [f.word(words, after + 3 + i) for i in range(6)]

    def stride(self, i: int) -> Value:
        return self._strides[i]

    def loop(self, body, initial) -> list[Value]:
        """carried = body(position, i, j, *carried) for all rows."""
        f = self.f

        def outer(i, *carried):
            def inner(j, *now):
                return body(i * self.d + j, i, j, *now)

            return f.loop(0, self.d, 1, inner, carried)

        return f.loop(0, self.n, 1, outer, initial)

    def row_class(self, position: Value, i: Value, j: Value) -> tuple[Value, Value]:
        """The row's class, and whether it is the ignored one; ends the kernel if there is no such class."""
        f = self.f
        raw = f.load(self.labels, i * self._strides[3] + j * self._strides[4], self.index.llvm)
        wide = "zext" if self.index.kind == "u" else "sext"
        c = raw if self.index.itemsize == 8 else f.convert(wide, raw, "i64")
        skip = c.compare("eq", self.ignored)
        outside = c.compare("uge", self.classes)
        f.return_if(f.op("i1", f"and i1 {outside.spelling}, {(skip ^ 1).spelling}"), position)
        return c, skip

    def weight_of(self, c: Value, type: str) -> Value:
        if self.weight is None or self.weight_dtype is None:
            return self.f.constant(type, 1.0)
        return load_element(self.f, self.weight_dtype, self.weight, c * self._strides[5], 0)
