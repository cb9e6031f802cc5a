"""Floating numbers of 8 bits in kernels: read as float32, computed in it, and rounded to nearest even when they are stored."""

from __future__ import annotations

from mashal.core.eighths import Eighth
from mashal.machine.text import Function, Value

__all__ = ["read_eighth", "write_eighth"]


def read_eighth(f: Function, how: Eighth, raw: Value) -> Value:
    """Loaded bytes as float32 lanes."""
    bits = f.convert("zext", raw, "i32")
    if how.manner == "scale":
        value = f.select(bits.compare("eq", 0), f.value(1 << 22, bits.type), bits << 23)
        return f.select(bits.compare("eq", 0xFF), f.value(0x7FC00000, bits.type), value).bitcast("float")
    size, sign = bits & 0x7F, (bits & 0x80) << 24
    scaled = (size << (23 - how.mantissa)).bitcast("float") * 2.0 ** (127 - how.bias)
    value = scaled.bitcast("i32") | sign
    if how.manner == "fnuz":
        return f.select(bits.compare("eq", 0x80), f.value(0x7FC00000, bits.type), value).bitcast("float")
    if how.manner == "ieee":
        infinite = size.compare("eq", how.largest + 1)
        value = f.select(infinite, sign | 0x7F800000, value)
        return f.select(size.compare("ugt", how.largest + 1), sign | 0x7FC00000, value).bitcast("float")
    return f.select(size.compare("eq", 0x7F), sign | 0x7FC00000, value).bitcast("float")


def write_eighth(f: Function, how: Eighth, v: Value) -> Value:
    """float32 lanes as bytes. What is too large becomes infinity where there is one, the largest number or nan where not."""
    bits = v.bitcast("i32")
    size, nan = bits & 0x7FFFFFFF, v.compare("uno", 0.0)
    if how.manner == "scale":
        return _scale(f, size)
    drop = 23 - how.mantissa
    rounded = size + ((1 << (drop - 1)) - 1) + (size.shift_right_unsigned(drop) & 1)
    usual = rounded.shift_right_unsigned(drop) - ((127 - how.bias) << how.mantissa)
    ulp = (
        1 - how.bias - how.mantissa + 23
    )  # adding 2^ulp leaves as many digits as a number below the smallest normal one has
    small = (size.bitcast("float") + 2.0**ulp).bitcast("i32") - ((ulp + 127) << 23)
    made = f.select(size.compare("ult", (128 - how.bias) << 23), small, usual)
    sign = bits.shift_right_unsigned(24) & 0x80
    if how.manner == "fnuz":  # where -0 would be, there is nan
        sign = f.select(made.compare("eq", 0), f.value(0, made.type), sign)
    nan_bits = 0x80 if how.manner == "fnuz" else 0x7F
    most = {"ieee": how.largest + 1, "fn": how.largest}.get(how.manner, nan_bits)
    capped = f.select(made.compare("sgt", how.largest), f.value(most, made.type), made)
    return f.convert("trunc", f.select(nan, f.value(nan_bits, made.type), capped) | sign, "i8")


def _scale(f: Function, size: Value) -> Value:
    """The nearest power of two; halfway between two the larger one. 2^-127 lies halfway between 2^-126 and 0, and stays."""
    exponent, rest = size.shift_right_unsigned(23), size & 0x7FFFFF
    up = f.convert("zext", rest.compare("uge", 0x400000) & size.compare("ne", 0x400000), "i32")
    made = f.select(exponent.compare("eq", 0xFF), exponent, exponent + up)
    return f.convert("trunc", made, "i8")
