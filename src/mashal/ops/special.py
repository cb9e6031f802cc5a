"""Special functions: error functions, gamma functions, Bessel functions, entropies and the normal distribution.

Public in mashal.special, several also at the top. The vector code is lower.special's.
"""

from __future__ import annotations

import math
from typing import Any

from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang import expression as e
from mashal.lang.derivative import RULES
from mashal.lang.expression import Expression, constant, where
from mashal.ops.arithmetic import EVERYWHERE, add
from mashal.ops.comparison import refuse_complex
from mashal.ops.define import Pointwise, door, floating, pointwise, spelled

SPECIAL = ("special",)
INFINITY = float("inf")


def _function(name: str, text: str, where: tuple = SPECIAL, aliases: tuple = ()) -> Any:
    """The function of a name, as it is in formulas."""

    def body(x: Expression) -> Expression:
        return e.apply(name, x)

    body.__doc__ = text
    node = f"Special{name.capitalize()}Backward0" if where is SPECIAL else ""
    node = node.replace("0e", "0E").replace("1e", "1E").replace("Log_ndtr", "LogNdtr")
    return pointwise(floating, name=name, node=node, where=where, aliases=aliases, refuse=refuse_complex(name))(body)


# ---------------------------------------------------------------- error functions
erf = _function("erf", "The error function 2/√π · ∫₀ˣ exp(-t²) dt.", EVERYWHERE, ("special.erf",))
erfc = _function("erfc", "1 - erf(x), with all digits where erf is near 1.", EVERYWHERE, ("special.erfc",))
erfinv = _function("erfinv", "The y with erf(y) = x; infinite at ±1.", EVERYWHERE, ("special.erfinv",))
erfinv.operation.reuses = False  # as PyTorch, which keeps the operand
erfcx = _function("erfcx", "exp(x²)·erfc(x), without underflow.")

# ---------------------------------------------------------------- the normal distribution
ndtr = _function("ndtr", "Φ(x), the normal distribution function.")
log_ndtr = _function("log_ndtr", "log Φ(x), also where Φ underflows.")
ndtri = _function("ndtri", "The x with Φ(x) = p.")

# ---------------------------------------------------------------- Bessel functions
i0 = _function(
    "i0",
    "The modified Bessel function of the first kind of order 0.",
    EVERYWHERE,
    ("special.i0", "special.modified_bessel_i0"),
)
i0e = _function("i0e", "exp(-|x|)·i0(x).")
i1 = _function("i1", "The modified Bessel function of the first kind of order 1.", SPECIAL, ("modified_bessel_i1",))
i1e = _function("i1e", "exp(-|x|)·i1(x).")
modified_bessel_k0 = _function("modified_bessel_k0", "The modified Bessel function of the second kind of order 0.")
modified_bessel_k1 = _function("modified_bessel_k1", "The modified Bessel function of the second kind of order 1.")
scaled_modified_bessel_k0 = _function("scaled_modified_bessel_k0", "exp(x)·modified_bessel_k0(x).")
scaled_modified_bessel_k1 = _function("scaled_modified_bessel_k1", "exp(x)·modified_bessel_k1(x).")


@pointwise(floating, where=SPECIAL)
def spherical_bessel_j0(x: Expression) -> Expression:
    """sin(x) / x, and 1 at 0."""
    return where(x == 0, 1, where(e.abs_(x) == INFINITY, 0, e.sin(x) / x))


# ---------------------------------------------------------------- gamma functions
lgamma = _function("lgamma", "log|Γ(x)|.", EVERYWHERE, ("special.gammaln",))
digamma = _function("digamma", "The derivative of log Γ.", EVERYWHERE, ("special.digamma", "special.psi"))


@pointwise(floating, where=SPECIAL, node="SpecialZetaBackward0")
def zeta(s: Expression, q: Expression) -> Expression:
    """Hurwitz's zeta function Σ (q + k)⁻ˢ over k = 0, 1, … for s > 1.

    >>> torch.special.zeta(torch.tensor([2.0]), torch.tensor([1.0]))
    tensor([1.6449])
    """
    return e.zeta(s, q)


@zeta.backward
def _(g: Expression, y: Expression, s: Expression, q: Expression) -> tuple:
    return None, -g * s * e.zeta(s + 1, q)


def _polygamma(x: Expression, *, n: int) -> Expression:
    """(-1)ⁿ⁺¹ n! ζ(n + 1, x); below ½ of order 1 by reflection."""
    if n == 0:
        return e.digamma(x)
    if n == 1:
        return _trigamma(x)
    return e.zeta(constant(n + 1, x.dtype), x) * (math.factorial(n) * (-1) ** (n + 1))


def _trigamma(x: Expression) -> Expression:
    y = e.zeta(constant(2, x.dtype), where(x < 0.5, 1 - x, x))
    sine = e.sin(x * math.pi)
    return where(x < 0.5, (math.pi * math.pi) / (sine * sine) - y, y)


_POLYGAMMA = Pointwise("polygamma", _polygamma, floating, "PolygammaBackward0")
_POLYGAMMA.gradients = lambda g, y, x, *, n: g * _polygamma(x, n=n + 1)
_polygamma_of = door(_POLYGAMMA)
RULES["digamma"] = lambda g, y, a: (g * _trigamma(a),)


