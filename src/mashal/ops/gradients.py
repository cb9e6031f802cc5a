"""Gradients of pointwise operations: derived from the formula, each an operation itself, and the node that runs them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from mashal.core.dtypes import dtype
from mashal.core.forms import Form
from mashal.core.saved import Result, check_version, packers, save, save_result
from mashal.core.tape import Node, mode
from mashal.core.tensor import Tensor
from mashal.lang.derivative import adjoints
from mashal.lang.expression import Expression, cast, operand, rebuild, scalar, walk
from mashal.ops.broadcast import sum_to
from mashal.ops.doors import door
from mashal.ops.promotion import result_type_of
from mashal.ops.rules import in_registers, number_kind
from mashal.ops.run import remember


class Entry:
    """What is known of a call on operands of certain forms: its plan, and (once one was recorded) how to record it."""

    __slots__ = ("backward", "gradients", "plan", "shapes")

    def __init__(self, plan: Any):
        self.plan = plan
        self.gradients: dict[Form, list[Any]] = {}  # form of the incoming gradient -> plan of each operand's gradient
        self.backward: Backward | None = None
        self.shapes: tuple | None = None


class Backward:
    """The gradients of a pointwise operation for operands of certain dtypes, each an operation itself, and what they need.

    kept: the operands that gradients use, keeps_result: whether they use the result; only those are saved.
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
            parts = [None if p is None else rebuild(p, {root: standing}) for p in adjoints(root, g, slots)]
        self.rules = [
            None if p is None or d is None else self._rule(i, p, d) for i, (p, d) in enumerate(zip(parts, dtypes))
        ]
        used = [rule.used for rule in self.rules if rule is not None]
        self.kept = tuple(i for i in range(self.n) if any(i in u for u in used))
        self.keeps_result = any(self.n in u for u in used)
        self.places = (*self.kept, self.n) if self.keeps_result else self.kept
        if self.places:
            operation.node.frees = True

    def _rule(self, i: int, gradient: Expression, d: dtype) -> GradientRule:
        return GradientRule(self.operation.kind, f"{self.operation.name}_backward", gradient, d, self.n)

    def save(self, operands: Sequence[Any], result: Tensor) -> list[Any]:
        """What backward will need: of `kept` operands the tensors with their versions or the numbers, then the result."""
        hooked = packers.pairs
        entries: list[Any] = []
        for i in self.kept:
            x = operands[i]
            if hooked or not isinstance(x, Tensor):
                entries.append(save(x) if isinstance(x, Tensor) else x)
            else:
                entries.append((x, 0 if x.version is None else x.version[0]))
        if self.keeps_result:
            entries.append(save_result(result))
        return entries

    def unpacked(self, entries: Sequence[Any], g: Tensor, node: Node) -> list[Any]:
        """(*operands, result, g), those that are used."""
        tensors: list[Any] = [None] * (self.n + 2)
        for i, entry in zip(self.places, entries):
            if type(entry) is tuple:  # the usual one: an operand and its version (core.saved.unpack)
                x, version = entry
                if x.version is not None and x.version[0] != version:
                    check_version(x, version)
                tensors[i] = x
            elif type(entry) is Result and not mode.recording:  # the result itself (Result.unpacked)
                x = entry.tensor
                if x.version[0] != entry.version:  # type: ignore[index]
                    check_version(x, entry.version)
                tensors[i] = x
            else:
                tensors[i] = entry if isinstance(entry, (bool, int, float)) else entry.unpacked(node)
        tensors[-1] = g
        return tensors

    def shapes_of(self, operands: Sequence[Any], result: Tensor) -> tuple | None:
        """The operands' shapes, if one of them was broadcast."""
        shape = result.form.shape
        for x in operands:
            if isinstance(x, Tensor) and x.form.shape != shape:
                return tuple([x.form.shape if isinstance(x, Tensor) else None for x in operands])
        return None


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

    def plan(self, tensors: Sequence[Any]) -> Any:
        """The plan that the last call on operands of these forms was made with, if it is remembered."""
        key = [x.form if isinstance(x, Tensor) else type(x) for x in (tensors[i] for i in self.used)]
        entry = self.operation.entries.get(tuple(key) if len(key) > 1 else key[0])
        return None if entry is None else entry.plan


class PointwiseNode(Node):
    """A recorded pointwise operation. saved: (Backward, what it keeps of operands and result, Entry)."""

    __slots__ = ()
    operation: Any

    def backward(self, *gradients: Any) -> tuple:
        (g,) = gradients
        backward, kept, entry = self.saved
        tensors = backward.unpacked(kept, g, self)
        plans = None if mode.recording else entry.gradients.get(g.form)
        if plans is not None and len(plans) == 1 and plans[0] is not None:
            return (plans[0](*[tensors[j] for j in backward.rules[0].used]),)  # type: ignore[union-attr]
        found: list[Any] = []
        for i, edge in enumerate(self.edges):
            rule = backward.rules[i]
            if edge is None or rule is None:
                found.append(None)
                continue
            if rule.passes:
                part = g
            elif plans is not None and plans[i] is not None:
                part = plans[i](*[tensors[j] for j in rule.used])
            else:
                part = rule(tensors)
            found.append(part if entry.shapes is None else sum_to(part, entry.shapes[i]))
        if plans is None and not mode.recording:
            known = [None if rule is None or rule.passes else rule.plan(tensors) for rule in backward.rules]
            remember(entry.gradients, g.form, known)
        return tuple(found)
