"""From an expression to IR: values in vector registers.

An `Emitter` writes expressions into a function, each node once: in its own scope, or in an enclosing one if nothing in it
changes here (so what is the same for a whole row is computed once a row). How an operand's element is loaded is
the caller's to say. In registers a bool is an i1, half precisions are floats, a complex number is a pair.

Also here: how elements lie in memory (`load_element`, `store_element`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from mashal.core.dtypes import bool as bool_
from mashal.core.dtypes import dtype
from mashal.core.eighths import EIGHTHS
from mashal.lang.expression import COMPARISONS, Expression
from mashal.lower import vectormath
from mashal.lower.eighths import read_eighth, write_eighth
from mashal.machine.text import Function, Value, element, lanes, vector

_SIGNED = {"lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge", "eq": "eq", "ne": "ne"}
_UNSIGNED = {"lt": "ult", "le": "ule", "gt": "ugt", "ge": "uge", "eq": "eq", "ne": "ne"}
_FLOATING = {"lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge", "eq": "oeq", "ne": "une"}
_BITWISE = {"and": "and", "or": "or", "xor": "xor"}


class Complex(NamedTuple):
    """A complex number in registers."""

    re: Value
    im: Value


def register_type(d: dtype) -> str:
    """The scalar type of a dtype's values in registers (for complex numbers: of the parts)."""
    if d in EIGHTHS:
        return "float"
    return {"bool": "i1", "float16": "float", "bfloat16": "float", "complex32": "float"}.get(d.name, d.llvm)


def is_zero(f: Function, v: Value) -> Value:
    return v.compare("oeq" if element(v.type) in ("float", "double") else "eq", 0)


# ---------------------------------------------------------------- memory
def read_element(f: Function, d: dtype, raw: Any) -> Any:
    """What was loaded of dtype d, as registers hold it."""
    if d is bool_:
        return raw.compare("ne", 0)
    if d in EIGHTHS:
        return read_eighth(f, EIGHTHS[d], raw)
    if d.name == "bfloat16":
        bits = f.convert("zext", raw.bitcast("i16"), "i32") << 16
        return bits.bitcast("float")
    if d.name == "float16":
        return f.convert("fpext", raw, "float")
    if d.name == "complex32":
        return Complex(f.convert("fpext", raw.re, "float"), f.convert("fpext", raw.im, "float"))
    return raw


def write_element(f: Function, d: dtype, v: Any) -> Any:
    """A value in registers, as dtype d lies in memory."""
    if d is bool_:
        return f.convert("zext", v, "i8")
    if d in EIGHTHS:
        return write_eighth(f, EIGHTHS[d], v)
    if d.name == "bfloat16":
        return _round_to_bfloat16(f, v)
    if d.name == "float16":
        return f.convert("fptrunc", v, "half")
    if d.name == "complex32":
        return Complex(f.convert("fptrunc", v.re, "half"), f.convert("fptrunc", v.im, "half"))
    return v


def _round_to_bfloat16(f: Function, v: Value) -> Value:
    """To nearest, ties to even; in integers, since the instruction for it flushes denormals to zero."""
    bits = v.bitcast("i32")
    rounded = bits + 0x7FFF + (bits.shift_right_unsigned(16) & 1)
    quiet = f.select(v.compare("uno", 0.0), f.value(0x7FC00000, bits.type), rounded)
    return f.convert("trunc", quiet.shift_right_unsigned(16), "i16").bitcast("bfloat")


def load_element(f: Function, d: dtype, pointer: Value, i: Any, n: int, mask: Value | None = None) -> Any:
    """n elements of dtype d from the i-th on (n = 0: one, as a scalar), as registers hold them."""
    if not d.is_complex:
        return read_element(f, d, f.load(pointer, i, vector(n, d.llvm), mask))
    both = f.load(pointer, f.i64(i) * 2, vector(2 * (n or 1), d.llvm), _twice(f, mask))
    if not n:
        return read_element(f, d, Complex(f.extract(both, 0), f.extract(both, 1)))
    parts = Complex(f.shuffle(both, both, range(0, 2 * n, 2)), f.shuffle(both, both, range(1, 2 * n, 2)))
    return read_element(f, d, parts)


