"""Exponentials, logarithms, powers and hyperbolic functions of float and double lanes, without tables or libraries.

exp takes x = n·ln 2 + r apart and puts a polynomial in r times 2ⁿ together; log takes x = 2ᵉ·(1 + m) apart. In float
log is a polynomial in m; in double an odd one in m / (2 + m), which is half as long. A power in double carries its
logarithm in two doubles (its error is multiplied by up to 745); a power of floats goes through plain doubles.
"""

from __future__ import annotations

import math

from mashal.lower.floating import (
    INFINITY,
    LOG2E,
    NAN,
    absolute,
    at_least,
    at_most,
    bits,
    coefficients_of,
    copysign,
    floats,
    format_of,
    in_double,
    polynomial,
    power_of_two,
    product_and_error,
    round_of_product,
    round_to_integer,
    scaled,
    splits,
    sum_and_error,
    table,
)
from mashal.machine.text import Function, Value, element

LN2 = math.log(2)
HALF_OVERFLOW = {"float": 90.0, "double": 711.0}  # exp(x) / 2 is infinite from a little below
EXP_BOUNDS = {"float": (-104.0, 89.0), "double": (-746.0, 710.0)}  # 0 below, infinity above
EXP2_BOUNDS = {"float": (-151.0, 129.0), "double": (-1076.0, 1025.0)}
EXPM1_LOW = {"float": -20.0, "double": -40.0}
BASES = {  # 1/ln(base), what its rounding to float or double lost, and log_base(2) with its few-bit part first
    2: {"float": (1.4426950216293335, 1.9259629911266175e-08), "double": (LOG2E, 2.0355273740931033e-17)},
    10: {"float": (0.4342944920063019, -1.0103050052231683e-08), "double": (0.4342944819032518, 1.098319650216765e-17)},
}
LOG10_2 = {"float": (0.30102539062500, 4.605038981195214e-06), "double": (0.30102999566361177, 3.694239077158931e-13)}


# ---------------------------------------------------------------- exponentials
def exp_parts(f: Function, x: Value, low: Value | None = None, short: bool = False) -> tuple[Value, Value]:
    """(p, n) with exp(x + low) = (1 + p)·2ⁿ and |p| below 0.42, for |x| up to 2000; low is what rounding x lost."""
    form = format_of(x)
    k, n = round_of_product(f, x, LOG2E)
    r = f.fma(k, -form.ln2_low, f.fma(k, -form.ln2_high, x))
    if low is not None:
        r = r + low
    p = polynomial(f, r, coefficients_of("exp_short", True) if short else table("exp", x))
    return f.fma(r * r, p, r), n


def exp(f, x):
    low, high = EXP_BOUNDS[element(x.type)]
    p, n = exp_parts(f, at_least(f, at_most(f, x, high), low))
    return scaled(f, p + 1.0, n)


def exp_between(f, x):
    """exp for x known to lie in [-87, 88], in double [-708, 709] (no clamps, one scaling): for callers that bound it."""
    p, n = exp_parts(f, x)
    return (p + 1.0) * power_of_two(f, n)


def exp_nonpositive(f, x):
    """exp for x ≤ 0 or NaN, as in softmax: exactly 0 where it would be denormal, -inf included."""
    bound = -87.0 if element(x.type) == "float" else -708.0
    return f.select(x.compare("olt", bound), 0.0, exp_between(f, at_least(f, x, bound)))


def exp2(f, x):
    low, high = EXP2_BOUNDS[element(x.type)]
    c = at_least(f, at_most(f, x, high), low)
    k, n = round_to_integer(f, c)
    r = c - k
    return scaled(f, f.fma(r, polynomial(f, r, table("exp2", x)), 1.0), n)


def expm1(f, x):
    kind = element(x.type)
    p, n = exp_parts(f, at_least(f, at_most(f, x, EXP_BOUNDS[kind][1]), EXPM1_LOW[kind]))
    half = power_of_two(f, n - 1)  # 2ⁿ itself may overflow
    y = f.fma(half, p, half - 0.5) * 2.0
    return f.select(absolute(f, x).compare("olt", 2.0**-60), x, y)


def sigmoid(f, x):
    """1 / (1 + exp(-x)), on the side where the exponential doesn't overflow."""
    p, n = exp_parts(f, at_least(f, -absolute(f, x), EXP_BOUNDS[element(x.type)][0]))
    e = scaled(f, p + 1.0, n)
    d = e + 1.0
    return f.select(x.compare("olt", 0.0), e, 1.0) / d


# ---------------------------------------------------------------- logarithms
def log_parts(f, m):
    """(m, t) with log(1 + m) = m + t, t much the smaller; 1 + m in [√½, √2)."""
    if element(m.type) == "float":
        q = m * m
        return m, f.fma(m * q, polynomial(f, m, table("log", m)), q * -0.5)
    s = m / (m + 2.0)
    z = s * s
    half = m * m * 0.5
    return m, f.fma(s, f.fma(z, polynomial(f, z, table("atanh_log", m)), half), -half)


