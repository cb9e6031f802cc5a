"""Fusing: a trail with fewer steps that leaves the same memory behind.

    known       steps that make one number everywhere, copies, what was computed before: said once, then read through
    joined      pointwise and rowwise steps that share memory become one kernel, if that costs less (fuse_steps)
    needed      stores that nobody reads, and steps without any store left, are dropped
    in_place    results lie where operands lay that nobody needs any more

Every result has the bits that the steps one after another give.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mashal.capture.fuse_choices import Choose, chooser
from mashal.capture.fuse_graph import Graph, Group
from mashal.capture.fuse_join import joined
from mashal.capture.fuse_known import Known, overwritten
from mashal.capture.fuse_memory import in_place
from mashal.capture.fuse_parts import Part, Place, part_of
from mashal.capture.fuse_products import drawn_product, is_large, of_chosen_form, part_of_product, product_step
from mashal.capture.fuse_steps import Drawn, drawn, step_of
from mashal.capture.trail import MADE, Buffer, Trail, UpdateStep, is_stateful

IN_VAIN = 1 << 16
"""Bytes stored for nobody from which another kernel is made."""


class _Content:
    """What a group computes: its part, and the nest as it stands."""

    __slots__ = ("drawn", "part")

    def __init__(self, part: Part, drawn: Drawn):
        self.part, self.drawn = part, drawn


def fused(trail: Trail, outliving: set[Buffer], folds: bool = True) -> Trail:
    """A trail that does the same in fewer steps. outliving: made buffers that are seen after the call; folds: as of a plan."""
    known = Known(overwritten(trail.steps), outliving, folds)
    choose = chooser()
    found = [_Node(i, *both, choose) for i, both in enumerate(zip(known.steps, known.numbers))]
    nodes = _alive(found, outliving)
    steps = [node.step for node in nodes]
    readers = _readers(steps)
    seen = lambda b: b.source is not MADE or b in outliving

    def needed(members: set[int]) -> Callable[[Place], bool]:
        return lambda place: seen(place.buffer) or not readers[place.buffer] <= members

    def join(a: Group, b: Group) -> _Content | None:
        part = joined(a.content.part, b.content.part)
        if part is None:
            return None
        made = _drawn(part, needed({*a.steps, *b.steps}))
        if made is None:
            return None
        cheaper = made.cost <= a.content.drawn.cost + b.content.drawn.cost
        return _Content(part, made) if choose((*a.steps, -1, *b.steps), cheaper) else None

    graph = Graph(join)
    for i, node in enumerate(nodes):
        made = None if node.part is None else _drawn(node.part, needed({i}))
        content = _Content(node.part, made) if node.part is not None and made is not None else None
        graph.add(node.step, content, is_stateful(node.step))
    groups = list(graph.ordered())
    made = [_step(group, nodes, choose) for group in groups]
    pointwise = [g.content.drawn if g.content is not None and _is_pointwise(g.content.part) else None for g in groups]
    return Trail(in_place(made, pointwise, outliving), trail.buffers)


def _is_pointwise(part: Part) -> bool:
    return part.dims is None and part.product is None


class _Node:
    """A step that is left, and what it computes. whole: the step as it was, with operands that are known to be numbers."""

    __slots__ = ("part", "step", "whole")

    def __init__(self, i: int, step: Any, numbers: dict[int, Any], choose: Choose):
        step = of_chosen_form(step, lambda best: choose((-2, i), best))
        self.whole, self.step, self.part = step, step, part_of(step, numbers) or part_of_product(step)
        if self.part is not None and self.part.product is not None and not choose((i,), is_large(step)):
            self.part = None
        if (
            numbers
            and self.part is not None
            and self.part.product is None
            and drawn(self.part, lambda place: True) is not None
        ):
            self.step = replace(step, operands=tuple(x for i, x in enumerate(step.operands) if i not in numbers))


def _step(group: Group, nodes: list[_Node], choose: Choose) -> Any:
    mine = [nodes[i] for i in group.steps]
    single = len(mine) == 1 and mine[0].step is mine[0].whole
    if single and not choose((-1, *group.steps), _stores_in_vain(group.content)):
        return mine[0].step
    part, made, whole = group.content.part, group.content.drawn, [node.whole for node in mine]
    return step_of(part, made, whole) if part.product is None else product_step(part, made, whole)


def _stores_in_vain(content: _Content | None) -> bool:
    """Whether a kernel with fewer results is worth making."""
    if content is None or content.part.product is not None:
        return False
    wanted = [p.memory for p in content.drawn.results]
    return any(p.memory not in wanted and p.stop(content.part.shape) - p.start >= IN_VAIN for p in content.part.stores)


def _drawn(part: Part, needed: Callable[[Place], bool]) -> Drawn | None:
    return drawn(part, needed) if part.product is None else drawn_product(part, needed)


def _readers(steps: list[Any]) -> dict[Buffer, set[int]]:
    readers: defaultdict[Buffer, set[int]] = defaultdict(set)
    for i, step in enumerate(steps):
        for v in step.read:
            readers[v.buffer].add(i)
    return readers


def _alive(nodes: list[_Node], outliving: set[Buffer]) -> list[_Node]:
    """The steps whose results somebody reads, or that change what is seen after the call."""
    wanted: set[Buffer] = set()
    kept = []
    for node in reversed(nodes):
        step = node.step
        lasting = any(v.buffer.source is not MADE or v.buffer in outliving or v.buffer in wanted for v in step.written)
        if lasting or step.fails or isinstance(step, UpdateStep) or is_stateful(step) or not step.written:
            kept.append(node)
            wanted.update(v.buffer for v in step.read)
    return kept[::-1]
