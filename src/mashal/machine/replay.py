"""Replays: a recorded sequence of kernels as one native call.

    replay = ReplayLayout(Tensor, …).replay(tables)
    replay(*operands) -> what the recorded call returned, or `miss`: something is not as it was recorded, a kernel
                         found an index out of range, or somebody watches

A replay is a builtin function (CPython's METH_FASTCALL) that walks tables of 8-byte words. First it compares: the
modes of the thread, the operands' forms and histories, pointers in memory (`slots`: cells, slots of tensors), entries of
dictionaries, items of lists. Nothing has been changed if it misses. Then it finds the *bases*, the addresses that everything else is
relative to (storages, operands, gradients, the arena of intermediate results, blocks that outlive the call),
writes those that have moved since the last time into the kernels' words, calls the kernels one after another,
and makes the objects that the call leaves behind.

One replay runs at a time: a second thread that comes meanwhile, while the GIL is dropped, gets `miss`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from mashal.machine import memory
from mashal.machine.jit import JIT, provide_from_process
from mashal.machine.launch import RELEASE, builtin, slot_offset, type_offset
from mashal.machine.memory import HEAD
from mashal.machine.replay_tables import (
    ARENA,
    ARENA_BASE,
    ASKED,
    BUSY,
    COMPUTED,
    LEAF,
    MANY,
    MODES,
    NO_HISTORY,
    ONE,
    RETURNED,
    RETURNS,
    TABLES,
    TENSOR,
    WORDS,
    WORK,
    Tables,
    block_of,
)
from mashal.machine.replay_tables import HEAD as TABLES_BEGIN
from mashal.machine.text import Module, Value

provide_from_process("PyList_GetItem", "PyList_SetItem", "PyList_New", "PyDict_GetItem", "memcpy", "PyLong_AsVoidPtr",
                     "PyList_Size", "PyObject_Size")  # fmt: skip


class ReplayLayout:
    """A type whose objects replays take and make, compiled; `leaf` is the type of a leaf's node."""

    def __init__(self, type: type, leaf: type):
        self.type, self.leaf = type, leaf
        (self._address,) = JIT.functions(_Replay(type).module.text(), "replay", ["_all"])

    def replay(self, tables: Tables, miss: Any) -> Callable[..., Any]:
        """The builtin that does what the tables say, or returns `miss`."""
        block = block_of(tables)
        return builtin(self._address, "replay", (ctypes.addressof(block), miss, self.type, self.leaf, tables, block))


