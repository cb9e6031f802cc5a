"""Kernels that move elements within rows by index, one after another.

    words: result | x, indices | outer, length of the result's rows, length of x's rows, inner

All tensors are contiguous, (outer, rows, inner); an index counts within a row.
"""

from __future__ import annotations

from mashal.core.dtypes import dtype
from mashal.lower.emit import load_element, real_operation, store_element
from mashal.machine.text import Function, Module, Value


def _walk(f: Function, outer: Value, rows: Value, inner: Value, body) -> None:
    """body(o, j, i) for every element."""
    f.loop(0, outer, 1, lambda o: f.loop(0, rows, 1, lambda j: f.loop(0, inner, 1, lambda i: body(o, j, i))))


def collected(d: dtype) -> Module:
    """result[o, j, i] = x[o, indices[o, j, i], i]; indices has the result's shape."""
    module = Module()
    f = module.function("kernel", "i64", [("ptr", "words")])
    (words,) = f.parameters
    result, x, indices = (f.word(words, k, "ptr") for k in range(3))
    outer, rows, length, inner = (f.word(words, 3 + k) for k in range(4))

    def one(o: Value, j: Value, i: Value) -> None:
        place = (o * rows + j) * inner + i
        k = f.load(indices, place, "i64")
        store_element(f, d, load_element(f, d, x, (o * length + k) * inner + i, 0), result, place)

    _walk(f, outer, rows, inner, one)
    f.end(f.constant("i64", -1))
    return module


def spread(d: dtype) -> Module:
    """result[o, indices[o, j, i], i] += x[o, j, i] in a result that begins as zeros; indices has x's shape."""
    module = Module()
    f = module.function("kernel", "i64", [("ptr", "words")])
    (words,) = f.parameters
    result, x, indices = (f.word(words, k, "ptr") for k in range(3))
    outer, rows, length, inner = (f.word(words, 3 + k) for k in range(4))
    bytes = outer * rows * inner * d.itemsize
    f.call("void", "llvm.memset.p0.i64", result, f.constant("i8", 0), bytes, f.constant("i1", 0))

    def one(o: Value, j: Value, i: Value) -> None:
        place = (o * length + j) * inner + i
        to = (o * rows + f.load(indices, place, "i64")) * inner + i
        now, more = load_element(f, d, result, to, 0), load_element(f, d, x, place, 0)
        if d.is_complex:
            total = type(now)(now.re + more.re, now.im + more.im)
        else:
            total = real_operation(f, "add", d, now, more)
        store_element(f, d, total, result, to)

    _walk(f, outer, length, inner, one)
    f.end(f.constant("i64", -1))
    return module
