"""What convolutions stand on: three functions, each linear in both of its tensors.

`correlate` (windows of x times the weight), `spread` (its transpose in x) and `weigh` (its transpose in the weight): each one's
gradients are the other two, so derivatives of every order follow. Floating tensors have kernels of their own (convolving, lower);
integers and complex numbers go by columns: windows as a strided view over a padded copy, sums over them as products of matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from mashal.core.forms import form
from mashal.core.tensor import Tensor
from mashal.ops.contraction import matmul
from mashal.ops.convolving import correlation_plan, spread_plan
from mashal.ops.copying import compact, in_order_of, is_channels_last
from mashal.ops.creation import new_zeros
from mashal.ops.define import recorded
from mashal.ops.run import remember
from mashal.ops.sliding import Geometry, add_windows, inside, windows_of
from mashal.ops.views import expand, permute, reshape
from mashal.ops.weighing import weighing_plan

__all__ = ["correlate", "spread", "weigh"]

_plans: dict[Any, Any] = {}


def _planned(
    make: Callable[..., Any], operands: Sequence[Tensor], geometry: Geometry, shape: tuple[int, ...]
) -> Tensor:
    """A result of a kernel of its own; its plan is found again by the operands' forms. Channels are last where they were."""
    first, *rest = [compact(t) for t in operands]
    key = make, geometry, shape, first.form, *(t.form for t in rest)
    plan = _plans.get(key)
    if plan is None:
        made = form(first.form.dtype, first.form.device, shape)
        plan = remember(_plans, key, make(first.form, *(t.form for t in rest), geometry, made))
    y = plan(first, *rest)
    given = operands[0].form if is_channels_last(operands[0].form) else operands[1].form
    return y if given.contiguous else in_order_of(y, given)


def _weighed(g: Tensor, x: Tensor, geometry: Geometry, shape: tuple[int, ...]) -> Tensor:
    key = weighing_plan, geometry, shape, g.form, x.form
    plan = _plans.get(key)
    if plan is None:
        made = form(g.form.dtype, g.form.device, shape)
        plan = remember(_plans, key, weighing_plan(g.form, x.form, geometry, made))
    return plan(g, x)


def _with_bias(x: Any, w: Any, bias: Any, geometry: Geometry, made: Any) -> Any:
    return correlation_plan(x, w, bias, geometry, made)


def _without_bias(x: Any, w: Any, geometry: Geometry, made: Any) -> Any:
    return correlation_plan(x, w, None, geometry, made)


# ---------------------------------------------------------------- the three functions
@recorded("ConvolutionBackward0", tensors=3)
def correlate(x: Tensor, w: Tensor, bias: Tensor | None, geometry: Geometry) -> tuple[Tensor, tuple]:
    """y[n, o, p] = Σ over channels c and kernel positions k of w[o, c, k] · x[n, c, p · stride + k · dilation - low] (+ bias[o])."""
    n, (outputs, own, *kernel) = x.form.shape[0], w.form.shape
    shape = (n, outputs, *geometry.positions(x.form.shape[2:], kernel))
    saved = x, w, geometry
    if x.form.dtype.kind == "f" and prod(shape) and own * prod(kernel):
        if bias is None:
            return _planned(_without_bias, (x, w), geometry, shape), saved
        return _planned(_with_bias, (x, w, bias), geometry, shape), saved
    y = _correlated(x, w, geometry, shape) if prod(shape) and own * prod(kernel) else new_zeros(x, shape)
    if bias is not None:
        y += reshape(bias, (-1, *(1,) * len(kernel)))
    return y, saved


