"""What is called where a function is cut: the call stays where it is, and what is called is compiled for itself.

    x = self.block(x)          becomes          x = _callee(self.block)(x)

if `block` prints something: then all of it but the printing is compiled, and so on inwards. `around_callees` writes this into a
statement, and `Callees` is what the statement calls.
"""

from __future__ import annotations

import ast
import copy
import inspect
from collections.abc import Callable
from types import CodeType, FunctionType, MethodType
from typing import Any

from mashal.capture.frames import foreign
from mashal.capture.modules import is_module

__all__ = ["NAME", "Callees", "around_callees", "is_compiled"]

NAME = "_callee"
_MOST = 256  # callees that are kept
_LAZY = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def is_compiled(callee: Any) -> bool:
    """Whether this is a compiled function, or a module whose forward is one."""
    return hasattr(callee, "recordings") or hasattr(
        vars(callee).get("forward") if is_module(callee) else None, "recordings"
    )


class Callees:
    """Compiled callees by what was called. compile_one(function, name) compiles; cut: the code that is known to be cut."""

    def __init__(self, compile_one: Callable[[Any, str], Any], cut: set[CodeType]) -> None:
        self.compile_one, self.cut = compile_one, cut
        self.known: dict[Any, tuple[Any, Any]] = {}

    def __call__(self, callee: Any) -> Any:
        """The callee compiled, if that is worth while: a module, a function or a method of the program that is cut itself."""
        found = self.known.get((id(callee), id(None)))
        if found is not None:  # a module or a function: it is kept, so that its id is its own
            return found[1]
        function = getattr(callee, "__func__", callee)
        owner = getattr(callee, "__self__", None) if isinstance(callee, MethodType) else None
        if is_compiled(callee):
            return callee
        if is_module(callee):
            function, call = callee, callee.__call__
        elif isinstance(function, FunctionType) and self._is_cut(function):
            call = callee
        else:
            return callee
        key = _same_for(function), id(owner)
        if key not in self.known:
            if len(self.known) >= _MOST:
                return callee
            name = str(getattr(function, "__qualname__", type(function).__name__))
            self.known[key] = callee, self.compile_one(call, name)
        return self.known[key][1]

    def _is_cut(self, function: FunctionType) -> bool:
        code = function.__code__
        lazy = code.co_flags & _LAZY or function.__closure__
        return code in self.cut and not lazy and not foreign(code.co_filename)


def _same_for(function: Any) -> Any:
    """What a function has in common with one that does the same: a function that is defined in each call is another one each time."""
    defaults = getattr(function, "__defaults__", None) or getattr(function, "__kwdefaults__", None)
    if not isinstance(function, FunctionType) or defaults or vars(function):
        return id(function)
    return id(function.__code__), id(function.__globals__)


def around_callees(statement: ast.stmt) -> ast.stmt | None:
    """A simple statement with every callee that is a name or an attribute given to `NAME`; None if there is none."""
    if not isinstance(statement, (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return)):
        return None
    around = _Around()
    changed = around.visit(copy.deepcopy(statement))
    return ast.fix_missing_locations(changed) if around.found else None


class _Around(ast.NodeTransformer):
    """Puts callees between `NAME(` and `)`, but for what means the frame it stands in."""

    found = False

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        frame = isinstance(node.func, ast.Name) and node.func.id in ("super", "locals", "vars", "eval", "exec", "dir")
        if isinstance(node.func, (ast.Name, ast.Attribute, ast.Subscript)) and not frame:
            self.found = True
            name = ast.copy_location(ast.Name(id=NAME, ctx=ast.Load()), node.func)
            node.func = ast.copy_location(ast.Call(func=name, args=[node.func], keywords=[]), node.func)
        return node
