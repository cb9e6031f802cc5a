"""Arithmetic of elements: sums, products, quotients, powers, remainders."""

from __future__ import annotations

from mashal.lang.expression import Expression
from mashal.ops.define import floating, pointwise

EVERYWHERE = ("torch", "method", "in_place")


@pointwise(where=EVERYWHERE, operators=("__mul__", "__rmul__", "__imul__"), aliases=("multiply",))
def mul(x: Expression, y: Expression) -> Expression:
    """x · y, element by element, broadcast to a common shape, in the promoted dtype.

    >>> torch.mul(torch.tensor([1.0, 2.0]), 3)
    tensor([3., 6.])
    """
    return x * y


@pointwise(floating, where=EVERYWHERE, operators=("__neg__",), aliases=("negative",))
def neg(x: Expression) -> Expression:
    """-x."""
    return -x
