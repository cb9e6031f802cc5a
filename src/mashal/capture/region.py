"""A run of statements becomes a region: a function of its own, and the call of it in place of the run.

    y = model(x).mean()        becomes    def _region_0(model, x):          and    y = _region_0(model, x)
                                              y = model(x).mean()
                                              return y

A region takes the variables that it reads and returns those it binds that are needed later. A variable may have no value there, as where
a loop that would bind it was not entered: something else stands in its place on the way in and out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from types import FunctionType

from mashal.capture.flow import Flow, Paths
from mashal.capture.names import binds, called_name
from mashal.capture.source import defined, name_of

__all__ = ["UNBOUND", "Regions", "binds_of", "title", "unbound"]

UNBOUND, unbound = "_unbound", object()  # in the place of a variable that has no value
_TO_UNBOUND = f"try:\n {{name}}\nexcept NameError:\n {{name}} = {UNBOUND}"
_FROM_UNBOUND = f"if {{name}} is {UNBOUND}:\n del {{name}}"
_COUNTING = frozenset(
    """len range int float bool str print min max isinstance enumerate zip list tuple dict set getattr hasattr type format
    append items keys values get join""".split()
)  # calls that alone are not worth a region


class Regions:
    """The regions of a function.

    flow, variables: of the function (variables may still be added); shared: the variables that its inner functions see. made: the
    regions. hands_on: whether a region is given variables without a value.
    """

    def __init__(self, flow: Flow, variables: set[str], shared: set[str]) -> None:
        self.flow, self.variables, self.shared = flow, variables, shared
        self.made: list[ast.FunctionDef] = []
        self.hands_on = False

    def call(self, run: list[ast.stmt], needed: Iterable[str]) -> list[ast.stmt]:
        """The call of a region in place of a run of statements; the statements themselves where it would not be worth it.

        needed: the variables that are read after it.
        """
        if not any(_computes(node) for statement in run for node in ast.walk(statement)):
            return run
        returns = isinstance(run[-1], ast.Return)
        outputs = [] if returns else sorted(binds_of(run) & set(needed) & self.variables)
        inputs = sorted(self._inputs(run, outputs) & self.variables)
        missing = set(inputs) - self.flow.bound[run[0]]
        if missing & self.shared:  # inner functions would see what stands in the place of no value
            return run
        body = self._let_unbound(run, missing, outputs)
        name = f"_region_{len(self.made)}"
        self.made.append(_function(name, inputs, body, outputs))
        call = ast.Call(func=name_of(name), args=[name_of(v) for v in inputs], keywords=[])
        statement = ast.fix_missing_locations(ast.copy_location(_use(call, outputs, returns), run[0]))
        if not missing:
            return [statement]
        after = _lines(_FROM_UNBOUND, sorted(missing), run[0])  # also where the region raises, and somebody catches it
        guarded = ast.copy_location(ast.Try(body=[statement], handlers=[], orelse=[], finalbody=after), run[0])
        return [*_lines(_TO_UNBOUND, sorted(missing), run[0]), guarded]

    def _inputs(self, run: list[ast.stmt], needed: Iterable[str]) -> set[str]:
        """What a run reads before it binds it, and what is needed after it that it may leave as it was."""
        after = frozenset(needed)
        for statement in reversed(run):
            after = self.flow.before(statement, after, Paths())
        return set(after)

    def _let_unbound(self, run: list[ast.stmt], missing: set[str], outputs: list[str]) -> list[ast.stmt]:
        """A run in which variables have no value if they had none before, as where a loop that would bind them is not entered."""
        self.hands_on |= bool(missing)
        first, last = _lines(_FROM_UNBOUND, sorted(missing), run[0]), sorted(missing & set(outputs))
        return [*first, *run, *_lines(_TO_UNBOUND, last, run[-1])]


def _use(call: ast.Call, outputs: list[str], returns: bool) -> ast.stmt:
    """What is done with what a region returns."""
    if returns:
        return ast.Return(value=call)
    if not outputs:
        return ast.Expr(value=call)
    targets: list[ast.expr] = [name_of(v, ast.Store()) for v in outputs]
    target = targets[0] if len(targets) == 1 else ast.Tuple(elts=targets, ctx=ast.Store())
    return ast.Assign(targets=[target], value=call)


def _lines(text: str, names: list[str], place: ast.stmt) -> list[ast.stmt]:
    """A statement for each of some variables, that stands where another one does."""
    made = [ast.parse(text.format(name=name)).body[0] for name in names]
    for statement in made:
        for node in ast.walk(statement):
            ast.copy_location(node, place)
    return made


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


def _computes(node: ast.AST) -> bool:
    """Whether a node may be work for a region, rather than Python's counting and collecting."""
    if isinstance(node, ast.Call):
        return called_name(node) not in _COUNTING
    if isinstance(node, ast.AugAssign):
        return not isinstance(node.value, ast.Constant)
    return isinstance(node, ast.BinOp)


def binds_of(statements: Iterable[ast.stmt]) -> set[str]:
    """The names that any of some statements binds."""
    return set().union(*map(binds, statements))


def title(function: FunctionType, region: ast.FunctionDef) -> str:
    """What a region is called: the function and its lines."""
    first, last = region.body[0].lineno, region.body[-1].end_lineno
    lines = f"line {first}" if first == last else f"lines {first} to {last}"
    return f"{function.__qualname__}, {lines}"
