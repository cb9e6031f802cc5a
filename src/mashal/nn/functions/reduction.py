"""What a loss does with its values: the argument `reduction`, and `size_average` and `reduce`, its old spellings."""

from __future__ import annotations

import warnings
from typing import Any

from mashal.core.tensor import Tensor

NAMES = ("none", "mean", "sum")


def reduction_from(size_average: bool | None, reduce: bool | None, reduction: str = "mean") -> str:
    """The reduction asked for; the old arguments, unless None, come before the new one.

    >>> reduction_from(None, None, "sum")
    'sum'
    """
    if size_average is None and reduce is None:
        return reduction
    old = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{old}' instead.", stacklevel=3
    )
    return old


def reduced(values: Tensor, reduction: str, operation: str) -> Tensor:
    """The values of a loss as they are, their mean, or their sum. ValueError for another word."""
    check_reduction(reduction, operation)
    return values if reduction == "none" else values.mean() if reduction == "mean" else values.sum()


def check_reduction(reduction: Any, operation: str) -> None:
    """ValueError unless reduction is 'none', 'mean' or 'sum'."""
    if reduction not in NAMES:
        raise ValueError(f"{operation}: {reduction} is not a valid value for reduction; it is 'none', 'mean' or 'sum'")
