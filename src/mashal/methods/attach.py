"""Operators, methods and in-place forms of Tensor, attached from the definitions: no operation is named here.

An operator returns NotImplemented for an operand that it cannot take, so that Python asks the other side.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mashal.core.tensor import Tensor
from mashal.ops.define import DEFINITIONS, Definition
from mashal.ops.interception import PLACES

__all__ = ["attach", "attach_new"]

REFLECTED = {f"__r{name}__" for name in "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split()}
COMMUTATIVE = {f"__r{name}__" for name in "add mul and or xor".split()}


def attach(cls: type, definition: Definition) -> None:
    """Puts a definition's methods and operators into a class."""
    names = [name for name in (definition.name, *definition.aliases) if "." not in name]
    for name in names:
        if "method" in definition.where:
            setattr(cls, name, definition.extra.get("method", definition.function))
        if "property" in definition.where:
            setattr(
                cls,
                name,
                property(definition.function, definition.extra.get("setter"), doc=definition.function.__doc__),
            )
        if definition.in_place is not None:
            setattr(cls, f"{name}_", definition.in_place)
    for name in definition.operators:
        setattr(cls, name, operator(name, definition))


def operator(name: str, definition: Definition) -> Callable[..., Any]:
    """The function behind an operator's dunder: the definition's own, its operands exchanged if it is a reflected one.

    A definition that has only the reflected operator is the reflected operation itself.
    """
    if (
        name.startswith("__i")
        and definition.in_place is not None
        and name not in ("__invert__", "__index__", "__int__")
    ):
        return definition.in_place
    function = definition.operator or definition.function
    itself = f"__{name[3:]}" not in definition.operators
    if name not in REFLECTED or name in COMMUTATIVE or itself:
        return function

    @functools.wraps(function)
    def reflected(self: Any, other: Any) -> Any:
        return function(other, self)

    return reflected


_attached: set[str] = set()


def attach_new() -> None:
    """Attaches the definitions that have been added since the last time."""
    for name, definition in DEFINITIONS.items():
        if name not in _attached:
            attach(Tensor, definition)
            _attached.add(name)


attach_new()


PLACES.append(vars(Tensor))
