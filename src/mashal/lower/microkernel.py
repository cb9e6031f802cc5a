"""The micro-kernels: one tile of C in registers, and how it comes to memory.

`add_packed_tile` reads packed panels, `add_direct_tile` reads A where it lies. Both keep rows x vectors
accumulators in registers over the whole of k and end in `finish`: whole tiles with nothing to add go straight to
memory; edges, beta, bias and activation share one copy of code that takes the tile through the stack.

When k is cut into blocks, partial sums wait in C itself, or for half types in float32 scratch, so that a result is
rounded once.
"""

from __future__ import annotations

from dataclasses import dataclass

from mashal.lower.tiles import Epilogue, Numbers, Tile
from mashal.machine.text import SIZES, Function, Module, Value

RUN = 192  # steps along k summed in one chain


@dataclass
class Place:
    """Where one tile goes. first and last are i1 values, or None when k is not cut."""

    c: Value
    ldc: Value
    m: Value
    n: Value
    bias: Value
    alpha: Value
    beta: Value
    partial: Value
    ldp: Value
    first: Value | None = None
    last: Value | None = None


def add_packed_tile(module: Module, name: str, numbers: Numbers, tile: Tile, epilogue: Epilogue, blocked) -> str:
    """Adds void name(a, b, words, c, partial, bias, m, n, context): C's tile from two panels of `words` steps.

    blocked reads the context: an object with `place(f, context, c, partial, bias, m, n)` -> Place.
    """
    parameters = [("ptr noalias", "a"), ("ptr noalias", "b"), ("i64", "words"), ("ptr", "c"), ("ptr", "partial")]
    parameters += [("ptr", "bias"), ("i64", "m"), ("i64", "n"), ("ptr", "context")]
    f = module.function(name, parameters=parameters, attributes="nounwind noinline", linkage="internal")
    a, b, words, c, partial, bias, m, n, context = f.parameters
    word = numbers.panel
    panel_vector = f"<{numbers.width} x {word}>"

    def step(k: Value, *sums: Value) -> list[Value]:
        row, column = f.at(a, k * tile.rows, word), f.at(b, k * tile.across, word)
        right = [
            f.load(column, j * numbers.width, panel_vector, align=numbers.width * SIZES[word])
            for j in range(tile.vectors)
        ]
        return _products(f, numbers, tile.rows, lambda i: f.load(row, i, word), right, sums)

    if epilogue.follow is not None:
        _prefetch(f, numbers, tile, tile.rows, epilogue, blocked.place(f, context, c, partial, bias, m, n))
    _, *sums = _summed(f, numbers, words, lambda k, _, *sums: [a, *step(k, *sums)], [a], tile.rows * tile.vectors)
    finish(f, numbers, tile.rows, tile.vectors, epilogue, sums, blocked.place(f, context, c, partial, bias, m, n))
    f.end()
    return name


