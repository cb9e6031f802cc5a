"""Kernels of rowwise nests: reductions, and what is made of them (softmax, norms, losses), each row in a few sweeps.

    words: results' pointers | operands (pointers, numbers) | scratch, if split
           | sizes of the kept dimensions | sizes of the reduced ones
           | for results, then tensor operands: strides of the kept dimensions, strides of the reduced ones

A row's `over` nodes are computed in sweeps, those that depend on no other in one sweep; a last sweep writes what varies
within the row. What is costly and needed again (softmax's exp) waits in the result's own memory. Schedules:

    along    lanes along the reduced dimension, rows one after another
    across   lanes along the innermost kept dimension, many rows at once
    split    few long rows: each is cut into pieces of a fixed size, whose parts are joined in order
    short    one short row added up: along, in the very order of PyTorch's sum, for the same bits

Which one follows from sizes and strides alone (`ops.run`), so results do not depend on the number of threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mashal.core.dtypes import bool as bool_
from mashal.core.dtypes import dtype
from mashal.lang.expression import Expression, walk
from mashal.lang.expression import place as place_
from mashal.lang.nest import Nest
from mashal.lower.emit import (
    Complex,
    Emitter,
    complex_operation,
    extremum,
    gather_element,
    load_element,
    real_operation,
    register_type,
    scatter_element,
    store_element,
)  # fmt: skip
from mashal.lower.pointwise import CHEAP, GRAIN, MASKED_FROM, lanes_of, number_word
from mashal.lower.schedule import UNIT, ZERO
from mashal.machine.host import HOST
from mashal.machine.text import SIZES, Function, Module, Value, vector
from mashal.machine.threads import PARALLEL_FOR

ALONG, ACROSS, SPLIT, SHORT = "along", "across", "split", "short"
PIECE = 1 << 14  # elements of a piece of a split row
SHORTEST = 512  # elements up to which a row is short: what PyTorch adds up without parts of parts
LIGHT = 20  # the weight up to which a sweep joins several vectors a step
_JOIN = {"sum": "add", "prod": "mul", "max": "max", "min": "min", "any": "or", "all": "and"}
_COSTLY = ("exp", "exp_nonpositive", "log", "tanh", "erf", "sigmoid", "pow", "div")
_HORIZONTAL = {"sum": ("add", "fadd"), "prod": ("mul", "fmul"), "any": ("or", "or"), "all": ("and", "and")}


@dataclass(frozen=True)
class RowLayout:
    """schedule; kept and reduced: dimensions left after collapsing; modes: how each tensor lies along the dimension with
    the lanes (the innermost reduced one; `across`: the innermost kept one). unroll: how many vectors a step of each sweep
    joins, if not what the nest alone suggests (`unrolled`): it decides in which order a sum is added up."""

    schedule: str
    kept: int
    reduced: int
    modes: tuple[str, ...]
    unroll: tuple[int, ...] = ()


def rowwise(nest: Nest, layout: RowLayout) -> Module:
    """The kernel of a rowwise nest for operands that lie in a given way."""
    return _Writer(nest, layout).module


def pieces(length: int) -> int:
    """Into how many pieces a split row of this length is cut."""
    return -(-length // PIECE)


def scratch_bytes(nest: Nest, rows: int, length: int) -> int:
    """What a split kernel needs for the parts of its rows."""
    return 16 * rows * pieces(length)


def _inside(roots: Sequence[Expression]) -> set[Expression]:
    """The nodes below the roots that are computed with them: not those below a further `over`."""
    found: set[Expression] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            if node.kind != "over":
                stack.extend(node.operands)
    return found


def identity(kind: str, d: dtype) -> float | int:
    """What changes nothing when joined by `kind`."""
    if kind in ("sum", "any"):
        return 0
    if kind in ("prod", "all"):
        return 1
    low = kind in ("max", "argmax")
    if d.kind == "f":
        return float("-inf") if low else float("inf")
    if d.kind == "b":
        return 0 if low else 1
    bits = d.itemsize * 8
    if d.kind == "u":
        return 0 if low else (1 << bits) - 1
    return -(1 << (bits - 1)) if low else (1 << (bits - 1)) - 1


def lanes_in_rows(nest: Nest, layout: RowLayout) -> int:
    """Elements in a vector: as many of the widest type that a sweep meets as a register holds; places don't count."""
    if layout.schedule == SHORT:
        return 32 // phases_of(nest)[0][0].dtype.itemsize
    met = [node.dtype for node in nest.varying() if node.kind != "place"]
    if not met:
        return lanes_of(nest)
    stored = [d for e, d in nest.results if not nest.per_row(e)]
    widest = max(max(SIZES[register_type(d)] for d in met), max((SIZES[d.llvm] for d in stored), default=1))
    places = any(
        node.kind == "place" or (node.kind == "over" and node.value.startswith("arg"))
        for node in walk(e for e, _ in nest.results)
    )
    return min(HOST.lanes(4) if places else 64, HOST.lanes(widest))


