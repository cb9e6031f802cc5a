"""Layers that join dimensions, and that split one."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.nn.module import Module


class Flatten(Module):
    """Joins the dimensions from start_dim to end_dim: (batch, 3, 4) to (batch, 12).

    >>> nn.Flatten()(torch.ones(2, 3, 4)).shape
    torch.Size([2, 12])
    """

    __constants__ = ["start_dim", "end_dim"]
    start_dim: int
    end_dim: int

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits dim into unflattened_size: (batch, 12) to (batch, 3, 4).

    dim: a position, or the name of a named dimension with unflattened_size a tuple of pairs.

    >>> nn.Unflatten(1, (3, 4))(torch.ones(2, 12)).shape
    torch.Size([2, 3, 4])
    """

    __constants__ = ["dim", "unflattened_size"]

    def __init__(self, dim: int | str, unflattened_size: Any) -> None:
        super().__init__()
        self._check(isinstance(dim, str), unflattened_size)
        self.dim = dim
        self.unflattened_size = unflattened_size

    def _check(self, named: bool, sizes: Any) -> None:
        """TypeError unless sizes are integers, or pairs if the dimension is named."""
        if not isinstance(sizes, (tuple, list)):
            raise TypeError(f"Unflatten: unflattened_size must be a tuple of integers, not a {type(sizes).__name__}")
        for position, size in enumerate(sizes):
            if not isinstance(size, tuple if named else int):
                expected = "pairs of name and size" if named else "integers"
                raise TypeError(
                    f"Unflatten: unflattened_size must hold {expected}; at position {position} is a "
                    f"{type(size).__name__}"
                )

    def forward(self, input: Tensor) -> Tensor:
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
