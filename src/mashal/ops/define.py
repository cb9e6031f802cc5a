"""How an operation is written once: the decorators, and what definitions import.

    @pointwise(result=floating)                      the body is a formula over elements (elementwise)
    @one.backward                                    its gradients, where the derived ones lose digits (gradients)
    @reduction(result=same)                          the body is a formula over a row's elements (reducing)
    @recorded("AddmmBackward0")                      a function of tensors, with its backward beside it (recording)
    @spelled(...)                                    a function of operations: composed (table)

`where=` says under which names PyTorch's users find it: "torch" mashal.NAME, "method" Tensor.NAME, "in_place" Tensor.NAME_
(and mashal.NAME_), "functional" nn.functional.NAME, "special", "linalg"; `operators` its dunders.

The function that users call is the door (doors): key from the operands' forms, plan from the table, native call, record.
Also gathered here for definitions: result rules (rules), subclasses' overrides (subclasses), in place and out= (changes).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from mashal.ops.changes import (
    check_apart,
    check_not_expanded,
    check_writable,
    late,
    overlaps,
    refuse_recorded_out,
    row_major,
    write_out,
    write_outs,
)
from mashal.ops.doors import door, in_place_door, named_in_place_door, operator_door, public_name
from mashal.ops.elementwise import Pointwise, any_recorded
from mashal.ops.promotion import is_operand
from mashal.ops.recording import RecordedNode, recorded
from mashal.ops.rules import Rule, boolean, floating, in_registers, only_floating, real_part, same
from mashal.ops.subclasses import PLAIN, disabled, dispatch, dispatched, overrides
from mashal.ops.table import DEFINITIONS, WHERE, Definition, define, spelled

__all__ = [
    "any_recorded",
    "boolean",
    "check_apart",
    "check_not_expanded",
    "check_writable",
    "define",
    "Definition",
    "DEFINITIONS",
    "disabled",
    "dispatch",
    "dispatched",
    "door",
    "floating",
    "in_place_door",
    "in_registers",
    "is_operand",
    "late",
    "only_floating",
    "operator_door",
    "overlaps",
    "overrides",
    "PLAIN",
    "Pointwise",
    "pointwise",
    "real_part",
    "recorded",
    "RecordedNode",
    "refuse_recorded_out",
    "row_major",
    "Rule",
    "same",
    "spelled",
    "WHERE",
    "write_out",
    "write_outs",
]


def pointwise(
    result: Rule = same,
    *,
    name: str = "",
    node: str = "",
    where: Sequence[str] = WHERE,
    operators: Sequence[str] = (),
    aliases: Sequence[str] = (),
    samples: Any = None,
    refuse: Callable[..., None] | None = None,
    tensors: int = 0,
):
    """A formula over elements as an operation: positional parameters are operands, keyword-only ones options.

    result: the dtype rule. node: grad_fn's name, by default NameBackward0. refuse: called with the operands before anything is
    computed, raises for those that PyTorch refuses. tensors: how many leading operands may not be numbers.
    """

    def make(body: Callable[..., Any]) -> Callable[..., Any]:
        own = name or body.__name__.strip("_")
        title = "".join(part.capitalize() for part in own.split("_"))
        op = Pointwise(own, body, result, node or f"{title}Backward0", refuse)
        op.tensors = tensors
        call = _named(door(op), own, body)
        in_place = named_in_place_door(op, own, body) if "in_place" in where else None
        operator = operator_door(op) if operators else None
        define(Definition(own, call, tuple(where), tuple(operators), samples, tuple(aliases), in_place, op, operator))
        call.operation = op  # type: ignore[attr-defined]
        call.backward = _stated(op)  # type: ignore[attr-defined]
        call.in_place = in_place  # type: ignore[attr-defined]
        return call

    return make


def _stated(op: Pointwise) -> Callable[..., Any]:
    def backward(rule: Callable[..., Any]) -> Callable[..., Any]:
        """States the gradients: rule(g, y, *operands, **options) -> an expression or None for each operand."""
        op.gradients = rule
        return rule

    return backward


def _named(call: Callable[..., Any], name: str, body: Callable[..., Any]) -> Callable[..., Any]:
    call.__name__ = call.__qualname__ = name
    call.__doc__, call.__module__ = body.__doc__, body.__module__
    parameters = list(inspect.signature(body).parameters.values())
    public = [
        p.replace(
            name=p.name if p.kind is p.KEYWORD_ONLY else public_name(p.name, i, 2),
            annotation=p.empty,
        )
        for i, p in enumerate(parameters)
    ]
    public.append(inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None))
    if len({p.name for p in public}) == len(public):
        call.__signature__ = inspect.Signature(public)  # type: ignore[attr-defined]
    return call