def add_direct_tile(module: Module, name: str, numbers: Numbers, rows: int, tile: Tile, epilogue: Epilogue) -> str:
    """Adds void name(a, rsa, csa, b, ldb, K, c, ldc, bias, m, n, alpha, beta): A is read through its strides.

    With rows > 4 there must be that many; up to 4 the missing ones are read as the last. B has whole tiles of
    columns as panel words. Where those are pairs of k, csa is 1 and K even.
    """
    parameters = [("ptr noalias", "a"), ("i64", "rsa"), ("i64", "csa"), ("ptr noalias", "b"), ("i64", "ldb")]
    parameters += [("i64", "K"), ("ptr noalias", "c"), ("i64", "ldc"), ("ptr", "bias"), ("i64", "m"), ("i64", "n")]
    parameters += [(numbers.compute, "alpha"), ("ptr" if epilogue.follow else numbers.compute, "beta")]
    f = module.function(name, parameters=parameters, attributes="nounwind noinline", linkage="internal")
    a, rsa, csa, b, ldb, K, c, ldc, bias, m, n, alpha, beta = f.parameters
    if rows > 4:  # a base every 4 rows and 3 offsets: 12 pointers would not fit x86's registers
        offsets = [f.i64(0), rsa, rsa * 2, rsa * 3]
        bases = [numbers.at(f, a, rsa * i) for i in range(0, rows, 4)]
    else:
        offsets = [f.i64(0)]
        bases = [numbers.at(f, a, f.min(f.i64(i), m - 1) * rsa) for i in range(rows)]
    per_base = len(offsets)

    def step(k: Value, column: Value, *carried: Value) -> list[Value]:
        here, sums = [_opaque(f, p) for p in carried[: len(bases)]], carried[len(bases) :]
        right = [f.load(column, j * numbers.width, f"<{numbers.width} x {numbers.panel}>") for j in range(tile.vectors)]

        def left(i: int) -> Value:
            address = numbers.at(f, here[i // per_base], offsets[i % per_base])
            return numbers.load(f, address) if numbers.group == 1 else f.load(address, type="i32", align=2)

        products = _products(f, numbers, rows, left, right, sums)
        return [f.at(column, ldb, numbers.panel), *(numbers.at(f, p, along) for p in here), *products]

    if epilogue.follow is not None:
        _prefetch(f, numbers, tile, rows, epilogue, Place(c, ldc, m, n, bias, alpha, beta, c, ldc))
    along, words = (csa, K) if numbers.group == 1 else (csa * 2, K.shift_right_unsigned(1))
    carried = _summed(f, numbers, words, step, [b, *bases], rows * tile.vectors)
    place = Place(c, ldc, m, n, bias, alpha, beta, c, ldc)
    finish(f, numbers, rows, tile.vectors, epilogue, carried[1 + len(bases) :], place)
    f.end()
    return name


def _prefetch(f: Function, numbers: Numbers, tile: Tile, rows: int, epilogue: Epilogue, place: Place) -> None:
    """Asks for what the epilogue will read beside a tile, before its sums are added up."""
    follow, bytes = epilogue.follow, tile.across * SIZES[numbers.memory]
    assert follow is not None
    f.loop(0, rows, 1, lambda i: follow.prefetch(f, place.beta, numbers.at(f, place.c, place.ldc * i), bytes))


def _opaque(f: Function, pointer: Value) -> Value:
    """The same pointer, of which LLVM knows nothing: else it keeps an address for each row, too many for registers."""
    return f.op("ptr", f'call ptr asm "", "=r,0"({pointer})')


def _summed(f: Function, numbers: Numbers, words: Value, step, pointers: list[Value], count: int) -> list[Value]:
    """[*pointers, *sums] after `words` steps of step(k, *pointers, *sums), with `count` accumulators from 0.

    One long chain of additions loses digits with its length; after every RUN steps the accumulators are added to
    totals on the stack and start anew.
    """
    size = numbers.width * SIZES[numbers.compute]
    totals, zeros = f.stack(count * size), [numbers.zero(f)] * count

    def total(i: int) -> Value:
        return f.load(f.at(totals, i * size, "i8"), type=numbers.vector, align=size)

    def run(start: Value, *carried: Value) -> list[Value]:
        stop = f.min(start + RUN, words)
        after = f.loop(start, stop, 1, step, [*carried[: len(pointers)], *zeros])

        def keep(add: bool) -> None:
            for i, x in enumerate(after[len(pointers) :]):
                f.store(total(i) + x if add else x, f.at(totals, i * size, "i8"), align=size)

        f.if_(
            stop.compare("slt", words), lambda: f.if_(start.compare("eq", 0), lambda: keep(False), lambda: keep(True))
        )
        return after

    if not numbers.floating:
        return f.loop(0, words, 1, step, [*pointers, *zeros])
    carried = f.loop(0, words, RUN, run, [*pointers, *zeros])
    sums = carried[len(pointers) :]
    several = words.compare("sgt", RUN)
    sums = f.if_(several, lambda: [x + total(i) for i, x in enumerate(sums)], lambda: sums)
    return [*carried[: len(pointers)], *sums]


def _products(f: Function, numbers: Numbers, rows: int, left, right: list[Value], sums) -> list[Value]:
    """sums[i, j] + left(i) * right[j]"""
    out = []
    for i in range(rows):
        a = f.splat(left(i), numbers.width)
        out += [numbers.add_words(f, a, b, sums[i * len(right) + j]) for j, b in enumerate(right)]
    return out


def finish(f: Function, numbers: Numbers, rows: int, vectors: int, epilogue: Epilogue, sums, place: Place) -> None:
    """Writes a tile of sums to its place."""
    if epilogue.alpha:
        sums = [x * f.splat(place.alpha, numbers.width) for x in sums]
    across = vectors * numbers.width

    def directly(add: bool) -> None:
        for i in range(rows):
            row = numbers.at(f, place.c, place.ldc * i)
            for j in range(vectors):
                x, at = sums[i * vectors + j], numbers.at(f, row, j * numbers.width)
                numbers.store(f, numbers.load(f, at, numbers.width) + x if add else x, at)

    def through_the_stack() -> None:
        _finish_carefully(f, numbers, rows, vectors, epilogue, sums, place, inside)

    inside = whole = place.m.compare("sge", rows) & place.n.compare("sge", across)
    first, last = place.first, place.last
    if first is None or last is None:
        if epilogue.fused or epilogue.accumulate:
            through_the_stack()
        else:
            f.if_(whole, lambda: directly(False), through_the_stack)
        return
    if numbers.memory != numbers.compute:
        through_the_stack()
        return
    if epilogue.fused:
        whole = whole & last.compare("eq", 0)
    if epilogue.accumulate:
        f.if_(whole & first.compare("eq", 0), lambda: directly(True), through_the_stack)
    else:
        f.if_(whole, lambda: f.if_(first, lambda: directly(False), lambda: directly(True)), through_the_stack)


def _finish_carefully(
    f: Function, numbers: Numbers, rows: int, vectors: int, epilogue: Epilogue, sums, place: Place, whole: Value
) -> None:
    """Edges, beta and what is fused: row by row from a copy of the tile on the stack; masked if the tile isn't whole."""
    size, width = SIZES[numbers.compute], numbers.width
    across = vectors * width
    buffer = f.stack(rows * across * size)
    m, n = f.min(place.m, rows), f.min(place.n, across)
    for i, x in enumerate(sums):
        f.store(x, f.at(buffer, i * width, numbers.compute), align=width * size)

    def each_row(i: Value, masked: bool) -> None:
        def each_vector(j: Value) -> None:
            x = f.load(f.at(buffer, i * across + j, numbers.compute), type=numbers.vector, align=width * size)
            finish_vector(f, numbers, epilogue, x, place, i, j, f.first(n - j, width) if masked else None)

        f.loop(0, n, width, each_vector)

    def all_rows(masked: bool) -> None:
        f.loop(0, m, 1, lambda i: each_row(i, masked))

    if not epilogue.fused:  # then whole tiles come here but rarely
        return all_rows(True)
    f.if_(whole, lambda: all_rows(False), lambda: all_rows(True))  # masked stores of whole lines are slow


def finish_vector(f: Function, numbers: Numbers, epilogue: Epilogue, x: Value, place: Place, i, j, mask) -> None:
    """One vector of sums, of row i from column j on, to its place."""
    c = numbers.at(f, place.c, place.ldc * i + j)

    def with_old() -> Value:
        if not epilogue.accumulate:
            return x
        old = numbers.load(f, c, numbers.width, mask)
        return numbers.add_product(f, f.splat(place.beta, numbers.width), old, x)

    def complete(x: Value) -> Value:
        bias = numbers.at(f, place.bias, j)
        x = epilogue.apply(f, numbers, x, lambda: numbers.load(f, bias, numbers.width, mask))
        return x if epilogue.follow is None else epilogue.follow.apply(f, place.beta, c, x, mask)

    if place.first is None or place.last is None:
        numbers.store(f, complete(with_old()), c, mask)
        return
    if numbers.rounds:
        partial = f.at(place.partial, place.ldp * i + j, numbers.compute)
        x = f.if_(place.first, with_old, lambda: x + f.load(partial, type=numbers.vector, mask=mask))
        f.if_(
            place.last,
            lambda: numbers.store(f, complete(x), c, mask),
            lambda: f.store(x, partial, mask=mask),
        )
        return
    x = f.if_(place.first, with_old, lambda: x + numbers.load(f, c, numbers.width, mask))
    if epilogue.fused:
        x = f.if_(place.last, lambda: complete(x), lambda: x)
    numbers.store(f, x, c, mask)
