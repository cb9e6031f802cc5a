"""Whose code a frame runs, and the program's frames above a moment.

The *program* is what the user wrote: code that is neither mashal's nor the standard library's nor of the packages that
mashal stands on. Other packages count as the program, for nobody promised that they have no effects.
"""

from __future__ import annotations

import dis
import functools
import os
import sysconfig
from collections.abc import Callable, Iterable
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any

__all__ = [
    "HOME",
    "IMPORTS",
    "LAYERS",
    "LIBRARY",
    "MASHAL",
    "PROGRAM",
    "code_of",
    "foreign",
    "function_in",
    "function_of",
    "is_library",
    "kind_of",
    "lines_above",
    "was_begun",
]

Lines = list[tuple[CodeType, int]]

PROGRAM, MASHAL, LAYERS, LIBRARY, IMPORTS = "program", "mashal", "layers", "library", "imports"
HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_PATHS = sysconfig.get_paths()
_SITE = tuple({_PATHS["purelib"] + os.sep, _PATHS["platlib"] + os.sep})
_STANDARD = tuple({_PATHS["stdlib"] + os.sep, _PATHS["platstdlib"] + os.sep, os.path.dirname(os.__file__) + os.sep})
_FOREIGN = (HOME, *_STANDARD, *_SITE)
_ENGINES = tuple(f"{os.sep}{package}{os.sep}" for package in ("numpy", "scipy", "llvmlite"))
_YIELDS = frozenset(dis.opmap[name] for name in ("YIELD_VALUE", "YIELD_FROM") if name in dis.opmap)


def kind_of(frame: FrameType) -> str:
    """Whose code it is, by its file: the program's, mashal's, a layer's of mashal, the library's, or the importer's."""
    file = frame.f_code.co_filename
    if file == "<string>" or file.startswith("<string "):  # methods that dataclasses and named tuples wrote
        name = str(frame.f_globals.get("__name__"))
        if name.startswith("namedtuple_"):
            return LIBRARY
        if name.partition(".")[0] == "mashal":
            return MASHAL
    if file.startswith(HOME):
        return LAYERS if file.startswith("nn" + os.sep, len(HOME)) else MASHAL
    if file.startswith("<frozen"):
        return IMPORTS if "importlib" in file else LIBRARY
    if file.startswith(_SITE) or "site-packages" in file or "dist-packages" in file:
        return LIBRARY if any(package in file for package in _ENGINES) else PROGRAM
    if file.startswith(_STANDARD):
        return IMPORTS if f"{os.sep}importlib{os.sep}" in file else LIBRARY
    return PROGRAM


def foreign(file: str | None) -> bool:
    """Whether a module with this file (None: it has none) is mashal's, the standard library's or an installed one."""
    return file is None or file.startswith(_FOREIGN)


def is_library(function: Any) -> bool:
    """Whether this is a function of the standard library, written in Python."""
    return isinstance(function, FunctionType) and function.__code__.co_filename.startswith(_STANDARD)


def code_of(function: Any) -> CodeType | None:
    """The code that a function, method, partial, module or wrapped function runs in the end; None if there is none.

    >>> code_of(len) is None, code_of(nn.Linear(2, 2)) is nn.Linear.forward.__code__
    (True, True)
    """
    found = function_of(function)
    return None if found is None else found.__code__


def function_of(function: Any) -> FunctionType | None:
    """The function that one, a method, partial, module or wrapped function runs in the end; None if there is none."""
    for _ in range(100):
        if isinstance(function, MethodType):
            of_module = function.__name__ == "_call_impl" and hasattr(function.__self__, "forward")
            function = function.__self__.forward if of_module else function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif isinstance(function, FunctionType):
            return function
        elif isinstance(function, functools.partial):
            function = function.func
        elif hasattr(type(function), "forward"):
            function = type(function).forward
        elif isinstance(getattr(type(function), "__call__", None), FunctionType):  # noqa: B004
            function = type(function).__call__
        else:
            return None
    return None


def function_in(frame: FrameType, candidates: Iterable[Any]) -> FunctionType | None:
    """The function that runs in a frame, if it is among these: of several with one code, the one whose cells the frame sees."""
    functions = (f for f in candidates if isinstance(f, FunctionType) and f.__code__ is frame.f_code)
    return next((f for f in functions if _sees_cells_of(frame, f)), None)


def _sees_cells_of(frame: FrameType, function: FunctionType) -> bool:
    """Whether a frame of a function's code sees what the function's cells hold."""
    seen = frame.f_locals
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            held = cell.cell_contents
        except ValueError:  # a variable without a value
            if name in seen:
                return False
        else:
            if name not in seen or seen[name] is not held:
                return False
    return True


def lines_above(frame: FrameType | None, is_program: Callable[[FrameType], bool], last: FrameType | None) -> Lines:
    """The program's frames from the outermost (below `last`, which is left out) down to `frame`: (code, line) each."""
    chain = []
    while frame is not None and frame is not last:
        if is_program(frame):
            chain.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return chain[::-1]


def was_begun(frame: FrameType) -> bool:
    """Whether a generator's frame, about to run, stands behind a yield."""
    code, last = frame.f_code.co_code, frame.f_lasti
    if last < 0:
        return False
    operation, argument = code[last], code[last + 1]
    return operation in _YIELDS or (operation == dis.opmap.get("RESUME") and argument & 3 != 0)
