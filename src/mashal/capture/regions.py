"""Regions: a function that cannot be recorded whole, split into pieces that can and statements between them that run as written.

    def step(x):                         def step(x):
        y = model(x).mean()                  y = region_0(x)
        print(y.item())          becomes     print(y.item())
        return y * y                         return region_1(y)

A region is a run of statements of one block without a cut, as long as can be; a block with a cut inside is itself split. A region
takes the variables it reads and returns those it binds that are needed later (`flow`). Whatever would not mean the
same inside a region stays where it is: returns in the middle, del, inner functions, variables that may have no value.

The functions made have the file and the lines of the source, and share the cells and globals of the original.
"""

from __future__ import annotations

import ast
import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from types import CellType, CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from mashal.capture.callees import NAME, Callees, around_callees, is_compiled
from mashal.capture.flow import Flow, Paths
from mashal.capture.frames import code_of
from mashal.capture.hoisting import elements_of, hoisted, sure_cuts, with_name
from mashal.capture.modules import is_module
from mashal.capture.names import binds, called_name, captured, eaten_generators, escapes, uses
from mashal.capture.source import Unsplit, compiled, defined, definition_of, made_of, name_of, without_defaults
from mashal.core.tape import within

if TYPE_CHECKING:
    from mashal.capture.noted import Obstacle

__all__ = ["Unsplit", "is_call_of_module", "split", "with_forward"]

_FRAMES = frozenset("locals vars eval exec dir super __class__ globals".split())  # names that mean this very frame
_STAYS = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.Global, ast.Nonlocal, ast.Import, ast.ImportFrom,
    ast.Delete, ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFor, ast.AsyncWith,
)  # fmt: skip
_UNBOUND, _unbound = "_unbound", object()  # in the place of a variable that has no value
_TO_UNBOUND = f"try:\n {{name}}\nexcept NameError:\n {{name}} = {_UNBOUND}"
_FROM_UNBOUND = f"if {{name}} is {_UNBOUND}:\n del {{name}}"
_COUNTING = frozenset(
    """len range int float bool str print min max isinstance enumerate zip list tuple dict set getattr hasattr type format
    append items keys values get join""".split()
)  # calls that alone are not worth a region


def split(function: Any, cuts: Iterable[Obstacle], compile_region: Callable[[FunctionType, str], Any]) -> Any:
    """A function with the same meaning whose regions are what `compile_region(region function, name)` returns.

    cuts: what could not be recorded: `frames`, whose first is a line of `function`, and `reads`, whether a tensor's
    value was read there. A region can be split again where another call finds other cuts. Raises Unsplit for functions
    without source, generators, and where no region is left.
    """
    cuts = list(cuts)
    owner = getattr(function, "__self__", None)
    if is_call_of_module(function):
        return _split_module(owner, cuts, compile_region)
    if isinstance(function, MethodType):
        return MethodType(split(function.__func__, cuts, compile_region), function.__self__)
    inside = within(function)
    if inside is not None:
        return inside(split(function.__wrapped__, cuts, compile_region))
    if isinstance(getattr(type(function), "__call__", None), FunctionType):  # noqa: B004
        return split(MethodType(type(function).__call__, function), cuts, compile_region)
    return _Split(function, definition_of(function), cuts).build(compile_region)


def is_call_of_module(function: Any) -> bool:
    """Whether this is what calling a module calls, and no `__call__` that its class has written."""
    name = getattr(function, "__name__", "")
    is_call = name == "_call_impl" or (name == "__call__" and not isinstance(function, MethodType))
    return is_call and is_module(getattr(function, "__self__", None))


def _split_module(module: Any, cuts: list[Obstacle], compile_region: Callable[[FunctionType, str], Any]) -> Any:
    """The call of a module with its forward split; hooks run as they are written."""
    written = module.forward
    if is_compiled(written):
        raise Unsplit("its forward is compiled already")
    inside = [cut for cut in cuts if cut.frames and cut.frames[0][0] is code_of(written)]
    forward = split(written, inside, compile_region) if inside else compile_region(written, type(module).__qualname__)
    return with_forward(module, forward)


