"""What the vector mathematics stands on: the two formats, bit tricks, polynomials, exact scaling and remainders.

Every function takes the function being written and values of type float or double, scalar or vector. Nothing here
(nor in the files that use it) calls a library or sets a fast-math flag: such a flag would let LLVM delete the
selects that make infinities, NaN and -0.0 right. Clamps are compare + select, which keep NaN where minnum drops it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps

from mashal.lower.coefficients import COEFFICIENTS
from mashal.machine.text import Function, Value, element, lanes

INFINITY, NAN = float("inf"), float("nan")
LOG2E = 1.4426950408889634


@dataclass(frozen=True)
class Format:
    """A binary format. `magic`, once added, leaves an integer in the low bits; ln2 is split so that n·high is exact."""

    type: str
    integer: str
    mantissa: int
    bias: int
    magic: float
    tiny: float
    ln2_high: float
    ln2_low: float

    def bits_of(self, x: float) -> int:
        """The bits of a Python number in this format."""
        return int.from_bytes(struct.pack("<f" if self.type == "float" else "<d", x), "little")


FORMATS = {
    "float": Format("float", "i32", 23, 127, 12582912.0, 2.0**-126, 0.693145751953125, 1.42860682030941723e-06),
    "double": Format(
        "double", "i64", 52, 1023, 6755399441055744.0, 2.0**-1022, 0.6931471803691238, 1.9082149292705877e-10
    ),
}


def format_of(x: Value) -> Format:
    return FORMATS[element(x.type)]


def table(name: str, x: Value) -> Sequence[float]:
    """The coefficients `name` for values like x."""
    return COEFFICIENTS[name][element(x.type)]


def polynomial(f: Function, x: Value, coefficients: Sequence[float]) -> Value:
    """c₀ + c₁·x + c₂·x² + … by Horner's rule."""
    p = f.value(coefficients[-1], x.type)
    for c in coefficients[-2::-1]:
        p = f.fma(p, x, c)
    return p


def in_double(body: Callable[..., Value]) -> Callable[..., Value]:
    """For functions written on doubles: float operands are widened, and body(…, short=True) may use short tables."""

    @wraps(body)
    def function(f: Function, *operands: Value) -> Value:
        if element(operands[0].type) == "double":
            return body(f, *operands, short=False)
        wide = [f.convert("fpext", x, "double") for x in operands]
        return f.convert("fptrunc", body(f, *wide, short=True), "float")

    return function


def coefficients_of(name: str, short: bool) -> Sequence[float]:
    return COEFFICIENTS[name]["float" if short else "double"]


# ---------------------------------------------------------------- bits
def bits(f: Function, x: Value) -> Value:
    return x.bitcast(format_of(x).integer)


def floats(f: Function, i: Value) -> Value:
    return i.bitcast("float" if element(i.type) == "i32" else "double")


def power_of_two(f: Function, n: Value) -> Value:
    """2ⁿ for integers n for which it is a normal number."""
    form = FORMATS["float" if element(n.type) == "i32" else "double"]
    return floats(f, (n + form.bias) << form.mantissa)


def scaled(f: Function, p: Value, n: Value) -> Value:
    """p·2ⁿ in two factors: overflow to infinity and gradual underflow come out right for p near 1."""
    half = n >> 1
    return p * power_of_two(f, half) * power_of_two(f, n - half)


def round_to_integer(f: Function, x: Value) -> tuple[Value, Value]:
    """The nearest integer as a float and as an integer, for |x| below 2^22 or 2^51 (fptosi is poison for NaN)."""
    form = format_of(x)
    return _integers(f, x + form.magic, form)


def round_of_product(f: Function, x: Value, factor: float) -> tuple[Value, Value]:
    """round_to_integer of x·factor."""
    form = format_of(x)
    return _integers(f, f.fma(x, factor, form.magic), form)


def _integers(f: Function, z: Value, form: Format) -> tuple[Value, Value]:
    return z - form.magic, bits(f, z) - form.bits_of(form.magic)