def log_from(f, e, m):
    """e·ln 2 + log(1 + m)"""
    form = format_of(m)
    m, t = log_parts(f, m)
    return f.fma(e, form.ln2_high, f.fma(e, form.ln2_low, t) + m)


def with_edges_of_log(f, x, y):
    """y, the logarithm of positive finite x, and what the other x have."""
    y = f.select(x.compare("oeq", INFINITY), INFINITY, y)
    y = f.select(x.compare("oeq", 0.0), -INFINITY, y)
    return f.select(x.compare("uge", 0.0), f.select(x.compare("uno", 0.0), x, y), NAN)


def log(f, x):
    return with_edges_of_log(f, x, log_from(f, *splits(f, x)))


def _log_to_base(f, x, base):
    kind = element(x.type)
    high, low = BASES[base][kind]
    two_high, two_low = LOG10_2[kind] if base == 10 else (1.0, 0.0)
    e, m = splits(f, x)
    if kind == "float":
        m, t = log_parts(f, m)
        small, large = f.fma(m, low, t * high), None
        y = f.fma(m, high, small) if base == 2 else f.fma(m, high, f.fma(e, two_low, small))
        return with_edges_of_log(f, x, f.fma(e, two_high, y))
    large, small = _log_pair(f, m)
    product, error = product_and_error(f, large, high)
    error = f.fma(e, two_low, error + f.fma(large, low, small * high))
    total, lost = sum_and_error(f, e * two_high, product)
    return with_edges_of_log(f, x, total + (lost + error))


def _log_pair(f, m):
    """log(1 + m) in double as a sum of two, good for about seven bits more than one has."""
    s = m / (m + 2.0)
    z = s * s
    half, lost = product_and_error(f, m * 0.5, m)
    large = m - half
    small = ((m - large) - half) - lost
    return large, small + s * (half + z * polynomial(f, z, table("atanh_log", m)))


def log2(f, x):
    return _log_to_base(f, x, 2)


def log10(f, x):
    return _log_to_base(f, x, 10)


def log_of_sum(f, u, c):
    """log(u + c) where c is what the rounding of u lost."""
    form = format_of(u)
    i = bits(f, u)
    e, m = splits(f, u)
    field = (i - form.bits_of(0.5**0.5)) >> form.mantissa
    correction = c * floats(f, form.bits_of(1.0) - (field << form.mantissa))
    m = m + f.select(u.compare("olt", 2.0**60), correction, 0.0)
    return with_edges_of_log(f, u, log_from(f, e, m))


def log1p(f, x):
    y = log_of_sum(f, *sum_and_error(f, x, 1.0))
    return f.select(absolute(f, x).compare("olt", 2.0**-60), x, y)


def log1p_exp(f, d):
    """log(1 + exp(-|d|)), the part of logaddexp and softplus beside the maximum."""
    return log1p(f, exp(f, -absolute(f, d)))


def logaddexp(f, x, y):
    """log(exp(x) + exp(y))"""
    larger = f.select(x.compare("ogt", y), x, y)
    d = f.select(x.compare("oeq", y), 0.0, x - y)
    return f.select(
        absolute(f, larger).compare("oeq", INFINITY) & x.compare("ord", y), larger, larger + log1p_exp(f, d)
    )


def xlogy(f, x, y):
    """x·log(y), and 0 where x is 0 (unless y is NaN)."""
    return f.select(x.compare("oeq", 0.0) & y.compare("ord", 0.0), 0.0, x * log(f, y))


def xlog1py(f, x, y):
    return f.select(x.compare("oeq", 0.0) & y.compare("ord", 0.0), 0.0, x * log1p(f, y))


# ---------------------------------------------------------------- hyperbolic functions
def _half_exp(f, a):
    """exp(a) / 2 for a ≥ 0, infinite only where that is."""
    p, n = exp_parts(f, at_most(f, a, HALF_OVERFLOW[element(a.type)]))
    return scaled(f, p + 1.0, n - 1)


def sinh(f, x):
    a, s = absolute(f, x), x * x
    small = f.fma(a * s, polynomial(f, s, table("sinh", x)), a)
    e = _half_exp(f, a)
    return copysign(f, f.select(a.compare("olt", 1.0), small, e - 0.25 / e), x)


def cosh(f, x):
    e = _half_exp(f, absolute(f, x))
    return e + 0.25 / e


def tanh(f, x):
    """An odd polynomial below 0.625, 1 - 2 / (exp(2x) + 1) above; the sign last keeps -0.0."""
    a, s = absolute(f, x), x * x
    small = f.fma(x * s, polynomial(f, s, table("tanh", x)), x)
    one = 10.0 if element(x.type) == "float" else 20.0  # from where it is 1
    big = 1.0 - f.value(2.0, x.type) / (exp_between(f, at_most(f, a, one) * 2.0) + 1.0)
    return copysign(f, f.select(a.compare("olt", 0.625), small, big), x)


