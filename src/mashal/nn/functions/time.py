"""Convolution over time, steps first."""

from __future__ import annotations

from mashal.core.tensor import Tensor
from mashal.ops.convolution import conv1d

__all__ = ["conv_tbc"]


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """conv1d of (time, batch, channels) by (width, channels, outputs): (time, batch, outputs).

    >>> F.conv_tbc(torch.ones(4, 1, 2), torch.ones(3, 2, 5), torch.zeros(5)).shape
    torch.Size([2, 1, 5])
    """
    for name, x, rank in (("input", input, 3), ("weight", weight, 3), ("bias", bias, 1)):
        if x.dim() != rank:
            raise RuntimeError(f"conv_tbc: {name} must have {rank} dimensions, not {x.dim()}")
    if input.size(2) != weight.size(1) or weight.size(2) != bias.size(0):
        raise RuntimeError(
            f"conv_tbc: input {tuple(input.shape)}, weight {tuple(weight.shape)} and bias {tuple(bias.shape)} do not go together: "
            "weight must be (width, input's channels, bias's size)"
        )
    made = conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad)  # type: ignore[attr-defined]
    return made.permute(2, 0, 1)  # type: ignore[attr-defined]