def from_integer(f: Function, n: Value) -> Value:
    """A small integer as a float (i64 to double has no instruction before AVX-512; adding `magic` has)."""
    if element(n.type) == "i32":
        return f.convert("sitofp", n, "float")
    form = FORMATS["double"]
    return floats(f, n + form.bits_of(form.magic)) - form.magic


def splits(f: Function, x: Value) -> tuple[Value, Value]:
    """(e, m) with x = 2ᵉ·(1 + m) and 1 + m in [√½, √2), both floats; for positive finite x, denormals too."""
    form = format_of(x)
    tiny = x.compare("olt", form.tiny)
    i = bits(f, f.select(tiny, x * 2.0**form.mantissa, x))
    e = (i - form.bits_of(0.5**0.5)) >> form.mantissa
    m = floats(f, i - (e << form.mantissa)) - 1.0
    return from_integer(f, e) - f.select(tiny, f.value(form.mantissa, x.type), 0.0), m


def absolute(f: Function, x: Value) -> Value:
    return f.math("fabs", x)


def copysign(f: Function, magnitude: Value, sign: Value) -> Value:
    return f.math("copysign", magnitude, sign)


def at_most(f: Function, x: Value, bound: float) -> Value:
    return f.select(x.compare("ogt", bound), bound, x)


def at_least(f: Function, x: Value, bound: float) -> Value:
    return f.select(x.compare("olt", bound), bound, x)


def sum_and_error(f: Function, a: Value, b) -> tuple[Value, Value]:
    """a + b rounded, and what the rounding lost (exactly, whichever is larger)."""
    b = f.value(b, a.type)
    s = a + b
    part = s - a
    return s, (a - (s - part)) + (b - part)


def product_and_error(f: Function, a: Value, b) -> tuple[Value, Value]:
    p = a * b
    return p, f.fma(a, b, -p)


# ---------------------------------------------------------------- rounding, neighbours, exponents
def floor(f, x):
    return f.math("floor", x)


def ceil(f, x):
    return f.math("ceil", x)


def trunc(f, x):
    return f.math("trunc", x)


def round(f, x):
    """To the nearest integer; halves to the even one."""
    return f.math("roundeven", x)


def sqrt(f, x):
    return f.math("sqrt", x)


def rsqrt(f, x):
    return 1.0 / f.math("sqrt", x)


def nextafter(f, x, y):
    """The neighbour of x in the direction of y."""
    form = format_of(x)
    up = x.compare("olt", y)
    outward = up ^ x.compare("olt", 0.0)
    i = bits(f, x)
    near = floats(f, f.select(outward, i + 1, i - 1))
    near = f.select(
        x.compare("oeq", 0.0), copysign(f, f.value(2.0 ** (1 - form.bias - form.mantissa), x.type), y), near
    )
    near = f.select(x.compare("oeq", y), y, near)
    return f.select(x.compare("uno", y), x + y, near)


def _is_plain(f, x):
    """Neither zero nor infinite nor NaN."""
    a = absolute(f, x)
    return a.compare("ogt", 0.0) & a.compare("olt", INFINITY)


def _normalised(f, x):
    """x times a power of two that makes denormals normal, and the exponent field's correction."""
    form = format_of(x)
    tiny = absolute(f, x).compare("olt", form.tiny)
    i = bits(f, f.select(tiny, x * 2.0**form.mantissa, x))
    return i, f.select(tiny, f.value(form.mantissa, i.type), 0)


def frexp_mantissa(f, x):
    """The m of x = m·2ⁿ with |m| in [½, 1); zeros, infinities and NaN are themselves."""
    form = format_of(x)
    i, _ = _normalised(f, x)
    keep = (1 << form.mantissa) - 1 | 1 << (8 * (4 if form.type == "float" else 8) - 1)
    m = floats(f, (i & _signed(keep, form)) | ((form.bias - 1) << form.mantissa))
    return f.select(_is_plain(f, x), m, x)


