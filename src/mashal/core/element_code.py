"""The machine code of `core.elements`, as text: from memory to a Python number and back, for one dtype.

Half types are converted by their bits. A number that doesn't fit an integer type is a RuntimeError; what Python's own
conversions raise (OverflowError beyond 64 bits, TypeError for what is no number) goes through.

Stands on machine and dtypes.
"""

from __future__ import annotations

import struct

from mashal.core import dtypes
from mashal.core.dtypes import dtype
from mashal.core.eighths import EIGHTHS, Eighth, number_of
from mashal.machine.jit import provide_from_process

__all__ = ["element_code"]

provide_from_process(
    "PyList_New", "PyList_SetItem", "PyList_GetItem", "PyTuple_GetItem", "PyTuple_Size", "PyLong_AsLongLong",
    "PyLong_AsUnsignedLongLong", "PyFloat_AsDouble", "PyComplex_RealAsDouble", "PyComplex_ImagAsDouble", "PyObject_IsTrue",
    "PyBool_FromLong", "PyLong_FromLongLong", "PyLong_FromUnsignedLongLong", "PyFloat_FromDouble", "PyComplex_FromDoubles",
    "PyErr_Occurred", "PyErr_SetString", "PyExc_RuntimeError", "PyCapsule_GetPointer", "Py_IncRef", "Py_DecRef", "_Py_NoneStruct",
)  # fmt: skip

_DECLARED = """
declare ptr @PyList_New(i64)
declare i32 @PyList_SetItem(ptr, i64, ptr)
declare ptr @PyList_GetItem(ptr, i64)
declare ptr @PyTuple_GetItem(ptr, i64)
declare i64 @PyTuple_Size(ptr)
declare i64 @PyLong_AsLongLong(ptr)
declare i64 @PyLong_AsUnsignedLongLong(ptr)
declare double @PyFloat_AsDouble(ptr)
declare double @PyComplex_RealAsDouble(ptr)
declare double @PyComplex_ImagAsDouble(ptr)
declare i32 @PyObject_IsTrue(ptr)
declare ptr @PyBool_FromLong(i64)
declare ptr @PyLong_FromLongLong(i64)
declare ptr @PyLong_FromUnsignedLongLong(i64)
declare ptr @PyFloat_FromDouble(double)
declare ptr @PyComplex_FromDoubles(double, double)
declare ptr @PyErr_Occurred()
declare void @PyErr_SetString(ptr, ptr)
declare ptr @PyCapsule_GetPointer(ptr, ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare double @llvm.copysign.f64(double, double)
@PyExc_RuntimeError = external global ptr
@_Py_NoneStruct = external global i8
"""

