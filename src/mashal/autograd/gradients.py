"""Gradients that people's own formulas gave, checked against what they are the gradients of."""

from __future__ import annotations

from typing import Any

from mashal import ops
from mashal.core.forms import Form
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.broadcast import sum_to

__all__ = ["fitting", "zeros"]


def zeros(of: Form | None) -> Tensor | None:
    """A gradient of zeros for a result of this form."""
    return None if of is None else ops.zeros(of.shape, dtype=of.dtype, device=of.device)


def fitting(gradients: Any, operands: tuple[Form | None, ...], name: str, edges: tuple) -> tuple:
    """One gradient for each operand, of its shape and dtype.

    gradients: as a backward gave them; more than there are operands if the rest is None. operands: the form of each, None for what
    is no tensor. Errors: RuntimeError for a wrong number, a gradient of no tensor, or a shape that doesn't fit.
    """
    gradients = tuple(gradients)
    extra = gradients[len(operands) :]
    if len(gradients) < len(operands) or any(g is not None for g in extra):
        wrong = f"it returned an incorrect number of gradients (expected {len(operands)}, got {len(gradients)})"
        raise RuntimeError(message(name, wrong, "backward gives one for each argument of forward"))
    fitted = []
    for position, (gradient, of) in enumerate(zip(gradients, operands)):
        if gradient is None:
            fitted.append(None)
            continue
        if not isinstance(gradient, Tensor):
            wrong = f"it returned a {type(gradient).__name__} as gradient {position}"
            raise TypeError(message(name, wrong, "expected a Tensor or None"))
        if of is None:
            wrong = f"it returned a gradient different from None at position {position}"
            raise RuntimeError(message(name, wrong, "the corresponding argument of forward was no tensor"))
        fitted.append(None if edges[position] is None else _fitted(gradient, of, name, position))
    return tuple(fitted)


def _fitted(gradient: Tensor, of: Form, name: str, position: int) -> Tensor:
    """A gradient in the operand's shape (summed where it was broadcast), dtype and device."""
    if gradient.form is of:
        return gradient
    if gradient.device != of.device:
        wrong = f"it returned gradient {position} on {gradient.device}"
        raise RuntimeError(message(name, wrong, f"expected it on {of.device}"))
    if gradient.shape != of.shape:
        if not _broadcasts(of.shape, gradient.shape):
            wrong = f"it returned an invalid gradient at index {position}: got {tuple(gradient.shape)}"
            raise RuntimeError(message(name, wrong, f"expected shape compatible with {tuple(of.shape)}"))
        gradient = sum_to(gradient, of.shape)
    if gradient.dtype is not of.dtype:
        if gradient.dtype.is_complex and not of.dtype.is_complex:
            gradient = gradient.real
        gradient = gradient.to(of.dtype)
    return gradient


def _broadcasts(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Whether a tensor of one shape broadcasts to another."""
    return len(small) <= len(large) and all(n in (1, m) for n, m in zip(small[::-1], large[::-1]))
