"""Kernels that read or write along one dimension where an index tensor of the same rank says: gather and scatter.

    words: target | source | index | sizes (r) | strides of target, source, index (r each) | size, stride of the picked dimension

At every place of the index tensor: take has target[place] = source[place, but index in the picked dimension]; put, add, mul,
min and max have target[place, but index …] op= source[place]. The strides of the tensor that is picked from are 0 in
that dimension. An index below 0 or beyond the size is reported by its place.
"""

from __future__ import annotations

from dataclasses import dataclass

from mashal.core.dtypes import dtype
from mashal.lower.emit import Complex, load_element, real_operation, store_element
from mashal.lower.indexing import offset_of, product, report
from mashal.machine.text import Function, Module, Value
from mashal.machine.threads import PARALLEL_FOR

GRAIN = 1 << 13


@dataclass(frozen=True)
class Along:
    """kind: take, put, add, mul, min or max. shared: the first dimension may be shared out among threads."""

    kind: str
    dtype: dtype
    rank: int
    shared: bool


def along(how: Along) -> Module:
    """The kernel for indices along a dimension."""
    module = Module()
    _write_chunk(module, how)
    f = module.function("kernel", "i64", [("ptr", "words")])
    (words,) = f.parameters
    context = f.stack(16)
    f.set_word(context, 0, words)
    f.set_word(context, 1, -1)
    sizes = [f.word(words, 3 + d) for d in range(how.rank)]
    each = _each(f, sizes, how)
    chunks = (sizes[0] + each - 1) // each
    f.call("void", PARALLEL_FOR, Value(f, "@kernel_chunk", "ptr"), context, chunks)
    f.end(f.word(context, 1))
    return module


def _each(f: Function, sizes: list[Value], how: Along) -> Value:
    """Indices of the first dimension in a chunk."""
    return f.max(f.i64(GRAIN) // product(f, sizes[1:]), 1) if how.shared else sizes[0]


def _write_chunk(module: Module, how: Along) -> None:
    parameters = [("ptr", "context"), ("i64", "chunk"), ("i64", "thread")]
    f = module.function("kernel_chunk", "void", parameters, linkage="internal")
    context, chunk, _ = f.parameters
    words, r = f.word(context, 0, "ptr"), how.rank
    target, source, index = (f.word(words, i, "ptr") for i in range(3))
    sizes = [f.word(words, 3 + d) for d in range(r)]
    strides = [[f.word(words, 3 + r * (1 + t) + d) for d in range(r)] for t in range(3)]
    limit, step = f.word(words, 3 + 4 * r), f.word(words, 4 + 4 * r)
    each = _each(f, sizes, how)
    start = chunk * each
    stop = f.min(start + each, sizes[0])
    inner = product(f, sizes[1:-1]) if r > 1 else f.i64(1)

    def row(n: Value) -> None:
        first = [f.i64(0)] * 3 if r == 1 else [offset_of(f, n, sizes[:-1], s[:-1]) for s in strides]
        begin, end = (start, stop) if r == 1 else (f.i64(0), sizes[-1])

        def one(i: Value) -> None:
            to, of, at = (o + i * s[-1] for o, s in zip(first, strides))
            place = f.load(index, at, "i64")

            def go() -> None:
                _element(f, how, target, to, source, of, place * step)

            outside = lambda: report(f, context, n * sizes[-1] + i)
            f.if_(place.compare("ult", limit), go, outside)

        f.loop(begin, end, 1, one)

    f.loop(0 if r == 1 else start * inner, 1 if r == 1 else stop * inner, 1, row)
    f.end()


def _element(f: Function, how: Along, target: Value, to: Value, source: Value, of: Value, shift: Value) -> None:
    d = how.dtype
    if how.kind == "take":
        return store_element(f, d, load_element(f, d, source, of + shift, 0), target, to)
    value = load_element(f, d, source, of, 0)
    if how.kind != "put":
        value = _joined(f, how, load_element(f, d, target, to + shift, 0), value)
    return store_element(f, d, value, target, to + shift)


def _joined(f: Function, how: Along, a: Value | Complex, b: Value | Complex) -> Value | Complex:
    if isinstance(a, Complex) and isinstance(b, Complex):
        if how.kind == "add":
            return Complex(a.re + b.re, a.im + b.im)
        return Complex(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re)
    return real_operation(f, how.kind, how.dtype, a, b)  # type: ignore[arg-type]
