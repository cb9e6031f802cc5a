"""Calling: a class whose instances, when called, call a method of theirs, without a Python function in between.

    install(Module, "__call__", flag="_long_way", short="forward", long="_call_openly")

After that `m(*args, **kwargs)` is m.forward(*args, **kwargs), or m._call_openly(*args, **kwargs) where m._long_way is true or
somebody watches what Python reads (modes.WATCHED).
A Python function that hands on *args and **kwargs would cost three times as much.
"""

from __future__ import annotations

import ctypes

from mashal.machine.jit import JIT, provide_from_process
from mashal.machine.launch import MethodDef
from mashal.machine.modes import WATCHED
from mashal.machine.objects import Writer
from mashal.machine.text import Function, Value

_METH_FASTCALL, _METH_KEYWORDS = 0x80, 0x02

provide_from_process("PyObject_GetAttr", "PyObject_IsTrue", "PyObject_VectorcallMethod")
_new_method = ctypes.pythonapi.PyDescr_NewMethod
_new_method.restype, _new_method.argtypes = ctypes.py_object, [ctypes.py_object, ctypes.c_void_p]
_kept: list[object] = []  # for ever: native code has bare pointers to these


def install(type: type, name: str, *, flag: str, short: str, long: str) -> None:
    """Gives a class the method `name`, which calls `short` or, if the attribute `flag` is true, `long`."""
    prefix = f"calls_{type.__name__}"
    call, begin = JIT.functions(_Caller(prefix).module.text(), prefix, ["_now", "_begin"])
    names = [flag, short, long]
    ctypes.PYFUNCTYPE(None, *[ctypes.py_object] * 3)(begin)(*names)
    signature = (
        f"{name}($self, /, *args, **kwargs)\n--\n\nThe same as {short}, with what is to happen before and after it."
    )
    definition = MethodDef(name.encode(), call, _METH_FASTCALL | _METH_KEYWORDS, signature.encode())
    _kept.extend([names, definition])
    setattr(type, name, _new_method(type, ctypes.addressof(definition)))


class _Caller(Writer):
    """Writes the machine code; the names of the attributes are set by `begin`."""

    def __init__(self, prefix: str):
        super().__init__(prefix)
        for name in ("flag", "short", "long"):
            self.module.add_global(f"{prefix}_{name}", "internal global ptr null")
        self._write_begin()
        self._write_now()

    def _place(self, f: Function, name: str) -> Value:
        return Value(f, f"@{self.prefix}_{name}", "ptr")

    def _write_begin(self) -> None:
        f, names = self.function("begin", "void", "flag short long")
        for name, value in zip(("flag", "short", "long"), names):
            f.store(value, self._place(f, name))
        f.end()

    def _write_now(self) -> None:
        f = self.module.function(
            f"{self.prefix}_now", "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "n"), ("ptr", "names")]
        )
        self_, args, n, names = f.parameters
        flag = f.call("ptr", "PyObject_GetAttr", self_, f.load(self._place(f, "flag"), type="ptr"))
        f.return_if(self.is_null(f, flag), flag)
        truth = f.call("i32", "PyObject_IsTrue", flag)
        f.call("void", "Py_DecRef", flag)
        f.return_if(truth.compare("slt", 0), self.null(f))
        watched = f.call("i64", "mashal_modes") & WATCHED
        plain = self.all(f, truth.compare("eq", 0), watched.compare("eq", 0))
        load = lambda name: lambda: f.load(self._place(f, name), type="ptr")
        method = f.if_(plain, load("short"), load("long"))
        named = f.if_(self.is_null(f, names), lambda: f.i64(0), lambda: f.call("i64", "PyTuple_Size", names))
        arguments = f.op("ptr", f"alloca ptr, i64 {(n + named + 1).spelling}, align 16")
        f.store(self_, arguments, 0)
        f.loop(0, n + named, 1, lambda i: f.store(f.load(args, i, "ptr"), arguments, i + 1))
        f.end(f.call("ptr", "PyObject_VectorcallMethod", method, arguments, n + 1, names))
