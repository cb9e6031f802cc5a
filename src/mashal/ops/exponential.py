"""Exponentials and logarithms."""

from __future__ import annotations

from mashal.lang import expression as e
from mashal.lang.complex import conjugate
from mashal.lang.expression import Expression
from mashal.ops.arithmetic import EVERYWHERE
from mashal.ops.define import floating, pointwise
from mashal.ops.holomorphic import holomorphic


@holomorphic
@pointwise(floating, where=EVERYWHERE)
def exp(x: Expression) -> Expression:
    """eˣ.

    >>> torch.exp(torch.tensor([0.0, 1.0]))
    tensor([1.0000, 2.7183])
    """
    return e.exp(x)


@holomorphic
@pointwise(floating, where=EVERYWHERE)
def log(x: Expression) -> Expression:
    """The natural logarithm; -inf at 0, nan below.

    >>> torch.log(torch.tensor([1.0, 10.0]))
    tensor([0.0000, 2.3026])
    """
    return e.log(x)


@holomorphic
@pointwise(floating, where=EVERYWHERE, aliases=("special.exp2",))
def exp2(x: Expression) -> Expression:
    """2ˣ."""
    return e.exp2(x)


@holomorphic
@pointwise(floating, where=EVERYWHERE, aliases=("special.expm1",))
def expm1(x: Expression) -> Expression:
    """eˣ - 1, with all digits near 0.

    >>> torch.expm1(torch.tensor([1e-10])).item()
    1.000000013351432e-10
    """
    return e.expm1(x)


@holomorphic
@pointwise(floating, where=EVERYWHERE)
def log2(x: Expression) -> Expression:
    """The logarithm to base 2."""
    return e.log2(x)


@holomorphic
@pointwise(floating, where=EVERYWHERE)
def log10(x: Expression) -> Expression:
    """The logarithm to base 10."""
    return e.log10(x)


@holomorphic
@pointwise(floating, where=EVERYWHERE, node="Log1PBackward0", aliases=("special.log1p",))
def log1p(x: Expression) -> Expression:
    """log(1 + x), with all digits near 0."""
    return e.log1p(x)


@holomorphic
@pointwise(floating, where=("torch", "method", "in_place", "functional"), aliases=("special.expit",))
def sigmoid(x: Expression) -> Expression:
    """1 / (1 + e⁻ˣ).

    >>> torch.sigmoid(torch.tensor([-1000.0, 0.0, 1000.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return e.sigmoid(x)


@pointwise(floating, tensors=2)
def logaddexp(x: Expression, y: Expression) -> Expression:
    """log(eˣ + eʸ), without overflow.

    >>> torch.logaddexp(torch.tensor([1000.0]), torch.tensor([1000.0]))
    tensor([1000.6932])
    """
    return e.logaddexp(x, y)


@logaddexp.backward
def _(g: Expression, z: Expression, x: Expression, y: Expression) -> tuple:
    return g * conjugate(e.sigmoid(x - y)), g * conjugate(e.sigmoid(y - x))


_LN2 = 0.6931471805599453


@pointwise(floating, tensors=2)
def logaddexp2(x: Expression, y: Expression) -> Expression:
    """log₂(2ˣ + 2ʸ), without overflow."""
    return e.logaddexp(x * _LN2, y * _LN2) * (1 / _LN2)


@logaddexp2.backward
def _(g: Expression, z: Expression, x: Expression, y: Expression) -> tuple:
    return g * e.sigmoid((x - y) * _LN2), g * e.sigmoid((y - x) * _LN2)
