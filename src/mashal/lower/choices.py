"""Kernels of permutations and of choices by weight, bit for bit as PyTorch's. Their words are as in `lower.random`."""

from __future__ import annotations

from mashal.lower import twister
from mashal.lower.random import LANES, arguments, each_of, remainder, wide_remainder
from mashal.lower.stored import STORED, vectors, widened
from mashal.machine.text import Function, Module, Value, vector

LARGE_PERMUTATION = (2**32 - 1) // 20


# ---------------------------------------------------------------- permutations
def permutation() -> Module:
    """0 … n - 1 in random order, int64, n below LARGE_PERMUTATION. Words: out, generator, n.

    The items are exchanged as 32-bit numbers in the second half of out's memory, half the memory to wait for, and
    spread over the whole of it at the end: a vector read there is read before anything is written on it.
    """
    module, f, words = twister.kernel()
    out, state, n = arguments(f, words)
    items = f.at(out, n, "i32")
    steps, size = f.constant(vector(LANES, "i32"), range(LANES)), f.splat(f.convert("trunc", n, "i32"), LANES)
    vectors(f, items, "i32", n, LANES, lambda i: steps + f.convert("trunc", i, "i32"))
    partners = f.stack(4 * LANES)

    def body(raw: Value, start: Value, count: Value) -> None:
        def some(i: Value) -> None:
            here = steps + f.convert("trunc", start + i, "i32")
            left = size - here
            inverse = 1.0 / f.convert("sitofp", left, "double")
            f.store(here + remainder(f, twister.words(f, raw, i, LANES), inverse, left), partners)
            each_of(f, f.min(count - i, LANES), lambda k: exchange(start + i + k, k))

        f.loop(0, count, LANES, some)

    def exchange(i: Value, k: Value) -> None:
        one, other = f.at(items, i, "i32"), f.at(items, f.convert("zext", f.load(partners, k, "i32"), "i64"), "i32")
        x, y = f.load(one, type="i32"), f.load(other, type="i32")
        f.store(y, one)
        f.store(x, other)

    twister.draw(f, state, n - 1, 1, body)
    whole = n & -LANES
    lanes = vector(LANES, "i32")
    f.loop(0, whole, LANES, lambda i: f.store(f.convert("zext", f.load(items, i, lanes), "i64"), out, i))
    f.loop(whole, n, 1, lambda i: f.store(f.convert("zext", f.load(items, i, "i32"), "i64"), out, i))
    f.end(f.i64(-1))
    return module


def large_permutation() -> Module:
    """0 … n - 1 in random order, int64, n from LARGE_PERMUTATION on. Words: out, generator, n."""
    module, f, words = twister.kernel()
    out, state, n = arguments(f, words)

    def body(raw: Value, start: Value, count: Value) -> None:
        def one(i: Value) -> None:
            here = start + i
            other = f.at(out, wide_remainder(f, raw, i, here + 1), "i64")
            f.store(f.load(other, type="i64"), out, here)
            f.store(here, other)

        each_of(f, count, one)

    twister.draw(f, state, n, 2, body)
    f.end(f.i64(-1))
    return module


# ---------------------------------------------------------------- choices
def multinomial(dtype: str) -> Module:
    """`samples` choices among the categories of each row, with replacement, by their weights.

    Words: out (rows × samples, int64), generator, weights (rows × categories), room for `categories` doubles, rows,
    categories, samples. Returns the position of the first weight that is not finite and >= 0, or, for a row
    without weight, rows · categories + row.
    """
    module, f, words = twister.kernel()
    out, state, weights, sums = (f.word(words, i, "ptr") for i in range(4))
    rows, categories, samples = (f.word(words, i) for i in range(4, 7))
    wide = "double" if dtype == "float64" else "float"

    def row(r: Value) -> None:
        start = f.at(weights, r * categories, STORED[dtype])

        def add(j: Value, total: Value) -> Value:
            w = widened(f, f.load(start, j, STORED[dtype]), dtype)
            wrong = f.op("i1", f"xor i1 {(w.compare('oge', 0.0) & w.compare('olt', float('inf'))).spelling}, true")
            f.return_if(wrong, r * categories + j)
            total = total + w
            f.store(total, sums, j)
            return total

        total = f.loop(0, categories, 1, add, [f.constant(wide, 0.0)])
        f.return_if(total.compare("ule", 0.0), rows * categories + r)
        f.loop(0, categories, 1, lambda j: f.store(f.load(sums, j, wide) / total, sums, j))
        f.store(f.constant(wide, 1.0), sums, categories - 1)

        def choose(raw: Value, first: Value, count: Value) -> None:
            place = f.at(out, r * samples + first, "i64")

            def one(k: Value) -> None:
                f.store(_first_at_least(f, sums, wide, categories, twister.uniform53(f, raw, k)), place, k)

            each_of(f, count, one)

        twister.draw(f, state, samples, 2, choose)

    f.loop(0, rows, 1, row)
    f.end(f.i64(-1))
    return module


def _first_at_least(f: Function, sums: Value, type: str, n: Value, u: Value) -> Value:
    """The first index whose entry is at least u; the entries rise, and the last one is 1."""
    low, high = twister.Slot(f, f.i64(0)), twister.Slot(f, n)

    def halve() -> None:
        middle = (low.get() + high.get()) >> 1
        entry = f.load(sums, middle, type)
        below = (f.convert("fpext", entry, "double") if type == "float" else entry).compare("olt", u)
        low.set(f.select(below, middle + 1, low.get()))
        high.set(f.select(below, high.get(), middle))

    twister.repeat_while(f, lambda: low.get().compare("slt", high.get()), halve)
    return low.get()
