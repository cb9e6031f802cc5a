"""Attention without its matrix of scores: softmax(q·kᵀ·scale)·v and its gradients, a block of queries at a time.

Dao, Fu, Ermon, Rudra and Ré, FlashAttention (2022): the scores of a block of queries with a block of keys are computed,
used and forgotten. Softmax over several blocks of keys keeps each row's maximum and sum and rescales what was added up
before. Backward computes the scores again from the rows' logarithms of sums. Where attention is causal, blocks of keys
that no query of a block sees are left out.

    forward   words: y, logarithms | q, k, v | scratch, its bytes a thread, for how many threads | scale | sizes | strides of y, q, k, v
    backward  words: gq, gk, gv | q, k, v, y, logarithms, g | scratch, … as above | strides of gq, gk, gv, q, k, v, y, g

Sizes are heads0, heads1 (two dimensions of independent heads), queries, keys, width (of a query), depth (of a value);
strides are three: of heads0, heads1 and the rows, elements of rows are neighbours. The logarithms lie row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mashal.lower import vectormath
from mashal.lower.microkernel import add_direct_tile
from mashal.lower.pack import add_pack
from mashal.lower.problem import PARALLEL_FOR_FEW, PARALLEL_FROM, Block, chunk_function, names
from mashal.lower.small import FEW
from mashal.lower.tiles import Epilogue, Numbers, Tile, ceil_div
from mashal.machine.host import HOST
from mashal.machine.text import SIZES, Function, Module, Value

KEYS = 512  # scores of a row kept at a time
SIZE_WORDS = names("scratch each threads scale heads0 heads1 queries keys width depth")


def forward(element: str, causal: bool) -> Module:
    """The kernel that gives attention and each row's logarithm of the sum of exponentials."""
    return _Forward(element, causal).module


def backward(element: str, causal: bool) -> Module:
    """The kernel that gives the gradients of queries, keys and values."""
    return _Backward(element, causal).module


def scratch_bytes(element: str, queries: int, keys: int, width: int, depth: int, gradient: bool) -> int:
    """What one thread needs: operands packed for the products, and scores.

    >>> scratch_bytes("float", 64, 64, 64, 64, gradient=False) < scratch_bytes("float", 64, 64, 64, 64, gradient=True)
    True
    """
    numbers = Numbers.of(element, HOST)
    tile = Tile.of(HOST, numbers)
    packed = [(keys, width), (depth, keys)]
    if gradient:
        packed = [(keys, width), (keys, depth), (width, keys), (width, queries), (depth, queries)]
    scores = (2 if gradient else 1) * _rows_of(tile) * KEYS
    return SIZES[numbers.compute] * (sum((columns + tile.across) * steps for columns, steps in packed) + scores)


def _rows_of(tile: Tile) -> int:
    """Queries in a block."""
    return 4 * tile.rows


