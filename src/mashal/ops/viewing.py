"""How a view is written: a function of a form and arguments that gives another form and a change of offset.

    @view("TransposeBackward0")
    def transpose(f: Form, dim0: int, dim1: int) -> Where: ...       the same elements, read in another way

    @transpose.backward                                              what is not stated is `put_back`
    def _(g, f, dim0, dim1): return transpose(g, dim0, dim1)

`@views` is the same for operations that give several tensors. What a form and arguments lead to is kept, so a warm call is
a look-up and a new tensor over the same storage. Gradients are operations, so they have gradients themselves.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from operator import index as as_index
from typing import Any

from mashal.core import tape
from mashal.core.forms import Form, form
from mashal.core.tape import mode
from mashal.core.tensor import Tensor, bump, new_view, view_plan
from mashal.ops.copying import copy_into, zeros_of
from mashal.ops.define import PLAIN, WHERE, Definition, check_writable, define, dispatched, overrides
from mashal.ops.planned import Part, Planned, PlanNode
from mashal.ops.run import remember

Where = tuple[Form, int]
"""A form, and how many elements further its first one is."""


class View:
    """An operation whose result reads the operand's storage; see the module.

    parts: it gives several. node: what records a call; loose: the same for arguments that are ever new ones, of which no plans
    are made (for an operation that is given loose=True always).
    """

    def __init__(self, rule: Callable[..., Any], node_name: str, parts: bool = False, loose: bool = False):
        self.rule, self.name, self.parts = rule, rule.__name__.removesuffix("_op"), parts
        self.known: dict[Any, Any] = {}
        self.calls: dict[Any, _Call] = {}
        self.gradient: Callable[..., Any] = self.put_back_parts if parts else self.put_back
        self.loose: Any = type(node_name, (LooseViewNode,), {"__slots__": (), "operation": self})
        kind = PartsNode if parts else ViewNode
        self.node: Any = self.loose if loose else type(node_name, (kind,), {"__slots__": (), "operation": self})
        self.parameters = list(inspect.signature(rule).parameters.values())[1:]

    def find(self, of: Form, arguments: tuple, options: dict | None = None) -> tuple[Any, tuple]:
        """What the rule makes of a form (kept), and the arguments as it was kept for."""
        plain = tuple([_plain(a) for a in self.bound(arguments, options)])
        found = self.known.get((of, plain))
        if found is None:
            found = remember(self.known, (of, plain), self.rule(of, *plain))
        return found, plain

    def recorded_call(self, of: Form, arguments: tuple, options: dict | None = None) -> _Call:
        """What is known of a view of a form."""
        (made, shift), arguments = self.find(of, arguments, options)
        found = self.calls.get((of, arguments))
        return found or remember(self.calls, (of, arguments), _Call(self, of, arguments, made, shift))

    def bound(self, arguments: tuple, options: dict | None) -> tuple:
        """Arguments given by name, sorted into their places."""
        if not options:
            self.check_count(arguments)
            return arguments
        names = [p.name for p in self.parameters]
        unknown = next((name for name in options if name not in names), None)
        if unknown is not None:
            raise TypeError(f"{self.name}() got an unexpected keyword argument '{unknown}'")
        values = list(arguments)
        for p in self.parameters[len(values) :]:
            if p.name in options:
                values.append(options[p.name])
            elif p.default is not p.empty:
                values.append(p.default)
            elif p.kind is not p.VAR_POSITIONAL:
                raise TypeError(f"{self.name}() missing 1 required positional argument: '{p.name}'")
        if any(p.name in options for p in self.parameters[: len(arguments)]):
            raise TypeError(f"{self.name}() got multiple values for an argument")
        return tuple(values)

    def check_count(self, arguments: tuple) -> None:
        """TypeError unless there are as many arguments as the operation takes."""
        if any(p.kind is p.VAR_POSITIONAL for p in self.parameters):
            return
        least = sum(p.default is p.empty for p in self.parameters)
        if not least <= len(arguments) <= len(self.parameters):
            wanted = ", ".join(p.name for p in self.parameters)
            raise TypeError(f"{self.name}() takes ({wanted}) besides the tensor, got {len(arguments)} argument(s)")

    # ---------------------------------------------------------------- gradients
    def put_back(self, g: Tensor, of: Form, *arguments: Any) -> Tensor:
        """Zeros like the operand, with g where the view was."""
        whole = zeros_of(form(g.form.dtype, of.device, of.shape))
        if whole.form.numel and g.form.numel:
            (made, shift), _ = self.find(whole.form, arguments)
            copy_into(new_view(whole, made, shift), g)
        if g.node is not None and mode.recording:
            whole.node = PutBackNode(((g.node, g.output),), (self, arguments))
        return whole

    def put_back_parts(self, gradients: Sequence[Tensor | None], of: Form, *arguments: Any) -> Tensor:
        """Zeros like the operand, with the gradients where the views were."""
        given = next(g for g in gradients if g is not None)
        whole = zeros_of(form(given.form.dtype, of.device, of.shape))
        found, _ = self.find(whole.form, arguments)
        for (made, shift), g in zip(found, gradients):
            if g is not None and made.numel:
                copy_into(new_view(whole, made, shift), g)
        if tape.wants_gradient(*gradients):
            whole.node = PutBackNode(tape.edges(*gradients), (self, arguments))
        return whole


class _Call(Planned):
    """What is known of a view of a form: plan(x) makes it and records it."""

    __slots__ = ("arguments", "form", "operation")

    def __init__(self, operation: View, of: Form, arguments: tuple, made: Form, shift: int):
        self.operation, self.form, self.arguments = operation, of, arguments
        super().__init__(view_plan(made, shift), operation.node, (True,), 1)

    def gradient_of_operand(self, g: Tensor) -> Tensor:
        """The gradient, written with operations."""
        return self.operation.gradient(g, self.form, *self.arguments)

    def parts(self, things: list[Any], g: Tensor) -> Sequence[Part]:
        return [Part(self.gradient_of_operand, (0,))]


class ViewNode(PlanNode):
    """A recorded view."""

    __slots__ = ()
    frees = False
    operation: View

    def by_operations(self, g: Tensor) -> tuple:
        """The gradient, written with operations."""
        return (self.entry.gradient_of_operand(g),)


class LooseViewNode(tape.Node):
    """A recorded view whose arguments are ever new ones. saved: the operand's form, the arguments."""

    __slots__ = ()
    frees = False
    operation: View

    def backward(self, *gradients: Any) -> tuple:
        of, arguments = self.saved
        return (self.operation.gradient(gradients[0], of, *arguments),)


