"""From a part back to a step: the nest of what is needed, its layout, its kernel, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from mashal.capture.fuse_parts import MOST_NODES, Order, Part, Place, lanes_of_rows, substituted
from mashal.capture.trail import Step
from mashal.core.dtypes import dtype
from mashal.lang.expression import Expression, walk
from mashal.lang.nest import Nest, Operand
from mashal.lower.pointwise import CHEAP, GRAIN, pointwise, weight
from mashal.lower.rowwise import ACROSS, SPLIT, RowLayout, phases_of, pieces, rowwise, sweeps_of, waiting_in
from mashal.machine.launch import INTEGER, NUMBER, Call
from mashal.machine.threads import get_num_threads
from mashal.ops.run import elements_layout, kernel_of, rows_layout, show

LAUNCH = 1500.0  # what a kernel costs beside its work, in units of an addition of one element
MEMORY = 4.0  # what a float32 costs that comes from memory or goes there
NEAR = 1.0  # … from the nearest cache
HEAVY = 8.0  # a function that is more than an instruction (as lower.pointwise.weight)

_nests: dict[tuple, Nest] = {}


@dataclass(eq=False)
class Drawn:
    """A part made into a nest: the places of its results and operands in order, its numbers, layout, and the kernel's constants."""

    nest: Nest
    results: list[Place]
    operands: list[Place]
    numbers: list[tuple[dtype, Any]]
    layout: Any = None
    constants: Sequence[int] = ()
    scratch: int = 0
    elements: int = 0
    cost: float = 0.0


def interned(results: Sequence[tuple[Expression, dtype]], operands: Sequence[Operand]) -> Nest:
    """The nest with these; the same object for equal ones, so that equal layers have equal kernels."""
    key = tuple((id(e), d) for e, d in results), tuple(operands)
    found = _nests.get(key)
    if found is None:
        found = _nests[key] = Nest(
            tuple(results), tuple(operands)
        )  # it keeps its expressions alive, so ids stay theirs
    return found


def drawn(part: Part, needed: Callable[[Place], bool]) -> Drawn | None:
    """The nest for the stores of a part that are needed; None if it would not compute what the part's steps do."""
    stores = [(p, e) for p, e in part.stores.items() if needed(p)]
    used = list(walk(e for _, e in stores))
    if not stores or len(used) > MOST_NODES:
        return None
    loads = {n.value for n in used if n.kind == "operand"}
    sketch, done = sketched(part, stores, sorted(loads, key=lambda i: (part.loads[i].strides != part.lead, i)))
    if part.dims is None or not sketch.nest.rowwise:
        return _elements(part, sketch)
    return _rows(part, sketch, done)


def sketched(
    part: Part, stores: Sequence[tuple[Place, Expression]], loads: Sequence[int]
) -> tuple[Drawn, dict[Expression, Expression]]:
    """The nest for some stores, its operands these loads and the numbers needed; and what became of each expression."""
    roots = [e for _, e in stores]
    scalars = sorted({n.value for n in walk(roots) if n.kind == "scalar"})
    leaves = {}
    for k, i in enumerate(loads):
        d = part.loads[i].dtype
        leaves[Expression("operand", (), d, i)] = Expression("operand", (), d, k)
    for k, j in enumerate(scalars, len(loads)):
        d = part.numbers[j][0]
        leaves[Expression("scalar", (), d, j)] = Expression("scalar", (), d, k)
    done = substituted(roots, leaves)
    operands = [Operand(part.loads[i].dtype, per_row=part.loads[i].per_row) for i in loads]
    operands += [Operand(part.numbers[j][0], number=True) for j in scalars]
    nest = interned([(done[e], p.dtype) for p, e in stores], operands)
    places, numbers = [part.loads[i] for i in loads], [part.numbers[j] for j in scalars]
    return Drawn(nest, [p for p, _ in stores], places, numbers), done


