"""nn.quantized: operations as modules, which a quantizer could watch; nothing is quantized here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.nearest import nearest
from mashal.nn.linear import Identity
from mashal.nn.module import Module

__all__ = ["FloatFunctional"]


class FloatFunctional(Module):
    """Sums, products and joins whose results go through `activation_post_process`, at first an Identity.

    >>> nn.quantized.FloatFunctional().add(torch.ones(2), torch.ones(2))
    tensor([2., 2.])
    """

    def __init__(self) -> None:
        super().__init__()
        self.activation_post_process = Identity()

    def forward(self, x: Any) -> Any:
        raise RuntimeError("FloatFunctional is not intended to use the 'forward'. Please use the underlying operation")

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """x + y."""
        return self.activation_post_process(ops.add(x, y))

    def add_scalar(self, x: Tensor, y: float) -> Tensor:
        """x + y for a number y; not watched."""
        return ops.add(x, y)

    def mul(self, x: Tensor, y: Tensor) -> Tensor:
        """x · y."""
        return self.activation_post_process(ops.mul(x, y))

    def mul_scalar(self, x: Tensor, y: float) -> Tensor:
        """x · y for a number y; not watched."""
        return ops.mul(x, y)

    def cat(self, x: Sequence[Tensor], dim: int = 0) -> Tensor:
        """Tensors joined along dim."""
        return self.activation_post_process(ops.cat(x, dim=dim))

    def add_relu(self, x: Tensor, y: Tensor) -> Tensor:
        """The positive part of x + y."""
        return self.activation_post_process(ops.relu(ops.add(x, y)))

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """The product of matrices."""
        return self.activation_post_process(ops.matmul(x, y))


__getattr__ = nearest(__name__)
