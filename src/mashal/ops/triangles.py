"""Triangles of matrices: tril, triu, and their indices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.core.devices import chosen
from mashal.core.dtypes import dtype as DType
from mashal.core.dtypes import int64
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.copying import check_tensor
from mashal.ops.creation import arange
from mashal.ops.define import recorded, spelled, write_out
from mashal.ops.joining import stack
from mashal.ops.options import check_layout
from mashal.ops.selection import where

__all__ = ["tril", "tril_indices", "triu", "triu_indices"]


def _distances(rows: int, columns: int, device: Any) -> Tensor:
    """How far each place of a matrix is above the diagonal."""
    return arange(columns, device=device) - arange(rows, device=device).unsqueeze(1)


def _triangle(name: str, node: str, kept: Callable[[Tensor, int], Tensor]) -> Callable[..., Tensor]:
    @recorded(node)
    def selected(x: Tensor, diagonal: int) -> tuple[Tensor, tuple]:
        *_, rows, columns = x.form.shape
        return where(kept(_distances(rows, columns, x.form.device), diagonal), x, False), (diagonal,)

    @selected.backward
    def _(node: Any, g: Tensor) -> tuple:
        return (selected(g, *node.kept()),)

    def triangle(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
        check_tensor(name, input)
        if input.form.rank < 2:
            raise RuntimeError(
                message(name, f"input tensor must have at least 2 dimensions, it is {tuple(input.form.shape)}")
            )
        result = selected(input, diagonal)
        return result if out is None else write_out(name, out, result)

    def triangle_(input: Tensor, diagonal: int = 0) -> Tensor:
        """The other elements are set to 0 in the tensor itself."""
        return input.copy_(triangle(input, diagonal))

    triangle.__name__ = triangle.__qualname__ = name
    side, example = (
        ("below", "[1., 0.],\n            [1., 1.]") if name == "tril" else ("above", "[1., 1.],\n            [0., 1.]")
    )
    triangle.__doc__ = f"""The elements of matrices on and {side} a diagonal, the others 0. input: (..., rows, columns).

    diagonal: 0 the main one, positive ones are above it.

    >>> torch.{name}(torch.ones(2, 2))
    tensor([{example}])
    """
    return spelled(in_place=triangle_)(triangle)


tril = _triangle("tril", "TrilBackward0", lambda distance, diagonal: distance <= diagonal)
triu = _triangle("triu", "TriuBackward0", lambda distance, diagonal: distance >= diagonal)


@spelled(("torch",))
def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: DType = int64, device: Any = None, layout: Any = None
) -> Tensor:
    """The rows and the columns of the places that tril keeps, in the order of memory: (2, places).

    >>> torch.tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    return _indices("tril_indices", row, col, lambda distance: distance <= offset, dtype, device, layout)


@spelled(("torch",))
def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: DType = int64, device: Any = None, layout: Any = None
) -> Tensor:
    """The rows and the columns of the places that triu keeps, in the order of memory: (2, places)."""
    return _indices("triu_indices", row, col, lambda distance: distance >= offset, dtype, device, layout)


def _indices(
    name: str, row: int, col: int, kept: Callable[[Tensor], Tensor], dtype: DType, device: Any, layout: Any
) -> Tensor:
    check_layout(name, layout)
    for what, n in ("row", row), ("col", col):
        if n < 0:
            raise RuntimeError(message(name, f"{what} must be non-negative, got {n}"))
    places = kept(_distances(row, col, "cpu"))
    made = stack([at.to(dtype) for at in places.nonzero(as_tuple=True)])
    device = chosen(device)
    return made if device is None else made.to(device)