class _Kernel:
    """What forward and backward share: packing, products of blocks, sweeps over rows, the heads shared out."""

    tensors: tuple[str, ...]  # in the order of the words
    strided: tuple[str, ...]

    def __init__(self, element: str, causal: bool):
        self.causal, self.numbers = causal, Numbers.of(element, HOST)
        self.tile, self.type = Tile.of(HOST, self.numbers), self.numbers.compute
        self.lanes, self.rows = self.numbers.width, _rows_of(self.tile)
        self.fields = (*self.tensors, *SIZE_WORDS, *(f"{t}_{d}" for t in self.strided for d in range(3)))
        self.module = Module()
        add_pack(self.module, "pack_panel", self.numbers, self.tile.across, HOST)
        self._add_pack()
        for name, epilogue in (("set", Epilogue()), ("add", Epilogue(accumulate=True))):
            add_direct_tile(self.module, f"{name}_many", self.numbers, self.tile.rows, self.tile, epilogue)
            add_direct_tile(self.module, f"{name}_few", self.numbers, FEW, self.tile, epilogue)
            self._add_product(name)
        self._add_head()
        self._add_kernel()

    # ---------------------------------------------------------------- packing and products
    def _at(self, f: Function, pointer: Value, i: Any) -> Value:
        return f.at(pointer, i, self.type)

    def _add_pack(self) -> None:
        """Adds void pack(panels, source, across, along, columns, steps): a whole operand in panels of columns."""
        parameters = [("ptr", "panels"), ("ptr", "source"), *(("i64", n) for n in names("across along columns steps"))]
        f = self.module.function("pack", parameters=parameters, linkage="internal")
        panels, source, across, along, columns, steps = f.parameters

        def panel(j: Value) -> None:
            here, count = [self._at(f, panels, j * steps), self._at(f, source, j * across)], columns - j
            f.call("void", "pack_panel", *here, across, along, f.min(count, self.tile.across), steps)

        f.loop(0, columns, self.tile.across, panel)
        f.end()

    def _add_product(self, name: str) -> None:
        """Adds void product_NAME(a, rsa, csa, panels, steps, k, c, ldc, m, n): C = A·B, or what is added to it."""
        parameters = [("ptr", "a"), ("i64", "rsa"), ("i64", "csa"), ("ptr", "panels"), ("i64", "steps"), ("i64", "k")]
        parameters += [("ptr", "c"), ("i64", "ldc"), ("i64", "m"), ("i64", "n")]
        f = self.module.function(f"product_{name}", parameters=parameters, linkage="internal")
        a, rsa, csa, panels, steps, k, c, ldc, m, n = f.parameters
        one, nothing, across = f.constant(self.type, 1.0), f.constant("ptr", 0), f.i64(self.tile.across)
        whole = m // self.tile.rows * self.tile.rows

        def panel(j: Value) -> None:
            b = self._at(f, panels, j * steps)

            def rows(kind: str) -> Callable[[Value], None]:
                def some(i: Value) -> None:
                    left, place = [self._at(f, a, i * rsa), rsa, csa], self._at(f, c, i * ldc + j)
                    f.call("void", f"{name}_{kind}", *left, b, across, k, place, ldc, nothing, m - i, n - j, one, one)

                return some

            f.loop(0, whole, self.tile.rows, rows("many"))
            f.loop(whole, m, FEW, rows("few"))

        f.loop(0, n, self.tile.across, panel)
        f.end()

    # ---------------------------------------------------------------- the heads
    def _add_kernel(self) -> None:
        f = self.module.function("kernel", "i64", [("ptr", "words")])
        words = self._words(f, f.parameters[0])
        heads0, heads1, queries, keys, width = words.all("heads0 heads1 queries keys width")
        heads = heads0 * heads1
        small = (heads * queries * keys * width).compare("sle", PARALLEL_FROM)
        threads = f.select(small, 1, words["threads"])
        f.call("void", PARALLEL_FOR_FEW, Value(f, "@attention_head", "ptr"), words.pointer, heads, threads)
        f.end(f.i64(-1))

    def _words(self, f: Function, pointer: Value) -> Block:
        return Block(f, pointer, self.fields, frozenset((*self.tensors, "scratch")))

    def _add_head(self) -> None:
        f, pointer, head, thread = chunk_function(self.module, "attention_head")
        self.f, self.words = f, self._words(f, pointer)
        self.queries, self.keys, self.width, self.depth = self.words.all("queries keys width depth")
        self.scale = self.numbers.scalar(f, self.words["scale"])
        self.head = head
        inner = self.words["heads1"]
        self.places = head // inner, head % inner
        self.free = f.at(self.words["scratch"], thread * self.words["each"], "i8")
        self._head()
        f.end()

    def _head(self) -> None:
        raise NotImplementedError

    def _tensor(self, name: str) -> tuple[Value, Value]:
        """Where this head of a tensor begins, and the stride of its rows."""
        strides = self.words.all(" ".join(f"{name}_{d}" for d in range(3)))
        return self._at(self.f, self.words[name], self.places[0] * strides[0] + self.places[1] * strides[1]), strides[2]

    def _room(self, elements: Any) -> Value:
        """The next elements of this thread's scratch."""
        room, self.free = self.free, self._at(self.f, self.free, elements)
        return room

    def _packed(self, source: Value, across: Any, along: Any, columns: Value, steps: Value) -> tuple[Value, Value]:
        """(panels, steps) of an operand B (steps, columns) with these strides."""
        panels = self._room(ceil_div(columns, self.tile.across) * self.tile.across * steps)
        self.f.call("void", "pack", panels, source, across, along, columns, steps)
        return panels, steps

    def _product(self, how: str, a: Sequence[Any], b: tuple[Value, Value], first: Any, k: Value, c: Value, ldc: Any, m: Value,
                 n: Value, column: Any = 0) -> None:  # fmt: skip
        """C (m, n) = A·B or += it; a: (pointer, row stride, column stride). B's steps from `first` on, k of them, and its
        columns from `column` on, which begins a panel."""
        panels, steps = b
        start = self._at(self.f, panels, self.f.i64(column) * steps + self.f.i64(first) * self.tile.across)
        self.f.call("void", f"product_{how}", *a, start, steps, k, c, ldc, m, n)

    # ---------------------------------------------------------------- blocks and rows
    def _blocks(self, body: Callable[[Value, Value, Value], None]) -> None:
        """body(first query, how many, keys they see) for blocks of queries."""
        f = self.f

        def block(i: Value) -> None:
            count = f.min(self.queries - i, self.rows)
            body(i, count, f.min(i + count, self.keys) if self.causal else self.keys)

        f.loop(0, self.queries, self.rows, block)

    def _seen(self, query: Value, first: Value, count: Value) -> Value:
        """How many of `count` keys from `first` on a query sees."""
        return self.f.max(self.f.min(query + 1 - first, count), 0) if self.causal else count

    def _sweep(self, n: Value, body: Callable[..., Any], initial: Sequence[Value] = ()) -> Any:
        """carried = body(place, mask, *carried) for the vectors of a row of n elements."""
        f, lanes = self.f, self.lanes
        whole = n & -lanes
        now = f.loop(0, whole, lanes, lambda i, *carried: body(i, None, *carried), initial)
        now = [] if now is None else [now] if isinstance(now, Value) else list(now)
        return f.if_(whole.compare("slt", n), lambda: body(whole, f.first(n - whole, lanes), *now), lambda: now)

    def _splat(self, x: Value) -> Value:
        return self.f.splat(x, self.lanes)

    def _load(self, pointer: Value, i: Value, mask: Value | None, other: float = 0.0) -> Value:
        return self.f.load(pointer, i, self.numbers.vector, mask, other=other)

    def _clear(self, row: Value, start: Value, stop: Value) -> None:
        """Zeros in a row's elements from start to stop."""
        zero = self.numbers.zero(self.f)
        rest = self._at(self.f, row, start)
        self._sweep(stop - start, lambda i, mask: self.f.store(zero, rest, i, mask))

    def _exponential(self, x: Value) -> Value:
        return vectormath.emit("exp_nonpositive", self.f, x)


