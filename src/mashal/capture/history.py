"""Backward of a compiled forward: the results' graph, walked once while it is recorded, becomes one node.

A compiled function whose results need gradients leaves a `CompiledFunctionBackward` behind instead of a node for each operation. Its
edges are where the recorded graph ended: leaves, and nodes that were there before the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from mashal.autograd import grad
from mashal.autograd.function import FunctionNode
from mashal.capture.errors import NoSecondGradient
from mashal.capture.program import MISS
from mashal.core.saved import FREED
from mashal.core.tape import AccumulateGrad, Node, mode, no_grad
from mashal.core.tensor import Tensor, empty, version_of
from mashal.errors import message
from mashal.machine.observing import settings_now


class Boundary:
    """Where the graph of some results ends: leaves, and (node, output) that were there before. hooked: whether a node in
    between, or a module, has hooks; of_program: whether one is a Function, whose backward is the program's."""

    def __init__(self, results: list[Tensor], first: int):
        self.ends: dict[tuple[Node, int], None] = {}
        self.hooked = self.freed = self.of_program = False
        seen: set[int] = set()
        stack: list[tuple[Any, int]] = [(x.node, int(x.output)) for x in results]
        while stack:
            node, output = stack.pop()
            if isinstance(node, AccumulateGrad) or node.sequence < first:
                self.ends[node, output] = None
                continue
            if id(node) in seen:
                continue
            seen.add(id(node))
            self.hooked |= node.hooks is not None
            self.freed |= node.saved is FREED
            self.of_program |= isinstance(node, FunctionNode)
            stack += [(edge[0], int(edge[1])) for edge in node.edges if edge is not None]


def gradients_of(results: list[Tensor], inputs: list[Tensor], given: list[Tensor]) -> list[Tensor | None]:
    """The gradients of the inputs; the graph stays, for the caller of the recorded call.

    What led to an input before the call is cut off meanwhile: another input may stand behind it, and what comes to that one
    on this way is not the call's. Nor are hooks on the inputs: they are called when backward comes there.
    """
    outside = {x.node: x.node.edges for x in inputs if isinstance(x.node, Node)}
    hooks = {x.node: x.node.hooks for x in inputs if x.node is not None}
    try:
        for node, edges in outside.items():
            node.edges = (None,) * len(edges)
        for node in hooks:
            node.hooks = None
        return list(grad(results, inputs, given, retain_graph=True, allow_unused=True))
    finally:
        for node, edges in outside.items():
            node.edges = edges
        for node, own in hooks.items():
            node.hooks = own


def dependences(results: list[Tensor], ends: Iterable[tuple[Node, int]], first: int) -> list[list[int]]:
    """For each end of the graph, the results that depend on it: if no gradient comes to these, none comes to the end."""
    behind = [Boundary([x], first).ends for x in results]
    return [[k for k, found in enumerate(behind) if end in found] for end in ends]


def users(trail: Any, given: list[Any]) -> dict[Any, set[int]]:
    """For each buffer that backward reads, the results whose gradients it is needed for. given: those gradients' places."""
    steps = [part for step in trail.steps for part in (getattr(step, "parts", ()) or (step,))]  # before they were fused
    comes_from: dict[Any, set[int]] = {value.buffer: {k} for k, value in enumerate(given)}
    sources = []
    for step in steps:
        sources.append(set().union(*(comes_from.get(v.buffer, ()) for v in step.read)))
        for v in step.written:
            comes_from.setdefault(v.buffer, set()).update(sources[-1])
    needed: dict[Any, set[int]] = {}
    for step, found in zip(reversed(steps), reversed(sources)):
        results = found or set().union(*(needed.get(v.buffer, ()) for v in step.written))
        for v in step.read:
            needed.setdefault(v.buffer, set()).update(results)
    return needed


@dataclass(frozen=True)
class Walk:
    """One backward from results of a recorded call: which ones, the gradients that they were given, those found at the ends, and
    where its steps are in the trail."""

    which: list[int]
    given: list[Tensor]
    found: list[Tensor | None]
    start: int
    stop: int


