"""What the recorder notes besides kernels: obstacles, tensors that were there before, numbers that Python computes.

`Obstacle` is what a replay could not do again, `Touched` a tensor as it was when the call met it, `Feed` a number that
each replay computes anew.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mashal.core.tensor import Tensor, version_of
from mashal.machine import memory

__all__ = ["Feed", "Obstacle", "Touched"]


@dataclass(frozen=True)
class Obstacle:
    """What a replay could not do again.

    frames: the user's lines, outermost first. reads: Python read a tensor's values. settles: whether it may be that of a first
    call alone, as where a cache is filled. chooses: whether it is an index that is a tensor of one integer.
    """

    what: str
    frames: tuple[tuple[Any, int], ...] = ()
    reads: bool = False
    settles: bool = False
    chooses: bool = False


@dataclass
class Touched:
    """A tensor that was there before, as it was when it was first met.

    forgets: whether its gradient was dropped before anybody read it. missed: whether Python saw that it had no gradient. met:
    whether Python saw the gradient that it had.
    """

    tensor: Tensor
    capsule: Any
    offset: int
    form: Any
    node: Any
    grad: Any
    version: int
    forgets: bool = False
    missed: bool = False
    met: bool = False

    @staticmethod
    def as_now(x: Tensor) -> Touched:
        """A tensor as it is now."""
        return Touched(x, x.capsule, x.offset, x.form, x.node, x.grad_, version_of(x))

    def put_back(self) -> None:
        """The tensor sees again what it saw, and has the history, the gradient and the version that it had."""
        x = self.tensor
        x.capsule, x.offset, x.form, x.node, x.grad_ = self.capsule, self.offset, self.form, self.node, self.grad
        if x.version is not None:
            x.version[0] = self.version


@dataclass(frozen=True, eq=False)
class Feed:
    """A tensor of a number that Python computes. Asked, as guards are, before each replay."""

    function: Callable[[], float]
    tensor: Tensor

    def holds(self) -> bool:
        """Fills the tensor; no replay is refused because of it."""
        ctypes.c_double.from_address(memory.address_of(self.tensor.capsule)).value = self.function()
        return True
