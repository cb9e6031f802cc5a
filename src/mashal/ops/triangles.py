"""Triangles of matrices: tril, triu, and their indices."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any

from mashal.core.devices import chosen
from mashal.core.dtypes import dtype as DType
from mashal.core.dtypes import int32, int64
from mashal.core.forms import Form, form
from mashal.core.nested import table_of
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang.expression import Expression, constant, operand, where
from mashal.lang.nest import Nest, Operand
from mashal.ops.copying import check_tensor
from mashal.ops.creation import arange
from mashal.ops.define import spelled, write_out
from mashal.ops.joining import stack
from mashal.ops.options import check_layout
from mashal.ops.remembered import door, remembered
from mashal.ops.run import Plan, plan_pointwise

__all__ = ["tril", "tril_indices", "triu", "triu_indices"]


def _distances(rows: int, columns: int, device: Any) -> Tensor:
    """How far each place of a matrix is above the diagonal."""
    return arange(columns, device=device) - arange(rows, device=device).unsqueeze(1)


def _triangle(name: str, node: str, kept: Callable[[Any, Any], Expression]) -> Callable[..., Tensor]:
    """kept(column, row): whether the element there is kept, row counted from the diagonal on."""

    @remembered(node)
    def selected(x: Form, diagonal: int) -> Plan:
        *_, rows, columns = x.shape
        down = max(min(diagonal, columns), -rows)
        places = [range(down, down + rows), range(columns)]
        i, j = (table_of(list(each), int32, x.device) for each in places)
        forms = [i.form.viewed((rows, 1), (1, 0)), j.form]
        element = operand(0, x.dtype)
        picked = where(kept(operand(2, int32), operand(1, int32)), element, constant(0, element.dtype))
        nest = Nest(((picked, x.dtype),), tuple([Operand(d) for d in (x.dtype, int32, int32)]))
        plan = plan_pointwise(nest, [x, *forms], x.shape, [form(x.dtype, x.device, x.shape)])
        return lambda x: plan(x, i, j)

    selected.transposed_by(selected)

    @door(1)
    def checked(x: Any, diagonal: int) -> Any:
        check_tensor(name, x)
        if x.form.rank < 2:
            raise RuntimeError(
                message(name, f"input tensor must have at least 2 dimensions, it is {tuple(x.form.shape)}")
            )
        return selected.known(x, index(diagonal))

    def triangle(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
        result = checked.find(input, diagonal)
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


tril = _triangle("tril", "TrilBackward0", lambda column, row: column <= row)
triu = _triangle("triu", "TriuBackward0", lambda column, row: column >= row)


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
