"""Walking: the part of backward that is the same for most nodes, in native code.

    walk(node, g, leaves, least, free) -> None, or (node, output, gradient, node, output, gradient …)
    settle(leaves) -> how many leaves are left to Python

`walk` runs a node, then the one its gradient goes to, and so on down a straight line of nodes that plans made
(machine.recording). Gradients for leaves are collected in the dictionary `leaves`. It ends at the leaves (None), and before a
node that is not usual (of another kind, with hooks, for a gradient of a form that is met for the first time) or does not
come after the number `least`, and where the line forks: then it gives what has arrived where. free: whether what nodes keep
is given back.

`settle` adds each gradient to the grad of its leaf, or makes it the grad, if it is the first one and nobody else has it. The
value of a leaf that is settled becomes None in the dictionary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.machine.jit import JIT, provide_from_process
from mashal.machine.launch import builtin, c_string
from mashal.machine.objects import Writer, member
from mashal.machine.text import Function, Value

provide_from_process("PyDict_GetItem", "PyDict_SetItem", "PyDict_Next", "PyNumber_Add")

# members of __self__
_NODE, _LEAF, _FREED, _ADD = range(4)


class WalkLayout:
    """Types of objects, of nodes that plans made, of the nodes of leaves, and of what such nodes' `entry` is, compiled.

    objects have the slots form, capsule, version and grad_; nodes edges, saved, sequence, hooks and entry; nodes of leaves sequence,
    hooks and leaf (a weak reference); entries gradients. freed: what `saved` becomes when it is given back. add(grad, g): adds
    a gradient in place.
    """

    def __init__(self, type: type, node: type, leaf: type, entry: type, freed: Any, add: Callable[..., Any]):
        text = _Walker(type, node, leaf, entry).module.text()
        walk, settle = JIT.functions(text, "walk", ["_down", "_settle"])
        own = node, leaf, freed, add
        self.walk: Callable[..., tuple | None] = builtin(walk, "walk", own)
        self.settle: Callable[[dict], int] = builtin(settle, "settle", own)


class _Walker(Writer):
    """Writes the machine code of both."""

    def __init__(self, type: type, node: type, leaf: type, entry: type):
        super().__init__("walk")
        self.slots = {name: member(type, name) for name in ("form", "capsule", "version", "grad_")}
        self.node = {name: member(node, name) for name in ("edges", "saved", "sequence", "hooks", "entry")}
        self.leaf = {name: member(leaf, name) for name in ("hooks", "leaf")}
        self.gradients = member(entry, "gradients")
        self.module.add_global("PyExc_RuntimeError", "external global ptr")
        self.module.add_global(
            "walk_count", c_string("backward: a node gave another number of gradients than it has operands")
        )
        self._write_rest()
        self._write_run()
        self._write_down()
        self._write_leaf()
        self._write_settle()

    # ---------------------------------------------------------------- one node
    def _write_run(self) -> None:
        """run(owner, node, g, least): the gradients of its operands, null without an exception if that is Python's affair."""
        f, (owner, node, g, least) = self.function("run", "ptr", "owner node g n", internal=True)
        null = self.null(f)
        kin = f.call("i32", "PyType_IsSubtype", self.type_of(f, node), self.item(f, owner, _NODE))
        hooked = self.differ(f, self.read(f, node, self.node["hooks"]), self.none(f))
        f.return_if(self.any(f, kin.compare("eq", 0), hooked), null)
        number = f.call("i64", "PyLong_AsLongLong", self.read(f, node, self.node["sequence"]))
        f.return_if(number.compare("sle", least), null)
        gradients = self.read(f, self.read(f, node, self.node["entry"]), self.gradients)
        plan = f.call("ptr", "PyDict_GetItem", gradients, self.read(f, g, self.slots["form"]))
        f.return_if(self.is_null(f, plan), null)
        arguments = f.stack(16, 16)
        f.store(node, arguments, 0)
        f.store(g, arguments, 1)
        self.keep(f, plan)  # the table may be emptied meanwhile
        found = self.vectorcall(f, plan, arguments, 2)
        self.drop(f, plan)
        f.return_if(self.is_null(f, found), found)
        edges = f.call("i64", "PyTuple_Size", self.read(f, node, self.node["edges"]))
        fitting = f.call("i64", "PyTuple_Size", found).compare("eq", edges)
        f.if_(fitting, None, lambda: self._refuse(f, found))
        f.end(found)

    def _refuse(self, f: Function, found: Value) -> None:
        """What a node gave is no tuple of a gradient for each operand: that is an exception."""
        error = f.load(Value(f, "@PyExc_RuntimeError", "ptr"), type="ptr")
        f.call("void", "PyErr_SetString", error, Value(f, "@walk_count", "ptr"))
        self.leave_if(f, self.constant(f, True), self.null(f), found)

    def _free(self, f: Function, owner: Value, node: Value) -> None:
        """Gives back what a node keeps."""
        saved = self.read(f, node, self.node["saved"])

        def give_back() -> None:
            self.write(f, node, self.node["saved"], self.item(f, owner, _FREED))

        f.if_(f.call("i64", "PyTuple_Size", saved).compare("sgt", 0), give_back)

    # ---------------------------------------------------------------- the line
    def _write_down(self) -> None:
        f, (owner, args, _) = self.function("down", "ptr", "self args n")
        leaves = f.load(args, 2, "ptr")
        least = f.call("i64", "PyLong_AsLongLong", f.load(args, 3, "ptr"))
        free = f.call("i32", "PyObject_IsTrue", f.load(args, 4, "ptr")).compare("ne", 0)
        start = [f.load(args, 0, "ptr"), f.load(args, 1, "ptr")]
        for x in start:
            self.keep(f, x)

        def step(node: Value, g: Value) -> list[Value]:
            found = f.call("ptr", "walk_run", owner, node, g, least)
            missing = self.same(f, found, self.null(f))
            f.if_(missing, lambda: self._hand_over(f, node, g))
            f.if_(free, lambda: self._free(f, owner, node))
            following, its_g = self._spread(f, owner, node, g, found, leaves)
            self.drop(f, found, node, g)
            f.if_(self.is_null(f, following), lambda: self.leave(f, self.another_none(f)))
            return [self.constant(f, True), following, its_g]

        f.repeat(step, start)
        f.end(self.null(f))

    def _hand_over(self, f: Function, node: Value, g: Value) -> None:
        """Returns the node and what arrived there; null if there was an exception."""

        raised = self.differ(f, f.call("ptr", "PyErr_Occurred"), self.null(f))
        self.leave_if(f, raised, self.null(f), node, g)
        arrived = f.call("ptr", "PyTuple_New", 3)
        for i, x in enumerate((node, self.number(f, 0), g)):
            self.put(f, arrived, i, x)
        self.leave(f, arrived)

    def _spread(self, f: Function, owner: Value, node: Value, g: Value, found: Value, leaves: Value) -> Any:
        """Hands on the gradients that a node has found: to leaves, and to the one node that follows (new references, or null).

        Where several follow, the function returns.
        """
        null = self.null(f)
        edges = self.read(f, node, self.node["edges"])
        leaf_type = self.item(f, owner, _LEAF)

        def one(i: Value, count: Value, onward: Value, its_g: Value) -> list[Value]:
            edge, g = self.item(f, edges, i), self.item(f, found, i)
            nothing = self.any(f, self.is_none(f, edge), self.is_none(f, g))
            return f.if_(nothing, lambda: [count, onward, its_g], lambda: to_target(edge, g, count, onward, its_g))

        def to_target(edge: Value, g: Value, count: Value, onward: Value, its_g: Value) -> list[Value]:
            target = self.item(f, edge, 0)

            def to_leaf() -> list[Value]:
                f.call("void", "walk_leaf", leaves, target, g)
                return [count, onward, its_g]

            is_leaf = self.same(f, self.type_of(f, target), leaf_type)
            return f.if_(is_leaf, to_leaf, lambda: [count + 1, edge, g])

        def at_its_end() -> list[Value]:
            """The node that the edge leads to, and to which of its results."""
            return [self.item(f, onward, 0), f.call("i64", "PyLong_AsLongLong", self.item(f, onward, 1))]

        n = f.call("i64", "PyTuple_Size", edges)
        count, onward, its_g = f.loop(0, n, 1, one, [f.i64(0), null, null])
        following, output = f.if_(self.is_null(f, onward), lambda: [null, f.i64(0)], at_its_end)
        raised = self.differ(f, f.call("ptr", "PyErr_Occurred"), null)
        self.leave_if(f, raised, null, found, node, g)

        def fork() -> None:
            arrived = f.call("ptr", "walk_rest", owner, edges, found, count)
            self.leave_if(f, self.constant(f, True), arrived, found, node, g)

        def follow() -> None:
            self.keep(f, following)
            self.keep(f, its_g)

        f.if_(self.any(f, count.compare("sgt", 1), output.compare("ne", 0)), fork)  # the line knows first results only
        f.if_(self.is_null(f, following), None, follow)
        return following, its_g

    def _write_rest(self) -> None:
        """rest(owner, edges, found, count): what arrives at so many nodes that are no leaves, three items each."""
        f, (owner, edges, found, count) = self.function("rest", "ptr", "owner edges found n", internal=True)
        arrived = f.call("ptr", "PyTuple_New", count * 3)

        def one(i: Value, at: Value) -> Value:
            edge, g = self.item(f, edges, i), self.item(f, found, i)
            nothing = self.any(f, self.is_none(f, edge), self.is_none(f, g))

            def put() -> Value:
                target = self.item(f, edge, 0)

                def triple() -> Value:
                    for k, x in enumerate((target, self.item(f, edge, 1), g)):
                        self.put_borrowed(f, arrived, at + k, x)
                    return at + 3

                return f.if_(self.same(f, self.type_of(f, target), self.item(f, owner, _LEAF)), lambda: at, triple)

            return f.if_(nothing, lambda: at, put)

        f.loop(0, f.call("i64", "PyTuple_Size", edges), 1, one, [f.i64(0)])
        f.end(arrived)

    # ---------------------------------------------------------------- leaves
    def _write_leaf(self) -> None:
        """leaf(leaves, target, g): adds a gradient to what has come to a leaf; it may leave an exception."""
        f, (leaves, target, g) = self.function("leaf", "void", "leaves target g", internal=True)
        known = f.call("ptr", "PyDict_GetItem", leaves, target)

        def put(x: Value) -> None:
            f.call("i32", "PyDict_SetItem", leaves, target, x)

        def add() -> None:
            total = f.call("ptr", "PyNumber_Add", known, g)

            def set_() -> None:
                put(total)
                self.drop(f, total)

            f.if_(self.is_null(f, total), None, set_)

        f.if_(self.is_null(f, known), lambda: put(g), add)
        f.end()

    def _write_settle(self) -> None:
        f, (owner, args, _) = self.function("settle", "ptr", "self args n")
        leaves = f.load(args, 0, "ptr")
        place, key, value = (f.stack(8, 8) for _ in range(3))
        f.store(f.i64(0), place)
        more = lambda: f.call("i32", "PyDict_Next", leaves, place, key, value).compare("ne", 0)

        def each(left: Value) -> list[Value]:
            node, g = f.load(key, type="ptr"), f.load(value, type="ptr")
            taken = f.if_(self.is_none(f, g), lambda: self.constant(f, True), lambda: self._settled(f, owner, node, g))
            raised = self.differ(f, f.call("ptr", "PyErr_Occurred"), self.null(f))
            self.leave_if(f, raised, self.null(f))

            def forget() -> None:
                f.call("i32", "PyDict_SetItem", leaves, node, self.none(f))

            f.if_(taken, forget)
            return [more(), left + f.select(taken, f.i64(0), f.i64(1))]

        left = f.if_(more(), lambda: f.repeat(each, [f.i64(0)]), lambda: f.i64(0))
        f.end(f.call("ptr", "PyLong_FromLongLong", left))

    def _settled(self, f: Function, owner: Value, node: Value, g: Value) -> Value:
        """Adds a gradient to its leaf's grad, if that is the usual case; whether it did."""
        no = lambda: self.constant(f, False)

        def ask() -> Value:
            leaf = self.vectorcall(f, self.read(f, node, self.leaf["leaf"]), self.null(f), 0)
            gone = self.any(f, self.is_none(f, leaf), self.is_null(f, leaf))
            taken = f.if_(gone, no, lambda: first_or_more(leaf))
            f.if_(self.is_null(f, leaf), None, lambda: self.drop(f, leaf))
            return taken

        def first_or_more(leaf: Value) -> Value:
            grad = self.read(f, leaf, self.slots["grad_"])
            return f.if_(self.is_none(f, grad), lambda: first(leaf), lambda: more(grad))

        def first(leaf: Value) -> Value:
            form = self.same(f, self.read(f, leaf, self.slots["form"]), self.read(f, g, self.slots["form"]))

            def take() -> Value:
                self.write(f, leaf, self.slots["grad_"], g)
                return self.constant(f, True)

            return f.if_(self.all(f, form, *self._unseen(f, g)), take, no)

        def more(grad: Value) -> Value:
            arguments = f.stack(16, 16)
            f.store(grad, arguments, 0)
            f.store(g, arguments, 1)
            answer = self.vectorcall(f, self.item(f, owner, _ADD), arguments, 2)
            f.if_(self.is_null(f, answer), None, lambda: self.drop(f, answer))
            return self.constant(f, True)

        return f.if_(self.is_none(f, self.read(f, node, self.leaf["hooks"])), ask, no)

    def _unseen(self, f: Function, g: Value) -> list[Value]:
        """That nobody but the dictionary has the gradient, and nothing else its data."""
        versions = self.read(f, g, self.slots["version"])
        return [self.alone(f, g), self.alone(f, self.read(f, g, self.slots["capsule"])), self.is_none(f, versions)]
