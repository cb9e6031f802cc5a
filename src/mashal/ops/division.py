"""Quotients and remainders.

Integers by zero: a RuntimeError that says ZeroDivisionError, as PyTorch has it. The kernels themselves give 0 there, so the
divisor is looked at beforehand (`refuse_zero`).
"""

from __future__ import annotations

import ctypes
from typing import Any

from mashal.core.dtypes import bool as bool_
from mashal.core.forms import Form, form
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang import expression as e
from mashal.lang.expression import Expression, constant, operand, where
from mashal.lang.nest import Nest, Operand
from mashal.ops.arithmetic import EVERYWHERE, dtype_of
from mashal.ops.comparison import refuse_complex
from mashal.ops.define import (
    Pointwise,
    door,
    floating,
    in_place_door,
    is_operand,
    operator_door,
    pointwise,
    same,
    spelled,
)
from mashal.ops.run import plan_rowwise, remember

# ---------------------------------------------------------------- division by zero
_zero_plans: dict[Form, Any] = {}


def _has_zero(x: Tensor) -> bool:
    f = x.form
    if not f.numel or f.device.type == "meta":
        return False
    plan = _zero_plans.get(f)
    if plan is None:
        found = e.over("any", operand(0, f.dtype) == 0)
        nest = Nest(((found, bool_),), (Operand(f.dtype),))
        one = form(bool_, f.device, ())
        seen = one.viewed((1,) * f.rank, (0,) * f.rank)
        plan = remember(_zero_plans, f, plan_rowwise(nest, [f], f.shape, range(f.rank), [seen], [one]))
    return bool(ctypes.c_uint8.from_address(plan(x).data_ptr()).value)


def refuse_zero(name: str, x: Any, y: Any) -> None:
    """RuntimeError if integers are divided and a divisor is 0."""
    if dtype_of(x).kind in "fc" or dtype_of(y).kind in "fc":
        return
    if isinstance(x, Tensor) and not x.form.numel:
        return
    if _has_zero(y) if isinstance(y, Tensor) else not y:
        raise RuntimeError(message(name, "ZeroDivisionError: an integer divisor is 0"))


# ---------------------------------------------------------------- rounded quotients of elements
def _truncated(x: Expression, y: Expression) -> Expression:
    if x.dtype.kind == "f":
        return e.trunc(x / y)
    q = x / y
    if x.dtype.kind != "i":
        return q
    inexact = (x % y) != 0
    return where(inexact & ((x < 0) ^ (y < 0)), q + 1, q)


def _floored(x: Expression, y: Expression) -> Expression:
    """The quotient rounded down, from the exact remainder, so that it is right where x / y rounds up to an integer."""
    if x.dtype.kind != "f":
        return x / y
    rest = e.fmod(x, y)
    q = (x - rest) / y
    q = where((rest != 0) & ((y < 0) ^ (rest < 0)), q - 1, q)
    down = e.floor(q)
    nearest = where(q - down > 0.5, down + 1, down)
    return where(y == 0, x / y, where(q == 0, e.copysign(constant(0, x.dtype), x / y), nearest))


def _nothing(g: Expression, y: Expression, *operands: Expression) -> tuple:
    return (constant(0, g.dtype),) * len(operands)


_DIV = Pointwise("div", lambda x, y: x / y, floating, "DivBackward0")
_TRUNC = Pointwise("div", _truncated, same, "DivBackward2")
_FLOOR = Pointwise("div", _floored, same, "DivBackward2")
_RDIV = Pointwise("rdiv", lambda x, y: y / x, floating, "MulBackward0")
_FLOOR_DIVIDE = Pointwise("floor_divide", _floored, same, "FloorDivideBackward0", refuse_complex("floor_divide"))
_DIV.reuses = False  # a quotient is often changed in place, as in scores /= n; scores += mask
_TRUNC.gradients = _FLOOR.gradients = _FLOOR_DIVIDE.gradients = _nothing
_plain_div_ = in_place_door(_DIV)
_div, _trunc, _floor, _floor_divide = map(door, (_DIV, _TRUNC, _FLOOR, _FLOOR_DIVIDE))


def _rounded(mode: Any) -> tuple[Pointwise, Any]:
    if mode == "trunc":
        return _TRUNC, _trunc
    if mode == "floor":
        return _FLOOR, _floor
    raise RuntimeError(message("div", f"rounding_mode is {mode!r}", "it must be None, 'trunc' or 'floor'"))


