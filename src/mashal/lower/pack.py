"""Packing: a strided block of a matrix copied into panels that the micro-kernel reads in one stream.

A panel holds R neighbours along one dimension (rows of A, columns of B) for every k:
panel[k * R + i] = source[i * across + k * along], in the accumulators' type, or as words of two neighbouring k
for the processors that multiply bfloat pairs. Places past the last neighbour hold zeros or repeat it: their
products are never stored. Three ways, by which stride is 1: copy vectors, transpose blocks, or element by element.
"""

from __future__ import annotations

from mashal.lower.tiles import Numbers, cheap_masks
from mashal.machine.host import Host
from mashal.machine.text import SIZES, Function, Module, Value, vector

SIDE = 8  # of the blocks that are transposed; 16 x 16 is no faster and three times the code
FETCH_FROM = 64  # steps: shorter rows are few cache lines


def transpose(f: Function, rows: list[Value]) -> list[Value]:
    """n vectors of n lanes to their transpose, in log2(n) rounds of two-input shuffles."""
    n, step = len(rows), 1
    while step < n:
        low = [x if not x & step else n + (x & ~step) for x in range(n)]
        high = [x | step if not x & step else n + x for x in range(n)]
        out = list(rows)
        for i in range(n):
            if not i & step:
                a, b = rows[i], rows[i + step]
                out[i], out[i + step] = f.shuffle(a, b, low), f.shuffle(a, b, high)
        rows, step = out, step * 2
    return rows


def add_pack(module: Module, name: str, numbers: Numbers, R: int, host: Host) -> str:
    """Adds void name(panel, source, across, along, count, K): one panel of count <= R neighbours and K steps."""
    parameters = [("ptr noalias", "panel"), ("ptr noalias", "source")]
    parameters += [("i64", p) for p in ("across", "along", "count", "K")]
    f = module.function(name, parameters=parameters, attributes="nounwind noinline", linkage="internal")
    p = _Packing(f, numbers, R, host)
    whole = p.count.compare("sge", R)
    copies = p.across.compare("eq", 1)
    copies = copies if cheap_masks(host) else copies & whole
    transposes = p.along.compare("eq", 1)
    f.if_(copies, p.copy, lambda: f.if_(transposes, p.transpose, p.one_by_one))
    f.end()
    return name


