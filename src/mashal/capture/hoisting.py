"""Taking the computing out of a statement that reads a tensor's value.

`return loss(model(x), y).item()` becomes `value = loss(model(x), y)`, which a region can compute, and `return value.item()`. Only what is
evaluated first is taken out, so everything happens in the order in which it was written.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable

__all__ = ["elements_of", "hoisted", "reads_of", "sure_cuts", "with_name"]

_READS = frozenset("item tolist numpy cpu __bool__ __float__ __int__ __index__".split())
_CONVERSIONS = frozenset("float int bool print str repr len format round abs".split())


def hoisted(statement: ast.stmt, name: str, is_local: Callable[[str], bool]) -> tuple[ast.stmt | None, ast.stmt]:
    """(the assignment to `name` that may go first, the statement that remains); (None, statement) if nothing can.

    is_local: whether a name is a variable that nothing but this function's own statements can change.

    >>> import ast
    >>> [first, rest] = hoisted(ast.parse("return f(x).item()").body[0], "value", str.islower)
    >>> ast.unparse(first), ast.unparse(rest)
    ('value = f(x)', 'return value.item()')
    """
    field = _field(statement, is_local)
    expression = getattr(statement, field) if field else None
    if expression is None:
        return None, statement
    found = _first(expression, is_local, isinstance(statement, (ast.If, ast.Assert)))
    if found is None:
        return None, statement
    assignment = ast.Assign(targets=[ast.Name(id=name, ctx=ast.Store())], value=found)
    rest = with_name(statement, field, found, name)
    return ast.fix_missing_locations(ast.copy_location(assignment, found)), rest


def with_name(statement: ast.stmt, field: str, part: ast.expr, name: str) -> ast.stmt:
    """A statement with a name in place of one part of the expression in its field; the rest are the same objects, or copies."""
    made = copy.copy(statement)
    setattr(made, field, _Replace(part, name).visit(_copied(getattr(statement, field), part)))
    return made


def elements_of(value: ast.expr | None) -> list[ast.expr]:
    """What the value of a return is made of: the elements of tuples, lists and dictionaries; itself if it is none of these.

    >>> import ast
    >>> [ast.unparse(part) for part in elements_of(ast.parse("{'loss': (a, f(b))}").body[0].value)]
    ["'loss'", 'a', 'f(b)']
    """
    match value:
        case None:
            return []
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return [part for element in elements for part in elements_of(element)]
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return [part for pair in zip(keys, values) for one in pair for part in elements_of(one)]
    return [value]


def _field(statement: ast.stmt, is_local: Callable[[str], bool]) -> str:
    """The field of the expression that a statement evaluates first."""
    match statement:
        case ast.Return() | ast.Expr() | ast.Assign():
            return "value"
        case ast.AnnAssign(target=ast.Name()):
            return "value"
        case ast.AugAssign(target=ast.Name(id=name)) if is_local(name):
            return "value"
        case ast.If() | ast.Assert():
            return "test"
    return ""


def _first(expression: ast.expr, is_local: Callable[[str], bool], tested: bool = False) -> ast.expr | None:
    """The part whose value is read: computed before anything else in the expression that has an effect.

    tested: whether the expression's own value is read."""
    match expression:
        case ast.Call(func=ast.Attribute(value=of, attr=attr), args=[], keywords=[]) if attr in _READS:
            return _first(of, is_local) or _worth(of)
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in _CONVERSIONS and not is_local(name):
            return _first_of(arguments, is_local, name != "len")
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name)), args=arguments) if is_local(name):
            return _first_of(arguments, is_local, False)
        case ast.JoinedStr(values=values):
            return _first_of(values, is_local, True)
        case ast.FormattedValue(value=value):
            return _first(value, is_local, True)
        case ast.BinOp(left=left, right=right):
            inside = _first_of([left, right], is_local, False)
        case ast.Compare(left=left, comparators=comparators):
            inside = _first_of([left, *comparators[:1]], is_local, False)
        case ast.UnaryOp(op=op, operand=operand):
            inside = _first(operand, is_local, isinstance(op, ast.Not) and tested)
        case ast.BoolOp(values=[first, *_]):
            return _first(first, is_local, True)
        case ast.IfExp(test=test):
            return _first(test, is_local, True)
        case ast.Dict(keys=keys, values=values):
            return _first_of([part for pair in zip(keys, values) for part in pair if part is not None], is_local, False)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return _first_of(elements, is_local, False)
        case _:
            inside = None
    return inside or (_worth(expression) if tested and not reads_of(expression) else None)


def _first_of(parts: list[ast.expr], is_local: Callable[[str], bool], tested: bool) -> ast.expr | None:
    """Of the first part that is more than a constant or a variable."""
    for part in parts:
        if not (isinstance(part, ast.Constant) or (isinstance(part, ast.Name) and is_local(part.id))):
            return _first(part, is_local, tested)
    return None


def _worth(expression: ast.expr) -> ast.expr | None:
    """The expression, if it computes anything and nothing in it has a scope or binds a name."""
    kinds = [type(node) for node in ast.walk(expression)]
    special = {ast.NamedExpr, ast.Lambda, ast.GeneratorExp, ast.Yield, ast.YieldFrom, ast.Await, ast.Starred}
    computes = {ast.Call, ast.BinOp, ast.Compare, ast.UnaryOp, ast.Subscript} & {*kinds}
    return expression if computes and not special & {*kinds} else None


def reads_of(tree: ast.AST) -> list[ast.Call]:
    """The calls in a tree that read a value, as far as names tell.

    >>> import ast
    >>> [ast.unparse(call) for call in reads_of(ast.parse("total += loss.item()"))]
    ['loss.item()']
    """
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    by_name = lambda f: f.attr in _READS if isinstance(f, ast.Attribute) else getattr(f, "id", "") in _CONVERSIONS
    return [call for call in calls if by_name(call.func)]


def sure_cuts(tree: ast.AST) -> list[tuple[int, bool]]:
    """The lines of a tree that are cuts whenever they run, if tensors have to do with them; and whether they read a value."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    reads = [
        c.lineno for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr in ("item", "tolist", "numpy")
    ]
    prints = [c.lineno for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]
    return [(line, True) for line in reads if line not in prints] + [(line, False) for line in prints]


def _copied(expression: ast.expr, kept: ast.expr) -> ast.expr:
    """A copy of an expression in which one part is still the same object."""
    return copy.deepcopy(expression, {id(kept): kept})


class _Replace(ast.NodeTransformer):
    """Puts a name in place of one node."""

    def __init__(self, node: ast.expr, name: str) -> None:
        self.node, self.name = node, name

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self.node:
            return ast.copy_location(ast.Name(id=self.name, ctx=ast.Load()), node)
        return self.generic_visit(node)
