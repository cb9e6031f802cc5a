"""Arithmetic of elements: sums, differences, products, signs. Quotients are in `division`, powers in `powers`.

`add`, `sub` and `rsub` take alpha=; the operators `+` and `-`, which have none, are the plain doors themselves.
"""

from __future__ import annotations

from typing import Any

from mashal.core import dtypes
from mashal.core.dtypes import bool as bool_
from mashal.core.dtypes import dtype
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang.expression import Expression, abs_, multiply_add, where
from mashal.ops.define import Pointwise, door, in_place_door, operator_door, pointwise, real_part, same, spelled
from mashal.ops.promotion import number_dtype, result_type_of

EVERYWHERE = ("torch", "method", "in_place")


def dtype_of(x: Any) -> dtype:
    """The dtype of a tensor, or the one a number stands for."""
    return x.form.dtype if isinstance(x, Tensor) else number_dtype(x)


def _is_one(alpha: Any) -> bool:
    """Whether alpha is the int 1, which is no factor; another number of that value takes the longer way."""
    return type(alpha) is int and alpha == 1


def check_alpha(name: str, x: Any, y: Any, alpha: Any, called: str = "alpha") -> None:
    """RuntimeError for a factor of a higher kind than the result's."""
    of = result_type_of((x, y))
    found = f"{called} is {alpha}, but the result is {of}"
    if called == "alpha" and isinstance(alpha, bool) and of is not bool_:
        raise RuntimeError(message(name, found, f"a bool {called} needs a bool result"))
    if isinstance(alpha, float) and of.kind not in "fc":
        raise RuntimeError(
            message(name, found, f"For integral input tensors, argument {called} must not be a floating point number")
        )
    if dtype_of(alpha).kind == "c" and of.kind != "c":
        raise RuntimeError(message(name, found, f"{called} must be real then"))


# ---------------------------------------------------------------- sums and differences
def _refuse_bool(x: Any, y: Any, *alpha: Any) -> None:
    if dtype_of(x) is bool_ or dtype_of(y) is bool_:
        right = "use logical_xor() or ^ instead, and logical_not() or ~ to invert a mask"
        raise RuntimeError(message("sub", "subtraction, the - operator, of bool tensors is not supported", right))


def _check_sum(x: Any, y: Any, alpha: Any) -> None:
    check_alpha("add", x, y, alpha)


def _check_difference(x: Any, y: Any, alpha: Any) -> None:
    _refuse_bool(x, y)
    check_alpha("sub", x, y, alpha)


_ADD = Pointwise("add", lambda x, y: x + y, same, "AddBackward0")
_SUB = Pointwise("sub", lambda x, y: x - y, same, "SubBackward0", _refuse_bool)
_RSUB = Pointwise("rsub", lambda x, y: y - x, same, "RsubBackward1", _refuse_bool)
_ADD_SCALED = Pointwise("add", lambda x, y, alpha: multiply_add(y, alpha, x), same, "AddBackward0", _check_sum)
_SUB_SCALED = Pointwise("sub", lambda x, y, alpha: multiply_add(y, -alpha, x), same, "SubBackward0", _check_difference)
_RSUB_SCALED = Pointwise(
    "rsub", lambda x, y, alpha: multiply_add(x, -alpha, y), same, "RsubBackward1", _check_difference
)

_RSUB.tensors = _RSUB_SCALED.tensors = 1
_plain_add, _plain_sub, _plain_rsub = map(door, (_ADD, _SUB, _RSUB))
_plain_add_, _plain_sub_ = in_place_door(_ADD), in_place_door(_SUB)
_scaled_add_, _scaled_sub_ = in_place_door(_ADD_SCALED), in_place_door(_SUB_SCALED)
_add_scaled, _sub_scaled, _rsub_scaled = map(door, (_ADD_SCALED, _SUB_SCALED, _RSUB_SCALED))


