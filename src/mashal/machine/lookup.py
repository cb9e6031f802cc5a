"""Looking up: from operands to the plan that is known for their kinds, as one native call.

    find = layout.finder(entries, otherwise)
    find(*operands)        is entries[key].plan(*operands), or otherwise(*operands) if there is no such entry

The key is what is known of the operands without looking at their data: of an object of a plain type its form, of all else its
type; a tuple of these, or for one operand this itself. Nothing is kept: entries may be added and forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.machine.jit import JIT, provide_from_process
from mashal.machine.launch import builtin
from mashal.machine.objects import Writer, member

provide_from_process("PyDict_GetItem", "PySet_Contains")

# members of __self__
_ENTRIES, _OTHERWISE, _TYPE, _PLAIN = range(4)


class LookupLayout:
    """A type of objects with the slot form, and a type of entries with the slot plan, compiled."""

    def __init__(self, type: type, entry: type):
        self.type = type
        (self._address,) = JIT.functions(_Finder(type, entry).module.text(), "find", ["_plan"])

    def finder(self, entries: dict[Any, Any], otherwise: Callable[..., Any], plain: set[type]) -> Callable[..., Any]:
        """find(*operands) for a table. plain: the types whose objects are known by their form, the layout's own among them."""
        return builtin(self._address, "find", (entries, otherwise, self.type, plain))


class _Finder(Writer):
    """Writes the machine code."""

    def __init__(self, type: type, entry: type):
        super().__init__("find")
        self.form, self.plan = member(type, "form"), member(entry, "plan")
        self._write_part()
        self._write_key()
        self._write_plan()

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
