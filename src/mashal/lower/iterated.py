"""Functions that go on until every lane is done: greatest common divisors, zeta, incomplete gamma functions, polynomials.

Lanes that are done stay as they are while others go on. Zeta and gamma are computed in double for floats too.
"""

from __future__ import annotations

from collections.abc import Callable

from mashal.lower.exponentials import exp, log, pow
from mashal.lower.floating import INFINITY, NAN, any_lane, floor, in_double, sqrt, trunc
from mashal.lower.special import lgamma
from mashal.machine.text import Function, Value

EPSILON = 2.0**-53
TURNS = 20000.0


# ---------------------------------------------------------------- integers
def gcd(f: Function, a: Value, b: Value) -> Value:
    """The greatest common divisor by Euclid, without a sign; of 0 and 0 it is 0."""

    def size(v: Value) -> Value:
        return f.select(v.compare("slt", 0), -v, v)

    def turn(x: Value, y: Value) -> list[Value]:
        done = y.compare("eq", 0)
        divisor = f.select(done, f.value(1, y.type), y)
        rest = f.op(x.type, f"urem {x.type} {x.spelling}, {divisor.spelling}")
        x, y = f.select(done, x, y), f.select(done, y, rest)
        return [any_lane(f, y.compare("ne", 0)), x, y]

    found, _ = f.repeat(turn, [size(a), size(b)])
    return found


# ---------------------------------------------------------------- zeta
# (2k)! / B₂ₖ, as in Euler's and Maclaurin's formula
_EULER = (
    12.0, -720.0, 30240.0, -1209600.0, 47900160.0, -1.8924375803183791606e9, 7.47242496e10, -2.950130727918164224e12,
    1.1646782814350067249e14, -4.5979787224074726105e15, 1.8152105401943546773e17, -7.1661652561756670113e18,
)  # fmt: skip


@in_double
def zeta(f: Function, s: Value, q: Value, short: bool) -> Value:
    """Σ (q + k)⁻ˢ over k ≥ 0 for s > 1: terms until q + k is above 9, then the rest by Euler and Maclaurin."""
    usable = s.compare("ogt", 1.0) & (
        q.compare("ogt", 0.0) | (floor(f, q).compare("une", q) & floor(f, s).compare("oeq", s))
    )
    usable = usable & q.compare("olt", INFINITY) & s.compare("olt", INFINITY)
    s_in, q_in = f.select(usable, s, 2.0), f.select(usable & q.compare("ogt", -TURNS), q, 1.0)

    def turn(total: Value, a: Value) -> list[Value]:
        more = a.compare("ole", 9.0)
        total = f.select(more, total + pow(f, a, -s_in), total)
        a = f.select(more, a + 1.0, a)
        return [any_lane(f, a.compare("ole", 9.0)), total, a]

    total, a = f.repeat(turn, [q_in * 0.0, q_in])
    last = pow(f, a, -s_in)
    total = total + last * a / (s_in - 1.0) + last * 0.5
    factor, power = s_in, last / a
    for k, b in enumerate(_EULER):
        total = total + factor * power * (1.0 / b)
        factor = factor * (s_in + (2.0 * k + 1.0)) * (s_in + (2.0 * k + 2.0))
        power = power / (a * a)
    pole = s.compare("oeq", 1.0) | (s.compare("ogt", 1.0) & q.compare("ole", 0.0) & floor(f, q).compare("oeq", q))
    beyond = s.compare("ogt", 1.0) & q.compare("oeq", INFINITY)
    return f.select(pole, INFINITY, f.select(usable, total, f.select(beyond, f.value(0.0, q.type), NAN)))


