"""Gradients of pointwise operations: derived from the formula, each an operation itself, and the node that runs them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from mashal.core.dtypes import dtype
from mashal.core.forms import Form
from mashal.core.saved import kept
from mashal.core.tensor import Tensor
from mashal.lang.derivative import adjoints
from mashal.lang.expression import Expression, cast, operand, rebuild, scalar, walk
from mashal.ops.broadcast import sum_plan, sum_to
from mashal.ops.doors import door
from mashal.ops.planned import Part, Planned, PlanNode
from mashal.ops.promotion import result_type_of
from mashal.ops.rules import in_registers, number_kind


class Entry(Planned):
    """What is known of a pointwise call on operands of certain forms.

    form: the result's. backward: its gradients, known once a call was to be recorded; shapes: the operands', if one was broadcast.
    """

    __slots__ = ("backward", "form", "operation", "options", "shapes")

    def __init__(self, operation: Any, bare: Callable[..., Any], form: Form, operands: Sequence[Any], options: tuple):
        self.operation, self.form, self.options = operation, form, options
        self.backward: Backward | None = None
        self.shapes: tuple | None = None
        tensors = [isinstance(x, Tensor) for x in operands]
        super().__init__(bare, None, tensors, len(operands), recorded=form.dtype.kind in "fc")

    def record(self, result: Any, *operands: Any) -> None:
        """Notes a call with all care; the first one finds out what backward needs."""
        if self.backward is None:
            self.learn(operands)
            self.plan = self._recorded()
        super().record(result, *operands)

    def learn(self, operands: Sequence[Any]) -> None:
        """Finds out what backward needs."""
        backward = self.backward = self.operation.backward_of(operands, self.options)
        self.node, self.kept, self.keeps_result = self.operation.node, backward.kept, backward.keeps_result
        self.needs = backward.needs
        shape = self.form.shape
        if any(isinstance(x, Tensor) and x.form.shape != shape for x in operands):
            self.shapes = tuple([x.form.shape if isinstance(x, Tensor) else None for x in operands])

    def parts(self, things: list[Any], g: Tensor) -> Sequence[Part | None] | None:
        """Plans of the rules, and of sums where an operand was broadcast."""
        assert self.backward is not None
        tensors = self.backward.arranged(things, g)
        place = {j: k for k, j in enumerate((*self.backward.places, self.backward.n + 1))}
        found: list[Part | None] = []
        for i, rule in enumerate(self.backward.rules):
            if rule is None:
                found.append(None)
                continue
            known = None if rule.passes else rule.entry(tensors)
            if known is None and not rule.passes:
                return None
            made = g.form if known is None else known.form
            then = None if self.shapes is None else sum_plan(made, self.shapes[i])
            used = [self.backward.n + 1] if known is None else rule.used
            found.append(Part(None if known is None else known.bare, tuple([place[j] for j in used]), then))
        return found


class Backward:
    """The gradients of a pointwise operation for operands of certain dtypes, each an operation itself, and what they need.

    kept: the operands that gradients use, needs: for each of these which gradients do, a bit each; keeps_result: whether they use
    the result. Only those are saved.
    """

    def __init__(self, operation: Any, operands: Sequence[Any], options: tuple):
        self.operation, self.options = operation, options
        dtypes = [x.form.dtype if isinstance(x, Tensor) else None for x in operands]
        compute, _ = operation.rule(result_type_of(operands))
        kinds = [(d, False) if d is not None else (number_kind(x, compute), True) for d, x in zip(dtypes, operands)]
        self.n = len(operands)
        x = operation.elements(kinds, compute)
        y = operation.body(*x, **dict(options))
        shift = self.n + 1  # in gradients: operands 0..n-1, result n, incoming gradient n + 1
        g = operand(shift, y.dtype)
        slots = [operand(i, e.dtype) for i, e in enumerate(x)]
        standing = operand(self.n, y.dtype)
        if operation.gradients is not None:
            parts = operation.gradients(g, standing, *slots, **dict(options))
            parts = list(parts) if isinstance(parts, (tuple, list)) else [parts]
        else:
            root = rebuild(y, dict(zip(x, slots)))
            known = {root: standing} if operation.reuses else {}
            parts = [None if p is None else rebuild(p, known) for p in adjoints(root, g, slots)]
        self.rules = [
            None if p is None or d is None else self._rule(i, p, d) for i, (p, d) in enumerate(zip(parts, dtypes))
        ]
        used = [rule.used for rule in self.rules if rule is not None]
        self.kept = tuple(i for i in range(self.n) if any(i in u for u in used))
        self.needs = tuple([self._needs(i) for i in self.kept])
        self.keeps_result = any(self.n in u for u in used)
        self.places = (*self.kept, self.n) if self.keeps_result else self.kept
        if self.places:
            operation.node.frees = True

    def _needs(self, operand: int) -> int:
        return sum(1 << i for i, rule in enumerate(self.rules) if rule is not None and operand in rule.used)

    def _rule(self, i: int, gradient: Expression, d: dtype) -> GradientRule:
        return GradientRule(self.operation.kind, f"{self.operation.name}_backward", gradient, d, self.n)

    def arranged(self, things: Sequence[Any], g: Tensor) -> list[Any]:
        """(*operands, result, g), those that are used, given what a node keeps."""
        tensors: list[Any] = [None] * (self.n + 2)
        for i, thing in zip(self.places, things):
            tensors[i] = thing
        tensors[-1] = g
        return tensors


class GradientRule:
    """One operand's gradient: a pointwise operation of the tensors it uses."""

    def __init__(self, kind: Any, name: str, gradient: Expression, d: dtype, n: int):
        used = sorted({node.value for node in walk([gradient]) if node.kind == "operand"})
        if n + 1 not in used:
            used.append(n + 1)  # zero everywhere: it has the incoming gradient's shape
        self.used = used
        self.passes = gradient.kind == "operand" and used == [n + 1] and gradient.dtype is d
        dtypes = {node.value: node.dtype for node in walk([gradient]) if node.kind == "operand"}
        place = {i: k for k, i in enumerate(used)}

        def body(*x: Expression) -> Expression:
            swap = {node: cast(x[place[node.value]], node.dtype) for node in walk([gradient]) if node.kind == "operand"}
            return rebuild(gradient, swap)

        body.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(f"x{i}", inspect.Parameter.POSITIONAL_ONLY) for i in used]
        )
        self.operation = kind(name, body, lambda _: (in_registers(d), d), name.title().replace("_", "") + "0")
        self.operation.elements = lambda kinds, compute: [  # type: ignore[method-assign]
            scalar(i, k) if number else operand(i, k) for i, (k, number) in enumerate(kinds)
        ]
        self.call = door(self.operation)
        self._dtypes = dtypes

    def __call__(self, tensors: Sequence[Any]) -> Tensor:
        return self.call(*[tensors[i] for i in self.used])

    def entry(self, tensors: Sequence[Any]) -> Entry | None:
        """What is known of the call on operands of these forms; None if a plan does not take them as they are."""
        operands = tuple([tensors[i] for i in self.used])
        entry, normal = self.operation.prepare(operands, ())
        return entry if all(a is b for a, b in zip(operands, normal)) else None


class PointwiseNode(PlanNode):
    """A recorded pointwise operation; saved: what its `Backward` needs of operands and result."""

    __slots__ = ()
    operation: Any

    def by_operations(self, g: Tensor) -> tuple:
        """The gradients by their rules."""
        entry = self.entry
        tensors = entry.backward.arranged(kept(self), g)
        found: list[Any] = []
        for i, (edge, rule) in enumerate(zip(self.edges, entry.backward.rules)):
            part = None if edge is None or rule is None else g if rule.passes else rule(tensors)
            found.append(part if part is None or entry.shapes is None else sum_to(part, entry.shapes[i]))
        return tuple(found)
