"""Tables of addresses: many objects' data handed to one kernel, and changed in place.

A *stepper* is a builtin function (CPython's METH_FASTCALL) made for one kernel and a list of objects ("parameters"):

    stepper(parameters, state, *numbers) -> 1, or 0 if something is not as it was when the stepper was made

Of each parameter that takes part it reads the data pointers of itself, of its gradient (a slot of it) and of its states
(`state[parameter][name]`, a dictionary of dictionaries), writes them into a table, calls the kernel and counts up the
parameters' versions: some 20 ns a parameter and state, so the table is made anew each time and is never stale. Before
anything is changed all objects are compared with those the stepper was made for: the same parameters in the same
order, the same dictionaries, the same forms, a gradient where there was one and none elsewhere. If not, it returns 0.

Objects have the slots of `machine.launch.Layout` (capsule, offset, form). What a kernel sees, as `i64 kernel(ptr words)`:

    table | rows | number of rows | number of lines | elements | numbers …

A table's line is the address of each slot, then room for `spare` words. What the rows are is the kernel's affair.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mashal.machine.jit import JIT, provide_from_process
from mashal.machine.launch import RELEASE, builtin, c_string, slot_offset, type_offset
from mashal.machine.memory import HEAD
from mashal.machine.text import Module, Value

provide_from_process(
    "PyList_GetItem", "PyList_SetItem", "PyList_New", "PyList_Size", "PyDict_GetItem", "PyErr_NoMemory"
)

# words of a stepper's block, then: what each parameter is, itemsizes of the slots, forms of the lines, rows
_KERNEL, _PARAMETERS, _LINES, _SLOTS, _SPARE, _NUMBERS, _ROWS, _ELEMENTS, _HEADER = range(9)
# what a parameter is
IDLE, ACTIVE, ELSEWHERE = range(3)  # without gradient; in this table; not this stepper's affair
# members of a stepper's __self__
_BLOCK, _TYPE, _ALL, _STATES, _NAMES, _FORMS = range(6)
_WORDS = 5  # that a kernel is given before the numbers
_NONE = "@_Py_NoneStruct"


@dataclass(frozen=True)
class Line:
    """What belongs to a parameter of a table: the form of the object in each slot, and the dictionary of its states."""

    forms: tuple[Any, ...]
    state: dict[str, Any] | None = None


class TableLayout:
    """A type whose objects steppers walk, compiled. `gradient` and `version` name its slots for these.

    version: None, or a list of one int.
    """

    def __init__(self, type: type, gradient: str, version: str):
        self.type = type
        text = _Stepper(type, gradient, version).module.text()
        (self._address,) = JIT.functions(text, "step", ["_all"])

    def stepper(
        self,
        kernel: int,
        parameters: Sequence[Any],
        kinds: Sequence[int],
        lines: Sequence[Line],
        names: Sequence[str],
        itemsizes: Sequence[int],
        rows: Sequence[tuple[int, int, int]],
        *,
        numbers: int,
        spare: int = 0,
    ) -> Callable[..., int]:
        """A stepper that calls the kernel at an address (0: none).

        parameters: all that are to be found in the list, kinds: what each is; lines: for each that is ACTIVE what belongs to it.
        names: the slots', of which the first two are the parameter and its gradient; itemsizes: bytes of an element of each.
        rows: (line, first element, elements). numbers: how many are given at each call. spare: words more a line.
        """
        forms = [id(form) for line in lines for form in line.forms]
        elements = sum(count for _, _, count in rows)
        words = [kernel, len(parameters), len(lines), len(names), spare, numbers, len(rows), elements]
        words += [*kinds, *itemsizes, *forms, *(word for row in rows for word in row)]
        block = struct.pack(f"<{len(words)}q", *words)
        states = tuple(line.state for line in lines)
        owner = block, self.type, tuple(parameters), states, tuple(names), tuple(line.forms for line in lines)
        return builtin(self._address, "step", owner)

    def without_kernel(self, stepper: Any) -> Callable[..., int]:
        """A stepper that does all that this one does (it compares, and counts up versions) but for calling the kernel."""
        block, *rest = stepper.__self__
        return builtin(self._address, "step", (struct.pack("<q", 0) + block[8:], *rest))


class _Stepper:
    """Writes the stepper's machine code for one type."""

    def __init__(self, type: type, gradient: str, version: str):
        self.module = Module()
        self.type_offset = type_offset()
        self.slots = {name: slot_offset(type, name) for name in ("capsule", "offset", "form", gradient, version)}
        self.gradient, self.version = gradient, version
        for name, definition in (
            ("PyExc_TypeError", "external global ptr"),
            ("_Py_NoneStruct", "external global i8"),
            ("step_count", c_string("a stepper was given the wrong number of values")),
        ):
            self.module.add_global(name, definition)
        self.f = self.module.function("step_all", "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "nargs")])
        self._write()

    # what the code below is made of
    def item(self, i: int) -> Value:
        return self.f.call("ptr", "PyTuple_GetItem", self.f.parameters[0], i)

    def slot(self, obj: Value, name: str) -> Value:
        return self.f.load(self.f.at(obj, self.slots[name], "i8"), type="ptr")

    def same(self, a: Value, b: Value | str) -> Value:
        return self.f.op("i1", f"icmp eq ptr {a.spelling}, {b if isinstance(b, str) else b.spelling}")

    def differ(self, a: Value, b: str) -> Value:
        return self.f.op("i1", f"icmp ne ptr {a.spelling}, {b}")

    def null(self) -> Value:
        return Value(self.f, "null", "ptr")

    def _unless(self, condition: Value, leave: Callable[[], Any]) -> None:
        """Unless the condition holds, leave(), which returns from the function."""
        good, bad = self.f.new_label(), self.f.new_label()
        self.f.branch_if(condition, good, bad)
        self.f.block(bad)
        leave()
        self.f.block(good)

    def stale_unless(self, condition: Value) -> None:
        """Unless the condition holds, the stepper answers that something is not as it was."""

        def leave():
            self.f.call("void", "mashal_memory_put", self.memory)
            self.f.do(f"ret {self.f.call('ptr', 'PyLong_FromLongLong', 0)}")

        self._unless(condition, leave)

    def _fail(self) -> None:
        """Returns with the exception that has been raised."""
        self.f.call("void", "mashal_memory_put", self.memory)
        self.f.do("ret ptr null")

    # the function
    def _write(self) -> None:
        f = self.f
        block = f.call("ptr", "PyBytes_AsString", self.item(_BLOCK))
        header = [f.word(block, i, "ptr" if i == _KERNEL else "i64") for i in range(_HEADER)]
        kernel, self.n, lines, self.n_slots, spare, numbers, n_rows, elements = header
        self.kinds = f.at(block, _HEADER, "i64")
        self.itemsizes = f.at(self.kinds, self.n, "i64")
        self.forms = f.at(self.itemsizes, self.n_slots, "i64")
        rows = f.at(self.forms, lines * self.n_slots, "i64")
        self.width = self.n_slots + spare
        self.all, self.names, self.states, self.type = (self.item(i) for i in (_ALL, _NAMES, _STATES, _TYPE))
        words = self._numbers(numbers)
        self._take_memory(lines)
        self._fill()
        for i, word in enumerate((self.table, rows, n_rows, lines, elements)):
            f.set_word(words, i, word)
        self._run(kernel, words, lines, elements)
        f.loop(0, self.n, 1, self._count_up)
        f.call("void", "mashal_memory_put", self.memory)
        f.end(f.call("ptr", "PyLong_FromLongLong", 1))

    def _numbers(self, numbers: Value) -> Value:
        """The kernel's words with the numbers, which are read before all else: that may run Python."""
        f = self.f
        _, args, nargs = f.parameters
        self._unless(nargs.compare("eq", numbers + 2), self._raise_count)
        words = f.op("ptr", f"alloca i64, i64 {(numbers + _WORDS).spelling}, align 64")

        def read(i):
            x = f.call("double", "PyFloat_AsDouble", f.load(args, i + 2, "ptr"))
            raised = lambda: f.return_if(self.differ(f.call("ptr", "PyErr_Occurred"), "null"), self.null())
            f.if_(x.compare("oeq", -1.0), raised)
            f.set_word(words, i + _WORDS, x)

        f.loop(0, numbers, 1, read)
        return words

    def _raise_count(self) -> None:
        error = self.f.load(Value(self.f, "@PyExc_TypeError", "ptr"), type="ptr")
        self.f.call("void", "PyErr_SetString", error, Value(self.f, "@step_count", "ptr"))
        self.f.do("ret ptr null")

    def _take_memory(self, lines: Value) -> None:
        """The table, and behind it a list of the storages that are in it."""
        f = self.f
        self.memory = f.call("ptr", "mashal_memory_get", lines * (self.width + self.n_slots) * 8)
        got = self.differ(self.memory, "null")
        self._unless(got, lambda: f.do(f"ret {f.call('ptr', 'PyErr_NoMemory')}"))
        self.table = f.at(self.memory, HEAD, "i8")
        self.storages = f.at(self.table, lines * self.width, "i64")

    def _fill(self) -> None:
        """Fills the table, or finds that something is not as it was."""
        f = self.f
        parameters = f.load(f.parameters[1], 0, "ptr")
        size = f.call("i64", "PyList_Size", parameters)
        self._unless(size.compare("sge", 0), self._fail)
        self.stale_unless(size.compare("eq", self.n))

        def one(i, line):
            p = f.call("ptr", "PyList_GetItem", parameters, i)
            self.stale_unless(self.same(p, f.call("ptr", "PyTuple_GetItem", self.all, i)))
            kind, gradient = f.word(self.kinds, i), self.slot(p, self.gradient)
            active = kind.compare("eq", ACTIVE)

            def others():
                idle = kind.compare("eq", IDLE)
                f.if_(idle, lambda: self.stale_unless(self.same(gradient, _NONE)))

            f.if_(active, lambda: self._fill_line(p, gradient, line), others)
            return line + f.convert("zext", active, "i64")

        f.loop(0, self.n, 1, one, [f.i64(0)])

    def _fill_line(self, p: Value, gradient: Value, line: Value) -> None:
        f = self.f
        addresses = f.at(self.table, line * self.width, "i64")
        storages, forms = (f.at(x, line * self.n_slots, "i64") for x in (self.storages, self.forms))

        def put(i, obj):
            self._check_type(obj)
            self.stale_unless(self.same(self.slot(obj, "form"), f.word(forms, i, "ptr")))
            storage = self.slot(obj, "capsule")
            data = f.call("ptr", "PyCapsule_GetPointer", storage, self.null())
            self._unless(self.differ(data, "null"), self._fail)
            offset = f.call("i64", "PyLong_AsLongLong", self.slot(obj, "offset"))
            f.set_word(addresses, i, f.at(data, offset * f.word(self.itemsizes, i), "i8"))
            f.set_word(storages, i, storage)

        def states():
            own = f.call("ptr", "PyDict_GetItem", f.load(f.parameters[1], 1, "ptr"), p)
            self.stale_unless(self.same(own, f.call("ptr", "PyTuple_GetItem", self.states, line)))
            f.loop(2, self.n_slots, 1, lambda i: put(
                i, f.call("ptr", "PyDict_GetItem", own, f.call("ptr", "PyTuple_GetItem", self.names, i))))  # fmt: skip

        put(f.i64(0), p)
        put(f.i64(1), gradient)
        f.if_(self.n_slots.compare("sgt", 2), states)

    def _check_type(self, obj: Value) -> None:
        f = self.f
        self.stale_unless(self.differ(obj, "null"))
        actual = f.load(f.at(obj, self.type_offset, "i8"), type="ptr")
        kin = lambda: self.stale_unless(f.call("i32", "PyType_IsSubtype", actual, self.type).compare("ne", 0))
        f.if_(self.same(actual, self.type), None, kin)

    def _run(self, kernel: Value, words: Value, lines: Value, elements: Value) -> None:
        """Calls the kernel; if there is much to do, without the GIL and holding on to the storages."""
        f = self.f
        call = f"call i64 {kernel.spelling}({words})"
        count = lines * self.n_slots

        def released():
            f.loop(0, count, 1, lambda i: f.call("void", "Py_IncRef", f.word(self.storages, i, "ptr")))
            thread = f.call("ptr", "PyEval_SaveThread")
            f.op("i64", call)
            f.call("void", "PyEval_RestoreThread", thread)
            f.loop(0, count, 1, lambda i: f.call("void", "Py_DecRef", f.word(self.storages, i, "ptr")))

        def held():
            f.op("i64", call)

        f.if_(self.differ(kernel, "null"), lambda: f.if_(elements.compare("sgt", RELEASE), released, held))

    def _count_up(self, i: Value) -> None:
        """Counts up the version of a parameter that has been changed."""
        f = self.f

        def bump():
            p = f.call("ptr", "PyTuple_GetItem", self.all, i)
            place = f.at(p, self.slots[self.version], "i8")
            version = f.load(place, type="ptr")

            def start():
                made = f.call("ptr", "PyList_New", 1)
                self._unless(self.differ(made, "null"), self._fail)
                f.call("i32", "PyList_SetItem", made, 0, f.call("ptr", "PyLong_FromLongLong", 1))
                f.store(made, place)
                f.call("void", "Py_DecRef", version)

            def count():
                old = f.call("i64", "PyLong_AsLongLong", f.call("ptr", "PyList_GetItem", version, 0))
                f.call("i32", "PyList_SetItem", version, 0, f.call("ptr", "PyLong_FromLongLong", old + 1))

            f.if_(self.same(version, _NONE), start, count)

        f.if_(f.word(self.kinds, i).compare("eq", ACTIVE), bump)
