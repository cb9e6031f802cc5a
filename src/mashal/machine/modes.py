"""Modes: switches that native code reads as cheaply as Python does, one word of bits for each thread.

A bit stands for "not as usual", so a thread that has set nothing has the word 0 and launchers need one comparison to know
that nothing special is asked for. `everywhere` bits are those of all threads at once.

    class Mode:
        recording = switch(RECORDING, usual=True)
    mode = Mode()
    mode.recording = False              # in this thread

Native code calls `i64 mashal_modes()`: the thread's bits and those of everywhere.
"""

from __future__ import annotations

import ctypes

from mashal.machine.jit import JIT, provide_from_process
from mashal.machine.launch import builtin

NOT_RECORDING, INFERENCE, HOOKED, ANOMALY, SETTLING, WATCHED = 1, 2, 4, 8, 16, 32
PASSING = SETTLING | WATCHED  # what is no part of what a computation is

_EVERYWHERE = 1 << 62  # in the mask of a switch: of all threads

_TEXT = f"""
@key = internal global i64 0                         ; a pthread_key_t, which is no larger than that
@everywhere = internal global i64 0
@_Py_TrueStruct = external global i8
@_Py_FalseStruct = external global i8
@_Py_NoneStruct = external global i8
declare i32 @pthread_key_create(ptr, ptr)
declare ptr @pthread_getspecific(i64)
declare i32 @pthread_setspecific(i64, ptr)
declare i64 @PyLong_AsLongLong(ptr)
declare i32 @PyObject_IsTrue(ptr)
declare void @Py_IncRef(ptr)

define i32 @modes_begin() nounwind {{
  %e = call i32 @pthread_key_create(ptr @key, ptr null)
  ret i32 %e
}}

define internal i64 @own() alwaysinline nounwind {{
  %k = load i64, ptr @key
  %p = call ptr @pthread_getspecific(i64 %k)
  %w = ptrtoint ptr %p to i64
  ret i64 %w
}}

define i64 @modes_now() nounwind {{
  %own = call i64 @own()
  %all = load i64, ptr @everywhere
  %w = or i64 %own, %all
  ret i64 %w
}}

; a switch's __self__ is its bit, with _EVERYWHERE if it is of all threads, negative if it is usually on
define ptr @modes_read(ptr %self, ptr %args, i64 %n) nounwind {{
  %signed = call i64 @PyLong_AsLongLong(ptr %self)
  %inverted = icmp slt i64 %signed, 0
  %mask = call i64 @llvm.abs.i64(i64 %signed, i1 false)
  %bit = and i64 %mask, {_EVERYWHERE - 1}
  %w = call i64 @modes_now()
  %hit = and i64 %w, %bit
  %set = icmp ne i64 %hit, 0
  %true = xor i1 %set, %inverted
  %answer = select i1 %true, ptr @_Py_TrueStruct, ptr @_Py_FalseStruct
  call void @Py_IncRef(ptr %answer)
  ret ptr %answer
}}
declare i64 @llvm.abs.i64(i64, i1)

define ptr @modes_write(ptr %self, ptr %args, i64 %n) nounwind {{   ; (owner of the property, value)
entry:
  %place = getelementptr ptr, ptr %args, i64 1
  %value = load ptr, ptr %place
  %truth = call i32 @PyObject_IsTrue(ptr %value)
  %bad = icmp slt i32 %truth, 0
  br i1 %bad, label %fail, label %ok
fail:
  ret ptr null
ok:
  %signed = call i64 @PyLong_AsLongLong(ptr %self)
  %inverted = icmp slt i64 %signed, 0
  %mask = call i64 @llvm.abs.i64(i64 %signed, i1 false)
  %bit = and i64 %mask, {_EVERYWHERE - 1}
  %rest = xor i64 %bit, -1
  %true = icmp ne i32 %truth, 0
  %set = xor i1 %true, %inverted
  %new = select i1 %set, i64 %bit, i64 0
  %all = icmp uge i64 %mask, {_EVERYWHERE}
  br i1 %all, label %global, label %local
global:
  %g0 = load i64, ptr @everywhere
  %g1 = and i64 %g0, %rest
  %g2 = or i64 %g1, %new
  store i64 %g2, ptr @everywhere
  br label %out
local:
  %l0 = call i64 @own()
  %l1 = and i64 %l0, %rest
  %l2 = or i64 %l1, %new
  %p = inttoptr i64 %l2 to ptr
  %k = load i64, ptr @key
  %e = call i32 @pthread_setspecific(i64 %k, ptr %p)
  br label %out
out:
  call void @Py_IncRef(ptr @_Py_NoneStruct)
  ret ptr @_Py_NoneStruct
}}
"""

provide_from_process(
    "pthread_key_create", "pthread_getspecific", "pthread_setspecific", "PyLong_AsLongLong", "PyObject_IsTrue", "Py_IncRef",
    "_Py_TrueStruct", "_Py_FalseStruct", "_Py_NoneStruct",
)  # fmt: skip
_begin, _now, _read, _write = JIT.functions(_TEXT, "modes", ["_begin", "_now", "_read", "_write"])
if ctypes.CFUNCTYPE(ctypes.c_int)(_begin)():
    raise RuntimeError("modes: the system has no more room for what belongs to a thread (pthread_key_create)")
JIT.provide("mashal_modes", _now)
now = ctypes.CFUNCTYPE(ctypes.c_int64)(_now)
"""The word of this thread."""


def switch(bit: int, usual: bool = False, everywhere: bool = False) -> property:
    """A property that is a switch of the thread that reads or sets it (everywhere: of all threads).

    bit: what it is in the word, set while the switch is not as usual.
    """
    mask = bit | _EVERYWHERE if everywhere else bit
    owner = -mask if usual else mask
    return property(builtin(_read, "mode", owner), builtin(_write, "set_mode", owner))
