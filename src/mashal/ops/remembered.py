"""Functions of tensors and options whose calls are one plan, found again by the tensors' forms and the options' values.

    @remembered("TrilBackward0")
    def _tril(x: Form, diagonal: int) -> Plan: ...        what computes it: decided at the first call of a kind
    @_tril.backward
    def _(node, g): return (_tril(g, *node.kept()),)      the gradients by operations, as for `recorded`
    @_gather.first
    def _(g, x: Form, index, dim): ...                    or that of the first operand, where the others only say where
    @_tril.parts                                          and, where they are plans of their own, as plans (ops.planned)

A `Door` is what a public function calls: what users gave is looked up as it is, before anything is checked or sorted.
Checking and sorting is the door's function, at the first call of a kind; it gives what is known of the call, or the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mashal.core import saved
from mashal.core.devices import device
from mashal.core.dtypes import dtype
from mashal.core.tape import PlannedCall, mode
from mashal.core.tensor import PLAIN, Tensor, finder_with_options
from mashal.machine.lookup import key_with_options
from mashal.ops.planned import Part, Planned, PlanNode
from mashal.ops.recording import Wanting
from mashal.ops.run import Plan, remember
from mashal.ops.subclasses import dispatched, overrides

__all__ = ["Door", "Known", "Made", "Part", "Remembered", "door", "remembered", "unrecorded"]

_SIMPLE = {int, float, bool, str, type(None), dtype, device}


class Door:
    """A function whose calls are found by their first `operands` arguments' forms and the values of the others.

    function(*arguments) gives a `Known`, a `Made`, or the result where that is not to be found again.
    """

    def __init__(self, function: Callable[..., Any], operands: int):
        self.function, self.operands = function, operands
        self.__name__ = getattr(function, "__name__", "call")
        self.entries: dict[Any, PlannedCall] = {}
        self.find = finder_with_options(self.entries, self.long, operands)

    def __call__(self, *arguments: Any) -> Any:
        return self.find(*arguments)

    def long(self, *arguments: Any) -> Any:
        """A call that the table does not know yet."""
        found = self.function(*arguments)
        if not isinstance(found, PlannedCall):
            return found
        operands, options = arguments[: self.operands], arguments[self.operands :]
        plain = all(type(x) in PLAIN or not isinstance(x, Tensor) for x in operands)
        if plain and all(map(_is_simple, options)):
            remember(self.entries, key_with_options(arguments, PLAIN, self.operands), found)
        return found.plan(*[x for x in operands if x is not None])


def _is_simple(option: Any) -> bool:
    """Whether an option means the same whenever it is equal; tensors, which change, don't."""
    if isinstance(option, tuple):
        return all(map(_is_simple, option))
    return type(option) in _SIMPLE or getattr(type(option), "remembered", False)


def door(operands: int) -> Callable[[Callable[..., Any]], Door]:
    """A function as a `Door`; its first arguments, so many, are operands."""
    return lambda function: Door(function, operands)


# ---------------------------------------------------------------- what is known of a call
class Made(PlannedCall):
    """A call that nothing is recorded of: its plan alone."""

    __slots__ = ()

    def __init__(self, plan: Plan):
        self.plan = plan


class Known(Planned):
    """A call on operands of certain forms with certain options; present: which operands there are."""

    __slots__ = ("forms", "operation", "options", "present")

    def __init__(self, operation: Remembered, operands: Sequence[Any], options: tuple):
        self.operation, self.options = operation, options
        self.present = tuple([i for i, x in enumerate(operands) if x is not None])
        places = {i: place for place, i in enumerate(self.present)}
        tensors = [isinstance(operands[i], Tensor) for i in self.present]
        self.forms = [x.form if isinstance(x, Tensor) else x if x is None else type(x) for x in operands]
        super().__init__(
            operation.make(*self.forms, *options),
            operation.node,
            tensors,
            sum(i < operation.gradients for i in self.present),
            kept=[places[i] for i in operation.kept if i in places],
            keeps_result=operation.keeps_result,
            results=operation.results,
        )

    def parts(self, things: list[Any], g: Tensor) -> Sequence[Part | None] | None:
        """The gradients as plans, where the operation says how."""
        make = self.operation.make_parts
        found = None if make is None else make(self, things, g)
        return None if found is None else [found[i] for i in self.present if i < self.operation.gradients]


