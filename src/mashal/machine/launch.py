"""Launchers: from a Python call to a kernel and back, as one native function.

A *plan* is a builtin function (CPython's METH_FASTCALL) made for one kernel on operands of fixed forms:

    plan(*operands) -> result, or a tuple of results

It reads each operand's data pointer, allocates the results, calls the kernel, and returns the results as new
objects: about 0.1 us beyond the kernel. All plans share one launcher, machine code that reads what is particular
from a block of 8-byte words in the plan's `__self__`.

Nothing here knows what a tensor is: a `Layout` says at which offsets in an object the slots `capsule` (a capsule of
machine.memory), `offset` (an int, in elements) and `form` lie, and what the other slots of a new object hold.

What a kernel sees, as `i64 kernel(ptr words)`:

    results' data pointers | operands: data pointer, or number as double or i64 | scratch pointer, if any | constants

It returns -1, or the position of an index that is out of range; then the plan calls `fail(position, *operands)`,
which raises. `fail.limits`, where there is such, are the least index and the one beyond the greatest for each of the last operands.

While a *recorder* listens (`Layout.listen`), a call of any plan becomes `recorder(owner, *operands)`, owner being the plan's
`__self__`; it runs the plan by `Layout.rerun(owner)` and notes what was done (capture.recorder). An object that `make` has made is
told it too: `recorder(object)`.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from mashal.machine.jit import JIT, provide_from_process
from mashal.machine.memory import HEAD
from mashal.machine.text import Function, Module, Value

RELEASE = 50_000  # work (elements, roughly) above which the GIL is dropped: about 10 us; dropping costs 28 ns
_HEADER = 9  # words of a plan's block before its tables

# words of a plan's block
_KERNEL, _OPERANDS, _RESULTS, _CONSTANTS, _WORK, _SCRATCH, _RETURNS_FIRST, _COUNT, _WRITES = range(_HEADER)

NUMBER = -8  # kind of an operand that is a Python number read as a double
INTEGER = -16  # kind of an operand that is a Python int


class MethodDef(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


_METH_FASTCALL = 0x80
_new_function = ctypes.pythonapi.PyCFunction_NewEx
_new_function.restype, _new_function.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
_definitions: dict[int, MethodDef] = {}  # for ever: CPython keeps a bare pointer to a method's definition

provide_from_process(
    "PyTuple_GetItem", "PyTuple_New", "PyTuple_SetItem", "PyBytes_AsString", "PyLong_AsLongLong", "PyFloat_AsDouble",
    "PyLong_FromLongLong", "PyErr_Occurred", "PyErr_SetString", "PyEval_SaveThread", "PyEval_RestoreThread", "Py_IncRef",
    "PyThread_get_thread_ident", "PyType_GenericAlloc", "PyType_IsSubtype", "PyObject_CallObject", "PyExc_TypeError", "_Py_NoneStruct",
    "_Py_FalseStruct", "PyExc_RuntimeError", "PyErr_Format",
)  # fmt: skip


def builtin(address: int, name: str, owner: Any = None) -> Callable[..., Any]:
    """A METH_FASTCALL function at an address as a Python builtin, with `owner` as its __self__."""
    if address not in _definitions:
        _definitions[address] = MethodDef(name.encode(), address, _METH_FASTCALL, None)
    return _new_function(ctypes.addressof(_definitions[address]), owner, None)


def slot_offset(type: type, name: str) -> int:
    """Where in an object of this type the __slots__ member `name` lies, in bytes."""
    descriptor = type.__dict__[name]
    # a member descriptor: object header, type, name, qualified name, PyMemberDef *; the offset is its third field
    header = object.__basicsize__
    member = ctypes.c_void_p.from_address(id(descriptor) + header + 3 * 8).value
    offset = ctypes.c_ssize_t.from_address((member or 0) + 16).value
    probe: Any = object.__new__(type)
    descriptor.__set__(probe, probe)
    found = ctypes.c_void_p.from_address(id(probe) + offset).value == id(probe)
    descriptor.__set__(probe, None)
    if not found:
        raise RuntimeError(
            f"launch: this Python lays out slots in a way that mashal does not know ({type.__name__}.{name})"
        )
    return offset


def type_offset() -> int:
    """Where an object points to its type."""
    probe = Layout.__new__(Layout)
    for offset in range(0, object.__basicsize__, 8):
        if ctypes.c_void_p.from_address(id(probe) + offset).value == id(Layout):
            return offset
    raise RuntimeError("launch: this Python lays out objects in a way that mashal does not know")


def _offset_in(holder: object, word: int) -> int:
    """Where in a tuple or bytes object a word stands for the first time, behind the object's head."""
    for offset in range(object.__basicsize__, object.__basicsize__ + 64, 8):
        if ctypes.c_uint64.from_address(id(holder) + offset).value == word:
            return offset
    raise RuntimeError("launch: this Python lays out tuples or bytes in a way that mashal does not know")


