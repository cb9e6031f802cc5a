"""Complex numbers inside formulas: parts, and the elementary functions from real ones.

z = a + bi     exp z = exp(a)·(cos b + i sin b)     log z = log|z| + i·atan2(b, a)     zʷ = exp(w·log z)
"""

from __future__ import annotations

from typing import Any

from mashal.lang import expression as e
from mashal.lang.expression import Expression, abs_, where


def real(z: Expression) -> Expression:
    """The real part."""
    return Expression("real", (z,), z.dtype.to_real())


def imag(z: Expression) -> Expression:
    """The imaginary part."""
    return Expression("imag", (z,), z.dtype.to_real())


def joined(a: Expression, b: Expression) -> Expression:
    """a + bi"""
    return Expression("complex", (a, b), a.dtype.to_complex())


def conjugate(z: Expression) -> Expression:
    """a - bi; a real number is its own."""
    return Expression("conj", (z,), z.dtype) if z.dtype.is_complex else z


def complex_exp(z: Expression) -> Expression:
    """exp(a)·(cos b + i sin b)"""
    size = e.exp(real(z))
    b = imag(z)
    return joined(size * e.cos(b), where(b == 0, b, size * e.sin(b)))


def complex_log(z: Expression) -> Expression:
    """log|z| + i·angle"""
    return joined(e.log(abs_(z)), e.atan2(imag(z), real(z)))


def complex_sigmoid(z: Expression) -> Expression:
    """1 / (1 + exp(-z))"""
    return 1 / (complex_exp(-z) + 1)


def complex_power(z: Expression, w: Any) -> Expression:
    """zʷ; 0⁰ is 1, and 0 to any other power 0."""
    power = complex_exp(complex_log(z) * w)
    if not isinstance(w, Expression):
        return where(z == 0, 0j, power) if w > 0 else power
    return where(z == 0, where(w == 0, 1 + 0j, where(w == w, 0 * w, w)), power)
