"""torch.jit: what programs ask of it while they run as Python. Nothing is compiled here; see torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mashal.nearest import nearest

__all__ = [
    "annotate",
    "export",
    "ignore",
    "is_scripting",
    "is_tracing",
    "isinstance",
    "script",
    "script_if_tracing",
    "unused",
]

Anything = TypeVar("Anything")
_isinstance = isinstance


def is_scripting() -> bool:
    """Whether this code is being compiled as TorchScript: no."""
    return False


def is_tracing() -> bool:
    """Whether this code is being traced: no."""
    return False


def ignore(drop: Any = False, **options: Any) -> Any:
    """A decorator that keeps a function out of TorchScript: the function as it is."""
    return drop if callable(drop) else _same


def unused(fn: Anything) -> Anything:
    """A decorator that keeps a function out of TorchScript: the function as it is."""
    return fn


def export(fn: Anything) -> Anything:
    """A decorator that takes a method into TorchScript: the method as it is."""
    return fn


def script(obj: Anything, *arguments: Any, **options: Any) -> Anything:
    """What TorchScript would compile, as it is: it gives the same results."""
    return obj


def script_if_tracing(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that compiles a function while tracing: the function as it is."""
    return fn


def annotate(the_type: Any, the_value: Anything) -> Anything:
    """A value with a type for TorchScript: the value as it is."""
    return the_value


def isinstance(obj: Any, target_type: Any) -> bool:
    """Whether obj is of a type."""
    return _isinstance(obj, target_type)


def _same(fn: Anything) -> Anything:
    return fn


__getattr__ = nearest(__name__)
