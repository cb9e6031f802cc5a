"""Truth of elements: what is not zero is true."""

from __future__ import annotations

from mashal.core.dtypes import bool as bool_
from mashal.lang.expression import Expression, abs_, cast, constant
from mashal.ops.arithmetic import EVERYWHERE
from mashal.ops.define import boolean, pointwise

INFINITY = float("inf")


def truth(x: Expression) -> Expression:
    """Whether x is not zero."""
    return cast(x, bool_)


@pointwise(boolean, where=EVERYWHERE, tensors=2)
def logical_and(x: Expression, y: Expression) -> Expression:
    """Whether both are not zero.

    >>> torch.logical_and(torch.tensor([0, 1, 2]), torch.tensor([1, 1, 0]))
    tensor([False,  True, False])
    """
    return truth(x) & truth(y)


@pointwise(boolean, where=EVERYWHERE, tensors=2)
def logical_or(x: Expression, y: Expression) -> Expression:
    """Whether one of them is not zero."""
    return truth(x) | truth(y)


@pointwise(boolean, where=EVERYWHERE, tensors=2)
def logical_xor(x: Expression, y: Expression) -> Expression:
    """Whether exactly one of them is not zero."""
    return truth(x) ^ truth(y)


@pointwise(boolean, where=EVERYWHERE, tensors=2)
def logical_not(x: Expression) -> Expression:
    """Whether x is zero."""
    return ~truth(x)


# ---------------------------------------------------------------- what kind of number
def _never(x: Expression) -> Expression:
    return x != x if x.dtype.kind in "fc" else truth(x) & constant(False, bool_)


@pointwise(boolean)
def isnan(x: Expression) -> Expression:
    """Whether x is nan.

    >>> torch.isnan(torch.tensor([1.0, float("nan")]))
    tensor([False,  True])
    """
    return _never(x)


def _parts(x: Expression) -> list[Expression]:
    """A complex number's parts, or x itself."""
    if not x.dtype.is_complex:
        return [x]
    return [Expression(part, (x,), x.dtype.to_real()) for part in ("real", "imag")]


def _finite(x: Expression) -> Expression:
    return abs_(x) < INFINITY


@pointwise(boolean)
def isfinite(x: Expression) -> Expression:
    """Whether x is neither infinite nor nan."""
    if x.dtype.kind not in "fc":
        return ~_never(x)
    first, *rest = map(_finite, _parts(x))
    return first & rest[0] if rest else first


@pointwise(boolean)
def isinf(x: Expression) -> Expression:
    """Whether x is inf or -inf."""
    if x.dtype.kind not in "fc":
        return _never(x)
    first, *rest = [abs_(part) == INFINITY for part in _parts(x)]
    return first | rest[0] if rest else first


@pointwise(boolean)
def isposinf(x: Expression) -> Expression:
    """Whether x is inf."""
    return x == INFINITY if x.dtype.kind == "f" else _never(x)


@pointwise(boolean)
def isneginf(x: Expression) -> Expression:
    """Whether x is -inf."""
    return x == -INFINITY if x.dtype.kind == "f" else _never(x)


@pointwise(boolean)
def isreal(x: Expression) -> Expression:
    """Whether x has no imaginary part."""
    return _parts(x)[1] == 0 if x.dtype.is_complex else ~(truth(x) & constant(False, bool_))


@pointwise(boolean)
def signbit(x: Expression) -> Expression:
    """Whether x's sign is minus; that of -0.0 is.

    >>> torch.signbit(torch.tensor([-0.0, 1.0]))
    tensor([ True, False])
    """
    from_sign = Expression("copysign", (constant(1, x.dtype), x), x.dtype) if x.dtype.kind == "f" else x
    return truth(x) & constant(False, bool_) if x.dtype.kind in "ub" else from_sign < 0
