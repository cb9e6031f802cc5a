"""Sines, tangents and their inverses of float and double lanes, right for every finite argument.

An angle is taken apart as n·π/2 + r with |r| ≤ π/4. Up to 2^30 three doubles of π/2 and fused multiply-adds do that
(the first product cancels exactly); float angles are reduced in double too. Lanes beyond go through memory to
`mashal_reduce_angles`, compiled when a kernel first asks for it, which multiplies by the 192 bits of 2/π that matter
to their exponent: Payne and Hanek's method. A branch keeps it out of the way of ordinary angles.
"""

from __future__ import annotations

from mashal.lower.floating import (
    INFINITY,
    NAN,
    absolute,
    any_lane,
    bits,
    coefficients_of,
    copysign,
    floats,
    polynomial,
    product_and_error,
    round_of_product,
    sum_and_error,
    table,
)
from mashal.machine.jit import ENTRY, JIT
from mashal.machine.text import Function, Module, Value, element, lanes

HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)  # their sum, to 2^-162
HALF_PI_FLOAT = (1.5707963705062866, -4.3711390001862426e-08)
TWO_OVER_PI = 0.6366197723675814
LARGE_ANGLE = 2.0**30
PADDING = 4  # bytes of zeros before the bits of 2/π
TABLE_BYTES = 152
REDUCE = "mashal_reduce_angles"


# ---------------------------------------------------------------- large angles
def _two_over_pi(bytes: int) -> int:
    """⌊2/π · 2^(8·bytes)⌋, by Machin's formula in integers."""
    one = 1 << (8 * bytes + 64)

    def arctangent_of_inverse(n: int) -> int:
        total, power, k = 0, one // n, 1
        while power:
            total += power // k if k % 4 == 1 else -(power // k)
            power, k = power // (n * n), k + 2
        return total

    pi = 4 * (4 * arctangent_of_inverse(5) - arctangent_of_inverse(239))
    return (2 * one << (8 * bytes)) // pi


def _reduction() -> Module:
    """The loop over angles in memory that replaces turns, high and low of the large ones."""
    module = Module()
    parameters = [("ptr", "angles"), ("ptr", "turns"), ("ptr", "high"), ("ptr", "low"), ("i64", "count")]
    f = module.function(ENTRY, "i64", parameters)
    angles, turns, high, low, size = f.parameters

    def step(i: Value) -> None:
        x = f.load(angles, i, "double")
        large = absolute(f, x).compare("oge", LARGE_ANGLE) & absolute(f, x).compare("olt", INFINITY)
        f.if_(large, lambda: store(i, *_reduced_large(f, x)))

    def store(i: Value, n: Value, r: Value, rest: Value) -> None:
        f.store(n, turns, i)
        f.store(r, high, i)
        f.store(rest, low, i)

    f.loop(0, size, 1, step)
    f.end(f.i64(0))
    return module


def _reduced_large(f: Function, x: Value) -> tuple[Value, Value, Value]:
    """(n, r, rest) with x = n·π/2 + r + rest modulo 2π, for a scalar double of at least 2^30."""
    pattern = bits(f, x)
    exponent = (pattern.shift_right_unsigned(52) & 2047) - (1075 + 2) + 8 * PADDING  # of the last bit, less 2
    mantissa = (pattern & ((1 << 52) - 1) | (1 << 52)) << (exponent & 7)
    words = f.module.add_global("mashal_two_over_pi", _table_of_two_over_pi())
    place = f.at(f.value(words, "ptr"), TABLE_BYTES - 24 - (exponent >> 3), "i8")
    wide = [f.convert("zext", f.load(f.at(place, i, "i64"), type="i64", align=1), "i128") for i in range(3)]
    m = f.convert("zext", mantissa, "i128")
    middle = m * wide[1] + (m * wide[0]).shift_right_unsigned(64)
    turn = middle + ((m * wide[2]) << 64)  # modulo 2^128, a full turn: x·(2/π)/4
    n = f.convert("trunc", (turn.shift_right_unsigned(125) + 1).shift_right_unsigned(1), "i64")
    r, rest = _fraction(f, turn << 2)
    negative = pattern.compare("slt", 0)
    return f.select(negative, 0 - n, n), f.select(negative, -r, r), f.select(negative, -rest, rest)


