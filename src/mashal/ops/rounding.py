"""Rounding to integers (kept in the dtype they come in), signs and what is left of a number.

Their gradients are 0 everywhere.
"""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.lang import expression as e
from mashal.lang.expression import Expression, abs_, constant, where
from mashal.ops.arithmetic import EVERYWHERE
from mashal.ops.comparison import refuse_but, refuse_complex
from mashal.ops.define import Pointwise, door, floating, pointwise, same, spelled


def _rounding(name: str, of: Any, text: str, aliases: tuple = ()) -> Any:
    def body(x: Expression) -> Expression:
        return of(x) if x.dtype.kind == "f" else x

    body.__doc__ = text
    return pointwise(same, name=name, where=EVERYWHERE, aliases=aliases, refuse=refuse_complex(name))(body)


floor = _rounding("floor", e.floor, "The largest integer that is not above x.")
ceil = _rounding("ceil", e.ceil, "The smallest integer that is not below x.")
trunc = _rounding("trunc", e.trunc, "x without its fraction.", ("fix",))


# ---------------------------------------------------------------- round
def _round(x: Expression) -> Expression:
    return e.round_even(x) if x.dtype.kind == "f" else x


def _round_decimals(x: Expression, *, decimals: int) -> Expression:
    if x.dtype.kind != "f":
        return x
    ten = 10.0 ** abs(decimals)
    return e.round_even(x * ten) / ten if decimals >= 0 else e.round_even(x / ten) * ten


def _no_gradient(g: Expression, y: Expression, x: Expression, **options: Any) -> Expression:
    return constant(0, g.dtype)


_ROUND = Pointwise("round", _round, same, "RoundBackward0", refuse_complex("round"))
_ROUND_DECIMALS = Pointwise("round", _round_decimals, same, "RoundBackward1", refuse_complex("round"))
_ROUND_DECIMALS.gradients = _no_gradient
_plain_round, _rounded = door(_ROUND), door(_ROUND_DECIMALS)


def round_(input: Tensor, *, decimals: int = 0) -> Tensor:
    """round, written into the tensor itself."""
    return _ROUND_DECIMALS.in_place((input,), (("decimals", decimals),)) if decimals else _ROUND.in_place((input,))


@spelled(EVERYWHERE, in_place=round_, aliases=("special.round",))
def round(input: Tensor, *, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """To the nearest integer, or to so many decimals; halves go to the even neighbour.

    >>> torch.round(torch.tensor([0.5, 1.5, 2.5]))
    tensor([0., 2., 2.])
    >>> torch.round(torch.tensor([1.234]), decimals=1)
    tensor([1.2000])
    """
    return _rounded(input, decimals=decimals, out=out) if decimals else _plain_round(input, out=out)


# ---------------------------------------------------------------- what is left, and signs
@pointwise(where=EVERYWHERE, refuse=refuse_but("f", "frac", "the operand must be floating"))
def frac(x: Expression) -> Expression:
    """x - trunc(x), with x's sign.

    >>> torch.frac(torch.tensor([1.5, -2.25]))
    tensor([ 0.5000, -0.2500])
    """
    return x - e.trunc(x)


def sign_of(x: Expression) -> Expression:
    """-1, 0 or 1."""
    if x.dtype.kind == "b":
        return x
    one = constant(1, x.dtype)
    return where(x > 0, one, 0) if x.dtype.kind == "u" else where(x > 0, one, where(x < 0, -one, 0))


@pointwise(where=EVERYWHERE, refuse=refuse_complex("sign"))
def sign(x: Expression) -> Expression:
    """-1 below 0, 1 above, else 0.

    >>> torch.sign(torch.tensor([-3.0, 0.0, 5.0]))
    tensor([-1.,  0.,  1.])
    """
    return sign_of(x)


@sign.backward
def _(g: Expression, y: Expression, x: Expression) -> Expression:
    return constant(0, g.dtype)


@pointwise(where=EVERYWHERE)
def sgn(x: Expression) -> Expression:
    """sign; of a complex number z / |z|, and 0 at 0."""
    if not x.dtype.is_complex:
        return sign_of(x)
    size = abs_(x)
    return where(size == 0, 0, x / e.cast(size, x.dtype))


@sgn.backward
def _(g: Expression, y: Expression, x: Expression) -> Expression | None:
    if not x.dtype.is_complex:
        return constant(0, g.dtype)
    size = e.cast(abs_(x), x.dtype)
    along = Expression("real", (g * Expression("conj", (y,), y.dtype),), x.dtype.to_real())
    return where(size == 0, 0, (g - y * e.cast(along, y.dtype)) / size)


@pointwise(floating, where=EVERYWHERE, refuse=refuse_complex("copysign"), tensors=1)
def copysign(x: Expression, y: Expression) -> Expression:
    """x's size with y's sign.

    >>> torch.copysign(torch.tensor([1.0, -2.0]), torch.tensor(-0.0))
    tensor([-1., -2.])
    """
    return e.copysign(x, y)


@pointwise(where=EVERYWHERE, refuse=refuse_but("f", "nextafter", "operands must be floating"), tensors=2)
def nextafter(x: Expression, y: Expression) -> Expression:
    """The next number after x in the direction of y."""
    return e.nextafter(x, y)


@nextafter.backward
def _(g: Expression, z: Expression, x: Expression, y: Expression) -> tuple:
    return g, constant(0, g.dtype)
