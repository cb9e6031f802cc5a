"""Parts: what steps compute, written so that they can be joined.

A `Part` is a nest over the elements of one shape, with the memory that it reads and writes: places in buffers, strides
over that shape. Two parts are joined by bringing the second to the first's shape and putting the expressions that the first
stores in the stead of what the second loads. What is stored as a half precision is rounded on the way, so results have the bits
that the steps one after another give.

A place is met again exactly (same memory, same strides) or its memory must not be touched: anything between is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

from mashal.capture.trail import Buffer, Value
from mashal.core.dtypes import dtype
from mashal.core.shapes import broadcast_strides
from mashal.lang.expression import Expression, cast, constant, walk
from mashal.lang.recipes import Elements, Rows
from mashal.lower.rowwise import ACROSS, lanes_in_rows, phases_of, unrolled
from mashal.ops.run import rows_layout

MOST_PLACES, MOST_NODES = 28, 400  # of one kernel: beyond, registers and recursion suffer


class Place(NamedTuple):
    """Elements in a buffer: the first one's byte, strides over the part's shape, and whether they are one for a whole row."""

    buffer: Buffer
    start: int
    strides: tuple[int, ...]
    dtype: dtype
    per_row: bool = False

    def stop(self, shape: Sequence[int]) -> int:
        last = sum((n - 1) * s for n, s in zip(shape, self.strides))
        return self.start + (last + 1) * self.dtype.itemsize

    @property
    def memory(self) -> tuple:
        """What must be equal for two places to be the same elements."""
        return self.buffer, self.start, self.strides, self.dtype


@dataclass(frozen=True)
class Order:
    """How a rowwise step adds up, which joining must not change: schedule, lanes, reduced dimensions left."""

    schedule: str
    lanes: int
    reduced: int


@dataclass(eq=False)
class Part:
    """shape; dims: along which rows lie, None without rows. Expressions have leaves `operand(i)`, i of loads, and `scalar(j)`,
    j of numbers. stores: what is written where. unroll: of each `over`, vectors a step. lead: as in ops.run.rows_layout."""

    shape: tuple[int, ...]
    dims: tuple[int, ...] | None
    loads: list[Place]
    numbers: list[tuple[dtype, Any]]
    stores: dict[Place, Expression]
    values: dict[tuple, Value]
    order: Order | None = None
    unroll: dict[Expression, int] = field(default_factory=dict)
    lead: tuple[int, ...] = ()
    product: Any = None
    """The product of matrices whose sums are the first load, if there is one (fuse_products)."""


# ---------------------------------------------------------------- from a step
def _over(shape: Sequence[int], strides: Sequence[int], to: Sequence[int]) -> tuple[int, ...]:
    """Strides over a shape that one broadcasts to; 0 where there is one element."""
    return tuple(0 if n == 1 else s for s, n in zip(broadcast_strides(shape, strides, to), to))


def part_of(step: Any, constants: dict[int, Any]) -> Part | None:
    """What a step computes, if it can be joined. constants: operands (by position) known to be a number everywhere."""
    recipe = getattr(step, "recipe", None)
    if not isinstance(recipe, (Elements, Rows)) or not step.call.kernel or 0 in recipe.shape:
        return None
    nest, shape = recipe.nest, recipe.shape
    dims = recipe.dims if isinstance(recipe, Rows) else None
    in_place = len(recipe.results) if isinstance(recipe, Elements) and recipe.in_place else 0
    copy = isinstance(recipe, Elements) and is_copy(recipe)
    if dims is None and any(n.kind in ("place", "over", "length") for n in walk(e for e, _ in nest.results)):
        return None
    part = Part(shape, dims, [], [], {}, {})
    leaves: dict[Expression, Expression] = {}
    for i, (o, form, x) in enumerate(zip(nest.operands, recipe.operands, step.operands[in_place:])):
        if form is None:
            leaves[Expression("scalar", (), o.dtype, i)] = number(part, o.dtype, x)
            continue
        d = form.dtype if copy else o.dtype
        if d is not form.dtype or not isinstance(x, Value) or x.form.dtype is not d:
            return None
        raw = Expression("operand", (), o.dtype, i)
        if in_place + i in constants:
            leaves[raw] = constant(constants[in_place + i], d)
        else:
            place = Place(x.buffer, x.start, _over(form.shape, form.strides, shape), d, o.per_row)
            leaves[raw] = load(part, place, x)
    written = step.operands[:in_place] if in_place else step.results
    roots = [next(iter(leaves.values()))] if copy else [e for e, _ in nest.results]
    done = substituted(roots, {} if copy else leaves)
    for root, (_, stored), form, value in zip(roots, nest.results, recipe.results, written):
        if (
            (not copy and stored is not form.dtype)
            or not isinstance(value, Value)
            or value.form.dtype is not form.dtype
        ):
            return None
        per_row = dims is not None and nest.per_row(root)
        place = Place(value.buffer, value.start, _over(form.shape, form.strides, shape), form.dtype, per_row)
        if prod(n for n, s in zip(shape, place.strides) if s == 0 and n > 1) > 1 and not per_row:
            return None
        part.stores[place] = done[root]
        part.values[place.memory] = value
    if isinstance(recipe, Rows) and not _ordered(part, recipe, done):
        return None
    return part if sound(part) else None


def is_copy(recipe: Elements) -> bool:
    """Whether elements are moved as they are (then the nest's dtype says no more than their size)."""
    (root, stored), *more = recipe.nest.results
    raw = root.operands[0] if root.kind == "cast" and root.operands[0].kind == "operand" else root
    form = recipe.operands[0] if recipe.operands else None
    return (
        not more and len(recipe.operands) == 1 and form is not None and raw.kind == "operand" and raw.dtype is stored
        and form.dtype is recipe.results[0].dtype
    )  # fmt: skip


def number(part: Part, d: dtype, x: Any) -> Expression:
    for j, known in enumerate(part.numbers):
        if known[0] is d and type(known[1]) is type(x) and repr(known[1]) == repr(x):
            return Expression("scalar", (), d, j)
    part.numbers.append((d, x))
    return Expression("scalar", (), d, len(part.numbers) - 1)


def load(part: Part, place: Place, value: Value | None) -> Expression:
    """The leaf of a place that is read; value: None for sums of products, which are in no memory."""
    if value is not None:
        part.values.setdefault(place.memory, value)
    if place not in part.loads:
        part.loads.append(place)
    return Expression("operand", (), place.dtype, part.loads.index(place))


def _ordered(part: Part, recipe: Rows, done: dict[Expression, Expression]) -> bool:
    """Notes how a rowwise step adds up."""
    tensors = [*recipe.results, *(f for f in recipe.operands if f is not None)]
    if len(tensors) == len(recipe.results):
        return False
    strides = [_over(f.shape, f.strides, part.shape) for f in tensors]
    part.lead = strides[len(recipe.results)]
    layout, *_ = rows_layout(recipe.nest, part.shape, recipe.dims, strides, part.lead)
    part.order = Order(layout.schedule, lanes_of_rows(recipe.nest, layout), layout.reduced)
    for phase, unroll in zip(phases_of(recipe.nest), unrolled(recipe.nest, layout)):
        for over in phase:
            part.unroll[done[over]] = unroll
    return True


def lanes_of_rows(nest: Any, layout: Any) -> int:
    """The lanes that decide how sums are added up; across the lanes they don't."""
    return 0 if layout.schedule == ACROSS else lanes_in_rows(nest, layout)


# ---------------------------------------------------------------- expressions
_memo: dict[tuple, dict[Expression, Expression]] = {}


def substituted(roots: Iterable[Expression], leaves: dict[Expression, Expression]) -> dict[Expression, Expression]:
    """For each node below the roots what it becomes when leaves are replaced."""
    roots = tuple(roots)
    key = (*map(id, roots), None, *(x for a, b in leaves.items() for x in (id(a), id(b))))
    found = _memo.get(key)
    if found is None:
        found = dict(leaves)
        for node in walk(roots):
            if node not in found:
                found[node] = _again(node, tuple(found[o] for o in node.operands))
        if len(_memo) > 20_000:
            _memo.clear()
        _memo[key] = found
    return found


def _again(node: Expression, operands: tuple[Expression, ...]) -> Expression:
    if all(a is b for a, b in zip(operands, node.operands)):
        return node
    if node.kind == "mul":
        for x, y in (operands, operands[::-1]):
            if y.kind == "constant" and y.value == 1:
                return x
    if node.kind == "cast":
        return cast(operands[0], node.dtype)
    return Expression(node.kind, operands, node.dtype, node.value)


def overlap(a: Place, b: Place, shape: Sequence[int]) -> bool:
    return a.buffer is b.buffer and a.start < b.stop(shape) and b.start < a.stop(shape)


def sound(part: Part) -> bool:
    """Whether no element is written that another place reads or writes, but itself."""
    if part.product is not None and any(_reaches(v, p, part.shape) for v in part.product.read for p in part.stores):
        return False
    places = [*part.stores, *part.loads]
    for i, p in enumerate(part.stores):
        for q in places[i + 1 :]:
            same = p.memory == q.memory and (part.dims is None or p.per_row and q.per_row)
            if overlap(p, q, part.shape) and not same:
                return False
    return True


def _reaches(value: Value, place: Place, shape: Sequence[int]) -> bool:
    return value.buffer is place.buffer and value.start < place.stop(shape) and place.start < value.stop
