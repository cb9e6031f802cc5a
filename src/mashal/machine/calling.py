"""Calling: a class whose instances, when called, call a method of theirs, without a Python function in between.

    install(Module, "__call__", flag="_long_way", short="forward", long="_call_openly")

After that `m(*args, **kwargs)` is m.forward(*args, **kwargs), or m._call_openly(*args, **kwargs) where m._long_way is true or
somebody watches what Python reads (modes.WATCHED).
A Python function that hands on *args and **kwargs would cost three times as much. Where both names are the class's alone, which
is the rule, and forward is a plain function, it is called as one, without the bound method between.
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
_LOOKUP = "_PyType_Lookup", "PyObject_Vectorcall", "PyObject_GenericGetDict", "PyDict_GetItemWithError"
_READ = "PyFunction_Type", "_Py_FalseStruct"
_DIRECT = all(hasattr(ctypes.pythonapi, name) for name in _LOOKUP)  # from Python 3.11 on
if _DIRECT:
    provide_from_process(*_LOOKUP, *_READ)
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
        for name in _READ if _DIRECT else ():
            self.module.add_global(name, "external global i8")
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
        watched = f.call("i64", "mashal_modes") & WATCHED
        named = f.if_(self.is_null(f, names), lambda: f.i64(0), lambda: f.call("i64", "PyTuple_Size", names))
        arguments = f.op("ptr", f"alloca ptr, i64 {(n + named + 1).spelling}, align 16")
        f.store(self_, arguments, 0)
        f.loop(0, n + named, 1, lambda i: f.store(f.load(args, i, "ptr"), arguments, i + 1))
        load = lambda name: f.load(self._place(f, name), type="ptr")
        if _DIRECT:
            function = self._classes_own(f, self_, load("flag"), load("short"))
            direct = self.all(f, self.differ(f, function, self.null(f)), watched.compare("eq", 0))
            call = lambda: self.leave(f, f.call("ptr", "PyObject_Vectorcall", function, arguments, n + 1, names))
            f.if_(direct, call)
        flag = f.call("ptr", "PyObject_GetAttr", self_, load("flag"))
        f.return_if(self.is_null(f, flag), flag)
        truth = f.call("i32", "PyObject_IsTrue", flag)
        f.call("void", "Py_DecRef", flag)
        f.return_if(truth.compare("slt", 0), self.null(f))
        plain = self.all(f, truth.compare("eq", 0), watched.compare("eq", 0))
        method = f.if_(plain, lambda: load("short"), lambda: load("long"))
        f.end(f.call("ptr", "PyObject_VectorcallMethod", method, arguments, n + 1, names))

    def _classes_own(self, f: Function, self_: Value, flag: Value, short: Value) -> Value:
        """The function `short` of the class, if the class's flag is False and the object has neither name itself; else null."""
        own = f.call("ptr", "PyObject_GenericGetDict", self_, self.null(f))
        f.return_if(self.is_null(f, own), self.null(f))
        apart = [f.call("ptr", "PyDict_GetItemWithError", own, name) for name in (flag, short)]
        self.drop(f, own)
        kind = self.type_of(f, self_)
        lowered, function = (f.call("ptr", "_PyType_Lookup", kind, name) for name in (flag, short))
        usual = self.all(
            f,
            *(self.is_null(f, x) for x in apart),
            self.same(f, lowered, Value(f, "@_Py_FalseStruct", "ptr")),
            self.differ(f, function, self.null(f)),
        )
        is_function = lambda: self.same(f, self.type_of(f, function), Value(f, "@PyFunction_Type", "ptr"))
        usual = f.if_(usual, is_function, lambda: self.constant(f, False))
        return f.if_(usual, lambda: function, lambda: self.null(f))
