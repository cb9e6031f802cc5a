"""Pointwise operations: from a formula and operands to a nest, a plan and a record."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from mashal.core.dtypes import complex128, dtype, float64
from mashal.core.forms import like
from mashal.core.nested import from_number
from mashal.core.shapes import broadcast
from mashal.core.tape import mode
from mashal.core.tensor import Tensor, bump
from mashal.errors import message
from mashal.lang.expression import Expression, cast, operand, scalar
from mashal.lang.nest import Nest, Operand
from mashal.ops.changes import change_in_place, check_not_expanded, copied, overlaps, refuse_recorded_out, write_out
from mashal.ops.doors import public_name
from mashal.ops.gradients import Backward, Entry, PointwiseNode
from mashal.ops.promotion import is_operand, result_type_of
from mashal.ops.rules import Rule, in_registers, number_kind, only_floating, real_part
from mashal.ops.run import check_cast, check_floating, dense_result, plan_pointwise, remember, same_device
from mashal.ops.subclasses import dispatched, overrides

NUMBERS_ALONE = ("add", "sub", "mul", "div", "floor_divide")
"""The operations that take numbers without any tensor, torch.add(1, 2); the others refuse them."""


class Pointwise:
    """An operation whose value at each place depends on the operands' elements there.

    body: a function of expressions (and options). rule: which dtypes. `gradients[i]` states an operand's gradient by a body of
    its own: (g, y, *operands, **options) -> expression, where the derived one is worse.
    """

    def __init__(
        self, name: str, body: Callable[..., Any], rule: Rule, node_name: str, refuse: Callable[..., None] | None = None
    ):
        self.name, self.body, self.rule, self.refuse = name, body, rule, refuse
        parameters = inspect.signature(body).parameters.values()
        self.arity = sum(p.kind is not p.KEYWORD_ONLY for p in parameters)
        self.options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        self.tensors = 0
        self.entries: dict[Any, Entry] = {}
        self.in_place_plans: dict[Any, Any] = {}
        self.gradients: Callable[..., Any] | None = None
        names = [public_name(p.name, i, self.arity) for i, p in enumerate(parameters)]
        self.node = type(node_name, (PointwiseNode,), {"__slots__": (), "operation": self, "frees": False})
        self.node.second_first = self.arity == 2 and names[1] < "self"
        self.kind = Pointwise
        self._nests: dict[Any, Nest] = {}
        self._backward: dict[Any, Any] = {}

    reuses = True
    """Whether derived gradients take the result, which is kept for them; if not they compute it again, and it may be changed."""

    rounds_numbers = False
    """Whether numbers are brought to the operands' half precision first (0.1 equals itself there)."""

    # ---------------------------------------------------------------- nests
    def nest(self, kinds: tuple[tuple[dtype, bool], ...], compute: dtype, result: dtype, options: tuple) -> Nest:
        """The nest for operands of these dtypes (True: a number), computed in one dtype and stored in another."""
        key = kinds, compute, result, options
        found = self._nests.get(key)
        if found is None:
            found = self._nests[key] = self._make_nest(kinds, compute, result, options)
        return found

    def elements(self, kinds: Sequence[tuple[dtype, bool]], compute: dtype) -> list[Expression]:
        """The operands as expressions, in the dtype of computation where it is given (None: as they are)."""
        raw = [scalar(i, d) if number else operand(i, d) for i, (d, number) in enumerate(kinds)]
        if self.rounds_numbers:
            raw = [cast(x, compute) if number else x for x, (_, number) in zip(raw, kinds)]
        return [cast(x, in_registers(compute)) for x in raw]

    def _make_nest(self, kinds: tuple, compute: dtype, result: dtype, options: tuple) -> Nest:
        expression = self.body(*self.elements(kinds, compute), **dict(options))
        operands = tuple(Operand(d, number) for d, number in kinds)
        return Nest(((cast(expression, in_registers(result)), result),), operands)

    # ---------------------------------------------------------------- the long way round
    def prepare(self, operands: tuple, options: tuple) -> Any:
        """(what is known of such a call, operands as its plan takes them): checked, promoted, broadcast."""
        self._check_numbers(operands)
        operands = self._normals(operands)
        tensors = [x for x in operands if isinstance(x, Tensor)]
        if self.refuse is not None:
            self.refuse(*operands, **dict(options))
        device = same_device(self.name, tensors)
        compute, result = self.dtypes_of(operands)
        kinds = tuple(
            (x.form.dtype, False) if isinstance(x, Tensor) else (number_kind(x, compute), True) for x in operands
        )
        shape = broadcast(self.name, *(x.form.shape for x in tensors))
        nest = self.nest(kinds, compute, result, options)
        forms = [x.form if isinstance(x, Tensor) else None for x in operands]
        made = dense_result([f for f in forms if f is not None], shape, result, device)
        return Entry(self, plan_pointwise(nest, forms, shape, [made]), made, operands, options), operands

    def _check_numbers(self, operands: tuple) -> None:
        """TypeError for a number in place of an operand that must be a tensor."""
        for i, x in enumerate(operands[: self.tensors]):
            if not isinstance(x, Tensor):
                which = ("input", "other")[i] if self.arity == 2 or not i else f"operand {i + 1}"
                raise TypeError(
                    f"{self.name}(): argument '{which}' (position {i + 1}) must be Tensor, not {type(x).__name__}"
                )

    def dtypes_of(self, operands: Sequence[Any]) -> tuple[dtype, dtype]:
        """In which dtype to compute, and in which to store. NotImplementedError if the operation is of floating numbers only."""
        promoted = result_type_of(operands)
        if self.rule is only_floating:
            check_floating(self.name, promoted)
        return self.rule(promoted)

    def _normals(self, operands: Sequence[Any]) -> tuple:
        """Operands as plans take them; a complex number keeps its digits beside tensors that have as many."""
        made = tuple(map(self._normal, operands))
        if any(isinstance(x, complex) for x in operands) and any(
            isinstance(x, Tensor) and x.form.dtype in (float64, complex128) for x in operands
        ):
            return tuple(from_number(x, complex128) if isinstance(x, complex) else y for x, y in zip(operands, made))
        return made

    def _normal(self, x: Any) -> Any:
        """An operand as plans take it: a tensor or a Python number."""
        if isinstance(x, (Tensor, bool, int, float)):
            return x
        if isinstance(x, complex):
            return from_number(x)
        if is_operand(x):
            return x.item() if hasattr(x, "item") else float(x)
        raise TypeError(f"{self.name}(): argument 'other' must be Tensor or Number, not {type(x).__name__}")

    def long(
        self, function: Callable[..., Any], operands: tuple, out: Tensor | None = None, options: tuple = ()
    ) -> Any:
        """A call that the table does not know yet."""
        kinds = overrides(operands)
        if kinds:
            return dispatched(function, kinds, operands, dict(options) | ({"out": out} if out is not None else {}))
        if not any(isinstance(x, Tensor) for x in operands):
            if self.name in NUMBERS_ALONE and all(map(is_operand, operands)):
                return self.long(function, (from_number(operands[0]), *operands[1:]), out, options)
            raise TypeError(
                f"{self.name}(): argument 'input' (position 1) must be Tensor, not {type(operands[0]).__name__}"
            )
        entry, normal = self.prepare(operands, options)
        if all(a is b for a, b in zip(operands, normal)):
            key = [x.form if isinstance(x, Tensor) else type(x) for x in normal]
            remember(self.entries, (*key, *options) if len(key) > 1 or options else key[0], entry)
        if out is None:
            return entry.plan(*normal)
        if any_recorded(normal):
            refuse_recorded_out(self.name)
        return write_out(self.name, out, entry.bare(*normal))

    def backward_of(self, operands: tuple, options: tuple) -> Backward:
        """What the gradients of operands of these dtypes are made of."""
        key = (*(x.form.dtype if isinstance(x, Tensor) else type(x) for x in operands), options)
        found = self._backward.get(key)
        if found is None:
            found = self._backward[key] = Backward(self, operands, options)
        return found

    # ---------------------------------------------------------------- in place
    def in_place(self, operands: tuple, options: tuple = ()) -> Tensor:
        """Writes the result into the first operand."""
        x = operands[0]
        key = (*(o.form if isinstance(o, Tensor) else type(o) for o in operands), *options)
        apart = not any(isinstance(o, Tensor) and overlaps(o, x) for o in operands[1:])
        plan = self.in_place_plans.get(key) if apart else None
        if plan is None:
            plan = self._prepare_in_place(operands, options, key)
            operands = self._normals(operands)
        if any_recorded(operands):
            return change_in_place(self, plan, operands, options)
        plan(x, *operands)
        bump(x)
        return x

    def _prepare_in_place(self, operands: tuple, options: tuple, key: tuple) -> Any:
        self._check_numbers(operands)
        normal = self._normals(operands)
        x = normal[0]
        tensors = [o for o in normal if isinstance(o, Tensor)]
        if self.refuse is not None:
            self.refuse(*normal, **dict(options))
        if self.rule is real_part and x.form.dtype.is_complex:
            wrong = f"In-place {self.name} is not supported for complex tensors"
            raise RuntimeError(message(self.name + "_", wrong, "the result is real; use it as a new tensor"))
        same_device(self.name, tensors)
        shape = broadcast(self.name + "_", *(o.form.shape for o in tensors))
        if shape != tuple(x.form.shape):
            raise RuntimeError(
                message(
                    self.name + "_",
                    f"output with shape {list(x.form.shape)} doesn't match the broadcast shape {list(shape)}",
                )
            )
        check_not_expanded(x)
        compute, result = self.dtypes_of(normal)
        check_cast(self.name + "_", result, x.form.dtype)
        kinds = tuple(
            (o.form.dtype, False) if isinstance(o, Tensor) else (number_kind(o, compute), True) for o in normal
        )
        nest = self._in_place_nest(kinds, compute, result, x.form.dtype, options)
        apart = lambda o: o is x or not overlaps(o, x)  # others are copied first, compactly
        forms = [(o.form if apart(o) else like(o.form)) if isinstance(o, Tensor) else None for o in normal]
        plan = plan_pointwise(nest, forms, shape, [x.form], in_place=True)
        if any(isinstance(o, Tensor) and o is not x and overlaps(o, x) for o in normal):
            return lambda out, *rest: plan(
                out, *(copied(o) if isinstance(o, Tensor) and o is not out and overlaps(o, out) else o for o in rest)
            )
        return remember(self.in_place_plans, key, plan) if all(a is b for a, b in zip(operands, normal)) else plan

    def _in_place_nest(self, kinds: tuple, compute: dtype, result: dtype, stored: dtype, options: tuple) -> Nest:
        made = self.nest(kinds, compute, result, options)
        if result is stored:
            return made
        key = made, stored
        found = self._nests.get(key)
        if found is None:
            ((expression, _),) = made.results
            found = self._nests[key] = Nest(((cast(expression, in_registers(stored)), stored),), made.operands)
        return found


def any_recorded(operands: Sequence[Any]) -> bool:
    """Whether a call on these is to be recorded."""
    return mode.recording and any(isinstance(x, Tensor) and x.node is not None for x in operands)
