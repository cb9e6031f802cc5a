"""Kernels over masks: how many are true, where they are, and the elements there. Masks are contiguous bytes.

count        words: counted | mask | n
positions    words: out | mask | total | n | sizes (rank): row d of out has the index in dimension d of every true place
compressed   words: out | x | mask | n: the elements of x at true places, one behind the other
expanded     words: x | source | mask | n | length: the reverse; reports n if source has fewer than are needed
"""

from __future__ import annotations

from collections.abc import Callable

from mashal.machine.text import Function, Module, Value, vector

LANES = 32


def _each_true(f: Function, mask: Value, n: Value, body: Callable[[Value, Value], None]) -> Value:
    """body(place, how many before) for each true place in order; returns how many there are."""
    bytes, bits = vector(LANES, "i8"), f"i{LANES}"
    whole = n & -LANES

    def block(i: Value, found: Value) -> Value:
        raised = f.load(mask, i, bytes).compare("ne", 0)
        left = f.convert("zext", f.op(bits, f"bitcast {raised} to {bits}"), "i64")
        count = f.call("i64", "llvm.ctpop.i64", left)

        def one(k: Value, left: Value) -> Value:
            lane = f.call("i64", "llvm.cttz.i64", left, Value(f, "true", "i1"))
            body(i + lane, found + k)
            return left & (left - 1)

        f.loop(0, count, 1, one, [left])
        return found + count

    found = f.loop(0, whole, LANES, block, [f.i64(0)])

    def single(i: Value, found: Value) -> Value:
        true = f.load(mask, i, "i8").compare("ne", 0)
        f.if_(true, lambda: body(i, found))
        return found + f.convert("zext", true, "i64")

    return f.loop(whole, n, 1, single, [found])


def _kernel() -> tuple[Module, Function, Value]:
    module = Module()
    f = module.function("kernel", "i64", [("ptr", "words")])
    return module, f, f.parameters[0]


def count() -> Module:
    """How many are true."""
    module, f, words = _kernel()
    out, mask, n = f.word(words, 0, "ptr"), f.word(words, 1, "ptr"), f.word(words, 2)
    bytes = vector(LANES, "i8")
    whole = n & -LANES

    def block(i: Value, found: Value) -> Value:
        raised = f.load(mask, i, bytes).compare("ne", 0)
        bits = f.op(f"i{LANES}", f"bitcast {raised} to i{LANES}")
        return found + f.call("i64", "llvm.ctpop.i64", f.convert("zext", bits, "i64"))

    found = f.loop(0, whole, LANES, block, [f.i64(0)])
    one: Callable[[Value, Value], Value] = lambda i, k: (
        k + f.convert("zext", f.load(mask, i, "i8").compare("ne", 0), "i64")
    )
    found = f.loop(whole, n, 1, one, [found])
    f.store(found, out, 0)
    f.end(f.constant("i64", -1))
    return module


def positions(rank: int) -> Module:
    """Where the true places are."""
    module, f, words = _kernel()
    out, mask, total, n = f.word(words, 0, "ptr"), f.word(words, 1, "ptr"), f.word(words, 2), f.word(words, 3)
    sizes = [f.word(words, 4 + d) for d in range(rank)]

    def put(place: Value, k: Value) -> None:
        for d in range(rank - 1, -1, -1):
            following = f.op("i64", f"udiv i64 {place.spelling}, {sizes[d].spelling}") if d else place
            f.store(place - following * sizes[d] if d else place, out, total * d + k)
            place = following

    _each_true(f, mask, n, put)
    f.end(f.constant("i64", -1))
    return module


def compressed(type: str) -> Module:
    """The elements at true places."""
    module, f, words = _kernel()
    out, x, mask, n = (*(f.word(words, i, "ptr") for i in range(3)), f.word(words, 3))
    _each_true(f, mask, n, lambda place, k: f.store(f.load(x, place, type), out, k))
    f.end(f.constant("i64", -1))
    return module


def expanded(type: str) -> Module:
    """Elements put at true places, in order."""
    module, f, words = _kernel()
    x, source, mask, n, length = (*(f.word(words, i, "ptr") for i in range(3)), f.word(words, 3), f.word(words, 4))

    def put(place: Value, k: Value) -> None:
        f.if_(k.compare("slt", length), lambda: f.store(f.load(source, k, type), x, place))

    found = _each_true(f, mask, n, put)
    f.end(f.select(found.compare("sgt", length), n, f.constant("i64", -1)))
    return module