def add_(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """add, written into the tensor itself."""
    return _plain_add_(input, other) if _is_one(alpha) else _scaled_add_(input, other, alpha)


def sub_(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """sub, written into the tensor itself."""
    return _plain_sub_(input, other) if _is_one(alpha) else _scaled_sub_(input, other, alpha)


@spelled(EVERYWHERE, operators=("__add__", "__radd__", "__iadd__"), in_place=add_, operator=operator_door(_ADD))
def add(input: Any, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """input + alpha · other, element by element, broadcast to a common shape, in the promoted dtype.

    Of bools it is "or". alpha must be of no higher kind than the result's dtype.

    >>> torch.add(torch.tensor([1, 2]), torch.tensor([[10], [20]]), alpha=2)
    tensor([[21, 22],
            [41, 42]])
    """
    if _is_one(alpha):
        return _plain_add(input, other, out=out)
    return _add_scaled(input, other, alpha, out=out)


@spelled(
    EVERYWHERE,
    operators=("__sub__", "__isub__"),
    aliases=("subtract",),
    in_place=sub_,
    operator=operator_door(_SUB),
)
def sub(input: Any, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """input - alpha · other, element by element, broadcast, in the promoted dtype. Bools are refused.

    >>> torch.sub(torch.tensor([5.0, 7.0]), 2)
    tensor([3., 5.])
    """
    if _is_one(alpha):
        return _plain_sub(input, other, out=out)
    return _sub_scaled(input, other, alpha, out=out)


@spelled(("torch",), operators=("__rsub__",), operator=operator_door(_RSUB))
def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """other - alpha · input.

    >>> torch.rsub(torch.tensor([1.0, 2.0]), 1)
    tensor([ 0., -1.])
    """
    if _is_one(alpha):
        return _plain_rsub(input, other)
    return _rsub_scaled(input, other, alpha)


# ---------------------------------------------------------------- products
@pointwise(where=EVERYWHERE, operators=("__mul__", "__rmul__", "__imul__"), aliases=("multiply",))
def mul(x: Expression, y: Expression) -> Expression:
    """x · y, element by element, broadcast to a common shape, in the promoted dtype.

    >>> torch.mul(torch.tensor([1.0, 2.0]), 3)
    tensor([3., 6.])
    """
    return x * y


def _at_least_integers(d: dtype) -> tuple[dtype, dtype]:
    """Bools are multiplied as int64."""
    d = dtypes.int64 if d is bool_ else d
    return d, d


@pointwise(_at_least_integers, where=EVERYWHERE, node="PowBackward0")
def square(x: Expression) -> Expression:
    """x².

    >>> torch.square(torch.tensor([-2.0, 3.0]))
    tensor([4., 9.])
    """
    return x * x


@square.backward
def _(g: Expression, y: Expression, x: Expression) -> Expression:
    return g * (x * 2) if not x.dtype.is_complex else g * Expression("conj", (x,), x.dtype) * 2


# ---------------------------------------------------------------- signs
def _refuse_bool_negation(x: Any) -> None:
    if dtype_of(x) is bool_:
        wrong = "negation, the - operator, of a bool tensor is not supported"
        raise RuntimeError(message("neg", wrong, "to invert a mask, use ~ or logical_not()"))


@pointwise(where=EVERYWHERE, operators=("__neg__",), aliases=("negative",), refuse=_refuse_bool_negation)
def neg(x: Expression) -> Expression:
    """-x. RuntimeError for bools.

    >>> torch.neg(torch.tensor([1, -2]))
    tensor([-1,  2])
    """
    return -x


@spelled(operators=("__pos__",))
def positive(input: Tensor) -> Tensor:
    """input itself. RuntimeError for bools."""
    if input.form.dtype is bool_:
        raise RuntimeError(message("positive", "the + operator on a bool tensor is not supported"))
    return input


def _refuse_bool_size(x: Any) -> None:
    if dtype_of(x) is bool_:
        raise NotImplementedError(message("abs", "not implemented for 'Bool'", "the operand must be of numbers"))


@pointwise(
    real_part, name="abs", refuse=_refuse_bool_size, where=EVERYWHERE, operators=("__abs__",), aliases=("absolute",)
)
def absolute(x: Expression) -> Expression:
    """|x|; of a complex number its modulus. Its gradient at 0 is 0.

    >>> torch.abs(torch.tensor([-1.5, 2.0]))
    tensor([1.5000, 2.0000])
    """
    return x if x.dtype.kind == "b" else abs_(x)


@absolute.backward
def _(g: Expression, y: Expression, x: Expression) -> Expression:
    if x.dtype.is_complex:
        return where(y == 0, 0, x / y) * g
    return where(x > 0, g, where(x < 0, -g, 0))
