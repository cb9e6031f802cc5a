"""Special functions of float and double lanes: the error function's family, gamma's, and the Bessel functions I.

All but erf and the fast normal distribution are computed in double for both types; floats then use shorter tables,
and are right to about half an ulp. Each is a slowly varying polynomial times (or plus) its leading behaviour.
"""

from __future__ import annotations

from mashal.lower.exponentials import exp_between, exp_parts, log, log_of_sum, log_short, sum_and_error
from mashal.lower.floating import (
    INFINITY,
    NAN,
    absolute,
    any_lane,
    at_most,
    coefficients_of,
    copysign,
    in_double,
    polynomial,
    product_and_error,
    scaled,
    sqrt,
    table,
)
from mashal.lower.trigonometry import sine_and_cosine_of_pi
from mashal.machine.text import Function, Value, element

PI = 3.141592653589793
HALF_SQRT_PI, TWO_BY_SQRT_PI, HALF_LOG_2PI = 0.886226925452758, 1.1283791670955126, 0.9189385332046728
SQRT_HALF, SQRT_2 = 0.7071067811865476, 1.4142135623730951
ERF_SMALL = 0.921875
ERF_LARGE = (  # of float: erf(x) = 1 - exp(-x·(1 + P(x))) up to 4
    (0.12864849210181736, 0.6351513084852122, 0.10623689141586605, -0.023762075340520692)
    + (0.003642465168920369, -0.0003228054327481623, 1.1231469917500607e-05)
)
NORMAL_ABOVE = (  # Φ(x) - ½ = x·P(x²)/Q(x²) up to 4√2, to 5e-7; own least squares
    (1.1283791393373281, 0.19354455358032896, 0.05310167647727944, 0.0038833221062007923)
    + (0.0002845654305816851, 1.986786369915324e-06)
)
NORMAL_BELOW = (1.0, 0.5048569503907956, 0.1153497881161557, 0.015207206579636664) + (
    0.0011855659126453165,
    3.7420192305349234e-05,
)


# ---------------------------------------------------------------- the error function
def _erf_small(f, x, coefficients):
    return f.fma(x, polynomial(f, x * x, coefficients), x)


def erf(f, x):
    a = absolute(f, x)
    small = _erf_small(f, x, table("erf", x))
    if element(x.type) == "float":
        c = at_most(f, a, 4.0)
        big = 1.0 - exp_between(f, -f.fma(c, polynomial(f, c, ERF_LARGE), c))
    else:
        e, p, n = _tail(f, a, *product_and_error(f, a, a))
        big = 1.0 - scaled(f, e * p, n)
    return f.select(a.compare("olt", ERF_SMALL), small, copysign(f, big, x))


def _erfcx(f: Function, a: Value, short: bool = False) -> Value:
    """exp(a²)·erfc(a) for doubles a ≥ 0."""
    t = (a - 3.75) / (a + 3.75)
    t = f.select(a.compare("ogt", 1e18), 1.0, t)
    y = polynomial(f, t, coefficients_of("erfcx", short)) / f.fma(a, 2.0, 1.0)
    return f.select(a.compare("olt", 2.0**-55), 1.0, y)


def _tail(f, a, square, rest, short=False):
    """(e, p, n) with erfc(a) = e·p·2ⁿ and e = erfcx(a), given a² as square + rest."""
    beyond = square.compare("ogt", 800.0)
    rest = f.select(beyond, 0.0, -rest)
    p, n = exp_parts(f, -at_most(f, square, 800.0), rest, short)
    return _erfcx(f, a, short), p + 1.0, n


@in_double
def erfc(f, x, short):
    a = absolute(f, x)
    e, p, n = _tail(f, a, *product_and_error(f, a, a), short)
    y = scaled(f, e * p, n)
    return f.select(x.compare("olt", 0.0), 2.0 - y, y)


@in_double
def erfcx(f, x, short):
    a = absolute(f, x)
    y = _erfcx(f, a, short)
    square, rest = product_and_error(f, a, a)
    beyond = square.compare("ogt", 800.0)
    p, n = exp_parts(f, at_most(f, square, 800.0), f.select(beyond, 0.0, rest), short)
    return f.select(x.compare("olt", 0.0), scaled(f, p + 1.0, n + 1) - y, y)


