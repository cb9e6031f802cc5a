"""Layers joined into one: a batch norm whose statistics no longer change becomes part of the layer before it."""

from __future__ import annotations

import copy
from typing import Any

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.nearest import nearest
from mashal.nn.module import Module
from mashal.nn.parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of a convolution that does what it and the batch norm behind it do in evaluation. AssertionError: one is training.

    >>> conv, bn = nn.Conv2d(1, 2, 3).eval(), nn.BatchNorm2d(2).eval()
    >>> x = torch.ones(1, 1, 4, 4)
    >>> torch.allclose(nn.utils.fuse_conv_bn_eval(conv, bn)(x), bn(conv(x)), atol=1e-6)
    True
    """
    fused = _copied("fuse_conv_bn_eval", conv, bn)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_conv_bn_weights(conv_w: Tensor, conv_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor | None,
                         bn_b: Tensor | None, transpose: bool = False) -> tuple[Parameter, Parameter]:  # fmt: skip
    """Weight and bias of a convolution that does a batch norm's work as well."""
    shape = [1] * conv_w.dim()
    shape[1 if transpose else 0] = -1
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, shape)


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A copy of a linear layer that does what it and the batch norm behind it do in evaluation. AssertionError: one is training, or
    the batch norm normalizes neither the layer's features nor one channel."""
    fused = _copied("fuse_linear_bn_eval", linear, bn)
    if bn.num_features not in (linear.out_features, 1):
        raise AssertionError(
            f"fuse_linear_bn_eval: to fuse, linear.out_features {linear.out_features} == bn.num_features {bn.num_features} or "
            "bn.num_features == 1"
        )
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse_linear_bn_weights(linear_w: Tensor, linear_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float,
                           bn_w: Tensor | None, bn_b: Tensor | None) -> tuple[Parameter, Parameter]:  # fmt: skip
    """Weight and bias of a linear layer that does a batch norm's work as well."""
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, [-1, 1])


def _copied(name: str, layer: Module, bn: Module) -> Any:
    if layer.training or bn.training:
        raise AssertionError(f"{name}: fusion is only for eval!")
    return copy.deepcopy(layer)


def _fused(w: Any, b: Any, mean: Any, var: Any, eps: float, scale: Any, shift: Any, shape: list[int]) -> Any:
    b = ops.zeros_like(mean) if b is None else b
    scale = ops.ones_like(mean) if scale is None else scale
    shift = ops.zeros_like(mean) if shift is None else shift
    factor = scale * ops.rsqrt(var + eps)
    weight = (w * factor.reshape(shape)).to(dtype=w.dtype)
    bias = ((b - mean) * factor + shift).to(dtype=b.dtype)
    return Parameter(weight.detach(), w.requires_grad), Parameter(bias.detach(), b.requires_grad)


__getattr__ = nearest(__name__)