def div_(input: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """div, written into the tensor itself."""
    if rounding_mode is None:
        return _plain_div_(input, other)
    op, _ = _rounded(rounding_mode)
    refuse_zero("div", input, other)
    return op.in_place((input, other))


# ---------------------------------------------------------------- quotients
@spelled(
    EVERYWHERE,
    operators=("__truediv__", "__itruediv__"),
    aliases=("divide",),
    in_place=div_,
    operator=operator_door(_DIV),
)
def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Tensor | None = None) -> Tensor:
    """input / other, element by element, broadcast. Integers give the default floating dtype.

    rounding_mode: None, or "trunc" (towards zero) or "floor" (down), which keep integers integers; those by 0 are a RuntimeError.

    >>> torch.div(torch.tensor([7, -7]), 2)
    tensor([ 3.5000, -3.5000])
    >>> torch.div(torch.tensor([7, -7]), 2, rounding_mode="floor")
    tensor([ 3, -4])
    """
    if rounding_mode is None:
        return _div(input, other, out=out)
    _, rounded = _rounded(rounding_mode)
    refuse_zero("div", input, other)
    return rounded(input, other, out=out)


def true_divide_(input: Tensor, other: Any) -> Tensor:
    """true_divide, written into the tensor itself."""
    return _DIV.in_place((input, other))


@spelled(EVERYWHERE, in_place=true_divide_)
def true_divide(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input / other, as `div` without rounding."""
    return _div(input, other, out=out)


def floor_divide_(input: Tensor, other: Any) -> Tensor:
    """floor_divide, written into the tensor itself."""
    refuse_zero("floor_divide", input, other)
    return _FLOOR_DIVIDE.in_place((input, other))


def _floor_operator(x: Any, y: Any) -> Any:
    return floor_divide(x, y) if is_operand(x) and is_operand(y) else NotImplemented


@spelled(
    EVERYWHERE,
    operators=("__floordiv__", "__rfloordiv__", "__ifloordiv__"),
    in_place=floor_divide_,
    operator=_floor_operator,
)
def floor_divide(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input / other rounded down, in the promoted dtype. RuntimeError for integers by 0.

    >>> torch.floor_divide(torch.tensor([7.0, -7.0]), 2)
    tensor([ 3., -4.])
    """
    refuse_zero("floor_divide", input, other)
    return _floor_divide(input, other, out=out)


@spelled((), name="rdiv", operators=("__rtruediv__",), operator=operator_door(_RDIV))
def _rtruediv(input: Tensor, other: Any) -> Tensor:
    """other / input."""
    return _div(other, input)


@pointwise(floating, where=EVERYWHERE)
def reciprocal(x: Expression) -> Expression:
    """1 / x.

    >>> torch.reciprocal(torch.tensor([2.0, -4.0]))
    tensor([ 0.5000, -0.2500])
    """
    return constant(1, x.dtype) / x


@reciprocal.backward
def _(g: Expression, y: Expression, x: Expression) -> Expression:
    square = y * y
    return -g * (Expression("conj", (square,), y.dtype) if y.dtype.is_complex else square)


# ---------------------------------------------------------------- remainders
def _fmod(x: Expression, y: Expression) -> Expression:
    if x.dtype.kind == "f":
        return e.fmod(x, y)
    rest = x % y
    return where((rest != 0) & ((x < 0) ^ (y < 0)), rest - y, rest) if x.dtype.kind == "i" else rest


_REMAINDER = Pointwise("remainder", lambda x, y: x % y, same, "RemainderBackward0")
_FMOD = Pointwise("fmod", _fmod, same, "FmodBackward0")
_FMOD.gradients = lambda g, z, x, y: (g, -g * e.trunc(x / y))
_FMOD.tensors = 1
_remainder, _plain_fmod = door(_REMAINDER), door(_FMOD)


def remainder_(input: Tensor, other: Any) -> Tensor:
    """remainder, written into the tensor itself."""
    refuse_zero("remainder", input, other)
    return _REMAINDER.in_place((input, other))


def fmod_(input: Tensor, other: Any) -> Tensor:
    """fmod, written into the tensor itself."""
    refuse_zero("fmod", input, other)
    return _FMOD.in_place((input, other))


def _remainder_operator(x: Any, y: Any) -> Any:
    return remainder(x, y) if is_operand(x) and is_operand(y) else NotImplemented


@spelled(EVERYWHERE, operators=("__mod__", "__rmod__", "__imod__"), in_place=remainder_, operator=_remainder_operator)
def remainder(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """What Python's % gives: input - other · floor(input / other), with the divisor's sign.

    >>> torch.remainder(torch.tensor([-4.0, 4.0]), 3)
    tensor([2., 1.])
    """
    refuse_zero("remainder", input, other)
    return _remainder(input, other, out=out)


@spelled(EVERYWHERE, in_place=fmod_)
def fmod(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """What C's fmod gives: input - other · trunc(input / other), with the dividend's sign.

    >>> torch.fmod(torch.tensor([-5.0, 5.0]), 3)
    tensor([-2.,  2.])
    """
    refuse_zero("fmod", input, other)
    return _plain_fmod(input, other, out=out)
