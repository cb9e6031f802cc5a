"""Element types, and how they mix.

`dtype` objects are singletons (`mashal.float32`); they print as PyTorch's. `promote(a, b)` is PyTorch's table for
two tensors' dtypes; `result_type` (ops.promotion) adds the rules for numbers and 0-d tensors.

    >>> promote(uint8, int8), promote(int64, float16), promote(float16, bfloat16)
    (torch.int16, torch.float16, torch.float32)
"""

from __future__ import annotations

import builtins
import struct
from typing import Any

from mashal.machine.observing import changed, settings

__all__ = [
    "FLOAT8", "bfloat16", "bool", "cdouble", "cfloat", "chalf", "complex128", "complex32", "complex64", "double", "dtype", "finfo",
    "float", "float16", "float32", "float64", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu",
    "get_default_dtype", "half", "iinfo", "int", "int16", "int32", "int64", "int8", "long",
    "int1", "int2", "int3", "int4", "int5", "int6", "int7", "promote", "qint32", "qint8", "quint2x4", "quint4x2", "quint8",
    "set_default_dtype", "short", "uint1", "uint16", "uint2", "uint3", "uint32", "uint4", "uint5", "uint6", "uint64", "uint7", "uint8",
]  # fmt: skip


class dtype:
    """The type of a tensor's elements.

    itemsize: bytes. llvm: how an element lies in memory (a complex number is two of these). kind: "b" bool,
    "u" unsigned, "i" signed, "f" floating, "c" complex, "s" named only, without operations. code: the letter of the struct module and of
    array interfaces, "" where Python has none.
    """

    __slots__ = (
        "code",
        "is_complex",
        "is_floating_point",
        "is_signed",
        "itemsize",
        "kind",
        "llvm",
        "name",
        "numpy_name",
    )

    def __init__(self, name: str, kind: str, itemsize: builtins.int, llvm: str, code: str, numpy_name: str):
        self.name, self.kind, self.itemsize, self.llvm, self.code = name, kind, itemsize, llvm, code
        self.numpy_name = numpy_name
        self.is_floating_point = kind == "f"
        self.is_complex = kind == "c"
        self.is_signed = kind in "ifc"

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name

    def __copy__(self) -> dtype:
        return self

    def __deepcopy__(self, memo: Any) -> dtype:
        return self

    @property
    def abbr(self) -> str:
        """A short name: "f32", "bf16", "i64", "b8" …"""
        if self.kind == "s":
            return self.name
        letter = {"b": "b", "u": "u", "i": "i", "f": "f", "c": "c"}[self.kind]
        if self.name.startswith("float8"):
            return f"f8{self.name.removeprefix('float8_')}"
        return "bf16" if self.name == "bfloat16" else f"{letter}{self.itemsize * 8}"

    def to_real(self) -> dtype:
        """The floating dtype of a complex dtype's parts; other dtypes are returned as they are."""
        return _REAL.get(self, self)

    def to_complex(self) -> dtype:
        """The complex dtype whose parts have this dtype."""
        return _COMPLEX.get(self, self)


uint8 = dtype("uint8", "u", 1, "i8", "B", "uint8")
int8 = dtype("int8", "i", 1, "i8", "b", "int8")
int16 = dtype("int16", "i", 2, "i16", "h", "int16")
int32 = dtype("int32", "i", 4, "i32", "i", "int32")
int64 = dtype("int64", "i", 8, "i64", "q", "int64")
uint16 = dtype("uint16", "u", 2, "i16", "H", "uint16")
uint32 = dtype("uint32", "u", 4, "i32", "I", "uint32")
uint64 = dtype("uint64", "u", 8, "i64", "Q", "uint64")
float16 = dtype("float16", "f", 2, "half", "e", "float16")
bfloat16 = dtype("bfloat16", "f", 2, "bfloat", "", "")
float32 = dtype("float32", "f", 4, "float", "f", "float32")
float64 = dtype("float64", "f", 8, "double", "d", "float64")
complex32 = dtype("complex32", "c", 4, "half", "", "")
complex64 = dtype("complex64", "c", 8, "float", "", "complex64")
complex128 = dtype("complex128", "c", 16, "double", "", "complex128")
bool = dtype("bool", "b", 1, "i8", "?", "bool")
float8_e4m3fn = dtype("float8_e4m3fn", "f", 1, "i8", "", "")
float8_e5m2 = dtype("float8_e5m2", "f", 1, "i8", "", "")
float8_e4m3fnuz = dtype("float8_e4m3fnuz", "f", 1, "i8", "", "")
float8_e5m2fnuz = dtype("float8_e5m2fnuz", "f", 1, "i8", "", "")
float8_e8m0fnu = dtype("float8_e8m0fnu", "f", 1, "i8", "", "")
FLOAT8 = (float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz, float8_e8m0fnu)
half, float, double = float16, float32, float64
short, int, long = int16, int32, int64
chalf, cfloat, cdouble = complex32, complex64, complex128

