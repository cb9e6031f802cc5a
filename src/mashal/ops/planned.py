"""Operations that are one plan: native code computes, records and goes back (machine.recording, machine.returning).

A `Planned` is what is known of a call on operands of certain forms. `plan` is what the call runs. The first backward of its
node with a gradient of some form asks it for the `parts`, plans for the gradient of each operand; from then on the node's
gradients are one native call. Whatever is not usual goes through `PlanNode.by_operations`, as do gradients of gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mashal.core import tape
from mashal.core.forms import Form
from mashal.core.saved import is_packed, kept, pair, pair_of_result, pair_of_unneeded
from mashal.core.tape import mode
from mashal.core.tensor import Tensor, empty, gradient_plan, recorded_plan
from mashal.machine.recording import Recording
from mashal.machine.returning import Part
from mashal.ops.run import remember

__all__ = ["Part", "PlanNode", "Planned"]


class Planned(tape.PlannedCall):
    """A plan for operands of certain forms, and how its calls are recorded.

    bare: the plan itself; plan: the same, recorded. node: the type of the node. tensors: for each operand whether it is a tensor.
    edges: how many operands (the first ones) may have a gradient. kept, keeps_result: what the node keeps of operands and result;
    needs: for each operand that is kept the gradients that need it, a bit for each operand (-1: all); it is kept if one of these is
    wanted. What the plan gives besides its first result is kept too. recorded: False where there are no gradients.
    gradients: {form of the incoming gradient: gradient plan}.
    """

    __slots__ = ("bare", "edges", "needs", "node", "results", "tensors")

    def __init__(self, bare: Callable[..., Any], node: type | None, tensors: Sequence[bool], edges: int, *,
                 kept: Sequence[int] = (), needs: Sequence[int] = (), keeps_result: bool = False, results: int = 1,
                 recorded: bool = True):  # fmt: skip
        self.bare, self.node, self.tensors, self.edges = bare, node, tuple(tensors), edges
        self.kept, self.keeps_result, self.results = tuple(kept), keeps_result, results
        self.needs = tuple(needs) or (-1,) * len(self.kept)
        self.gradients: dict[Form, Callable[..., tuple]] = {}
        self.plan = self._recorded() if recorded else bare

    def _recorded(self) -> Callable[..., Any]:
        how = Recording(
            self.node,
            self,
            self.tensors,
            self.edges,
            self.kept,
            self.keeps_result,
            self.results,
            self.needs,
            otherwise=self.record,
        )
        return recorded_plan(self.bare, how)

    def record(self, result: Any, *operands: Any) -> None:
        """Notes a call with all care: hooks on what is saved, and where the call was made."""
        first, *others = result if self.results > 1 else (result,)
        node = self.node_for(operands)
        if self.keeps_result:
            self.keep_result(node, first)
        for other in others:
            node.saved += (other, 0)
        first.node = node

    def node_for(self, operands: Sequence[Any]) -> Any:
        """A node that keeps what it needs of the operands."""
        assert self.node is not None
        edges = tape.edges(*[x if is_tensor else None for x, is_tensor in zip(operands[: self.edges], self.tensors)])
        kept = reversed(self.kept) if self.node.second_first else self.kept
        pairs = {i: pair(operands[i]) if self.needed(i, edges) else pair_of_unneeded(operands[i]) for i in kept}
        node = self.node(edges, tuple([thing for i in self.kept for thing in pairs[i]]))
        node.entry = self
        return node

    def needed(self, operand: int, edges: Sequence[Any]) -> bool:
        """Whether a gradient that is wanted, one with an edge, needs an operand that is kept."""
        needs = self.needs[self.kept.index(operand)]
        return any(edge is not None and needs >> min(i, 63) & 1 for i, edge in enumerate(edges))

    @staticmethod
    def keep_result(node: Any, result: Tensor) -> None:
        """Has the result's own node keep it."""
        node.saved += pair_of_result(result)

    def gradient(self, node: Any, g: Tensor) -> Callable[..., tuple]:
        """The gradient plan for incoming gradients of g's form."""
        found = self.gradients.get(g.form)
        if found is None:
            by_operations = type(node).by_operations
            if is_packed(node):  # unpacked there, once
                return by_operations
            things = [empty(thing) if isinstance(thing, Form) else thing for thing in kept(node)]
            parts = self.parts(things, g)
            has_version = [*(self.tensors[i] for i in self.kept), *(True,) * (self.keeps_result + self.results - 1)]
            found = by_operations if parts is None else gradient_plan(has_version, parts, by_operations)
            remember(self.gradients, g.form, found)
        return found

    def parts(self, things: list[Any], g: Tensor) -> Sequence[Part | None] | None:
        """Plans for the gradient of each operand, given what a node keeps and an incoming gradient; None: there are none."""
        return None


class PlanNode(tape.PlannedNode):
    """A recorded call of a `Planned`."""

    __slots__ = ()
    entry: Any

    def backward(self, *gradients: Any) -> tuple:
        (g,) = gradients
        if mode.recording:
            return self.by_operations(g)
        entry = self.entry
        return (entry.gradients.get(g.form) or entry.gradient(self, g))(self, g)

    def by_operations(self, g: Tensor) -> tuple:
        """The gradients written with operations, which may themselves be recorded."""
        raise NotImplementedError
