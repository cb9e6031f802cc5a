"""Functions of tensors with a backward of their own: what they compute inside is not recorded."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mashal.core import tape
from mashal.core.saved import save, save_result, unpack
from mashal.core.tape import Node, mode
from mashal.core.tensor import Tensor


class Recorded:
    """A function of tensors with a backward of its own: what it computes inside is not recorded.

    The function returns (result or tuple of results, what backward needs); backward(node, *gradients) gives a gradient for each of
    the function's leading tensor arguments. `keep` and `kept` are how backward gets saved tensors.
    """

    def __init__(self, function: Callable[..., Any], node_name: str, tensors: int):
        self.function, self.tensors = function, tensors
        operands = function.__code__.co_varnames[:tensors]
        self.node = type(node_name, (RecordedNode,), {"__slots__": (), "frees": False, "operands": operands})
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if mode.recording:
            for x in arguments[: self.tensors]:
                if isinstance(x, Tensor) and x.node is not None:
                    return self._recorded(arguments, options)
        return self.function(*arguments, **options)[0]

    def _recorded(self, arguments: tuple, options: dict[str, Any]) -> Any:
        mode.recording = False
        try:
            result, saved = self.function(*arguments, **options)
        finally:
            mode.recording = True
        results = result if isinstance(result, tuple) else (result,)
        edges = tuple([
            (x.node, x.output) if isinstance(x, Tensor) and x.node is not None else None
            for x in arguments[: self.tensors]
        ])  # fmt: skip
        kind, things = self.node, []
        for s in saved:
            if isinstance(s, Tensor):
                s = keep(s, results)
                if not kind.frees:  # a class is not written to without need: that empties Python's caches
                    kind.frees = True
            things.append(s)
        node = kind(edges, tuple(things))
        node.n_results = len(results)
        for i, y in enumerate(results):
            if y.form.dtype.kind in "fc":
                y.node, y.output = node, i or False
        return result

    def backward(self, rule: Callable[..., tuple]) -> Callable[..., tuple]:
        """States the gradients: rule(node, *gradients of results) -> a gradient (or None) for each tensor argument."""
        self.node.rule = staticmethod(rule)
        return rule


def keep(x: Tensor, results: tuple) -> Any:
    """A tensor as the node keeps it: its own results without history."""
    for i, y in enumerate(results):
        if x is y:
            return save_result(x, i)
    return save(x)


class Wanting:
    """What a rule asks its node about the gradients that it is to give."""

    __slots__ = ()
    edges: tuple

    def place_of(self, i: int) -> int | None:
        """Which of the edges is operand i's; None if it has none."""
        return i

    def wants(self, i: int) -> bool:
        """Whether the gradient of tensor argument i is asked for."""
        place = self.place_of(i)
        return place is not None and self.edges[place] is not None

    def room(self, i: int, *readers: Tensor) -> Tensor | None:
        """The grad of the leaf that tensor argument i is, where a kernel may add this node's share to it: then the rule
        gives None for it. None where the gradient has to be handed on. readers: what the kernel reads besides."""
        place = self.place_of(i)
        edge = None if place is None else self.edges[place]
        if not tape.mode.settling or edge is None or edge[0].sequence >= 0 or edge[0].hooks is not None:
            return None
        leaf = edge[0].leaf()
        grad = None if leaf is None else leaf.grad_
        if leaf is None or grad is None or grad.form is not leaf.form or grad.node is not None:
            return None
        return None if any(x.capsule is grad.capsule for x in readers) else grad


class RecordedNode(Wanting, Node):
    """The node of a `recorded` function; `rule` is the class's, `kept()` the saved values."""

    __slots__ = ("n_results",)
    rule: Callable[..., tuple]

    @property
    def results(self) -> int:  # type: ignore[override]
        return self.n_results

    def kept(self) -> list[Any]:
        """What the function returned for backward, tensors checked for changes."""
        return [
            unpack(s, self)
            if type(s) is tuple and len(s) == 2 and isinstance(s[0], Tensor) or hasattr(s, "unpacked")
            else s
            for s in self.saved
        ]

    def backward(self, *gradients: Any) -> tuple:
        return tuple(g if e is not None else None for g, e in zip(self.rule(self, *gradients), self.edges))


def recorded(node: str, tensors: int = 1) -> Callable[[Callable[..., Any]], Recorded]:
    """A function with a backward of its own; its first `tensors` arguments are those that get gradients."""

    def make(function: Callable[..., Any]) -> Recorded:
        return Recorded(function, node, tensors)

    return make
