"""Implementations of attention that other packages bring: a name, and a function that puts them in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = [
    "activate_flash_attention_impl", "current_flash_attention_impl", "list_flash_attention_impls", "register_flash_attention_impl",
    "restore_flash_attention_impl",
]  # fmt: skip


class _Known:
    functions: dict[str, Callable[[], Any]] = {}
    current: str | None = None
    handle: Any = None


def register_flash_attention_impl(impl: str, *, register_fn: Callable[[], Any]) -> None:
    """Makes an implementation known: register_fn puts it in place and may return what has a remove()."""
    _Known.functions[impl] = register_fn


def list_flash_attention_impls() -> list[str]:
    """The names of the implementations that are known; at first none."""
    return sorted(_Known.functions)


def current_flash_attention_impl() -> str | None:
    """The implementation that was put in place; None: mashal's own."""
    return _Known.current


def activate_flash_attention_impl(impl: str) -> None:
    """Puts an implementation in place. ValueError: nobody has registered it."""
    if impl not in _Known.functions:
        raise ValueError(
            f"Unknown flash attention impl {impl!r}; available implementations: {list_flash_attention_impls()}"
        )
    restore_flash_attention_impl()
    _Known.handle, _Known.current = _Known.functions[impl](), impl


def restore_flash_attention_impl(_raise_warn: bool = True) -> None:
    """Goes back to mashal's own."""
    remove = getattr(_Known.handle, "remove", None)
    if remove is not None:
        remove()
    _Known.handle = _Known.current = None