def _order(n: Any) -> int:
    if not isinstance(n, int) or isinstance(n, bool):
        raise TypeError(f"polygamma(): argument 'n' (position 1) must be int, not {type(n).__name__}")
    if n < 0:
        raise RuntimeError(message("polygamma", f"n is {n}", "polygamma(n, x) does not support negative n"))
    return n


def _polygamma_in_place(input: Tensor, n: int) -> Tensor:
    """polygamma, written into the tensor itself."""
    return _POLYGAMMA.in_place((input,), (("n", _order(n)),))


def _polygamma_method(input: Tensor, n: int) -> Tensor:
    """The n-th derivative of digamma."""
    return _polygamma_of(input, n=_order(n))


@spelled(aliases=("special.polygamma",), in_place=_polygamma_in_place, method=_polygamma_method)
def polygamma(n: int, input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The n-th derivative of digamma.

    >>> torch.polygamma(1, torch.tensor([1.0]))
    tensor([1.6449])
    """
    return _polygamma_of(input, n=_order(n), out=out)


def _mvlgamma_in_place(input: Tensor, p: int) -> Tensor:
    """mvlgamma, written into the tensor itself."""
    return input.copy_(mvlgamma(input, p))  # type: ignore[attr-defined]


@spelled(aliases=("special.multigammaln",), in_place=_mvlgamma_in_place)
def mvlgamma(input: Tensor, p: int, *, out: Tensor | None = None) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p: p(p-1)/4·log π + Σⱼ lgamma(x - j/2), j = 0 … p - 1."""
    if input.form.dtype.kind == "b":
        raise RuntimeError(message("mvlgamma", "the input is a bool tensor", "it must be of numbers"))
    if p < 1:
        raise RuntimeError(message("mvlgamma", f"p is {p}", "p has to be greater than or equal to 1"))
    total: Any = p * (p - 1) / 4 * math.log(math.pi)
    for j in range(p):
        total = add(lgamma(add(input, -j / 2)), total)
    return add(total, 0, out=out) if out is not None else total


def _incomplete(name: str, alias: str, of: Any, sign: int, text: str) -> Any:
    def body(a: Expression, x: Expression) -> Expression:
        return of(a, x)

    body.__doc__ = text
    call = pointwise(floating, name=name, where=EVERYWHERE, aliases=(alias,), tensors=2)(body)
    call.backward(lambda g, y, a, x: (None, g * sign * e.exp((a - 1) * e.log(x) - x - e.lgamma(a))))
    return call


_LOWER = "The lower incomplete gamma function ∫₀ˣ tᵃ⁻¹ e⁻ᵗ dt / Γ(a). Its gradient is that of x alone."
_UPPER = "The upper incomplete gamma function, 1 - igamma(a, x). Its gradient is that of x alone."
igamma = _incomplete("igamma", "special.gammainc", e.gamma_p, 1, _LOWER)
igammac = _incomplete("igammac", "special.gammaincc", e.gamma_q, -1, _UPPER)


# ---------------------------------------------------------------- products with logarithms
@pointwise(floating, where=EVERYWHERE, aliases=("special.xlogy",))
def xlogy(x: Expression, y: Expression) -> Expression:
    """x·log(y), and 0 where x is 0 (unless y is nan)."""
    return e.xlogy(x, y)


@xlogy.backward
def _(g: Expression, z: Expression, x: Expression, y: Expression) -> tuple:
    return where((x == 0) & (y <= 0), 0, g * e.log(y)), g * x / y


@pointwise(floating, where=SPECIAL, node="SpecialXlog1pyBackward0")
def xlog1py(x: Expression, y: Expression) -> Expression:
    """x·log(1 + y), and 0 where x is 0 (unless y is nan)."""
    return e.xlog1py(x, y)


@xlog1py.backward
def _(g: Expression, z: Expression, x: Expression, y: Expression) -> tuple:
    return where((x == 0) & (y <= -1), 0, g * e.log1p(y)), g * x / (y + 1)


@pointwise(floating, where=SPECIAL, node="SpecialEntrBackward0")
def entr(x: Expression) -> Expression:
    """-x·log(x) above 0, 0 at 0, -inf below."""
    return where(x != x, x, where(x > 0, -x * e.log(x), where(x == 0, 0, constant(-INFINITY, x.dtype))))


@entr.backward
def _(g: Expression, y: Expression, x: Expression) -> Expression:
    return g * where(x >= 0, -e.log(x) - 1, float("nan"))


# ---------------------------------------------------------------- logit
@pointwise(floating, where=EVERYWHERE, aliases=("special.logit",), refuse=refuse_complex("logit"))
def logit(x: Expression, *, eps: float | None = None) -> Expression:
    """log(x / (1 - x)), sigmoid's inverse; eps: x is first brought into [eps, 1 - eps].

    >>> torch.logit(torch.tensor([0.5, 0.9]))
    tensor([0.0000, 2.1972])
    """
    p = x if eps is None else where(x < eps, eps, where(x > 1 - eps, 1 - eps, x))
    return e.log(p / (1 - p))


@logit.backward
def _(g: Expression, y: Expression, x: Expression, *, eps: float | None) -> Expression:
    slope = g / (x * (1 - x))
    if eps is None:
        return where((x < 0) | (x > 1), float("nan"), slope)
    return where((x < eps) | (x > 1 - eps), 0, slope)
