"""torch.compile and what programs ask of the compiler. Functions run as they are written, kernel by kernel."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mashal.nearest import nearest

__all__ = ["assume_constant_result", "compile", "cudagraph_mark_step_begin", "disable", "is_compiling", "is_dynamo_compiling",
           "is_exporting", "list_backends", "reset"]  # fmt: skip


def compile(
    model: Callable[..., Any] | None = None, *, fullgraph: bool = False, dynamic: bool | None = None, backend: Any = "inductor",
    mode: str | None = None, options: dict[str, Any] | None = None, disable: bool = False,
) -> Any:  # fmt: skip
    """A function or module that gives the same results; as a decorator with or without options.

    Nothing is fused yet: what comes back is what was given.

    >>> double = torch.compile(lambda x: x * 2)
    >>> double(torch.ones(2))
    tensor([2., 2.])
    """
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if model is None:
        return functools.partial(
            compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options, disable=disable
        )
    if not callable(model):
        raise RuntimeError(f"torch.compile: a function or a module is expected, not {type(model).__name__}")
    return model


def is_compiling() -> bool:
    """Whether this code is being captured: no."""
    return False


def is_dynamo_compiling() -> bool:
    """Whether this code is being captured: no."""
    return False


def is_exporting() -> bool:
    """Whether this code is being exported: no."""
    return False


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """A decorator that keeps a function out of compile: the function as it is."""
    return (lambda function: function) if fn is None else fn


def assume_constant_result(fn: Any) -> Any:
    """A decorator that says a function's result never changes: the function as it is."""
    return fn


def reset() -> None:
    """Forgets what was compiled: nothing was."""


def cudagraph_mark_step_begin() -> None:
    """Says that a step begins."""


def list_backends(exclude_tags: Any = ()) -> list[str]:
    """The names that compile takes as backend."""
    return ["eager", "inductor"]


__getattr__ = nearest(__name__)
