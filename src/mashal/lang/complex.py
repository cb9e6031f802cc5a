"""Complex numbers inside formulas: parts, and the elementary functions from real ones.

z = a + bi     exp z = exp(a)·(cos b + i sin b)     log z = log|z| + i·atan2(b, a)     zʷ = exp(w·log z)

A function of an expression (`exp(z)`, `z ** w`) that is complex is made by what is registered here: so formulas and derivatives
are written once for both. Branch cuts, infinities and the sign of zero are those of C's complex functions; the inverse
functions follow Kahan (Branch cuts for complex elementary functions, 1987), whose sums of roots lose no digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from mashal.lang import expression as e
from mashal.lang.expression import COMPLEX, Expression, abs_, where


# ---------------------------------------------------------------- parts
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


def _times_i(z: Expression) -> Expression:
    return joined(-imag(z), real(z))


def _by_i(z: Expression) -> Expression:
    return joined(imag(z), -real(z))


def of_complex(name: str) -> Callable[[Callable[..., Expression]], Callable[..., Expression]]:
    """Registers what a function of formulas is for complex operands."""

    def register(function: Callable[..., Expression]) -> Callable[..., Expression]:
        COMPLEX[name] = function
        return function

    return register


# ---------------------------------------------------------------- exponentials
@of_complex("exp")
def _exp(z: Expression) -> Expression:
    """exp(a)·(cos b + i sin b)"""
    size = e.exp(real(z))
    b = imag(z)
    return joined(size * e.cos(b), where(b == 0, b, size * e.sin(b)))


@of_complex("exp2")
def _exp2(z: Expression) -> Expression:
    return _exp(z * math.log(2))


@of_complex("expm1")
def _expm1(z: Expression) -> Expression:
    """expm1(a)·cos b + (cos b - 1) keeps the digits of small numbers; cos b - 1 is -2 sin²(b/2)."""
    a, b = real(z), imag(z)
    half = e.sin(b * 0.5)
    return joined(e.expm1(a) * e.cos(b) - half * half * 2, where(b == 0, b, e.exp(a) * e.sin(b)))


@of_complex("sigmoid")
def _sigmoid(z: Expression) -> Expression:
    """1 / (1 + exp(-z))"""
    return 1 / (_exp(-z) + 1)


# ---------------------------------------------------------------- logarithms
@of_complex("log")
def _log(z: Expression) -> Expression:
    """log|z| + i·angle"""
    return joined(e.log(abs_(z)), e.atan2(imag(z), real(z)))


@of_complex("log2")
def _log2(z: Expression) -> Expression:
    return _scaled(_log(z), 1 / math.log(2))


@of_complex("log10")
def _log10(z: Expression) -> Expression:
    return _scaled(_log(z), 1 / math.log(10))


def _scaled(z: Expression, factor: float) -> Expression:
    return joined(real(z) * factor, imag(z) * factor)


@of_complex("log1p")
def _log1p(z: Expression) -> Expression:
    """Near 0, |1 + z|² - 1 = a·(2 + a) + b² has all digits."""
    a, b = real(z), imag(z)
    near = e.log1p(a * (a + 2) + b * b) * 0.5
    small = (abs_(z) < 0.5) & (abs_(z) == abs_(z))
    return joined(where(small, near, e.log(e.hypot(a + 1, b))), e.atan2(b, a + 1))


@of_complex("logaddexp")
def _logaddexp(x: Expression, y: Expression) -> Expression:
    """log(eˣ + eʸ), from the one whose real part is larger."""
    first = real(x) > real(y)
    high, low = where(first, x, y), where(first, y, x)
    same = (x == y) & (abs_(real(x)) == float("inf"))
    return where(same, x, high + _log1p(_exp(low - high)))


# ---------------------------------------------------------------- powers
@of_complex("sqrt")
def _sqrt(z: Expression) -> Expression:
    """From t = √((|a| + |z|) / 2), the part without cancellation."""
    a, b = real(z), imag(z)
    t = e.sqrt(abs_(a) * 0.5 + abs_(z) * 0.5)
    other = where(t == 0, b, b / (t * 2))
    right = joined(t, other)
    left = joined(abs_(other), e.copysign(t, b))
    finite = where((a >= 0) | (t == 0), right, left)
    endless = abs_(b) == float("inf")
    return where(endless, joined(abs_(b), b), finite)


@of_complex("rsqrt")
def _rsqrt(z: Expression) -> Expression:
    return 1 / _sqrt(z)


@of_complex("pow")
def _pow(z: Expression, w: Expression) -> Expression:
    """zʷ; 0⁰ is 1, and 0 to any other power 0, but infinite to a negative one."""
    power = _exp(_log(z) * w)
    of_zero = where(w == 0, 1 + 0j, where(w == w, 0 * w, w))
    return where(z == 0, of_zero, power)


# ---------------------------------------------------------------- hyperbolic functions
@of_complex("sinh")
def _sinh(z: Expression) -> Expression:
    """sinh a · cos b + i cosh a · sin b"""
    a, b = real(z), imag(z)
    return joined(where(a == 0, a, e.sinh(a) * e.cos(b)), where(b == 0, b, e.cosh(a) * e.sin(b)))


@of_complex("cosh")
def _cosh(z: Expression) -> Expression:
    """cosh a · cos b + i sinh a · sin b"""
    a, b = real(z), imag(z)
    return joined(e.cosh(a) * e.cos(b), where((a == 0) | (b == 0), a * b, e.sinh(a) * e.sin(b)))


@of_complex("tanh")
def _tanh(z: Expression) -> Expression:
    """Kahan's, with t = tan b and s = sinh a; of large a ±1 and what exp(-2|a|) leaves."""
    a, b = real(z), imag(z)
    t, s = e.tan(b), e.sinh(a)
    beta = t * t + 1
    rho = e.sqrt(s * s + 1)
    below = beta * s * s + 1
    near = joined(beta * rho * s / below, t / below)
    away = joined(e.copysign(e.constant(1, a.dtype), a), e.sin(b) * e.cos(b) * 4 * e.exp(abs_(a) * -2))
    upright = joined(a, b * 0 + t)
    return where(a == 0, upright, where(abs_(a) > 20, away, near))