class _Forward(_Kernel):
    tensors = names("y logarithms q k v")
    strided = names("y q k v")

    def _head(self) -> None:
        f, size = self.f, SIZES[self.type]
        (q, q_row), (k, k_row), (v, v_row) = (self._tensor(t) for t in "qkv")
        y, y_row = self._tensor("y")
        keys = self._packed(k, k_row, 1, self.keys, self.width)
        values = self._packed(v, 1, v_row, self.depth, self.keys)
        scores = self._room(self.rows * KEYS)
        tops, sums = (f.stack(self.rows * size) for _ in range(2))

        def block(i: Value, count: Value, seen: Value) -> None:
            here, there = self._at(f, q, i * q_row), self._at(f, y, i * y_row)

            def some_keys(j: Value) -> None:
                n = f.min(seen - j, KEYS)
                self._product("set", (here, q_row, 1), keys, 0, self.width, scores, KEYS, count, n, column=j)
                f.loop(0, count, 1, lambda r: self._softmax(r, self._at(f, scores, r * KEYS), i + r, j, n, tops, sums,
                                                            self._at(f, there, r * y_row)))  # fmt: skip
                a = scores, KEYS, 1
                f.if_(
                    j.compare("eq", 0),
                    lambda: self._product("set", a, values, j, n, there, y_row, count, self.depth),
                    lambda: self._product("add", a, values, j, n, there, y_row, count, self.depth),
                )

            f.loop(0, seen, KEYS, some_keys)
            logarithms = self._at(f, self.words["logarithms"], self.head * self.queries + i)

            def finish(r: Value) -> None:
                top, total = f.load(tops, r, self.type), f.load(sums, r, self.type)
                f.store(top + vectormath.emit("log", f, total), logarithms, r)
                self._scale(self._at(f, there, r * y_row), f.constant(self.type, 1.0) / total)

            f.loop(0, count, 1, finish)

        self._blocks(block)

    def _softmax(
        self, r: Value, row: Value, query: Value, j: Value, n: Value, tops: Value, sums: Value, y: Value
    ) -> None:
        """Scores to exponentials of their distance to the row's maximum so far; what was added up before is rescaled."""
        f, scale = self.f, self._splat(self.scale)
        low = f.constant(self.numbers.vector, float("-inf"))
        seen = self._seen(query, j, n)
        first = j.compare("eq", 0)
        before = f.if_(first, lambda: f.constant(self.type, float("-inf")), lambda: f.load(tops, r, self.type))

        def highest(i: Value, mask: Value | None, best: Value) -> list[Value]:
            x = self._load(row, i, mask) * scale
            return [f.math("maximum", best, x if mask is None else f.select(mask, x, low))]

        top = f.reduce("fmaximum", self._sweep(seen, highest, [self._splat(before)]))
        wide = self._splat(top)

        def exponentials(i: Value, mask: Value | None, total: Value) -> list[Value]:
            e = self._exponential(self._load(row, i, mask) * scale - wide)
            f.store(e, row, i, mask)
            return [total + (e if mask is None else f.select(mask, e, self.numbers.zero(f)))]

        total = f.reduce("fadd", self._sweep(seen, exponentials, [self.numbers.zero(f)]))
        self._clear(row, seen, n)

        def rescaled() -> Value:
            by = self._exponential(before - top)
            self._scale(y, by)
            return f.load(sums, r, self.type) * by

        f.store(total + f.if_(first, lambda: f.constant(self.type, 0.0), rescaled), sums, r)
        f.store(top, tops, r)

    def _scale(self, row: Value, by: Value) -> None:
        wide = self._splat(by)
        self._sweep(self.depth, lambda i, mask: self.f.store(self._load(row, i, mask) * wide, row, i, mask))


