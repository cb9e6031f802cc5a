"""Elements blended by place: `blend`, and its transposes `put_back` (in x) and `shares` (in the weights).

All three are read off Σ w[n, k, j] · x[n, c, places[n, k, j]] · g[n, c, j], linear in each of w, x and g: each one's gradients are
the other two, so derivatives of every order follow. Places below 0 are not read.
"""

from __future__ import annotations

from typing import Any

from mashal.core.forms import form
from mashal.core.tensor import Tensor, plan_of
from mashal.lower import blend as kernels
from mashal.ops.copying import compact, zeros_of
from mashal.ops.define import recorded
from mashal.ops.run import kernel_of, remember

__all__ = ["blend"]

_plans: dict[Any, Any] = {}


def _run(
    kernel: Any, a: Tensor, b: Tensor, places: Tensor, shape: tuple[int, ...], channels: int, plane: int
) -> Tensor:
    """The kernel's result, a tensor of a shape."""
    a, b = compact(a), compact(b)
    key = kernel, a.form, b.form, places.form, shape
    plan = _plans.get(key)
    if plan is None:
        made, (batch, terms, m) = form(a.form.dtype, a.form.device, shape), places.form.shape
        if not (made.numel and a.form.numel and b.form.numel):
            return zeros_of(made)
        size = a.form.dtype.itemsize
        plan = plan_of(
            kernel_of(kernel, a.form.dtype, terms),
            [(made.nbytes, made)],
            [size, size, 4],
            [batch, channels, plane, m],
            work=batch * channels * m * terms,
        )
        remember(_plans, key, plan)
    return plan(a, b, places)


@recorded("GridSamplerBackward0", tensors=2)
def blend(x: Tensor, w: Tensor, places: Tensor) -> tuple[Tensor, tuple]:
    """x (n, channels, plane) at places (n, k, m), int32, times weights w (n, k, m), added up over k: (n, channels, m)."""
    n, channels, plane = x.form.shape
    return _run(kernels.blended, x, w, places, (n, channels, places.form.shape[2]), channels, plane), (x, w, places)


@recorded("GridSamplerBackwardBackward0", tensors=2)
def put_back(g: Tensor, w: Tensor, places: Tensor, plane: int) -> tuple[Tensor, tuple]:
    """g (n, channels, m) times the weights, added up at places of planes: (n, channels, plane)."""
    n, channels, _ = g.form.shape
    return _run(kernels.put_back, g, w, places, (n, channels, plane), channels, plane), (g, w, places)


@recorded("GridSamplerBackwardBackward0", tensors=2)
def shares(g: Tensor, x: Tensor, places: Tensor) -> tuple[Tensor, tuple]:
    """g (n, channels, m) times x's elements at places, added up over channels: (n, k, m)."""
    _, channels, plane = x.form.shape
    return _run(kernels.shares, g, x, places, tuple(places.form.shape), channels, plane), (g, x, places)


@blend.backward
def _(node: Any, g: Tensor) -> tuple:
    x, w, places = node.kept()
    return (
        put_back(g, w, places, x.form.shape[2]) if node.wants(0) else None,
        shares(g, x, places) if node.wants(1) else None,
    )


@put_back.backward
def _(node: Any, gradient: Tensor) -> tuple:
    g, w, places = node.kept()
    return (
        blend(gradient, w, places) if node.wants(0) else None,
        shares(g, gradient, places) if node.wants(1) else None,
    )


@shares.backward
def _(node: Any, gradient: Tensor) -> tuple:
    g, x, places = node.kept()
    return (
        blend(x, gradient, places) if node.wants(0) else None,
        put_back(g, gradient, places, x.form.shape[2]) if node.wants(1) else None,
    )
