"""mashal.autograd.variable: Variable, an old name of Tensor."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor

__all__ = ["Variable"]


class _IsTensor(type):
    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, Tensor)


class Variable(metaclass=_IsTensor):
    """Variable(x, requires_grad=False) gives x itself as a tensor without history; isinstance knows every tensor."""

    def __new__(cls, data: Tensor, requires_grad: bool = False, volatile: bool = False) -> Any:
        return data.detach().requires_grad_(requires_grad)