# a floating number in memory -> double, and back; a complex number has two of these
_READ_FLOAT = {
    "double": "  %x = load double, ptr %p, align 1\n  ret double %x",
    "float": "  %f = load float, ptr %p, align 1\n  %x = fpext float %f to double\n  ret double %x",
    "bfloat": """
  %h = load i16, ptr %p, align 1
  %w = zext i16 %h to i32
  %b = shl i32 %w, 16
  %f = bitcast i32 %b to float
  %x = fpext float %f to double
  ret double %x""",
    "half": """
  %h = load i16, ptr %p, align 1
  %w = zext i16 %h to i64
  %low = and i64 %w, 32767
  %high = and i64 %w, 32768
  %tiny = icmp ult i64 %low, 1024                    ; below 2^-14: multiples of 2^-24
  %m = uitofp i64 %low to double
  %small = fmul double %m, 0x3E70000000000000
  %shifted = shl i64 %low, 42
  %usual = add i64 %shifted, 4539628424389459968     ; exponents: 1023 - 15
  %special = icmp uge i64 %low, 31744                ; inf and nan
  %top = or i64 %shifted, 9218868437227405312
  %bits = select i1 %special, i64 %top, i64 %usual
  %big = bitcast i64 %bits to double
  %size = select i1 %tiny, double %small, double %big
  %raw = bitcast double %size to i64
  %sign = shl i64 %high, 48
  %all = or i64 %raw, %sign
  %x = bitcast i64 %all to double
  ret double %x""",
}
_WRITE_FLOAT = {
    "double": "  store double %x, ptr %p, align 1\n  ret void",
    "float": "  %f = fptrunc double %x to float\n  store float %f, ptr %p, align 1\n  ret void",
    "bfloat": """
  %f = fptrunc double %x to float
  %b = bitcast float %f to i32
  %up = lshr i32 %b, 16
  %odd = and i32 %up, 1
  %half = add i32 %odd, 32767                         ; to nearest, ties to even
  %sum = add i32 %b, %half
  %cut = lshr i32 %sum, 16
  %nan = fcmp uno float %f, %f
  %r = select i1 %nan, i32 32704, i32 %cut
  %h = trunc i32 %r to i16
  store i16 %h, ptr %p, align 1
  ret void""",
    "half": """
  %f = fptrunc double %x to float
  %b = bitcast float %f to i32
  %a = and i32 %b, 2147483647
  %up = lshr i32 %a, 13
  %odd = and i32 %up, 1
  %half = add i32 %odd, 4095                          ; to nearest, ties to even
  %sum = add i32 %a, %half
  %cut = lshr i32 %sum, 13
  %usual = sub i32 %cut, 114688
  %size = bitcast i32 %a to float
  %aligned = fadd float %size, 5.0e-01                ; below 2^-14: the addition rounds to a multiple of 2^-24
  %raw = bitcast float %aligned to i32
  %small = sub i32 %raw, 1056964608
  %is_small = icmp ult i32 %a, 947912704
  %r0 = select i1 %is_small, i32 %small, i32 %usual
  %is_big = icmp uge i32 %a, 1199566848               ; 65520 and more
  %r1 = select i1 %is_big, i32 31744, i32 %r0
  %nan = fcmp uno float %f, %f
  %r2 = select i1 %nan, i32 32256, i32 %r1
  %high = lshr i32 %b, 16
  %sign = and i32 %high, 32768
  %r = or i32 %r2, %sign
  %h = trunc i32 %r to i16
  store i16 %h, ptr %p, align 1
  ret void""",
}