# ---------------------------------------------------------------- circular functions: hyperbolic ones of iz
@of_complex("sin")
def _sin(z: Expression) -> Expression:
    return _by_i(_sinh(_times_i(z)))


@of_complex("cos")
def _cos(z: Expression) -> Expression:
    return _cosh(_times_i(z))


@of_complex("tan")
def _tan(z: Expression) -> Expression:
    return _by_i(_tanh(_times_i(z)))


# ---------------------------------------------------------------- inverses
def _roots(z: Expression) -> tuple[Expression, Expression]:
    """√(1 - z) and √(1 + z); the sign of a zero imaginary part says on which side of a cut z is."""
    a, b = real(z), imag(z)
    return _sqrt(joined(1 - a, -b)), _sqrt(joined(a + 1, b))


@of_complex("asin")
def _asin(z: Expression) -> Expression:
    minus, plus = _roots(z)
    return joined(e.atan2(real(z), real(minus) * real(plus) - imag(minus) * imag(plus)),
                  e.asinh(real(minus) * imag(plus) - imag(minus) * real(plus)))  # fmt: skip


@of_complex("acos")
def _acos(z: Expression) -> Expression:
    minus, plus = _roots(z)
    return joined(e.atan2(real(minus), real(plus)) * 2, e.asinh(real(plus) * imag(minus) - imag(plus) * real(minus)))


@of_complex("acosh")
def _acosh(z: Expression) -> Expression:
    a, b = real(z), imag(z)
    minus, plus = _sqrt(joined(a - 1, b)), _sqrt(joined(a + 1, b))
    return joined(e.asinh(real(minus) * real(plus) + imag(minus) * imag(plus)), e.atan2(imag(minus), real(plus)) * 2)


@of_complex("asinh")
def _asinh(z: Expression) -> Expression:
    return _by_i(_asin(_times_i(z)))


@of_complex("atanh")
def _atanh(z: Expression) -> Expression:
    a, b = real(z), imag(z)
    size = abs_(a)
    away = (1 - size) * (1 - size) + b * b
    return joined(e.copysign(e.log1p(size * 4 / away) * 0.25, a), e.atan2(b * 2, (1 - a) * (a + 1) - b * b) * 0.5)


@of_complex("atan")
def _atan(z: Expression) -> Expression:
    return _by_i(_atanh(_times_i(z)))