def _fraction(f: Function, s: Value) -> tuple[Value, Value]:
    """s·2^-128·π/2 for a signed i128, as a sum of two doubles; s is added up from pieces that are exact doubles."""
    ones = (1 << 53) - 1
    top = f.convert("trunc", s >> 75, "i64")
    middle = f.convert("trunc", s.shift_right_unsigned(22), "i64") & ones
    bottom = f.convert("trunc", s, "i64") & ((1 << 22) - 1)
    pieces = [f.convert("sitofp", i, "double") for i in (top, middle, bottom)]
    a, lost = sum_and_error(f, pieces[0] * 2.0**-53, pieces[1] * 2.0**-106)
    b = f.fma(pieces[2], 2.0**-128, lost)
    product, error = product_and_error(f, a, HALF_PI[0])
    error = f.fma(a, HALF_PI[1], f.fma(b, HALF_PI[0], error))
    r = product + error
    return r, error - (r - product)


def _table_of_two_over_pi() -> str:
    value = _two_over_pi(TABLE_BYTES - PADDING)
    words = [value >> (64 * i) & (1 << 64) - 1 for i in range(TABLE_BYTES // 8)]
    return f"private constant [{len(words)} x i64] [{', '.join(f'i64 {w}' for w in words)}]"


JIT.promise(REDUCE, _reduction)


def reduced_angle(f: Function, x: Value) -> tuple[Value, Value, Value]:
    """(n, r, rest) with x = n·π/2 + r + rest, |r| ≤ π/4, for doubles; n (i64) is right modulo 4."""
    k, n = round_of_product(f, x, TWO_OVER_PI)
    first = f.fma(k, -HALF_PI[0], x)  # exact
    product, error = product_and_error(f, k, -HALF_PI[1])
    total, lost = sum_and_error(f, first, product)
    low = f.fma(k, -HALF_PI[2], lost + error)
    r = total + low
    large = any_lane(f, absolute(f, x).compare("oge", LARGE_ANGLE))
    return f.if_(large, lambda: _through_memory(f, x, n, r, low - (r - total)), lambda: [n, r, low - (r - total)])


def reduced_float_angle(f: Function, x: Value) -> tuple[Value, Value]:
    """(n, r) with x = n·π/2 + r, |r| ≤ π/4, for float x; r is a double (and n an i64), good for float results."""
    wide = f.convert("fpext", x, "double")
    k, n = round_of_product(f, wide, TWO_OVER_PI)
    r = f.fma(k, -HALF_PI[1], f.fma(k, -HALF_PI[0], wide))
    large = any_lane(f, absolute(f, x).compare("oge", LARGE_ANGLE))
    return f.if_(large, lambda: _through_memory(f, wide, n, r, r)[:2], lambda: [n, r])


def _through_memory(f: Function, x: Value, n: Value, r: Value, rest: Value) -> list[Value]:
    width = lanes(x.type) or 1
    places = [f.stack(8 * width) for _ in range(4)]
    for v, place in zip((x, n, r, rest), places):
        f.store(v, place)
    f.call("i64", REDUCE, *places, width)
    return [f.load(place, type=v.type) for v, place in zip((n, r, rest), places[1:])]


# ---------------------------------------------------------------- sine, cosine, tangent
def sine_and_cosine(f: Function, r: Value, rest: Value | None = None, short: bool = False) -> tuple[Value, Value]:
    """(sin, cos) of r + rest for |r| up to π/4."""
    s = r * r
    sine = polynomial(f, s, coefficients_of("sin", True) if short else table("sin", r))
    cosine = polynomial(f, s, coefficients_of("cos", True) if short else table("cos", r))
    half = s * 0.5
    if rest is None:
        return f.fma(r * s, sine, r), f.fma(s * s, cosine, 1.0 - half)
    top = 1.0 - half
    low = f.fma(s * s, cosine, ((1.0 - top) - half) - r * rest)
    return r + f.fma(r * s, sine, rest - half * rest), top + low


def _reduced(f, x):
    """(n, r, rest) of either type, r of x's type; float lanes have no rest."""
    if element(x.type) == "double":
        return reduced_angle(f, x)
    n, r = reduced_float_angle(f, x)
    return f.convert("trunc", n, "i32"), f.convert("fptrunc", r, "float"), None


def _circular(f, x, quarter_turns):
    n, r, rest = _reduced(f, x)
    sine, cosine = sine_and_cosine(f, r, rest)
    n = n + quarter_turns if quarter_turns else n
    y = f.select((n & 1).compare("ne", 0), cosine, sine)
    y = floats(f, bits(f, y) ^ ((n & 2) << (30 if rest is None else 62)))
    return f.select(absolute(f, x).compare("ult", INFINITY), y, NAN)


def sin(f, x):
    return f.select(x.compare("oeq", 0.0), x, _circular(f, x, 0))


def cos(f, x):
    return _circular(f, x, 1)


def tan(f, x):
    """sin / cos; of floats, with both in double."""
    short = element(x.type) == "float"
    n, r, rest = (*reduced_float_angle(f, x), None) if short else reduced_angle(f, x)
    sine, cosine = sine_and_cosine(f, r, rest, short)
    odd = (n & 1).compare("ne", 0)
    y = f.select(odd, -cosine, sine) / f.select(odd, sine, cosine)
    y = f.convert("fptrunc", y, "float") if short else y
    y = f.select(absolute(f, x).compare("ult", INFINITY), y, NAN)
    return f.select(x.compare("oeq", 0.0), x, y)


def sine_and_cosine_of_pi(f: Function, x: Value, short: bool = False) -> tuple[Value, Value]:
    """(sin πx, cos πx) for doubles; their signs are right up to a common one."""
    r = x - f.math("roundeven", x)
    a = absolute(f, r)
    swap = a.compare("ogt", 0.25)
    sine, cosine = sine_and_cosine(f, f.select(swap, 0.5 - a, a) * 3.141592653589793, None, short)
    return copysign(f, f.select(swap, cosine, sine), r), f.select(swap, sine, cosine)


# ---------------------------------------------------------------- inverses
def _half_pi(x):
    return HALF_PI[:2] if element(x.type) == "double" else HALF_PI_FLOAT


def _arcsine_parts(f, x):
    """(near the end, s, t): asin(s) = s + t, where s is |x|, or near the end √((1 - |x|)/2)."""
    a = absolute(f, x)
    end = a.compare("ogt", 0.5)
    z = f.select(end, (1.0 - a) * 0.5, a * a)
    s = f.select(end, f.math("sqrt", z), a)
    return end, s, s * z * polynomial(f, z, table("asin", x))


def asin(f, x):
    high, low = _half_pi(x)
    end, s, t = _arcsine_parts(f, x)
    return copysign(f, f.select(end, high - (f.fma(s, 2.0, t * 2.0 - low)), s + t), x)


def acos(f, x):
    high, low = _half_pi(x)
    end, s, t = _arcsine_parts(f, x)
    negative = x.compare("olt", 0.0)
    near_one = (s + t) * 2.0
    near_minus_one = 2 * high - ((s + t) * 2.0 - 2 * low)
    signed, signed_t = copysign(f, s, x), copysign(f, t, x)
    middle = high - (signed - (low - signed_t))
    return f.select(end, f.select(negative, near_minus_one, near_one), middle)


def _arctangent(f, t):
    """atan of t in [0, 1]"""
    z = t * t
    return f.fma(t * z, polynomial(f, z, table("atan", t)), t)


def atan(f, x):
    high, low = _half_pi(x)
    a = absolute(f, x)
    swap = a.compare("ogt", 1.0)
    r = _arctangent(f, f.select(swap, 1.0 / a, a))
    return copysign(f, f.select(swap, high - (r - low), r), x)


def atan2(f, y, x):
    """The angle of the point (x, y), in [-π, π]; the signs of zeros count as IEEE says."""
    high, low = _half_pi(x)
    a, b = absolute(f, y), absolute(f, x)
    swap = a.compare("ogt", b)
    small, big = f.select(swap, b, a), f.select(swap, a, b)
    t = f.select(small.compare("oeq", big), 1.0, small / big)
    r = _arctangent(f, f.select(big.compare("oeq", 0.0), 0.0, t))
    r = f.select(swap, high - (r - low), r)
    r = f.select(bits(f, x).compare("slt", 0), 2 * high - (r - 2 * low), r)
    return f.select(x.compare("uno", y), x + y, copysign(f, r, y))
