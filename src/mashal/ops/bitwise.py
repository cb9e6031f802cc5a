"""Bits of integers; of bools, their logic. And divisors of integers."""

from __future__ import annotations

from typing import Any

from mashal.lang import expression as e
from mashal.lang.expression import Expression
from mashal.ops.arithmetic import EVERYWHERE
from mashal.ops.comparison import refuse_but
from mashal.ops.define import pointwise, same


def _both(name: str, sign: str, body: Any) -> Any:
    body.__doc__ = f"x {sign} y, bit by bit; integers or bools."
    short = {"&": "and", "|": "or", "^": "xor"}[sign]
    operators = (f"__{short}__", f"__r{short}__", f"__i{short}__")
    refuse = refuse_but("biu", name, "operands must be integers or bools")
    return pointwise(same, name=name, where=EVERYWHERE, operators=operators, refuse=refuse)(body)


bitwise_and = _both("bitwise_and", "&", lambda x, y: x & y)
bitwise_or = _both("bitwise_or", "|", lambda x, y: x | y)
bitwise_xor = _both("bitwise_xor", "^", lambda x, y: x ^ y)


@pointwise(
    same,
    where=EVERYWHERE,
    operators=("__invert__",),
    refuse=refuse_but("biu", "bitwise_not", "the operand must be of integers or bools"),
)
def bitwise_not(x: Expression) -> Expression:
    """~x: all bits inverted; of a bool, its opposite.

    >>> ~torch.tensor([True, False])
    tensor([False,  True])
    """
    return ~x


# ---------------------------------------------------------------- shifts
def _shifted(kind: str, x: Expression, y: Expression) -> Expression:
    return Expression(kind, (x, y), x.dtype)


@pointwise(
    same,
    where=EVERYWHERE,
    operators=("__lshift__", "__rlshift__", "__ilshift__"),
    refuse=refuse_but("iu", "bitwise_left_shift", "operands must be integers"),
)
def bitwise_left_shift(x: Expression, y: Expression) -> Expression:
    """x shifted left by y bits: x · 2ʸ. By negative or too many bits: 0.

    >>> torch.bitwise_left_shift(torch.tensor([1, 3]), 2)
    tensor([ 4, 12])
    """
    return _shifted("shl", x, y)


@pointwise(
    same,
    where=EVERYWHERE,
    operators=("__rshift__", "__rrshift__", "__irshift__"),
    refuse=refuse_but("iu", "bitwise_right_shift", "operands must be integers"),
)
def bitwise_right_shift(x: Expression, y: Expression) -> Expression:
    """x shifted right by y bits, keeping its sign: floor(x / 2ʸ)."""
    return _shifted("shr", x, y)


# ---------------------------------------------------------------- divisors
def _integers(name: str) -> Any:
    return refuse_but("iu", name, "operands must be integers")


@pointwise(same, where=EVERYWHERE, refuse=_integers("gcd"), tensors=2)
def gcd(x: Expression, y: Expression) -> Expression:
    """The greatest common divisor, never negative; of 0 and 0 it is 0.

    >>> torch.gcd(torch.tensor([12, -5]), torch.tensor([18, 10]))
    tensor([6, 5])
    """
    return e.gcd(x, y)


@pointwise(same, where=EVERYWHERE, refuse=_integers("lcm"), tensors=2)
def lcm(x: Expression, y: Expression) -> Expression:
    """The least common multiple, never negative; 0 if one of them is 0.

    >>> torch.lcm(torch.tensor([4]), torch.tensor([6]))
    tensor([12])
    """
    divisor = e.gcd(x, y)
    return e.where(divisor == 0, 0, e.abs_(x / e.where(divisor == 0, 1, divisor) * y))
