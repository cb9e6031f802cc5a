"""Kernels that fill memory with random numbers, bit for bit as PyTorch's do on processors with AVX2 or better.

Each function here writes one kernel for one dtype. Its words are: out, the generator's memory, the distribution's
numbers (named in the docstring), and n, the count of elements. Elements are made in the order of their memory.

In the order of this file: uniform numbers, whole numbers, coins (bernoulli), and what is computed from one uniform
number an element. `lower.normal` has the normal ones, `lower.choices` permutations and multinomial choices,
`lower.rejection` what takes an unknown number of draws.

Mathematics in double precision is the C library's own: PyTorch's numbers come from there, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi

from mashal.lower import twister
from mashal.lower.stored import STORED, stored, vectors, widened
from mashal.machine.jit import provide_from_process
from mashal.machine.text import Function, Module, Value

provide_from_process("log", "log1p", "tan")

LANES = twister.LANES
NARROW_SPAN = 1 << 28  # whole numbers from a smaller range take one word, from a larger one two


# ---------------------------------------------------------------- uniform numbers
def uniform(dtype: str) -> Module:
    """Numbers in [low, high), of a floating dtype. Words: out, generator, low, high, n.

    low + u·(high - low) with one rounding; what rounds to `high` becomes `low`.
    """
    module, f, words = twister.kernel()
    out, state, low, high, n = arguments(f, words, "double", "double")
    type, wide = STORED[dtype], "double" if dtype == "float64" else "float"
    low, high = (stored(f, x, "float64" if wide == "double" else "float32") for x in (low, high))
    span, low_element = high - low, stored(f, low, dtype)
    high_again = widened(f, stored(f, high, dtype), dtype)
    number = twister.uniform53 if wide == "double" else twister.uniform24

    def body(raw: Value, start: Value, count: Value) -> None:
        def some(i: Value) -> Value:
            u = number(f, raw, i, LANES)
            x = stored(f, f.fma(u, span, f.splat(low, LANES)), dtype)
            ends = widened(f, x, dtype).compare("oeq", high_again)
            return f.select(ends, f.splat(low_element, LANES), x)

        vectors(f, f.at(out, start, type), type, count, LANES, some)

    twister.draw(f, state, n, 2 if wide == "double" else 1, body)
    f.end(f.i64(-1))
    return module


# ---------------------------------------------------------------- whole numbers
def integers(dtype: str, wide: bool) -> Module:
    """base + x mod span, where x is a word or, if `wide`, a double word. Words: out, generator, base, span, n.

    span 0 stands for 2**64 if wide; a word's span is at most 2**31. Sums wrap around 2**64.
    """
    module, f, words = twister.kernel()
    out, state, base, span, n = arguments(f, words, "i64", "i64")
    type = STORED[dtype]
    inverse = f.splat(1.0 / f.convert("uitofp", span, "double"), LANES)
    divisor = f.splat(f.convert("trunc", span, "i32"), LANES)
    add = _narrow_sum if type in ("i8", "i16", "i32") and dtype not in ("bool", "bfloat16") else _wide_sum

    def body(raw: Value, start: Value, count: Value) -> None:
        place = f.at(out, start, type)
        if wide:
            each_of(f, count, lambda i: f.store(stored(f, base + wide_remainder(f, raw, i, span), dtype), place, i))
        else:
            vectors(f, place, type, count, LANES, lambda i: stored(f, add(f, base, narrow(raw, i)), dtype))

    def narrow(raw: Value, i: Value) -> Value:
        return remainder(f, twister.words(f, raw, i, LANES), inverse, divisor)

    twister.draw(f, state, n, 2 if wide else 1, body)
    f.end(f.i64(-1))
    return module


def _narrow_sum(f: Function, base: Value, r: Value) -> Value:
    return r + f.convert("trunc", base, "i32")


def _wide_sum(f: Function, base: Value, r: Value) -> Value:
    return f.convert("zext", r, "i64") + base


def wide_remainder(f: Function, raw: Value, i: Value, span: Value) -> Value:
    """Double word i behind raw, mod span; the whole of it for span 0."""
    x = twister.joined(f, *twister.double_words(f, raw, i, 0))
    whole = span.compare("eq", 0)
    divisor = f.select(whole, f.i64(1), span)
    r = f.op("i64", f"urem i64 {x.spelling}, {divisor.spelling}")
    return f.select(whole, x, r)


def remainder(f: Function, x: Value, inverse: Value, span: Value) -> Value:
    """x mod span for unsigned lanes of i32; inverse: 1 / span in double, span at most 2**31.

    The inverse is taken a little too small, so that the quotient is right or one too small, never too large.
    """
    quotient = f.convert("uitofp", x, "double") * (inverse * (1 - 2.0**-51))
    r = x - f.convert("fptoui", quotient, "i32") * span
    return f.math("umin", r, r - span)


# ---------------------------------------------------------------- coins
def bernoulli(dtype: str) -> Module:
    """`value` with probability p, else 0; a double word an element. Words: out, generator, p, value, n.

    p from 0 to 1. With value = 1 / p this is dropout's factor, p being the probability to keep.
    """
    module, f, words = twister.kernel()
    out, state, p, value, n = arguments(f, words, "double", "double")
    type = STORED[dtype]
    limit = f.convert("fptosi", f.math("ceil", p * 2.0**53), "i64")  # u53 < p, as whole numbers
    limit_high, limit_low = (f.convert("trunc", x, "i32") for x in (limit >> 32, limit))
    heads = f.splat(stored(f, value, dtype), LANES)

    def body(raw: Value, start: Value, count: Value) -> None:
        def some(i: Value) -> Value:
            high, low = twister.double_words(f, raw, i, LANES)
            high = high & 0x1FFFFF
            equal = high.compare("eq", limit_high) & low.compare("ult", limit_low)
            return f.select(high.compare("ult", limit_high) | equal, heads, 0)

        vectors(f, f.at(out, start, type), type, count, LANES, some)

    twister.draw(f, state, n, 2, body)
    f.end(f.i64(-1))
    return module


def bernoulli_each(dtype: str, chance: str) -> Module:
    """1 with the probability that the element's own p says. Words: out, generator, p (a pointer), n.

    chance: the dtype of p, contiguous as out is. float64 takes a double word an element, the others a word.
    Returns the position of the first p outside [0, 1].
    """
    module, f, words = twister.kernel()
    out, state, p, n = arguments(f, words, "ptr")
    wrong = f.stack(8)
    f.set_word(wrong, 0, -1)

    def body(raw: Value, start: Value, count: Value) -> None:
        def one(i: Value) -> None:
            if chance == "float64":
                u = twister.uniform53(f, raw, i)
            else:
                u = twister.uniform24(f, raw, i, 0)
            x = widened(f, f.load(p, start + i, STORED[chance]), chance)
            f.store(
                stored(f, f.convert("zext", u.compare("olt", x), "i32"), dtype), f.at(out, start + i, STORED[dtype])
            )
            inside = x.compare("oge", 0.0) & x.compare("ole", 1.0)
            known = f.word(wrong, 0)
            f.set_word(wrong, 0, f.select(inside | known.compare("sge", 0), known, start + i))

        each_of(f, count, one)

    twister.draw(f, state, n, 2 if chance == "float64" else 1, body)
    f.end(f.word(wrong, 0))
    return module


# ---------------------------------------------------------------- from one uniform number
def exponential(dtype: str) -> Module:
    """-log(1 - u) / rate. Words: out, generator, rate, n."""

    def formula(f: Function, rate: Value) -> Formula:
        scale = -1.0 / rate
        return lambda u: scale * f.call("double", "log1p", -u)

    return _of_uniform(dtype, 1, formula)


def geometric(dtype: str) -> Module:
    """How many throws until the first success of probability p: ⌈log u / log(1 - p)⌉. Words: out, generator, p, n."""

    def formula(f: Function, p: Value) -> Formula:
        failure = f.call("double", "log1p", -p)
        return lambda u: f.math("ceil", f.call("double", "log", u) / failure)

    return _of_uniform(dtype, 1, formula)


def cauchy(dtype: str) -> Module:
    """median + sigma·tan(π(u - ½)). Words: out, generator, median, sigma, n."""

    def formula(f: Function, median: Value, sigma: Value) -> Formula:
        return lambda u: f.fma(sigma, f.call("double", "tan", (u - 0.5) * pi), median)

    return _of_uniform(dtype, 2, formula)


Formula = Callable[[Value], Value]


def _of_uniform(dtype: str, numbers: int, formula: Callable[..., Formula]) -> Module:
    module, f, words = twister.kernel()
    out, state, *_, n = arguments(f, words, *["double"] * numbers)

    def body(g: Function, words: Value, out: Value, raw: Value, first: Value, i: Value, count: Value) -> None:
        number = formula(g, *(g.word(words, 2 + k, "double") for k in range(numbers)))
        uniforms = g.stack(8 * LANES)

        def some(k: Value) -> None:
            g.store(twister.uniform53(g, raw, i + k, LANES), uniforms)
            each_of(g, g.min(count - k, LANES), lambda j: one(k + j, g.load(uniforms, j, "double")))

        def one(k: Value, u: Value) -> None:
            g.store(stored(g, number(u), dtype), out, first + i + k)

        g.loop(0, count, LANES, some)

    twister.draw(f, state, n, 2, twister.in_parallel(f, words, out, body))
    f.end(f.i64(-1))
    return module


# ---------------------------------------------------------------- shared
def arguments(f: Function, words: Value, *types: str) -> list[Value]:
    """out, the generator's memory, the numbers of these types, and n."""
    return [f.word(words, i, type) for i, type in enumerate(("ptr", "ptr", *types, "i64"))]


def each_of(f: Function, n: Value, one: Callable[[Value], None]) -> None:
    """one(i) for i below n."""
    f.loop(0, n, 1, one)