_FUNCTIONS = """
define internal ptr @boxed(ptr %p) {{
{box}
}}

define internal i1 @unboxed(ptr %o, ptr %p) {{        ; whether an exception was raised
{unbox}
}}

define ptr @element_item(ptr %self, ptr %args, i64 %n) {{
  %storage = load ptr, ptr %args
  %a1 = getelementptr ptr, ptr %args, i64 1
  %o1 = load ptr, ptr %a1
  %offset = call i64 @PyLong_AsLongLong(ptr %o1)
  %data = call ptr @PyCapsule_GetPointer(ptr %storage, ptr null)
  %none = icmp eq ptr %data, null
  br i1 %none, label %bad, label %good
bad:
  ret ptr null
good:
  %at = mul i64 %offset, {size}
  %p = getelementptr i8, ptr %data, i64 %at
  %r = call ptr @boxed(ptr %p)
  ret ptr %r
}}

define internal ptr @rows(ptr %first, ptr %shape, ptr %strides, i64 %dim, i64 %rank) {{   ; nested lists from a dimension on
entry:
  %o0 = call ptr @PyTuple_GetItem(ptr %shape, i64 %dim)
  %count = call i64 @PyLong_AsLongLong(ptr %o0)
  %o1 = call ptr @PyTuple_GetItem(ptr %strides, i64 %dim)
  %stride = call i64 @PyLong_AsLongLong(ptr %o1)
  %step = mul i64 %stride, {size}
  %inner = add i64 %dim, 1
  %deeper = icmp slt i64 %inner, %rank
  %list = call ptr @PyList_New(i64 %count)
  %failed = icmp eq ptr %list, null
  br i1 %failed, label %bad, label %next
bad:
  ret ptr null
next:
  %i = phi i64 [0, %entry], [%i1, %kept]
  %p = phi ptr [%first, %entry], [%p1, %kept]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %one, label %out
one:
  br i1 %deeper, label %below, label %here
below:
  %v0 = call ptr @rows(ptr %p, ptr %shape, ptr %strides, i64 %inner, i64 %rank)
  br label %made
here:
  %v1 = call ptr @boxed(ptr %p)
  br label %made
made:
  %v = phi ptr [%v0, %below], [%v1, %here]
  %no = icmp eq ptr %v, null
  br i1 %no, label %drop, label %kept
kept:
  %s = call i32 @PyList_SetItem(ptr %list, i64 %i, ptr %v)
  %i1 = add i64 %i, 1
  %p1 = getelementptr i8, ptr %p, i64 %step
  br label %next
drop:
  call void @Py_DecRef(ptr %list)
  ret ptr null
out:
  ret ptr %list
}}

define ptr @element_lists(ptr %self, ptr %args, i64 %n) {{
  %storage = load ptr, ptr %args
  %a1 = getelementptr ptr, ptr %args, i64 1
  %o1 = load ptr, ptr %a1
  %offset = call i64 @PyLong_AsLongLong(ptr %o1)
  %a2 = getelementptr ptr, ptr %args, i64 2
  %shape = load ptr, ptr %a2
  %a3 = getelementptr ptr, ptr %args, i64 3
  %strides = load ptr, ptr %a3
  %rank = call i64 @PyTuple_Size(ptr %shape)
  %data = call ptr @PyCapsule_GetPointer(ptr %storage, ptr null)
  %none = icmp eq ptr %data, null
  br i1 %none, label %bad, label %good
bad:
  ret ptr null
good:
  %at = mul i64 %offset, {size}
  %p = getelementptr i8, ptr %data, i64 %at
  %r = call ptr @rows(ptr %p, ptr %shape, ptr %strides, i64 0, i64 %rank)
  ret ptr %r
}}

define ptr @element_store(ptr %self, ptr %args, i64 %n) {{
entry:
  %list = load ptr, ptr %args
  %a1 = getelementptr ptr, ptr %args, i64 1
  %storage = load ptr, ptr %a1
  %a2 = getelementptr ptr, ptr %args, i64 2
  %o2 = load ptr, ptr %a2
  %count = call i64 @PyLong_AsLongLong(ptr %o2)
  %data = call ptr @PyCapsule_GetPointer(ptr %storage, ptr null)
  %none = icmp eq ptr %data, null
  br i1 %none, label %bad, label %next
next:
  %i = phi i64 [0, %entry], [%i1, %done]
  %p = phi ptr [%data, %entry], [%p1, %done]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %one, label %out
one:
  %v = call ptr @PyList_GetItem(ptr %list, i64 %i)
  %no = icmp eq ptr %v, null
  br i1 %no, label %bad, label %convert
convert:
  %raised = call i1 @unboxed(ptr %v, ptr %p)
  br i1 %raised, label %bad, label %done
done:
  %i1 = add i64 %i, 1
  %p1 = getelementptr i8, ptr %p, i64 {size}
  br label %next
bad:
  ret ptr null
out:
  call void @Py_IncRef(ptr @_Py_NoneStruct)
  ret ptr @_Py_NoneStruct
}}
"""


# ---------------------------------------------------------------- a number as an object, and back
def _floating(real: dtype) -> str:
    if real in EIGHTHS:
        return _eighth(EIGHTHS[real])
    return (
        f"define internal double @read(ptr %p) {{\n{_READ_FLOAT[real.llvm]}\n}}\n"
        f"define internal void @write(double %x, ptr %p) {{\n{_WRITE_FLOAT[real.llvm]}\n}}\n"
    )