class _Packing:
    """The three ways to fill one panel, as parts of one function."""

    def __init__(self, f: Function, numbers: Numbers, R: int, host: Host):
        self.f, self.numbers, self.R, self.host = f, numbers, R, host
        self.panel, self.source, self.across, self.along, self.count, self.K = f.parameters
        self.side = min(numbers.width, SIDE)
        self.words = self.K if numbers.group == 1 else (self.K + 1).shift_right_unsigned(1)

    def word(self, pointer: Value, k: Value, width: int, count: Value | None = None) -> Value:
        """One panel word (or `width` of them) for step k of the panel, of neighbours behind `pointer`."""
        f, numbers = self.f, self.numbers
        mask = None if count is None else f.first(count, width)
        if numbers.group == 1:
            return numbers.load(f, numbers.at(f, pointer, k * self.along), width, mask)
        type = vector(width, "i16")
        there = (k * 2 + 1).compare("slt", self.K)  # past an odd K the same step is read again, and dropped
        second = f.select(there, k * 2 + 1, k * 2)
        low = f.load(numbers.at(f, pointer, k * 2 * self.along), type=type, mask=mask)
        high = f.load(numbers.at(f, pointer, second * self.along), type=type, mask=mask)
        high = f.select(there, high, f.constant(type, 0))
        return f.convert("zext", low, "i32") | (f.convert("zext", high, "i32") << 16)

    def copy(self) -> None:
        """Neighbours lie side by side: vectors of them, for one k after the other."""
        f, numbers, R = self.f, self.numbers, self.R

        def step(k: Value) -> None:
            for r in range(0, R, numbers.width):
                width = min(numbers.width, R - r)
                count = self.count - r if cheap_masks(self.host) else None
                x = self.word(numbers.at(f, self.source, r), k, width, count)
                f.store(x, f.at(self.panel, k * R + r, numbers.panel))

        f.loop(0, self.words, 1, step)

    def transpose(self) -> None:
        """Steps of k lie side by side: blocks of vectors along k are transposed in registers."""
        f, numbers, R = self.f, self.numbers, self.R
        n = max(n for n in range(1, self.side + 1) if R % n == 0)

        def some_neighbours(r: Value) -> None:
            pointers = [numbers.at(f, self.source, f.min(r + i, self.count - 1) * self.across) for i in range(n)]
            f.if_(self.K.compare("sgt", FETCH_FROM), lambda: self.fetch(r, n))
            if cheap_masks(self.host):
                f.loop(0, self.words, self.side, lambda k: self.block(pointers, r, k, masked=True))
                return
            whole = self.words & -self.side
            f.loop(0, whole, self.side, lambda k: self.block(pointers, r, k, masked=False))
            f.loop(whole, self.words, 1, lambda k: self.column(pointers, r, k))

        self.clear()
        f.loop(0, self.count, n, some_neighbours)

    def clear(self) -> None:
        """Zeros where neighbours are missing: what lay there might be denormal, which some processors are slow with."""
        f, R, panel = self.f, self.R, self.numbers.panel

        def step(k: Value) -> None:
            f.store(f.constant(vector(R, panel), 0), f.at(self.panel, k * R, panel))

        f.if_(self.count.compare("slt", R), lambda: f.loop(0, self.words, 1, step))

    def fetch(self, r: Value, n: int) -> None:
        """Asks for n rows one after the other: a transpose reads them side by side, which prefetchers don't follow."""
        f, numbers = self.f, self.numbers
        size = SIZES[numbers.memory]

        def row(i: Value) -> None:
            start = numbers.at(f, self.source, i * self.across)

            def line(at: Value) -> None:
                near = Value(f, "3", "i32")
                f.call("void", "llvm.prefetch.p0", f.at(start, at, "i8"), f.value(0, "i32"), near, f.value(1, "i32"))

            f.loop(0, self.K * size, 64, line)

        f.loop(r, f.min(r + n, self.count), 1, row)

    def block(self, pointers: list[Value], r: Value, k: Value, masked: bool) -> None:
        """One block: a vector of steps from k for each pointer, stored step by step."""
        f, numbers, R = self.f, self.numbers, self.R
        n, side = len(pointers), self.side
        rows = [self.steps(p, k, masked) for p in pointers]
        rows += [f.constant(vector(side, numbers.panel), 0)] * (side - n)
        columns = transpose(f, rows)
        if n < side:
            columns = [f.shuffle(c, c, range(n)) for c in columns]

        def store_all() -> None:
            for t, c in enumerate(columns):
                f.store(c, f.at(self.panel, (k + t) * R + r, numbers.panel))

        def store_some() -> None:
            tile = f.stack(side * side * SIZES[numbers.panel])
            for t, c in enumerate(columns):
                f.store(c, f.at(tile, t * side, numbers.panel))

            def one(t: Value) -> None:
                c = f.load(f.at(tile, t * side, numbers.panel), type=vector(n, numbers.panel))
                f.store(c, f.at(self.panel, (k + t) * R + r, numbers.panel))

            f.loop(0, self.words - k, 1, one)

        if masked:
            f.if_((k + side).compare("sle", self.words), store_all, store_some)
        else:
            store_all()

    def steps(self, pointer: Value, k: Value, masked: bool) -> Value:
        """A vector of panel words from step k on, where steps are neighbours in memory."""
        f, numbers = self.f, self.numbers
        width = self.side * numbers.group
        first = k * numbers.group
        mask = f.first(self.K - first, width) if masked else None
        if numbers.group == 1:
            return numbers.load(f, numbers.at(f, pointer, first), width, mask)
        x = f.load(numbers.at(f, pointer, first), type=vector(width, "i16"), mask=mask)
        return f.op(vector(self.side, "i32"), f"bitcast {x} to {vector(self.side, 'i32')}")

    def column(self, pointers: list[Value], r: Value, k: Value) -> None:
        for i, p in enumerate(pointers):
            self.f.store(self.word(p, k, 0), self.panel, k * self.R + (r + i))

    def one_by_one(self) -> None:
        """Neither stride is 1, or masks are dear: every element by itself."""
        f, numbers = self.f, self.numbers
        self.clear()

        def step(k: Value) -> None:
            def one(i: Value) -> None:
                x = self.word(numbers.at(f, self.source, i * self.across), k, 0)
                f.store(x, self.panel, k * self.R + i)

            f.loop(0, self.count, 1, one)

        f.loop(0, self.words, 1, step)