_probe = (object(),)
TUPLE_ITEMS = _offset_in(_probe, id(_probe[0]))  # where a tuple's items begin
BYTES_DATA = _offset_in(b"mashal :", int.from_bytes(b"mashal :", "little"))  # where a bytes object's bytes begin


def c_string(text: str) -> str:
    return f'internal constant [{len(text) + 1} x i8] c"{text}\\00"'


class Layout:
    """A type whose objects plans take and make, compiled into a launcher.

    `none` and `false` name its slots that are None and False in a new object. The type has the slots `capsule`,
    `offset` and `form` besides.
    """

    def __init__(self, type: type, none: Sequence[str], false: Sequence[str]):
        self.type = type
        text = _Launcher(type, none, false).module.text()
        launch, make, listen = JIT.functions(text, "launch", ["_plan", "_make", "_listen"])
        self._listen = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(listen)
        self._recorder: Callable[..., Any] | None = None
        self._definition = MethodDef(b"plan", launch, _METH_FASTCALL, None)
        self._address = ctypes.addressof(self._definition)
        JIT.provide("mashal_launch_make", make)
        self.make = builtin(make, "make", type)
        """make(storage, offset, form): a new object over a storage."""

    def plan(
        self,
        kernel: int,
        results: Sequence[tuple[int, Any]],
        operands: Sequence[int],
        constants: Sequence[int] = (),
        *,
        work: int = 0,
        scratch: int = 0,
        returns_first: bool = False,
        fail: Callable[..., Any] | None = None,
        recipe: Any = None,
        writes: int | None = None,
    ) -> Callable[..., Any]:
        """A plan that calls the kernel at an address (0: none, only results are made).

        results: for each, its bytes and the form of its object. operands: for each, the size of an element in bytes, or
        NUMBER or INTEGER. constants: the kernel's last words. work: elements, to decide about the GIL. scratch: bytes of
        memory lent to the kernel. returns_first: the first operand is what the plan returns (in-place, out=). recipe: what the
        kernel computes, for whoever records the plan. writes: how many of the first operands the kernel changes, if not the one
        that is returned.
        """
        words = [kernel, len(operands), len(results), len(constants), work, scratch, int(returns_first)]
        words.append(len(results) + len(operands) + (1 if scratch else 0) + len(constants))
        words.append(int(returns_first) if writes is None else writes)
        words += [*operands, *(bytes for bytes, _ in results), *constants]
        block = struct.pack(f"<{len(words)}q", *words)
        return self.rerun((block, self.type, fail, *(form for _, form in results), recipe))

    def rerun(self, owner: tuple) -> Callable[..., Any]:
        """The plan whose `__self__` this is."""
        return _new_function(self._address, owner, None)

    def listen(self, recorder: Callable[..., Any] | None) -> None:
        """From now on this thread's calls of plans go to recorder(owner, *operands); None: they run."""
        self._listen(None if recorder is None else id(recorder))
        self._recorder = recorder  # kept alive while native code has its address


@dataclass(frozen=True)
class Call:
    """What a plan's block says: the kernel, and how its words follow from operands."""

    kernel: int
    work: int
    scratch: int
    returns_first: bool
    writes: int
    kinds: tuple[int, ...]
    sizes: tuple[int, ...]
    constants: tuple[int, ...]

    @staticmethod
    def of(block: bytes) -> Call:
        words = struct.unpack(f"<{len(block) // 8}q", block)
        ends = [_HEADER]
        for i in (_OPERANDS, _RESULTS, _CONSTANTS):
            ends.append(ends[-1] + words[i])
        kinds, sizes, constants = (words[a:b] for a, b in pairwise(ends))
        return Call(
            words[_KERNEL],
            words[_WORK],
            words[_SCRATCH],
            bool(words[_RETURNS_FIRST]),
            words[_WRITES],
            kinds,
            sizes,
            constants,
        )