_NAMED = "uint1 uint2 uint3 uint4 uint5 uint6 uint7 int1 int2 int3 int4 int5 int6 int7".split()
_QUANTIZED = {"quint8": 1, "qint8": 1, "qint32": 4, "quint4x2": 1, "quint2x4": 1}
_SHELLS = {name: dtype(name, "s", 1, "i8", "", "") for name in _NAMED}
_SHELLS |= {name: dtype(name, "s", size, f"i{size * 8}", "", "") for name, size in _QUANTIZED.items()}
uint1, uint2, uint3, uint4, uint5, uint6, uint7 = (_SHELLS[f"uint{n}"] for n in range(1, 8))
int1, int2, int3, int4, int5, int6, int7 = (_SHELLS[f"int{n}"] for n in range(1, 8))
quint8, qint8, qint32 = _SHELLS["quint8"], _SHELLS["qint8"], _SHELLS["qint32"]
quint4x2, quint2x4 = _SHELLS["quint4x2"], _SHELLS["quint2x4"]
for _shell in _SHELLS.values():
    _shell.is_signed = not _shell.name.startswith(("u", "q"))
DTYPES = (uint8, int8, int16, int32, int64, uint16, uint32, uint64, float16, bfloat16, float32, float64, complex32,
          complex64, complex128, bool)  # fmt: skip
_REAL = {complex32: float16, complex64: float32, complex128: float64}
_COMPLEX = {float16: complex32, bfloat16: complex64, float32: complex64, float64: complex128}
_RANK = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


# ---------------------------------------------------------------- promotion
def _promote(a: dtype, b: dtype) -> dtype:
    if a is b:
        return a
    if a in FLOAT8 or b in FLOAT8:
        raise RuntimeError(
            f"promote_types: {a} and {b} have no common dtype; convert one of them, e.g. with .to(torch.float32)"
        )
    if a.kind == "s" or b.kind == "s":
        return b if a.kind == "s" else a
    if _RANK[a.kind] < _RANK[b.kind]:
        a, b = b, a
    if _RANK[a.kind] == 1 and _RANK[b.kind] == 1:
        return _promote_integers(a, b)
    if a.kind == "c":
        b = b if b.kind == "c" else _COMPLEX.get(b, a)
        return a if a.itemsize >= b.itemsize else b
    if a.kind == "f" and b.kind == "f":
        if a.itemsize == b.itemsize:  # float16 with bfloat16
            return float32
        return a if a.itemsize > b.itemsize else b
    return a


def _promote_integers(a: dtype, b: dtype) -> dtype:
    if a.kind == b.kind:
        return a if a.itemsize >= b.itemsize else b
    signed, unsigned = (a, b) if a.kind == "i" else (b, a)
    if unsigned is not uint8 and unsigned.itemsize >= signed.itemsize:
        raise RuntimeError(
            f"promote_types: {a} and {b} have no common dtype; convert one of them, e.g. with .to(torch.int64)"
        )
    if signed.itemsize > unsigned.itemsize:
        return signed
    return {1: int16, 2: int32, 4: int64}[unsigned.itemsize]


_TABLE: dict[tuple[dtype, dtype], dtype] = {}


def promote(a: dtype, b: dtype) -> dtype:
    """The dtype that holds values of both."""
    found = _TABLE.get((a, b))
    if found is None:
        found = _TABLE[a, b] = _promote(a, b)
    return found


