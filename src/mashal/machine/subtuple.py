"""Items of a subclass of tuple: `sizes[0]` and `sizes[1:]` without a Python function in between.

    install(Size, make)      after that a slice of a Size is make(tuple), an item the item itself

A Python `__getitem__` would take five times as long as tuple's own, and shapes are asked for their items everywhere.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from mashal.machine.jit import JIT, provide_from_process
from mashal.machine.launch import MethodDef
from mashal.machine.objects import Writer
from mashal.machine.text import Value

_METH_O = 0x08
_MP_SUBSCRIPT = 5  # Py_mp_subscript, the slot behind x[i]

_new_method = ctypes.pythonapi.PyDescr_NewMethod
_new_method.restype, _new_method.argtypes = ctypes.py_object, [ctypes.py_object, ctypes.c_void_p]
_slot = ctypes.pythonapi.PyType_GetSlot
_slot.restype, _slot.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_int]
_kept: list[object] = []  # for ever: native code has bare pointers to these

provide_from_process("PyTuple_Type")
JIT.provide("subtuple_of_tuple", _slot(tuple, _MP_SUBSCRIPT))


def install(type: type, make: Callable[[tuple], Any]) -> None:
    """Gives a subclass of tuple its __getitem__: make(items) for a slice, the item itself for an index."""
    name = f"subtuple_made_{type.__name__}"
    JIT.provide(name, id(make))
    (item,) = JIT.functions(_Items(type.__name__, name).module.text(), f"items_{type.__name__}", ["_item"])
    definition = MethodDef(b"__getitem__", item, _METH_O, b"__getitem__($self, key, /)\n--\n\nReturn self[key].")
    _kept.extend([make, definition])
    type.__getitem__ = _new_method(type, ctypes.addressof(definition))  # type: ignore[attr-defined]


class _Items(Writer):
    """Writes the machine code."""

    def __init__(self, type: str, make: str):
        super().__init__(f"items_{type}")
        for name in ("PyTuple_Type", make):
            self.module.add_global(name, "external global i8")
        f, (own, key) = self.function("item", "ptr", "self key")
        found = f.call("ptr", "subtuple_of_tuple", own, key)
        f.return_if(self.is_null(f, found), found)
        one = self.differ(f, self.type_of(f, found), Value(f, "@PyTuple_Type", "ptr"))
        f.return_if(one, found)
        arguments = f.stack(2 * 8, 16)
        f.store(found, arguments, 0)
        made = self.vectorcall(f, Value(f, f"@{make}", "ptr"), arguments, 1)
        self.drop(f, found)
        f.end(made)