class PartsNode(tape.Node):
    """A recorded operation that gave several views. saved: the operand's form, the arguments."""

    __slots__ = ("n_results",)
    frees = False
    operation: View

    @property
    def results(self) -> int:  # type: ignore[override]
        return self.n_results

    def backward(self, *gradients: Any) -> tuple:
        of, arguments = self.saved
        if all(g is None for g in gradients):
            return (None,)
        return (self.operation.gradient(gradients, of, *arguments),)


class PutBackNode(tape.Node):
    """Elements were put into zeros. saved: the view at whose place, its arguments."""

    __slots__ = ()
    frees = False

    def name(self) -> str:
        return f"{self.saved[0].node.__name__.removesuffix('Backward0')}BackwardBackward0"

    def backward(self, *gradients: Any) -> tuple:
        operation, arguments = self.saved
        made = operation.call(gradients[0], *arguments)
        return made if operation.parts else (made,)


def _plain(argument: Any) -> Any:
    """An argument that can be part of a key: lists as tuples, integers of any kind as Python's."""
    if argument is None or type(argument) in (int, bool, str):
        return argument
    if isinstance(argument, (tuple, list)):
        return tuple([a if type(a) is int else _plain(a) for a in argument])
    if hasattr(argument, "__index__"):
        return as_index(argument)
    return argument


