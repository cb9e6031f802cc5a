"""What all masked operations begin with: an input without its history of masks, and the elements behind the mask replaced."""

from __future__ import annotations

from typing import Any

from mashal import ops
from mashal.core.dtypes import bool as bool_
from mashal.core.dtypes import iinfo, int64
from mashal.core.tensor import Tensor
from mashal.errors import message

__all__ = ["checked", "filled", "highest", "lowest", "result_dtype", "shown"]


def checked(name: str, input: Any, mask: Any) -> tuple[Any, Any]:
    """(input, mask): an input that carries a mask is taken apart; TypeError for what is no tensor."""
    if not isinstance(input, Tensor):
        raise TypeError(f"masked.{name}: input must be a Tensor, not {type(input).__name__}")
    if hasattr(input, "_masked_mask"):
        own = input._masked_mask  # type: ignore[attr-defined]
        input, mask = input._masked_data, own if mask is None else own & mask  # type: ignore[attr-defined]
    if mask is not None and not isinstance(mask, Tensor):
        raise TypeError(f"masked.{name}: mask must be a Tensor or None, not {type(mask).__name__}")
    return input, mask


def shown(mask: Tensor | None, input: Tensor) -> Tensor | None:
    """The mask in the input's shape, as bools."""
    if mask is None:
        return None
    mask = mask if mask.dtype is bool_ else mask != 0  # type: ignore[assignment]
    return mask if mask.shape == input.shape else mask.expand(input.shape)  # type: ignore[union-attr, attr-defined]


def filled(input: Tensor, mask: Tensor | None, value: Any) -> Tensor:
    """The input with a number wherever the mask is False."""
    mask = shown(mask, input)
    return (
        input if mask is None else ops.where(mask, input, ops.full((), value, dtype=input.dtype, device=input.device))
    )


def result_dtype(dtype: Any, input: Tensor, counts: bool = False) -> Any:
    """The dtype asked for, else the input's; integers are added up as int64."""
    if dtype is not None:
        return dtype
    return int64 if counts and input.dtype.kind in "iub" else input.dtype


def lowest(name: str, dtype: Any) -> Any:
    """What any element is at least: -inf, or the least integer. NotImplementedError for bools and complex numbers."""
    if dtype.kind == "f" or (dtype.kind == "c" and name == "logsumexp"):
        return -float("inf")
    if dtype.kind in "iu":
        return iinfo(dtype).min
    raise NotImplementedError(message(f"masked.{name}", f"nothing stands for no element of {dtype}"))


def highest(name: str, dtype: Any) -> Any:
    """What any element is at most: inf, or the largest integer. NotImplementedError for bools and complex numbers."""
    if dtype.kind == "f":
        return float("inf")
    if dtype.kind in "iu":
        return iinfo(dtype).max
    raise NotImplementedError(message(f"masked.{name}", f"nothing stands for no element of {dtype}"))
