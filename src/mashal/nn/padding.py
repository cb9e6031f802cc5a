"""Layers that put elements around their input: zeros or another number, the outermost element, a mirror, the other end."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.nn import functional as F
from mashal.nn.module import Module

__all__ = [
    "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d", "ConstantPad3d", "ReflectionPad1d",
    "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d", "ZeroPad1d", "ZeroPad2d",
    "ZeroPad3d",
]  # fmt: skip


class _Pad(Module):
    """padding: an int, or two ints a dimension of space, the last dimension first; so many elements before and behind."""

    __constants__ = ["padding"]
    rank, mode = 1, "constant"

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * (2 * self.rank)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    __constants__ = ["padding", "value"]

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _CircularPad(_Pad):
    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (self.rank + 1, self.rank + 2):
            wrong = f"expected {self.rank + 1}D or {self.rank + 2}D input (got {input.dim()}D input)"
            raise ValueError(f"{type(self).__name__}: {wrong}")
        return super().forward(input)


class ConstantPad1d(_ConstantPad):
    """A number around (n, channels, length), or without n: F.pad.

    >>> nn.ConstantPad1d(1, 5.0)(torch.zeros(1, 2))
    tensor([[5., 0., 0., 5.]])
    """

    rank = 1


class ZeroPad1d(ConstantPad1d):
    """Zeros around (n, channels, length), or without n."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ConstantPad2d(_ConstantPad):
    """A number around images (n, channels, height, width), or without n: F.pad."""

    rank = 2


class ZeroPad2d(ConstantPad2d):
    """Zeros around images (n, channels, height, width), or without n."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ConstantPad3d(_ConstantPad):
    """A number around volumes (n, channels, depth, height, width), or without n: F.pad."""

    rank = 3


class ZeroPad3d(ConstantPad3d):
    """Zeros around volumes (n, channels, depth, height, width), or without n."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ReflectionPad1d(_Pad):
    """A mirror image around (n, channels, length), or without n: F.pad with mode "reflect"."""

    rank, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """A mirror image around images (n, channels, height, width), or without n: F.pad with mode "reflect"."""

    rank, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """A mirror image around volumes (n, channels, depth, height, width), or without n: F.pad with mode "reflect"."""

    rank, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The outermost elements again around (n, channels, length), or without n: F.pad with mode "replicate"."""

    rank, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The outermost elements again around images (n, channels, height, width), or without n: F.pad with mode "replicate"."""

    rank, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The outermost elements again around volumes (n, channels, depth, height, width), or without n: F.pad with mode "replicate"."""

    rank, mode = 3, "replicate"


class CircularPad1d(_CircularPad):
    """The other end around (n, channels, length), or without n: F.pad with mode "circular"."""

    rank = 1


class CircularPad2d(_CircularPad):
    """The other end around images (n, channels, height, width), or without n: F.pad with mode "circular"."""

    rank = 2


class CircularPad3d(_CircularPad):
    """The other end around volumes (n, channels, depth, height, width), or without n: F.pad with mode "circular"."""

    rank = 3
