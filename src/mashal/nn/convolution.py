"""Layers that slide a window over their input: convolutions of one to three dimensions, and their transposes."""

from __future__ import annotations

import math
from typing import Any

from mashal.core.tensor import Tensor
from mashal.nn import functional as F
from mashal.nn import init
from mashal.nn.module import Module
from mashal.nn.parameter import Parameter
from mashal.ops import empty

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _for_each(value: Any, rank: int) -> tuple[int, ...]:
    """One number for every dimension of space."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank


class _ConvNd(Module):
    """What all convolutions share: their sizes, weight and bias, drawn evenly from ±1 / sqrt(fan_in)."""

    __constants__ = [
        "stride",
        "padding",
        "dilation",
        "groups",
        "padding_mode",
        "output_padding",
        "in_channels",
        "out_channels",
        "kernel_size",
    ]
    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: str | tuple[int, ...],
        dilation: tuple[int, ...],
        transposed: bool,
        output_padding: tuple[int, ...],
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        _check(in_channels, out_channels, stride, padding, groups, padding_mode)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.transposed = transposed
        self.output_padding = output_padding
        self.groups = groups
        self.padding_mode = padding_mode
        self._reversed_padding_repeated_twice = self._around()
        sizes = (in_channels, out_channels // groups) if transposed else (out_channels, in_channels // groups)
        self.weight = Parameter(empty((*sizes, *kernel_size), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _around(self) -> list[int]:
        """The padding as nn.functional.pad takes it: last dimension first, before and after."""
        if self.padding == "same":
            total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size)]
            pairs = [(t // 2, t - t // 2) for t in total]
        elif self.padding == "valid":
            pairs = [(0, 0)] * len(self.kernel_size)
        else:
            pairs = [(int(p), int(p)) for p in self.padding]
        return [n for pair in reversed(pairs) for n in pair]

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def _convolved(self, function: Any, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)  # type: ignore[attr-defined]
            padding = 0
        return function(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        rank = len(self.kernel_size)
        shown = [
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}",
            f"padding={self.padding}" if self.padding != (0,) * rank else "",
            f"dilation={self.dilation}" if self.dilation != (1,) * rank else "",
            f"output_padding={self.output_padding}" if self.output_padding != (0,) * rank else "",
            f"groups={self.groups}" if self.groups != 1 else "",
            "bias=False" if self.bias is None else "",
            f"padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else "",
        ]
        return ", ".join([part for part in shown if part])

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("padding_mode", "zeros")


def _check(inputs: int, outputs: int, stride: tuple, padding: Any, groups: int, padding_mode: str) -> None:
    if groups <= 0:
        raise ValueError(f"groups must be a positive integer, not {groups}")
    for name, channels in ("in_channels", inputs), ("out_channels", outputs):
        if channels % groups:
            raise ValueError(f"{name} must be divisible by groups: {channels} by {groups}")
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"Invalid padding string {padding!r}, should be one of 'same', 'valid'")
        if padding == "same" and any(s != 1 for s in stride):
            raise ValueError(f"padding='same' is not supported for strided convolutions: stride {stride}")
    if padding_mode not in PADDING_MODES:
        raise ValueError(f"padding_mode must be one of {PADDING_MODES}, but got padding_mode={padding_mode!r}")


class Conv1d(_ConvNd):
    """Windows of a sequence times weights: (n, in_channels, length), or without n, to out_channels.

    padding_mode: what stands around the input: zeros, or its own values (reflect, replicate, circular).

    >>> nn.Conv1d(2, 4, 3)(torch.ones(1, 2, 8)).shape
    torch.Size([1, 4, 6])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            _for_each(kernel_size, 1),
            _for_each(stride, 1),
            padding if isinstance(padding, str) else _for_each(padding, 1),
            _for_each(dilation, 1),
            False,
            _for_each(0, 1),
            groups,
            bias,
            padding_mode,
            device=device,
            dtype=dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        return self._convolved(F.conv1d, input, self.weight, self.bias)  # type: ignore[attr-defined]


class Conv2d(_ConvNd):
    """Windows of an image times weights: (n, in_channels, height, width), or without n, to out_channels.

    padding_mode: what stands around the input: zeros, or its own values (reflect, replicate, circular).

    >>> nn.Conv2d(2, 4, 3)(torch.ones(1, 2, 8, 8)).shape
    torch.Size([1, 4, 6, 6])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            _for_each(kernel_size, 2),
            _for_each(stride, 2),
            padding if isinstance(padding, str) else _for_each(padding, 2),
            _for_each(dilation, 2),
            False,
            _for_each(0, 2),
            groups,
            bias,
            padding_mode,
            device=device,
            dtype=dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        return self._convolved(F.conv2d, input, self.weight, self.bias)  # type: ignore[attr-defined]


class Conv3d(_ConvNd):
    """Windows of a volume times weights: (n, in_channels, depth, height, width), or without n, to out_channels.

    padding_mode: what stands around the input: zeros, or its own values (reflect, replicate, circular).

    >>> nn.Conv3d(2, 4, 3)(torch.ones(1, 2, 8, 8, 8)).shape
    torch.Size([1, 4, 6, 6, 6])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            _for_each(kernel_size, 3),
            _for_each(stride, 3),
            padding if isinstance(padding, str) else _for_each(padding, 3),
            _for_each(dilation, 3),
            False,
            _for_each(0, 3),
            groups,
            bias,
            padding_mode,
            device=device,
            dtype=dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        return self._convolved(F.conv3d, input, self.weight, self.bias)  # type: ignore[attr-defined]