class _Replay:
    """Writes the machine code that walks the tables."""

    def __init__(self, type: type):
        self.module = Module()
        self.type_offset = type_offset()
        names = ("capsule", "offset", "form", "node", "base", "grad_", "version")
        self.slots = {name: slot_offset(type, name) for name in names}
        self.module.add_global("_Py_NoneStruct", "external global i8")
        self.data_offset = _capsule_offset()
        f = self.module.function("replay_all", "ptr", [("ptr", "self"), ("ptr", "args"), ("i64", "nargs")])
        self.f = f
        owner, self.args, self.nargs = f.parameters
        item = lambda i: f.call("ptr", "PyTuple_GetItem", owner, i)
        self.block = f.call("ptr", "PyLong_AsVoidPtr", item(0))
        self.miss, self.type, self.leaf_type = (item(i) for i in (1, 2, 3))
        self.none = Value(f, "@_Py_NoneStruct", "ptr")
        self.tables = {name: (f.word(self.block, TABLES_BEGIN + 2 * i), f.word(self.block, TABLES_BEGIN + 2 * i + 1, "ptr"))
                       for i, name in enumerate(TABLES)}  # fmt: skip
        self._write()

    # ---------------------------------------------------------------- what the code is made of
    def slot(self, obj: Value, name: str) -> Value:
        return self.f.load(self.f.at(obj, self.slots[name], "i8"), type="ptr")

    def type_of(self, obj: Value) -> Value:
        return self.f.load(self.f.at(obj, self.type_offset, "i8"), type="ptr")

    def same(self, a: Value, b: Value) -> Value:
        return self.f.op("i1", f"icmp eq ptr {a.spelling}, {b.spelling}")

    def references(self, obj: Value) -> Value:
        """How many references an object has (the low half is enough on every Python)."""
        return self.f.load(obj, type="i32")

    def data(self, storage: Value) -> Value:
        return self.f.load(self.f.at(storage, self.data_offset, "i8"), type="ptr")

    def address(self, obj: Value, size: Value) -> Value:
        """Of an object's first element."""
        f = self.f
        offset = f.call("i64", "PyLong_AsLongLong", self.slot(obj, "offset"))
        return f.at(self.data(self.slot(obj, "capsule")), offset * size, "i8")

    def each(self, name: str, body: Callable[..., None]) -> None:
        """body(number, *words of the row, row) for each row of a table."""
        f = self.f
        count, table = self.tables[name]
        width = WORDS[name]

        def one(i: Value) -> None:
            row = f.at(table, i * width, "i64")
            body(i, *(f.word(row, k) for k in range(width)), row)

        f.loop(0, count, 1, one)

    def pointer(self, word: Value) -> Value:
        return self.f.convert("inttoptr", word, "ptr")

    def miss_unless(self, condition: Value) -> None:
        f = self.f
        good, bad = f.new_label(), f.new_label()
        f.branch_if(condition, good, bad)
        f.block(bad)
        f.call("void", "Py_IncRef", self.miss)
        f.do(f"ret {self.miss}")
        f.block(good)

    def put_back(self, data: Value) -> None:
        self.f.call("void", "mashal_memory_put", self.f.at(data, -HEAD, "i8"))

    # ---------------------------------------------------------------- the function
    def _write(self) -> None:
        f = self.f
        self.miss_unless(f.word(self.block, BUSY).compare("eq", 0))
        now = f.call("i64", "mashal_modes") & f.word(self.block, ASKED)
        self.miss_unless(now.compare("eq", f.word(self.block, MODES)))
        self.miss_unless(self.nargs.compare("eq", self.tables["operands"][0]))
        self._compare()
        self._find_bases()
        f.set_word(self.block, BUSY, 1)
        self._save()
        status = self._launch()
        f.set_word(self.block, BUSY, 0)
        f.if_(status.compare("sge", 0), self._fail)
        arena = self.arena()
        f.if_(f.op("i1", f"icmp ne ptr {arena.spelling}, null"), lambda: self.put_back(arena))
        self._leave_behind()

    def _compare(self) -> None:
        f = self.f

        def operand(i, kind, expected, history, size, base, type, row):
            given = f.load(self.args, i, "ptr")

            def tensor():
                self.miss_unless(self.same(self.type_of(given), self.pointer(type)))
                self.miss_unless(self.same(self.slot(given, "form"), self.pointer(expected)))
                node = self.slot(given, "node")
                free = self.same(node, self.none)
                leaf = self.same(self.type_of(node), self.leaf_type)
                self.miss_unless(history.compare("ne", NO_HISTORY) | free)
                self.miss_unless(history.compare("ne", LEAF) | leaf)
                neither = f.op("i1", f"icmp eq i1 {(free | leaf).spelling}, false")
                self.miss_unless(history.compare("ne", COMPUTED) | neither)

            f.if_(
                kind.compare("eq", TENSOR), tensor, lambda: self.miss_unless(self.same(given, self.pointer(expected)))
            )

        def apart(i, a, b, obj, row):
            one = self.slot(f.load(self.args, a, "ptr"), "capsule")
            other = f.if_(b.compare("sge", 0), lambda: self.slot(f.load(self.args, b, "ptr"), "capsule"),
                          lambda: self.pointer(obj))  # fmt: skip
            self.miss_unless(f.op("i1", f"icmp ne ptr {one.spelling}, {other.spelling}"))

        def together(i, a, b, distance, size, other_size, row):
            one, other = f.load(self.args, a, "ptr"), f.load(self.args, b, "ptr")
            self.miss_unless(self.same(self.slot(one, "capsule"), self.slot(other, "capsule")))
            places = [f.convert("ptrtoint", self.address(x, n), "i64") for x, n in ((one, size), (other, other_size))]
            self.miss_unless((places[1] - places[0]).compare("eq", distance))

        def slot(i, address, expected, row):
            self.miss_unless(f.load(self.pointer(address), type="i64").compare("eq", expected))

        def entry(i, dictionary, key, expected, row):
            found = f.call("ptr", "PyDict_GetItem", self.pointer(dictionary), self.pointer(key))
            self.miss_unless(self.same(found, self.pointer(expected)))

        def item(i, container, place, expected, row):
            def held():
                self.miss_unless(place.compare("slt", f.call("i64", "PyList_Size", self.pointer(container))))
                found = f.call("ptr", "PyList_GetItem", self.pointer(container), place)
                self.miss_unless(self.same(found, self.pointer(expected)))

            def length():
                self.miss_unless(f.call("i64", "PyObject_Size", self.pointer(container)).compare("eq", expected))

            f.if_(place.compare("sge", 0), held, length)

        def gradient(i, obj, expected, size, base, row):
            g = self.slot(self.pointer(obj), "grad_")
            self.miss_unless(f.op("i1", f"icmp ne ptr {g.spelling}, {self.none.spelling}"))
            self.miss_unless(self.same(self.slot(g, "form"), self.pointer(expected)))

        for name, body in (
            ("operands", operand),
            ("apart", apart),
            ("together", together),
            ("slots", slot),
            ("entries", entry),
            ("items", item),
            ("gradients", gradient),
        ):
            self.each(name, body)

    def _find_bases(self) -> None:
        f = self.f

        def operand(i, kind, expected, history, size, base, type, row):
            f.if_(
                kind.compare("eq", TENSOR),
                lambda: self._set_base(base, self.address(f.load(self.args, i, "ptr"), size)),
            )

        def storage(i, capsule, base, row):
            self._set_base(base, self.data(self.pointer(capsule)))

        def gradient(i, obj, expected, size, base, row):
            self._set_base(base, self.address(self.slot(self.pointer(obj), "grad_"), size))

        def block(i, bytes, base, obj, expected, row):
            reused = f.if_(obj.compare("ne", 0), lambda: self._reusable(self.pointer(obj), self.pointer(expected)),
                           lambda: Value(f, "null", "ptr"))  # fmt: skip
            f.set_word(self._base(base), 3, reused)
            fresh = lambda: f.at(self._get(bytes, i), HEAD, "i8")
            old = lambda: self.data(self.slot(reused, "capsule"))
            self._set_base(base, f.if_(f.op("i1", f"icmp eq ptr {reused.spelling}, null"), fresh, old))

        self.each("operands", operand)
        self.each("storages", storage)
        self.each("gradients", gradient)
        self.each("blocks", block)
        arena = f.word(self.block, ARENA)

        def take_arena():
            got = self._get(arena, self.tables["blocks"][0])
            self._set_base(f.word(self.block, ARENA_BASE), f.at(got, HEAD, "i8"))

        f.if_(arena.compare("sgt", 0), take_arena)

    def arena(self) -> Value:
        """The address of the arena, null if there is none."""
        f = self.f
        value = lambda: f.word(self._base(f.word(self.block, ARENA_BASE)), 0, "ptr")
        return f.if_(f.word(self.block, ARENA).compare("sgt", 0), value, lambda: Value(f, "null", "ptr"))

    def _get(self, bytes: Value, taken: Value) -> Value:
        """Memory; if it is not to be had, the blocks before go back and the replay misses."""
        f = self.f
        got = f.call("ptr", "mashal_memory_get", bytes)
        good, bad = f.new_label(), f.new_label()
        f.branch_if(f.op("i1", f"icmp ne ptr {got.spelling}, null"), good, bad)
        f.block(bad)
        self._return_blocks(taken)
        f.call("void", "Py_IncRef", self.miss)
        f.do(f"ret {self.miss}")
        f.block(good)
        return got

    def _return_blocks(self, taken: Value) -> None:
        """Gives the new ones of the first so many blocks back."""
        f = self.f

        def one(i):
            row = self._base(f.word(f.at(self.tables["blocks"][1], i * WORDS["blocks"], "i64"), 1))
            f.if_(f.word(row, 3).compare("eq", 0), lambda: self.put_back(f.word(row, 0, "ptr")))

        f.loop(0, taken, 1, one)

    def _reusable(self, obj: Value, form: Value) -> Value:
        """An object's old gradient if nobody else can see it or its memory; else null."""
        f = self.f
        g = self.slot(obj, "grad_")
        null = lambda: Value(f, "null", "ptr")

        def look():
            storage = self.slot(g, "capsule")
            alone = self.references(g).compare("eq", 1) & self.same(self.type_of(g), self.type)
            alone = alone & self.same(self.slot(g, "form"), form)
            for name in ("version", "node", "base"):
                alone = alone & self.same(self.slot(g, name), self.none)
            return f.if_(alone, lambda: f.if_(self.references(storage).compare("eq", 1), lambda: g, null), null)

        return f.if_(f.op("i1", f"icmp ne ptr {g.spelling}, {self.none.spelling}"), look, null)

    def _base(self, number: Value) -> Value:
        return self.f.at(self.tables["bases"][1], number * WORDS["bases"], "i64")

    def _set_base(self, number: Value, address: Value) -> None:
        """Notes where a base lies now; if it has moved, writes it into the words that depend on it."""
        f = self.f
        row = self._base(number)
        now = f.convert("ptrtoint", address, "i64")

        def moved():
            f.set_word(row, 0, now)
            patches = f.word(row, 1, "ptr")

            def patch(i):
                at = f.at(patches, i * 2, "i64")
                f.store(now + f.word(at, 1), f.word(at, 0, "ptr"))

            f.loop(0, f.word(row, 2), 1, patch)

        f.if_(f.word(row, 0).compare("ne", now), moved)

    def _save(self) -> None:
        """Copies what a failing launch would leave changed into the arena."""
        f = self.f

        def copy(i, base, offset, bytes, place, row):
            source = f.at(f.word(self._base(base), 0, "ptr"), offset, "i8")
            f.call("ptr", "memcpy", f.at(self.arena(), place, "i8"), source, bytes)

        self.each("undo", copy)

    def _launch(self) -> Value:
        """Calls the kernels; -1, or the number of the one that found something wrong."""
        f = self.f
        count, table = self.tables["launches"]

        def all_of_them():
            def one(i, _):
                row = f.at(table, i * 2, "i64")
                status = f.call("i64", f.word(row, 0, "ptr").spelling, f.word(row, 1, "ptr"))
                good = status.compare("eq", -1)
                following = i + 1
                return good & following.compare("slt", count), following, f.select(good, f.i64(-1), i)

            def some():
                return f.repeat(one, [f.i64(0), f.i64(-1)])[1]

            return f.if_(count.compare("sgt", 0), some, lambda: f.i64(-1))

        def released():
            state = f.call("ptr", "PyEval_SaveThread")
            status = all_of_them()
            f.call("void", "PyEval_RestoreThread", state)
            return status

        return f.if_(f.word(self.block, WORK).compare("sgt", RELEASE), released, all_of_them)

    def _fail(self) -> None:
        """A kernel found an index out of range: everything is put back, and the replay misses; eagerly it will raise."""
        f = self.f

        def restore(i, base, offset, bytes, place, row):
            target = f.at(f.word(self._base(base), 0, "ptr"), offset, "i8")
            f.call("ptr", "memcpy", target, f.at(self.arena(), place, "i8"), bytes)

        self.each("undo", restore)
        self._return_blocks(self.tables["blocks"][0])
        arena = self.arena()
        f.if_(f.op("i1", f"icmp ne ptr {arena.spelling}, null"), lambda: self.put_back(arena))
        f.call("void", "Py_IncRef", self.miss)
        f.do(f"ret {self.miss}")
        f.block(f.new_label())

    # ---------------------------------------------------------------- what the call leaves behind
    def _leave_behind(self) -> None:
        f = self.f
        count = self.tables["results"][0]
        made = f.op("ptr", f"alloca ptr, i64 {count.spelling}, align 8")

        def result(i, block, form, offset, node, row):
            base = self._base(f.word(f.at(self.tables["blocks"][1], block * WORDS["blocks"], "i64"), 1))
            reused = f.word(base, 3, "ptr")

            def keep():
                f.call("void", "Py_IncRef", reused)
                return reused

            def new():
                capsule = f.call("ptr", "mashal_memory_capsule", f.at(f.word(base, 0, "ptr"), -HEAD, "i8"))
                arguments = f.stack(24, 8)
                f.store(capsule, arguments)
                place = f.call("ptr", "PyLong_FromLongLong", offset)
                f.store(place, f.at(arguments, 1, "i64"))
                f.store(self.pointer(form), f.at(arguments, 2, "i64"))
                obj = f.call("ptr", "mashal_launch_make", self.type, arguments, 3)
                f.call("void", "Py_DecRef", capsule)
                f.call("void", "Py_DecRef", place)
                f.call("void", "Py_IncRef", self.pointer(node))
                f.store(self.pointer(node), f.at(obj, self.slots["node"], "i8"))
                f.call("void", "Py_DecRef", self.none)
                return obj

            obj = f.if_(f.op("i1", f"icmp ne ptr {reused.spelling}, null"), keep, new)
            f.store(obj, f.at(made, i, "ptr"))

        def leaf(i, obj, which, row):
            place = f.at(self.pointer(obj), self.slots["grad_"], "i8")
            old = f.load(place, type="ptr")
            new = f.if_(
                which.compare("sge", 0), lambda: f.load(f.at(made, which, "ptr"), type="ptr"), lambda: self.none
            )
            handed_on = which.compare("slt", f.word(self.block, RETURNED))  # the caller gets it too; so is -1, for None
            f.if_(handed_on, lambda: f.call("void", "Py_IncRef", new))
            f.store(new, place)
            f.call("void", "Py_DecRef", old)

        def bump(i, obj, by, row):
            place = f.at(self.pointer(obj), self.slots["version"], "i8")
            version = f.load(place, type="ptr")

            def start():
                new = f.call("ptr", "PyList_New", 1)
                f.call("i32", "PyList_SetItem", new, 0, f.call("ptr", "PyLong_FromLongLong", by))
                f.store(new, place)
                f.call("void", "Py_DecRef", version)

            def count_up():
                number = f.call("ptr", "PyList_GetItem", version, 0)
                digit = f.at(number, _DIGIT, "i8")
                now, more = f.load(digit, type="i32"), f.convert("trunc", by, "i32")
                alone = self.references(number).compare("eq", 1) & now.compare("ult", (1 << 30) - (1 << 16))

                def another():
                    new = f.call("i64", "PyLong_AsLongLong", number) + by
                    f.call("i32", "PyList_SetItem", version, 0, f.call("ptr", "PyLong_FromLongLong", new))

                # an int that nobody else has is counted up where it is
                f.if_(alone & more.compare("ult", 1 << 16), lambda: f.store(now + more, digit), another)

            f.if_(self.same(version, self.none), start, count_up)

        self.each("results", result)
        self.each("bumps", bump)
        self.each("leaves", leaf)
        self._return(made)

    def _return(self, made: Value) -> None:
        f = self.f
        returns, returned = f.word(self.block, RETURNS), f.word(self.block, RETURNED)

        def one():
            f.do(f"ret {f.load(made, type='ptr')}")
            f.block(f.new_label())

        def many():
            together = f.call("ptr", "PyTuple_New", returned)
            f.loop(0, returned, 1, lambda i: f.call("i32", "PyTuple_SetItem", together, i, f.load(f.at(made, i, "ptr"), type="ptr"))
                   and None)  # fmt: skip
            f.do(f"ret {together}")
            f.block(f.new_label())

        f.if_(returns.compare("eq", ONE), one)
        f.if_(returns.compare("eq", MANY), many)
        f.call("void", "Py_IncRef", self.none)
        f.end(self.none)


def _digit_offset() -> int:
    """Where in an int its lowest digit (30 bits) lies."""
    probe = 1_000_003
    for offset in range(object.__basicsize__, object.__basicsize__ + 16, 4):
        if ctypes.c_uint32.from_address(id(probe) + offset).value == probe:
            return offset
    raise RuntimeError("replay: this Python lays out ints in a way that mashal does not know")


_DIGIT = _digit_offset()


def _capsule_offset() -> int:
    """Where in a capsule the pointer to its data lies."""
    probe = memory.new_storage(64)
    address = memory.address_of(probe)
    for offset in range(object.__basicsize__, object.__basicsize__ + 32, 8):
        if ctypes.c_void_p.from_address(id(probe) + offset).value == address:
            return offset
    raise RuntimeError("replay: this Python lays out capsules in a way that mashal does not know")
