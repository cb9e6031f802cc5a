"""Histograms with their edges, of numbers and of points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops import return_types
from mashal.ops.counting import bincount, histogram_of, searchsorted
from mashal.ops.creation import linspace
from mashal.ops.define import spelled, write_outs
from mashal.ops.reducing import in_dtype
from mashal.ops.reductions import amax, amin, sum_

# The methods of tensors are attached above this floor: what is written with them here is checked by tests, not types.
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportIndexIssue=false, reportArgumentType=false


@spelled()
def histogram(input: Tensor, bins: Any, *, range: Any = None, weight: Tensor | None = None, density: bool = False,
              out: Any = None) -> Any:  # fmt: skip
    """(hist, bin_edges): how many elements (or their weights) are in each of equal bins, or between given edges.

    >>> torch.histogram(torch.tensor([1.0, 2.0, 1.0]), bins=2).hist
    tensor([2., 1.])
    """
    if isinstance(bins, Tensor):
        edges = bins
        hist = _counted(*_places(input.reshape(-1), edges), weight, edges.form.shape[0] - 1, input)
    else:
        edges, low, high = _equal(input, bins, range)
        hist = histogram_of("histogram", input, weight, bins, low, high)
    if density:
        hist = hist / (sum_(hist) * edges.diff())
    pair = (hist, edges)
    return return_types.histogram(*(pair if out is None else write_outs("histogram", out, pair)))


def _equal(x: Tensor, bins: int, limits: Any) -> tuple[Tensor, float, float]:
    """The edges of equal bins between limits, by default the least and largest element; and the limits."""
    low, high = (float(amin(x)), float(amax(x))) if limits is None and x.form.numel else limits or (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return linspace(low, high, bins + 1, dtype=x.form.dtype, device=x.form.device), low, high


def _places(x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """(between which neighbouring edges each number is, whether it is between any); the last interval includes its right end."""
    n = edges.form.shape[0] - 1
    places = searchsorted(edges, x, right=True) - 1
    return places.where(x != edges[-1], n - 1), (x >= edges[0]) & (x <= edges[-1])


def _counted(places: Tensor, inside: Tensor, weight: Tensor | None, n: int, like: Tensor) -> Tensor:
    weights = None if weight is None else weight.reshape(-1)[inside]
    return in_dtype(bincount(places[inside], weights, n), like.form.dtype)


@spelled(("torch",))
def histogramdd(input: Tensor, bins: Any, *, range: Any = None, weight: Tensor | None = None, density: bool = False) -> Any:  # fmt: skip
    """(hist, bin_edges): how many points (rows of input, (*, d)), or their weights, are in each box of a grid of d dimensions.

    bins: how many equal ones in each dimension (or in all), or the edges of each. range: 2·d limits, by default each coordinate's.

    >>> torch.histogramdd(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), bins=[2, 2]).hist
    tensor([[1., 0.],
            [0., 1.]])
    """
    if input.form.rank < 2:
        wrong = f"input tensor should have at least 2 dimensions, but got {input.form.rank}"
        raise RuntimeError(message("histogramdd", wrong))
    if input.form.dtype.kind != "f":
        raise NotImplementedError(message("histogramdd", f"not implemented for {input.form.dtype}", "make it floating"))
    points = input.reshape(-1, input.form.shape[-1])
    edges = _grid(points, bins, range)
    place: Any = 0
    inside: Any = True
    for d, own in enumerate(edges):
        at, within = _places(points[:, d].contiguous(), own)
        place, inside = place * (own.form.shape[0] - 1) + at, within & inside
    shape = [own.form.shape[0] - 1 for own in edges]
    total = 1
    for n in shape:
        total *= n
    hist = _counted(place, inside, weight, total, input).reshape(shape)
    if density:
        hist = hist / sum_(hist)
        for d, own in enumerate(edges):
            hist = hist / own.diff().reshape([-1 if i == d else 1 for i, _ in enumerate(shape)])
    return return_types.histogramdd(hist, tuple(edges))


def _grid(points: Tensor, bins: Any, limits: Any) -> list[Tensor]:
    """The edges in each dimension."""
    size = points.form.shape[1]
    given: Sequence[Any] = [bins] * size if isinstance(bins, int) else list(bins)
    if len(given) != size:
        wrong = "The size of bins must be equal to the innermost dimension of the input"
        raise RuntimeError(message("histogramdd", wrong, f"they are {len(given)} and {size}"))
    if limits is not None and len(limits) != 2 * size:
        wrong = f"expected {2 * size} elements in range, two for each dimension, but got {len(limits)}"
        raise RuntimeError(message("histogramdd", wrong))
    return [
        own
        if isinstance(own, Tensor)
        else _equal(points[:, d], own, None if limits is None else limits[2 * d : 2 * d + 2])[0]
        for d, own in enumerate(given)
    ]