def _correlated(x: Tensor, w: Tensor, geometry: Geometry, shape: tuple[int, ...]) -> Tensor:
    n, (outputs, own, *kernel) = x.form.shape[0], w.form.shape
    columns = windows_of(x, kernel, geometry)
    groups, terms = geometry.groups, own * prod(kernel)
    if groups == 1:
        y = matmul(reshape(w, (outputs, terms)), reshape(columns, (n, terms, -1)))
    else:
        each = expand(reshape(w, (1, groups, outputs // groups, terms)), (n, groups, outputs // groups, terms))
        y = matmul(each, reshape(columns, (n, groups, terms, -1)))
    return reshape(y, shape)


@recorded("ConvolutionBackward0", tensors=2)
def spread(g: Tensor, w: Tensor, geometry: Geometry, space: tuple[int, ...]) -> tuple[Tensor, tuple]:
    """The transpose of `correlate` in x: what every window gives, added up at the places it was taken from."""
    n, (outputs, own, *kernel), saved = g.form.shape[0], w.form.shape, (g, w, geometry)
    shape = (n, geometry.groups * own, *space)
    if not (g.form.numel and w.form.numel and prod(shape)):
        return new_zeros(g, shape), saved
    if g.form.dtype.kind == "f":
        return _planned(spread_plan, (g, w), geometry, shape), saved
    groups, terms, positions = geometry.groups, own * prod(kernel), g.form.shape[2:]
    sizes = [m + lo + hi for m, lo, hi in zip(space, geometry.low, geometry.high)]
    padded = new_zeros(g, (*shape[:2], *sizes))
    each = expand(reshape(w, (1, groups, outputs // groups, terms)), (n, groups, outputs // groups, terms))
    columns = matmul(each.mT, reshape(g, (n, groups, outputs // groups, -1)))  # type: ignore[attr-defined]
    add_windows(padded, reshape(columns, (n, groups * own, prod(kernel), *positions)), kernel, geometry)
    return inside(padded, space, geometry.low).contiguous(), saved  # type: ignore[attr-defined]


@recorded("ConvolutionBackwardBackward0", tensors=2)
def weigh(g: Tensor, x: Tensor, geometry: Geometry, kernel: tuple[int, ...]) -> tuple[Tensor, tuple]:
    """The transpose of `correlate` in the weight: every window times the gradient of what came of it, added up."""
    n, outputs, *positions = g.form.shape
    groups, own, saved = geometry.groups, x.form.shape[1] // geometry.groups, (g, x, geometry)
    if not (g.form.numel and own * prod(kernel)):
        return new_zeros(g, (outputs, own, *kernel)), saved
    if g.form.dtype.kind == "f":
        return _weighed(compact(g), compact(x), geometry, (outputs, own, *kernel)), saved
    rank, places = len(kernel), n * prod(positions)
    windows = windows_of(x, kernel, geometry)
    last = permute(windows, (1, 0, *range(3 + rank, 3 + 2 * rank), *range(2, 3 + rank)))
    columns = reshape(last, (groups, places, own * prod(kernel)))
    rows = reshape(permute(reshape(g, (n, groups, outputs // groups, -1)), (1, 2, 0, 3)), (groups, -1, places))
    return reshape(matmul(rows, columns), (outputs, own, *kernel)), saved


# ---------------------------------------------------------------- their gradients
@correlate.backward
def _(node: Any, g: Tensor) -> tuple:
    x, w, geometry = node.kept()
    return (
        spread(g, _conjugate(w), geometry, tuple(x.form.shape[2:])) if node.wants(0) else None,
        weigh(g, _conjugate(x), geometry, tuple(w.form.shape[2:])) if node.wants(1) else None,
        g.sum((0, *range(2, g.form.rank))) if node.wants(2) else None,  # type: ignore[attr-defined]
    )


@spread.backward
def _(node: Any, gradient: Tensor) -> tuple:
    g, w, geometry = node.kept()
    return (
        correlate(gradient, _conjugate(w), None, geometry) if node.wants(0) else None,
        weigh(_conjugate(g), gradient, geometry, tuple(w.form.shape[2:])) if node.wants(1) else None,
    )


@weigh.backward
def _(node: Any, gradient: Tensor) -> tuple:
    g, x, geometry = node.kept()
    return (
        correlate(_conjugate(x), gradient, None, geometry) if node.wants(0) else None,
        spread(_conjugate(g), gradient, geometry, tuple(x.form.shape[2:])) if node.wants(1) else None,
    )


def _conjugate(x: Tensor) -> Tensor:
    return x.conj() if x.form.dtype.kind == "c" else x  # type: ignore[attr-defined]
