"""Circular and hyperbolic functions, in radians."""

from __future__ import annotations

import math
from typing import Any

from mashal.errors import message
from mashal.lang import expression as e
from mashal.lang.complex import conjugate
from mashal.lang.expression import Expression
from mashal.ops.arithmetic import EVERYWHERE
from mashal.ops.comparison import refuse_but, refuse_complex
from mashal.ops.define import floating, pointwise
from mashal.ops.holomorphic import holomorphic

_ARCS = {
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
}


def _function(name: str, text: str) -> Any:
    """The function of a name, as it is in formulas."""
    of = getattr(e, name)

    def body(x: Expression) -> Expression:
        return of(x)

    body.__doc__ = text
    aliases = (_ARCS[name],) if name in _ARCS else ()
    return holomorphic(pointwise(floating, name=name, where=EVERYWHERE, aliases=aliases)(body))


sin = _function("sin", "The sine.")
cos = _function("cos", "The cosine.")
tan = _function("tan", "The tangent.")
asin = _function("asin", "The angle in [-π/2, π/2] with this sine; nan outside of [-1, 1].")
acos = _function("acos", "The angle in [0, π] with this cosine; nan outside of [-1, 1].")
atan = _function("atan", "The angle in (-π/2, π/2) with this tangent.")
sinh = _function("sinh", "The hyperbolic sine, (eˣ - e⁻ˣ) / 2.")
cosh = _function("cosh", "The hyperbolic cosine, (eˣ + e⁻ˣ) / 2.")
tanh = _function("tanh", "The hyperbolic tangent, sinh(x) / cosh(x).")
asinh = _function("asinh", "The number with this hyperbolic sine.")
acosh = _function("acosh", "The number ≥ 0 with this hyperbolic cosine; nan below 1.")
atanh = _function("atanh", "The number with this hyperbolic tangent; nan outside of [-1, 1].")


# ---------------------------------------------------------------- of two sides
@pointwise(floating, where=EVERYWHERE, aliases=("arctan2",), refuse=refuse_complex("atan2"), tensors=2)
def atan2(y: Expression, x: Expression) -> Expression:
    """The angle in (-π, π] of the point (x, y).

    >>> torch.atan2(torch.tensor([1.0]), torch.tensor([-1.0]))
    tensor([2.3562])
    """
    return e.atan2(y, x)


@atan2.backward
def _(g: Expression, z: Expression, y: Expression, x: Expression) -> tuple:
    square = x * x + y * y
    scale = e.where(square == 0, 0, g / square)  # at the origin, where there is none, 0
    return scale * x, -scale * y


@pointwise(where=EVERYWHERE, refuse=refuse_but("f", "hypot", "operands must be floating"), tensors=2)
def hypot(x: Expression, y: Expression) -> Expression:
    """√(x² + y²), without overflow on the way.

    >>> torch.hypot(torch.tensor([3.0]), torch.tensor([4.0]))
    tensor([5.])
    """
    return e.hypot(x, y)


# ---------------------------------------------------------------- degrees
def _real_angles(name: str) -> Any:
    def refuse(x: Any, **options: Any) -> None:
        if x.form.dtype.kind == "c":
            raise RuntimeError(message(name, f"is not supported for complex tensors, {x.form.dtype}"))

    return refuse


@pointwise(floating, where=EVERYWHERE, node="Deg2RadBackward0", refuse=_real_angles("deg2rad"))
def deg2rad(x: Expression) -> Expression:
    """Degrees as radians."""
    return x * (math.pi / 180)


@pointwise(floating, where=EVERYWHERE, node="Rad2DegBackward0", refuse=_real_angles("rad2deg"))
def rad2deg(x: Expression) -> Expression:
    """Radians as degrees."""
    return x * (180 / math.pi)


@pointwise(floating, where=EVERYWHERE, aliases=("special.sinc",))
def sinc(x: Expression) -> Expression:
    """sin(πx) / (πx), and 1 at 0."""
    angle = x * math.pi
    return e.where(x == 0, 1, e.sin(angle) / angle)


@sinc.backward
def _(g: Expression, y: Expression, x: Expression) -> Expression:
    angle = x * math.pi
    return g * conjugate(e.where(x == 0, 0, (e.cos(angle) - e.sin(angle) / angle) / x))