def asinh(f, x):
    a = absolute(f, x)
    huge = a.compare("ogt", 2.0**60)
    s = a * a
    y = log1p(f, f.select(huge, a, a + s / (f.math("sqrt", s + 1.0) + 1.0)))
    return copysign(f, y + f.select(huge, f.value(LN2, x.type), 0.0), x)


def acosh(f, x):
    huge = x.compare("ogt", 2.0**60)
    t = x - 1.0
    y = log1p(f, f.select(huge, x, t + f.math("sqrt", f.fma(t, t, t * 2.0))))
    return f.select(x.compare("ult", 1.0), NAN, y + f.select(huge, f.value(LN2, x.type), 0.0))


def atanh(f, x):
    a = absolute(f, x)
    double = a * 2.0
    y = log1p(f, double / (1.0 - a)) * 0.5
    if element(x.type) == "float":
        s = x * x
        y = f.select(a.compare("olt", 0.5), f.fma(a * s, polynomial(f, s, table("atanh", x)), a), y)
    return copysign(f, f.select(a.compare("olt", 2.0**-60), a, y), x)


# ---------------------------------------------------------------- powers
def log_short(f, x):
    """log of a positive finite double, to 10 digits."""
    e, m = splits(f, x)
    s = m / (m + 2.0)
    z = s * s
    return f.fma(e, LN2, s * f.fma(z, polynomial(f, z, coefficients_of("atanh_log", True)), 2.0))


def _log_double_double(f, x):
    """log of a positive finite double as a sum of two doubles, to 2^-65."""
    form = format_of(x)
    e, m = splits(f, x)
    t, t_low = sum_and_error(f, f.value(2.0, x.type), m)
    inverse = 1.0 / t
    s = m * inverse
    s_low = (f.fma(-s, t, m) - s * t_low) * inverse
    z, z_low = product_and_error(f, s, s)
    z_low = f.fma(s * 2.0, s_low, z_low)
    rest = z * polynomial(f, z, table("atanh_pair", x))  # atanh(s) = s + s·z·(1/3 + rest)
    w = rest + 1 / 3
    w_low = (1 / 3 - w) + rest + 1.850371707708594e-17
    p, p_low = product_and_error(f, z, w)
    p_low = p_low + f.fma(z, w_low, z_low * w)
    q, q_low = product_and_error(f, s, p)
    q_low = q_low + f.fma(s, p_low, s_low * p)
    first, lost = sum_and_error(f, e * form.ln2_high, s * 2.0)
    second, lost_too = sum_and_error(f, first, q * 2.0)
    low = f.fma(e, form.ln2_low, lost + lost_too + (s_low + q_low) * 2.0)
    high = second + low
    return high, low - (high - second)


@in_double
def _power_of_positive(f, a, y, short):
    """a**y for 0 < a < inf and finite y."""
    if short:
        p, n = exp_parts(f, at_least(f, at_most(f, y * log_short(f, a), 200.0), -200.0), short=True)
        return (p + 1.0) * power_of_two(f, n)
    high, low = _log_double_double(f, a)
    product, error = product_and_error(f, y, high)
    error = f.fma(y, low, error)
    error = f.select(absolute(f, product).compare("olt", 1000.0), error, 0.0)
    p, n = exp_parts(f, at_least(f, at_most(f, product, 1000.0), -1000.0), error)
    return scaled(f, p + 1.0, n)


def pow(f, x, y):
    """x**y with all of C's special cases."""
    a = absolute(f, x)
    value = _power_of_positive(f, a, y)
    infinite = absolute(f, y).compare("oeq", INFINITY)
    extreme = a.compare("oeq", 0.0) | a.compare("oeq", INFINITY) | infinite
    grows = a.compare("ogt", 1.0) ^ y.compare("olt", 0.0)
    value = f.select(extreme, f.select(grows, f.value(INFINITY, x.type), 0.0), value)
    value = f.select(a.compare("oeq", 1.0) & infinite, 1.0, value)
    integer = f.math("trunc", y).compare("oeq", y)
    half = y * 0.5
    odd = integer & f.math("trunc", half).compare("une", half)
    value = f.select(odd, copysign(f, value, x), value)
    impossible = x.compare("olt", 0.0) & x.compare("ogt", -INFINITY) & (integer ^ True)
    value = f.select(impossible | x.compare("uno", y), NAN, value)
    return f.select(x.compare("oeq", 1.0) | y.compare("oeq", 0.0), 1.0, value)


@in_double
def cbrt(f, x, short):
    """∛x: exp(log|x| / 3) and one step of Newton."""
    a = absolute(f, x)
    p, n = exp_parts(f, log_short(f, a) * (1 / 3), short=True)
    y = scaled(f, p + 1.0, n)
    if not short:
        y = y - (y - a / (y * y)) * (1 / 3)
    y = y - (y - a / (y * y)) * (1 / 3)
    plain = a.compare("ogt", 0.0) & a.compare("olt", INFINITY)
    return f.select(plain, copysign(f, y, x), x)