def store_element(f: Function, d: dtype, v: Any, pointer: Value, i: Any, mask: Value | None = None) -> None:
    """Writes a value as dtype d, from element i on."""
    v = write_element(f, d, v)
    if not d.is_complex:
        return f.store(v, pointer, i, mask)
    n = lanes(v.re.type)
    if not n:
        place = f.at(pointer, f.i64(i) * 2, d.llvm)
        f.store(v.re, place, 0)
        return f.store(v.im, place, 1)
    together = f.shuffle(v.re, v.im, [k for j in range(n) for k in (j, n + j)])
    f.store(together, pointer, f.i64(i) * 2, _twice(f, mask))


def _twice(f: Function, mask: Value | None) -> Value | None:
    if mask is None:
        return None
    n = lanes(mask.type)
    return f.shuffle(mask, mask, [j // 2 for j in range(2 * n)])


def gather_element(f: Function, d: dtype, pointer: Value, offsets: Value, mask: Value | None = None) -> Any:
    """Elements of dtype d at offsets (a vector of i64), as registers hold them."""
    type = vector(lanes(offsets.type), d.llvm)
    if not d.is_complex:
        return read_element(f, d, f.gather(f.addresses(pointer, offsets, d.llvm), type, mask))
    re = f.addresses(pointer, offsets * 2, d.llvm)
    im = f.addresses(pointer, offsets * 2 + 1, d.llvm)
    return read_element(f, d, Complex(f.gather(re, type, mask), f.gather(im, type, mask)))


def scatter_element(f: Function, d: dtype, v: Any, pointer: Value, offsets: Value, mask: Value | None = None) -> None:
    """Writes a vector as dtype d to elements at offsets."""
    v = write_element(f, d, v)
    if not d.is_complex:
        return f.scatter(v, f.addresses(pointer, offsets, d.llvm), mask)
    f.scatter(v.re, f.addresses(pointer, offsets * 2, d.llvm), mask)
    f.scatter(v.im, f.addresses(pointer, offsets * 2 + 1, d.llvm), mask)


# ---------------------------------------------------------------- expressions
class Emitter:
    """Writes expressions into f with `lanes` lanes (0: scalars).

    leaf(node) gives the value of an operand, a scalar, `over`, `place` or `length`. varying: the nodes that are computed in this
    scope; others are handed to `outer`, if there is one.
    """

    def __init__(self, f: Function, n: int, leaf: Callable[[Expression], Any], varying: set[Expression] | None = None,
                 outer: Emitter | None = None):  # fmt: skip
        self.f, self.lanes, self._leaf, self._varying, self._outer = f, n, leaf, varying, outer
        self.known: dict[Expression, Any] = {}

    def __call__(self, node: Expression) -> Any:
        found = self.known.get(node)
        if found is None:
            if self._outer is not None and self._varying is not None and node not in self._varying:
                return self._widened(self._outer(node))
            found = self.known[node] = self._compute(node)
        return found

    def _widened(self, v: Any) -> Any:
        """A value of the enclosing scope in as many lanes as here."""
        if isinstance(v, Complex):
            return Complex(self._widened(v.re), self._widened(v.im))
        return self.f.splat(v, self.lanes) if self.lanes and not lanes(v.type) else v

    def _constant(self, d: dtype, value: Any) -> Any:
        type = vector(self.lanes, register_type(d))
        if d.is_complex:
            return Complex(self.f.constant(type, value.real), self.f.constant(type, value.imag))
        return self.f.constant(type, value)

    def _compute(self, node: Expression) -> Any:
        kind = node.kind
        if kind in ("operand", "scalar", "over", "place", "length"):
            return self._widened(self._leaf(node))
        if kind == "constant":
            return self._constant(node.dtype, node.value)
        values = [self(o) for o in node.operands]
        if kind == "cast":
            return convert(self.f, values[0], node.operands[0].dtype, node.dtype)
        if node.operands[0].dtype.is_complex or node.dtype.is_complex:
            return complex_operation(self.f, kind, *values)
        return real_operation(self.f, kind, node.operands[-1].dtype, *values)


def real_operation(f: Function, kind: str, d: dtype, *v: Value) -> Value:
    """One node on values of a real dtype (d: that of the last operand)."""
    floating = d.kind == "f"
    if kind in COMPARISONS:
        table = _FLOATING if floating else _UNSIGNED if d.kind in "ub" else _SIGNED
        return v[0].compare(table[kind], v[1])
    if kind == "select":
        return f.select(*v)
    if kind in ("add", "sub", "mul"):
        if d is bool_:
            return v[0] & v[1] if kind == "mul" else v[0] | v[1] if kind == "add" else v[0] ^ v[1]
        return {"add": v[0].__add__, "sub": v[0].__sub__, "mul": v[0].__mul__}[kind](v[1])
    if kind == "div":
        return v[0] / v[1] if floating else integer_division(f, d, v[0], v[1])[0]
    if kind in ("min", "max"):
        return extremum(f, kind, d, v[0], v[1])
    if kind in _BITWISE:
        return f.op(v[0].type, f"{kind} {v[0].type} {v[0].spelling}, {v[1].spelling}")
    if kind == "not":
        return v[0] ^ (1 if d is bool_ else -1)
    if kind == "neg":
        return -v[0]
    if kind in ("shl", "shr"):
        return _shift(f, kind, d, v[0], v[1])
    if kind == "abs" and not floating:
        return v[0] if d.kind in "ub" else f.select(v[0].compare("slt", 0), -v[0], v[0])
    if kind == "rem" and not floating:
        return integer_division(f, d, v[0], v[1])[1]
    if kind == "pow" and not floating:
        return _integer_power(f, v[0], v[1])
    if kind == "fma":
        return f.fma(*v)
    if kind == "abs":
        return f.math("fabs", v[0])
    return vectormath.emit({"rem": "remainder"}.get(kind, kind), f, *v)


def extremum(f: Function, kind: str, d: dtype, a: Value, b: Value) -> Value:
    """The larger or smaller of two values; nan if one is nan."""
    if d.kind == "f":
        return f.math("maximum" if kind == "max" else "minimum", a, b)
    if d is bool_:
        return a | b if kind == "max" else a & b
    return f.math(("u" if d.kind == "u" else "s") + kind, a, b)


def integer_division(f: Function, d: dtype, a: Value, b: Value) -> tuple[Value, Value]:
    """Quotient rounded down and remainder with the divisor's sign; by 0 gives 0 (callers refuse it beforehand)."""
    zero = b.compare("eq", 0)
    if d.kind == "u":
        safe = f.select(zero, f.value(1, b.type), b)
        q = f.op(a.type, f"udiv {a.type} {a.spelling}, {safe.spelling}")
        return f.select(zero, 0, q), f.select(zero, 0, a - q * safe)
    minus = b.compare("eq", -1)  # the least integer by -1 would trap
    safe = f.select(f.op(zero.type, f"or {zero.type} {zero.spelling}, {minus.spelling}"), f.value(1, b.type), b)
    q = a / safe
    r = a - q * safe
    wrong = (r.compare("ne", 0)) & ((r ^ safe).compare("slt", 0))
    q, r = f.select(wrong, q - 1, q), f.select(wrong, r + safe, r)
    q = f.select(minus, -a, q)
    return f.select(zero, 0, q), f.select(zero, 0, r)


def _shift(f: Function, kind: str, d: dtype, a: Value, b: Value) -> Value:
    """a shifted by b bits; by too many (or a negative number of) bits: 0, or the sign."""
    bits = d.itemsize * 8
    fits = b.compare("ult", bits)
    by = f.select(fits, b, 0)
    if kind == "shl":
        return f.select(fits, a << by, 0)
    if d.kind == "u":
        return f.select(fits, a.shift_right_unsigned(by), 0)
    return f.select(fits, a >> by, a >> (bits - 1))


def _integer_power(f: Function, base: Value, exponent: Value) -> Value:
    """base**exponent by squaring, wrapping; a negative exponent gives 0 but for base 1 and -1."""
    bits = int(element(base.type)[1:])
    result, square, left = f.value(1, base.type), base, exponent
    for _ in range(min(bits, 6) if bits > 8 else bits):
        result = f.select((left & 1).compare("ne", 0), result * square, result)
        square, left = square * square, left.shift_right_unsigned(1)
    odd = (exponent & 1).compare("ne", 0)
    inverse = f.select(base.compare("eq", 1), f.value(1, base.type),
                       f.select(base.compare("eq", -1), f.select(odd, f.value(-1, base.type), 1), 0))  # fmt: skip
    return f.select(exponent.compare("slt", 0), inverse, result)


# ---------------------------------------------------------------- conversions
def convert(f: Function, v: Any, a: dtype, b: dtype) -> Any:
    """A value of dtype a as registers hold dtype b."""
    if a.is_complex and b.is_complex:
        return Complex(
            _convert_real(f, v.re, a.to_real(), b.to_real()), _convert_real(f, v.im, a.to_real(), b.to_real())
        )
    if b.is_complex:
        re = _convert_real(f, v, a, b.to_real())
        return Complex(re, f.value(0, re.type))
    if a.is_complex:
        if b is bool_:
            return v.re.compare("une", 0) | v.im.compare("une", 0)
        return _convert_real(f, v.re, a.to_real(), b)
    return _convert_real(f, v, a, b)


def _convert_real(f: Function, v: Value, a: dtype, b: dtype) -> Value:
    from_, to = register_type(a), register_type(b)
    if b is bool_:
        return v if a is bool_ else v.compare("une" if a.kind == "f" else "ne", 0)
    if a.kind == "f" and b.kind == "f":
        if b.itemsize < 4 and a is not b:
            v = v if from_ == "float" else f.convert("fptrunc", v, "float")
            return read_element(f, b, write_element(f, b, v))
        if from_ == to:
            return v
        return f.convert("fpext" if to == "double" else "fptrunc", v, to)
    if b.kind == "f":
        v = f.convert("uitofp" if a.kind in "ub" else "sitofp", v, to)
        return read_element(f, b, write_element(f, b, v)) if b.itemsize < 4 else v
    if a.kind == "f":
        return _to_integer(f, v, b)
    wider = b.itemsize > a.itemsize or a is bool_
    if wider:
        return f.convert("zext" if a.kind in "ub" else "sext", v, to)
    return v if b.itemsize == a.itemsize else f.convert("trunc", v, to)


def _to_integer(f: Function, v: Value, b: dtype) -> Value:
    """Towards zero. What 32 or 64 bits cannot hold, nan too, is their least number, as x86 has it; 8 and 16 bits are cut off those."""
    wide = "i64" if b.itemsize == 8 or b.name == "uint32" else "i32"
    type = vector(lanes(v.type), wide)
    scalar = {"float": "f32", "double": "f64"}[element(v.type)]
    suffix = f"v{lanes(v.type)}{wide}.v{lanes(v.type)}{scalar}" if lanes(v.type) else f"{wide}.{scalar}"
    whole = f.call(type, f"llvm.fptosi.sat.{suffix}", v)
    bits = 64 if wide == "i64" else 32
    whole = f.select(v.compare("olt", 2.0 ** (bits - 1)), whole, f.value(-(1 << (bits - 1)), type))
    return whole if b.llvm == wide else f.convert("trunc", whole, b.llvm)


# ---------------------------------------------------------------- complex numbers
def complex_operation(f: Function, kind: str, *v: Any) -> Any:
    """One node of which an operand or the value is complex."""
    a: Any = v[0]
    b: Any = v[1] if len(v) > 1 else None
    c: Any = v[2] if len(v) > 2 else None
    if kind == "add":
        return Complex(a.re + b.re, a.im + b.im)
    if kind == "sub":
        return Complex(a.re - b.re, a.im - b.im)
    if kind == "mul":
        return Complex(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re)
    if kind == "div":
        return _complex_quotient(f, a, b)
    if kind == "neg":
        return Complex(-a.re, -a.im)
    if kind == "conj":
        return Complex(a.re, -a.im)
    if kind == "real":
        return a.re
    if kind == "imag":
        return a.im
    if kind == "complex":
        return Complex(a, b)
    if kind == "abs":
        return vectormath.emit("hypot", f, a.re, a.im)
    if kind == "eq":
        return a.re.compare("oeq", b.re) & a.im.compare("oeq", b.im)
    if kind == "ne":
        return a.re.compare("une", b.re) | a.im.compare("une", b.im)
    if kind == "select":
        return Complex(f.select(a, b.re, c.re), f.select(a, b.im, c.im))
    raise NotImplementedError(f"{kind} is not implemented for complex numbers")


def _complex_quotient(f: Function, a: Complex, b: Complex) -> Complex:
    """Smith's: by the divisor's larger part first, so that only a result out of range overflows; by 0 part by part."""
    size_re, size_im = f.math("fabs", b.re), f.math("fabs", b.im)
    upright = size_re.compare("olt", size_im)
    large, small = f.select(upright, b.im, b.re), f.select(upright, b.re, b.im)
    ratio = small / large
    below = large + small * ratio
    along, across = f.select(upright, a.im, a.re), f.select(upright, a.re, a.im)
    re = (along + across * ratio) / below
    im = (across - along * ratio) / below
    quotient = Complex(re, f.select(upright, -im, im))
    zero = is_zero(f, size_re) & is_zero(f, size_im)
    return Complex(f.select(zero, a.re / size_re, quotient.re), f.select(zero, a.im / size_im, quotient.im))
