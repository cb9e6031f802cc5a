"""Which of a function's variables a piece of its source reads and binds.

Comprehensions, lambdas and inner functions have scopes of their own: what they bind is theirs (but for `:=` in a
comprehension), what they read of the function counts as read by the statement they stand in.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

__all__ = ["binds", "called_name", "captured", "eaten_generators", "escapes", "surely_binds", "uses"]

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_SCOPES = (*_FUNCTIONS, ast.ClassDef)
_LOOPS = (ast.For, ast.While, ast.AsyncFor)
_EATERS = frozenset("sum any all max min list tuple set dict sorted cat stack extend join".split())


def uses(node: ast.AST) -> set[str]:
    """The names that a node reads, in whatever order; one it deletes or changes in place is read too.

    >>> import ast
    >>> sorted(uses(ast.parse("y += [x * k for x in xs]")))
    ['k', 'xs', 'y']
    """
    match node:
        case ast.Name(id=name, ctx=ctx):
            return set() if isinstance(ctx, ast.Store) else {name}
        case ast.AugAssign(target=ast.Name(id=name), value=value):
            return {name} | uses(value)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            own = {name for part in node.generators for name in binds(part.target)}
            return (_of_children(node) - own) | uses(node.generators[0].iter)
        case ast.Lambda(body=body, args=arguments):
            return (uses(body) - _arguments(arguments)) | uses(arguments)
        case ast.FunctionDef(body=body, args=arguments) | ast.AsyncFunctionDef(body=body, args=arguments):
            own = _arguments(arguments).union(*map(binds, body))
            return (set().union(*map(uses, body)) - own).union(uses(arguments), *map(uses, node.decorator_list))
    return _of_children(node)


def _of_children(node: ast.AST) -> set[str]:
    return set().union(*map(uses, ast.iter_child_nodes(node)))


def _arguments(arguments: ast.arguments) -> set[str]:
    return {child.arg for child in ast.walk(arguments) if isinstance(child, ast.arg)}


def binds(node: ast.AST) -> set[str]:
    """The names that a node binds or deletes, perhaps.

    >>> import ast
    >>> sorted(binds(ast.parse("for i, j in pairs: (k := [m for m in n])")))
    ['i', 'j', 'k']
    """
    return set(_bound(node))


def _bound(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name
        case ast.MatchMapping(rest=str(name)):
            yield name
        case ast.alias(name=name, asname=other):
            yield other or name.partition(".")[0]
    if isinstance(node, _SCOPES):
        return
    if isinstance(node, _COMPREHENSIONS):
        yield from (inner.target.id for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
        return
    for child in ast.iter_child_nodes(node):
        yield from _bound(child)


def surely_binds(statement: ast.stmt) -> set[str]:
    """The names that a simple statement binds whenever it ends without an exception."""
    match statement:
        case ast.Assign(targets=targets):
            return set().union(*map(binds, targets))
        case ast.AnnAssign(target=ast.Name(id=name), value=value):
            return {name} if value is not None else set()
        case ast.AugAssign(target=ast.Name(id=name)):
            return {name}
        case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return binds(statement)
    return set()


def called_name(call: ast.Call) -> str:
    """The last name of what is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def eaten_generators(node: ast.AST) -> set[ast.AST]:
    """The generator expressions that a function which they are given to uses up at once."""
    calls = [call for call in ast.walk(node) if isinstance(call, ast.Call) and call.args]
    return {call.args[0] for call in calls if called_name(call) in _EATERS}


def captured(body: Iterable[ast.stmt]) -> set[str]:
    """The names that functions, classes and generators inside a body read or declare nonlocal: they see later changes, but for
    generators that are eaten at once.

    >>> import ast
    >>> sorted(captured(ast.parse("f = lambda x: x + k; y = [i for i in z]").body))
    ['k']
    """
    found: set[str] = set()
    for statement in body:
        eaten = eaten_generators(statement)
        for node in ast.walk(statement):
            if isinstance(node, (*_SCOPES, ast.GeneratorExp)) and node not in eaten:
                found |= uses(node)
            if isinstance(node, _SCOPES):
                found |= {name for inner in ast.walk(node) if isinstance(inner, ast.Nonlocal) for name in inner.names}
    return found


def escapes(statement: ast.stmt) -> bool:
    """Whether a statement may leave the place it stands in by return, or by break or continue of a loop around it."""
    return _escapes(statement, False)


def _escapes(node: ast.AST, in_loop: bool) -> bool:
    if isinstance(node, ast.Return) or (isinstance(node, (ast.Break, ast.Continue)) and not in_loop):
        return True
    if isinstance(node, _SCOPES):
        return False
    if isinstance(node, _LOOPS):
        return any(_escapes(s, True) for s in node.body) or any(_escapes(s, in_loop) for s in node.orelse)
    return any(_escapes(child, in_loop) for child in ast.iter_child_nodes(node))
