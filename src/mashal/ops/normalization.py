"""Normalization: layer_norm, rms_norm, group_norm, batch_norm.

Each is a formula over rows: the forward one keeps mean and 1 / deviation of each row, and the backward one makes the
input's gradient of them in one kernel; those of weight and bias are sums over columns, in another.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from mashal.core.dtypes import finfo
from mashal.core.tape import mode, no_grad
from mashal.core.tensor import Tensor, alias
from mashal.errors import message
from mashal.lang.expression import Expression, row_length, sqrt, sum_over
from mashal.ops.arithmetic import mul, sub
from mashal.ops.define import recorded, spelled, write_out
from mashal.ops.losses import one_like
from mashal.ops.reducing import formula, in_dtype, with_ones
from mashal.ops.reductions import mean as mean_of
from mashal.ops.reductions import sum_
from mashal.ops.rows import one, row_formula
from mashal.ops.run import check_floating
from mashal.ops.views import reshape


# ---------------------------------------------------------------- kernels
@row_formula()
def _normalized(x: Expression, w: Any, b: Any, *, eps: float) -> tuple[Expression, ...]:
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


def _composed_gradients(
    node: Any, g: Tensor, x: Tensor, w: Tensor | None, rows: tuple, columns: tuple, eps: float
) -> tuple:
    """The gradients written with operations, for gradients of gradients."""
    m, r = _statistics(x, rows, eps)
    y = _standard(x, m, r)
    gw = mul(g, w) if w is not None else g
    gx = _three(gw, mean_of(gw, rows, True), y, mean_of(mul(gw, y), rows, True), r)
    return gx, sum_(mul(g, y), columns, True) if columns else mul(g, y), sum_(g, columns, True) if columns else g


def _gradients(
    node: Any, g: Tensor, x: Tensor, m: Tensor, r: Tensor, w: Tensor | None, rows: tuple, columns: tuple, eps: float
) -> tuple:
    """Gradients of x, weight and bias, the latter two with size 1 in columns."""
    if mode.recording:
        return _composed_gradients(node, g, x, w, rows, columns, eps)
    gx = _input_gradient(rows, g, x, m, r, w) if node.wants(0) else None
    gw = gb = None
    if node.wants(1) or node.wants(2):
        gw, gb = _weight_gradients(columns, g, x, m, r)
    return gx, gw, gb


# ---------------------------------------------------------------- layer_norm
@recorded("NativeLayerNormBackward0", tensors=3)
def _layer_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, dims: tuple[int, ...], eps: float
) -> tuple[Tensor, tuple]:
    y, m, r = _normalized(dims, x, weight, bias, eps=eps)
    return y, (x, m, r, weight, dims, eps)


@_layer_norm.backward
def _(node: Any, g: Tensor) -> tuple:
    x, m, r, w, dims, eps = node.kept()
    columns = tuple(range(x.form.rank - len(dims)))
    gx, gw, gb = _gradients(node, g, x, m, r, w, dims, columns, eps)
    shape = x.form.shape[len(columns) :]
    return gx, None if gw is None else with_ones(gw, shape), None if gb is None else with_ones(gb, shape)


@spelled(where=("torch", "functional"))
def layer_norm(input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None,
               eps: float = 1e-05, cudnn_enable: bool = True) -> Tensor:  # fmt: skip
    """(x - mean) / sqrt(variance + eps)·weight + bias over the last dimensions, whose sizes are normalized_shape.

    >>> F.layer_norm(torch.tensor([[1.0, 3.0]]), (2,))
    tensor([[-1.0000,  1.0000]])
    """
    shape = _normalized_shape("layer_norm", input, normalized_shape, weight, bias)
    dims = tuple(range(input.form.rank - len(shape), input.form.rank))
    return _layer_norm(input, weight, bias, dims, eps)


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


@recorded("FusedRmsNormBackward0", tensors=2)
def _rms_norm(x: Tensor, weight: Tensor | None, dims: tuple[int, ...], eps: float) -> tuple[Tensor, tuple]:
    y, r = _by_root_mean_square(dims, x, weight, eps=eps)
    return y, (x, r, weight, dims, eps)


@_rms_norm.backward
def _(node: Any, g: Tensor) -> tuple:
    x, r, w, dims, eps = node.kept()
    columns = tuple(range(x.form.rank - len(dims)))
    if mode.recording:
        r = _inverse_root(mean_of(mul(x, x), dims, True), eps)
        gw = g if w is None else mul(g, w)
        share = mul(mul(r, r), mean_of(mul(gw, x), dims, True))
        scaled = mul(mul(g, x), r)
        return _two(gw, x, share, r), with_ones(
            sum_(scaled, columns) if columns else scaled, x.form.shape[len(columns) :]
        )
    gx = _root_mean_square_gradient(dims, g, x, r, w) if node.wants(0) else None
    gw = _scale_gradient(columns, g, x, r) if node.wants(1) else None
    return gx, None if gw is None else with_ones(gw, x.form.shape[len(columns) :])


@spelled(where=("torch", "functional"))
def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / sqrt(mean of x² + eps)·weight over the last dimensions; eps None is the dtype's smallest step at 1."""
    shape = _normalized_shape("rms_norm", input, normalized_shape, weight, None)
    dims = tuple(range(input.form.rank - len(shape), input.form.rank))
    return _rms_norm(input, weight, dims, finfo(input.form.dtype).eps if eps is None else eps)


