"""Complex tensors: made of parts, taken apart, conjugated. A real tensor is its own real part and conjugate."""

from __future__ import annotations

import math
from typing import Any

from mashal.core import dtypes
from mashal.core.dtypes import dtype
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang import expression as e
from mashal.lang.complex import conjugate, joined
from mashal.lang.complex import imag as imag_of
from mashal.lang.complex import real as real_of
from mashal.lang.expression import Expression, constant, where
from mashal.ops.arithmetic import EVERYWHERE, dtype_of
from mashal.ops.define import Pointwise, door, floating, pointwise, same, spelled
from mashal.ops.parts import select
from mashal.ops.views import view_as_real


# ---------------------------------------------------------------- parts
def _part(input: Tensor, which: int) -> Tensor:
    return select(view_as_real(input), -1, which)


def _set_real(input: Tensor, value: Any) -> None:
    real(input).copy_(value)  # type: ignore[attr-defined]


def _set_imag(input: Tensor, value: Any) -> None:
    imag(input).copy_(value)  # type: ignore[attr-defined]


@spelled(("torch", "property"), setter=_set_real)
def real(input: Tensor) -> Tensor:
    """The real parts, a view; of a real tensor the tensor itself."""
    return _part(input, 0) if input.form.dtype.is_complex else input


@spelled(("torch", "property"), setter=_set_imag)
def imag(input: Tensor) -> Tensor:
    """The imaginary parts, a view. RuntimeError for a real tensor."""
    if not input.form.dtype.is_complex:
        right = "imag is not implemented for tensors with non-complex dtypes"
        raise RuntimeError(message("imag", f"the input is of {input.form.dtype}", right))
    return _part(input, 1)


def _to_complex(d: dtype) -> tuple[dtype, dtype]:
    return d, d.to_complex()


_COMPLEX = Pointwise("complex", joined, _to_complex, "ComplexBackward0")
_COMPLEX.gradients = lambda g, z, a, b: (real_of(g), imag_of(g))
_complex = door(_COMPLEX)


def _check_parts(name: str, a: Any, b: Any) -> None:
    for which, x in enumerate((a, b), 1):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}(): argument (position {which}) must be Tensor, not {type(x).__name__}")
    if dtype_of(a) is not dtype_of(b):
        wrong = f"the parts are of {dtype_of(a)} and {dtype_of(b)}"
        raise RuntimeError(message(name, wrong, "they must be of one dtype"))
    if dtype_of(a) not in (dtypes.float16, dtypes.float32, dtypes.float64):
        raise RuntimeError(message(name, f"the parts are of {dtype_of(a)}", "they must be of Half, Float or Double"))


@spelled(("torch",), name="complex")
def complex_op(real: Tensor, imag: Tensor, *, out: Tensor | None = None) -> Tensor:
    """real + imag·i.

    >>> torch.complex(torch.tensor([1.0]), torch.tensor([2.0]))
    tensor([1.+2.j])
    """
    _check_parts("complex", real, imag)
    made = real.form.dtype.to_complex()
    if out is not None and out.form.dtype is not made:
        raise RuntimeError(message("complex", f"out is of {out.form.dtype}", f"it must be of {made}"))
    return _complex(real, imag, out=out)


_POLAR = Pointwise("polar", lambda r, a: joined(r * e.cos(a), r * e.sin(a)), _to_complex, "PolarBackward0")
_polar = door(_POLAR)


def _polar_gradients(g: Expression, z: Expression, r: Expression, a: Expression) -> tuple:
    along = conjugate(g) * joined(e.cos(a), e.sin(a))
    return real_of(along), -imag_of(along) * r


_POLAR.gradients = _polar_gradients


@spelled(("torch",))
def polar(abs: Tensor, angle: Tensor, *, out: Tensor | None = None) -> Tensor:
    """abs · (cos angle + i·sin angle)."""
    _check_parts("polar", abs, angle)
    return _polar(abs, angle, out=out)


def _angle_rule(d: dtype) -> tuple[dtype, dtype]:
    d, _ = floating(d)
    return d, d.to_real()


@pointwise(_angle_rule)
def angle(x: Expression) -> Expression:
    """The angle to the positive axis: of real numbers 0 or π."""
    if x.dtype.is_complex:
        return e.atan2(imag_of(x), real_of(x))
    return where(x < 0, constant(math.pi, x.dtype), where(x == x, 0, x))


@angle.backward
def _(g: Expression, y: Expression, x: Expression) -> Expression:
    if not x.dtype.is_complex:
        return constant(0, g.dtype)
    a, b = real_of(x), imag_of(x)
    square = a * a + b * b
    scale = where(square == 0, 0, g / square)
    return joined(-b * scale, a * scale)


# ---------------------------------------------------------------- conjugates
_CONJ = Pointwise("conj_physical", conjugate, same, "ConjBackward0")
_conj = door(_CONJ)


def conj_physical_(input: Tensor) -> Tensor:
    """conj_physical, written into the tensor itself."""
    return _CONJ.in_place((input,))


@spelled(EVERYWHERE, in_place=conj_physical_)
def conj_physical(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The complex conjugate, a new tensor; a real tensor is its own."""
    return _conj(input, out=out) if input.form.dtype.is_complex or out is not None else input


@spelled()
def conj(input: Tensor) -> Tensor:
    """The complex conjugate; a real tensor is its own.

    >>> torch.conj(torch.tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    return conj_physical(input)


@spelled()
def resolve_conj(input: Tensor) -> Tensor:
    """The tensor itself: conjugates are always computed."""
    return input


@spelled()
def resolve_neg(input: Tensor) -> Tensor:
    """The tensor itself: negatives are always computed."""
    return input