class BackwardProgram:
    """The gradients of a boundary from those of the results `which`. forms: what the gradients of the results look like; answers:
    how each gradient is built of the program's operands and results; sources: `dependences`; takes: which of the tensors kept
    from forward are its further operands. One backward at a time takes its turn."""

    def __init__(
        self,
        program: Any,
        forms: list[Any],
        answers: list[Any],
        sources: list[list[int]],
        which: list[int],
        takes: list[int],
    ):
        self.program, self.forms, self.answers, self.sources, self.which, self.takes = (
            program, forms, answers, sources, which, takes
        )  # fmt: skip
        self.turn = Lock()

    def __call__(self, gradients: tuple, kept: list[Tensor]) -> tuple:
        return self.run(gradients, kept, self.forms, self.answers, lambda: None)

    def run(
        self, gradients: tuple, kept: list[Tensor], forms: list[Any], answers: list[Any], prepare: Callable[[], None]
    ) -> tuple:
        """The gradients; `prepare` is called when it is this backward's turn. What has no gradient counts as 0."""
        gradients, kept = tuple(gradients[k] for k in self.which), [kept[i] for i in self.takes]
        operands = [*map(self._fitted, gradients, forms), *kept]
        with self.turn:
            prepare()
            made = self.program.replay(*operands)
        assert made is not MISS, "what backward needs is as it was recorded"
        comes = [any(gradients[k] is not None for k in sources) for sources in self.sources]
        return tuple(answer(operands, made) if some else None for answer, some in zip(answers, comes))

    def _fitted(self, g: Tensor | None, wanted: Any) -> Tensor:
        """A gradient as the program takes it."""
        if g is None:
            return empty(wanted).fill_(0)
        if g.form is not wanted or type(g) is not Tensor or g.node is not None:
            return empty(wanted).copy_(g.detach())
        return g


class Choice:
    """The backward of several results: where a gradient comes to one of them only, nothing is computed for the others."""

    def __init__(self, whole: BackwardProgram, alone: list[BackwardProgram]):
        self.whole = whole
        self.alone = {program.which[0]: program for program in alone}

    def __call__(self, gradients: tuple, kept: list[Tensor]) -> tuple:
        (first, *others) = (k for k, g in enumerate(gradients) if g is not None)
        return (self.whole if others else self.alone.get(first, self.whole))(gradients, kept)


@dataclass(frozen=True)
class Again:
    """How a call is made once more as it is written, for the gradient of its gradient; only of calls that change nothing.

    results: the results of the call with given leaves; ends: where their graph ends, places of leaves or tensors.
    """

    results: Callable[[Sequence[Any]], list[Tensor]]
    ends: list[Any]
    settings: tuple

    def gradients(self, leaves: Sequence[Any], gradients: tuple) -> tuple:
        """The gradients at the ends, with a history of their own."""
        if settings_now() != self.settings:
            wrong = (
                "the gradient of a gradient is asked for under other settings (autocast, say) than those of the call"
            )
            raise RuntimeError(message("compile", wrong, "they must be the same, for the call is made once more"))
        given = [(y, g) for y, g in zip(self.results(leaves), gradients, strict=True) if g is not None]
        ends = [leaves[end] if type(end) is int else end for end in self.ends]
        return grad([y for y, _ in given], ends, [g for _, g in given], create_graph=True, allow_unused=True)


class CompiledFunctionBackward(Node):
    """saved: (backward program, tensors it needs from forward, (tensor, version, results) that must not have changed if a
    gradient comes to one of these results, None or (Again, the leaves of the call))."""

    __slots__ = ("results",)

    def __init__(self, edges: tuple, saved: Any, results: int):
        super().__init__(edges, saved)
        self.results = results

    def backward(self, *gradients: Any) -> tuple:
        program, kept, versions, again = self.saved
        if mode.recording and again is None:
            wrong = "the gradient of a compiled function's gradient was asked for (create_graph=True), and the function draws "
            wrong += "random numbers, makes leaves, or changes what was there before"
            raise NoSecondGradient(message("compile", wrong, "call the function without compile where you need it"))
        for x, version, results in versions:
            if version_of(x) != version and any(gradients[k] is not None for k in results):
                wrong = "one of the variables needed for gradient computation has been modified by an inplace operation"
                right = f"it is at version {version_of(x)}; expected version {version} instead"
                raise RuntimeError(f"{wrong}: a tensor {tuple(x.shape)} of {x.dtype}; {right}")
        if mode.recording:
            return again[0].gradients(again[1], gradients)
        with no_grad():
            return program(gradients, kept)
