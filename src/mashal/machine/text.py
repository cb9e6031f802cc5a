"""LLVM IR as text: a small builder of values, loops, branches and vectors.

A `Module` holds functions and declarations; a `Function` is written from top to bottom; a `Value` is an SSA
name with its type, and has Python's operators. Loops and branches take callbacks, and what the callbacks
return meets in phi nodes. Text, not objects: it is several times cheaper to build than an IR object model,
and says everything LLVM can (atomic orderings, masked intrinsics, splat constants, address spaces).

Types are written as LLVM writes them: "i64", "float", "ptr", "<16 x float>". Nothing here knows the processor
or a tensor. The parser checks the types (`machine.jit`), so a mistake here is an error there, with the line.

    >>> m = Module()
    >>> f = m.function("double", "i64", [("i64", "n")])
    >>> f.end(f.parameters[0] * 2)
    >>> print(m.text())
    define i64 @double(i64 %n) nounwind {
    entry:
      %v.0 = mul i64 %n, 2
      ret i64 %v.0
    }
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any

SIZES = {"i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "half": 2, "bfloat": 2, "float": 4, "double": 8, "ptr": 8}
FLOATS = ("half", "bfloat", "float", "double")


# ---------------------------------------------------------------- types
def element(type: str) -> str:
    """The scalar type of a vector type; a scalar type itself."""
    return type[type.index(" x ") + 3 : -1] if type[0] == "<" else type


def lanes(type: str) -> int:
    """How many lanes a vector type has; 0 for a scalar type."""
    return int(type[1 : type.index(" x ")]) if type[0] == "<" else 0


def vector(n: int, type: str) -> str:
    """The type of n lanes of a scalar type; the scalar type itself for n = 0."""
    return f"<{n} x {type}>" if n else type


def mangled(type: str) -> str:
    """A type as it appears in the names of overloaded intrinsics: "<4 x float>" is "v4f32"."""
    e = element(type)
    short = {"float": "f32", "double": "f64", "half": "f16", "bfloat": "bf16", "ptr": "p0"}.get(e, e)
    return f"v{lanes(type)}{short}" if lanes(type) else short


def spelled(type: str, x: float) -> str:
    """A Python number as a constant of a scalar type; floats by their exact bits."""
    if type == "double":
        return f"0x{struct.unpack('<Q', struct.pack('<d', x))[0]:016X}"
    if type == "float":
        return spelled("double", _as_float32(x))
    if type == "half":
        return f"0xH{struct.unpack('<H', struct.pack('<e', x))[0]:04X}"
    if type == "bfloat":
        bits = struct.unpack("<I", struct.pack("<f", _as_float32(x)))[0]
        return f"0xR{(bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 & 0xFFFF if x == x else 0x7FC0:04X}"
    if type == "i1":
        return "true" if x else "false"
    return "null" if type == "ptr" else str(int(x))


def _as_float32(x: float) -> float:
    try:
        return struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return float("inf") if x > 0 else float("-inf")


# ---------------------------------------------------------------- values
class Value:
    """An SSA value: the function it belongs to, how it is spelled, its type.

    Operators choose the integer or the floating instruction by type; integer `/`, `//`, `%`, `>>` and
    `compare` are signed. A Python number on the other side becomes a constant of this value's type.
    """

    __slots__ = ("function", "spelling", "type")

    def __init__(self, function: Function, spelling: str, type: str):
        self.function, self.spelling, self.type = function, spelling, type

    def __str__(self) -> str:
        return f"{self.type} {self.spelling}"

    def _binary(self, integer: str, floating: str, other: Any, swap: bool = False) -> Value:
        other = self.function.value(other, self.type)
        a, b = (other, self) if swap else (self, other)
        name = floating if element(self.type) in FLOATS else integer
        return self.function.op(self.type, f"{name} {self.type} {a.spelling}, {b.spelling}")

    def __add__(self, other):
        return self._binary("add", "fadd", other)

    def __sub__(self, other):
        return self._binary("sub", "fsub", other)

    def __mul__(self, other):
        return self._binary("mul", "fmul", other)

    def __truediv__(self, other):
        return self._binary("sdiv", "fdiv", other)

    def __radd__(self, other):
        return self._binary("add", "fadd", other, swap=True)

    def __rsub__(self, other):
        return self._binary("sub", "fsub", other, swap=True)

    def __rmul__(self, other):
        return self._binary("mul", "fmul", other, swap=True)

    def __rtruediv__(self, other):
        return self._binary("sdiv", "fdiv", other, swap=True)

    def __floordiv__(self, other):
        return self._binary("sdiv", "fdiv", other)

    def __mod__(self, other):
        return self._binary("srem", "frem", other)

    def __and__(self, other):
        return self._binary("and", "and", other)

    def __or__(self, other):
        return self._binary("or", "or", other)

    def __xor__(self, other):
        return self._binary("xor", "xor", other)

    def __lshift__(self, other):
        return self._binary("shl", "shl", other)

    def __rshift__(self, other):
        return self._binary("ashr", "ashr", other)

    def __neg__(self) -> Value:
        if element(self.type) in FLOATS:
            return self.function.op(self.type, f"fneg {self.type} {self.spelling}")
        return 0 - self

    def shift_right_unsigned(self, other) -> Value:
        return self._binary("lshr", "lshr", other)

    def compare(self, predicate: str, other) -> Value:
        """An i1 (or a vector of them). Predicates: "eq ne slt sle sgt sge ult …", "oeq une olt uno …"."""
        other = self.function.value(other, self.type)
        name = "fcmp" if element(self.type) in FLOATS else "icmp"
        result = vector(lanes(self.type), "i1")
        return self.function.op(result, f"{name} {predicate} {self.type} {self.spelling}, {other.spelling}")

    def bitcast(self, scalar: str) -> Value:
        """The same bits as lanes of another scalar type of the same size."""
        return self.function.convert("bitcast", self, scalar)


# ---------------------------------------------------------------- functions
class Function:
    """One function being written; `parameters` are its arguments as values."""

    def __init__(self, module: Module, name: str, result: str, parameters, attributes: str, linkage: str):
        self.module, self.name, self.result = module, name, result
        self.lines: list[str] = []
        self._stack: list[str] = []
        self.label = "entry"
        self._numbers = count()
        self.parameters = [Value(self, f"%{n}", _bare(t)) for t, n in parameters]
        heads = ", ".join(f"{t} %{n}" for t, n in parameters)
        self._head = f"define {linkage + ' ' if linkage else ''}{result} @{name}({heads}) {attributes} {{\nentry:"

    # values
    def op(self, type: str, text: str) -> Value:
        """A new value of this type, computed by the instruction `text`."""
        v = Value(self, f"%v.{next(self._numbers)}", type)
        self.lines.append(f"  {v.spelling} = {text}")
        return v

    def do(self, text: str) -> None:
        """An instruction without a value."""
        self.lines.append("  " + text)

    def value(self, x: Any, type: str) -> Value:
        """x as a value of `type`: a constant of a number, a splat of a scalar, or x itself."""
        if not isinstance(x, Value):
            return self.constant(type, x)
        return self.splat(x, lanes(type)) if lanes(type) and not lanes(x.type) else x

    def constant(self, type: str, x) -> Value:
        """A number, or for a vector a list of numbers (or one number for all lanes), as a constant."""
        if not lanes(type):
            return Value(self, spelled(type, x), type)
        e = element(type)
        if isinstance(x, (list, tuple, range)):
            return Value(self, "<" + ", ".join(f"{e} {spelled(e, one)}" for one in x) + ">", type)
        if x == 0 and str(x)[0] != "-":
            return Value(self, "zeroinitializer", type)
        return Value(self, f"splat ({e} {spelled(e, x)})", type)

    def i64(self, x) -> Value:
        return self.value(x, "i64")

    def splat(self, x: Value, n: int) -> Value:
        """A scalar in all of n lanes."""
        type = vector(n, x.type)
        if not x.spelling.startswith("%"):
            return Value(self, f"splat ({x.type} {x.spelling})", type)
        first = self.op(type, f"insertelement {type} poison, {x.type} {x.spelling}, i32 0")
        zeros = f"<{n} x i32> zeroinitializer"
        return self.op(type, f"shufflevector {type} {first.spelling}, {type} poison, {zeros}")

    def extract(self, v: Value, lane: int) -> Value:
        return self.op(element(v.type), f"extractelement {v.type} {v.spelling}, i32 {lane}")

    def shuffle(self, a: Value, b: Value, lanes_of_both: Iterable[int]) -> Value:
        picks = list(lanes_of_both)
        mask = ", ".join(f"i32 {i}" for i in picks)
        result = vector(len(picks), element(a.type))
        return self.op(
            result, f"shufflevector {a.type} {a.spelling}, {b.type} {b.spelling}, <{len(picks)} x i32> <{mask}>"
        )

    def convert(self, instruction: str, x: Value, type: str) -> Value:
        """A conversion instruction (sitofp, fpext, zext, bitcast …) to a type, or to lanes of a scalar type."""
        type = vector(lanes(x.type), type) if lanes(x.type) and not lanes(type) else type
        return self.op(type, f"{instruction} {x.type} {x.spelling} to {type}")

    def select(self, condition: Value, a, b) -> Value:
        if not isinstance(a, Value):
            a = self.value(a, b.type)
        b = self.value(b, a.type)
        a = self.value(a, b.type)
        condition = self.value(condition, vector(lanes(a.type), "i1")) if lanes(a.type) else condition
        return self.op(
            a.type, f"select {condition.type} {condition.spelling}, {a.type} {a.spelling}, {b.type} {b.spelling}"
        )

    # memory
    def at(self, pointer: Value, i, type: str = "float") -> Value:
        """The address of element i behind a pointer to elements of `type`."""
        return self.op("ptr", f"getelementptr {type}, ptr {pointer.spelling}, i64 {self.i64(i).spelling}")

    def load(
        self, pointer: Value, i=None, type: str = "float", mask: Value | None = None, align: int = 0, other: Any = 0
    ) -> Value:
        """The value of `type` at a pointer, or at its i-th element; masked-off lanes are `other`."""
        if i is not None:
            pointer = self.at(pointer, i, element(type))
        align = align or SIZES[element(type)]
        if mask is None:
            return self.op(type, f"load {type}, ptr {pointer.spelling}, align {align}")
        name = f"llvm.masked.load.{mangled(type)}.p0"
        return self.call(type, name, pointer, Value(self, str(align), "i32"), mask, self.value(other, type))

    def store(self, v: Value, pointer: Value, i=None, mask: Value | None = None, align: int = 0) -> None:
        if i is not None:
            pointer = self.at(pointer, i, element(v.type))
        align = align or SIZES[element(v.type)]
        if mask is None:
            self.do(f"store {v.type} {v.spelling}, ptr {pointer.spelling}, align {align}")
        else:
            name = f"llvm.masked.store.{mangled(v.type)}.p0"
            self.call("void", name, v, pointer, Value(self, str(align), "i32"), mask)

    def addresses(self, pointer: Value, offsets: Value, type: str = "float") -> Value:
        """A vector of pointers: element offsets[lane] behind `pointer`, lane by lane."""
        result = vector(lanes(offsets.type), "ptr")
        return self.op(result, f"getelementptr {type}, ptr {pointer.spelling}, {offsets.type} {offsets.spelling}")

    def gather(self, pointers: Value, type: str, mask: Value | None = None, other=0) -> Value:
        """The values behind a vector of pointers, as a vector type; masked-off lanes are `other`."""
        n = lanes(type)
        mask = self.constant(vector(n, "i1"), [1] * n) if mask is None else mask
        align = Value(self, str(SIZES[element(type)]), "i32")
        name = f"llvm.masked.gather.{mangled(type)}.v{n}p0"
        return self.call(type, name, pointers, align, mask, self.value(other, type))

    def scatter(self, v: Value, pointers: Value, mask: Value | None = None) -> None:
        n = lanes(v.type)
        mask = self.constant(vector(n, "i1"), [1] * n) if mask is None else mask
        align = Value(self, str(SIZES[element(v.type)]), "i32")
        self.call("void", f"llvm.masked.scatter.{mangled(v.type)}.v{n}p0", v, pointers, align, mask)

    def word(self, pointer: Value, i, type: str = "i64") -> Value:
        """The i-th 8-byte word behind a pointer (argument blocks are arrays of 8-byte words)."""
        return self.op(type, f"load {type}, ptr {self.at(pointer, i, 'i64').spelling}, align 8")

    def set_word(self, pointer: Value, i, v) -> None:
        v = self.i64(v) if not isinstance(v, Value) else v
        self.do(f"store {v.type} {v.spelling}, ptr {self.at(pointer, i, 'i64').spelling}, align 8")

    def stack(self, bytes: int, align: int = 64) -> Value:
        """Memory on the stack that lives until the function returns; allocated once, at its entry."""
        v = Value(self, f"%v.{next(self._numbers)}", "ptr")
        self._stack.append(f"  {v.spelling} = alloca [{bytes} x i8], align {align}")
        return v

    # calls
    def call(self, result: str, name: str, *arguments) -> Any:
        """Calls a function by name (declared at need) or, given a name like %v.1, through a pointer.

        Returns its value, or None if `result` is "void"."""
        values = [a if isinstance(a, Value) else self.i64(a) for a in arguments]
        if not name.startswith("%"):
            self.module.declare(result, name, [v.type for v in values])
            name = "@" + name
        text = f"call {result} {name}({', '.join(map(str, values))})"
        if result == "void":
            return self.do(text)
        return self.op(result, text)

    def math(self, name: str, *arguments) -> Value:
        """An overloaded LLVM intrinsic whose operands share one type: fma, fabs, sqrt, floor, smax …"""
        type = next(a.type for a in arguments if isinstance(a, Value) and lanes(a.type) or isinstance(a, Value))
        type = next((a.type for a in arguments if isinstance(a, Value) and lanes(a.type)), type)
        return self.call(type, f"llvm.{name}.{mangled(type)}", *[self.value(a, type) for a in arguments])

    def fma(self, a, b, c) -> Value:
        return self.math("fma", a, b, c)

    def min(self, a, b) -> Value:
        return self.call("i64", "llvm.smin.i64", self.i64(a), self.i64(b))

    def max(self, a, b) -> Value:
        return self.call("i64", "llvm.smax.i64", self.i64(a), self.i64(b))

    def reduce(self, name: str, v: Value) -> Value:
        """All lanes joined into a scalar: "fadd", "fmul", "add", "and", "smax", "fmaximum" …"""
        e, intrinsic = element(v.type), f"llvm.vector.reduce.{name}.{mangled(v.type)}"
        if name not in ("fadd", "fmul"):
            return self.call(e, intrinsic, v)
        self.module.declare(e, intrinsic, [e, v.type])
        start = self.constant(e, -0.0 if name == "fadd" else 1.0)
        return self.op(e, f"call reassoc {e} @{intrinsic}({start}, {v})")

    def sum_in_order(self, start: Value, v: Value) -> Value:
        """start plus each lane, one after the other."""
        e, intrinsic = element(v.type), f"llvm.vector.reduce.fadd.{mangled(v.type)}"
        self.module.declare(e, intrinsic, [e, v.type])
        return self.op(e, f"call {e} @{intrinsic}({start}, {v})")

    def first(self, n, width: int) -> Value:
        """A mask of the first n of `width` lanes (all of them if n is larger)."""
        small = self.convert("trunc", self.min(n, width), "i8")
        return self.constant(vector(width, "i8"), range(width)).compare("slt", self.splat(small, width))

    # control
    def block(self, name: str) -> None:
        """Starts the basic block `name`; the one before must have ended with a branch or a return."""
        self.label = name
        self.lines.append(f"{name}:")

    def new_label(self) -> str:
        return f"b.{next(self._numbers)}"

    def branch(self, label: str) -> None:
        self.do(f"br label %{label}")

    def branch_if(self, condition: Value, yes: str, no: str) -> None:
        self.do(f"br i1 {condition.spelling}, label %{yes}, label %{no}")

    def loop(self, start, stop, step, body: Callable[..., Any], initial: Sequence[Value] = ()) -> Any:
        """for i in range(start, stop, step): carried = body(i, *carried); returns the last carried values.

        The body returns as many values as it carries: None for none, a value for one, a list for several.
        """
        start, stop, initial = self.i64(start), self.i64(stop), list(initial)
        before, head, after = self.label, self.new_label(), self.new_label()
        self.branch_if(start.compare("slt", stop), head, after)
        self.block(head)
        i = Value(self, f"%i.{next(self._numbers)}", "i64")
        carried = [Value(self, f"%p.{next(self._numbers)}", v.type) for v in initial]
        place = len(self.lines)
        results = _listed(body(i, *carried))
        assert len(results) == len(carried), "a loop body returns as many values as it carries"
        following = i + step
        latch = self.label
        self.branch_if(following.compare("slt", stop), head, after)
        self.lines[place:place] = [
            f"  {v.spelling} = phi {v.type} [{a.spelling}, %{before}], [{b.spelling}, %{latch}]"
            for v, a, b in zip([i, *carried], [start, *initial], [following, *results])
        ]
        self.block(after)
        return _single(
            self.op(a.type, f"phi {a.type} [{a.spelling}, %{before}], [{b.spelling}, %{latch}]")
            for a, b in zip(initial, results)
        )

    def if_(self, condition: Value, then: Callable[[], Any] | None, otherwise: Callable[[], Any] | None = None) -> Any:
        """if condition: then() else: otherwise(); the values they return meet."""
        yes, no, after = self.new_label(), self.new_label(), self.new_label()
        self.branch_if(condition, yes, no)
        arms = []
        for label, arm in ((yes, then), (no, otherwise)):
            self.block(label)
            arms.append((_listed(arm() if arm else None), self.label))
            self.branch(after)
        self.block(after)
        (a, from_a), (b, from_b) = arms
        return _single(
            self.op(x.type, f"phi {x.type} [{x.spelling}, %{from_a}], [{y.spelling}, %{from_b}]") for x, y in zip(a, b)
        )

    def repeat(self, body: Callable[..., Any], initial: Sequence[Value]) -> Any:
        """do condition, *carried = body(*carried) while condition; returns the last carried values."""
        before, head, after = self.label, self.new_label(), self.new_label()
        self.branch(head)
        self.block(head)
        carried = [Value(self, f"%p.{next(self._numbers)}", v.type) for v in initial]
        place = len(self.lines)
        condition, *results = _listed(body(*carried))
        assert len(results) == len(carried), "a repeated body returns a condition and as many values as it carries"
        latch = self.label
        self.branch_if(condition, head, after)
        self.lines[place:place] = [
            f"  {v.spelling} = phi {v.type} [{a.spelling}, %{before}], [{b.spelling}, %{latch}]"
            for v, a, b in zip(carried, initial, results)
        ]
        self.block(after)
        return _single(results)

    def return_if(self, condition: Value, value: Value) -> None:
        """if condition: return value"""
        yes, no = self.new_label(), self.new_label()
        self.branch_if(condition, yes, no)
        self.block(yes)
        self.do(f"ret {value}")
        self.block(no)

    def end(self, value: Value | None = None) -> None:
        self.do("ret void" if value is None else f"ret {value}")

    def text(self) -> str:
        return "\n".join([self._head, *self._stack, *self.lines, "}"])


def _bare(type: str) -> str:
    """A parameter's type without its attributes ("ptr noalias" is "ptr")."""
    return type[: type.index(">") + 1] if type[0] == "<" else type.split()[0]