def _weight(nest: Nest) -> int:
    """How much one element of a row costs, in units of an addition; what is computed once a row doesn't count."""
    varying = nest.varying()
    kept = tuple(node for node in walk(e for e, _ in nest.results) if node in varying and node.kind not in CHEAP)
    return 1 + 8 * len(kept)


# ---------------------------------------------------------------- what to do in which order
def phases_of(nest: Nest) -> list[list[Expression]]:
    """The `over` nodes by how many others they depend on, one below the other."""
    depth: dict[Expression, int] = {}
    overs = []
    for node in walk(e for e, _ in nest.results):
        below = max((depth[o] for o in node.operands), default=0)
        depth[node] = below + (node.kind == "over")
        if node.kind == "over":
            overs.append(node)
    last = max((depth[o] for o in overs), default=0)
    return [[o for o in overs if depth[o] == d] for d in range(1, last + 1)]


def sweeps_of(nest: Nest, phases: list[list[Expression]]) -> list[set[Expression]]:
    """What each sweep over a row computes: those of the phases, then the one that stores what varies within the row."""
    sweeps = [_inside([o.operands[0] for o in phase]) for phase in phases]
    sweeps.append(_inside([e for e, _ in nest.results if not nest.per_row(e)]))
    return sweeps


def waiting_in(nest: Nest, schedule: str, phases: list[list[Expression]]) -> tuple[int, Expression, int] | None:
    """(phase, node, result): a costly node computed in that phase and needed later, and the result whose memory keeps it."""
    if schedule == SPLIT:
        return None
    varying = nest.varying()
    stores = [r for r, (e, _) in enumerate(nest.results) if not nest.per_row(e)]
    sweeps = sweeps_of(nest, phases)
    for p, sweep in enumerate(sweeps[:-1]):
        later = set().union(*sweeps[p + 1 :])
        for node in sweep:
            costly = node.kind in _COSTLY and node in varying
            room = [r for r in stores if nest.results[r][1] is node.dtype]
            if costly and node in later and room:
                return p, node, room[0]
    return None


def unrolled(nest: Nest, layout: RowLayout) -> tuple[int, ...]:
    """How many vectors a step of each phase's sweep joins."""
    if layout.unroll:
        return layout.unroll
    phases = phases_of(nest)
    waiting = waiting_in(nest, layout.schedule, phases)
    light = layout.schedule != ACROSS and layout.reduced == 1 and _weight(nest) <= LIGHT
    kept = -1 if waiting is None else waiting[0]
    return tuple(4 if light and len(phase) == 1 and p != kept else 1 for p, phase in enumerate(phases))


def is_plain_sum(nest: Nest) -> bool:
    """Whether rows are only added up, as floating numbers, by a sweep that costs little."""
    overs = [node for node in walk(e for e, _ in nest.results) if node.kind == "over"]
    return [node.value for node in overs] == ["sum"] and overs[0].dtype.kind == "f" and _weight(nest) <= LIGHT


