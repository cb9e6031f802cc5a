"""Numbers first: what a function computes from numbers among its arguments alone is computed by Python, and the rest is compiled.

    def f(x, t):                              def f(x, t):
        scale = math.exp(-t)                      scale = math.exp(-t)
        return x * scale, t / 10     becomes      _number_0 = t / 10
                                                  return rest(x, scale), _number_0

A replay of `rest` takes floats that change (capture.varying), whatever they were computed by. Computed first are expressions of
numbers, arithmetic, comparisons, `math`, min, max, abs, round, int, float, and functions of the program that are nothing but
these: such have no effect, so nobody sees that they come earlier. Where one raises, the call is made as it is written.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import math
from collections import Counter
from collections.abc import Callable, Sequence
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

from mashal.capture.callees import is_compiled
from mashal.capture.guards import same
from mashal.capture.names import uses
from mashal.capture.recording import Recording
from mashal.capture.regions import is_call_of_module, with_forward
from mashal.capture.source import Unsplit, compiled, defined, definition_of, made_of, name_of, without_defaults
from mashal.capture.structure import flatten

__all__ = ["led", "numbers_first"]

_PLAIN = (int, float)
_BUILTINS = {name: getattr(builtins, name) for name in ("min", "max", "abs", "round", "int", "float", "pow")}
_SCOPES = (
    ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
)  # fmt: skip
_DEEPEST = 8  # functions that call one another
_REST, _WRITTEN, _ANSWER = "_rest", "_as_written", "_answer"


def led(
    function: Any,
    recordings: Sequence[Recording],
    call: tuple[tuple, dict[str, Any], Any, list[Any]],
    tried: set[tuple[int, ...]],
    compile_rest: Callable[[FunctionType, str], Any],
) -> Any:
    """If a call differs from recorded ones in numbers only: what computes first what follows from these, or None.

    call: its arguments, positional and by name, their structure and their leaves. tried: for which leaves that was asked before.
    """
    args, options, structure, leaves = call
    for other in recordings:
        if other.structure != structure or not other.takes(leaves):
            continue
        differing = tuple(i for i, x in other.fixed if not same(leaves[i], x))
        if not differing or differing in tried or any(type(leaves[i]) not in _PLAIN for i in differing):
            continue
        tried.add(differing)
        names, arguments = _names_of_leaves(function, args, options)
        if all(names.get(i) in arguments for i in differing):
            made = numbers_first(function, arguments, {names[i] for i in differing}, compile_rest)
            if made is not None:
                return made
    return None


def _names_of_leaves(fn: Any, args: tuple, options: dict[str, Any]) -> tuple[dict[int, str], dict[str, Any]]:
    """The parameters of those leaves of a call that are arguments by themselves, and all arguments by their names; {} for none."""
    try:
        bound = inspect.signature(fn.__self__.forward if is_call_of_module(fn) else fn).bind(*args, **options)
    except (TypeError, ValueError):
        return {}, {}
    by_place = list(bound.signature.parameters)
    names: dict[int, str] = {}
    leaves: list[Any] = []
    for name, x in (*zip(by_place, args), *options.items()):
        if flatten(x, leaves) is None:
            names[len(leaves) - 1] = name
    bound.apply_defaults()
    return names, dict(bound.arguments)


def numbers_first(
    function: Any, arguments: dict[str, Any], changing: set[str], compile_rest: Callable[[FunctionType, str], Any]
) -> Any:
    """A function with the same meaning that computes numbers first; None if there are none to compute.

    arguments: those of a call by their names; changing: the names of numbers among them that are others from call to call.
    """
    if is_call_of_module(function) and not is_compiled(function.__self__.forward):
        forward = numbers_first(function.__self__.forward, arguments, changing, compile_rest)
        return forward and with_forward(function.__self__, forward)
    if isinstance(function, MethodType):
        owner, plain = function.__self__, function.__func__
        first = plain.__code__.co_varnames[:1] if isinstance(plain, FunctionType) else ()
        made = numbers_first(plain, dict.fromkeys(first, owner) | arguments, changing, compile_rest)
        return made and MethodType(made, owner)
    try:
        definition = definition_of(function)
    except Unsplit:
        return None
    if definition.args.vararg or definition.args.kwarg:
        return None
    stored = Counter(x.id for x in ast.walk(definition) if isinstance(x, ast.Name) and not isinstance(x.ctx, ast.Load))
    known = {name for name, x in arguments.items() if type(x) in _PLAIN and not stored[name]}
    if not changing <= known or any(isinstance(x, (ast.Global, ast.Nonlocal)) for x in ast.walk(definition)):
        return None
    pure = _Pure(function, {*arguments, *stored})
    leading = _Leading(pure, known, set(changing), stored)
    body = [left for statement in definition.body if (left := leading.statement(statement)) is not None]
    if not body:
        return None
    body, answer = _answered(body, leading.changing)
    if not leading.numbers and isinstance(answer, ast.Name):
        return None
    return _made(function, definition, leading, body, answer, compile_rest)


# ---------------------------------------------------------------- what is nothing but numbers
class _Pure:
    """Which expressions of a function are numbers computed from numbers. locals_: names that are no globals."""

    def __init__(self, function: FunctionType, locals_: set[str], depth: int = 0) -> None:
        self.globals, self.locals, self.depth = function.__globals__, locals_, depth
        self.cells = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))

    def is_number(self, node: ast.AST, known: set[str]) -> bool:
        """known: the variables that are numbers."""
        every = lambda *nodes: all(self.is_number(x, known) for x in nodes)
        match node:
            case ast.Constant(value=value):
                return isinstance(value, _PLAIN)
            case ast.Name(id=name):
                return name in known or (name not in self.locals and type(self.outside(name)) in _PLAIN)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                return self.is_math(name) and isinstance(getattr(math, attribute, None), float)
            case ast.UnaryOp(operand=x):
                return every(x)
            case ast.BinOp(left=left, right=right) if not isinstance(node.op, ast.MatMult):
                return every(left, right)
            case ast.BoolOp(values=values):
                return every(*values)
            case ast.Compare(left=left, comparators=others):
                return every(left, *others) and not any(isinstance(op, (ast.In, ast.NotIn)) for op in node.ops)
            case ast.IfExp(test=test, body=body, orelse=other):
                return every(test, body, other)
            case ast.Call(func=callee, args=arguments, keywords=[]):
                return every(*arguments) and self.is_pure_function(callee)
        return False

    def is_math(self, name: str) -> bool:
        return name not in self.locals and self.outside(name) is math

    def outside(self, name: str) -> Any:
        """What a name means that is no variable of the function."""
        if name in self.cells:
            try:
                return self.cells[name].cell_contents
            except ValueError:
                return None
        return self.globals.get(name, _BUILTINS.get(name))

    def is_pure_function(self, callee: ast.expr) -> bool:
        match callee:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                return self.is_math(name) and callable(getattr(math, attribute, None))
            case ast.Name(id=name) if name not in self.locals:
                function = self.outside(name)
                if isinstance(function, FunctionType):
                    return self.depth < _DEEPEST and _is_pure(function, self.depth + 1)
                known = _BUILTINS.get(name) is function or getattr(math, name, None) is function
                return callable(function) and not isinstance(function, ModuleType) and known
        return False


def _is_pure(function: FunctionType, depth: int) -> bool:
    """Whether a function of the program does nothing but give a number that follows from numbers."""
    try:
        definition = definition_of(function)
    except Unsplit:
        return False
    arguments = definition.args
    if arguments.vararg or arguments.kwarg or definition.decorator_list:
        return False
    names = {child.arg for child in ast.walk(arguments) if isinstance(child, ast.arg)}
    numbers = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    stored = {x.id for x in ast.walk(definition) if isinstance(x, ast.Name) and not isinstance(x.ctx, ast.Load)}
    pure = _Pure(function, names | stored, depth)
    return all(type(x) in _PLAIN for x in numbers) and _only_counts(definition.body, pure, set(names))


def _only_counts(statements: list[ast.stmt], pure: _Pure, known: set[str]) -> bool:
    """Whether statements only compute numbers; `known` gets the variables that they bind."""
    for statement in statements:
        match statement:
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                right = True
            case ast.Return(value=value):
                right = value is not None and pure.is_number(value, known)
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AugAssign(target=ast.Name(id=name), value=value)
            ):
                right = pure.is_number(value, known) and (isinstance(statement, ast.Assign) or name in known)
                known.add(name)
            case ast.If(test=test, body=body, orelse=other):
                right = pure.is_number(test, known) and all(_only_counts(part, pure, known) for part in (body, other))
            case _:
                right = False
        if not right:
            return False
    return True


# ---------------------------------------------------------------- taking them out
class _Leading(ast.NodeTransformer):
    """Takes numbers that change out of statements. numbers: (variable, expression) in their order."""

    def __init__(self, pure: _Pure, known: set[str], changing: set[str], stored: Counter[str]) -> None:
        self.pure, self.known, self.changing, self.stored = pure, known, changing, stored
        self.numbers: list[tuple[str, ast.expr]] = []
        self._names: dict[str, str] = {}

    def statement(self, statement: ast.stmt) -> ast.stmt | None:
        """What is left of a statement of the function's body; None if that is nothing."""
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if self.stored[name] == 1 and self._leads(value):
                self.numbers.append((name, value))
                self.known.add(name)
                self.changing.add(name)
                return None
        return self.visit(statement)

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, _SCOPES):
            return node
        if isinstance(node, ast.expr) and not isinstance(node, ast.Name) and self._leads(node):
            return self._named(node)
        return self.generic_visit(node)

    def _leads(self, node: ast.expr) -> bool:
        return bool(uses(node) & self.changing) and self.pure.is_number(node, self.known)

    def _named(self, node: ast.expr) -> ast.expr:
        text = ast.dump(node)
        if text not in self._names:
            name = self._names[text] = f"_number_{len(self._names)}"
            self.numbers.append((name, node))
            self.known.add(name)
            self.changing.add(name)
        return ast.copy_location(name_of(self._names[text]), node)


