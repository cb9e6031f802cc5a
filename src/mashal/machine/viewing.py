"""Views as one native call: a new object over the same storage, read in another way.

    view = layout.view(form, shift)
    view(x) -> an object of this form that begins `shift` elements further

It shares x's storage and versions, and its base is that of x, or x. It has no history: what records a plan records a
view (machine.recording).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.machine.jit import JIT
from mashal.machine.launch import builtin, c_string
from mashal.machine.objects import Writer, member
from mashal.machine.text import Function, Value

# members of __self__
_TYPE, _FORM, _SHIFT, _MAKE, _VERSIONS = range(5)


class ViewLayout:
    """A type of objects with the slots capsule, offset, version and base, compiled.

    make(storage, offset, form): a new object. versions(x): x's list of versions, made if there was none.
    """

    def __init__(self, type: type, make: Callable[..., Any], versions: Callable[..., list[int]]):
        self._parts = make, versions
        self.type = type
        (self._address,) = JIT.functions(_Viewer(type).module.text(), "view", ["_of"])

    def view(self, form: Any, shift: int) -> Callable[..., Any]:
        """view(x), for views of this form."""
        return builtin(self._address, "view", (self.type, form, shift, *self._parts))


class _Viewer(Writer):
    """Writes the machine code for one type."""

    def __init__(self, type: type):
        super().__init__("view")
        self.slots = {name: member(type, name) for name in ("capsule", "offset", "version", "base")}
        self.module.add_global("PyExc_TypeError", "external global ptr")
        self.module.add_global("view_count", c_string("a view is of one tensor"))
        self._write()

    def _write(self) -> None:
        f, (owner, args, n) = self.function("of", "ptr", "self args n")
        f.if_(n.compare("eq", 1), None, lambda: self._refuse(f))
        x = f.load(args, 0, "ptr")
        kin = f.call("i32", "PyType_IsSubtype", self.type_of(f, x), self.item(f, owner, _TYPE))
        f.if_(kin.compare("ne", 0), None, lambda: self._refuse(f))
        versions = self._versions(f, owner, args, x)
        f.return_if(self.is_null(f, versions), versions)
        made = self._made(f, owner, x)
        self.leave_if(f, self.is_null(f, made), made, versions)
        self.give(f, made, self.slots["version"], versions)
        base = self.read(f, x, self.slots["base"])
        self.write(f, made, self.slots["base"], f.select(self.is_none(f, base), x, base))
        f.end(made)

    def _refuse(self, f: Function) -> None:
        error = f.load(Value(f, "@PyExc_TypeError", "ptr"), type="ptr")
        f.call("void", "PyErr_SetString", error, Value(f, "@view_count", "ptr"))
        self.leave(f, self.null(f))

    def _versions(self, f: Function, owner: Value, args: Value, x: Value) -> Value:
        """The list of versions, a new reference."""
        there = self.read(f, x, self.slots["version"])

        def share() -> Value:
            self.keep(f, there)
            return there

        return f.if_(self.is_none(f, there), lambda: self.vectorcall(f, self.item(f, owner, _VERSIONS), args, 1), share)

    def _made(self, f: Function, owner: Value, x: Value) -> Value:
        """A new object of the form, at its place in the storage."""
        at = f.call("i64", "PyLong_AsLongLong", self.read(f, x, self.slots["offset"]))
        shift = f.call("i64", "PyLong_AsLongLong", self.item(f, owner, _SHIFT))
        offset = self.number(f, at + shift)
        arguments = f.stack(3 * 8, 16)
        for i, value in enumerate((self.read(f, x, self.slots["capsule"]), offset, self.item(f, owner, _FORM))):
            f.store(value, arguments, i)
        made = self.vectorcall(f, self.item(f, owner, _MAKE), arguments, 3)
        self.drop(f, offset)
        return made