# ---------------------------------------------------------------- incomplete gamma functions
def _both(f: Function, a: Value, x: Value, short: bool) -> tuple[Value, Value]:
    """P(a, x) and Q(a, x) = 1 - P: the smaller one by a series (x ≤ max(a, 1)) or a continued fraction."""
    inside = a.compare("ogt", 0.0) & x.compare("ogt", 0.0) & a.compare("olt", INFINITY) & x.compare("olt", INFINITY)
    a_in, x_in = f.select(inside, a, 1.0), f.select(inside, x, 1.0)
    low = x_in.compare("ole", 1.0) | x_in.compare("ole", a_in)
    front = exp(f, a_in * log(f, x_in) - x_in - lgamma(f, a_in))

    def next_term(total: Value, term: Value, n: Value) -> list[Value]:
        term = term * x_in / (a_in + n)
        more = any_lane(f, low & term.compare("ogt", total * EPSILON)) & any_lane(f, n.compare("olt", TURNS))
        return [more, f.select(low, total + term, total), term, n + 1.0]

    total, _, _ = f.repeat(next_term, [1.0 / a_in, 1.0 / a_in, x_in * 0.0 + 1.0])
    p = front * total

    def next_fraction(h: Value, c: Value, d: Value, n: Value) -> list[Value]:
        step = n * (a_in - n)
        b = x_in - a_in + n * 2.0 + 1.0
        d = 1.0 / (step * d + b)
        c = b + step / c
        change = c * d
        far = f.select(change.compare("ogt", 1.0), change - 1.0, 1.0 - change).compare("ogt", 4 * EPSILON)
        more = any_lane(f, far & low.compare("eq", 0)) & any_lane(f, n.compare("olt", TURNS))
        return [more, h * change, c, d, n + 1.0]

    first = x_in - a_in + 1.0
    first = f.select(low, 1.0, first)
    h, _, _, _ = f.repeat(next_fraction, [1.0 / first, x_in * 0.0 + 1e300, 1.0 / first, x_in * 0.0 + 1.0])
    q = front * h
    return f.select(low, p, 1.0 - q), f.select(low, 1.0 - p, q)


def _edges(f: Function, a: Value, x: Value, inner: Value, at_zero: float) -> Value:
    """The value where a or x is 0 or infinite; nan where one is negative or nan."""
    at_end = 1.0 - at_zero  # x infinite, or a = 0: all of the integral is passed
    nothing = x.compare("oeq", 0.0) | a.compare("oeq", INFINITY)
    everything = x.compare("oeq", INFINITY) | a.compare("oeq", 0.0)
    y = f.select(everything, at_end, f.select(nothing, at_zero, inner))
    unknown = (a.compare("oeq", 0.0) & x.compare("oeq", 0.0)) | (
        a.compare("oeq", INFINITY) & x.compare("oeq", INFINITY)
    )
    fine = a.compare("oge", 0.0) & x.compare("oge", 0.0) & unknown.compare("eq", 0)
    return f.select(fine, y, NAN)


@in_double
def gamma_p(f: Function, a: Value, x: Value, short: bool) -> Value:
    """The lower incomplete gamma function over Γ(a)."""
    return _edges(f, a, x, _both(f, a, x, short)[0], 0.0)


@in_double
def gamma_q(f: Function, a: Value, x: Value, short: bool) -> Value:
    """The upper incomplete gamma function over Γ(a)."""
    return _edges(f, a, x, _both(f, a, x, short)[1], 1.0)


