"""Capsules of memory: new ones, and ones upon memory that is somebody else's.

A buffer's address is asked of Python by its C structure, for ctypes gives it for writable memory only. `pinned(storage)`, in
machine code, is a storage's address for somebody outside: from then on its data stays where it is (machine.memory.pin).

Stands on machine.
"""

from __future__ import annotations

import ctypes
from typing import Any

from mashal.errors import out_of_memory
from mashal.machine import memory
from mashal.machine.jit import JIT, provide_from_process
from mashal.machine.launch import builtin

__all__ = ["allocate", "lent", "lent_address", "pinned"]

provide_from_process("PyCapsule_GetPointer", "PyCapsule_GetContext", "PyLong_FromLongLong")
_TEXT = """
declare ptr @PyCapsule_GetPointer(ptr, ptr)
declare ptr @PyCapsule_GetContext(ptr)
declare ptr @PyLong_FromLongLong(i64)

define ptr @lending_pinned(ptr %self, ptr %args, i64 %n) {
  %storage = load ptr, ptr %args
  %head = call ptr @PyCapsule_GetContext(ptr %storage)
  %lost = icmp eq ptr %head, null
  br i1 %lost, label %raised, label %found
raised:
  ret ptr null
found:
  %mark = getelementptr i8, ptr %head, i64 24
  store i64 1, ptr %mark
  %data = call ptr @PyCapsule_GetPointer(ptr %storage, ptr null)
  %address = ptrtoint ptr %data to i64
  %number = call ptr @PyLong_FromLongLong(i64 %address)
  ret ptr %number
}
"""
pinned = builtin(JIT.functions(_TEXT, "lending", ["_pinned"])[0], "pinned")


class _Buffer(ctypes.Structure):
    """CPython's Py_buffer."""

    _fields_ = [
        ("buf", ctypes.c_void_p), ("obj", ctypes.c_void_p), ("len", ctypes.c_ssize_t), ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int), ("ndim", ctypes.c_int), ("format", ctypes.c_void_p), ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p), ("suboffsets", ctypes.c_void_p), ("internal", ctypes.c_void_p),
    ]  # fmt: skip


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.restype, _get_buffer.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_void_p, ctypes.c_int]
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.restype, _release_buffer.argtypes = None, [ctypes.c_void_p]
_NOTHING = ctypes.create_string_buffer(64)  # where a storage without bytes lies that brings no address


# ---------------------------------------------------------------- capsules
def allocate(nbytes: int) -> Any:
    """A new capsule of so many bytes, not set; OutOfMemoryError if they are not to be had."""
    capsule = memory.new_storage(nbytes)
    if capsule is None:
        raise out_of_memory("cpu", nbytes)
    return capsule


def lent(address: int, nbytes: int, owner: object) -> Any:
    """A capsule upon memory that is somebody else's; it keeps the owner alive."""
    return memory.foreign_storage(address or ctypes.addressof(_NOTHING), nbytes, owner)


def lent_address(view: memoryview) -> int:
    """Where a contiguous memoryview's bytes lie. The view must outlive the use of the address."""
    buffer = _Buffer()
    _get_buffer(view, ctypes.byref(buffer), 0)
    address = buffer.buf or 0
    _release_buffer(ctypes.byref(buffer))
    return address
