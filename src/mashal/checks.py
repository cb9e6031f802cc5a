"""Checks that programs make: `_check` and its relatives raise with a message made only if it is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["_assert", "_assert_async", "_check", "_check_index", "_check_type", "_check_value",
           "compiled_with_cxx11_abi"]  # fmt: skip


def _raise_unless(condition: Any, message: Callable[[], Any] | None, error: type[Exception]) -> None:
    if not isinstance(condition, bool):
        raise TypeError(f"cond must be a bool, but got {type(condition)}")
    if not condition:
        raise error(str(message()) if message is not None else "Expected cond to be True, but got False.")


def _check(cond: Any, message: Callable[[], Any] | None = None) -> None:
    """RuntimeError with message() unless cond is True."""
    _raise_unless(cond, message, RuntimeError)


def _check_index(cond: Any, message: Callable[[], Any] | None = None) -> None:
    """IndexError with message() unless cond is True."""
    _raise_unless(cond, message, IndexError)


def _check_value(cond: Any, message: Callable[[], Any] | None = None) -> None:
    """ValueError with message() unless cond is True."""
    _raise_unless(cond, message, ValueError)


def _check_type(cond: Any, message: Callable[[], Any] | None = None) -> None:
    """TypeError with message() unless cond is True."""
    _raise_unless(cond, message, TypeError)


def _assert(condition: Any, message: str) -> None:
    """`assert condition, message`."""
    assert condition, message


def _assert_async(tensor: Any, assert_msg: str = "") -> None:
    """RuntimeError if the one element of a tensor is zero; on the cpu at once."""
    if not bool(tensor):
        raise RuntimeError(
            assert_msg or "_assert_async: a tensor with a nonzero value was expected, its element is zero"
        )


def compiled_with_cxx11_abi() -> bool:
    """Whether strings of C++ are those of 2011: there is no C++ here, so nothing stands against it."""
    return True