class _Writer:
    def __init__(self, nest: Nest, layout: RowLayout):
        self.nest, self.layout = nest, layout
        self.lanes = lanes_in_rows(nest, layout)
        self.weight = _weight(nest)
        self.n_results = len(nest.results)
        self.first = self.n_results + len(nest.operands) + (layout.schedule == SPLIT)
        self.tensors = [
            *range(self.n_results),
            *(self.n_results + i for i, o in enumerate(nest.operands) if not o.number),
        ]
        self.varying = nest.varying() | {_PLACE}
        self.overs = [node for node in walk(e for e, _ in nest.results) if node.kind == "over"]
        self.phases = phases_of(nest)
        self.unroll = unrolled(nest, layout)
        self.stores = [r for r, (e, _) in enumerate(nest.results) if not nest.per_row(e)]
        self.waiting = waiting_in(nest, layout.schedule, self.phases)
        self.module = Module()
        self.run: Function | None = None
        self.loaded: dict[int, Value] = {}
        self._write_run()
        self._write_kernel()

    # ---------------------------------------------------------------- words
    def _word(self, f: Function, words: Value, i: int) -> Value:
        """A word of sizes and strides; in the loops those read once at their entry."""
        return self.loaded[i] if f is self.run else f.word(words, i)

    def _size(self, f: Function, words: Value, d: int) -> Value:
        return self._word(f, words, self.first + d)

    def _stride(self, f: Function, words: Value, tensor: int, d: int) -> Value:
        ranks = self.layout.kept + self.layout.reduced
        return self._word(f, words, self.first + ranks * (1 + self.tensors.index(tensor)) + d)

    def _dtype(self, tensor: int) -> dtype:
        return (
            self.nest.results[tensor][1]
            if tensor < self.n_results
            else self.nest.operands[tensor - self.n_results].dtype
        )

    def _moved(self, f: Function, pointer: Value, tensor: int, elements: Any) -> Value:
        d = self._dtype(tensor)
        return f.at(pointer, elements * 2 if d.is_complex else elements, d.llvm)

    # ---------------------------------------------------------------- sharing out
    def _columns(self) -> int:
        """Rows taken at once: how many vectors wide the `across` schedule works, in elements."""
        return self.lanes * (4 if self.weight < 20 else 2)

    def _units(self, f: Function, words: Value) -> Value:
        """How many shares of work there are at most: rows, or blocks of rows side by side."""
        sizes = [self._size(f, words, d) for d in range(self.layout.kept)]
        if self.layout.schedule == ACROSS:
            sizes[-1] = (sizes[-1] + (self._columns() - 1)) // self._columns()
        total = f.i64(1)
        for n in sizes:
            total = total * n if total.spelling.startswith("%") else n
        return total

    def _length(self, f: Function, words: Value) -> Value:
        total = self._size(f, words, self.layout.kept)
        for d in range(1, self.layout.reduced):
            total = total * self._size(f, words, self.layout.kept + d)
        return total

    def _write_kernel(self) -> None:
        f = self.module.function("kernel", "i64", [("ptr", "words")])
        (words,) = f.parameters
        if self.layout.schedule == SPLIT:
            return self._write_split(f, words)
        units = self._units(f, words)
        each = self._length(f, words) * (self._columns() if self.layout.schedule == ACROSS else 1)
        grain = max(GRAIN // self.weight, 1024)
        chunk = self.module.function(
            "kernel_chunk", "void", [("ptr", "words"), ("i64", "chunk"), ("i64", "thread")], linkage="internal"
        )
        self._write_chunk(chunk, grain)

        def together():
            step = f.max(f.i64(grain // 2) // each, 1)
            f.call("void", PARALLEL_FOR, Value(f, "@kernel_chunk", "ptr"), words, (units + step - 1) // step)

        f.if_((units * each).compare("sgt", grain), together, lambda: f.call("void", "kernel_run", words, 0, units))
        f.end(f.constant("i64", -1))

    def _write_chunk(self, f: Function, grain: int) -> None:
        words, chunk, _ = f.parameters
        each = self._length(f, words) * (self._columns() if self.layout.schedule == ACROSS else 1)
        step = f.max(f.i64(grain // 2) // each, 1)
        f.call("void", "kernel_run", words, chunk * step, f.min((chunk + 1) * step, self._units(f, words)))
        f.end()

    # ---------------------------------------------------------------- rows
    def _write_run(self) -> None:
        parameters = [("ptr", "words"), ("i64", "start"), ("i64", "stop")]
        f = self.module.function("kernel_run", "void", parameters, linkage="internal")
        words, start, stop = f.parameters
        ranks = self.layout.kept + self.layout.reduced
        last = self.first + ranks * (1 + len(self.tensors))
        self.run, self.loaded = f, {i: f.word(words, i) for i in range(self.first, last)}
        if self.layout.schedule == SPLIT:
            f.loop(start, stop, 1, lambda unit: self._piece(f, words, unit))
        else:
            f.loop(start, stop, 1, lambda unit: self._unit(f, words, unit))
        f.end()

    def _begin(self, f: Function, words: Value, index: Value, last: Value | None) -> dict[int, Value]:
        """Pointers to the row of this number; `last` replaces the index in the innermost kept dimension."""
        offsets: dict[int, Value | None] = dict.fromkeys(self.tensors)
        left = index
        kept = self.layout.kept
        order = range(kept - 1, -1, -1)
        for d in order:
            if last is not None and d == kept - 1:
                place = last
            elif d:
                n = self._size(f, words, d)
                following = f.op("i64", f"udiv i64 {left.spelling}, {n.spelling}")
                place, left = left - following * n, following
            else:
                place = left
            for t in self.tensors:
                part = place * self._stride(f, words, t, d)
                before = offsets[t]
                offsets[t] = part if before is None else before + part
        return {t: f.word(words, t, "ptr") if offsets[t] is None else self._moved(f, f.word(words, t, "ptr"), t, offsets[t])
                for t in self.tensors}  # fmt: skip

    def _unit(self, f: Function, words: Value, unit: Value) -> None:
        if self.layout.schedule != ACROSS:
            pointers = self._begin(f, words, unit, None)
            return _Row(self, f, words, pointers, None, 1).write()
        inner = self._size(f, words, self.layout.kept - 1)
        blocks = (inner + (self._columns() - 1)) // self._columns()
        outer = f.op("i64", f"udiv i64 {unit.spelling}, {blocks.spelling}")
        column = (unit - outer * blocks) * self._columns()
        pointers = self._begin(f, words, outer, column)
        left = inner - column
        wide = self._columns() // self.lanes

        def narrow():
            def some(j):
                moved = {
                    t: self._moved(f, p, t, j * self._stride(f, words, t, self.layout.kept - 1))
                    for t, p in pointers.items()
                }
                _Row(self, f, words, moved, f.first(left - j, self.lanes), 1).write()

            f.loop(0, left, self.lanes, some)

        f.if_(left.compare("sge", self._columns()), lambda: _Row(self, f, words, pointers, None, wide).write(), narrow)

    # ---------------------------------------------------------------- split rows
    def _piece(self, f: Function, words: Value, unit: Value) -> None:
        """One piece of one row: its joined part goes to scratch."""
        length = self._length(f, words)
        count = (length + (PIECE - 1)) // PIECE
        row = f.op("i64", f"udiv i64 {unit.spelling}, {count.spelling}")
        piece = unit - row * count
        pointers = self._begin(f, words, row, None)
        start = piece * PIECE
        moved = {
            t: self._moved(f, p, t, start * self._stride(f, words, t, self.layout.kept)) for t, p in pointers.items()
        }
        part = _Row(self, f, words, moved, None, 1, f.min(length - start, PIECE))
        (over,) = self.overs
        part.sweep([over])
        scratch = f.word(words, self.first - 1, "ptr")
        v = part.values[over][0]
        v = f.convert("zext", v, "i8") if over.dtype is bool_ else v
        place = f.at(scratch, unit, "i64")
        f.store(v, place)

    def _write_split(self, f: Function, words: Value) -> None:
        rows, length = self._units(f, words), self._length(f, words)
        count = (length + (PIECE - 1)) // PIECE
        chunk = self.module.function(
            "kernel_chunk", "void", [("ptr", "words"), ("i64", "chunk"), ("i64", "thread")], linkage="internal"
        )
        w, c, _ = chunk.parameters
        chunk.call("void", "kernel_run", w, c, c + 1)
        chunk.end()
        f.call("void", PARALLEL_FOR, Value(f, "@kernel_chunk", "ptr"), words, rows * count)
        (over,) = self.overs
        scratch = f.word(words, self.first - 1, "ptr")

        def row(r):
            def join(i, so_far):
                part = f.load(
                    f.at(scratch, r * count + i, "i64"), type="i8" if over.dtype is bool_ else register_type(over.dtype)
                )
                part = part.compare("ne", 0) if over.dtype is bool_ else part
                return joined(f, over, so_far, part)

            start = f.constant(register_type(over.dtype), identity(over.value, over.dtype))
            total = f.loop(0, count, 1, join, [start])
            last = _Row(self, f, words, self._begin(f, words, r, None), None, 1)
            last.values[over] = [total]
            last.finish()

        f.loop(0, rows, 1, row)
        f.end(f.constant("i64", -1))


def joined(f: Function, over: Expression, a: Any, b: Any) -> Any:
    """Two parts of an `over` joined."""
    if over.value in ("max", "min"):
        return extremum(f, over.value, over.operands[0].dtype, a, b)
    if isinstance(a, Complex):
        return complex_operation(f, _JOIN[over.value], a, b)
    return real_operation(f, _JOIN[over.value], over.operands[0].dtype, a, b)


class _Row:
    """One row (along), or `wide` vectors of rows side by side (across): its sweeps."""

    def __init__(self, writer: _Writer, f: Function, words: Value, pointers: dict[int, Value], mask: Value | None, wide: int,
                 length: Value | None = None):  # fmt: skip
        self.w, self.f, self.words, self.pointers, self.mask, self.wide = writer, f, words, pointers, mask, wide
        self.across = writer.layout.schedule == ACROSS
        self.values: dict[Expression, list[Any]] = {}
        self.length = length
        self.inner = (
            length if length is not None else writer._size(f, words, writer.layout.kept + writer.layout.reduced - 1)
        )
        self.rows = [Emitter(f, writer.lanes if self.across else 0, self._row_leaf(u)) for u in range(wide)]

    def write(self) -> None:
        for p, phase in enumerate(self.w.phases):
            self.sweep(phase, p)
        self.finish()

    def finish(self) -> None:
        """Stores the values of the row, and sweeps over those of its elements."""
        w, f = self.w, self.f
        for r, (expression, stored) in enumerate(w.nest.results):
            if r not in w.stores:
                for u in range(self.wide):
                    v = self.rows[u](expression)
                    if self.across:
                        self._store(r, stored, v, self._column(r, u), self.mask)
                    else:
                        store_element(f, stored, v, self.pointers[r], 0)
        if w.stores:
            self._hoist([w.nest.results[r][0] for r in w.stores])
            self._elements(lambda at, mask: [self._store_all(at, mask, u) for u in range(self.wide)] and None)

    def _hoist(self, roots: Sequence[Expression]) -> None:
        """Computes what a sweep needs of the row as a whole before its loops begin."""
        fixed = {o for node in _inside(roots) for o in (node, *node.operands) if o not in self.w.varying}
        for node in walk(roots):
            if node in fixed and node.kind != "constant":
                for emitter in self.rows:
                    emitter(node)

    # ---------------------------------------------------------------- leaves
    def _row_leaf(self, u: int) -> Callable[[Expression], Any]:
        def leaf(node: Expression) -> Any:
            if node.kind == "over":
                return self.values[node][u]
            if node.kind == "length":
                return self.w._length(self.f, self.words)
            if node.kind == "scalar":
                return number_word(self.f, self.words, self.w.n_results, node)
            t = self.w.n_results + node.value
            if self.across:
                return self._load(t, node.dtype, self._column(t, u), self.mask)
            return load_element(self.f, node.dtype, self.pointers[t], 0, 0)

        return leaf

    def _mode(self, t: int) -> str:
        return self.w.layout.modes[self.w.tensors.index(t)]

    def _column(self, t: int, u: int) -> Value:
        """Where column group u of a tensor begins (across)."""
        if u == 0:
            return self.pointers[t]
        stride = self.w._stride(self.f, self.words, t, self.w.layout.kept - 1)
        return self.w._moved(self.f, self.pointers[t], t, stride * (u * self.w.lanes))

    def _lane_offsets(self, t: int) -> Value:
        dim = self.w.layout.kept - 1 if self.across else self.w.layout.kept + self.w.layout.reduced - 1
        stride = self.w._stride(self.f, self.words, t, dim)
        n = self.w.lanes
        return self.f.constant(vector(n, "i64"), list(range(n))) * self.f.splat(stride, n)

    def _load(self, t: int, d: dtype, pointer: Value, mask: Value | None) -> Any:
        """Lanes of a tensor from a pointer on."""
        f, mode, n = self.f, self._mode(t), self.w.lanes
        if mode == UNIT:
            return load_element(f, d, pointer, 0, n, mask)
        if mode == ZERO:
            one = load_element(f, d, pointer, 0, 0)
            return Complex(f.splat(one.re, n), f.splat(one.im, n)) if isinstance(one, Complex) else f.splat(one, n)
        return gather_element(f, d, pointer, self._lane_offsets(t), self._full(mask))

    def _store(self, t: int, d: dtype, v: Any, pointer: Value, mask: Value | None) -> None:
        if self._mode(t) == UNIT:
            return store_element(self.f, d, v, pointer, 0, mask)
        scatter_element(self.f, d, v, pointer, self._lane_offsets(t), self._full(mask))

    def _full(self, mask: Value | None) -> Value:
        return self.f.first(self.f.i64(self.w.lanes), self.w.lanes) if mask is None else mask

    # ---------------------------------------------------------------- walking the elements of a row
    def _elements(self, body: Callable[..., Any], initial: Sequence[Value] = (), unroll: int = 1) -> Any:
        """carried = body(at, mask, *carried) for the row's elements, a vector of them (along) or one of each row (across).

        at(t, k) is the address in tensor t (k: which vector of an unrolled step), at.place the index along the row.
        """
        f, layout = self.f, self.w.layout

        def level(d: int, offsets: dict[int, Value], place: Value | None, carried: Sequence[Value]) -> Any:
            if d == layout.reduced - 1:
                return self._innermost(body, offsets, place, carried, unroll)
            n = self.w._size(f, self.words, layout.kept + d)

            def step(i, *now):
                moved = {
                    t: self.w._moved(f, p, t, i * self.w._stride(f, self.words, t, layout.kept + d))
                    for t, p in offsets.items()
                }
                here = i if place is None else place * n + i
                return level(d + 1, moved, here, now)

            return f.loop(0, n, 1, step, carried)

        return level(0, self.pointers, None, list(initial))

    def _innermost(
        self, body, pointers: dict[int, Value], place: Value | None, carried: Sequence[Value], unroll: int
    ) -> Any:
        f, w = self.f, self.w
        dim = w.layout.kept + w.layout.reduced - 1
        before = None if place is None else place * self.inner
        strides = {t: w._stride(f, self.words, t, dim) for t in w.tensors}

        def at(i):
            return _At(self, pointers, strides, i, i if before is None else before + i)

        if self.across:
            return f.loop(0, self.inner, 1, lambda i, *now: body(at(i), self.mask, *now), carried)
        n = w.lanes
        if w.weight > MASKED_FROM and unroll == 1:
            return f.loop(0, self.inner, n, lambda i, *now: body(at(i), f.first(self.inner - i, n), *now), carried)
        big, whole = self.inner & -(n * unroll), self.inner & -n
        now = f.loop(0, big, n * unroll, lambda i, *now: body(at(i), None, *now), carried)
        now = [now] if isinstance(now, Value) else list(now)
        if unroll > 1:
            now = self._one_by_one(body, at, big, whole, now)
        rest = f.first(self.inner - whole, n)
        tail = lambda: body(at(whole), rest, *now, single=True) if unroll > 1 else body(at(whole), rest, *now)
        return f.if_(whole.compare("slt", self.inner), tail, lambda: now)

    def _one_by_one(self, body, at, start: Value, stop: Value, now: list[Value]) -> list[Value]:
        out = self.f.loop(start, stop, self.w.lanes, lambda i, *c: body(at(i), None, *c, single=True), now)
        return [out] if isinstance(out, Value) else list(out)

    def _emitter(self, at: _At, mask: Value | None, u: int, k: int = 0, without: Expression | None = None) -> Emitter:
        """Writes expressions of the elements at `at`; what waits in a result is read from there unless it is `without`."""
        f, w = self.f, self.w

        def leaf(node: Expression) -> Any:
            if node.kind == "place":
                if self.across:
                    return at.place
                lanes = f.constant(vector(w.lanes, "i64"), list(range(k * w.lanes, (k + 1) * w.lanes)))
                return f.splat(at.place, w.lanes) + lanes
            if node.kind in ("over", "length", "scalar"):
                return self.rows[u](node)
            t = w.n_results + node.value
            return self._load(t, node.dtype, at(t, u, k), mask)

        emitter = Emitter(f, w.lanes, leaf, w.varying, self.rows[u])
        if w.waiting and without is not w.waiting[1] and self._phase > w.waiting[0]:
            _, node, r = w.waiting
            emitter.known[node] = self._load(r, node.dtype, at(r, u, k), mask)
        return emitter

    _phase = 1 << 30  # sweeps done so far decide what waits in results; the last sweep is after all

    def _store_all(self, at: _At, mask: Value | None, u: int) -> None:
        self._phase = 1 << 30
        emitter = self._emitter(at, mask, u)
        done = [(r, stored, emitter(e)) for r, (e, stored) in enumerate(self.w.nest.results) if r in self.w.stores]
        for r, stored, v in done:
            self._store(r, stored, v, at(r, u), mask)

    # ---------------------------------------------------------------- joining
    def sweep(self, phase: list[Expression], number: int = 0) -> None:
        """Computes the `over` nodes of one phase."""
        f, w = self.f, self.w
        self._phase = number
        self._hoist([over.operands[0] for over in phase])
        keep = w.waiting if w.waiting and w.waiting[0] == number else None
        unroll = w.unroll[number]
        ordered = w.layout.schedule == SHORT  # with one more accumulator, for what doesn't fill a vector
        each = self.wide * unroll + ordered
        accumulators = [_Accumulator(f, over, w.lanes) for over in phase for _ in range(each)]
        initial = [v for a in accumulators for v in a.start()]

        def step(at: _At, mask: Value | None, *carried: Value, single: bool = False) -> list[Value]:
            out, place = list(carried), 0
            emitters = {}
            for a, accumulator in enumerate(accumulators):
                u, k = (a % self.wide, 0) if unroll == 1 else (0, a % unroll)
                size = accumulator.size
                if not (single and k) and not (ordered and (a == unroll) != (mask is not None)):
                    emitter = emitters.get((u, k)) or self._emitter(at, mask, u, k, keep[1] if keep else None)
                    emitters[u, k] = emitter
                    now = carried[place : place + size]
                    x = emitter(accumulator.over.operands[0])
                    index = None
                    if size == 2:
                        index = emitter(_PLACE)
                    out[place : place + size] = accumulator.join(now, x, mask if not self.across else None, index)
                place += size
            if keep:
                for (u, k), emitter in emitters.items():
                    self._store(keep[2], keep[1].dtype, emitter(keep[1]), at(keep[2], u, k), mask)
            return out

        final = self._elements(step, initial, unroll)
        final = [final] if isinstance(final, Value) else list(final)
        place = 0
        for o, over in enumerate(phase):
            groups = []
            for accumulator in accumulators[o * each : (o + 1) * each]:
                groups.append(accumulator.unpack(final[place : place + accumulator.size]))
                place += accumulator.size
            if self.across:
                self.values[over] = [g[1] if over.value.startswith("arg") else g[0] for g in groups]
            else:
                self.values[over] = [self._horizontal(over, groups)]

    def _horizontal(self, over: Expression, groups: list) -> Any:
        """One number of the vectors that several accumulators hold."""
        f = self.f
        if over.value.startswith("arg"):
            return self._first_extreme(over, groups)
        if self.w.layout.schedule == SHORT:
            *vectors, (rest,) = groups
            v = functools.reduce(lambda a, b: a + b, [vector for (vector,) in vectors])
            n = self.w.lanes  # a row that fills no vector is added up as four numbers, the first with what is left over
            alone = f.shuffle(rest, rest, [0, *range(4, n), 1, 2, 3])
            rest = f.select(self.inner.compare("slt", n), alone, rest)
            return f.sum_in_order(f.sum_in_order(f.constant(register_type(over.dtype), 0.0), rest), v)
        while len(groups) > 1:
            groups = [(joined(f, over, a[0], b[0]),) for a, b in zip(groups[::2], groups[1::2])]
        v = groups[0][0]
        if isinstance(v, Complex) and over.value == "prod":
            lanes = [Complex(f.extract(v.re, i), f.extract(v.im, i)) for i in range(self.w.lanes)]
            return functools.reduce(lambda a, b: joined(f, over, a, b), lanes)
        if isinstance(v, Complex):
            return Complex(f.reduce("fadd", v.re), f.reduce("fadd", v.im))
        d = over.operands[0].dtype
        if over.value in ("max", "min"):
            if d.kind == "f":
                return f.reduce("fmaximum" if over.value == "max" else "fminimum", v)
            if d is bool_:
                return f.reduce("or" if over.value == "max" else "and", v)
            return f.reduce(("u" if d.kind == "u" else "s") + over.value, v)
        return f.reduce(_HORIZONTAL[over.value][d.kind == "f"], v)

    def _first_extreme(self, over: Expression, groups: list) -> Value:
        """The index of the extreme among lanes of several (value, index) pairs: of the first of equals; a nan is the extreme."""
        f, d, n = self.f, over.operands[0].dtype, self.w.lanes
        kind = over.value[3:]
        top = functools.reduce(lambda a, b: extremum(f, kind, d, a, b), [best for best, _ in groups])
        if d.kind == "f":
            top = f.reduce("fmaximum" if kind == "max" else "fminimum", top)
        elif d is bool_:
            top = f.reduce("or" if kind == "max" else "and", top)
        else:
            top = f.reduce(("u" if d.kind == "u" else "s") + kind, top)
        wide, far = f.splat(top, n), f.constant(groups[0][1].type, (1 << 63) - 1)
        first = far
        for best, index in groups:
            if d.kind == "f":  # if the extreme is nan, only nans count
                nan = f.splat(top.compare("uno", 0.0), n)
                same = f.select(nan, best.compare("uno", 0.0), best.compare("oeq", wide))
            else:
                same = best.compare("eq", wide)
            first = f.math("smin", first, f.select(same, index, far))
        return f.reduce("smin", first)


class _At:
    """Addresses of the elements at one step of a sweep."""

    def __init__(self, row: _Row, pointers: dict[int, Value], strides: dict[int, Value], i: Value, place: Value):
        self.row, self.pointers, self.strides, self.i, self.place = row, pointers, strides, i, place

    def __call__(self, t: int, u: int = 0, k: int = 0) -> Value:
        row = self.row
        i = self.i + k * row.w.lanes if k else self.i
        mode = row._mode(t)
        stride = self.strides[t]
        if not row.across and mode == UNIT:
            moved = row.w._moved(row.f, self.pointers[t], t, i)
        elif not row.across and mode == ZERO:
            moved = self.pointers[t]
        else:
            moved = row.w._moved(row.f, self.pointers[t], t, i * stride)
        if u:
            kept = row.w._stride(row.f, row.words, t, row.w.layout.kept - 1)
            moved = row.w._moved(row.f, moved, t, kept * (u * row.w.lanes))
        return moved


_PLACE = place_()


class _Accumulator:
    """What a sweep carries for one `over`: a vector, two for a complex sum or an arg-extreme (value and index)."""

    def __init__(self, f: Function, over: Expression, n: int):
        self.f, self.over, self.n = f, over, n
        self.d = over.operands[0].dtype
        self.size = 2 if over.value.startswith("arg") or self.d.is_complex else 1

    def start(self) -> list[Value]:
        neutral = self.f.constant(vector(self.n, register_type(self.d)), identity(self.over.value, self.d.to_real()))
        if self.d.is_complex:
            return [neutral, self.f.constant(neutral.type, 0.0)]
        return [neutral, self.f.constant(vector(self.n, "i64"), 0)] if self.size == 2 else [neutral]

    def unpack(self, values: Sequence[Value]) -> tuple:
        return (Complex(*values),) if self.d.is_complex else tuple(values)

    def join(self, now: Sequence[Value], x: Any, mask: Value | None, index: Value | None) -> list[Value]:
        f = self.f
        if self.d.is_complex:
            if mask is not None:
                neutral = identity(self.over.value, self.d.to_real())
                x = Complex(f.select(mask, x.re, f.constant(x.re.type, neutral)), f.select(mask, x.im, 0.0))
            return list(joined(f, self.over, Complex(*now), x))
        if self.size == 1:
            if mask is not None:
                x = f.select(mask, x, f.constant(x.type, identity(self.over.value, self.d)))
            return [joined(f, self.over, now[0], x)]
        best, where = now
        if self.d.kind == "f":  # true for a nan x, but a nan stays the extreme
            better = x.compare("ugt" if self.over.value == "argmax" else "ult", best) & best.compare("ord", 0.0)
        else:
            unsigned = self.d.kind in "ub"
            better = x.compare(("u" if unsigned else "s") + ("gt" if self.over.value == "argmax" else "lt"), best)
        if mask is not None:
            better = better & mask
        return [f.select(better, x, best), f.select(better, index, where)]