class KnownNode(Wanting, PlanNode):
    """A recorded call of a `Remembered`."""

    __slots__ = ()

    def kept(self) -> list[Any]:
        """What is kept of the operands (None for one that was not given), the result, other results, and the options."""
        call = self.entry
        things = iter(saved.kept(self))
        operands = [next(things) if i in call.present else None for i in call.operation.kept]
        return [*operands, *things, *call.options]

    def by_operations(self, g: Tensor) -> tuple:
        """The gradients by the operation's rule."""
        found = self.entry.operation.rule(self, g)
        return tuple([found[i] if e is not None else None for i, e in zip(self.entry.present, self.edges)])

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """The nodes that the gradients go to: (None, 0) also for an operand that was not given."""
        given = dict(zip(self.entry.present, super().next_functions))
        return tuple([given.get(i, (None, 0)) for i in range(self.entry.operation.gradients)])

    def place_of(self, i: int) -> int | None:
        """Which of the edges is operand i's."""
        return self.entry.present.index(i) if i in self.entry.present else None


class Remembered(Door):
    """A function of tensors that is one plan. See `remembered`."""

    def __init__(self, make: Callable[..., Plan], node: str, operands: int, gradients: int, kept: tuple[int, ...],
                 keeps_result: bool, results: int):  # fmt: skip
        super().__init__(self.known, operands)
        self.__name__, self.make = make.__name__, make
        self.gradients, self.kept, self.keeps_result, self.results = gradients, kept, keeps_result, results
        frees = bool(kept) or keeps_result or results > 1
        names = make.__code__.co_varnames[: self.gradients]
        self.node = type(node, (KnownNode,), {"__slots__": (), "frees": frees, "operands": names})
        self.rule: Callable[..., tuple] | None = None
        self.make_parts: Callable[..., Sequence[Part | None] | None] | None = None

    def known(self, *arguments: Any) -> Any:
        """What is known of a call: or its result, if an operand's class must see all that is done to it."""
        operands, options = arguments[: self.operands], arguments[self.operands :]
        kinds = [
            kind for kind in overrides([x for x in operands if isinstance(x, Tensor)]) if getattr(kind, "inner", False)
        ]
        if kinds:
            return dispatched(self, kinds, arguments, {})
        key = key_with_options(arguments, PLAIN, self.operands)
        return self.entries.get(key) or Known(self, operands, options)

    def backward(self, rule: Callable[..., tuple]) -> Callable[..., tuple]:
        """States the gradients by operations: rule(node, g) -> a gradient (or None) for each operand."""
        self.rule = rule
        return rule

    def parts(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """States the gradients as plans: make(call, what is kept, g) -> a `Part` (or None) for each operand; None: by operations."""
        self.make_parts = make
        return make

    def first(self, rule: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """States the gradient of the first operand where the others, all kept, only say where:
        rule(g, form of the operand, *others, *options), written with operations."""

        def gradient(call: Known, *things: Any) -> Tensor:
            *others, g = things
            return rule(g, call.forms[0], *others, *call.options)

        self.rule = lambda node, g: (gradient(node.entry, *saved.kept(node), g),)
        self.make_parts = lambda call, things, g: [Part(partial(gradient, call), tuple(range(len(things) + 1)))]
        return rule

    def transposed_by(self, other: Remembered, turn: Callable[..., tuple] = lambda *options: options) -> None:
        """The function is linear and keeps nothing: its gradient is `other` of g, with the options that turn(*options) gives."""
        self.rule = lambda node, g: (other(g, *turn(*node.entry.options)),)
        self.make_parts = lambda call, things, g: [Part(other.known(g, *turn(*call.options)).bare, (0,))]


def remembered(node: str, operands: int = 1, *, gradients: int | None = None, kept: Sequence[int] = (), keeps_result: bool = False,
               results: int = 1) -> Callable[[Callable[..., Plan]], Remembered]:  # fmt: skip
    """A function of tensors that is one plan, from make(*forms of the operands, *options), which gives the plan.

    An operand may be None, then the plan is not given it; for a number `make` gets its type. gradients: how many operands, the
    first ones, may have a gradient. kept, keeps_result: which operands and whether the result are kept for backward. results: how
    many the plan gives: the first is the function's, the others are kept.
    """
    return lambda make: Remembered(
        make, node, operands, operands if gradients is None else gradients, tuple(kept), keeps_result, results
    )


def unrecorded(function: Callable[..., Any]) -> Plan:
    """A function of operations as a plan: what it does is not recorded."""

    def plan(*operands: Any) -> Any:
        if not mode.recording:
            return function(*operands)
        mode.recording = False
        try:
            return function(*operands)
        finally:
            mode.recording = True

    return plan
