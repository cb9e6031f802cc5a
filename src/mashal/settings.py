"""Settings that hold for the whole program: threads, determinism, precision of float32 products."""

from __future__ import annotations

import os
import warnings

from mashal.machine import threads

__all__ = [
    "are_deterministic_algorithms_enabled", "get_deterministic_debug_mode", "get_float32_matmul_precision", "get_num_interop_threads",
    "get_num_threads", "is_deterministic_algorithms_warn_only_enabled", "is_warn_always_enabled", "set_deterministic_debug_mode",
    "set_flush_denormal", "set_float32_matmul_precision", "set_num_interop_threads", "set_num_threads", "set_warn_always",
    "use_deterministic_algorithms",
]  # fmt: skip


class _Settings:
    deterministic = False
    warn_only = False
    precision = "highest"
    interop_threads = max(1, (os.cpu_count() or 1) // 2)
    warn_always = False


def get_num_threads() -> int:
    """How many threads compute."""
    return threads.get_num_threads()


def set_num_threads(n: int) -> None:
    """Sets how many threads compute; at least 1. Results do not depend on it."""
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"set_num_threads expects an int, but got {type(n).__name__}")
    if n < 1:
        raise RuntimeError("set_num_threads expects a positive integer")
    threads.set_num_threads(n)


def get_num_interop_threads() -> int:
    """How many threads run operations side by side; nothing does so here, it is what was set."""
    return _Settings.interop_threads


def set_num_interop_threads(n: int) -> None:
    """Accepted for PyTorch's sake; nothing runs side by side here."""
    if n < 1:
        raise RuntimeError("set_num_interop_threads expects a positive integer")
    _Settings.interop_threads = n


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Asks for the same results in every run. All operations here give them, so nothing changes."""
    _Settings.deterministic, _Settings.warn_only = bool(mode), bool(warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """Whether the same results in every run were asked for."""
    return _Settings.deterministic


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether warnings were asked for instead of errors."""
    return _Settings.warn_only


_DEBUG_MODES = {"default": 0, "warn": 1, "error": 2}


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """0 or "default", 1 or "warn", 2 or "error": as use_deterministic_algorithms."""
    number = _DEBUG_MODES.get(debug_mode, -1) if isinstance(debug_mode, str) else debug_mode
    if number not in (0, 1, 2):
        raise RuntimeError(
            f"set_deterministic_debug_mode: {debug_mode!r} is none of 0, 1, 2, 'default', 'warn' and 'error'"
        )
    use_deterministic_algorithms(number > 0, warn_only=number == 1)


def get_deterministic_debug_mode() -> int:
    """0: not asked for, 1: warnings, 2: errors."""
    return 0 if not _Settings.deterministic else 1 if _Settings.warn_only else 2


def get_float32_matmul_precision() -> str:
    """What was set: "highest", "high" or "medium"; products are always computed in full float32."""
    return _Settings.precision


def set_float32_matmul_precision(precision: str) -> None:
    """Takes "highest", "high" or "medium". Products are always computed in full float32."""
    if precision not in ("highest", "high", "medium"):
        warnings.warn(
            f"set_float32_matmul_precision: {precision!r} is none of 'highest', 'high' and 'medium'", stacklevel=2
        )
        return
    _Settings.precision = precision


def set_flush_denormal(mode: bool) -> bool:
    """Whether numbers too small for their format (denormals) count as 0: in what this thread computes, on x86.

    Returns whether that can be chosen on this processor.

    >>> torch.set_flush_denormal(False) in (True, False)
    True
    """
    if not isinstance(mode, bool):
        raise TypeError(f"set_flush_denormal expects a bool, but got {type(mode).__name__}")
    return threads.flush_denormals(mode)


def set_warn_always(b: bool) -> None:
    """Whether warnings that are given once shall be given each time."""
    _Settings.warn_always = b


def is_warn_always_enabled() -> bool:
    """What set_warn_always was given."""
    return _Settings.warn_always
