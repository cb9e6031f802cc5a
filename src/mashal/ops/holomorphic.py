"""Functions whose derivative is written once for real and complex numbers: the gradient of a complex one is g·conj(f')."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.lang.complex import conjugate
from mashal.lang.derivative import RULES
from mashal.lang.expression import Expression, constant

__all__ = ["holomorphic"]


def holomorphic(call: Callable[..., Any]) -> Callable[..., Any]:
    """States the gradient of an operation that is one function of formulas, by that function's rule (lang.derivative)."""
    rule = RULES[call.operation.name]  # type: ignore[attr-defined]

    def gradient(g: Expression, y: Expression, x: Expression) -> Any:
        if not x.dtype.is_complex:
            return rule(g, y, x)[0]
        local = rule(constant(1, x.dtype), y, x)[0]
        assert local is not None
        return g * conjugate(local)

    call.operation.gradients = gradient  # type: ignore[attr-defined]
    return call
