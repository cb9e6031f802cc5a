"""Looking up: from operands to the plan that is known for their kinds, as one native call.

    find = layout.finder(entries, otherwise)
    find(*operands)        is entries[key].plan(*operands), or otherwise(*operands) if there is no such entry

The key is what is known of the operands without looking at their data: of an object of a plain type its form, of all else its
type; a tuple of these, or for one operand this itself. Nothing is kept: entries may be added and forgotten.

    find = layout.finder_with_options(entries, otherwise, operands)
    find(*operands, *options)        is entries[key].plan(*those operands that are not None)

Of options the key has the values, and behind them a number whose bits say which of them are floats: 1 is not 1.0 there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mashal.machine.jit import JIT, provide_from_process
from mashal.machine.launch import builtin
from mashal.machine.objects import Writer, member
from mashal.machine.recording import block_of
from mashal.machine.text import Function, Value

provide_from_process("PyDict_GetItem", "PyDict_GetItemWithError", "PyErr_Clear", "PySet_Contains", "PyFloat_Type")

# members of __self__
_ENTRIES, _OTHERWISE, _TYPE, _PLAIN, _OPERANDS = range(5)


class LookupLayout:
    """A type of objects with the slot form, and a type of entries with the slot plan, compiled."""

    def __init__(self, type: type, entry: type):
        self.type = type
        text = _Finder(type, entry).module.text()
        self._address, self._address_with_options = JIT.functions(text, "find", ["_plan", "_with_options"])

    def finder(self, entries: dict[Any, Any], otherwise: Callable[..., Any], plain: set[type]) -> Callable[..., Any]:
        """find(*operands) for a table. plain: the types whose objects are known by their form, the layout's own among them."""
        return builtin(self._address, "find", (entries, otherwise, self.type, plain))

    def finder_with_options(
        self, entries: dict[Any, Any], otherwise: Callable[..., Any], plain: set[type], operands: int
    ) -> Callable[..., Any]:
        """find(*operands, *options) for a table; `operands` of the arguments are operands."""
        owner = entries, otherwise, self.type, plain, block_of([operands])
        return builtin(self._address_with_options, "find", owner)


def key_with_options(arguments: Sequence[Any], plain: set[type], operands: int) -> tuple:
    """The key of a call with options."""
    options = arguments[operands:]
    floats = sum(1 << i for i, option in enumerate(options) if type(option) is float)
    return (*[x.form if type(x) in plain else type(x) for x in arguments[:operands]], *options, floats)


class _Finder(Writer):
    """Writes the machine code."""

    def __init__(self, type: type, entry: type):
        super().__init__("find")
        self.form, self.plan = member(type, "form"), member(entry, "plan")
        self.module.add_global("PyFloat_Type", "external global i8")
        self._write_part()
        self._write_key()
        self._write_key_with_options()
        self._write_plan()
        self._write_with_options()

    def _write_part(self) -> None:
        """part(owner, x): what is known of an operand, borrowed."""
        f, (owner, x) = self.function("part", "ptr", "owner x", internal=True)
        type = self.type_of(f, x)
        usual = self.same(f, type, self.item(f, owner, _TYPE))
        f.return_if(usual, self.read(f, x, self.form))
        plain = f.call("i32", "PySet_Contains", self.item(f, owner, _PLAIN), type)
        f.return_if(plain.compare("eq", 1), self.read(f, x, self.form))
        f.end(type)

    def _write_key(self) -> None:
        """key(owner, args, n): a new reference."""
        f, (owner, args, n) = self.function("key", "ptr", "owner args n", internal=True)
        part = lambda i: f.call("ptr", "find_part", owner, f.load(args, i, "ptr"))

        def alone() -> None:
            one = part(f.i64(0))
            self.keep(f, one)
            self.leave(f, one)

        f.if_(n.compare("eq", 1), alone)
        key = f.call("ptr", "PyTuple_New", n)
        f.loop(0, n, 1, lambda i: self.put_borrowed(f, key, i, part(i)))
        f.end(key)

    def _write_key_with_options(self) -> None:
        """long_key(owner, args, n): a new reference."""
        f, (owner, args, n) = self.function("long_key", "ptr", "owner args n", internal=True)
        operands = f.word(self.words(f, self.item(f, owner, _OPERANDS)), 0)
        key = f.call("ptr", "PyTuple_New", n + 1)
        part = lambda i: f.call("ptr", "find_part", owner, f.load(args, i, "ptr"))
        f.loop(0, operands, 1, lambda i: self.put_borrowed(f, key, i, part(i)))
        kind = Value(f, "@PyFloat_Type", "ptr")

        def put(i: Value, floats: Value) -> Value:
            option = f.load(args, i, "ptr")
            self.put_borrowed(f, key, i, option)
            is_float = f.convert("zext", self.same(f, self.type_of(f, option), kind), "i64")
            return floats | (is_float << (i - operands))

        self.put(f, key, n, self.number(f, f.loop(operands, n, 1, put, [f.i64(0)])))
        f.end(key)

    def _write_plan(self) -> None:
        f, (owner, args, n) = self.function("plan", "ptr", "self args n")
        key = f.call("ptr", "find_key", owner, args, n)
        entry = f.call("ptr", "PyDict_GetItem", self.item(f, owner, _ENTRIES), key)
        self.drop(f, key)
        unknown = self.is_null(f, entry)
        plan = f.if_(unknown, lambda: self.item(f, owner, _OTHERWISE), lambda: self.read(f, entry, self.plan))
        self.keep(f, plan)  # the table may be emptied meanwhile
        result = self.vectorcall(f, plan, args, n)
        self.drop(f, plan)
        f.end(result)

    def _write_with_options(self) -> None:
        f, (owner, args, n) = self.function("with_options", "ptr", "self args n")
        operands = f.word(self.words(f, self.item(f, owner, _OPERANDS)), 0)
        f.if_(n.compare("slt", operands), lambda: self.leave(f, self._otherwise(f, owner, args, n)))
        key = f.call("ptr", "find_long_key", owner, args, n)
        entry = f.call("ptr", "PyDict_GetItemWithError", self.item(f, owner, _ENTRIES), key)
        self.drop(f, key)

        def unknown() -> None:
            f.call("void", "PyErr_Clear")  # a list among the options is no key
            self.leave(f, self._otherwise(f, owner, args, n))

        f.if_(self.is_null(f, entry), unknown)
        plan = self.read(f, entry, self.plan)
        self.keep(f, plan)
        given = f.op("ptr", f"alloca ptr, i64 {operands.spelling}, align 16")

        def give(i: Value, count: Value) -> Value:
            x = f.load(args, i, "ptr")
            f.store(x, given, count)
            return count + f.convert("zext", self.differ(f, x, self.none(f)), "i64")

        count = f.loop(0, operands, 1, give, [f.i64(0)])
        result = self.vectorcall(f, plan, given, count)
        self.drop(f, plan)
        f.end(result)

    def _otherwise(self, f: Function, owner: Value, args: Value, n: Value) -> Value:
        return self.vectorcall(f, self.item(f, owner, _OTHERWISE), args, n)