# ---------------------------------------------------------------- Bessel functions by the trapezoidal rule
def _modified_k(f: Function, x: Value, order: int, scaled: bool) -> Value:
    """∫ exp(-x·cosh t)·cosh(order·t) dt over t ≥ 0; its sum in small steps is exact to the last digits."""
    usable = x.compare("ogt", 1e-300) & x.compare("olt", INFINITY)
    x_in = f.select(usable, x, 1.0)
    front = f.value(1.0, x.type) if scaled else exp(f, -x_in)
    step = f.select(x_in.compare("ogt", 16.0), 0.25 / sqrt(f, x_in), f.value(1.0 / 16, x.type))

    def turn(total: Value, t: Value) -> list[Value]:
        up, down = exp(f, t), exp(f, -t)
        growth = (up + down) * 0.5
        u = t * 0.5
        square, half = u * u, f.value(1.0, x.type)
        for k in (110.0, 72.0, 42.0, 20.0, 6.0):
            half = half * square / k + 1.0
        half = (
            u * half
        )  # sinh(t / 2), all its digits below t = ½ however small: x·(cosh t - 1) must grow from the first turn
        fall = f.select(t.compare("olt", 0.5), x_in * half * half * 2.0, x_in * ((up + down - 2.0) * 0.5))
        term = exp(f, -fall) * (growth if order else 1.0)
        term = f.select(t.compare("oeq", 0.0), term * 0.5, term)
        t = t + step
        return [any_lane(f, fall.compare("olt", 745.0) & t.compare("olt", 710.0)), total + term, t]

    total, _ = f.repeat(turn, [x_in * 0.0, x_in * 0.0])
    zero = f.value(0.0, x.type)
    edge = f.select(x.compare("oeq", INFINITY), zero, f.select(x.compare("oge", 0.0), INFINITY, f.value(NAN, x.type)))
    return f.select(usable, front * total * step, edge)


def _k(order: int, scaled: bool) -> Callable[..., Value]:
    @in_double
    def function(f: Function, x: Value, short: bool) -> Value:
        return _modified_k(f, x, order, scaled)

    return function


BESSEL_K: dict[str, Callable[..., Value]] = {
    "modified_bessel_k0": _k(0, False),
    "modified_bessel_k1": _k(1, False),
    "scaled_modified_bessel_k0": _k(0, True),
    "scaled_modified_bessel_k1": _k(1, True),
}


# ---------------------------------------------------------------- orthogonal polynomials
# name: (the polynomial of degree 1, the one of degree k + 1 from those of degree k and k - 1)
POLYNOMIALS: dict[str, tuple[Callable[..., Value], Callable[..., Value]]] = {
    "chebyshev_polynomial_t": (lambda x: x, lambda x, k, p, q: x * 2.0 * p - q),
    "chebyshev_polynomial_u": (lambda x: x * 2.0, lambda x, k, p, q: x * 2.0 * p - q),
    "chebyshev_polynomial_v": (lambda x: x * 2.0 - 1.0, lambda x, k, p, q: x * 2.0 * p - q),
    "chebyshev_polynomial_w": (lambda x: x * 2.0 + 1.0, lambda x, k, p, q: x * 2.0 * p - q),
    "hermite_polynomial_h": (lambda x: x * 2.0, lambda x, k, p, q: x * 2.0 * p - k * 2.0 * q),
    "hermite_polynomial_he": (lambda x: x, lambda x, k, p, q: x * p - k * q),
    "laguerre_polynomial_l": (lambda x: 1.0 - x, lambda x, k, p, q: ((k * 2.0 + 1.0 - x) * p - k * q) / (k + 1.0)),
    "legendre_polynomial_p": (lambda x: x, lambda x, k, p, q: ((k * 2.0 + 1.0) * x * p - k * q) / (k + 1.0)),
}


def polynomial_of(name: str) -> Callable[..., Value]:
    """The function (f, x, n) that gives a family's polynomial of degree n at x; 0 for a negative degree."""
    first, following = POLYNOMIALS[name]

    @in_double
    def function(f: Function, x: Value, n: Value, short: bool) -> Value:
        degree = trunc(f, n)
        degree = f.select(
            degree.compare("olt", 2.0**63), degree, f.value(-1.0, x.type)
        )  # no integer: as PyTorch has it, negative
        one = f.value(1.0, x.type)

        def turn(p: Value, q: Value, k: Value) -> list[Value]:
            more = k.compare("olt", degree)
            p, q = f.select(more, following(x, k, p, q), p), f.select(more, p, q)
            k = k + 1.0
            return [any_lane(f, k.compare("olt", degree) & k.compare("olt", TURNS)), p, q, k]

        p, _, _ = f.repeat(turn, [first(x), one, one])
        low = f.select(degree.compare("oeq", 0.0), one, f.value(0.0, x.type))
        return f.select(degree.compare("oge", 1.0), p, low)

    return function
