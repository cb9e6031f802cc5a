"""Subclasses of Tensor: which are plain, and how the others' __torch_function__ is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from mashal.core.tensor import PLAIN


class _Dispatch(threading.local):
    """Whether overrides are looked for in this thread; not while a subclass's own __torch_function__ calls the operation."""

    enabled = True


dispatch = _Dispatch()


def overrides(operands: Sequence[Any]) -> list[type]:
    """The operands' types that have their own __torch_function__, most derived first."""
    found: list[type] = []
    if not dispatch.enabled:
        return found
    for x in operands:
        kind = type(x)
        if kind in PLAIN or kind in found:
            continue
        hook = getattr(kind, "__torch_function__", None)
        if hook is not None and getattr(hook, "__func__", hook) is not disabled:
            place = next((i for i, k in enumerate(found) if issubclass(kind, k)), len(found))
            found.insert(place, kind)
    return found


def disabled(function: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
    """The __torch_function__ of subclasses whose operations give plain tensors: calls the operation, asking no more."""
    before, dispatch.enabled = dispatch.enabled, False
    try:
        return function(*args, **(kwargs or {}))
    finally:
        dispatch.enabled = before


def dispatched(function: Callable[..., Any], kinds: list[type], args: tuple, kwargs: dict) -> Any:
    """What the first type that knows how makes of the call."""
    instances = {type(x): x for x in (*args, *(x for a in args if isinstance(a, (tuple, list)) for x in a))}
    for kind in kinds:
        answer = instances.get(kind, kind).__torch_function__(function, tuple(kinds), args, kwargs)
        if answer is not NotImplemented:
            return answer
    names = ", ".join(k.__name__ for k in kinds)
    raise TypeError(
        f"no implementation found for '{function.__name__}' on types that implement __torch_function__: [{names}]"
    )
