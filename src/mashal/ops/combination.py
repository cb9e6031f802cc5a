"""Several tensors in one formula: lerp, addcmul, addcdiv; and what replaces or steps: nan_to_num, heaviside, ldexp, frexp."""

from __future__ import annotations

from typing import Any

from mashal.core import dtypes
from mashal.core.dtypes import dtype, finfo
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang import expression as e
from mashal.lang.expression import Expression, constant, where
from mashal.ops.arithmetic import EVERYWHERE, check_alpha, dtype_of, mul
from mashal.ops.define import Pointwise, door, floating, pointwise, same, spelled, write_out
from mashal.ops.powers import pow
from mashal.ops.promotion import floating as as_floating
from mashal.ops.reducing import in_dtype
from mashal.ops.return_types import return_type
from mashal.ops.run import scalar_name


# ---------------------------------------------------------------- lerp
def _check_lerp(input: Any, end: Any, weight: Any) -> None:
    for name, x in (("end", end), ("weight", weight)):
        if isinstance(x, Tensor) and x.form.dtype is not input.form.dtype:
            raise RuntimeError(
                message("lerp", f"expected dtype {input.form.dtype} for `{name}` but got dtype {x.form.dtype}")
            )
    if input.form.dtype.kind not in "fc":
        raise NotImplementedError(
            message("lerp", f"not implemented for '{scalar_name(input.form.dtype)}'", "tensors must be floating")
        )


def _lerp(x: Expression, y: Expression, w: Expression) -> Expression:
    """From the nearer end, so that both ends are met exactly."""
    step = y - x
    near = e.abs_(w) < 0.5 if w.dtype.is_complex else w < 0.5
    return where(near, e.multiply_add(step, w, x), e.multiply_add(step, w - 1, y))


def _lerp_gradients(g: Expression, z: Expression, x: Expression, y: Expression, w: Expression) -> tuple:
    if not x.dtype.is_complex:
        return g * (1 - w), g * w, g * (y - x)
    u = Expression("conj", (w,), w.dtype)
    return g * (1 - u), g * u, g * Expression("conj", (y - x,), x.dtype)


_LERP_NUMBER = Pointwise("lerp", _lerp, same, "LerpBackward0", _check_lerp)
_LERP_TENSOR = Pointwise("lerp", _lerp, same, "LerpBackward1", _check_lerp)
for _op in (_LERP_NUMBER, _LERP_TENSOR):
    _op.gradients, _op.tensors = _lerp_gradients, 2
_lerp_number, _lerp_tensor = door(_LERP_NUMBER), door(_LERP_TENSOR)


