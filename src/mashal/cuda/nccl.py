"""torch.cuda.nccl: NVIDIA's library for work between devices, which this build does without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["is_available", "version"]


def is_available(tensors: Sequence[Any]) -> bool:
    """Whether the library can work with these tensors: no."""
    return False


def version() -> tuple[int, ...]:
    """The library's version: (0, 0, 0), there is none."""
    return 0, 0, 0
