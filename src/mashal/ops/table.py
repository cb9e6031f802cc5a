"""The table of all definitions: what methods, public modules, docs and tests are made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

WHERE = ("torch", "method")


@dataclass
class Definition:
    """One operation as users find it."""

    name: str
    function: Callable[..., Any]
    where: tuple[str, ...] = WHERE
    operators: tuple[str, ...] = ()
    samples: Callable[..., Any] | None = None
    aliases: tuple[str, ...] = ()
    in_place: Callable[..., Any] | None = None
    operation: Any = None
    operator: Callable[..., Any] | None = None
    extra: dict = field(default_factory=dict)


DEFINITIONS: dict[str, Definition] = {}


def define(definition: Definition) -> None:
    """Puts a definition into the table; two of one name are a mistake."""
    if definition.name in DEFINITIONS:
        raise RuntimeError(f"define: {definition.name} is defined twice")
    DEFINITIONS[definition.name] = definition


def spelled(
    where: Sequence[str] = WHERE,
    *,
    name: str = "",
    operators: Sequence[str] = (),
    aliases: Sequence[str] = (),
    samples: Any = None,
    in_place: Callable[..., Any] | None = None,
    operator: Callable[..., Any] | None = None,
    **extra: Callable[..., Any],
):
    """A plain function of tensors as a public operation (composed of others, or with its own way to plans).

    in_place: the function behind NAME_. operator: the one behind its operators, method: behind Tensor.NAME, if they are
    others. setter: what setting the property does.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        own = name or function.__name__.removesuffix("_op")
        function.in_place = in_place  # type: ignore[attr-defined]
        if in_place is not None and not in_place.__doc__:
            in_place.__doc__ = f"{own}, written into the tensor itself."
        define(
            Definition(
                own, function, tuple(where), tuple(operators), samples, tuple(aliases), in_place, None, operator, extra
            )
        )
        return function

    return register
