"""Normalizations that also give the mean and the inverse standard deviation they used."""

from __future__ import annotations

from collections.abc import Sequence

from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.channels import batch_norm
from mashal.ops.define import spelled, write_outs
from mashal.ops.normalization import layer_norm

# The methods of tensors are attached above this floor: what is written with them here is checked by tests, not types.
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportCallIssue=false


def _statistics(x: Tensor, dims: Sequence[int], eps: float, keepdim: bool) -> tuple[Tensor, Tensor]:
    """The mean of rows along dims, and one over their standard deviation."""
    mean = x.mean(dims, keepdim=True)
    variance = ((x - mean) ** 2).mean(dims, keepdim=True)
    inverse = (variance + eps).rsqrt()
    return (mean, inverse) if keepdim else (mean.squeeze(tuple(dims)), inverse.squeeze(tuple(dims)))


@spelled(("torch",))
def native_layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(layer_norm, mean, 1 / standard deviation); the statistics have size 1 where they were taken over.

    >>> [tuple(x.shape) for x in torch.native_layer_norm(torch.ones(2, 3), (3,), None, None, 1e-5)]
    [(2, 3), (2, 1), (2, 1)]
    """
    y = layer_norm(input, normalized_shape, weight, bias, eps)
    n = len(tuple(normalized_shape))
    with no_grad():
        return y, *_statistics(input, tuple(range(input.form.rank - n, input.form.rank)), eps, True)


@spelled(("torch",))
def native_group_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, N: int, C: int, HxW: int, group: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(group_norm, mean, 1 / standard deviation) of input as (N, C, HxW); the statistics are (N, group).

    >>> [tuple(x.shape) for x in torch.native_group_norm(torch.ones(2, 4, 3), None, None, 2, 4, 3, 2, 1e-5)]
    [(2, 4, 3), (2, 2), (2, 2)]
    """
    if group < 1 or C % group:
        raise RuntimeError(message("native_group_norm", f"{C} channels do not fall into {group} groups"))
    if input.form.numel != N * C * HxW:
        raise RuntimeError(
            message("native_group_norm", f"input {tuple(input.shape)} is not {N} x {C} x {HxW} elements")
        )
    rows = input.reshape(N, group, C // group * HxW)
    mean, inverse = _statistics(rows, (2,), eps, True)
    y = ((rows - mean) * inverse).reshape(N, C, HxW)
    y = y if weight is None else y * weight.reshape(1, C, 1)
    y = y if bias is None else y + bias.reshape(1, C, 1)
    return y.reshape(input.shape), mean.squeeze(2), inverse.squeeze(2)


@spelled(("torch",))
def native_batch_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None, running_var: Tensor | None,
    training: bool, momentum: float, eps: float, *, out: tuple[Tensor, Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """(batch_norm, mean, 1 / standard deviation) by channel; without training the statistics are empty.

    >>> [tuple(x.shape) for x in torch.native_batch_norm(torch.ones(2, 3), None, None, None, None, True, 0.1, 1e-5)]
    [(2, 3), (3,), (3,)]
    """
    y = batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    with no_grad():
        if training:
            dims = (0, *range(2, input.form.rank))
            statistics = _statistics(input, dims, eps, False)
        else:
            statistics = input.new_empty(0), input.new_empty(0)
    made = (y, *statistics)
    return made if out is None else write_outs("native_batch_norm", out, made)  # type: ignore[return-value]
