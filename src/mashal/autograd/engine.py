"""The engine: walks recorded nodes in the reverse order of their creation and adds up gradients.

A node runs when all nodes made after it have run, so its gradient is complete; those that wait stand in a heap by their
number. Along a straight line of nodes that plans made, which is most of a graph, native code walks by itself
(machine.walking); it comes back where the line forks or joins, and for what is not usual. Leaves come last (autograd.leaves).
What hooks, anomaly mode and `inputs=` want is looked up only where somebody asked for it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Any

from mashal.autograd import leaves
from mashal.autograd.hooks import call_after_hooks, call_before_hooks, call_tensor_hooks
from mashal.autograd.targets import Targets, Walk, current
from mashal.core import tape
from mashal.core.saved import FREED, FREED_TEXT
from mashal.core.tape import Node, mode
from mashal.core.tensor import Tensor
from mashal.machine.observing import watch
from mashal.machine.walking import WalkLayout
from mashal.ops.arithmetic import add_

__all__ = ["run", "run_from"]

Gradient = Any  # a Tensor, or None where nothing flowed

_NATIVE = WalkLayout(Tensor, tape.PlannedNode, tape.AccumulateGrad, tape.PlannedCall, FREED, add_)


def run(
    roots: list[tuple[Node, int, Gradient]], retain_graph: bool, create_graph: bool, targets: Targets | None = None
) -> None:
    """Sends the gradients of the roots (node, output, gradient) back to the leaves, or to the targets. `roots` is emptied."""
    before = mode.recording
    mode.recording = create_graph
    recorder = watch.recorder
    if recorder is not None:
        recorder.walks([node for node, _, _ in roots])
    try:
        _Course(retain_graph, targets, roots).run(roots, {})
    finally:
        mode.recording = before


def run_from(root: Node, output: int, gradient: Gradient, retain_graph: bool) -> None:
    """The usual walk, from one node to the leaves: native as far as it goes."""
    if tape.anomaly.enabled or watch.recorder is not None:
        run([(root, output, gradient)], retain_graph, False)
        return
    before = mode.recording
    mode.recording = False
    try:
        at_leaves: dict[Any, Gradient] = {}
        arrived = _NATIVE.walk(root, gradient, at_leaves, -1, not retain_graph)
        if arrived is None:
            if _NATIVE.settle(at_leaves):
                leaves.settle(at_leaves, None)
            return
        roots = [(root, output, gradient)] if arrived[0] is root else list(_triples(arrived))
        course = _Course(retain_graph, None, roots)
        del gradient, arrived  # so that a leaf can take over a gradient nobody else holds
        course.run(roots, at_leaves)
    finally:
        mode.recording = before


def _triples(arrived: tuple) -> Iterable[tuple[Node, int, Gradient]]:
    return zip(arrived[::3], arrived[1::3], arrived[2::3])


class _Course:
    """A walk whose nodes wait for each other."""

    def __init__(self, retain_graph: bool, targets: Targets | None, roots: list[tuple[Node, int, Gradient]]):
        self.targets, self.free = targets, not retain_graph
        self.needed = None if targets is None else targets.needed
        self.special = targets is not None or tape.anomaly.enabled
        self.native = not self.special and not mode.recording and watch.recorder is None
        self.waiting: dict[
            Node, Any
        ] = {}  # node in the heap -> its gradient, or a list of them if it has several results
        self.heap: list[tuple[int, Node]] = []
        self.at: Node | None = None  # where the walk is, for anomaly mode
        self.walk = Walk(roots, targets)

    def run(self, roots: list[tuple[Node, int, Gradient]], at_leaves: dict[Any, Gradient]) -> None:
        """Walks from what has arrived at the roots to the leaves, and adds what comes there to their grads."""
        outer, settling = current.walk, mode.settling
        current.walk, mode.settling = self.walk, self.targets is None and not mode.recording
        try:
            self._arrive(roots, at_leaves)
            roots.clear()  # so that a leaf can take over a gradient nobody else holds
            self._walk(at_leaves)
            leaves.settle(at_leaves, self.targets)
        except Exception:
            if tape.anomaly.enabled and self.at is not None:
                _tell_where_made(self.at)
            raise
        finally:
            current.walk, mode.settling = outer, settling

    def _walk(self, at_leaves: dict[Any, Gradient]) -> None:
        """Runs all nodes that wait, and those below them; the latest first."""
        heap, waiting = self.heap, self.waiting
        while heap:
            node = heappop(heap)[1]
            arrived = waiting.pop(node)
            if self.native and node.results == 1:
                more = _NATIVE.walk(node, arrived, at_leaves, -heap[0][0] if heap else -1, self.free)
                if more is None or more[0] is not node:
                    self._arrive(_triples(more or ()), at_leaves)
                    continue
            gradients = self._run_node(node, arrived)
            if watch.recorder is not None:
                watch.recorder.gives(node, gradients)
            if self.free and node.frees:
                node.saved = FREED
            self._arrive([(*e, g) for e, g in zip(node.edges, gradients) if e is not None], at_leaves)

    def _run_node(self, node: Node, arrived: Any) -> Any:
        """The gradients of a node's operands."""
        if self.special or node.hooks is not None:
            return self._run_specially(node, arrived)
        if node.saved is FREED:
            raise RuntimeError(FREED_TEXT)
        return node.backward(arrived) if node.results == 1 else node.backward(*arrived)

    def _arrive(self, arrived: Iterable[tuple[Node, int, Gradient]], at_leaves: dict[Any, Gradient]) -> None:
        """Adds gradients to what has come to leaves, and to what waits for nodes."""
        for node, output, gradient in arrived:
            if gradient is None or (self.needed is not None and node not in self.needed):
                continue
            if node.sequence < 0:
                at_leaves[node] = add(at_leaves.get(node), gradient)
            elif node in self.waiting:
                self.waiting[node] = _joined(node, output, self.waiting[node], gradient)
            else:
                self.waiting[node] = gradient if node.results == 1 else _spread(node, output, gradient)
                heappush(self.heap, (-node.sequence, node))

    def _run_specially(self, node: Node, arrived: Any) -> Any:
        """Runs a node, and before and after it whatever has been asked for there."""
        self.at = node
        incoming = list(arrived) if node.results != 1 else [arrived]
        hooks, targets = node.hooks, self.targets
        if hooks is not None:
            call_tensor_hooks(hooks, incoming)
        if targets is not None:
            targets.take(node, incoming)
            if node not in targets.inner:
                return (None,) * len(node.edges)
        if hooks is not None:
            incoming = list(call_before_hooks(hooks.before, tuple(incoming)))
        if node.saved is FREED:
            raise RuntimeError(FREED_TEXT)
        outgoing = node.backward(*incoming)
        if tape.anomaly.enabled and tape.anomaly.check_nan:
            _refuse_nan(node, outgoing)
        if hooks is not None:
            outgoing = call_after_hooks(hooks.after, tuple(outgoing), tuple(incoming))
        return outgoing


def add(known: Gradient, gradient: Gradient) -> Gradient:
    """The sum of two gradients, where None is nothing."""
    return gradient if known is None else known if gradient is None else known + gradient


def _joined(node: Node, output: int, arrived: Any, gradient: Gradient) -> Any:
    if node.results == 1:
        return arrived + gradient
    arrived[output] = add(arrived[output], gradient)
    return arrived


def _spread(node: Node, output: int, gradient: Gradient) -> list[Gradient]:
    gradients = [None] * node.results
    gradients[output] = gradient
    return gradients


# ---------------------------------------------------------------- anomaly mode
def _refuse_nan(node: Node, gradients: tuple) -> None:
    for index, gradient in enumerate(gradients):
        if gradient is not None and bool((gradient != gradient).any()):
            raise RuntimeError(f"Function '{node.name()}' returned nan values in its {index}th output.")


def _tell_where_made(node: Node) -> None:
    lines = node.metadata.get("traceback_")
    where = "It was recorded outside detect_anomaly, so where is not known." if lines is None else "".join(lines)
    warnings.warn(f"backward: the error arose in {node.name()}. The forward call that made it:\n{where}", stacklevel=5)
