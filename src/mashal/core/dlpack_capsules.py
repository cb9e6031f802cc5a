"""The capsules of DLPack: their structures, and what makes, takes and destroys them, in machine code.

    DLTensor            data, device (type, id), ndim, dtype (code, bits, lanes), shape, strides, byte_offset
    managed, before 1.0 DLTensor, context, deleter
    managed, since      version (major, minor), context, deleter, flags, DLTensor

A capsule's name says which of the two it holds, and whether somebody has taken it.

Stands on machine.
"""

from __future__ import annotations

import ctypes
from typing import Any

from mashal.machine.jit import JIT, provide_from_process

__all__ = ["NEW", "OLD", "Kind", "Managed", "TensorDescription", "Versioned"]


class TensorDescription(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64),
    ]  # fmt: skip


class Managed(ctypes.Structure):
    _fields_ = [("tensor", TensorDescription), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64), ("tensor", TensorDescription),
    ]  # fmt: skip


def _at(structure: type, name: str) -> int:
    return getattr(structure, name).offset


def _of_kind(suffix: str, kind: type[ctypes.Structure]) -> str:
    """The functions for one of the two structures."""
    return f"""
define void @dlpack_delete{suffix}(ptr %managed) {{   ; ours is no longer needed
entry:
  %up = call i32 @Py_IsInitialized()
  %down = icmp eq i32 %up, 0
  br i1 %down, label %out, label %free
free:
  %state = call i32 @PyGILState_Ensure()
  %at = getelementptr i8, ptr %managed, i64 {_at(kind, "context")}
  %context = load ptr, ptr %at
  call void @Py_DecRef(ptr %context)
  call void @PyGILState_Release(i32 %state)
  br label %out
out:
  ret void
}}

define internal void @finish{suffix}(ptr %managed) {{ ; tells whoever made it
entry:
  %at = getelementptr i8, ptr %managed, i64 {_at(kind, "deleter")}
  %deleter = load ptr, ptr %at
  %none = icmp eq ptr %deleter, null
  br i1 %none, label %out, label %call
call:
  call void %deleter(ptr %managed)
  br label %out
out:
  ret void
}}

define internal void @unused{suffix}(ptr %capsule) {{ ; destructor of what we give: nobody may have taken it
entry:
  %fresh = call i32 @PyCapsule_IsValid(ptr %capsule, ptr @name{suffix})
  %taken = icmp eq i32 %fresh, 0
  br i1 %taken, label %out, label %free
free:
  %managed = call ptr @PyCapsule_GetPointer(ptr %capsule, ptr @name{suffix})
  call void @finish{suffix}(ptr %managed)
  br label %out
out:
  ret void
}}

define internal void @done{suffix}(ptr %capsule) {{   ; destructor of what owns the memory we took
  %managed = call ptr @PyCapsule_GetPointer(ptr %capsule, ptr null)
  call void @finish{suffix}(ptr %managed)
  ret void
}}

define ptr @dlpack_give{suffix}(ptr %managed) {{      ; the capsule that travels
  %capsule = call ptr @PyCapsule_New(ptr %managed, ptr @name{suffix}, ptr @unused{suffix})
  ret ptr %capsule
}}

define ptr @dlpack_see{suffix}(ptr %capsule) {{       ; the structure in a capsule; null: another kind, or taken already
entry:
  %valid = call i32 @PyCapsule_IsValid(ptr %capsule, ptr @name{suffix})
  %no = icmp eq i32 %valid, 0
  br i1 %no, label %out, label %get
out:
  ret ptr null
get:
  %managed = call ptr @PyCapsule_GetPointer(ptr %capsule, ptr @name{suffix})
  ret ptr %managed
}}

define ptr @dlpack_take{suffix}(ptr %capsule) {{      ; what owns the memory from now on
  %managed = call ptr @PyCapsule_GetPointer(ptr %capsule, ptr @name{suffix})
  %s = call i32 @PyCapsule_SetName(ptr %capsule, ptr @used{suffix})
  %owner = call ptr @PyCapsule_New(ptr %managed, ptr null, ptr @done{suffix})
  ret ptr %owner
}}
"""


provide_from_process(
    "Py_IsInitialized", "PyGILState_Ensure", "PyGILState_Release", "Py_DecRef", "PyCapsule_New", "PyCapsule_GetPointer",
    "PyCapsule_IsValid", "PyCapsule_SetName",
)  # fmt: skip

_TEXT = """
declare i32 @Py_IsInitialized()
declare i32 @PyGILState_Ensure()
declare void @PyGILState_Release(i32)
declare void @Py_DecRef(ptr)
declare ptr @PyCapsule_New(ptr, ptr, ptr)
declare ptr @PyCapsule_GetPointer(ptr, ptr)
declare i32 @PyCapsule_IsValid(ptr, ptr)
declare i32 @PyCapsule_SetName(ptr, ptr)
@name_old = internal constant [9 x i8] c"dltensor\\00"
@used_old = internal constant [14 x i8] c"used_dltensor\\00"
@name_new = internal constant [19 x i8] c"dltensor_versioned\\00"
@used_new = internal constant [24 x i8] c"used_dltensor_versioned\\00"
"""


class Kind:
    """One of the two structures, and its functions in machine code, compiled when they are first needed."""

    def __init__(self, structure: Any, suffix: str):
        self.structure, self.suffix = structure, suffix

    def __getattr__(self, name: str) -> Any:
        if name not in ("delete", "give", "see", "take"):
            raise AttributeError(name)
        address, object = ctypes.c_void_p, ctypes.py_object
        names = [f"_{what}{self.suffix}" for what in ("delete", "give", "see", "take")]
        self.delete, give, see, take = JIT.functions(_TEXT + _of_kind(self.suffix, self.structure), "dlpack", names)
        self.give = ctypes.PYFUNCTYPE(object, address)(give)
        self.see = ctypes.PYFUNCTYPE(address, object)(see)
        self.take = ctypes.PYFUNCTYPE(object, object)(take)
        return self.__dict__[name]


OLD, NEW = Kind(Managed, "_old"), Kind(Versioned, "_new")