def _elements(part: Part, sketch: Drawn) -> Drawn | None:
    nest, results, places = sketch.nest, sketch.results, sketch.operands
    if part.dims is not None and any(p.per_row for p in results):
        return None  # values of rows alone: a smaller shape would do
    layout, constants = elements_layout(part.shape, [p.strides for p in (*results, *places)])
    n = prod(part.shape)
    work = sum(units(e) for e in walk(e for e, _ in nest.results))
    memory = sum(MEMORY * p.dtype.itemsize / 4 for p in (*results, *places) if _full(p, part))
    shares = max(1, n * weight(nest) // GRAIN)
    cost = n * (work + memory) / min(shares, get_num_threads()) + LAUNCH
    return replace(sketch, layout=layout, constants=constants, elements=n, cost=cost)


def _rows(part: Part, sketch: Drawn, done: dict[Expression, Expression]) -> Drawn | None:
    nest, results, places = sketch.nest, sketch.results, sketch.operands
    if not places or part.dims is None or any(p.per_row != nest.per_row(e) for p, (e, _) in zip(results, nest.results)):
        return None
    strides = [p.strides for p in (*results, *places)]
    layout, constants, scratch, n = rows_layout(nest, part.shape, part.dims, strides, part.lead or places[0].strides)
    order = Order(layout.schedule, lanes_of_rows(nest, layout), layout.reduced)
    if part.order is not None and order != part.order:
        return None
    phases = phases_of(nest)
    wanted = {done[over]: unroll for over, unroll in part.unroll.items() if over in done}
    unroll = []
    for phase in phases:
        each = {wanted.get(over, 1) for over in phase}
        if len(each) > 1:
            return None
        unroll.append(each.pop())
    layout = RowLayout(layout.schedule, layout.kept, layout.reduced, layout.modes, tuple(unroll))
    cost = _row_cost(part, nest, layout, phases, n)
    return replace(sketch, layout=layout, constants=constants, scratch=scratch, elements=n, cost=cost)


def _row_cost(part: Part, nest: Nest, layout: RowLayout, phases: list, n: int) -> float:
    """What the sweeps over the rows cost: only the first one to need an operand has it from memory."""
    varying = nest.varying()
    waiting = waiting_in(nest, layout.schedule, phases)
    length = prod(part.shape[d] for d in (part.dims or ()))
    near = length * 4 < 1 << 15 and layout.schedule != ACROSS
    total, met = 0.0, set()
    for s, sweep in enumerate(sweeps_of(nest, phases)):
        for node in sweep:
            if node not in varying:
                continue
            if node.kind == "operand":
                size = node.dtype.itemsize / 4
                total += (NEAR if node in met and near else MEMORY) * size
                met.add(node)
            elif not (waiting is not None and node is waiting[1] and s > waiting[0]):
                total += units(node)
    total += sum(MEMORY * d.itemsize / 4 for e, d in nest.results if not nest.per_row(e))
    rows = n // max(length, 1)
    shares = rows * pieces(length) if layout.schedule == SPLIT else rows // 64 if layout.schedule == ACROSS else rows
    shares = min(max(shares, 1), max(1, n * weight(nest) // GRAIN))
    return n * total / min(shares, get_num_threads()) + LAUNCH


def units(node: Expression) -> float:
    return HEAVY if node.kind not in CHEAP and node.kind not in ("over", "place", "length") else 0.25


def _full(place: Place, part: Part) -> bool:
    return all(s != 0 for n, s in zip(part.shape, place.strides) if n > 1)


# ---------------------------------------------------------------- the step
def step_of(part: Part, made: Drawn, steps: Sequence[Any]) -> Step:
    """A step that does what several did."""
    rows = isinstance(made.layout, RowLayout)
    show(made.nest, made.layout)
    kernel = kernel_of(rowwise if rows else pointwise, made.nest, made.layout)
    kinds = [p.dtype.itemsize for p in made.operands] + [NUMBER if d.kind == "f" else INTEGER for d, _ in made.numbers]
    call = Call(kernel, made.elements, made.scratch, False, 0, tuple(kinds), (), tuple(made.constants))
    operands = (*(part.values[p.memory] for p in made.operands), *(x for _, x in made.numbers))
    results = tuple(part.values[p.memory] for p in made.results)
    return Step(call, operands, results, name=named(steps), parts=tuple(steps))


def named(steps: Sequence[Any]) -> str:
    """The names of several steps as one."""
    return " · ".join(dict.fromkeys(s.name for s in steps if s.name))
