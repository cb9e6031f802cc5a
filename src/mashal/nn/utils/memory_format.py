"""Weights of convolutions in another memory format."""

from __future__ import annotations

from typing import Any

from mashal.nn.convolution import Conv2d, Conv3d
from mashal.nn.module import Module
from mashal.nn.transposed_convolution import ConvTranspose2d, ConvTranspose3d

__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]


def convert_conv2d_weight_memory_format(module: Module, memory_format: Any) -> Module:
    """Lays the weights of all 2-d convolutions of a module out in a memory format; returns the module."""
    return _convert(module, (Conv2d, ConvTranspose2d), memory_format)


def convert_conv3d_weight_memory_format(module: Module, memory_format: Any) -> Module:
    """Lays the weights of all 3-d convolutions of a module out in a memory format; returns the module."""
    return _convert(module, (Conv3d, ConvTranspose3d), memory_format)


def _convert(module: Module, kinds: tuple[type, ...], memory_format: Any) -> Module:
    for layer in module.modules():
        if isinstance(layer, kinds):
            layer.weight.data = layer.weight.detach().clone().contiguous(memory_format=memory_format)
    return module
