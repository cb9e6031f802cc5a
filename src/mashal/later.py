"""Modules that are imported when they are first used, not when mashal is: they take long, and many programs never need them.

    numpy = later("numpy")
    numpy.zeros(3)                  # here NumPy is imported

tests/test_layers.py reads these calls as it reads imports. Stands on nothing.
"""

from __future__ import annotations

import importlib
import types
from typing import Any

__all__ = ["later"]


class _Later(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        value = vars(self)[name] = getattr(importlib.import_module(self.__name__), name)
        return value


def later(name: str) -> Any:
    """The module of this name, imported at the first use of one of its names."""
    return _Later(name)
