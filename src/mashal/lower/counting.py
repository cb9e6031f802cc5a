"""Kernels that look places up in sorted rows, count, and find runs of equal elements.

    searched    result | boundaries, x | rows, boundaries in a row, x in a row, 1 if boundaries have rows of their own
    counted     result | x[, weights] | bins, n                  result begins as zeros, x as places
    binned      result | x[, weights] | n, bins, low, high       (low and high are doubles)
    runs        first of each run, which run each is in, length of each run, how many runs | x | n

All tensors are contiguous.
"""

from __future__ import annotations

from mashal.core.dtypes import dtype, float64, int64
from mashal.lower.emit import convert, load_element, real_operation, store_element
from mashal.machine.text import Function, Module, Value


def _kernel() -> tuple[Module, Function, Value]:
    module = Module()
    f = module.function("kernel", "i64", [("ptr", "words")])
    return module, f, f.parameters[0]


def searched(d: dtype, result: dtype, right: bool) -> Module:
    """Where each x would have to be put among sorted boundaries: before equal ones, or (right) after them. nan is last."""
    module, f, words = _kernel()
    out, boundaries, x = (f.word(words, k, "ptr") for k in range(3))
    rows, n, m, own = (f.word(words, 3 + k) for k in range(4))

    def one(r: Value, i: Value) -> None:
        v = load_element(f, d, x, r * m + i, 0)
        begin = r * own * n

        def halve(low: Value, high: Value) -> list[Value]:
            middle = (low + high).shift_right_unsigned(1)
            inside = middle.compare("slt", n)
            b = load_element(f, d, boundaries, begin + f.select(inside, middle, 0), 0)
            below = _not_above(f, d, b, v) if right else _below(f, d, b, v)
            below = f.op("i1", f"and i1 {below.spelling}, {inside.spelling}")
            low, high = f.select(below, middle + 1, low), f.select(below, high, middle)
            return [low.compare("slt", high), low, high]

        low, _ = f.repeat(halve, [f.i64(0), n])
        f.store(convert(f, low, int64, result), out, r * m + i)

    f.loop(0, rows, 1, lambda r: f.loop(0, m, 1, lambda i: one(r, i)))
    f.end(f.constant("i64", -1))
    return module


def _below(f: Function, d: dtype, a: Value, b: Value) -> Value:
    """a < b, with nan above all."""
    if d.kind != "f":
        return real_operation(f, "lt", d, a, b)
    return a.compare("olt", b) | (b.compare("uno", 0.0) & a.compare("ord", 0.0))


def _not_above(f: Function, d: dtype, a: Value, b: Value) -> Value:
    return _below(f, d, b, a) ^ 1


def counted(d: dtype, weight: dtype | None, result: dtype) -> Module:
    """How often each place occurs, or the sum of its weights."""
    module, f, words = _kernel()
    out, x = f.word(words, 0, "ptr"), f.word(words, 1, "ptr")
    weights = f.word(words, 2, "ptr") if weight else None
    bins, n = (f.word(words, (3 if weight else 2) + k) for k in range(2))
    f.call("void", "llvm.memset.p0.i64", out, f.constant("i8", 0), bins * result.itemsize, f.constant("i1", 0))

    def one(i: Value) -> None:
        place = convert(f, load_element(f, d, x, i, 0), d, int64)
        _more(f, result, out, place, weight, weights, i)

    f.loop(0, n, 1, one)
    f.end(f.constant("i64", -1))
    return module


def _more(
    f: Function, d: dtype, out: Value, place: Value, weight: dtype | None, weights: Value | None, i: Value
) -> None:
    now = load_element(f, d, out, place, 0)
    by = f.constant(now.type, 1)
    if weight is not None and weights is not None:
        by = convert(f, load_element(f, weight, weights, i, 0), weight, d)
    store_element(f, d, now + by, out, place)


def binned(d: dtype, weight: dtype | None) -> Module:
    """How many elements (or their weights) are in each of equal bins from low to high; others don't count."""
    module, f, words = _kernel()
    out, x = f.word(words, 0, "ptr"), f.word(words, 1, "ptr")
    weights = f.word(words, 2, "ptr") if weight else None
    first = 3 if weight else 2
    low, high = f.word(words, first, "double"), f.word(words, first + 1, "double")
    n, bins = f.word(words, first + 2), f.word(words, first + 3)
    f.call("void", "llvm.memset.p0.i64", out, f.constant("i8", 0), bins * d.itemsize, f.constant("i1", 0))
    width = high - low

    def one(i: Value) -> None:
        v = convert(f, load_element(f, d, x, i, 0), d, float64)
        inside = v.compare("oge", low) & v.compare("ole", high)

        def add() -> None:
            place = f.convert("fptosi", (v - low) / width * f.convert("sitofp", bins, "double"), "i64")
            _more(f, d, out, f.min(place, bins - 1), weight, weights, i)

        f.if_(inside, add)

    f.loop(0, n, 1, one)
    f.end(f.constant("i64", -1))
    return module


def runs(d: dtype) -> Module:
    """The runs of equal elements, in order."""
    module, f, words = _kernel()
    firsts, which, lengths, total, x = (f.word(words, k, "ptr") for k in range(5))
    n = f.word(words, 5)

    def one(i: Value, run: Value, begin: Value) -> list[Value]:
        v = load_element(f, d, x, i, 0)
        before = load_element(f, d, x, f.max(i - 1, 0), 0)
        if d.is_complex:
            new = v.re.compare("une", before.re) | v.im.compare("une", before.im)
        else:
            new = real_operation(f, "ne", d, v, before)
        new = f.op("i1", f"or i1 {new.spelling}, {i.compare('eq', 0).spelling}")
        run = run + f.convert("zext", new, "i64")
        begin = f.select(new, i, begin)
        f.store(begin, firsts, run)
        f.store(run, which, i)
        f.store(i - begin + 1, lengths, run)
        return [run, begin]

    last, _ = f.loop(0, n, 1, one, [f.i64(-1), f.i64(0)])
    f.store(last + 1, total, 0)
    f.end(f.constant("i64", -1))
    return module