# ---------------------------------------------------------------- groups, batches
@row_formula()
def _normalized_and_variance(x: Expression, w: Any, b: Any, *, eps: float) -> tuple[Expression, ...]:
    m = sum_over(x) / row_length(x.dtype)
    away = x - m
    v = sum_over(away * away) / row_length(x.dtype)
    r = one(x) / sqrt(v + eps)
    y = away * r
    y = y if w is None else y * w
    return y if b is None else y + b, m, r, v


@recorded("NativeBatchNormBackward0", tensors=3)
def _by_channel(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, rows: tuple[int, ...], columns: tuple[int, ...], eps: float
) -> tuple:
    y, m, r, v = _normalized_and_variance(rows, x, weight, bias, eps=eps)
    return (y, m, v), (x, m, r, weight, rows, columns, eps)


@_by_channel.backward
def _(node: Any, g: Tensor, *_: Any) -> tuple:
    x, m, r, w, rows, columns, eps = node.kept()
    return _gradients(node, g, x, m, r, w, rows, columns, eps)


@recorded("NativeGroupNormBackward0", tensors=3)
def _by_group(x: Tensor, weight: Tensor | None, bias: Tensor | None, groups: int, eps: float) -> tuple[Tensor, tuple]:
    batch, channels, *window = x.form.shape
    seen = reshape(x, (batch, groups, channels // groups, prod(window)))
    parts = 1, groups, channels // groups, 1
    y, m, r = _normalized((2, 3), seen, _shaped(weight, parts), _shaped(bias, parts), eps=eps)
    return reshape(y, x.form.shape), (x, m, r, weight, groups, eps)


@_by_group.backward
def _(node: Any, g: Tensor) -> tuple:
    x, m, r, w, groups, eps = node.kept()
    batch, channels, *window = x.form.shape
    shape = batch, groups, channels // groups, prod(window)
    seen, parts = reshape(x, shape), (1, groups, channels // groups, 1)
    found = _gradients(node, reshape(g, shape), seen, m, r, _shaped(w, parts), (2, 3), (0, 3), eps)
    gx, gw, gb = (
        None if part is None else reshape(part, s) for part, s in zip(found, (x.form.shape, (channels,), (channels,)))
    )
    return gx, gw, gb


def _shaped(x: Tensor | None, shape: tuple[int, ...]) -> Tensor | None:
    return None if x is None else reshape(x, shape)


@spelled(where=("torch", "functional"))
def group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-05,
               cudnn_enabled: bool = True) -> Tensor:  # fmt: skip
    """layer_norm of each group of channels of (batch, channels, *); weight and bias have one value a channel."""
    check_floating("group_norm", input.form.dtype)
    shape = tuple(input.form.shape)
    if len(shape) < 2:
        raise RuntimeError(
            message("group_norm", "Expected at least 2 dimensions for input tensor", f"received {len(shape)}")
        )
    channels = shape[1]
    if num_groups <= 0 or channels % num_groups:
        wrong = (
            f"Expected number of channels in input to be divisible by num_groups, but got input of shape {list(shape)}"
        )
        raise RuntimeError(message("group_norm", f"{wrong} and num_groups={num_groups}"))
    _check_channels("group_norm", channels, weight=weight, bias=bias)
    return _by_group(input, weight, bias, num_groups, eps)


def _check_channels(name: str, channels: int, **parameters: Tensor | None) -> None:
    for word, parameter in parameters.items():
        if parameter is not None and parameter.form.numel != channels:
            wrong = f"{word} should contain {channels} elements not {parameter.form.numel}"
            raise RuntimeError(message(name, wrong))


@formula()
def _with_statistics(
    x: Expression, m: Expression, v: Expression, w: Expression, b: Expression, eps: Expression
) -> Expression:
    return (x - m) * (1 / sqrt(v + eps)) * w + b


_with_statistics.operation.node.__name__ = "NativeBatchNormBackward0"  # type: ignore[attr-defined]


@formula()
def _moved(running: Expression, new: Expression, momentum: Expression) -> Expression:
    return running * (1 - momentum) + new * momentum


@spelled(where=("torch",))
def batch_norm(input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
               bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-05,
               cudnn_enabled: bool = True) -> Tensor:  # fmt: skip
    """(x - mean) / sqrt(variance + eps)·weight + bias for each channel (dim 1).

    training: mean and variance are the batch's, and the running ones move towards them by momentum; otherwise they
    are the running ones.
    """
    check_floating("batch_norm", input.form.dtype)
    shape = tuple(input.form.shape)
    if len(shape) < 2:
        raise RuntimeError(
            message("batch_norm", "input needs at least 2 dimensions (batch, channels, *)", f"it is {shape}")
        )
    channels = shape[1]
    _check_channels(
        "batch_norm", channels, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    wide = (1, channels) + (1,) * (len(shape) - 2)
    if not training:
        if running_mean is None or running_var is None:
            missing = "running_mean" if running_mean is None else "running_var"
            raise RuntimeError(message("batch_norm", f"Expected {missing} to be defined in evaluation mode"))
        w = one_like(input) if weight is None else reshape(weight, wide)
        b = mul(one_like(input), 0) if bias is None else reshape(bias, wide)
        y = _with_statistics(input, reshape(running_mean, wide), reshape(running_var, wide), w, b, eps)
        return in_dtype(y, input.form.dtype)
    rows = (0, *range(2, len(shape)))
    y, m, v = _by_channel(input, _shaped(weight, wide), _shaped(bias, wide), rows, rows, eps)
    n = input.form.numel // max(channels, 1)
    with no_grad():
        _follow(running_mean, m, momentum)
        _follow(running_var, mul(v, n / (n - 1)) if n > 1 else v, momentum)
    return y


def _follow(running: Tensor | None, new: Tensor, momentum: float) -> None:
    """Moves a running statistic towards the batch's."""
    if running is not None:
        write_out("batch_norm", running, _moved(running, reshape(alias(new), running.form.shape), momentum))


@spelled(where=("torch",))
def instance_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None, running_var: Tensor | None,
                  use_input_stats: bool, momentum: float, eps: float, cudnn_enabled: bool = True) -> Tensor:  # fmt: skip
    """batch_norm for each example of (batch, channels, *) by itself."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    check_floating("instance_norm", input.form.dtype)
    batch, channels, *window = input.form.shape
    wide = (1, channels, 1)
    x = reshape(input, (batch, channels, prod(window)))
    y, m, v = _by_channel(x, _shaped(weight, wide), _shaped(bias, wide), (2,), (0, 2), eps)
    n = prod(window)
    with no_grad():
        _follow(running_mean, mean_of(alias(m), 0), momentum)
        _follow(running_var, mul(mean_of(alias(v), 0), n / max(n - 1, 1)), momentum)
    return reshape(y, input.form.shape)
