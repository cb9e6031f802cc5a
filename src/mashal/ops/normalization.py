"""Normalization of rows: layer_norm, rms_norm; what those over channels (ops.channels) share with them.

The forward function is a formula over rows and keeps mean and 1 / deviation of each. Backward all gradients come of one
kernel (lower.normalized); where only some are asked for, of formulas over rows, and over columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from mashal.core.dtypes import finfo
from mashal.core.forms import Form
from mashal.core.tape import mode
from mashal.core.tensor import Tensor, bump, plan_of
from mashal.errors import message
from mashal.lang.expression import Expression, row_length, sqrt, sum_over
from mashal.lower.normalized import norm_gradients, scratch_bytes
from mashal.ops.arithmetic import add, mul, sub
from mashal.ops.define import spelled
from mashal.ops.powers import rsqrt
from mashal.ops.reducing import formula, with_ones
from mashal.ops.reductions import mean as mean_of
from mashal.ops.reductions import sum_
from mashal.ops.remembered import door, remembered
from mashal.ops.rows import one, row_formula
from mashal.ops.run import Plan, check_floating, kernel_of, remember


# ---------------------------------------------------------------- kernels
@row_formula()
def normalized(x: Expression, w: Any, b: Any, *, eps: float) -> tuple[Expression, ...]:
    """((x - mean) / deviation·w + b, mean, 1 / deviation) of each row."""
    m = sum_over(x) / row_length(x.dtype)
    away = x - m
    r = one(x) / sqrt(sum_over(away * away) / row_length(x.dtype) + eps)
    y = away * r
    y = y if w is None else y * w
    return y if b is None else y + b, m, r


@row_formula()
def _input_gradient(g: Expression, x: Expression, m: Expression, r: Expression, w: Any) -> Expression:
    g = g if w is None else g * w
    y = (x - m) * r
    n = row_length(x.dtype)
    return (g - sum_over(g) / n - y * (sum_over(g * y) / n)) * r


@row_formula()
def _weight_gradients(g: Expression, x: Expression, m: Expression, r: Expression) -> tuple[Expression, ...]:
    """Of weight and bias, over columns."""
    return sum_over(g * ((x - m) * r)), sum_over(g)


# ---------------------------------------------------------------- gradients, which may be differentiated again
@formula()
def _standard(x: Expression, m: Expression, r: Expression) -> Expression:
    return (x - m) * r


@formula()
def _inverse_root(v: Expression, eps: Expression) -> Expression:
    return 1 / sqrt(v + eps)


@formula()
def _three(g: Expression, a: Expression, y: Expression, b: Expression, r: Expression) -> Expression:
    return (g - a - y * b) * r


def _statistics(x: Tensor, dims: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor]:
    """mean and 1 / deviation of rows, as operations."""
    m = mean_of(x, dims, True)
    away = sub(x, m)
    return m, _inverse_root(mean_of(mul(away, away), dims, True), eps)


def composed_gradients(g: Tensor, x: Tensor, w: Tensor | None, rows: tuple, columns: tuple, eps: float) -> tuple:
    """The gradients written with operations, for gradients of gradients."""
    m, r = _statistics(x, rows, eps)
    y = _standard(x, m, r)
    gw = mul(g, w) if w is not None else g
    gx = _three(gw, mean_of(gw, rows, True), y, mean_of(mul(gw, y), rows, True), r)
    return gx, sum_(mul(g, y), columns, True) if columns else mul(g, y), sum_(g, columns, True) if columns else g


def gradients(
    node: Any, g: Tensor, x: Tensor, m: Tensor, r: Tensor, w: Tensor | None, rows: tuple, columns: tuple, eps: float
) -> tuple:
    """Gradients of x, weight and bias, the latter two with size 1 in columns."""
    if mode.recording:
        return composed_gradients(g, x, w, rows, columns, eps)
    gx = _input_gradient(rows, g, x, m, r, w) if node.wants(0) else None
    gw = gb = None
    if node.wants(1) or node.wants(2):
        gw, gb = _weight_gradients(columns, g, x, m, r)
    return gx, gw, gb


# ---------------------------------------------------------------- all gradients in one pass
_passes: dict[Any, Any] = {}


def _one_pass(node: Any, g: Tensor, x: Tensor, statistics: tuple[Tensor, ...], w: Tensor, lead: int) -> Any:
    """Gradients of x, weight[, bias] for rows side by side; None for others. That of a leaf goes into its grad."""
    grad = node.room(0, g, x, w)
    key = g.form, x.form, w.form, len(statistics), grad is not None
    if key not in _passes:
        remember(_passes, key, _plan_pass(g.form, x.form, w.form, len(statistics), lead, grad is not None))
    plan = _passes[key]
    if plan is None or grad is None:
        return plan and plan(g, x, *statistics, w)
    bump(grad)
    found = plan(grad, g, x, *statistics, w)
    return (None, *found) if len(statistics) == 2 else (None, found)


def _plan_pass(g: Form, x: Form, w: Form, statistics: int, lead: int, adds: bool) -> Any:
    if not (g.contiguous and x.contiguous and w.contiguous and g.dtype is x.dtype and x.numel):
        return None
    rows, columns, size = prod(x.shape[:lead]), prod(x.shape[lead:]), x.dtype.itemsize
    return plan_of(
        kernel_of(norm_gradients, x.dtype, w.dtype, statistics == 2, adds),
        [*([] if adds else [(x.nbytes, x)]), *[(w.nbytes, w)] * statistics],
        [size] * (2 + statistics + adds) + [w.dtype.itemsize],
        [rows, columns],
        work=4 * x.numel,
        writes=int(adds),
        scratch=scratch_bytes(rows, columns),
    )


# ---------------------------------------------------------------- layer_norm
@remembered("NativeLayerNormBackward0", 3, kept=(0, 1), results=3)
def _layer_norm(x: Form, weight: Form | None, bias: Form | None, dims: tuple[int, ...], eps: float) -> Plan:
    return normalized.plan(dims, x, weight, bias, eps=eps)


@_layer_norm.backward
def _(node: Any, g: Tensor) -> tuple:
    x, w, m, r, dims, eps = node.kept()
    columns = tuple(range(x.form.rank - len(dims)))
    if w is not None and columns and node.wants(0) and node.wants(1) and not mode.recording:
        found = _one_pass(node, g, x, (m, r), w, len(columns))
        if found is not None:
            return found
    gx, gw, gb = gradients(node, g, x, m, r, w, dims, columns, eps)
    shape = x.form.shape[len(columns) :]
    return gx, None if gw is None else with_ones(gw, shape), None if gb is None else with_ones(gb, shape)


@spelled(where=("torch", "functional"))
def layer_norm(input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None,
               eps: float = 1e-05, cudnn_enable: bool = True) -> Tensor:  # fmt: skip
    """(x - mean) / sqrt(variance + eps)·weight + bias over the last dimensions, whose sizes are normalized_shape.

    >>> F.layer_norm(torch.tensor([[1.0, 3.0]]), (2,))
    tensor([[-1.0000,  1.0000]])
    """
    return _layer_norm_of.find(input, weight, bias, normalized_shape, eps)


@door(3)
def _layer_norm_of(input: Tensor, weight: Tensor | None, bias: Tensor | None, shape: Sequence[int], eps: float) -> Any:
    shape = _normalized_shape("layer_norm", input, shape, weight, bias)
    dims = tuple(range(input.form.rank - len(shape), input.form.rank))
    return _layer_norm.known(input, weight, bias, dims, eps)


def _normalized_shape(name: str, x: Tensor, shape: Any, weight: Tensor | None, bias: Tensor | None) -> tuple[int, ...]:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    check_floating(name, x.form.dtype)
    if not shape:
        raise RuntimeError(message(name, "normalized_shape must have at least 1 dimension", "it is ()"))
    for word, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None and tuple(parameter.form.shape) != shape:
            wrong = f"Expected {word} to be of same shape as normalized_shape {list(shape)}, but it is {list(parameter.form.shape)}"
            raise RuntimeError(message(name, wrong))
    if tuple(x.form.shape[-len(shape) :]) != shape:
        wrong = f"Given normalized_shape={list(shape)}, expected input with shape [*, {', '.join(map(str, shape))}]"
        raise RuntimeError(message(name, wrong, f"but got input of size {list(x.form.shape)}"))
    return shape


# ---------------------------------------------------------------- rms_norm
@row_formula()
def _by_root_mean_square(x: Expression, w: Any, *, eps: float) -> tuple[Expression, ...]:
    r = one(x) / sqrt(sum_over(x * x) / row_length(x.dtype) + eps)
    return (x * r if w is None else x * r * w), r


@row_formula()
def _root_mean_square_gradient(g: Expression, x: Expression, r: Expression, w: Any) -> Expression:
    g = g if w is None else g * w
    return (g - x * (r * r * (sum_over(g * x) / row_length(x.dtype)))) * r


@row_formula()
def _scale_gradient(g: Expression, x: Expression, r: Expression) -> Expression:
    return sum_over(g * x * r)


@formula()
def _two(g: Expression, x: Expression, b: Expression, r: Expression) -> Expression:
    return (g - x * b) * r


def _by_its_root(x: Form, weight: Form | None, dims: tuple[int, ...], eps: float) -> Plan:
    return _by_root_mean_square.plan(dims, x, weight, eps=eps)


_rms_norm = remembered("MulBackward0", 2, kept=(0, 1), results=2)(_by_its_root)
_rms_norm_of_halves = remembered("ToCopyBackward0", 2, kept=(0, 1), results=2)(_by_its_root)
# PyTorch computes those in float32


@_rms_norm.backward
@_rms_norm_of_halves.backward
def _(node: Any, g: Tensor) -> tuple:
    x, w, r, dims, eps = node.kept()
    columns = tuple(range(x.form.rank - len(dims)))
    if mode.recording:
        r = _inverse_root(mean_of(mul(x, x), dims, True), eps)
        gw = g if w is None else mul(g, w)
        share = mul(mul(r, r), mean_of(mul(gw, x), dims, True))
        scaled = mul(mul(g, x), r)
        return _two(gw, x, share, r), with_ones(
            sum_(scaled, columns) if columns else scaled, x.form.shape[len(columns) :]
        )
    if w is not None and columns and node.wants(0) and node.wants(1):
        found = _one_pass(node, g, x, (r,), w, len(columns))
        if found is not None:
            return found
    gx = _root_mean_square_gradient(dims, g, x, r, w) if node.wants(0) else None
    gw = _scale_gradient(columns, g, x, r) if node.wants(1) else None
    return gx, None if gw is None else with_ones(gw, x.form.shape[len(columns) :])


@spelled(where=("torch", "functional"))
def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / sqrt(mean of x² + eps)·weight over the last dimensions; eps None is the dtype's smallest step at 1."""
    return _rms_norm_of.find(input, weight, normalized_shape, eps)


@door(2)
def _rms_norm_of(input: Tensor, weight: Tensor | None, shape: Sequence[int], eps: float | None) -> Any:
    shape = _normalized_shape("rms_norm", input, shape, weight, None)
    dims = tuple(range(input.form.rank - len(shape), input.form.rank))
    small = finfo(input.form.dtype.to_real()).eps if eps is None else eps
    if input.form.dtype.is_complex:
        y = mul(input, rsqrt(add(mean_of(mul(input, input), dims, True), small)))
        return y if weight is None else mul(y, weight)
    norm = _rms_norm_of_halves if input.form.dtype.itemsize == 2 else _rms_norm
    return norm.known(input, weight, dims, small)