def _listed(returned) -> list[Value]:
    if returned is None:
        return []
    return [returned] if isinstance(returned, Value) else list(returned)


def _single(values: Iterable[Value]) -> Any:
    values = list(values)
    return values[0] if len(values) == 1 else values


# ---------------------------------------------------------------- modules
class Module:
    """One IR module: functions, what they call, and global variables."""

    def __init__(self):
        self.functions: list[Function] = []
        self.globals: dict[str, str] = {}
        self._declared: dict[str, str] = {}

    def function(
        self, name: str, result: str = "void", parameters=(), attributes: str = "nounwind", linkage: str = ""
    ) -> Function:
        """A new function to write. parameters: (type, name) pairs; linkage "internal" hides it."""
        f = Function(self, name, result, list(parameters), attributes, linkage)
        self.functions.append(f)
        return f

    def declare(self, result: str, name: str, types: Iterable[str]) -> None:
        if name not in self._declared:
            self._declared[name] = f"declare {result} @{name}({', '.join(types)})"

    def declare_variadic(self, result: str, name: str, types: Iterable[str]) -> None:
        self._declared.setdefault(name, f"declare {result} @{name}({', '.join(types)}, ...)")

    def add_global(self, name: str, definition: str) -> Value:
        """@name = definition, once; returns its address."""
        self.globals.setdefault(name, f"@{name} = {definition}")
        return Value(None, f"@{name}", "ptr")  # type: ignore[arg-type]

    def text(self) -> str:
        own = {f.name for f in self.functions}
        declared = [line for name, line in self._declared.items() if name not in own]
        return "\n".join([*self.globals.values(), *declared, *(f.text() for f in self.functions)])
