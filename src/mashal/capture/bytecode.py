"""What a function's bytecode reads and changes, place by place.

`Walk(code).run()` goes through the instructions once with a symbolic stack: each slot holds the expression that put it there, as
far as it is a chain of names, attributes and items, or None. What is found is a `Site` at the instruction's offset:

    read      a global, a cell, an attribute or an item is loaded
    store     an attribute or an item of `expression` is set or deleted; `detail` says how
    rebind    a global or a cell of an outer function is set or deleted
    inplace   a local, global or cell is changed by += and its like
    iterate   an iterator of `expression` is made
    call      `expression` (callee, arguments …) is called
    keep      a new dictionary or list becomes the local `detail`
    pick      an item of `expression` is taken, by `detail`
    truth     whether `expression` is true is asked
    uneven    `expression` and `detail` are compared for equality, divided with a remainder, or looked up in each other

Expressions are tuples: ("local", name) ("global", name) ("cell", name) ("constant", value) ("attribute", of, name)
("item", of, key or None for any) ("call", callee, arguments) ("new", type). The walk forgets everything at jump targets,
so what it says is true on every path; what it cannot say is None. Only the names of some fifty instructions of CPython
3.10 to 3.14 are known here; all others are taken by their effect on the stack's height.
"""

from __future__ import annotations

import dis
import sys
from dataclasses import dataclass
from types import CodeType
from typing import Any

__all__ = ["Expression", "Site", "Walk"]

Expression = Any  # a tuple as above, or None: not known

NULL = ("null",)
_SAME = frozenset(
    "NOP RESUME CACHE PRECALL EXTENDED_ARG GEN_START MAKE_CELL COPY_FREE_VARS JUMP_FORWARD JUMP_BACKWARD JUMP_ABSOLUTE "
    "JUMP_BACKWARD_NO_INTERRUPT NOT_TAKEN SETUP_ANNOTATIONS INSTRUMENTED_LINE".split()
)
_LOCALS = frozenset("LOAD_FAST LOAD_FAST_CHECK LOAD_FAST_BORROW LOAD_FAST_AND_CLEAR LOAD_NAME".split())
_CELLS = frozenset("LOAD_DEREF LOAD_CLASSDEREF LOAD_FROM_DICT_OR_DEREF LOAD_CLOSURE".split())
_PAIRS = frozenset("LOAD_FAST_LOAD_FAST LOAD_FAST_BORROW_LOAD_FAST_BORROW".split())
_BUILDS = {"BUILD_LIST": list, "BUILD_SET": set, "BUILD_MAP": dict, "BUILD_CONST_KEY_MAP": dict}
_FILLS = {
    "LIST_EXTEND": 1,
    "SET_UPDATE": 1,
    "DICT_UPDATE": 1,
    "DICT_MERGE": 1,
    "LIST_APPEND": 1,
    "SET_ADD": 1,
    "MAP_ADD": 2,
}
_TRUTHS = ("TO_BOOL", "UNARY_NOT")
_SIGNED = ("COMPARE_OP", "BINARY_OP")  # which operation it is, is said beside the name
_UNEVEN = frozenset("CONTAINS_OP == != % & | ^ %= &= |= ^=".split()) | {
    f"{kind}_{name}" for kind in ("BINARY", "INPLACE") for name in ("MODULO", "AND", "OR", "XOR")
}  # up to 3.10 the operations have names
_POPS = frozenset("POP_TOP POP_ITER STORE_NAME POP_JUMP_IF_TRUE POP_JUMP_IF_FALSE".split())


@dataclass
class Site:
    """One place of a code object that reads or changes something; see the module."""

    kind: str
    expression: Expression
    detail: Any = None
    whole: bool = True  # of a read: more than one item of it may be looked at


