"""From a function to the tree of its source, and from trees back to functions.

What is made has the file and the line numbers of the source, the globals of the original, and its cells: the code is
compiled inside a function that has the free variables as arguments, taken out of there, and given the cells.
"""

from __future__ import annotations
import __future__

import ast
import copy
import inspect
import linecache
import sys
from types import CellType, CodeType, FunctionType
from typing import Any
from weakref import WeakKeyDictionary

from mashal.capture.names import uses

__all__ = ["Unsplit", "compiled", "defined", "definition_of", "made_of", "name_of", "without_defaults"]

_FUTURE = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
_LAZY = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_LOOKS = frozenset("locals vars eval exec dir".split())


class Unsplit(Exception):
    """A function cannot be split; the text says why."""


_regions: WeakKeyDictionary[FunctionType, ast.FunctionDef] = WeakKeyDictionary()  # of functions that stand in no file


# ---------------------------------------------------------------- the source
def definition_of(function: Any) -> ast.FunctionDef:
    """The source of a function as a tree, with the line numbers of its file."""
    if not isinstance(function, FunctionType):
        raise Unsplit(f"{type(function).__name__} is not a function of Python")
    code = function.__code__
    if function in _regions:
        return copy.deepcopy(_regions[function])
    if code.co_flags & _LAZY:
        raise Unsplit("it is a generator or a coroutine")
    lines = linecache.getlines(code.co_filename, function.__globals__)
    if not lines:
        raise Unsplit(f"its source, {code.co_filename}, cannot be read")
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:
        raise Unsplit(f"its source, {code.co_filename}, has changed") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name and _first_line(node) == code.co_firstlineno:
            return _checked(node, code)
    if code.co_name == "<lambda>":
        return _of_lambda(tree, code)
    raise Unsplit(f"its source, {code.co_filename}, has changed")


def _of_lambda(tree: ast.Module, code: CodeType) -> ast.FunctionDef:
    """The lambda of a code object as a definition, if it is the only one of its line with such arguments."""
    names = list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    lambdas = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno]
    found = [x for x in lambdas if [a.arg for a in [*x.args.posonlyargs, *x.args.args, *x.args.kwonlyargs]] == names]
    if len(found) != 1:
        raise Unsplit("it is one of several lambdas in a line")
    result = ast.copy_location(ast.Return(value=found[0].body), found[0].body)
    return _checked(defined(code.co_name, found[0].args, [result], found[0]), code)


def _first_line(node: ast.FunctionDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _checked(node: ast.FunctionDef, code: CodeType) -> ast.FunctionDef:
    """The definition, if it is what the code was made from and can be compiled outside its place."""
    arguments = [a.arg for a in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]
    if arguments != list(code.co_varnames[: len(arguments)]):
        raise Unsplit(f"its source, {code.co_filename}, has changed")
    names = {*code.co_names, *code.co_varnames, *code.co_freevars, *code.co_cellvars}
    if any(name.startswith("_") and "__" in name[1:] and not name.endswith("__") for name in names):
        raise Unsplit("it uses private names (`__name`) of a class")
    if _LOOKS & uses(node):
        raise Unsplit("it looks at its own variables (locals, eval, exec)")
    return node


# ---------------------------------------------------------------- making functions
def name_of(text: str, context: ast.expr_context | None = None) -> ast.expr:
    """A variable: read, or what `context` says."""
    return ast.Name(id=text, ctx=context or ast.Load())


def defined(name: str, arguments: ast.arguments, body: list[ast.stmt], place: ast.AST) -> ast.FunctionDef:
    """A function's definition, at the lines of `place`."""
    made: Any = ast.FunctionDef(name=name, args=arguments, body=body, decorator_list=[], returns=None)
    made.type_params = []
    return ast.fix_missing_locations(ast.copy_location(made, place))


def without_defaults(arguments: ast.arguments) -> ast.arguments:
    """Arguments without annotations and defaults, which the function has already."""
    for child in ast.walk(arguments):
        if isinstance(child, ast.arg):
            child.annotation = None
    arguments.defaults, arguments.kw_defaults = [], [None] * len(arguments.kwonlyargs)
    return arguments


def compiled(definitions: list[ast.FunctionDef], free: list[str], code: CodeType) -> dict[str, CodeType]:
    """The code of some functions by name, with `free` as free variables: compiled inside a function that has them."""
    arguments = ast.arguments(
        posonlyargs=[], args=[ast.arg(arg=v) for v in free], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    outer = defined("outer", arguments, list(definitions), definitions[-1])
    module = ast.fix_missing_locations(ast.Module(body=[outer], type_ignores=[]))
    compiled = compile(module, code.co_filename, "exec", flags=code.co_flags & _FUTURE, dont_inherit=True)
    [inside] = [c for c in compiled.co_consts if isinstance(c, CodeType)]
    return {c.co_name: c for c in inside.co_consts if isinstance(c, CodeType)}


def made_of(
    code: CodeType, function: FunctionType, cells: dict[str, CellType], definition: ast.FunctionDef
) -> FunctionType:
    """A function with the globals, the cells and the name of another. definition: its tree, should it be split itself."""
    name = function.__code__.co_name
    names = {"co_qualname": function.__qualname__} if sys.version_info >= (3, 11) else {}
    code = code.replace(co_name=name, **names)
    closure = tuple(cells[free] for free in code.co_freevars)
    made = FunctionType(code, function.__globals__, name, None, closure)
    made.__qualname__, made.__module__ = function.__qualname__, function.__module__
    _regions[made] = definition
    return made