# ---------------------------------------------------------------- the function made of both
def _made(
    function: FunctionType, definition: ast.FunctionDef, leading: _Leading, body: list[ast.stmt], answer: ast.expr,
    compile_rest: Callable[[FunctionType, str], Any],
) -> FunctionType:  # fmt: skip
    code, arguments = function.__code__, definition.args
    given = [arg.arg for arg in (*arguments.posonlyargs, *arguments.args)]
    by_name = [arg.arg for arg in arguments.kwonlyargs]
    used = set().union(*map(uses, body))
    inputs = [name for name in (*given, *by_name, *(name for name, _ in leading.numbers)) if name in used]
    rest = defined(_REST, _arguments(inputs), body, definition)
    assigned: list[ast.stmt] = [
        ast.copy_location(ast.Assign(targets=[name_of(name, ast.Store())], value=value), value)
        for name, value in leading.numbers
    ]
    written: ast.stmt = ast.Return(value=_call(_WRITTEN, given, by_name))
    handler = ast.ExceptHandler(type=name_of("Exception"), name=None, body=[written])
    first: list[ast.stmt] = [ast.Try(body=assigned, handlers=[handler], orelse=[], finalbody=[])] if assigned else []
    called: ast.stmt = ast.Assign(targets=[name_of(_ANSWER, ast.Store())], value=_call(_REST, inputs))
    last: ast.stmt = ast.Return(value=answer)
    main = defined(code.co_name, without_defaults(arguments), [*first, called, last], definition)
    cells = dict(zip(code.co_freevars, function.__closure__ or ()))
    codes = compiled([rest, main], [*cells, _REST, _WRITTEN], code)
    region = made_of(codes[_REST], function, cells, rest)
    cells |= {_REST: CellType(compile_rest(region, function.__qualname__)), _WRITTEN: CellType(function)}
    made = made_of(codes[code.co_name], function, cells, main)
    made.__defaults__, made.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    return made


