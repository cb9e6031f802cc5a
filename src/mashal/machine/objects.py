"""Objects in native code: what is needed to read, make and call Python objects.

A `Writer` holds a module and the small phrases that its functions are made of. What it writes runs with the GIL held; a null
pointer stands for an exception.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from mashal.machine.jit import provide_from_process
from mashal.machine.launch import BYTES_DATA, TUPLE_ITEMS, slot_offset, type_offset
from mashal.machine.text import Function, Module, Value

provide_from_process("PyTuple_Size", "PyErr_Clear")
_VECTORCALL = hasattr(ctypes.pythonapi, "PyObject_Vectorcall")  # from Python 3.11 on
if _VECTORCALL:
    provide_from_process("PyObject_Vectorcall")


def member(type: type, name: str) -> int:
    """Where in an object of a type the member of __slots__ with this name lies, be it the type's own or inherited."""
    return slot_offset(next(cls for cls in type.__mro__ if name in cls.__dict__), name)


def _counts_references() -> bool:
    """Whether an object begins with how often it is referred to, in 32 bits at least."""
    probe = [object()]
    now = lambda: ctypes.c_uint32.from_address(id(probe[0])).value
    before = now()
    probe.append(probe[0])
    guarded = getattr(sys, "_is_gil_enabled", lambda: True)()
    return guarded and now() == before + 1


_COUNTED = _counts_references()


class Writer:
    """Writes functions on Python objects; all names begin with the prefix."""

    def __init__(self, prefix: str):
        self.prefix = prefix
        self.module = Module()
        self.type_offset = type_offset()
        self.module.add_global("_Py_NoneStruct", "external global i8")
        if not _VECTORCALL:
            self._write_call()

    def function(self, name: str, result: str, parameters: str, internal: bool = False) -> tuple[Function, list[Value]]:
        """A function and its parameters: pointers, but for one called n, which is an i64."""
        pairs = [("i64" if p == "n" else "ptr", p) for p in parameters.split()]
        f = self.module.function(f"{self.prefix}_{name}", result, pairs, linkage="internal" if internal else "")
        return f, f.parameters

    # values
    def none(self, f: Function) -> Value:
        return Value(f, "@_Py_NoneStruct", "ptr")

    def null(self, f: Function) -> Value:
        return Value(f, "null", "ptr")

    def number(self, f: Function, n: Any) -> Value:
        """A Python int, a new reference."""
        return f.call("ptr", "PyLong_FromLongLong", n)

    def another_none(self, f: Function) -> Value:
        """None, a new reference."""
        self.keep(f, self.none(f))
        return self.none(f)

    # questions
    def same(self, f: Function, a: Value, b: Value) -> Value:
        return f.op("i1", f"icmp eq ptr {a.spelling}, {b.spelling}")

    def differ(self, f: Function, a: Value, b: Value) -> Value:
        return f.op("i1", f"icmp ne ptr {a.spelling}, {b.spelling}")

    def is_none(self, f: Function, x: Value) -> Value:
        return self.same(f, x, self.none(f))

    def is_null(self, f: Function, x: Value) -> Value:
        return self.same(f, x, self.null(f))

    def all(self, f: Function, *conditions: Value) -> Value:
        """Whether all of these hold."""
        first, *others = conditions
        for other in others:
            first = f.op("i1", f"and i1 {first.spelling}, {other.spelling}")
        return first

    def any(self, f: Function, *conditions: Value) -> Value:
        """Whether one of these holds."""
        first, *others = conditions
        for other in others:
            first = f.op("i1", f"or i1 {first.spelling}, {other.spelling}")
        return first

    def constant(self, f: Function, truth: bool) -> Value:
        return Value(f, "true" if truth else "false", "i1")

    def alone(self, f: Function, x: Value) -> Value:
        """Whether there is just one reference to an object; never, where that is not to be known."""
        return f.load(x, type="i32").compare("eq", 1) if _COUNTED else self.constant(f, False)

    # objects
    def type_of(self, f: Function, x: Value) -> Value:
        return self.read(f, x, self.type_offset)

    def read(self, f: Function, x: Value, offset: int) -> Value:
        """What stands in a slot, borrowed."""
        return f.load(f.at(x, offset, "i8"), type="ptr")

    def write(self, f: Function, x: Value, offset: int, value: Value) -> None:
        """Puts an object (a reference more) in the place of what stood in a slot."""
        self.keep(f, value)
        self.give(f, x, offset, value)

    def give(self, f: Function, x: Value, offset: int, value: Value) -> None:
        """Puts an object in the place of what stood in a slot, which takes over the reference."""
        old = self.read(f, x, offset)
        f.store(value, f.at(x, offset, "i8"))
        self.drop(f, old)

    def item(self, f: Function, tuple: Value, i: Any) -> Value:
        """tuple[i], borrowed; the tuple is one, and so long."""
        return f.word(f.at(tuple, TUPLE_ITEMS, "i8"), i, "ptr")

    def put(self, f: Function, tuple: Value, i: Any, x: Value) -> None:
        """tuple[i] = x, a reference taken over; the tuple is new."""
        f.set_word(f.at(tuple, TUPLE_ITEMS, "i8"), i, x)

    def words(self, f: Function, bytes: Value) -> Value:
        """The words in a bytes object."""
        return f.at(bytes, BYTES_DATA, "i8")

    def put_borrowed(self, f: Function, tuple: Value, i: Any, x: Value) -> None:
        """tuple[i] = x, a reference more."""
        self.keep(f, x)
        self.put(f, tuple, i, x)

    def keep(self, f: Function, x: Value) -> None:
        """A reference more."""
        f.call("void", "Py_IncRef", x)

    def drop(self, f: Function, *several: Value) -> None:
        """A reference less, to each."""
        for x in several:
            f.call("void", "Py_DecRef", x)

    def vectorcall(self, f: Function, callable: Value, args: Value, n: Any) -> Value:
        """callable(*args), a new reference or null."""
        if _VECTORCALL:
            return f.call("ptr", "PyObject_Vectorcall", callable, args, n, self.null(f))
        return f.call("ptr", f"{self.prefix}_call", callable, args, n)

    def _write_call(self) -> None:
        """call(callable, args, n) by way of a tuple."""
        f, (callable, args, n) = self.function("call", "ptr", "callable args n", internal=True)
        arguments = f.call("ptr", "PyTuple_New", n)
        f.loop(0, n, 1, lambda i: self.put_borrowed(f, arguments, i, f.load(args, i, "ptr")))
        answer = f.call("ptr", "PyObject_CallObject", callable, arguments)
        f.call("void", "Py_DecRef", arguments)
        f.end(answer)

    # leaving
    def leave(self, f: Function, x: Value) -> None:
        """Returns x from the midst of the function; what follows is not reached."""
        f.do(f"ret {x}")
        f.block(f.new_label())

    def leave_if(self, f: Function, condition: Value, x: Value, *dropped: Value) -> None:
        """Returns x if the condition holds, after giving up some references."""

        def out() -> None:
            self.drop(f, *dropped)
            self.leave(f, x)

        f.if_(condition, out)
