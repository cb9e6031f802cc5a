"""How an operation that writes into its first operand is written, once for both forms: into a copy, and in place.

    @writing("IndexAddBackward0")
    def index_add(x, dim, index, source, *, alpha=1):  x is written into; returns (differentiable operands, what backward needs)

    @index_add.backward
    def _(node, g): ...                                a gradient for each of these operands

The decorated name is the operation on a copy; `index_add.in_place` writes into the tensor itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from mashal.core import tape
from mashal.core.saved import save
from mashal.core.tape import mode
from mashal.core.tensor import Tensor, alias, bump
from mashal.ops.copying import check_tensor, copied_as, preserved
from mashal.ops.define import (
    PLAIN,
    WHERE,
    Definition,
    RecordedNode,
    check_not_expanded,
    check_writable,
    define,
    dispatched,
    late,
    overrides,
    write_out,
)

EVERYWHERE = (*WHERE, "in_place")


def node_type(name: str, rule: Callable[..., tuple] | None = None) -> type[RecordedNode]:
    """A class of nodes with a rule: rule(node, g) -> a gradient for each operand."""
    return type(name, (RecordedNode,), {"__slots__": (), "rule": staticmethod(rule) if rule else None})


def node_of(kind: type[RecordedNode], operands: Sequence[Any], saved: Sequence[Any]) -> RecordedNode:
    """A node that keeps these."""
    node = kind(tape.edges(*[x if isinstance(x, Tensor) else None for x in operands]), None)
    node.saved = tuple([save(s) if isinstance(s, Tensor) else s for s in saved])
    node.n_results = 1
    return node


def _any_node(operands: tuple) -> bool:
    """Whether one of these has a history."""
    return bool([x for x in operands if isinstance(x, Tensor) and x.node is not None])


class Writing:
    """One such operation; see the module."""

    def __init__(self, write: Callable[..., tuple], node_name: str, name: str, before: Callable[..., Tensor] | None):
        self.write, self.name, self.before = write, name, before
        self.node = node_type(node_name)

    def functional(self, input: Tensor, *arguments: Any, out: Tensor | None = None, **options: Any) -> Tensor:
        """The operation on a copy."""
        check_tensor(self.name, input)
        if self.before is not None:
            input = self.before(input, *arguments, **options)
        y = copied_as(input, preserved(input.form))
        if out is None and not (mode.recording and _any_node((input, *arguments, *options.values()))):
            self.write(y, *arguments, **options)
            return y
        recording = mode.recording
        operands, saved = self._unrecorded(y, arguments, options)
        operands = (input, *operands)
        if out is not None:
            return write_out(self.name, out, y)
        if recording and _any_node(operands) and y.form.dtype.kind in "fc":
            y.node = node_of(self.node, operands, saved)
        return y

    def in_place(self, input: Tensor, *arguments: Any, **options: Any) -> Tensor:
        """The operation on the tensor itself."""
        check_tensor(f"{self.name}_", input)
        check_not_expanded(input)
        if not (mode.recording and _any_node((input, *arguments, *options.values()))):
            self.write(input, *arguments, **options)  # nothing has a history that is recorded
            bump(input)
            return input
        recording = mode.recording
        if recording:
            check_writable(input, f"{self.name}_")
        operands, saved = self._unrecorded(alias(input) if input.node is not None else input, arguments, options)
        operands = (input, *operands)
        bump(input)
        if recording and _any_node(operands) and input.form.dtype.kind in "fc":
            late.rebase(input, node_of(self.node, operands, saved))
        return input

    def _unrecorded(self, x: Tensor, arguments: tuple, options: dict) -> tuple:
        recording = mode.recording
        mode.recording = False
        try:
            return self.write(x, *arguments, **options)
        finally:
            mode.recording = recording


def writing(
    node: str,
    *,
    where: Sequence[str] = EVERYWHERE,
    name: str = "",
    aliases: Sequence[str] = (),
    before: Callable[..., Tensor] | None = None,
    short: Callable[..., Tensor | None] | None = None,
) -> Callable[..., Any]:
    """A function that writes into its first operand as an operation; see the module.

    before: what the operand of the form that copies becomes first, given all arguments (expanded, say). short: the shortest way
    for the usual calls of that form (positional arguments alone), None for all others.
    """

    def make(write: Callable[..., tuple]) -> Callable[..., Any]:
        own = name or write.__name__
        op = Writing(write, node, own, before)

        def call(input: Tensor, *arguments: Any, **options: Any) -> Tensor:
            if short is not None and not options:
                found = short(input, *arguments)
                if found is not None:
                    return found
            kinds = () if type(input) in PLAIN else overrides((input,))
            return (
                dispatched(call, kinds, (input, *arguments), options)
                if kinds
                else op.functional(input, *arguments, **options)
            )

        def in_place(input: Tensor, *arguments: Any, **options: Any) -> Tensor:
            return op.in_place(input, *arguments, **options)

        parameters = list(inspect.signature(write).parameters.values())[1:]
        first = inspect.Parameter("input", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        for function, title in ((call, own), (in_place, f"{own}_")):
            function.__name__ = function.__qualname__ = title
            function.__module__ = write.__module__
            function.__signature__ = inspect.Signature([first, *parameters])  # type: ignore[attr-defined]
        call.__doc__, in_place.__doc__ = write.__doc__, f"{own}, written into the tensor itself."
        call.operation, call.in_place = op, in_place  # type: ignore[attr-defined]

        def backward(rule: Callable[..., tuple]) -> Callable[..., tuple]:
            op.node.rule = staticmethod(rule)  # type: ignore[assignment]
            return rule

        call.backward = backward  # type: ignore[attr-defined]
        if where:
            define(
                Definition(
                    own, call, tuple(where), aliases=tuple(aliases), in_place=in_place if "in_place" in where else None
                )
            )
        return call

    return make