def _arguments(names: list[str]) -> ast.arguments:
    given = [ast.arg(arg=name) for name in names]
    return ast.arguments(posonlyargs=[], args=given, kwonlyargs=[], kw_defaults=[], defaults=[])


def _call(name: str, given: list[str], by_name: list[str] | None = None) -> ast.expr:
    keywords = [ast.keyword(arg=argument, value=name_of(argument)) for argument in by_name or ()]
    return ast.Call(func=name_of(name), args=[name_of(argument) for argument in given], keywords=keywords)


def _answered(body: list[ast.stmt], numbers: set[str]) -> tuple[list[ast.stmt], ast.expr]:
    """The statements without numbers in what they return, and what the function returns given the answer of the rest."""
    returns = [x for statement in body for x in ast.walk(statement) if isinstance(x, ast.Return)]
    whole = name_of(_ANSWER)
    if len(returns) != 1 or body[-1] is not returns[0] or not isinstance(returns[0].value, ast.Tuple):
        return body, whole
    parts = returns[0].value.elts
    kept = [part for part in parts if not (isinstance(part, ast.Name) and part.id in numbers)]
    if len(kept) == len(parts) or not kept or any(isinstance(part, ast.Starred) for part in parts):
        return body, whole
    one = len(kept) == 1
    value = kept[0] if one else ast.Tuple(elts=kept, ctx=ast.Load())
    last = ast.copy_location(ast.Return(value=value), returns[0])
    of_rest = lambda part: whole if one else ast.Subscript(whole, ast.Constant(kept.index(part)), ast.Load())
    built = [of_rest(part) if part in kept else part for part in parts]
    return [*body[:-1], ast.fix_missing_locations(last)], ast.Tuple(elts=built, ctx=ast.Load())