def can_cast(from_: dtype, to: dtype) -> builtins.bool:
    """Whether a result of dtype `from_` may be written into a tensor of dtype `to` (no kind is lost)."""
    return _RANK[from_.kind] <= _RANK[to.kind]


# ---------------------------------------------------------------- defaults
class _Defaults:
    floating = float32


def get_default_dtype() -> dtype:
    """The dtype of Python floats and of factory functions: float32 unless `set_default_dtype` was called."""
    return _Defaults.floating


def set_default_dtype(d: dtype) -> None:
    """Makes a floating dtype the one of Python floats and of factory functions."""
    if not isinstance(d, dtype):
        raise TypeError(f"set_default_dtype: expected a dtype, got {type(d).__name__}")
    if not d.is_floating_point:
        raise TypeError(f"set_default_dtype: only floating-point types are supported as the default type, got {d}")
    _Defaults.floating = d
    changed()


settings.append(get_default_dtype)


# ---------------------------------------------------------------- limits
_FLOATS = {
    float16: (11, 5),
    bfloat16: (8, 8),
    float32: (24, 8),
    float64: (53, 11),
    float8_e4m3fn: (4, 4),
    float8_e5m2: (3, 5),
    float8_e4m3fnuz: (4, 4),
    float8_e5m2fnuz: (3, 5),
    float8_e8m0fnu: (1, 8),
}  # digits with the hidden one, exponent bits


class finfo:
    """The limits of a floating (or complex: of its parts) dtype: bits, eps, max, min, tiny, smallest_normal, resolution."""

    def __init__(self, type: dtype | None = None):
        type = type or get_default_dtype()
        real = type.to_real()
        if real not in _FLOATS:
            raise TypeError(f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle {type!r}")
        digits, exponent = _FLOATS[real]
        top = 2 ** (exponent - 1) - 1
        self.bits = real.itemsize * 8
        self.eps = 2.0 ** (1 - digits)
        self.max = (2.0 - self.eps) * 2.0**top
        self.min = -self.max
        self.tiny = self.smallest_normal = 2.0 ** (1 - top)
        if real in FLOAT8:
            self._of_eighths(real)
        self.resolution = 10.0 ** -builtins.int((digits - 1) * 0.30103)
        self.dtype = real.name

    def _of_eighths(self, d: dtype) -> None:
        """Their limits are not IEEE's: there is no infinity, or no sign."""
        self.max, self.tiny = {
            "float8_e4m3fn": (448.0, 2.0**-6), "float8_e5m2": (57344.0, 2.0**-14), "float8_e4m3fnuz": (240.0, 2.0**-7),
            "float8_e5m2fnuz": (57344.0, 2.0**-15), "float8_e8m0fnu": (2.0**127, 2.0**-127),
        }[d.name]  # fmt: skip
        self.smallest_normal, self.min = self.tiny, self.tiny if d is float8_e8m0fnu else -self.max
        self.eps = {"float8_e4m3fnuz": 0.125, "float8_e5m2fnuz": 0.125}.get(d.name, self.eps)

    def __repr__(self) -> str:
        fields = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        shown = ", ".join(f"{n}={_shortest(getattr(self, n))}" for n in fields)
        return f"finfo({shown}, dtype={self.dtype})"


def _shortest(x: builtins.float) -> str:
    return f"{x:g}"


class iinfo:
    """The limits of an integer dtype: bits, max, min."""

    def __init__(self, type: dtype):
        if not isinstance(type, dtype) or type.kind not in "iu":
            raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle {type!r}")
        self.bits = type.itemsize * 8
        self.min = -(1 << (self.bits - 1)) if type.kind == "i" else 0
        self.max = (1 << (self.bits - (type.kind == "i"))) - 1
        self.dtype = type.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


# ---------------------------------------------------------------- elements as bytes
def pack_bfloat16(x: builtins.float) -> bytes:
    """A Python float as the nearest bfloat16, ties to even."""
    try:
        bits = struct.unpack("<I", struct.pack("<f", x))[0]
    except OverflowError:
        return b"\x80\x7f" if x > 0 else b"\x80\xff"
    rounded = 0x7FC0 if x != x else (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return struct.pack("<H", rounded)
