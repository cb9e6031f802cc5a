"""Normalization over channels: group_norm, batch_norm, instance_norm. The formulas are those of ops.normalization."""

from __future__ import annotations

from math import prod
from typing import Any

from mashal.core.dtypes import float64
from mashal.core.forms import Form, form
from mashal.core.tape import mode, no_grad
from mashal.core.tensor import Tensor, alias, bump, empty
from mashal.errors import message
from mashal.lang.expression import Expression, cast, maximum, operand, row_length, scalar, sqrt, sum_over
from mashal.lang.nest import Nest, Operand
from mashal.ops.arithmetic import mul
from mashal.ops.copying import compact, filled
from mashal.ops.define import recorded, spelled, write_out
from mashal.ops.losses import one_like
from mashal.ops.normalization import gradients, normalized
from mashal.ops.reducing import formula, in_dtype
from mashal.ops.reductions import mean as mean_of
from mashal.ops.remembered import door, remembered
from mashal.ops.rows import one, row_formula
from mashal.ops.run import Plan, check_floating, plan_pointwise
from mashal.ops.views import reshape


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


@row_formula()
def _channel_gradients(g: Expression, x: Expression, m: Expression, r: Expression, w: Any) -> tuple[Expression, ...]:
    """Of x, weight and bias, where rows are channels: the sums over a row are the gradients of its weight and bias."""
    y = (x - m) * r
    of_weight, of_bias, n = sum_over(g * y), sum_over(g), row_length(x.dtype)
    scale = r if w is None else r * w
    return (g - of_bias / n - y * (of_weight / n)) * scale, of_weight, of_bias


@_by_channel.backward
def _(node: Any, g: Tensor, *_: Any) -> tuple:
    x, m, r, w, rows, columns, eps = node.kept()
    if rows == columns and not mode.recording and node.wants(0):
        return _channel_gradients(rows, g, x, m, r, w)
    return gradients(node, g, x, m, r, w, rows, columns, eps)


