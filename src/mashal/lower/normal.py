"""Kernels of normal numbers, bit for bit as PyTorch's.

Two ways to the same distribution (Box and Muller's: a pair of uniform numbers is a pair of normal ones), and which one
runs is part of what is seen: `blocks` for 16 and more contiguous elements, `one_by_one` for all others.

float32 follows the single-precision polynomials of the Cephes library, as PyTorch's vector code does, in exactly
its order of operations; a more exact logarithm would give other bits.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi

from mashal.core import generator as memory
from mashal.lower import twister
from mashal.lower.random import arguments
from mashal.lower.stored import STORED, stored, vectors
from mashal.machine.jit import provide_from_process
from mashal.machine.text import Function, Module, Value

provide_from_process("log", "log1p", "exp")

LOG = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1)
LOG += (-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)
EIGHTH_TURN = (-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)  # -π/4 in three parts
EVERY = tuple(range(8)) + tuple(range(16, 24))  # lanes 0 … 7 of each block of 16


# ---------------------------------------------------------------- 16 and more
def blocks(dtype: str) -> Module:
    """n >= 16 numbers of a floating dtype. Words: out, generator, mean, std, n.

    In each block of 16, elements j and j + 8 are a pair. If 16 doesn't divide n, the last 16 elements are made
    anew, from words of their own; the words that the first n elements would take are drawn nevertheless, by
    float32 and float64.
    """
    module, f, words = twister.kernel()
    out, state, _, _, n = arguments(f, words, "double", "double")
    each = 2 if dtype == "float64" else 1
    _write_filling(module, dtype, each)
    rest = n & 15
    f.call("void", "fill_blocks", words, out, n - rest)

    def last() -> None:
        if dtype in ("float32", "float64"):
            twister.skip(f, state, rest * each)
        f.call("void", "fill_blocks", words, f.at(out, n - 16, STORED[dtype]), 16)

    f.if_(rest.compare("ne", 0), last)
    f.end(f.i64(-1))
    return module


def _write_filling(module: Module, dtype: str, each: int) -> None:
    f = module.function("fill_blocks", "void", [("ptr", "words"), ("ptr", "out"), ("i64", "n")], linkage="internal")
    words, out, n = f.parameters
    body = _doubles if dtype == "float64" else _floats(dtype)
    twister.draw(f, f.word(words, 1, "ptr"), n, each, twister.in_parallel(f, words, out, body))
    f.end()


def _floats(dtype: str):
    def body(f: Function, words: Value, out: Value, raw: Value, first: Value, i: Value, count: Value) -> None:
        mean, std = (f.splat(f.convert("fptrunc", f.word(words, k, "double"), "float"), 16) for k in (2, 3))
        raw = f.at(raw, i, "i32")

        def two_blocks(k: Value) -> Value:
            u = twister.uniform24(f, raw, k, 32)
            u1 = 1.0 - f.shuffle(u, u, EVERY)
            u2 = f.shuffle(u, u, [lane + 8 for lane in EVERY])
            r = f.math("sqrt", logarithm(f, u1) * -2.0)
            sine, cosine = sine_and_cosine(f, u2 * (2 * pi))
            a, b = f.fma(r * cosine, std, mean), f.fma(r * sine, std, mean)
            both = f.shuffle(
                a, b, [lane for half in (0, 8) for lane in (*range(half, half + 8), *range(half + 16, half + 24))]
            )
            return stored(f, both, dtype)

        type = STORED[dtype]
        vectors(f, f.at(out, first + i, type), type, count, 32, two_blocks)

    return body


def _doubles(f: Function, words: Value, out: Value, raw: Value, first: Value, i: Value, count: Value) -> None:
    mean, std = f.word(words, 2, "double"), f.word(words, 3, "double")
    out = f.at(out, first + i, "double")

    uniforms = f.stack(8 * 16)

    def block(k: Value) -> None:
        f.store(twister.uniform53(f, raw, i + k, 16), uniforms)
        f.loop(0, 8, 1, lambda j: pair(f.at(out, k, "double"), j))

    def pair(place: Value, j: Value) -> None:
        u1, u2 = 1.0 - f.load(uniforms, j, "double"), f.load(uniforms, j + 8, "double")
        r = f.math("sqrt", f.call("double", "log", u1) * -2.0)
        sine, cosine = twister.sine_and_cosine(f, u2 * (2 * pi))
        f.store(f.fma(r * cosine, std, mean), place, j)
        f.store(f.fma(r * sine, std, mean), place, j + 8)

    f.loop(0, count, 16, block)


# ---------------------------------------------------------------- fewer than 16, or scattered
def one_by_one(dtype: str, exponential: bool = False) -> Module:
    """Numbers computed in double; of each pair the second one waits in the generator, also from call to call.

    Words: out, generator, mean, std, n. exponential: exp of the numbers (the log-normal distribution).
    """
    module, f, words = twister.kernel()
    out, state, _, _, n = arguments(f, words, "double", "double")
    type = STORED[dtype]

    def writer(f: Function, words: Value) -> Callable[[Value, Value, Value], None]:
        mean, std = f.word(words, 2, "double"), f.word(words, 3, "double")

        def put(z: Value, place: Value, i: Value) -> None:
            x = f.fma(z, std, mean)
            f.store(stored(f, f.call("double", "exp", x) if exponential else x, dtype), place, i)

        return put

    def pairs(g: Function, words: Value, place: Value, raw: Value, start: Value, i: Value, count: Value) -> None:
        put = writer(g, words)

        def one(k: Value) -> None:
            first, second = _pair(g, raw, i + k)
            at = (start + i + k) * 2
            put(first, place, at)
            put(second, place, at + 1)

        g.loop(0, count, 1, one)

    def last(raw: Value, start: Value, count: Value) -> None:
        first, second = _pair(f, raw, f.i64(0))
        put(first, out, n - 1)
        _keep(f, state, second, 1)

    put = writer(f, words)
    waiting = f.word(state, memory.HAS_CACHED)
    f.if_(waiting.compare("ne", 0), lambda: put(f.word(state, memory.CACHED, "double"), out, f.i64(0)))
    _keep(f, state, f.constant("double", 0.0), 0)
    left = n - waiting
    twister.draw(f, state, left >> 1, 4, twister.in_parallel(f, words, f.at(out, waiting, type), pairs))
    twister.draw(f, state, left & 1, 4, last)
    f.end(f.i64(-1))
    return module


def _pair(f: Function, raw: Value, k: Value) -> tuple[Value, Value]:
    u1, u2 = twister.uniform53(f, raw, k * 2), twister.uniform53(f, raw, k * 2 + 1)
    r = f.math("sqrt", f.call("double", "log1p", -u2) * -2.0)
    sine, cosine = twister.sine_and_cosine(f, u1 * (2 * pi))
    return r * cosine, r * sine


def _keep(f: Function, state: Value, z: Value, valid: int) -> None:
    f.set_word(state, memory.CACHED, z)
    f.set_word(state, memory.HAS_CACHED, valid)


# ---------------------------------------------------------------- Cephes' float32 functions
def logarithm(f: Function, x: Value) -> Value:
    """log x for lanes of float with 0 < x <= 1."""
    bits = x.bitcast("i32")
    e = f.convert("sitofp", bits.shift_right_unsigned(23) - 126, "float")
    m = ((bits & 0x007FFFFF) | 0x3F000000).bitcast("float")  # in [½, 1)
    low = m.compare("olt", 0.707106781186547524)
    x = (m - 1.0) + f.select(low, m, 0.0)
    e = e - f.select(low, 1.0, f.constant(e.type, 0.0))
    z = x * x
    y = _horner(f, x, LOG) * x
    y = f.fma(y, z, e * -2.12194440e-4) - z * 0.5
    return f.fma(e, 0.693359375, x + y)


def sine_and_cosine(f: Function, t: Value) -> tuple[Value, Value]:
    """sin t and cos t for lanes of float with t >= 0."""
    j = (f.convert("fptosi", t * 1.27323954473516, "i32") + 1) & ~1
    q, x = f.convert("sitofp", j, "float"), t
    for part in EIGHTH_TURN:
        x = f.fma(q, part, x)
    z = x * x
    c = _horner(f, z, (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)) * z
    c = f.fma(c, z, -(z * 0.5)) + 1.0
    s = _horner(f, z, (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)) * z
    s = f.fma(s, x, x)
    swap = (j & 2).compare("ne", 0)
    sine, cosine = f.select(swap, c, s), f.select(swap, s, c)
    sine = (sine.bitcast("i32") ^ ((j & 4) << 29)).bitcast("float")
    cosine = (cosine.bitcast("i32") ^ ((((j - 2) & 4) ^ 4) << 29)).bitcast("float")
    return sine, cosine


def _horner(f: Function, x: Value, coefficients: tuple[float, ...]) -> Value:
    y = f.constant(x.type, coefficients[0])
    for c in coefficients[1:]:
        y = f.fma(y, x, c)
    return y