class Walk:
    """One pass over a code object's instructions."""

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.stack: list[Expression] = []
        self.found: dict[int, list[Site]] = {}
        self.reads: dict[int, Site] = {}  # by the id of the expression that was pushed
        self.after_loop: dict[int, list[Expression]] = {}  # the stack where a loop ends, by the offset of that place
        self.keywords = 0
        self.offset = 0

    def run(self) -> dict[int, list[Site]]:
        start = None  # of an instruction with EXTENDED_ARG in front: events may name either
        for instruction in dis.get_instructions(self.code):
            if instruction.is_jump_target:
                self.meet(instruction)
            if instruction.opname == "EXTENDED_ARG":
                start = instruction.offset if start is None else start
                continue
            self.offset = instruction.offset
            self.step(instruction)
            if start is not None and self.offset in self.found:
                self.found[start] = self.found[self.offset]
            start = None
        return self.found

    def meet(self, instruction: dis.Instruction) -> None:
        """Several paths come together: what is on the stack isn't known, but for what lies under a loop's iterator."""
        if instruction.opname == "FOR_ITER":
            after = self.stack[:-1] + [None, None] * (sys.version_info >= (3, 12))
            self.after_loop[instruction.argval] = after
            self.stack[-1:] = [None]
        else:
            self.stack = self.after_loop.get(instruction.offset, [])

    # ---------------------------------------------------------------- the stack
    def push(self, expression: Expression) -> None:
        self.stack.append(expression)

    def pop(self) -> Expression:
        return self.stack.pop() if self.stack else None

    def take(self, count: int) -> list[Expression]:
        """The topmost slots, lowest first."""
        return [self.pop() for _ in range(count)][::-1]

    def peek(self, depth: int) -> Expression:
        return self.stack[-depth] if len(self.stack) >= depth else None

    def exchange(self, depth: int) -> None:
        self.stack[:0] = [None] * (depth - len(self.stack))
        self.stack[-1], self.stack[-depth] = self.stack[-depth], self.stack[-1]

    def rotate(self, depth: int) -> None:
        """The top goes `depth` - 1 slots down."""
        slots = self.take(depth)
        self.stack += [slots[-1], *slots[:-1]]

    def site(self, kind: str, expression: Expression, detail: Any = None) -> Site:
        site = Site(kind, expression, detail)
        self.found.setdefault(self.offset, []).append(site)
        return site

    def read(self, expression: Expression) -> None:
        """A chain that is loaded here; nothing where its beginning isn't known."""
        if expression[0] in ("attribute", "item") and expression[1] is None:
            return self.push(None)
        self.reads[id(expression)] = self.site("read", expression)
        self.push(expression)

    def part(self, expression: Expression) -> None:
        """Only one item of what was read there is looked at or set."""
        if id(expression) in self.reads:
            self.reads[id(expression)].whole = False

    # ---------------------------------------------------------------- instructions
    def step(self, instruction: dis.Instruction) -> None:
        name, value = instruction.opname, instruction.argval
        if name in _SAME:
            return
        if name == "KW_NAMES":
            self.keywords = len(self.code.co_consts[instruction.arg or 0])
            return
        if name in _UNEVEN or (name in _SIGNED and instruction.argrepr.replace("bool", "").strip("()") in _UNEVEN):
            self.site("uneven", self.peek(2), self.peek(1))
        if name in _TRUTHS or name.startswith(("POP_JUMP_", "JUMP_IF_")):
            self.site("truth", self.peek(1))
        for group in (self.loads, self.stores, self.shuffles, self.calls):
            if group(name, value, instruction):
                return
        self.others(instruction)

    def loads(self, name: str, value: Any, instruction: dis.Instruction) -> bool:
        if name in _LOCALS:
            self.push(("local", value))
        elif name in _PAIRS:
            self.stack += [("local", value[0]), ("local", value[1])]
        elif name in _CELLS:
            self.read(("cell", value)) if value in self.code.co_freevars else self.push(("local", value))
        elif name == "LOAD_GLOBAL":
            null = sys.version_info >= (3, 11) and (instruction.arg or 0) & 1
            if null and sys.version_info < (3, 13):
                self.push(NULL)
            self.read(("global", value))
            if null and sys.version_info >= (3, 13):
                self.push(NULL)
        elif name in ("LOAD_CONST", "LOAD_SMALL_INT"):
            self.push(("constant", value))
        elif name == "PUSH_NULL":
            self.push(NULL)
        elif name in ("LOAD_ATTR", "LOAD_METHOD"):
            method = name == "LOAD_METHOD" or (sys.version_info >= (3, 12) and (instruction.arg or 0) & 1)
            self.read(("attribute", self.pop(), value))
            if method:
                self.push(NULL)
        elif name == "BINARY_SUBSCR" or (name == "BINARY_OP" and instruction.argrepr == "[]"):
            of, key = self.take(2)
            if of is not None and (key is None or key[0] != "constant"):
                self.site("pick", of, key)
            if key is None and of is not None:
                self.push(("item", of, None))
            else:
                self.part(of)
                self.read(("item", of, key))
        else:
            return False
        return True

    def stores(self, name: str, value: Any, instruction: dis.Instruction) -> bool:
        if name in ("STORE_FAST", "STORE_FAST_LOAD_FAST", "STORE_FAST_STORE_FAST", "STORE_FAST_MAYBE_NULL"):
            names: list[str] = list(value) if isinstance(value, tuple) else [value]
            loaded = name == "STORE_FAST_LOAD_FAST"
            for local in names[:1] if loaded else names:
                self.keep(local)
            if loaded:
                self.push(("local", names[-1]))
        elif name in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            self.site("rebind", ("global", value))
            self.take(name == "STORE_GLOBAL")
        elif name in ("STORE_DEREF", "DELETE_DEREF"):
            if value in self.code.co_freevars:
                self.site("rebind", ("cell", value))
                self.take(name == "STORE_DEREF")
            elif name == "STORE_DEREF":
                self.keep(value)
        elif name in ("STORE_ATTR", "DELETE_ATTR"):
            self.site("store", self.pop(), ("attribute", value, name[0] == "D"))
            self.take(name == "STORE_ATTR")
        elif name in ("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE"):
            of, *key = self.take(3 if name == "STORE_SLICE" else 2)
            self.part(of)
            self.site("store", of, ("item", key[0] if len(key) == 1 else None, name[0] == "D"))
            self.take(name != "DELETE_SUBSCR")
        elif name.startswith("INPLACE_") or (name == "BINARY_OP" and instruction.argrepr.endswith("=")):
            left, _ = self.take(2)
            if left is not None and left[0] in ("local", "global", "cell"):
                self.site("inplace", left)
            self.push(None)
        else:
            return False
        return True

    def keep(self, local: str) -> None:
        """A local gets the top of the stack."""
        expression = self.pop()
        if expression is not None and expression[0] in ("new", "call"):
            self.site("keep", expression, local)

    def shuffles(self, name: str, value: Any, instruction: dis.Instruction) -> bool:
        depth = instruction.arg or 0
        if name == "COPY":
            self.push(self.peek(depth))
        elif name == "SWAP":
            self.exchange(depth)
        elif name == "DUP_TOP":
            self.push(self.peek(1))
        elif name == "DUP_TOP_TWO":
            self.stack += [self.peek(2), self.peek(1)]
        elif name in ("ROT_TWO", "ROT_THREE", "ROT_FOUR", "ROT_N"):
            self.rotate({"ROT_TWO": 2, "ROT_THREE": 3, "ROT_FOUR": 4}.get(name, depth))
        elif name in _POPS or (name == "END_FOR" and sys.version_info >= (3, 13)):
            self.pop()
        elif name == "END_FOR":
            self.take(2)
        else:
            return False
        return True

    def calls(self, name: str, value: Any, instruction: dis.Instruction) -> bool:
        count = instruction.arg or 0
        if name == "CALL_FUNCTION":
            self.call(count, 0, 1)
        elif name in ("CALL_METHOD", "CALL"):
            self.call(count, self.keywords, 2)
        elif name in ("CALL_KW", "CALL_FUNCTION_KW"):
            names = self.pop()
            keywords = len(names[1]) if names and names[0] == "constant" else count
            self.call(count, keywords, 2 if name == "CALL_KW" else 1)
        elif name in ("GET_ITER", "GET_YIELD_FROM_ITER"):
            self.site("iterate", self.pop())
            self.push(None)
        elif name in _BUILDS:
            self.take(count * (1 + (name == "BUILD_MAP")) + (name == "BUILD_CONST_KEY_MAP"))
            self.push(("new", _BUILDS[name]))
        elif name in _FILLS:
            self.take(_FILLS[name])
        else:
            return False
        return True

    def call(self, count: int, keywords: int, slots: int) -> None:
        """A call of `count` arguments, the last of them by keyword; the callee is in one of `slots` slots."""
        self.keywords = 0
        arguments = self.take(count)
        callees = [e for e in self.take(slots) if e is not NULL]
        callee = callees[0] if len(callees) == 1 else None
        expression = ("call", callee, tuple(arguments[: count - keywords]))
        self.site("call", expression)
        self.push(expression)

    def others(self, instruction: dis.Instruction) -> None:
        """Any other instruction: the slots that it may have put there are not known."""
        height = dis.stack_effect(instruction.opcode, instruction.arg, jump=False)
        self.take(-height)
        self.pop()
        self.stack += [None] * (1 + max(height, 0))