@remembered("NativeGroupNormBackward0", 3, kept=(0, 1), results=3)
def _by_group(x: Form, weight: Form | None, bias: Form | None, groups: int, eps: float) -> Plan:
    batch, channels, *window = x.shape
    seen = (batch, groups, channels // groups, prod(window))
    each = [
        f and f.viewed((1, groups, channels // groups, 1), (0, *_pair(f, channels // groups), 0))
        for f in (weight, bias)
    ]
    whole = form(x.dtype, x.device, seen)
    plan = normalized.plan((2, 3), whole, *each, eps=eps, shown=tuple(x.shape))
    return plan if x.contiguous else lambda x, *others: plan(compact(x), *others)


def _pair(f: Form, n: int) -> tuple[int, int]:
    """The strides of a vector's elements in groups of n."""
    return f.strides[0] * n, f.strides[0]


@_by_group.backward
def _(node: Any, g: Tensor) -> tuple:
    x, w, m, r, groups, eps = node.kept()
    batch, channels, *window = x.form.shape
    shape = batch, groups, channels // groups, prod(window)
    seen, parts = reshape(x, shape), (1, groups, channels // groups, 1)
    found = gradients(node, reshape(g, shape), seen, m, r, _shaped(w, parts), (2, 3), (0, 3), eps)
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
    return _group_norm_of.find(input, weight, bias, num_groups, eps)


@door(3)
def _group_norm_of(input: Tensor, weight: Tensor | None, bias: Tensor | None, num_groups: int, eps: float) -> Any:
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
    return _by_group.known(input, weight, bias, num_groups, eps)


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
    if (
        isinstance(momentum, Tensor) and training and input.form.numel
    ):  # a recorded call's: another number in each replay
        batch = [None if x is None else filled(empty(x.form), 0) for x in (running_mean, running_var)]
        result = _batch_norm_of.find(input, weight, bias, *batch, 1.0, True, eps)
        _follow(running_mean, batch[0], momentum)
        _follow(running_var, batch[1], momentum)
        return result
    return _batch_norm_of.find(input, weight, bias, running_mean, running_var, momentum, training, eps)


@door(6)
def _batch_norm_of(input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None,
                   running_var: Tensor | None, momentum: float, training: bool, eps: float) -> Any:  # fmt: skip
    check_floating("batch_norm", input.form.dtype)
    shape = tuple(input.form.shape)
    if shape == (0,):
        return mul(input, 1)
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
    return _by_batch.known(input, weight, bias, running_mean, running_var, float(momentum), eps)


@remembered("NativeBatchNormBackward0", 6, gradients=3, kept=(0, 1), results=3)
def _by_batch(x: Form, weight: Form | None, bias: Form | None, mean: Form | None, variance: Form | None, momentum: type,
              eps: float) -> Plan:  # fmt: skip
    """The plan of x over each channel's mean and deviation, which moves the running ones: gives result, means, 1 / deviations."""
    channels, rows = x.shape[1], (0, *range(2, x.rank))
    wide = (1, channels, *(1,) * (x.rank - 2))
    parameters = [f and f.viewed(wide, (0, f.strides[0], *(0,) * (x.rank - 2))) for f in (weight, bias)]
    normalize = _normalized_and_variance.plan(rows, x, *parameters, eps=eps)
    count = 1 + sum(f is not None for f in parameters)
    n = x.numel // max(channels, 1)
    seen = form(x.dtype, x.device, (channels,))
    move = _moving_plan(mean, variance, seen) if n and (mean or variance) else None

    def plan(*operands: Any) -> tuple[Tensor, Tensor, Tensor]:
        y, m, r, v = normalize(*operands[:count])
        if move is not None:
            *running, momentum = operands[count:]
            move(*running, *running, m, v, momentum, float(n))
            for each in running:
                bump(each)
        return y, m, r

    return plan


def _moving_plan(mean: Form | None, variance: Form | None, new: Form) -> Plan:
    """plan(*running, *running, the batch's mean, its variance, momentum, elements a channel) for the running statistics there are."""
    running = [f for f in (mean, variance) if f is not None]
    places = len(running)
    momentum, n = scalar(places + 2, float64), scalar(places + 3, float64)
    results = []
    for which, (f, factor) in enumerate(((mean, None), (variance, n / maximum(n - 1, 1.0)))):
        if f is not None:
            old = operand(len(results), f.dtype)
            batch, share = cast(operand(places + which, new.dtype), old.dtype), cast(momentum, old.dtype)
            batch = batch if factor is None else batch * cast(factor, old.dtype)
            results.append((old * (1 - share) + batch * share, f.dtype))
    kinds = [
        *(Operand(f.dtype) for f in running),
        Operand(new.dtype),
        Operand(new.dtype),
        Operand(float64, number=True),
        Operand(float64, number=True),
    ]
    nest = Nest(tuple(results), tuple(kinds))
    return plan_pointwise(nest, [*running, new, new, None, None], new.shape, running, in_place=True)


@_by_batch.backward
def _(node: Any, g: Tensor) -> tuple:
    x, w, m, r, eps = node.kept()
    rows, channels = (0, *range(2, x.form.rank)), x.form.shape[1:2]
    w = _shaped(w, tuple(m.form.shape))
    if not mode.recording and node.wants(0):
        found = _channel_gradients(rows, g, x, m, r, w)
    else:
        found = gradients(node, g, x, m, r, w, rows, rows, eps)
    gx, gw, gb = found
    return gx, *(None if part is None else reshape(part, channels) for part in (gw, gb))


def _follow(running: Tensor | None, new: Tensor | None, momentum: Any) -> None:
    """Moves a running statistic towards the batch's."""
    if running is not None and new is not None:
        momentum = in_dtype(momentum, running.form.dtype) if isinstance(momentum, Tensor) else momentum
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