# ---------------------------------------------------------------- doors
def _door(op: View) -> Callable[..., Any]:
    calls = op.calls

    def call(input: Tensor, *arguments: Any, **options: Any) -> Tensor:
        if options or type(input) not in PLAIN:
            kinds = overrides((input,))
            if kinds:
                return dispatched(call, kinds, (input, *arguments), options)
            _check_tensor(op.name, input)
            return op.recorded_call(input.form, arguments, options).plan(input)
        try:
            found = calls[input.form, arguments]
        except (KeyError, TypeError):
            found = op.recorded_call(input.form, arguments)
        return found.plan(input)

    return call


def _parts_door(op: View) -> Callable[..., Any]:
    known = op.known

    def call(input: Tensor, *arguments: Any, **options: Any) -> tuple[Tensor, ...]:
        if type(input) not in PLAIN:
            kinds = overrides((input,))
            if kinds:
                return dispatched(call, kinds, (input, *arguments), options)
            _check_tensor(op.name, input)
        try:
            found = None if options else known[input.form, arguments]
        except (KeyError, TypeError):
            found = None
        if found is None:
            found, arguments = op.find(input.form, arguments, options)
        offset = input.offset
        made = tuple([new_view(input, f, offset + shift) for f, shift in found])
        if input.node is not None and mode.recording:
            node = op.node(((input.node, input.output),), (input.form, arguments))
            node.n_results = len(made)
            for i, y in enumerate(made):
                y.node, y.output = node, i or False
        return made

    return call


def _check_tensor(name: str, x: Any) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}")


def in_place_door(op: View) -> Callable[..., Tensor]:
    """The operation that changes how the tensor itself reads its storage."""

    def call(input: Tensor, *arguments: Any, **options: Any) -> Tensor:
        _check_tensor(f"{op.name}_", input)
        (made, shift), arguments = op.find(input.form, arguments, options)
        recorded = input.node is not None and mode.recording
        if recorded:
            check_writable(input, op.name)
            node = op.recorded_call(input.form, arguments).node_for((input,))
        input.form, input.offset = made, input.offset + shift
        bump(input)
        if recorded:
            input.node, input.output = node, False
        return input

    call.__name__ = call.__qualname__ = f"{op.name}_"
    call.__doc__ = f"{op.name}, of the tensor itself."
    return call


# ---------------------------------------------------------------- decorators
def view(
    node: str, *, where: Sequence[str] = WHERE, aliases: Sequence[str] = (), name: str = "", samples: Any = None
) -> Callable[..., Any]:
    """A rule (form, arguments) -> (form, shift) as an operation that gives a view."""
    return _decorator(node, False, where, aliases, name, samples)


def views(
    node: str, *, where: Sequence[str] = WHERE, aliases: Sequence[str] = (), name: str = "", samples: Any = None
) -> Callable[..., Any]:
    """A rule (form, arguments) -> a tuple of (form, shift) as an operation that gives several views."""
    return _decorator(node, True, where, aliases, name, samples)


def _decorator(
    node: str, parts: bool, where: Sequence[str], aliases: Sequence[str], name: str, samples: Any
) -> Callable[..., Any]:
    def make(rule: Callable[..., Any]) -> Callable[..., Any]:
        op = View(rule, node, parts)
        op.name = name or op.name
        call = op.call = (_parts_door if parts else _door)(op)
        call.__name__ = call.__qualname__ = op.name
        call.__doc__, call.__module__ = rule.__doc__, rule.__module__
        first = inspect.Parameter("input", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        rest = [p.replace(annotation=p.empty) for p in op.parameters]
        call.__signature__ = inspect.Signature([first, *rest])  # type: ignore[attr-defined]
        call.backward = _stated(op)  # type: ignore[attr-defined]
        call.operation = op  # type: ignore[attr-defined]
        in_place = call.in_place = in_place_door(op)  # type: ignore[attr-defined]
        if where:
            define(
                Definition(
                    op.name,
                    call,
                    tuple(where),
                    (),
                    samples,
                    tuple(aliases),
                    in_place if "in_place" in where else None,
                    op,
                )
            )
        return call

    return make


def _stated(op: View) -> Callable[..., Any]:
    def backward(rule: Callable[..., Any]) -> Callable[..., Any]:
        """States the gradient: rule(g, form of the operand, *arguments); for `views` g is the sequence of gradients."""
        op.gradient = rule
        return rule

    return backward
