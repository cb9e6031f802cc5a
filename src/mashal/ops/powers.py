"""Powers and roots.

`pow` by a number has PyTorch's shortcuts: by 2, 3, -1, -2, ½ and -½ it is products, quotients and roots. They are chosen by
the exponent's type too, for an int keeps integers integers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.core import dtypes
from mashal.core.dtypes import bool as bool_
from mashal.core.dtypes import dtype
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang import expression as e
from mashal.lang.derivative import RULES
from mashal.lang.expression import Expression, constant
from mashal.ops.arithmetic import EVERYWHERE, dtype_of
from mashal.ops.define import PLAIN, Pointwise, door, floating, is_operand, pointwise, spelled
from mashal.ops.holomorphic import holomorphic
from mashal.ops.promotion import result_type_of


# ---------------------------------------------------------------- roots
@holomorphic
@pointwise(floating, where=EVERYWHERE)
def sqrt(x: Expression) -> Expression:
    """The square root; nan below 0. Its gradient at 0 is infinite.

    >>> torch.sqrt(torch.tensor([4.0, 2.0]))
    tensor([2.0000, 1.4142])
    """
    return e.sqrt(x)


@holomorphic
@pointwise(floating, where=EVERYWHERE)
def rsqrt(x: Expression) -> Expression:
    """1 / √x.

    >>> torch.rsqrt(torch.tensor([4.0]))
    tensor([0.5000])
    """
    return e.rsqrt(x)


# ---------------------------------------------------------------- powers by numbers
def _integers(d: dtype) -> tuple[dtype, dtype]:
    d = dtypes.int64 if d is bool_ else d
    return d, d


def _baked(body: Callable[..., Any], gradient: Callable[..., Any], rule: Any) -> tuple[Pointwise, Any]:
    op = Pointwise("pow", body, rule, "PowBackward0")
    op.gradients = lambda g, y, x: g * _conj(gradient(y, x))
    return op, door(op)


def _conj(x: Expression) -> Expression:
    return Expression("conj", (x,), x.dtype) if x.dtype.is_complex else x


def _square(x: Expression) -> Expression:
    return x * x


def _cube(x: Expression) -> Expression:
    return x * x * x


def _inverse(x: Expression) -> Expression:
    return constant(1, x.dtype) / x


def _inverse_square(x: Expression) -> Expression:
    return constant(1, x.dtype) / (x * x)


_INTEGER = {
    2: _baked(_square, lambda y, x: x * 2, _integers),
    3: _baked(_cube, lambda y, x: x * x * 3, _integers),
}
_FLOATING = {
    2.0: _baked(_square, lambda y, x: x * 2, floating),
    3.0: _baked(_cube, lambda y, x: x * x * 3, floating),
    0.5: _baked(lambda x: e.sqrt(x), lambda y, x: _inverse(y * 2), floating),
    -0.5: _baked(lambda x: e.rsqrt(x), lambda y, x: y * y * y * -0.5, floating),
    -1.0: _baked(_inverse, lambda y, x: -(y * y), floating),
    -2.0: _baked(_inverse_square, lambda y, x: y / x * -2, floating),
}


def _power(x: Expression, y: Expression) -> Expression:
    return e.binary("pow", x, y)


def _power_gradients(g: Expression, y: Expression, x: Expression, w: Expression) -> tuple:
    """Of complex numbers too, where log 0 must not meet an exponent that makes 0."""
    if not y.dtype.is_complex:
        return RULES["pow"](g, y, x, w)
    x, w = e.cast(x, y.dtype), e.cast(w, y.dtype)
    of_base = e.where(w == 0, 0, g * _conj(w * _power(x, w - 1)))
    nothing = (x == 0) & (Expression("real", (w,), w.dtype.to_real()) >= 0)
    return of_base, e.where(nothing, 0, g * _conj(y * e.log(x)))


_POW = Pointwise("pow", _power, _integers, "PowBackward0")
_POW_TENSOR = Pointwise("pow", _power, _integers, "PowBackward1")
_POW_OF_NUMBER = Pointwise("pow", _power, _integers, "PowBackward2")
for _op in (_POW, _POW_TENSOR, _POW_OF_NUMBER):
    _op.gradients = _power_gradients
_pow, _pow_tensor, _pow_of_number = door(_POW), door(_POW_TENSOR), door(_POW_OF_NUMBER)


def _way(x: Any, exponent: Any) -> tuple[Pointwise, Any, bool]:
    """The operation, its door, and whether it takes the exponent."""
    kind = type(exponent)
    if not isinstance(x, Tensor):
        return _POW_OF_NUMBER, _pow_of_number, True
    if kind is not int and kind is not float:
        op, call = (_POW_TENSOR, _pow_tensor) if isinstance(exponent, Tensor) else (_POW, _pow)
        return op, call, True
    whole = isinstance(x, Tensor) and x.form.dtype.kind not in "fc"
    if kind is int and whole:
        if exponent < 0:
            wrong = f"the exponent is {exponent} and the base of {x.form.dtype}"
            raise RuntimeError(
                message("pow", wrong, "Integers to negative integer powers are not allowed; make the base floating")
            )
        found = _INTEGER.get(exponent)
    else:
        found = _FLOATING.get(exponent)
    return (_POW, _pow, True) if found is None else (*found, False)


def pow_(input: Tensor, exponent: Any) -> Tensor:
    """pow, written into the tensor itself."""
    op, _, binary = _way(input, exponent)
    return op.in_place((input, exponent) if binary else (input,))


def _operator(input: Any, exponent: Any, modulo: Any = None) -> Any:
    kind = type(exponent)
    if (kind is int or kind is float) and type(input) in PLAIN and modulo is None and input.form.dtype.kind in "fc":
        found = _FLOATING.get(exponent)
        return _pow(input, exponent) if found is None else found[1](input)
    return pow(input, exponent) if is_operand(input) and is_operand(exponent) and modulo is None else NotImplemented


@spelled(EVERYWHERE, operators=("__pow__", "__rpow__", "__ipow__"), in_place=pow_, operator=_operator)
def pow(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """input to the power of exponent, broadcast, in the promoted dtype.

    RuntimeError for integers to a negative number. A negative base gives nan unless the exponent is an integer.

    >>> torch.pow(torch.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    >>> torch.pow(2, torch.tensor([1, 2, 3]))
    tensor([2, 4, 8])
    """
    _, call, binary = _way(input, exponent)
    return call(input, exponent, out=out) if binary else call(input, out=out)


# ---------------------------------------------------------------- float_power
def _double(d: dtype) -> tuple[dtype, dtype]:
    d = dtypes.complex128 if d.is_complex else dtypes.float64
    return d, d


_FLOAT_POWER = Pointwise("float_power", _power, _double, "PowBackward1")
_FLOAT_POWER.gradients = _power_gradients
_float_power = door(_FLOAT_POWER)


def float_power_(input: Tensor, exponent: Any) -> Tensor:
    """float_power, written into the tensor itself, which must be float64 (or complex128)."""
    _, needed = _double(result_type_of((input, exponent)))
    if dtype_of(input) is not needed:
        raise RuntimeError(message("float_power_", f"the base is of {dtype_of(input)}", f"it must be of {needed}"))
    return _FLOAT_POWER.in_place((input, exponent))


@spelled(EVERYWHERE, in_place=float_power_)
def float_power(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """input to the power of exponent, computed in float64.

    >>> torch.float_power(torch.tensor([1, 2]), 2)
    tensor([1., 4.], dtype=torch.float64)
    """
    return _float_power(input, exponent, out=out)