def lerp_(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """lerp, written into the tensor itself."""
    return (_LERP_TENSOR if isinstance(weight, Tensor) else _LERP_NUMBER).in_place((input, end, weight))


@spelled(EVERYWHERE, in_place=lerp_)
def lerp(input: Tensor, end: Tensor, weight: Any, *, out: Tensor | None = None) -> Tensor:
    """input + weight · (end - input), broadcast. Both of one floating dtype; weight a number or a tensor of it.

    >>> torch.lerp(torch.tensor([0.0, 10.0]), torch.tensor([10.0, 20.0]), 0.3)
    tensor([ 3., 13.])
    """
    call = _lerp_tensor if isinstance(weight, Tensor) else _lerp_number
    return call(input, end, weight, out=out)


# ---------------------------------------------------------------- addcmul, addcdiv
def _check_value(name: str) -> Any:
    def refuse(input: Any, a: Any, b: Any, value: Any) -> None:
        check_alpha(name, input, mixed(a, b), value, "value")

    def mixed(a: Any, b: Any) -> Any:
        return a if dtype_of(a).kind in "fc" else b

    return refuse


def _check_addcdiv(input: Any, a: Any, b: Any, value: Any) -> None:
    if dtype_of(a).kind not in "fc" and dtype_of(b).kind not in "fc":
        raise RuntimeError(
            message("addcdiv", "Integer division with addcdiv is not supported", "make tensor1 or tensor2 floating")
        )
    _check_value("addcdiv")(input, a, b, value)


_ADDCMUL = Pointwise(
    "addcmul", lambda x, a, b, v: e.multiply_add(v * a, b, x), same, "AddcmulBackward0", _check_value("addcmul")
)
_ADDCDIV = Pointwise("addcdiv", lambda x, a, b, v: x + v * a / b, same, "AddcdivBackward0", _check_addcdiv)
_addcmul, _addcdiv = door(_ADDCMUL), door(_ADDCDIV)


def addcmul_(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Tensor:
    """addcmul, written into the tensor itself."""
    return _ADDCMUL.in_place((input, tensor1, tensor2, value))


def addcdiv_(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Tensor:
    """addcdiv, written into the tensor itself."""
    return _ADDCDIV.in_place((input, tensor1, tensor2, value))


@spelled(EVERYWHERE, in_place=addcmul_)
def addcmul(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Tensor | None = None) -> Tensor:
    """input + value · tensor1 · tensor2, broadcast.

    >>> torch.addcmul(torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([3.0]), value=10)
    tensor([61.])
    """
    return _addcmul(input, tensor1, tensor2, value, out=out)


@spelled(EVERYWHERE, in_place=addcdiv_)
def addcdiv(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Tensor | None = None) -> Tensor:
    """input + value · tensor1 / tensor2, broadcast. RuntimeError if both are of integers."""
    return _addcdiv(input, tensor1, tensor2, value, out=out)


# ---------------------------------------------------------------- nan_to_num
def _replaced(x: Expression, *, nan: float, posinf: float, neginf: float) -> Expression:
    if x.dtype.is_complex:
        options = {"nan": nan, "posinf": posinf, "neginf": neginf}
        a, b = (Expression(part, (x,), x.dtype.to_real()) for part in ("real", "imag"))
        return Expression("complex", (_replaced(a, **options), _replaced(b, **options)), x.dtype)
    if x.dtype.kind != "f":
        return x
    finite = where(x == float("inf"), posinf, where(x == -float("inf"), neginf, x))
    return where(x == x, finite, nan)


_NAN_TO_NUM = Pointwise("nan_to_num", _replaced, same, "NanToNumBackward0")
_NAN_TO_NUM.gradients = lambda g, y, x, **options: where(e.abs_(x) < float("inf"), g, 0)
_nan_to_num = door(_NAN_TO_NUM)


def _replacements(input: Tensor, nan: float | None, posinf: float | None, neginf: float | None) -> dict[str, float]:
    d = input.form.dtype.to_real()
    most = finfo(d).max if d.kind == "f" else 0.0
    return {
        "nan": nan or 0.0,
        "posinf": most if posinf is None else float(posinf),
        "neginf": -most if neginf is None else float(neginf),
    }


def nan_to_num_(
    input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """nan_to_num, written into the tensor itself."""
    return _NAN_TO_NUM.in_place((input,), tuple(_replacements(input, nan, posinf, neginf).items()))


@spelled(EVERYWHERE, in_place=nan_to_num_)
def nan_to_num(
    input: Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """input with nan replaced by 0 (or `nan`), and infinities by the dtype's largest numbers (or `posinf`, `neginf`).

    >>> torch.nan_to_num(torch.tensor([float("nan"), float("inf")]), posinf=9.0)
    tensor([0., 9.])
    """
    return _nan_to_num(input, out=out, **_replacements(input, nan, posinf, neginf))


# ---------------------------------------------------------------- steps
def _check_heaviside(input: Any, values: Any) -> None:
    if dtype_of(input).kind == "c" or dtype_of(values).kind == "c":
        raise RuntimeError(message("heaviside", "complex numbers have no sign"))
    if dtype_of(input) is not dtype_of(values):
        wrong = f"input is of {dtype_of(input)} and values of {dtype_of(values)}"
        raise RuntimeError(message("heaviside", wrong, "heaviside needs both of one dtype"))


@pointwise(where=EVERYWHERE, refuse=_check_heaviside, tensors=2)
def heaviside(x: Expression, values: Expression) -> Expression:
    """0 below 0, 1 above, and values at 0.

    >>> torch.heaviside(torch.tensor([-1.0, 0.0, 2.0]), torch.tensor(0.5))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return where(x == 0, values, where(x > 0, constant(1, x.dtype), 0))


@heaviside.backward
def _(g: Expression, y: Expression, x: Expression, values: Expression) -> tuple:
    return constant(0, g.dtype), constant(0, g.dtype)


# ---------------------------------------------------------------- mantissas and exponents
def ldexp_(input: Tensor, other: Any) -> Tensor:
    """ldexp, written into the tensor itself."""
    return mul.in_place(input, pow(2.0, other))


@spelled(EVERYWHERE, in_place=ldexp_)
def ldexp(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input · 2^other.

    >>> torch.ldexp(torch.tensor([1.0]), torch.tensor([3]))
    tensor([8.])
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"ldexp(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    if isinstance(other, Tensor) and other.form.dtype.kind in "iu" and input.form.dtype.kind == "f":
        exact = mul(in_dtype(input, dtypes.float64), pow(2.0, in_dtype(other, dtypes.float64)))
        y = in_dtype(exact, input.form.dtype)  # in between 2^other may be too large for the dtype
        return y if out is None else write_out("ldexp", out, y)
    return mul(input, pow(2.0, other), out=out)


def _to_int32(d: dtype) -> tuple[dtype, dtype]:
    return as_floating(d), dtypes.int32


def _mantissa_gradient(g: Expression, y: Expression, x: Expression) -> Expression:
    """1 / 2ⁿ, the mantissa's quotient by the number; 0 where the number is 0."""
    return where(x == 0, 0, g * (y / x))


_MANTISSA = Pointwise("frexp", e.frexp_mantissa, floating, "FrexpBackward0")
_MANTISSA.gradients = _mantissa_gradient
_EXPONENT = Pointwise("frexp", lambda x: Expression("frexp_exponent", (x,), dtypes.int32), _to_int32, "FrexpBackward0")
_mantissa, _exponent = door(_MANTISSA), door(_EXPONENT)
_FREXP = return_type("frexp", "mantissa", "exponent")


@spelled()
def frexp(input: Tensor, *, out: Any = None) -> Any:
    """(mantissa, exponent) with input = mantissa · 2^exponent and |mantissa| in [½, 1); exponent is int32.

    >>> torch.frexp(torch.tensor([8.0])).exponent
    tensor([4], dtype=torch.int32)
    """
    if input.form.dtype.kind != "f":
        raise RuntimeError(
            message("frexp", f"the input is of {input.form.dtype}", "torch.frexp() takes floating tensors only")
        )
    mantissa, exponent = (None, None) if out is None else out
    return _FREXP(_mantissa(input, out=mantissa), _exponent(input, out=exponent))