def _erf_inverse(f: Function, c: Value, q: Value, short: bool) -> Value:
    """The y ≥ 0 with erf(y) = c and erfc(y) = q, for c + q = 1: a first guess, then one step of Halley.

    The step is on erf itself near the middle and on log(erfc) in the tail, which is nearly quadratic there.
    """
    v = q * (2.0 - q)
    u = sqrt(f, -(log_short(f, v) if short else log(f, v)))
    y = u * polynomial(f, (u - 3.0) / (u + 3.0), coefficients_of("erf_inverse", short))
    y = f.select(c.compare("olt", 0.03), c * f.fma(c * c, 0.2320136665346545, HALF_SQRT_PI), y)
    e, p, n = _tail(f, y, *product_and_error(f, y, y), short)
    near = y.compare("olt", ERF_SMALL)
    scaled_q = q * 2.0**60  # q may be denormal
    middle = (_erf_small(f, y, coefficients_of("erf", short)) - c) * HALF_SQRT_PI
    above = f.select(near, middle, scaled(f, e * p, n + 60) - scaled_q)
    ratio = above / f.select(near, scaled(f, p, n), scaled_q)
    log_ratio = ratio * polynomial(f, ratio, [1, -1 / 2, 1 / 3, -1 / 4, 1 / 5, -1 / 6])
    h = f.select(near, ratio, -log_ratio * e * HALF_SQRT_PI)
    return y - h / (f.fma(h, y, 1.0) + f.select(near, 0.0, log_ratio * 0.5))


def erfinv(f, x):
    """The y with erf(y) = x: x times a polynomial in w = -log(1 - x²) up to w = 5 (|x| below 0.9966), infinite at ±1.

    Beyond, floats have a polynomial in √w; doubles take the general path, which is long and therefore branched to.
    """
    a = absolute(f, x)
    w = -log(f, f.fma(-a, a, 1.0))
    y = a * polynomial(f, w, table("erf_inverse_middle", x))
    near = w.compare("olt", 5.0)
    if element(x.type) == "float":
        y = f.select(near, y, a * polynomial(f, sqrt(f, w) - 3.0, table("erf_inverse_tail", x)))
    else:
        some = any_lane(f, a.compare("ogt", 0.9966))
        y = f.if_(some, lambda: f.select(near, y, _erf_inverse(f, a, 1.0 - a, False)), lambda: y)
    y = f.select(a.compare("oeq", 1.0), INFINITY, y)
    return f.select(a.compare("ogt", 1.0), NAN, copysign(f, y, x))


# ---------------------------------------------------------------- the normal distribution
@in_double
def ndtr(f, x, short):
    """Φ(x) = erfc(-x/√2) / 2, with x² exact in the exponent."""
    e, p, n = _normal_tail(f, x, short)
    y = scaled(f, e * p, n - 1)
    return f.select(x.compare("ogt", 0.0), 1.0 - y, y)


def _normal_tail(f, x, short):
    """_tail of |x|/√2"""
    square, rest = product_and_error(f, x, x)
    return _tail(f, absolute(f, x) * SQRT_HALF, square * 0.5, rest * 0.5, short)


@in_double
def log_ndtr(f, x, short):
    """log Φ(x), also where Φ underflows."""
    e, p, n = _normal_tail(f, x, short)
    positive = x.compare("ogt", 0.0)
    upper, lost = sum_and_error(f, f.value(1.0, x.type), -scaled(f, e * p, n - 1))
    u = f.select(positive, upper, e * 0.5)
    y = log_of_sum(f, u, f.select(positive, lost, 0.0))
    y = f.select(positive, y, f.fma(x * -0.5, x, y))
    y = -absolute(f, f.select(x.compare("ogt", 40.0), 0.0, y))  # -0.0 once Φ is 1
    return f.select(x.compare("oeq", -INFINITY), -INFINITY, y)


@in_double
def ndtri(f, p, short):
    """The x with Φ(x) = p."""
    lower = p.compare("olt", 0.5)
    q = f.select(lower, p, 1.0 - p) * 2.0
    y = _erf_inverse(f, 1.0 - q, q, short) * SQRT_2
    y = f.select(q.compare("oeq", 0.0), INFINITY, y)
    y = f.select(q.compare("olt", 0.0), NAN, y)
    y = f.select(p.compare("oeq", 0.5), 0.0, y)
    return f.select(lower, -y, y)


def gelu_cdf(f, x):
    """Φ(x) for gelu: to 5e-7 absolute in float, at half the cost of going through erf; ndtr in double."""
    if element(x.type) == "double":
        return ndtr(f, x)
    s = x * x
    top = [c * 0.125**0.5 / 2**i for i, c in enumerate(NORMAL_ABOVE)]
    bottom = [c / 2**i for i, c in enumerate(NORMAL_BELOW)]
    h = x * polynomial(f, s, top) / polynomial(f, s, bottom)
    half = copysign(f, f.value(0.5, x.type), x)
    return f.select(absolute(f, x).compare("ult", 5.656854), h, half) + 0.5