def frexp_exponent(f, x):
    """The n of x = m·2ⁿ with |m| in [½, 1), as i32; 0 for zeros, infinities and NaN."""
    form = format_of(x)
    i, correction = _normalised(f, x)
    field = (i.shift_right_unsigned(form.mantissa)) & (2 * form.bias + 1)
    n = f.select(_is_plain(f, x), field - (form.bias - 1) - correction, 0)
    return n if form.integer == "i32" else f.convert("trunc", n, "i32")


def _signed(pattern: int, form: Format) -> int:
    width = 32 if form.integer == "i32" else 64
    return pattern - (1 << width) if pattern >> (width - 1) else pattern


def ldexp(f, x, n):
    """x·2ⁿ for integers n of any type, rounded once."""
    form = format_of(x)
    if element(n.type) != form.integer:
        wider = int(element(n.type)[1:]) < int(form.integer[1:])
        limited = n if wider else _clamped(f, n, -4 * form.bias, 4 * form.bias)
        n = f.convert("sext" if wider else "trunc", limited, form.integer)
    factors = []
    for _ in range(3):
        step = _clamped(f, n, 1 - form.bias, form.bias)
        factors.append(power_of_two(f, step))
        n = n - step
    return x * factors[2] * factors[1] * factors[0]


def _clamped(f, n, low, high):
    return f.math("smax", f.math("smin", n, f.value(high, n.type)), f.value(low, n.type))


# ---------------------------------------------------------------- remainders
def fmod(f, x, y):
    """x - y·trunc(x / y), exactly; x's sign.

    Each turn takes off as many multiples of y as the mantissa can count, which is exact; one turn is enough up to
    quotients of 2^24 or 2^53. A quotient that could overflow is first taken with y times a large power of two, twice
    if need be; the comparison is strict, so that a denormal rounded up never makes that divisor larger than r.
    """
    form = format_of(x)
    b, large = absolute(f, y), 2.0**100 if form.type == "float" else 2.0**700

    def turn(r):
        divisor, less = b, absolute(f, r) * (1 / large)
        for _ in range(2):
            divisor = f.select(less.compare("ogt", divisor), divisor * large, divisor)
        r = f.fma(-trunc(f, r / divisor), divisor, r)
        return [any_lane(f, absolute(f, r).compare("oge", b)), r]

    r = f.repeat(turn, [absolute(f, x)])
    r = f.select(r.compare("olt", 0.0), r + b, r)
    r = f.select(b.compare("oeq", INFINITY) & absolute(f, x).compare("olt", INFINITY), absolute(f, x), r)
    return copysign(f, r, x)


def remainder(f, x, y):
    """x - y·floor(x / y), with y's sign, as Python's % has it."""
    r = fmod(f, x, y)
    wrong = r.compare("une", 0.0) & (r.compare("olt", 0.0) ^ y.compare("olt", 0.0))
    return f.select(wrong, r + y, r)


def any_lane(f: Function, condition: Value) -> Value:
    """Whether it holds in some lane, as one i1."""
    return f.reduce("or", condition) if lanes(condition.type) else condition


# ---------------------------------------------------------------- roots
@in_double
def hypot(f, x, y, short):
    """√(x² + y²) without overflow or underflow on the way; infinite if either is."""
    a, b = absolute(f, x), absolute(f, y)
    infinite = a.compare("oeq", INFINITY) | b.compare("oeq", INFINITY)
    if short:
        r = sqrt(f, f.fma(a, a, b * b))
    else:
        big = f.select(a.compare("ogt", b), a, b)
        factor = f.select(big.compare("ogt", 2.0**500), f.value(2.0**-600, x.type), 1.0)
        factor = f.select(big.compare("olt", 2.0**-450), 2.0**600, factor)
        a, b = a * factor, b * factor
        square, error = product_and_error(f, b, b)
        total, lost = sum_and_error(f, square, a * a)
        r = sqrt(f, total + (lost + error + f.fma(a, a, -(a * a)))) / factor
    return f.select(infinite, INFINITY, r)
