"""Capsules of memory: new ones, and ones upon memory that is somebody else's.

A buffer's address is asked of Python by its C structure, for ctypes gives it for writable memory only.

Stands on machine.
"""

from __future__ import annotations

import ctypes
from typing import Any

from mashal.errors import out_of_memory
from mashal.machine import memory

__all__ = ["allocate", "lent", "lent_address"]


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
