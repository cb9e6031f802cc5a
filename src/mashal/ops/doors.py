"""The functions that users call: key from the operands' forms, plan from the table, native call, record.

What the table does not know yet, odd operands and out= go the long way round (`elementwise.Pointwise.long`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mashal.core.tape import mode
from mashal.core.tensor import Tensor, bump, finder
from mashal.ops.promotion import is_operand
from mashal.ops.run import remember
from mashal.ops.subclasses import PLAIN


def door(op: Any) -> Callable[..., Any]:
    """The function that users call: the shortest way for the usual operands, `long` for all else."""
    make = _door_with_options if op.options else {1: _unary_door, 2: _binary_door}.get(op.arity, _any_door)
    call = make(op)
    call.operation = op  # type: ignore[attr-defined]
    if op.arity == 2 and not op.options:
        second = list(inspect.signature(op.body).parameters)[1]
        if public_name(second, 1, 2) != "other":
            call = _own_named_door(op, call)
            call.operation = op  # type: ignore[attr-defined]
    call.__name__ = call.__qualname__ = op.name
    return call


def _own_named_door(op: Any, positional: Callable[..., Any]) -> Callable[..., Any]:
    """The door of two operands of which the second has a name of its own."""

    def call(*operands: Any, out: Tensor | None = None, **named: Any) -> Tensor:
        if named or len(operands) != 2:
            operands = _bound(op, operands, named)[0]
        return positional(*operands, out=out)

    return call


def _unary_door(op: Any) -> Callable[..., Any]:
    find = finder(op.entries, lambda x: op.long(call, (x,)))

    def call(input: Any, *, out: Tensor | None = None) -> Tensor:
        return find(input) if out is None else op.long(call, (input,), out)

    return call


def operator_door(op: Any) -> Callable[..., Any]:
    """The door as Python's operators have it: NotImplemented for what is neither a tensor nor a number."""
    if op.arity != 2 or op.options:
        return door(op)

    def long(function: Callable[..., Any], operands: tuple, out: Tensor | None = None) -> Any:
        return op.long(function, operands, out) if all(map(is_operand, operands)) else NotImplemented

    call = _binary_door(op, long)
    call.operation = op  # type: ignore[attr-defined]
    call.__name__ = call.__qualname__ = op.name
    return call