class _Launcher:
    """Writes the launcher's machine code for one type."""

    def __init__(self, type: type, none: Sequence[str], false: Sequence[str]):
        self.module = Module()
        self.type_offset = type_offset()
        self.slots = {name: slot_offset(type, name) for name in ("capsule", "offset", "form", *none, *false)}
        self.none, self.false = none, false
        for name, definition in (
            ("PyExc_TypeError", "external global ptr"),
            ("PyExc_RuntimeError", "external global ptr"),
            ("_Py_NoneStruct", "external global i8"),
            ("_Py_FalseStruct", "external global i8"),
            ("launch_count", c_string("a plan was given the wrong number of operands")),
            ("launch_type", c_string("a plan was given an operand of the wrong type")),
            ("launch_memory", c_string("memory: %lld bytes were asked for on cpu and could not be had")),
            ("launch_recorder", "internal global ptr null"),
            ("launch_listening", "internal global i64 0"),
        ):
            self.module.add_global(name, definition)
        self.module.declare_variadic("ptr", "PyErr_Format", ["ptr", "ptr"])
        self._write_build()
        self._write_record()
        self._write_make()
        self._write_listen()
        self._write_plan()

    def constant(self, f: Function, name: str) -> Value:
        return Value(f, f"@{name}", "ptr")

    def slot(self, f: Function, obj: Value, name: str) -> Value:
        return f.at(obj, self.slots[name], "i8")

    def _write_build(self) -> None:
        """A new object: storage (a reference taken over), offset 0, form (borrowed), everything else None or False."""
        f = self.module.function(
            "launch_build", "ptr", [("ptr", "type"), ("ptr", "storage"), ("ptr", "form")], linkage="internal"
        )
        type, storage, form = f.parameters
        obj = f.call("ptr", "PyType_GenericAlloc", type, 0)
        f.return_if(f.op("i1", f"icmp eq ptr {obj.spelling}, null"), obj)
        f.call("void", "Py_IncRef", form)
        f.store(storage, self.slot(f, obj, "capsule"))
        f.store(form, self.slot(f, obj, "form"))
        f.store(f.call("ptr", "PyLong_FromLongLong", 0), self.slot(f, obj, "offset"))
        for names, value in ((self.none, "_Py_NoneStruct"), (self.false, "_Py_FalseStruct")):
            for name in names:
                f.call("void", "Py_IncRef", self.constant(f, value))
                f.store(self.constant(f, value), self.slot(f, obj, name))
        f.end(obj)

    def _write_make(self) -> None:
        """make(storage, offset, form)"""
        f = self.module.function("launch_make", "ptr", [("ptr", "type"), ("ptr", "args"), ("i64", "n")])
        type, args, n = f.parameters
        self._raise_unless(f, n.compare("eq", 3), "launch_count")
        storage, offset, form = (f.load(args, i, "ptr") for i in range(3))
        f.call("void", "Py_IncRef", storage)
        obj = f.call("ptr", "launch_build", type, storage, form)
        f.return_if(f.op("i1", f"icmp eq ptr {obj.spelling}, null"), obj)
        f.call("void", "Py_IncRef", offset)
        old = f.load(self.slot(f, obj, "offset"), type="ptr")
        f.store(offset, self.slot(f, obj, "offset"))
        f.call("void", "Py_DecRef", old)
        recorder = f.load(self.constant(f, "launch_recorder"), type="ptr")

        def tell():
            answer = f.call("ptr", "launch_record", recorder, obj, Value(f, "null", "ptr"), 0)
            f.return_if(f.op("i1", f"icmp eq ptr {answer.spelling}, null"), answer)
            f.call("void", "Py_DecRef", answer)

        f.if_(f.op("i1", f"icmp ne ptr {recorder.spelling}, null"), lambda: f.if_(self._is_listened_to(f), tell))
        f.end(obj)

    def _is_listened_to(self, f: Function) -> Value:
        """Whether this is the thread whose plans the recorder listens to."""
        thread = f.call("i64", "PyThread_get_thread_ident")
        return thread.compare("eq", f.load(self.constant(f, "launch_listening"), type="i64"))

    def _write_listen(self) -> None:
        """listen(recorder): its address, or null."""
        f = self.module.function("launch_listen", "void", [("ptr", "recorder")])
        f.store(f.call("i64", "PyThread_get_thread_ident"), self.constant(f, "launch_listening"))
        f.store(f.parameters[0], self.constant(f, "launch_recorder"))
        f.end()

    def _write_record(self) -> None:
        """recorder(owner, *operands)"""
        parameters = [("ptr", "recorder"), ("ptr", "owner"), ("ptr", "args"), ("i64", "n")]
        f = self.module.function("launch_record", "ptr", parameters, linkage="internal")
        recorder, owner, args, n = f.parameters
        f.call("void", "Py_IncRef", recorder)  # another thread may end the recording meanwhile
        arguments = f.call("ptr", "PyTuple_New", n + 1)

        def put(i, obj):
            f.call("void", "Py_IncRef", obj)
            f.call("i32", "PyTuple_SetItem", arguments, i, obj)

        put(f.i64(0), owner)
        f.loop(0, n, 1, lambda i: put(i + 1, f.load(args, i, "ptr")))
        answer = f.call("ptr", "PyObject_CallObject", recorder, arguments)
        for x in (arguments, recorder):
            f.call("void", "Py_DecRef", x)
        f.end(answer)

    def _raise_unless(self, f: Function, condition: Value, message: str) -> None:
        good, bad = f.new_label(), f.new_label()
        f.branch_if(condition, good, bad)
        f.block(bad)
        f.call(
            "void",
            "PyErr_SetString",
            f.load(self.constant(f, "PyExc_TypeError"), type="ptr"),
            self.constant(f, message),
        )
        f.do("ret ptr null")
        f.block(good)

    def _write_plan(self) -> None:
        f = self.module.function("launch_plan", "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "nargs")])
        owner, args, nargs = f.parameters
        null = Value(f, "null", "ptr")
        recorder = f.load(self.constant(f, "launch_recorder"), type="ptr")
        listening, running = f.new_label(), f.new_label()
        f.branch_if(f.op("i1", f"icmp eq ptr {recorder.spelling}, null"), running, listening)
        f.block(listening)
        theirs = f.new_label()
        f.branch_if(self._is_listened_to(f), theirs, running)
        f.block(theirs)
        f.do(f"ret {f.call('ptr', 'launch_record', recorder, owner, args, nargs)}")
        f.block(running)
        item = lambda i: f.word(f.at(owner, TUPLE_ITEMS, "i8"), i, "ptr")
        block = f.at(item(0), BYTES_DATA, "i8")
        type = item(1)
        kernel, n_operands, n_results, n_constants, work, scratch, returns_first, n_words, _ = (
            f.word(block, i, "ptr" if i == _KERNEL else "i64") for i in range(_HEADER)
        )
        self._raise_unless(f, nargs.compare("eq", n_operands), "launch_count")
        words = f.op("ptr", f"alloca i64, i64 {n_words.spelling}, align 64")
        kinds = f.at(block, _HEADER, "i64")
        sizes = f.at(kinds, n_operands, "i64")
        constants = f.at(sizes, n_results, "i64")
        operand_words = f.at(words, n_results, "i64")

        def read_operand(i):
            kind, operand = f.word(kinds, i), f.load(args, i, "ptr")

            def tensor():
                actual = f.load(f.at(operand, self.type_offset, "i8"), type="ptr")
                same = f.op("i1", f"icmp eq ptr {actual.spelling}, {type.spelling}")
                f.if_(
                    same,
                    None,
                    lambda: self._raise_unless(
                        f, f.call("i32", "PyType_IsSubtype", actual, type).compare("ne", 0), "launch_type"
                    ),
                )
                storage = f.load(self.slot(f, operand, "capsule"), type="ptr")
                data = f.call("ptr", "PyCapsule_GetPointer", storage, null)
                f.return_if(f.op("i1", f"icmp eq ptr {data.spelling}, null"), null)
                offset = f.call("i64", "PyLong_AsLongLong", f.load(self.slot(f, operand, "offset"), type="ptr"))
                f.set_word(operand_words, i, f.at(data, offset * kind, "i8"))

            def number():
                def real():
                    x = f.call("double", "PyFloat_AsDouble", operand)
                    self._return_if_raised(f, x.compare("oeq", -1.0))
                    f.set_word(operand_words, i, x)

                def whole():
                    x = f.call("i64", "PyLong_AsLongLong", operand)
                    self._return_if_raised(f, x.compare("eq", -1))
                    f.set_word(operand_words, i, x)

                f.if_(kind.compare("eq", NUMBER), real, whole)

            f.if_(kind.compare("sgt", 0), tensor, number)

        f.loop(0, n_operands, 1, read_operand)
        has_scratch = scratch.compare("ne", 0)
        constants_at = f.at(operand_words, n_operands + f.convert("zext", has_scratch, "i64"), "i64")
        f.loop(0, n_constants, 1, lambda i: f.set_word(constants_at, i, f.word(constants, i)))

        # blocks for the results, then for scratch; if one is not to be had, those before it go back
        def out_of_memory(bytes, taken):
            f.loop(0, taken, 1, lambda i: self._give_back(f, f.word(words, i, "ptr")))
            error = f.load(self.constant(f, "PyExc_RuntimeError"), type="ptr")
            f.op("ptr", f"call ptr (ptr, ptr, ...) @PyErr_Format({error}, ptr @launch_memory, {bytes})")
            f.do("ret ptr null")

        def take(bytes, word, taken):
            got = f.call("ptr", "mashal_memory_get", bytes)
            good, bad = f.new_label(), f.new_label()
            f.branch_if(f.op("i1", f"icmp eq ptr {got.spelling}, null"), bad, good)
            f.block(bad)
            out_of_memory(bytes, taken)
            f.block(good)
            f.set_word(words, word, f.at(got, HEAD, "i8"))

        f.loop(0, n_results, 1, lambda i: take(f.word(sizes, i), i, i))
        f.if_(has_scratch, lambda: take(scratch, n_results + n_operands, n_results))

        def run():
            return f.call("i64", kernel.spelling, words)

        def run_without_gil():
            state = f.call("ptr", "PyEval_SaveThread")
            status = run()
            f.call("void", "PyEval_RestoreThread", state)
            return status

        has_kernel = f.op("i1", f"icmp ne ptr {kernel.spelling}, null")
        status = f.if_(
            has_kernel,
            lambda: f.if_(work.compare("sgt", RELEASE), run_without_gil, run),
            lambda: f.op("i64", "sub i64 0, 1"),
        )
        f.if_(has_scratch, lambda: self._give_back(f, f.word(words, n_results + n_operands, "ptr")))
        good, bad = f.new_label(), f.new_label()
        f.branch_if(status.compare("eq", -1), good, bad)
        f.block(bad)
        self._fail(f, item(2), status, args, n_operands, lambda i: f.word(words, i, "ptr"), n_results)
        f.block(good)

        def wrapped(i):
            capsule = f.call("ptr", "mashal_memory_capsule", f.at(f.word(words, i, "ptr"), -HEAD, "i8"))
            f.return_if(f.op("i1", f"icmp eq ptr {capsule.spelling}, null"), null)
            obj = f.call("ptr", "launch_build", type, capsule, item(i + 3))
            f.return_if(f.op("i1", f"icmp eq ptr {obj.spelling}, null"), null)
            return obj

        def one():
            f.do(f"ret {wrapped(f.i64(0))}")
            f.block(f.new_label())

        def first():
            operand = f.load(args, 0, "ptr")
            f.call("void", "Py_IncRef", operand)
            f.do(f"ret {operand}")
            f.block(f.new_label())

        f.if_(n_results.compare("eq", 1), one)
        f.if_(returns_first.compare("ne", 0), first)
        together = f.call("ptr", "PyTuple_New", n_results)

        def gather(i):
            f.call("i32", "PyTuple_SetItem", together, i, wrapped(i))

        f.loop(0, n_results, 1, gather)
        f.end(together)

    def _give_back(self, f: Function, data: Value) -> None:
        f.call("void", "mashal_memory_put", f.at(data, -HEAD, "i8"))

    def _return_if_raised(self, f: Function, suspicious: Value) -> None:
        def ask():
            raised = f.call("ptr", "PyErr_Occurred")
            f.return_if(f.op("i1", f"icmp ne ptr {raised.spelling}, null"), Value(f, "null", "ptr"))

        f.if_(suspicious, ask)

    def _fail(self, f: Function, fail: Value, status: Value, args: Value, n: Value, result, n_results: Value) -> None:
        """Gives the results' blocks back, calls fail(status, *operands), and returns what it raised."""
        f.loop(0, n_results, 1, lambda i: self._give_back(f, result(i)))
        arguments = f.call("ptr", "PyTuple_New", n + 1)
        f.call("i32", "PyTuple_SetItem", arguments, 0, f.call("ptr", "PyLong_FromLongLong", status))

        def put(i):
            operand = f.load(args, i, "ptr")
            f.call("void", "Py_IncRef", operand)
            f.call("i32", "PyTuple_SetItem", arguments, i + 1, operand)

        f.loop(0, n, 1, put)
        answer = f.call("ptr", "PyObject_CallObject", fail, arguments)
        f.call("void", "Py_DecRef", arguments)
        f.if_(f.op("i1", f"icmp ne ptr {answer.spelling}, null"), lambda: f.call("void", "Py_DecRef", answer))
        f.do("ret ptr null")
