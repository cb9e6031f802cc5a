"""What a walk is for: the places whose gradients somebody asked for, and which nodes lie on the way there."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from mashal.core.tape import Node

__all__ = ["Targets", "Walk", "current"]


class Targets:
    """The places in the graph whose gradients somebody asked for, instead of all leaves.

    found: {(node, output): gradient or None}. needed: the nodes on the way there. keep: whether a leaf's gradient is
    also added to its grad.
    """

    def __init__(self, edges: Iterable[tuple[Node, int]], roots: Iterable[Node], accumulate: bool):
        self.found: dict[tuple[Node, int], Any] = {(node, int(output)): None for node, output in edges}
        self.places: dict[Node, list[int]] = {}
        for node, output in self.found:
            self.places.setdefault(node, []).append(output)
        self.accumulate = accumulate
        self.inner: set[Node] = set()  # nodes that have to run
        self.needed = self._on_the_way(roots)

    def _on_the_way(self, roots: Iterable[Node]) -> set[Node]:
        """The targets and the nodes from which one of them is reached."""
        above: dict[Node, list[Node]] = {}
        todo = list(set(roots))
        seen = set(todo)
        while todo:
            node = todo.pop()
            for edge in node.edges:
                if edge is None:
                    continue
                below = edge[0]
                above.setdefault(below, []).append(node)
                if below not in seen:
                    seen.add(below)
                    todo.append(below)
        needed = {node for node in self.places if node in seen}
        todo = list(needed)
        while todo:
            for node in above.get(todo.pop(), ()):
                self.inner.add(node)
                if node not in needed:
                    needed.add(node)
                    todo.append(node)
        return needed

    def take(self, node: Node, gradients: list[Any]) -> None:
        """Notes the gradients that have arrived at a node."""
        for output in self.places.get(node, ()):
            self.found[node, output] = gradients[output]


class Walk:
    """One backward while it runs. roots: the nodes it starts from; targets: where it goes, None: to all leaves."""

    __slots__ = ("__weakref__", "_reached", "roots", "targets")

    def __init__(self, roots: list[tuple[Node, int, Any]], targets: Targets | None):
        self.roots = (roots[0][0],) if len(roots) == 1 else tuple([root[0] for root in roots])
        self.targets = targets
        self._reached: set[Node] | None = None

    def comes_by(self, node: Node) -> bool:
        """Whether this backward sends a gradient to the node."""
        if self.targets is not None:
            return node in self.targets.needed
        if self._reached is None:
            self._reached = reached(self.roots)
        return node in self._reached


class _Current(threading.local):
    """The walk that runs in this thread, or None."""

    walk: Any = None


current = _Current()


def reached(roots: Iterable[Node]) -> set[Node]:
    """The roots and all nodes below them."""
    seen = set(roots)
    todo = list(seen)
    while todo:
        for edge in todo.pop().edges:
            if edge is not None and edge[0] not in seen:
                seen.add(edge[0])
                todo.append(edge[0])
    return seen