# a number of 8 bits: read from a table of all 256, written as lower.eighths does it
_READ_EIGHTH = """
  %h = load i8, ptr %p, align 1
  %i = zext i8 %h to i64
  %at = getelementptr [256 x i64], ptr @numbers, i64 0, i64 %i
  %x = load double, ptr %at
  ret double %x"""
_WRITE_EIGHTH = """
  %f = fptrunc double %x to float
  %b = bitcast float %f to i32
  %size = and i32 %b, 2147483647
  %up = lshr i32 %size, {drop}
  %odd = and i32 %up, 1
  %half = add i32 %odd, {half}                        ; to nearest, ties to even
  %sum = add i32 %size, %half
  %cut = lshr i32 %sum, {drop}
  %usual = sub i32 %cut, {bias}
  %plain = bitcast i32 %size to float
  %aligned = fadd float %plain, 0x{aligner:016X}      ; the addition rounds to a multiple of the smallest number
  %raw = bitcast float %aligned to i32
  %small = sub i32 %raw, {aligned}
  %tiny = icmp ult i32 %size, {normal}
  %made = select i1 %tiny, i32 %small, i32 %usual
  %over = icmp sgt i32 %made, {largest}
  %r0 = select i1 %over, i32 {most}, i32 %made
  %nan = fcmp uno float %f, %f
  %r1 = select i1 %nan, i32 {nan}, i32 %r0
  %high = lshr i32 %b, 24
  %sign = and i32 %high, 128
  %zero = icmp eq i32 %made, 0
  %kept = select i1 %zero, i32 {zero}, i32 %sign
  %r = or i32 %r1, %kept
  %h = trunc i32 %r to i8
  store i8 %h, ptr %p, align 1
  ret void"""
_WRITE_SCALE = """
  %f = fptrunc double %x to float
  %b = bitcast float %f to i32
  %size = and i32 %b, 2147483647
  %e = lshr i32 %size, 23
  %rest = and i32 %size, 8388607
  %half = icmp uge i32 %rest, 4194304
  %least = icmp ne i32 %size, 4194304                 ; 2^-127 stays
  %up = and i1 %half, %least
  %one = zext i1 %up to i32
  %more = add i32 %e, %one
  %special = icmp eq i32 %e, 255
  %r = select i1 %special, i32 255, i32 %more
  %h = trunc i32 %r to i8
  store i8 %h, ptr %p, align 1
  ret void"""


def _eighth(how: Eighth) -> str:
    words = [struct.unpack("<Q", struct.pack("<d", number_of(bits, how)))[0] for bits in range(256)]
    table = ", ".join(f"i64 {word}" for word in words)
    drop, ulp = 23 - how.mantissa, 24 - how.bias - how.mantissa
    nan = 0x80 if how.manner == "fnuz" else 0x7F
    write = _WRITE_SCALE if how.manner == "scale" else _WRITE_EIGHTH.format(
        drop=drop, half=(1 << (drop - 1)) - 1, bias=(127 - how.bias) << how.mantissa, aligned=(ulp + 127) << 23,
        aligner=(ulp + 1023) << 52, normal=(128 - how.bias) << 23, largest=how.largest, nan=nan,
        most={"ieee": how.largest + 1, "fn": how.largest}.get(how.manner, nan), zero="0" if how.manner == "fnuz" else "%sign",
    )  # fmt: skip
    return (
        f"@numbers = internal constant [256 x i64] [{table}]\n"
        f"define internal double @read(ptr %p) {{{_READ_EIGHTH}\n}}\ndefine internal void @write(double %x, ptr %p) {{{write}\n}}\n"
    )


_RAISED = """
  %suspicious = {suspicious}
  br i1 %suspicious, label %ask, label %fine
ask:
  %e = call ptr @PyErr_Occurred()
  %raised = icmp ne ptr %e, null
  br i1 %raised, label %bad, label %fine
bad:
  ret i1 true
fine:"""


