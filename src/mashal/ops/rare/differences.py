"""Derivatives estimated from samples: gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mashal.core.shapes import wrap_dims
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.copying import check_tensor
from mashal.ops.define import spelled
from mashal.ops.joining import cat
from mashal.ops.parts import narrow

# The methods of tensors are attached above this floor: what is written with them here is checked by tests, not types.
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false


@spelled(("torch",))
def gradient(input: Tensor, *, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> tuple[Tensor, ...]:
    """The derivatives of samples along dims (all, unless given), of second order inside; a tensor for each dim.

    spacing: the distance of neighbours, one or one for each dim; or a tensor of coordinates for each dim.
    edge_order: 1 or 2, the order of the estimate at the edges, which need edge_order + 1 elements.

    >>> torch.gradient(torch.tensor([1.0, 4.0, 9.0, 16.0]))
    (tensor([3., 4., 6., 7.]),)
    """
    check_tensor("gradient", input)
    rank = input.form.rank
    given = tuple(range(rank)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    dims = wrap_dims("gradient", given, rank)
    if edge_order not in (1, 2):
        raise RuntimeError(message("gradient", f"only supports edge_order=1 and edge_order=2, not {edge_order}"))
    for d in dims:
        if input.form.shape[d] < edge_order + 1:
            wrong = f"dimension {d} of {tuple(input.shape)} has size {input.form.shape[d]}"
            raise RuntimeError(
                message("gradient", wrong, f"each dimension needs at least edge_order+1 = {edge_order + 1}")
            )
    steps = _steps(input, spacing, dims, dim is None)
    return tuple(_along(input, d, step, edge_order) for d, step in zip(dims, steps))


def _steps(x: Tensor, spacing: Any, dims: Sequence[int], all_of_them: bool) -> list[Any]:
    """The spacing of each dim: a number or a tensor of coordinates."""
    if spacing is None or isinstance(spacing, (int, float, complex)) and not isinstance(spacing, bool):
        return [1.0 if spacing is None else spacing] * len(dims)
    steps = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing]
    if len(steps) != len(dims):
        wrong = f"expected spacing to be unspecified, a number, or one for each of the {len(dims)} dims"
        raise RuntimeError(message("gradient", wrong, f"got {len(steps)}"))
    for d, step in zip(dims, steps):
        if isinstance(step, Tensor) and tuple(step.shape) != (x.form.shape[d],):
            wrong = f"the coordinates of dim {d} are of shape {tuple(step.shape)}"
            raise RuntimeError(message("gradient", wrong, f"expected ({x.form.shape[d]},)"))
    return steps


def _along(x: Tensor, d: int, step: Any, edge_order: int) -> Tensor:
    n = x.form.shape[d]
    part = lambda start, length: narrow(x, d, start, length)
    if isinstance(step, Tensor):
        shape = [1] * x.form.rank
        shape[d] = n - 1
        gaps = (narrow(step, 0, 1, n - 1) - narrow(step, 0, 0, n - 1)).reshape(shape)
        gap = lambda start, length: narrow(gaps, d, start, length)
    else:
        gap = lambda start, length: step
    pieces = [
        _edge(
            part(0, 1),
            part(1, 1),
            part(2, 1) if edge_order == 2 else None,
            gap(0, 1),
            gap(1, 1) if edge_order == 2 else None,
        )
    ]
    if n > 2:
        if isinstance(step, Tensor):
            left, right = gap(0, n - 2), gap(1, n - 2)
            whole = left + right
            pieces.append(
                part(0, n - 2) * (-right / (left * whole))
                + part(1, n - 2) * ((right - left) / (left * right))
                + part(2, n - 2) * (left / (right * whole))
            )
        else:
            pieces.append((part(2, n - 2) - part(0, n - 2)) / (2 * step))
    last = gap(n - 2, 1)
    if edge_order == 1:
        pieces.append((part(n - 1, 1) - part(n - 2, 1)) / last)
    else:
        pieces.append(-_edge(part(n - 1, 1), part(n - 2, 1), part(n - 3, 1), last, gap(n - 3, 1)))
    return cat(pieces, d)


def _edge(first: Tensor, second: Tensor, third: Tensor | None, near: Any, far: Any) -> Tensor:
    """The derivative at the first of two or three neighbours, near and far apart."""
    if third is None:
        return (second - first) / near
    both = near + far
    return first * (-(2 * near + far) / (near * both)) + second * (both / (near * far)) + third * (-near / (far * both))
