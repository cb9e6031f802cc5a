"""Layers that undo a convolution's shapes: ConvTranspose of one to three dimensions."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.nn import functional as F
from mashal.nn.convolution import _ConvNd, _for_each


class _ConvTransposeNd(_ConvNd):
    """What transposed convolutions share: which output size is meant, of the several that a stride allows."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        dilation: tuple[int, ...],
        transposed: bool,
        output_padding: tuple[int, ...],
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}, not {padding_mode!r}')
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            transposed,
            output_padding,
            groups,
            bias,
            padding_mode,
            device=device,
            dtype=dtype,
        )

    def _more(self, input: Tensor, output_size: Any) -> tuple[int, ...]:
        """The output padding that leads to output_size."""
        if output_size is None:
            return self.output_padding
        rank = len(self.kernel_size)
        wanted = list(output_size)[-rank:] if len(output_size) in (rank + 1, rank + 2) else list(output_size)
        if len(wanted) != rank:
            raise ValueError(f"output_size {tuple(output_size)} must have {rank} sizes, or those of the whole output")
        least = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(input.shape[-rank:], self.stride, self.padding, self.dilation, self.kernel_size)
        ]
        if any(not low <= n < low + s for n, low, s in zip(wanted, least, self.stride)):
            most = [low + s - 1 for low, s in zip(least, self.stride)]
            raise ValueError(f"requested an output size of {wanted}, but valid sizes range from {least} to {most}")
        return tuple([n - low for n, low in zip(wanted, least)])

    def _transposed(self, function: Any, input: Tensor, output_size: Any) -> Tensor:
        more = self._more(input, output_size)
        return function(input, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation)


class ConvTranspose1d(_ConvTransposeNd):
    """Conv1d backwards, in its shapes: (n, in_channels, length), or without n, to out_channels.

    >>> nn.ConvTranspose1d(2, 4, 3)(torch.ones(1, 2, 4)).shape
    torch.Size([1, 4, 6])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            _for_each(kernel_size, 1),
            _for_each(stride, 1),
            _for_each(padding, 1),
            _for_each(dilation, 1),
            True,
            _for_each(output_padding, 1),
            groups,
            bias,
            padding_mode,
            device=device,
            dtype=dtype,
        )

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return self._transposed(F.conv_transpose1d, input, output_size)  # type: ignore[attr-defined]


class ConvTranspose2d(_ConvTransposeNd):
    """Conv2d backwards, in its shapes: (n, in_channels, height, width), or without n, to out_channels.

    >>> nn.ConvTranspose2d(2, 4, 3)(torch.ones(1, 2, 4, 4)).shape
    torch.Size([1, 4, 6, 6])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            _for_each(kernel_size, 2),
            _for_each(stride, 2),
            _for_each(padding, 2),
            _for_each(dilation, 2),
            True,
            _for_each(output_padding, 2),
            groups,
            bias,
            padding_mode,
            device=device,
            dtype=dtype,
        )

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return self._transposed(F.conv_transpose2d, input, output_size)  # type: ignore[attr-defined]


class ConvTranspose3d(_ConvTransposeNd):
    """Conv3d backwards, in its shapes: (n, in_channels, depth, height, width), or without n, to out_channels.

    >>> nn.ConvTranspose3d(2, 4, 3)(torch.ones(1, 2, 4, 4, 4)).shape
    torch.Size([1, 4, 6, 6, 6])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            _for_each(kernel_size, 3),
            _for_each(stride, 3),
            _for_each(padding, 3),
            _for_each(dilation, 3),
            True,
            _for_each(output_padding, 3),
            groups,
            bias,
            padding_mode,
            device=device,
            dtype=dtype,
        )

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return self._transposed(F.conv_transpose3d, input, output_size)  # type: ignore[attr-defined]
