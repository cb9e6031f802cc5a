"""Numbers on their way into memory: what a dtype's elements are, and how computed lanes become them.

bfloat16 is handled as the upper half of a float32, in integer arithmetic: the processors' own conversions
disagree about numbers below the smallest normal one. A double becomes a half type through float32, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable

from mashal.machine.text import FLOATS, SIZES, Function, Value, element

STORED = {
    "float64": "double",
    "float32": "float",
    "float16": "half",
    "bfloat16": "i16",
    "bool": "i8",
    **{f"{sign}int{bits}": f"i{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
FLOATING = ("float64", "float32", "float16", "bfloat16")


def stored(f: Function, x: Value, dtype: str) -> Value:
    """float, double or signed integer lanes (or a scalar) as elements of a dtype."""
    if dtype == "bool":
        return f.convert("zext", x.compare("une" if element(x.type) in FLOATS else "ne", 0), "i8")
    return _stored_floating(f, x, dtype) if dtype in FLOATING else _stored_integer(f, x, STORED[dtype])


def widened(f: Function, x: Value, dtype: str) -> Value:
    """Elements of a floating dtype as float or double lanes."""
    if dtype == "bfloat16":
        return (f.convert("zext", x, "i32") << 16).bitcast("float")
    return f.convert("fpext", x, "float") if dtype == "float16" else x


def vectors(f: Function, out: Value, type: str, n: Value, lanes: int, compute: Callable[[Value], Value]) -> None:
    """out[i : i + lanes] = compute(i) for i below n; of the last vector only what belongs to out is copied there."""
    size = SIZES[type]
    spare = f.stack(lanes * size)

    def one(i: Value) -> None:
        whole = (i + lanes).compare("sle", n)
        f.store(compute(i), f.select(whole, f.at(out, i, type), spare))

    f.loop(0, n, lanes, one)
    rest = n & (lanes - 1)
    f.loop(0, rest, 1, lambda i: f.store(f.load(spare, i, type), f.at(out, n - rest, type), i))


def _stored_floating(f: Function, x: Value, dtype: str) -> Value:
    wide = "double" if dtype == "float64" else "float"
    kind = element(x.type)
    if kind not in FLOATS:
        x = f.convert("sitofp", x, wide)
    elif kind != wide:
        x = f.convert("fpext" if wide == "double" else "fptrunc", x, wide)
    if dtype == "float16":
        return f.convert("fptrunc", x, "half")
    return _upper_half(f, x) if dtype == "bfloat16" else x


def _upper_half(f: Function, x: Value) -> Value:
    bits = x.bitcast("i32")
    rounded = bits + 0x7FFF + (bits.shift_right_unsigned(16) & 1)
    return f.convert("trunc", rounded.shift_right_unsigned(16), "i16")


def _stored_integer(f: Function, x: Value, type: str) -> Value:
    if element(x.type) in FLOATS:
        x = f.convert("fptosi", x, "i64")
    kind = element(x.type)
    if kind == type:
        return x
    return f.convert("trunc" if SIZES[kind] > SIZES[type] else "sext", x, type)