def _box(d: dtype) -> str:
    if d.kind == "f":
        return "  %x = call double @read(ptr %p)\n  %r = call ptr @PyFloat_FromDouble(double %x)\n  ret ptr %r"
    if d.kind == "c":
        return (
            f"  %x = call double @read(ptr %p)\n  %q = getelementptr i8, ptr %p, i64 {d.itemsize // 2}\n"
            "  %y = call double @read(ptr %q)\n"
            "  %r = call ptr @PyComplex_FromDoubles(double %x, double %y)\n  ret ptr %r"
        )
    load = f"  %i = load {d.llvm}, ptr %p, align 1\n"
    if d.kind == "b":
        return (
            load
            + "  %t = icmp ne i8 %i, 0\n  %l = zext i1 %t to i64\n  %r = call ptr @PyBool_FromLong(i64 %l)\n  ret ptr %r"
        )
    wide = (
        "  %l = bitcast i64 %i to i64\n"
        if d.itemsize == 8
        else f"  %l = {'sext' if d.is_signed else 'zext'} {d.llvm} %i to i64\n"
    )
    maker = "PyLong_FromLongLong" if d.is_signed or d.itemsize < 8 else "PyLong_FromUnsignedLongLong"
    return f"{load}{wide}  %r = call ptr @{maker}(i64 %l)\n  ret ptr %r"


def _unbox(d: dtype) -> str:
    if d.kind == "f":
        raised = _RAISED.format(suspicious="fcmp oeq double %x, -1.0")
        return f"  %x = call double @PyFloat_AsDouble(ptr %o){raised}\n  call void @write(double %x, ptr %p)\n  ret i1 false"
    if d.kind == "c":
        raised = _RAISED.format(suspicious="fcmp oeq double %x, -1.0")
        return (
            f"  %x = call double @PyComplex_RealAsDouble(ptr %o){raised}\n"
            "  %y = call double @PyComplex_ImagAsDouble(ptr %o)\n  call void @write(double %x, ptr %p)\n"
            f"  %q = getelementptr i8, ptr %p, i64 {d.itemsize // 2}\n  call void @write(double %y, ptr %q)\n  ret i1 false"
        )
    if d.kind == "b":
        raised = _RAISED.format(suspicious="icmp slt i32 %t, 0")
        return f"  %t = call i32 @PyObject_IsTrue(ptr %o){raised}\n  %b = trunc i32 %t to i8\n  store i8 %b, ptr %p\n  ret i1 false"
    reader = "PyLong_AsLongLong" if d.is_signed or d.itemsize < 8 else "PyLong_AsUnsignedLongLong"
    text = f"  %x = call i64 @{reader}(ptr %o){_RAISED.format(suspicious='icmp eq i64 %x, -1')}\n"
    if d.itemsize == 8:
        return text + "  store i64 %x, ptr %p, align 1\n  ret i1 false"
    limit = dtypes.iinfo(d)
    low = limit.min if d.is_signed else -limit.max  # a negative number counts from the end of an unsigned type
    return text + (
        f"  %high = icmp sgt i64 %x, {limit.max}\n  %low = icmp slt i64 %x, {low}\n  %outside = or i1 %high, %low\n"
        "  br i1 %outside, label %refuse, label %fits\nrefuse:\n  %error = load ptr, ptr @PyExc_RuntimeError\n"
        "  call void @PyErr_SetString(ptr %error, ptr @element_text)\n  ret i1 true\nfits:\n"
        f"  %i = trunc i64 %x to {d.llvm}\n  store {d.llvm} %i, ptr %p, align 1\n  ret i1 false"
    )


def element_code(d: dtype) -> str:
    """A module with @element_item, @element_row and @element_store for a dtype."""
    said = f"tensor: value cannot be converted to type {d.name} without overflow"
    text = _DECLARED + f'@element_text = internal constant [{len(said) + 1} x i8] c"{said}\\00"\n'
    text += _floating(d.to_real()) if d.kind in "fc" else ""
    return text + _FUNCTIONS.format(box=_box(d), unbox=_unbox(d), size=d.itemsize)