# ---------------------------------------------------------------- gamma
@in_double
def lgamma(f, x, short):
    """log|Γ(x)|: a polynomial around 2 below 2.5, Stirling's series above (shifted to 9), reflection below 0."""
    a = absolute(f, x)
    y = _lgamma_of_positive(f, a, short)
    sine, _ = sine_and_cosine_of_pi(f, a, short)
    pole = sine.compare("oeq", 0.0)
    reflected = f.select(pole, INFINITY, log(f, PI / (a * absolute(f, sine))) - y)
    tiny = a.compare("olt", 2.0**-60)
    y = f.select(x.compare("olt", 0.0) & (tiny ^ True), reflected, y)
    return f.select(a.compare("oeq", INFINITY), INFINITY, y)


def _lgamma_of_positive(f, a, short):
    low, middle = a.compare("olt", 0.5), a.compare("olt", 1.5)
    small = a.compare("olt", 2.5)
    z = f.select(low, a, a - f.select(middle, f.value(1.0, a.type), 2.0))
    factor = f.select(low, f.fma(a, a, a), f.select(middle, a, 1.0))
    shift = a.compare("olt", 9.0)
    w = f.select(shift, a + 7.0, a)
    product = a
    for i in range(1, 7):
        product = product * (a + float(i))
    inverse = 1.0 / w
    log_w = log(f, f.select(small, factor, w))
    steps = log(f, f.select(small | (shift ^ True), 1.0, product))
    tail = inverse * polynomial(f, inverse * inverse, coefficients_of("stirling", short))
    large = f.fma(w, log_w - 1.0, f.fma(log_w, -0.5, tail + HALF_LOG_2PI)) - steps
    return f.select(small, f.fma(z, polynomial(f, z, coefficients_of("lgamma", short)), -log_w), large)


@in_double
def digamma(f, x, short):
    """Γ'(x)/Γ(x): the asymptotic series from 10 on, ten steps up to there, reflection below 0."""
    negative = x.compare("olt", 0.0)
    a = f.select(negative, 1.0 - x, x)
    shift = a.compare("olt", 10.0)
    top, bottom = f.value(1.0, x.type), a
    for i in range(1, 10):
        top, bottom = f.fma(top, a + float(i), bottom), bottom * (a + float(i))
    w = f.select(shift, a + 10.0, a)
    inverse = 1.0 / w
    u = inverse * inverse
    tail = f.fma(inverse, 0.5, u * polynomial(f, u, coefficients_of("digamma", short)))
    y = log(f, w) - tail - f.select(shift, top / bottom, 0.0)
    sine, cosine = sine_and_cosine_of_pi(f, x, short)
    y = f.select(negative, y - PI * cosine / sine, y)
    y = f.select(negative & sine.compare("oeq", 0.0), NAN, y)
    y = f.select(x.compare("oeq", 0.0), copysign(f, f.value(INFINITY, x.type), -x), y)
    return f.select(x.compare("oeq", -INFINITY), NAN, y)


# ---------------------------------------------------------------- Bessel functions
def _bessel(f, x, order, scaled_by_exp, short):
    """I of order 0 or 1, times exp(-|x|) if asked: a series up to 8, asymptotic above."""
    a = absolute(f, x)
    small = a.compare("ole", 8.0)
    series = polynomial(f, a * a * (1 / 64), coefficients_of(f"i{order}_small", short))
    series = series * a if order else series
    large = polynomial(f, 16.0 / a - 1.0, coefficients_of(f"i{order}_large", short)) / sqrt(f, a)
    if scaled_by_exp:
        y = f.select(small, series * exp_between(f, -at_most(f, a, 8.0)), large)
    else:
        p, n = exp_parts(f, at_most(f, a, 720.0), short=short)
        y = f.select(small, series, f.select(a.compare("oge", 720.0), INFINITY, scaled(f, large * (p + 1.0), n)))
    return copysign(f, y, x) if order else y


@in_double
def i0(f, x, short):
    return _bessel(f, x, 0, False, short)


@in_double
def i0e(f, x, short):
    return _bessel(f, x, 0, True, short)


@in_double
def i1(f, x, short):
    return _bessel(f, x, 1, False, short)


@in_double
def i1e(f, x, short):
    return _bessel(f, x, 1, True, short)
