"""A function being split: which statements go into regions, which stay, and the function that is made of both.

Of a statement with a cut what it computes before is taken out (`hoisting`), so that only the reading, or the storing, stays;
a block with a cut inside is itself split. Whatever would not mean the same inside a region stays where it is: returns in the
middle, del, inner functions.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterable, Sequence
from types import CellType, FunctionType
from typing import TYPE_CHECKING, Any

from mashal.capture.callees import NAME, Callees, around_callees
from mashal.capture.cuts import Cuts
from mashal.capture.flow import Flow
from mashal.capture.hoisting import elements_of, hoisted, with_name
from mashal.capture.names import binds, captured, eaten_generators, escapes, uses
from mashal.capture.region import UNBOUND, Regions, binds_of, title, unbound
from mashal.capture.source import Unsplit, compiled, defined, made_of, name_of, without_defaults

if TYPE_CHECKING:
    from mashal.capture.noted import Obstacle

__all__ = ["Split"]

_FRAMES = frozenset("locals vars eval exec dir super __class__ globals".split())  # names that mean this very frame
_STAYS = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.Global, ast.Nonlocal, ast.Import, ast.ImportFrom,
    ast.Delete, ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFor, ast.AsyncWith,
)  # fmt: skip


class Split:
    """One function being split at what could not be recorded (`obstacles`)."""

    def __init__(self, function: FunctionType, definition: ast.FunctionDef, obstacles: Iterable[Obstacle]) -> None:
        code = function.__code__
        self.function, self.definition = function, definition
        self.variables = {*code.co_varnames, *code.co_cellvars, *binds_of(definition.body)} - {*code.co_freevars}
        self.variables -= {name for node in ast.walk(definition) if isinstance(node, ast.Global) for name in node.names}
        self.shared = captured(definition.body)
        arguments = {child.arg for child in ast.walk(definition.args) if isinstance(child, ast.arg)}
        self.flow = Flow(definition.body, arguments)
        self.cuts = Cuts(code, definition, obstacles)
        self.regions = Regions(self.flow, self.variables, self.shared)
        self.calls_compiled = False  # whether what is called at a cut is compiled for itself
        self.temporaries = 0

    def is_local(self, name: str) -> bool:
        """Whether only the function's own statements can change a variable."""
        return name in self.variables and name not in self.shared

    def build(self, compile_region: Callable[[FunctionType, str], Any]) -> FunctionType:
        """The function, its regions compiled."""
        function, code = self.function, self.function.__code__
        body = self.definition.body
        head = 0 if ast.get_docstring(self.definition) is None else 1
        split_body = [*body[:head], *self.block(body[head:])]
        if not self.regions.made and not self.calls_compiled:
            raise Unsplit("no statement of it is free of what cannot be recorded")
        main = defined(code.co_name, without_defaults(self.definition.args), split_body, self.definition)
        cells = dict(zip(code.co_freevars, function.__closure__ or ()))
        if self.calls_compiled:
            cells[NAME] = CellType(Callees(compile_region, {*self.cuts.deeper.values()}))
        if self.regions.hands_on:
            cells[UNBOUND] = CellType(unbound)
        codes = compiled([*self.regions.made, main], [*cells, *(region.name for region in self.regions.made)], code)
        for definition in self.regions.made:
            region = made_of(codes[definition.name], function, cells, definition)
            cells[definition.name] = CellType(compile_region(region, title(function, definition)))
        made = made_of(codes[code.co_name], function, cells, main)
        made.__defaults__, made.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
        made.__doc__, made.__annotations__ = function.__doc__, function.__annotations__
        made.__dict__.update(function.__dict__)
        return made

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
            result += self.regions.call(run, needed)
            result.append(self._opened(self._around_callees(rest)))
            run = []
        return result + self.regions.call(run, self.flow.needed[run[-1]] if run else frozenset())

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
        if self.cuts.lines(statement) or (escapes(statement) and not isinstance(statement, ast.Return)):
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

    def _around_callees(self, statement: ast.stmt) -> ast.stmt:
        """A statement in which what is called is compiled for itself, if that is where it is cut."""
        changed = around_callees(statement) if self.cuts.lie_deeper(statement) else None
        self.calls_compiled |= changed is not None
        return changed or statement

    # ---------------------------------------------------------------- what is computed first
    def _hoist(self, statement: ast.stmt) -> tuple[ast.stmt | None, ast.stmt]:
        """Of a statement that is cut: what it may compute first, if there is such, and the rest."""
        if not self.cuts.only_read(statement):
            return self._stored(statement)
        name = self._temporary()
        first, rest = hoisted(statement, name, self.is_local)
        if first is None or not self._movable(first, {name}):
            return None, statement
        self.flow.bound[first] = self.flow.bound[statement]
        return first, rest

    def _stored(self, statement: ast.stmt) -> tuple[ast.stmt | None, ast.stmt]:
        """Of an assignment that is cut because of where it stores: its value, which is computed first, and the rest."""
        if not isinstance(statement, ast.Assign) or not self.cuts.only_store(statement):
            return None, statement
        name = self._temporary()
        first = ast.copy_location(ast.Assign(targets=[name_of(name, ast.Store())], value=statement.value), statement)
        if not self._movable(ast.fix_missing_locations(first), {name}):
            return None, statement
        rest = copy.copy(statement)
        rest.value = ast.copy_location(name_of(name), statement.value)
        self.flow.bound[first] = self.flow.bound[statement]
        return first, rest

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
            return self.regions.call(run, ())
        rest: ast.stmt = last
        for part in others:
            name = self._temporary()
            assignment = ast.Assign(targets=[ast.Name(id=name, ctx=ast.Store())], value=part)
            run.insert(-1, ast.fix_missing_locations(ast.copy_location(assignment, part)))
            self.flow.bound[run[-2]] = self.flow.bound[last]
            rest = with_name(rest, "value", part, name)
        return [*self.regions.call(run[:-1], uses(rest)), rest]

    def _temporary(self) -> str:
        """A new variable."""
        name = f"_value_{self.temporaries}"
        self.temporaries += 1
        self.variables.add(name)
        return name


def _keeps_generators(statement: ast.stmt) -> bool:
    """Whether a generator expression may outlive a statement: it is not the argument of a function that eats it."""
    eaten = eaten_generators(statement)
    return any(isinstance(node, ast.GeneratorExp) and node not in eaten for node in ast.walk(statement))
