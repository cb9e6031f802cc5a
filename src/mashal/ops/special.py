"""Special functions: error functions, gamma functions, Bessel functions, entropies and the normal distribution.

Public in mashal.special, several also at the top. The vector code is lower.special's.
"""

from __future__ import annotations

import math
from typing import Any

from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang import expression as e
from mashal.lang.expression import Expression, constant, where
from mashal.ops.arithmetic import EVERYWHERE, add
from mashal.ops.comparison import refuse_complex
from mashal.ops.define import Pointwise, door, floating, pointwise, spelled

SPECIAL = ("special",)
INFINITY = float("inf")


def _function(
    name: str, text: str, where: tuple = SPECIAL, aliases: tuple = (), of: Any = None, tensors: int = 0
) -> Any:
    """The function of a name, as it is in formulas."""
    of = of or getattr(e, name)

    def body(x: Expression) -> Expression:
        return of(x)

    body.__doc__ = text
    return pointwise(floating, name=name, where=where, aliases=aliases, refuse=refuse_complex(name))(body)


# ---------------------------------------------------------------- error functions
erf = _function("erf", "The error function 2/√π · ∫₀ˣ exp(-t²) dt.", EVERYWHERE, ("special.erf",))
erfc = _function("erfc", "1 - erf(x), with all digits where erf is near 1.", EVERYWHERE, ("special.erfc",))
erfinv = _function("erfinv", "The y with erf(y) = x; infinite at ±1.", EVERYWHERE, ("special.erfinv",))
erfcx = _function("erfcx", "exp(x²)·erfc(x), without underflow.")

# ---------------------------------------------------------------- the normal distribution
ndtr = _function("ndtr", "Φ(x), the normal distribution function.")
log_ndtr = _function("log_ndtr", "log Φ(x), also where Φ underflows.")
ndtri = _function("ndtri", "The x with Φ(x) = p.")

# ---------------------------------------------------------------- Bessel functions
i0 = _function("i0", "The modified Bessel function of the first kind of order 0.", EVERYWHERE, ("special.i0",))
i0e = _function("i0e", "exp(-|x|)·i0(x).")
i1 = _function("i1", "The modified Bessel function of the first kind of order 1.")
i1e = _function("i1e", "exp(-|x|)·i1(x).")

# ---------------------------------------------------------------- gamma functions
lgamma = _function("lgamma", "log|Γ(x)|.", EVERYWHERE, ("special.gammaln",))
digamma = _function("digamma", "The derivative of log Γ.", EVERYWHERE, ("special.digamma", "special.psi"))

# B₂ₖ / (2k)!
_BERNOULLI = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600,
    -3617 / 10670622842880000, 43867 / 5109094217170944000,
)  # fmt: skip
_SHIFT = 9


def _zeta(s: Expression, q: Expression) -> Expression:
    """Σ (q + k)⁻ˢ: nine terms, then the rest by Euler and Maclaurin. For s > 1, q > 0."""
    total = constant(0, q.dtype)
    for k in range(_SHIFT):
        total = total + e.binary("pow", q + k, -s)
    a = q + _SHIFT
    last = e.binary("pow", a, -s)
    total = total + last * (a / (s - 1) + 0.5)
    factor, power = s, last / a
    for k, b in enumerate(_BERNOULLI):
        total = total + factor * power * b
        factor = factor * (s + (2 * k + 1)) * (s + (2 * k + 2))
        power = power / (a * a)
    return total


def _zeta_everywhere(s: Expression, q: Expression) -> Expression:
    whole = e.floor(q) == q
    below = where(whole, INFINITY, where(e.floor(s) == s, _zeta(s, q), float("nan")))
    value = where(q > 0, _zeta(s, q), below)
    return where(s == 1, INFINITY, where(s > 1, value, float("nan")))


@pointwise(floating, where=SPECIAL)
def zeta(s: Expression, q: Expression) -> Expression:
    """Hurwitz's zeta function Σ (q + k)⁻ˢ over k = 0, 1, … for s > 1.

    >>> torch.special.zeta(torch.tensor([2.0]), torch.tensor([1.0]))
    tensor([1.6449])
    """
    return _zeta_everywhere(s, q)


@zeta.backward
def _(g: Expression, y: Expression, s: Expression, q: Expression) -> tuple:
    return None, -g * s * _zeta_everywhere(s + 1, q)


def _polygamma(x: Expression, *, n: int) -> Expression:
    """(-1)ⁿ⁺¹ n! ζ(n + 1, x); below ½ of order 1 by reflection."""
    if n == 0:
        return e.digamma(x)
    if n == 1:
        return _trigamma(x)
    return _zeta_everywhere(constant(n + 1, x.dtype), x) * (math.factorial(n) * (-1) ** (n + 1))


def _trigamma(x: Expression) -> Expression:
    z = where(x < 0.5, 1 - x, x)
    y = _zeta(constant(2, x.dtype), z)
    sine = e.sin(x * math.pi)
    return where(x < 0.5, (math.pi * math.pi) / (sine * sine) - y, y)


_POLYGAMMA = Pointwise("polygamma", _polygamma, floating, "PolygammaBackward0")
_POLYGAMMA.gradients = lambda g, y, x, *, n: g * _polygamma(x, n=n + 1)
_polygamma_of = door(_POLYGAMMA)
digamma.backward(lambda g, y, x: g * _trigamma(x))


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


@spelled(aliases=("special.multigammaln",))
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


# ---------------------------------------------------------------- products with logarithms
@pointwise(floating, where=EVERYWHERE, aliases=("special.xlogy",))
def xlogy(x: Expression, y: Expression) -> Expression:
    """x·log(y), and 0 where x is 0 (unless y is nan)."""
    return e.xlogy(x, y)


@xlogy.backward
def _(g: Expression, z: Expression, x: Expression, y: Expression) -> tuple:
    return where((x == 0) & (y <= 0), 0, g * e.log(y)), g * x / y


@pointwise(floating, where=SPECIAL)
def xlog1py(x: Expression, y: Expression) -> Expression:
    """x·log(1 + y), and 0 where x is 0 (unless y is nan)."""
    return e.xlog1py(x, y)


@xlog1py.backward
def _(g: Expression, z: Expression, x: Expression, y: Expression) -> tuple:
    return where((x == 0) & (y <= -1), 0, g * e.log1p(y)), g * x / (y + 1)


@pointwise(floating, where=SPECIAL)
def entr(x: Expression) -> Expression:
    """-x·log(x) above 0, 0 at 0, -inf below."""
    return where(x != x, x, where(x > 0, -x * e.log(x), where(x == 0, 0, constant(-INFINITY, x.dtype))))


@entr.backward
def _(g: Expression, y: Expression, x: Expression) -> Expression:
    return g * where(x >= 0, -e.log(x) - 1, float("nan"))


# ---------------------------------------------------------------- logit
def _logit(x: Expression, *, eps: float | None = None) -> Expression:
    p = x if eps is None else where(x < eps, eps, where(x > 1 - eps, 1 - eps, x))
    return e.log(p / (1 - p))


def _logit_gradient(g: Expression, y: Expression, x: Expression, *, eps: float | None) -> Expression:
    slope = g / (x * (1 - x))
    if eps is None:
        return where((x < 0) | (x > 1), float("nan"), slope)
    return where((x < eps) | (x > 1 - eps), 0, slope)


logit = pointwise(floating, name="logit", where=EVERYWHERE, aliases=("special.logit",), refuse=refuse_complex("logit"))(
    _logit
)
logit.backward(_logit_gradient)
