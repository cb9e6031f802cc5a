"""What convolutions stand on: three functions, each linear in both of its tensors.

`correlate` (windows of x times the weight), `spread` (its transpose in x) and `weigh` (its transpose in the weight): each one's
gradients are the other two, so derivatives of every order follow. Floating tensors have kernels of their own (convolving, lower);
integers and complex numbers go by columns: windows as a strided view over a padded copy, sums over them as products of matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

from mashal.core.forms import Form, form
from mashal.core.tensor import Tensor
from mashal.ops.contraction import matmul
from mashal.ops.convolving import correlation_plan, spread_plan
from mashal.ops.copying import compact, in_order_of, is_channels_last, zeros_of
from mashal.ops.creation import new_zeros
from mashal.ops.remembered import Part, remembered, unrecorded
from mashal.ops.run import Plan
from mashal.ops.sliding import Geometry, add_windows, inside, windows_of
from mashal.ops.views import expand, permute, reshape
from mashal.ops.weighing import weighing_plan

__all__ = ["correlate", "spread", "weigh"]


def _planned(make: Callable[..., Any], operands: Sequence[Form], geometry: Geometry, shape: tuple[int, ...]) -> Plan:
    """The plan of a result by a kernel of its own. Channels are last where they were."""
    first, *rest = [form(f.dtype, f.device, tuple(f.shape)) for f in operands]
    plan = make(first, *rest, geometry, form(first.dtype, first.device, shape))
    if all(f.contiguous for f in operands):
        return plan
    like = operands[0] if is_channels_last(operands[0]) else operands[1]
    return lambda *tensors: in_order_of(plan(*map(compact, tensors)), like)


# ---------------------------------------------------------------- the three functions
@remembered("ConvolutionBackward0", 3, kept=(0, 1))
def correlate(x: Form, w: Form, bias: Form | None, geometry: Geometry) -> Plan:
    """y[n, o, p] = Σ over channels c and kernel positions k of w[o, c, k] · x[n, c, p · stride + k · dilation - low] (+ bias[o])."""
    n, (outputs, own, *kernel) = x.shape[0], w.shape
    shape = (n, outputs, *geometry.positions(x.shape[2:], kernel))
    if x.dtype.kind == "f" and prod(shape) and own * prod(kernel):
        if bias is None:
            make = lambda x, w, geometry, made: correlation_plan(x, w, None, geometry, made)
            return _planned(make, (x, w), geometry, shape)
        return _planned(correlation_plan, (x, w, bias), geometry, shape)
    return unrecorded(partial(_by_columns, geometry, shape))


def _by_columns(geometry: Geometry, shape: tuple[int, ...], x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    y = _correlated(x, w, geometry, shape) if prod(shape) and prod(w.form.shape[1:]) else new_zeros(x, shape)
    if bias is not None:
        y += reshape(bias, (-1, *(1,) * (w.form.rank - 2)))
    return y


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


@remembered("ConvolutionBackward0", 2, kept=(0, 1))
def spread(g: Form, w: Form, geometry: Geometry, space: tuple[int, ...]) -> Plan:
    """The transpose of `correlate` in x: what every window gives, added up at the places it was taken from."""
    shape = (g.shape[0], geometry.groups * w.shape[1], *space)
    if not (g.numel and w.numel and prod(shape)):
        return lambda g, w: zeros_of(form(g.form.dtype, g.form.device, shape))
    if g.dtype.kind == "f":
        return _planned(spread_plan, (g, w), geometry, shape)
    return unrecorded(partial(_spread_by_columns, geometry, shape))


def _spread_by_columns(geometry: Geometry, shape: tuple[int, ...], g: Tensor, w: Tensor) -> Tensor:
    n, (outputs, own, *kernel), space = g.form.shape[0], w.form.shape, shape[2:]
    groups, terms, positions = geometry.groups, own * prod(kernel), g.form.shape[2:]
    sizes = [m + lo + hi for m, lo, hi in zip(space, geometry.low, geometry.high)]
    padded = new_zeros(g, (*shape[:2], *sizes))
    each = expand(reshape(w, (1, groups, outputs // groups, terms)), (n, groups, outputs // groups, terms))
    columns = matmul(each.mT, reshape(g, (n, groups, outputs // groups, -1)))  # type: ignore[attr-defined]
    add_windows(padded, reshape(columns, (n, groups * own, prod(kernel), *positions)), kernel, geometry)
    return inside(padded, space, geometry.low).contiguous()  # type: ignore[attr-defined]


@remembered("ConvolutionBackwardBackward0", 2, kept=(0, 1))
def weigh(g: Form, x: Form, geometry: Geometry, kernel: tuple[int, ...]) -> Plan:
    """The transpose of `correlate` in the weight: every window times the gradient of what came of it, added up."""
    own = x.shape[1] // geometry.groups
    made = form(g.dtype, g.device, (g.shape[1], own, *kernel))
    if not (g.numel and own * prod(kernel)):
        return lambda g, x: zeros_of(made)
    if g.dtype.kind != "f":
        return unrecorded(partial(_weighed_by_columns, geometry, kernel))
    flat_g, flat_x = (form(f.dtype, f.device, tuple(f.shape)) for f in (g, x))
    plan = weighing_plan(flat_g, flat_x, geometry, made)
    return plan if g.contiguous and x.contiguous else lambda g, x: plan(compact(g), compact(x))


def _weighed_by_columns(geometry: Geometry, kernel: tuple[int, ...], g: Tensor, x: Tensor) -> Tensor:
    n, outputs, *positions = g.form.shape
    groups, own = geometry.groups, x.form.shape[1] // geometry.groups
    rank, places = len(kernel), n * prod(positions)
    windows = windows_of(x, kernel, geometry)
    last = permute(windows, (1, 0, *range(3 + rank, 3 + 2 * rank), *range(2, 3 + rank)))
    columns = reshape(last, (groups, places, own * prod(kernel)))
    rows = reshape(permute(reshape(g, (n, groups, outputs // groups, -1)), (1, 2, 0, 3)), (groups, -1, places))
    return reshape(matmul(rows, columns), (outputs, own, *kernel))


# ---------------------------------------------------------------- their gradients
@correlate.backward
def _(node: Any, g: Tensor) -> tuple:
    x, w, geometry = node.kept()
    return (
        spread(g, _conjugate(w), geometry, tuple(x.form.shape[2:])) if node.wants(0) else None,
        weigh(g, _conjugate(x), geometry, tuple(w.form.shape[2:])) if node.wants(1) else None,
        _channel_sums(g) if node.wants(2) else None,
    )


@correlate.parts
def _(call: Any, things: list[Tensor], g: Tensor) -> list[Part] | None:
    x, w = things
    if g.form.dtype.is_complex:
        return None
    of_x = spread.known(g, w, *call.options, tuple(x.form.shape[2:]))
    of_w = weigh.known(g, x, *call.options, tuple(w.form.shape[2:]))
    return [Part(of_x.bare, (2, 1)), Part(of_w.bare, (2, 0)), Part(_channel_sums, (2,))]


def _channel_sums(g: Tensor) -> Tensor:
    return g.sum((0, *range(2, g.form.rank)))  # type: ignore[attr-defined]


@spread.backward
def _(node: Any, gradient: Tensor) -> tuple:
    g, w, geometry, _ = node.kept()
    return (
        correlate(gradient, _conjugate(w), None, geometry) if node.wants(0) else None,
        weigh(_conjugate(g), gradient, geometry, tuple(w.form.shape[2:])) if node.wants(1) else None,
    )


@weigh.backward
def _(node: Any, gradient: Tensor) -> tuple:
    g, x, geometry, _ = node.kept()
    return (
        correlate(_conjugate(x), gradient, None, geometry) if node.wants(0) else None,
        spread(_conjugate(g), gradient, geometry, tuple(x.form.shape[2:])) if node.wants(1) else None,
    )


def _conjugate(x: Tensor) -> Tensor:
    return x.conj() if x.form.dtype.kind == "c" else x  # type: ignore[attr-defined]
