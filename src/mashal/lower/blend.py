"""Kernels of elements blended by place: y[n, c, j] = Σ over k of w[n, k, j] · x[n, c, places[n, k, j]], and its two transposes.

    words of `blended`:  y | x, w, places | batch, channels, elements of a plane of x, results of a plane
    words of `shares`:   gradient of w | g, x, places | …      Σ over c of g[n, c, j] · x[n, c, places[n, k, j]]
    words of `put_back`: gradient of x | g, w, places | …      w[n, k, j] · g[n, c, j], added up at places[n, k, j]

All tensors are contiguous, places are int32; below 0 nothing is read. There are as many k as the kernel is written for.
"""

from __future__ import annotations

from mashal.core.dtypes import dtype
from mashal.lower.emit import gather_element, load_element, register_type, store_element
from mashal.lower.problem import PARALLEL_FOR, chunk_function
from mashal.machine.host import HOST
from mashal.machine.text import SIZES, Module, Value, vector

BLOCK = 256  # results of a plane that a chunk works on


def blended(d: dtype, terms: int) -> Module:
    """The kernel that reads."""
    return _by_results(d, terms, False)


def shares(d: dtype, terms: int) -> Module:
    """The kernel of the weights' gradient."""
    return _by_results(d, terms, True)


def _by_results(d: dtype, terms: int, transposed: bool) -> Module:
    module, width = Module(), HOST.lanes(SIZES[register_type(d)])
    f, words, chunk, _ = chunk_function(module, "kernel_chunk")
    result, first, second, places = (f.word(words, i, "ptr") for i in range(4))
    _, channels, plane, m = (f.word(words, 4 + i) for i in range(4))
    blocks = (m + (BLOCK - 1)) / BLOCK
    n = chunk / blocks
    begin = (chunk - n * blocks) * BLOCK
    end, start = f.min(begin + BLOCK, m), n * terms * m
    x = f.at(second if transposed else first, n * channels * plane, d.llvm)
    y = f.at(first if transposed else result, n * channels * m, d.llvm)  # results, or their gradient
    zero = f.constant(vector(width, register_type(d)), 0.0)

    def at(k: int, j: Value) -> Value:
        return start + k * m + j

    def vectors(j: Value) -> None:
        mask = f.first(end - j, width)
        where = [f.convert("sext", f.load(places, at(k, j), vector(width, "i32"), mask), "i64") for k in range(terms)]
        there = [p.compare("sge", 0) & mask for p in where]
        weights = [zero if transposed else load_element(f, d, second, at(k, j), width, mask) for k in range(terms)]

        def blend(c: Value) -> None:
            source, total = f.at(x, c * plane, d.llvm), zero
            for p, w, t in zip(where, weights, there):
                total = f.fma(gather_element(f, d, source, p, t), w, total)
            store_element(f, d, total, y, c * m + j, mask)

        def share(c: Value, *so_far: Value) -> list[Value]:
            source, g = f.at(x, c * plane, d.llvm), load_element(f, d, y, c * m + j, width, mask)
            return [f.fma(gather_element(f, d, source, p, t), g, s) for p, t, s in zip(where, there, so_far)]

        if not transposed:
            return f.loop(0, channels, 1, blend) and None
        found = f.loop(0, channels, 1, share, [zero] * terms)
        for k, v in enumerate([found] if isinstance(found, Value) else found):
            store_element(f, d, v, result, at(k, j), mask)

    f.loop(begin, end, width, vectors)
    f.end()
    f = module.function("kernel", "i64", [("ptr", "words")])
    (words,) = f.parameters
    chunks = f.word(words, 4) * ((f.word(words, 7) + (BLOCK - 1)) / BLOCK)
    f.call("void", PARALLEL_FOR, Value(f, "@kernel_chunk", "ptr"), words, chunks)
    f.end(f.constant("i64", -1))
    return module


def put_back(d: dtype, terms: int) -> Module:
    """The kernel of the gradient of x."""
    module = Module()
    f, words, chunk, _ = chunk_function(module, "kernel_chunk")
    result, g, w, places = (f.word(words, i, "ptr") for i in range(4))
    _, channels, plane, m = (f.word(words, 4 + i) for i in range(4))
    start = chunk / channels * terms * m
    to, source = f.at(result, chunk * plane, d.llvm), f.at(g, chunk * m, d.llvm)
    f.call("void", "llvm.memset.p0.i64", to, f.constant("i8", 0), plane * d.itemsize, f.constant("i1", 0))

    def one(j: Value) -> None:
        mine = load_element(f, d, source, j, 0)
        for k in range(terms):
            place = f.convert("sext", f.load(places, start + k * m + j, "i32"), "i64")

            def add(k: int = k, place: Value = place) -> None:
                v = load_element(f, d, w, start + k * m + j, 0) * mine + load_element(f, d, to, place, 0)
                store_element(f, d, v, to, place)

            f.if_(place.compare("sge", 0), add)

    f.loop(0, m, 1, one)
    f.end()
    f = module.function("kernel", "i64", [("ptr", "words")])
    (words,) = f.parameters
    f.call("void", PARALLEL_FOR, Value(f, "@kernel_chunk", "ptr"), words, f.word(words, 4) * f.word(words, 5))
    f.end(f.constant("i64", -1))
    return module
