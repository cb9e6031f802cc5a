"""The engine: walks recorded nodes in the reverse order of their creation and adds up gradients.

`walk` is the loop. A node runs when all nodes made after it have run, so its gradient is complete; those that wait stand in
a heap by their number, except one, held outside: along a straight chain of operations the heap is never touched.
Leaves come last (autograd.leaves). What hooks, anomaly mode and `inputs=` want is looked up only where somebody asked
for it.
"""

from __future__ import annotations

import warnings
from heapq import heappop, heappush, heappushpop
from typing import Any

from mashal.autograd import leaves
from mashal.autograd.hooks import call_after_hooks, call_before_hooks, call_tensor_hooks
from mashal.autograd.targets import Targets, Walk, current
from mashal.core import tape
from mashal.core.saved import FREED, FREED_TEXT
from mashal.core.tape import Node, mode

__all__ = ["run"]

Gradient = Any  # a Tensor, or None where nothing flowed


def run(
    roots: list[tuple[Node, int, Gradient]], retain_graph: bool, create_graph: bool, targets: Targets | None = None
) -> None:
    """Sends the gradients of the roots (node, output, gradient) back to the leaves, or to the targets."""
    before, outer, settling = mode.recording, current.walk, tape.backward.settling
    mode.recording = create_graph
    tape.backward.settling = targets is None and not create_graph
    current.walk = Walk(roots, targets)
    at: list[Node] = []  # where the walk is, for anomaly mode
    try:
        pending = walk(roots, retain_graph, targets, at)
        roots.clear()  # so that a leaf can take over a gradient nobody else holds
        leaves.settle(pending, targets)
    except Exception:
        if tape.anomaly.enabled and at:
            _tell_where_made(at[0])
        raise
    finally:
        mode.recording, current.walk, tape.backward.settling = before, outer, settling


def walk(
    roots: list[tuple[Node, int, Gradient]], retain_graph: bool, targets: Targets | None, at: list[Node]
) -> dict[Any, Gradient]:
    """Runs all nodes from the roots down; gives what has come to each leaf."""
    needed = None if targets is None else targets.needed
    at_leaves: dict[Any, Gradient] = {}
    waiting: dict[Node, Any] = {}  # node in the heap -> its gradient, or a list of them if it has several results
    heap: list[tuple[int, Node]] = []
    if len(roots) == 1 and roots[0][0].sequence >= 0 and needed is None:
        node, output, gradient = roots.pop()
        arrived = gradient if node.results == 1 else _spread(node, output, gradient)
    else:
        for node, output, gradient in roots:
            if needed is not None and node not in needed:
                continue
            if node.sequence < 0:
                at_leaves[node] = add(at_leaves.get(node), gradient)
            else:
                _put(heap, waiting, node, output, gradient)
        if not heap:
            return at_leaves
        node = heappop(heap)[1]
        arrived = waiting.pop(node)
    special = targets is not None or tape.anomaly.enabled
    del gradient
    gradients: Any
    while True:
        # ---- run the node
        if special or node.hooks is not None:
            gradients = _run_specially(node, arrived, targets, at)
        else:
            if node.saved is FREED:
                raise RuntimeError(FREED_TEXT)
            gradients = node.backward(arrived) if node.results == 1 else node.backward(*arrived)  # type: ignore
        if not retain_graph and node.frees:
            node.saved = FREED
        # ---- hand on what it gave; `following` is the one node held outside the heap
        following = arrived = None
        for edge, gradient in zip(node.edges, gradients):
            if gradient is None or edge is None:
                continue
            target, output = edge
            if needed is not None and target not in needed:
                continue
            if target is following:
                arrived = _joined(target, output, arrived, gradient)
            elif target.sequence < 0:
                known = at_leaves.get(target)
                at_leaves[target] = gradient if known is None else known + gradient
            elif following is None and target not in waiting:
                following = target
                arrived = gradient if target.results == 1 else _spread(target, output, gradient)
            else:
                _put(heap, waiting, target, output, gradient)
        gradients, gradient = (), None
        # ---- the latest of those that wait is next
        if heap:
            if following is None:
                node = heappop(heap)[1]
                arrived = waiting.pop(node)
            elif heap[0][0] < -following.sequence:
                waiting[following] = arrived
                node = heappushpop(heap, (-following.sequence, following))[1]
                arrived = waiting.pop(node)
            else:
                node = following
        elif following is None:
            return at_leaves
        else:
            node = following


def add(known: Gradient, gradient: Gradient) -> Gradient:
    """The sum of two gradients, where None is nothing."""
    return gradient if known is None else known if gradient is None else known + gradient


def _put(heap: list, waiting: dict, node: Node, output: int, gradient: Gradient) -> None:
    """Adds a gradient to what waits for a node."""
    if node in waiting:
        waiting[node] = _joined(node, output, waiting[node], gradient)
    else:
        waiting[node] = gradient if node.results == 1 else _spread(node, output, gradient)
        heappush(heap, (-node.sequence, node))


def _joined(node: Node, output: int, arrived: Any, gradient: Gradient) -> Any:
    if node.results == 1:
        return arrived + gradient
    arrived[output] = add(arrived[output], gradient)
    return arrived


def _spread(node: Node, output: int, gradient: Gradient) -> list[Gradient]:
    gradients = [None] * node.results
    gradients[output] = gradient
    return gradients


# ---------------------------------------------------------------- hooks, targets and anomaly mode
def _run_specially(node: Node, arrived: Any, targets: Targets | None, at: list[Node]) -> Any:
    """Runs a node, and before and after it whatever has been asked for there."""
    at[:] = [node]
    incoming = list(arrived) if node.results != 1 else [arrived]
    hooks = node.hooks
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


def _refuse_nan(node: Node, gradients: tuple) -> None:
    for index, gradient in enumerate(gradients):
        if gradient is not None and bool((gradient != gradient).any()):
            raise RuntimeError(f"Function '{node.name()}' returned nan values in its {index}th output.")


def _tell_where_made(node: Node) -> None:
    lines = node.metadata.get("traceback_")
    where = "It was recorded outside detect_anomaly, so where is not known." if lines is None else "".join(lines)
    warnings.warn(f"backward: the error arose in {node.name()}. The forward call that made it:\n{where}", stacklevel=5)