def with_forward(module: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
    """The call of a module with another forward in the place of its own; one that replaces it later counts at once."""
    written = module.forward

    def call(*args: Any, **options: Any) -> Any:
        now = forward if module.forward == written else module.forward
        return module._call_between_hooks(now, args, options) if module._long_way else now(*args, **options)

    return call


# ---------------------------------------------------------------- the parts
class _Split:
    """One function being split."""

    def __init__(self, function: FunctionType, definition: ast.FunctionDef, cuts: list[Obstacle]) -> None:
        code = function.__code__
        self.function, self.definition = function, definition
        self.variables = {*code.co_varnames, *code.co_cellvars, *binds_of(definition.body)} - {*code.co_freevars}
        self.variables -= {name for node in ast.walk(definition) if isinstance(node, ast.Global) for name in node.names}
        self.shared = captured(definition.body)
        arguments = {child.arg for child in ast.walk(definition.args) if isinstance(child, ast.arg)}
        self.flow = Flow(definition.body, arguments)
        self.lines: dict[int, bool] = {}  # of the cuts: whether all there read a value, in this very function
        self.stores: dict[int, bool] = defaultdict(bool)  # of the cuts: whether all there set an attribute or an item
        self.deeper: dict[int, CodeType] = {}  # of the cuts that lie in what is called there: that
        self.calls_compiled = self.hands_on = False
        for cut in cuts:
            self._note(cut, code)
        for line, reads in sure_cuts(definition):  # in branches, perhaps, that were not recorded yet
            self.lines.setdefault(line, reads)
        self.regions: list[ast.FunctionDef] = []
        self.temporaries = 0

    def _note(self, cut: Obstacle, code: CodeType) -> None:
        if not cut.frames or cut.frames[0][0].co_filename != code.co_filename:
            raise Unsplit(f"{cut.what}, outside the lines of the function")
        line = cut.frames[0][1]
        self.lines[line] = self.lines.get(line, True) and cut.reads and len(cut.frames) == 1
        self.stores[line] = self.stores.get(line, True) and cut.what.endswith(" = …") and len(cut.frames) == 1
        if len(cut.frames) > 1:
            self.deeper[line] = cut.frames[1][0]

    def is_local(self, name: str) -> bool:
        """Whether only the function's own statements can change a variable."""
        return name in self.variables and name not in self.shared

    # ---------------------------------------------------------------- blocks
    def block(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        """The statements with all clean runs made into regions."""
        result: list[ast.stmt] = []
        run: list[ast.stmt] = []
        for statement in statements:
            if self.is_clean(statement):
                run.append(statement)
                if isinstance(statement, ast.Return):
                    result += self._returning(run)
                    run = []
                continue
            first, rest = self._hoist(statement)
            run += [] if first is None else [first]
            needed = self.flow.before(rest, self.flow.needed[statement], self.flow.paths[statement])
            result += self._region(run, needed)
            result.append(self._opened(self._around_callees(rest)))
            run = []
        return result + self._region(run, self.flow.needed[run[-1]] if run else frozenset())

    def _around_callees(self, statement: ast.stmt) -> ast.stmt:
        """A statement in which what is called is compiled for itself, if that is where it is cut."""
        deeper = any(line in self.deeper for line in self._cut_lines([statement]))
        changed = around_callees(statement) if deeper else None
        self.calls_compiled |= changed is not None
        return changed or statement

    def _hoist(self, statement: ast.stmt) -> tuple[ast.stmt | None, ast.stmt]:
        if not self._only_reads(statement):
            return self._stored(statement)
        name = self._temporary()
        first, rest = hoisted(statement, name, self.is_local)
        if first is None or not self._movable(first, {name}):
            return None, statement
        self.flow.bound[first] = self.flow.bound[statement]
        return first, rest

    def _stored(self, statement: ast.stmt) -> tuple[ast.stmt | None, ast.stmt]:
        """Of an assignment that is cut because of where it stores: its value, which is computed first, and the rest."""
        lines = self._cut_lines([statement])
        if not isinstance(statement, ast.Assign) or not lines or not all(self.stores[line] for line in lines):
            return None, statement
        name = self._temporary()
        first = ast.copy_location(ast.Assign(targets=[name_of(name, ast.Store())], value=statement.value), statement)
        if not self._movable(ast.fix_missing_locations(first), {name}):
            return None, statement
        rest = copy.copy(statement)
        rest.value = ast.copy_location(name_of(name), statement.value)
        self.flow.bound[first] = self.flow.bound[statement]
        return first, rest

    def _only_reads(self, statement: ast.stmt) -> bool:
        """Whether the cuts of a statement (of its head, if it has a body) read values and do nothing else."""
        lines = self._cut_lines(_head(statement))
        return bool(lines) and all(self.lines[line] for line in lines)

    def _cut_lines(self, nodes: Iterable[ast.AST]) -> list[int]:
        ranges = [(node.lineno, node.end_lineno or node.lineno) for node in nodes]  # type: ignore[attr-defined]
        return [line for line in self.lines if any(first <= line <= last for first, last in ranges)]

    def _opened(self, statement: ast.stmt) -> ast.stmt:
        """A statement that stays, with the blocks inside it split."""
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return statement
        for field in ("body", "orelse", "finalbody"):
            inside = getattr(statement, field, None)
            if isinstance(inside, list) and inside and isinstance(inside[0], ast.stmt):
                setattr(statement, field, self.block(inside))
        for part in [*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())]:
            part.body = self.block(part.body)
        return statement

    def is_clean(self, statement: ast.stmt) -> bool:
        """Whether a statement has no cut and means the same in a region; a return does as the last one of its region."""
        if self._cut_lines([statement]) or (escapes(statement) and not isinstance(statement, ast.Return)):
            return False
        bound = binds(statement)
        if bound & (self.shared | self.flow.paths[statement].always):
            return False
        return self._movable(statement, self.variables)

    def _movable(self, statement: ast.stmt, variables: set[str]) -> bool:
        """Whether another function may run a statement that binds `variables` at most."""
        if any(isinstance(node, _STAYS) for node in ast.walk(statement)) or _keeps_generators(statement):
            return False
        return binds(statement) <= variables and not _FRAMES & uses(statement)

    # ---------------------------------------------------------------- regions
    def _region(self, run: list[ast.stmt], needed: Iterable[str]) -> list[ast.stmt]:
        """The call of a region in place of a run of statements; the statements themselves where it would not be worth it."""
        if not any(_computes(node) for statement in run for node in ast.walk(statement)):
            return run
        returns = isinstance(run[-1], ast.Return)
        outputs = [] if returns else sorted(binds_of(run) & set(needed) & self.variables)
        inputs = sorted(self._inputs(run, outputs) & self.variables)
        missing = set(inputs) - self.flow.bound[run[0]]
        if missing & self.shared:  # inner functions would see what stands in the place of no value
            return run
        body = self._let_unbound(run, missing, outputs)
        name = f"_region_{len(self.regions)}"
        self.regions.append(_function(name, inputs, body, outputs))
        call = ast.Call(func=name_of(name), args=[name_of(v) for v in inputs], keywords=[])
        if returns:
            statement: ast.stmt = ast.Return(value=call)
        elif outputs:
            targets: list[ast.expr] = [name_of(v, ast.Store()) for v in outputs]
            target = targets[0] if len(targets) == 1 else ast.Tuple(elts=targets, ctx=ast.Store())
            statement = ast.Assign(targets=[target], value=call)
        else:
            statement = ast.Expr(value=call)
        statement = ast.fix_missing_locations(ast.copy_location(statement, run[0]))
        if not missing:
            return [statement]
        after = self._lines(
            _FROM_UNBOUND, sorted(missing), run[0]
        )  # also where the region raises, and somebody catches it
        guarded = ast.copy_location(ast.Try(body=[statement], handlers=[], orelse=[], finalbody=after), run[0])
        return [*self._lines(_TO_UNBOUND, sorted(missing), run[0]), guarded]

    def _let_unbound(self, run: list[ast.stmt], missing: set[str], outputs: list[str]) -> list[ast.stmt]:
        """A run in which variables have no value if they had none before, as where a loop that would bind them is not entered."""
        self.hands_on |= bool(missing)
        first, last = self._lines(_FROM_UNBOUND, sorted(missing), run[0]), sorted(missing & set(outputs))
        return [*first, *run, *self._lines(_TO_UNBOUND, last, run[-1])]

    def _lines(self, text: str, names: list[str], place: ast.stmt) -> list[ast.stmt]:
        """A statement for each of some variables, that stands where another one does."""
        made = [ast.parse(text.format(name=name)).body[0] for name in names]
        for statement in made:
            for node in ast.walk(statement):
                ast.copy_location(node, place)
        return made

    def _returning(self, run: list[ast.stmt]) -> list[ast.stmt]:
        """A run that ends with return. Variables that it only hands on, a number that was read before, say, are no concern of
        the region: it would be another one for each number."""
        last = run[-1]
        assert isinstance(last, ast.Return)
        parts = elements_of(last.value)
        names = {part.id for part in parts if isinstance(part, ast.Name)}
        others = [part for part in parts if not isinstance(part, (ast.Name, ast.Constant))]
        busy = binds_of(run).union(*map(uses, run[:-1]), *(uses(ast.Expr(value=part)) for part in others))
        if not names & self.variables - busy:
            return self._region(run, ())
        rest: ast.stmt = last
        for part in others:
            name = self._temporary()
            assignment = ast.Assign(targets=[ast.Name(id=name, ctx=ast.Store())], value=part)
            run.insert(-1, ast.fix_missing_locations(ast.copy_location(assignment, part)))
            self.flow.bound[run[-2]] = self.flow.bound[last]
            rest = with_name(rest, "value", part, name)
        return [*self._region(run[:-1], uses(rest)), rest]

    def _temporary(self) -> str:
        """A new variable."""
        name = f"_value_{self.temporaries}"
        self.temporaries += 1
        self.variables.add(name)
        return name

    def _inputs(self, run: list[ast.stmt], needed: Iterable[str]) -> set[str]:
        """What a run reads before it binds it, and what is needed after it that it may leave as it was."""
        after = frozenset(needed)
        for statement in reversed(run):
            after = self.flow.before(statement, after, Paths())
        return set(after)

    def build(self, compile_region: Callable[[FunctionType, str], Any]) -> FunctionType:
        """The function, its regions compiled."""
        function, code = self.function, self.function.__code__
        first, *rest = body = self.definition.body
        documented = (
            isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
        )
        split_body = [first, *self.block(rest)] if documented else self.block(body)
        if not self.regions and not self.calls_compiled:
            raise Unsplit("no statement of it is free of what cannot be recorded")
        main = defined(code.co_name, without_defaults(self.definition.args), split_body, self.definition)
        cells = dict(zip(code.co_freevars, function.__closure__ or ()))
        if self.calls_compiled:
            cells[NAME] = CellType(Callees(compile_region, {*self.deeper.values()}))
        if self.hands_on:
            cells[_UNBOUND] = CellType(_unbound)
        codes = compiled([*self.regions, main], [*cells, *(region.name for region in self.regions)], code)
        for definition in self.regions:
            region = made_of(codes[definition.name], function, cells, definition)
            cells[definition.name] = CellType(compile_region(region, _title(function, definition)))
        made = made_of(codes[code.co_name], function, cells, main)
        made.__defaults__, made.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
        made.__doc__, made.__annotations__ = function.__doc__, function.__annotations__
        made.__dict__.update(function.__dict__)
        return made


def binds_of(statements: Iterable[ast.stmt]) -> set[str]:
    """The names that any of some statements binds."""
    return set().union(*map(binds, statements))


def _head(statement: ast.stmt) -> list[ast.AST]:
    """What a statement evaluates itself, apart from the blocks inside it."""
    match statement:
        case ast.If(test=test) | ast.While(test=test):
            return [test]
        case ast.For(target=target, iter=iterated):
            return [target, iterated]
        case ast.With(items=items):
            return [item.context_expr for item in items]
        case ast.Match(subject=subject):
            return [subject]
    return [] if hasattr(statement, "handlers") else [statement]


def _computes(node: ast.AST) -> bool:
    """Whether a node may be work for a region, rather than Python's counting and collecting."""
    if isinstance(node, ast.Call):
        return called_name(node) not in _COUNTING
    if isinstance(node, ast.AugAssign):
        return not isinstance(node.value, ast.Constant)
    return isinstance(node, ast.BinOp)


def _keeps_generators(statement: ast.stmt) -> bool:
    """Whether a generator expression may outlive a statement: it is not the argument of a function that eats it."""
    eaten = eaten_generators(statement)
    return any(isinstance(node, ast.GeneratorExp) and node not in eaten for node in ast.walk(statement))


def _function(name: str, inputs: list[str], run: list[ast.stmt], outputs: list[str]) -> ast.FunctionDef:
    """def name(inputs): run; return outputs"""
    body = list(run)
    if outputs:
        values: list[ast.expr] = [name_of(v) for v in outputs]
        last = ast.Return(value=values[0] if len(values) == 1 else ast.Tuple(elts=values, ctx=ast.Load()))
        body.append(ast.fix_missing_locations(ast.copy_location(last, run[-1])))
    arguments = ast.arguments(
        posonlyargs=[], args=[ast.arg(arg=v) for v in inputs], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    return defined(name, arguments, body, run[0])


def _title(function: FunctionType, region: ast.FunctionDef) -> str:
    """What a region is called: the function and its lines."""
    first, last = region.body[0].lineno, region.body[-1].end_lineno
    lines = f"line {first}" if first == last else f"lines {first} to {last}"
    return f"{function.__qualname__}, {lines}"
