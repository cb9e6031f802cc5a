"""Blocks in which operations are run as they are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mashal.methods.subclasses import DisableTorchFunctionSubclass

__all__ = ["no_dispatch"]


@contextlib.contextmanager
def no_dispatch() -> Iterator[None]:
    """A block in which no subclass is asked what an operation means."""
    with DisableTorchFunctionSubclass():
        yield
