"""Checks of options that optimizers share."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.errors import message


def at_least(least: float, optimizer: str, **options: Any) -> None:
    """Raises ValueError for an option below a bound (or nan)."""
    for name, value in options.items():
        if not value >= least:
            raise ValueError(message(optimizer, f"{name} is {value}", f"it must be {least} or more"))


def fraction(optimizer: str, **options: Any) -> None:
    """Raises ValueError for an option outside of [0, 1)."""
    for name, value in options.items():
        if not 0.0 <= value < 1.0:
            raise ValueError(message(optimizer, f"{name} is {value}", "it must be at least 0 and below 1"))


def one_element(optimizer: str, **options: Any) -> None:
    """Raises ValueError for an option that is a tensor of several elements."""
    for name, value in options.items():
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError(
                message(optimizer, f"{name} is a tensor of shape {tuple(value.shape)}", "it must have 1 element")
            )


def flavours(optimizer: str, foreach: bool | None, differentiable: bool, fused: bool | None) -> None:
    """Raises RuntimeError for ways of stepping that exclude each other."""
    if fused and (differentiable or foreach):
        other = "differentiable" if differentiable else "foreach"
        raise RuntimeError(message(optimizer, f"fused=True and {other}=True exclude each other", "choose one"))