def _binary_door(op: Any, long: Callable[..., Any] | None = None) -> Callable[..., Any]:
    the_long_way: Callable[..., Any] = long or op.long
    find = finder(op.entries, lambda *operands: the_long_way(call, operands))

    def call(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        return find(input, other) if out is None else the_long_way(call, (input, other), out)

    return call


def _any_door(op: Any) -> Callable[..., Any]:
    find = finder(op.entries, lambda *operands: op.long(call, operands))

    def call(*operands: Any, out: Tensor | None = None) -> Tensor:
        return find(*operands) if out is None else op.long(call, operands, out)

    return call


def _door_with_options(op: Any) -> Callable[..., Any]:
    """Calls are known by how the options were given, so that the usual ones need not sort them."""
    n, defaults = op.arity, op.options
    names = tuple(defaults)
    known: dict[Any, Any] = {}

    def call(input: Any, *arguments: Any, out: Tensor | None = None, **options: Any) -> Tensor:
        entry = None
        if n == 1 and type(input) in PLAIN:
            entry = known.get((input.form, arguments, *options.items()))
        if entry is None or out is not None:
            return others(input, *arguments, out=out, **options)
        return entry.plan(input)

    def others(*arguments: Any, out: Tensor | None = None, **options: Any) -> Tensor:
        operands, more = arguments[:n], arguments[n:]
        values = {**defaults, **dict(zip(names, more)), **options} if more or options else defaults
        if len(values) > len(defaults) or len(operands) < n:
            operands, values = _bound(op, arguments, options)
        chosen = tuple(values.items())
        entry = op.entries.get((*[x.form if type(x) in PLAIN else type(x) for x in operands], *chosen))
        if entry is None or out is not None:
            return op.long(call, operands, out, chosen)
        if n == 1 and arguments:
            remember(known, (operands[0].form, arguments[1:], *options.items()), entry)
        return entry.plan(*operands)

    return call


def public_name(name: str, place: int, arity: int) -> str:
    """What users call a formula's parameter: PyTorch's "input" and "other", unless the second has a name of its own."""
    if place == 0:
        return "input"
    own = len(name) > 1 or name == "n"
    return "other" if place == 1 and arity == 2 and not own else name


def _bound(op: Any, arguments: tuple, options: dict) -> tuple[tuple, dict]:
    """Operands given by name sorted into their places."""
    names = list(inspect.signature(op.body).parameters)
    public = [public_name(name, i, op.arity) for i, name in enumerate(names)]
    given = dict(zip(public, arguments))
    for name, value in options.items():
        if name not in public or name in given:
            wrong = "got multiple values for" if name in given else "got an unexpected keyword"
            raise TypeError(f"{op.name}() {wrong} argument '{name}'")
        given[name] = value
    missing = [name for name in public[: op.arity] if name not in given]
    if missing:
        raise TypeError(
            f"{op.name}() missing {len(missing)} required positional argument(s): {', '.join(map(repr, missing))}"
        )
    values = {name: given.get(name, default) for name, default in op.options.items()}
    return tuple(given[name] for name in public[: op.arity]), values


# ---------------------------------------------------------------- in place
def in_place_door(op: Any) -> Callable[..., Any]:
    """The function behind NAME_ of an operation without options: the shortest way for what is known and not recorded."""
    plans = op.in_place_plans

    def change(input: Any) -> Tensor:
        plan = plans.get((input.form,)) if type(input) in PLAIN else None
        if plan is None or (input.node is not None and mode.recording):
            return op.in_place((input,))
        plan(input, input)
        bump(input)
        return input

    def change_by(input: Any, other: Any) -> Tensor:
        if type(input) in PLAIN and (input.node is None or not mode.recording):
            kind = type(other)
            if kind not in PLAIN:
                plan = plans.get((input.form, kind))
            elif other.capsule is input.capsule or (other.node is not None and mode.recording):
                plan = None
            else:
                plan = plans.get((input.form, other.form))
            if plan is not None:
                plan(input, input, other)
                bump(input)
                return input
        return op.in_place((input, other))

    def change_by_several(*operands: Any) -> Tensor:
        plan = plans.get(tuple([x.form if type(x) in PLAIN else type(x) for x in operands]))
        if plan is None or not _simple(*operands):
            return op.in_place(operands)
        changed = operands[0]
        plan(changed, *operands)
        bump(changed)
        return changed

    return {1: change, 2: change_by}.get(op.arity, change_by_several)


def _simple(changed: Any, *others: Any) -> bool:
    """Whether a change in place is not recorded, and no other operand lies over the same data."""
    if changed.node is not None and mode.recording:
        return False
    for x in others:
        other = type(x) in PLAIN and x is not changed
        if other and (x.capsule is changed.capsule or (x.node is not None and mode.recording)):
            return False
    return True


def named_in_place_door(op: Any, name: str, body: Callable[..., Any]) -> Callable[..., Any]:
    n, defaults = op.arity, op.options

    def call(*arguments: Any, **options: Any) -> Tensor:
        operands, more = arguments[:n], arguments[n:]
        values = {**defaults, **dict(zip(defaults, more)), **options} if more or options else defaults
        if len(values) > len(defaults) or len(operands) < n:
            operands, values = _bound(op, arguments, options)
        return op.in_place(operands, tuple(values.items()))

    if not op.options and n <= 2:
        call = in_place_door(op)
    call.__name__ = call.__qualname__ = f"{name}_"
    call.__doc__, call.__module__ = f"{name}, written into the tensor itself.", body.__module__
    return call
