"""Masked operations with as many results as elements: softmax, normalize, cumsum, logaddexp. See reductions for the arguments."""

from __future__ import annotations

from typing import Any

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.masked.filling import checked, filled, highest, lowest, result_dtype
from mashal.masked.reductions import norm

__all__ = ["cumprod", "cumsum", "log_softmax", "logaddexp", "normalize", "softmax", "softmin"]

# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportCallIssue=false


def softmax(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """softmax over what the mask lets through; 0 behind the mask, nan where nothing is let through.

    >>> torch.masked.softmax(torch.zeros(3), 0, mask=torch.tensor([True, True, False]))
    tensor([0.5000, 0.5000, 0.0000])
    """
    input, mask = checked("softmax", input, mask)
    d = result_dtype(dtype, input)
    return ops.softmax(filled(input, mask, lowest("softmax", input.dtype)), dim, dtype=d)


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """The logarithm of `softmax`; -inf behind the mask.

    >>> torch.masked.log_softmax(torch.zeros(2), 0, mask=torch.tensor([True, False]))
    tensor([0., -inf])
    """
    input, mask = checked("log_softmax", input, mask)
    d = result_dtype(dtype, input)
    return ops.log_softmax(filled(input, mask, lowest("log_softmax", input.dtype)), dim, dtype=d)


def softmin(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """softmax of -x over what the mask lets through.

    >>> torch.masked.softmin(torch.zeros(3), 0, mask=torch.tensor([True, True, False]))
    tensor([0.5000, 0.5000, 0.0000])
    """
    input, mask = checked("softmin", input, mask)
    d = result_dtype(dtype, input)
    return ops.softmax(-filled(input, mask, highest("softmin", input.dtype)), dim, dtype=d)


def normalize(
    input: Tensor, ord: float, dim: int, *, eps: float = 1e-12, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """x divided by the norm along dim of what the mask lets through (at least eps); 0 behind the mask.

    >>> torch.masked.normalize(torch.tensor([3.0, 7.0, 4.0]), 2, 0, mask=torch.tensor([True, False, True]))
    tensor([0.6000, 0.0000, 0.8000])
    """
    input, mask = checked("normalize", input, mask)
    length = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    least = ops.full((), eps, dtype=length.dtype, device=length.device)
    return filled(input, mask, 0) / ops.maximum(length, least)


def cumsum(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """Running sums of what the mask lets through.

    >>> torch.masked.cumsum(torch.tensor([1.0, 2.0, 4.0]), 0, mask=torch.tensor([True, False, True]))
    tensor([1., 1., 5.])
    """
    input, mask = checked("cumsum", input, mask)
    d = result_dtype(dtype, input)
    return ops.cumsum(filled(input.to(d), mask, 0), dim, dtype=d)


def cumprod(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """Running products of what the mask lets through.

    >>> torch.masked.cumprod(torch.tensor([3.0, 2.0, 4.0]), 0, mask=torch.tensor([True, False, True]))
    tensor([ 3.,  3., 12.])
    """
    input, mask = checked("cumprod", input, mask)
    d = result_dtype(dtype, input)
    return ops.cumprod(filled(input.to(d), mask, 1), dim, dtype=d)


def logaddexp(input: Tensor, other: Tensor, *, dtype: Any = None, input_mask: Tensor | None = None,
              other_mask: Tensor | None = None) -> Tensor:  # fmt: skip
    """log(exp(x) + exp(y)) of what the masks let through.

    >>> torch.masked.logaddexp(torch.tensor([1.0]), torch.tensor([5.0]), other_mask=torch.tensor([False]))
    tensor([1.])
    """
    input, input_mask = checked("logaddexp", input, input_mask)
    other, other_mask = checked("logaddexp", other, other_mask)
    d = result_dtype(dtype, input)
    a = filled(input, input_mask, lowest("logaddexp", input.dtype))
    b = filled(other, other_mask, lowest("logaddexp", other.dtype))
    return ops.logaddexp(a, b).to(d)