class _Backward(_Kernel):
    tensors = names("gq gk gv q k v y logarithms g")
    strided = names("gq gk gv q k v y g")

    def _head(self) -> None:
        f = self.f
        (q, q_row), (k, k_row), (v, v_row), (y, y_row), (g, g_row) = (self._tensor(t) for t in names("q k v y g"))
        (gq, gq_row), (gk, gk_row), (gv, gv_row) = (self._tensor(t) for t in names("gq gk gv"))
        keys_across = self._packed(k, k_row, 1, self.keys, self.width)
        values_across = self._packed(v, v_row, 1, self.keys, self.depth)
        keys = self._packed(k, 1, k_row, self.width, self.keys)
        queries = self._packed(q, 1, q_row, self.width, self.queries)
        gradients = self._packed(g, 1, g_row, self.depth, self.queries)
        weights, slopes = (self._room(self.rows * KEYS) for _ in range(2))
        for size, rows, pointer, row in ((self.width, self.queries, gq, gq_row), (self.width, self.keys, gk, gk_row),
                                         (self.depth, self.keys, gv, gv_row)):  # fmt: skip
            f.loop(0, rows, 1, lambda r, p=pointer, s=row, n=size: self._clear(self._at(f, p, r * s), f.i64(0), n))

        def block(i: Value, count: Value, seen: Value) -> None:
            logarithms = self._at(f, self.words["logarithms"], self.head * self.queries + i)
            q_here, g_here, y_here = (self._at(f, p, i * s) for p, s in ((q, q_row), (g, g_row), (y, y_row)))

            def some_keys(j: Value) -> None:
                n = f.min(seen - j, KEYS)
                self._product("set", (q_here, q_row, 1), keys_across, 0, self.width, weights, KEYS, count, n, column=j)
                self._product("set", (g_here, g_row, 1), values_across, 0, self.depth, slopes, KEYS, count, n, column=j)

                def row(r: Value) -> None:
                    agreement = self._dot(self._at(f, g_here, r * g_row), self._at(f, y_here, r * y_row))
                    p, s = self._at(f, weights, r * KEYS), self._at(f, slopes, r * KEYS)
                    self._slopes(p, s, self._seen(i + r, j, n), n, f.load(logarithms, r, self.type), agreement)

                f.loop(0, count, 1, row)
                to = self._at(f, gq, i * gq_row), gq_row
                self._product("add", (slopes, KEYS, 1), keys, j, n, *to, count, self.width)
                to = self._at(f, gk, j * gk_row), gk_row
                self._product("add", (slopes, 1, KEYS), queries, i, count, *to, n, self.width)
                to = self._at(f, gv, j * gv_row), gv_row
                self._product("add", (weights, 1, KEYS), gradients, i, count, *to, n, self.depth)

            f.loop(0, seen, KEYS, some_keys)

        self._blocks(block)

    def _dot(self, a: Value, b: Value) -> Value:
        """A row of the gradient times the same row of the result: what every score's slope is measured from."""

        def body(i: Value, mask: Value | None, total: Value) -> list[Value]:
            return [self.f.fma(self._load(a, i, mask), self._load(b, i, mask), total)]

        return self.f.reduce("fadd", self._sweep(self.depth, body, [self.numbers.zero(self.f)]))

    def _slopes(self, weights: Value, slopes: Value, seen: Value, n: Value, logarithm: Value, agreement: Value) -> None:
        """Scores to weights, gradients of weights to gradients of what q·kᵀ gave."""
        f = self.f
        scale, lowered, common = (self._splat(x) for x in (self.scale, logarithm, agreement))

        def body(i: Value, mask: Value | None) -> None:
            p = self._exponential(self._load(weights, i, mask) * scale - lowered)
            f.store(p, weights, i, mask)
            f.store(p * (self._load(slopes, i, mask) - common) * scale, slopes, i, mask)

        self._sweep(seen, body)
        self._clear(weights, seen, n)
        self._clear(slopes, seen, n)
