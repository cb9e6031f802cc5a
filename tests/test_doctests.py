"""The examples in docstrings are true: every one of them runs here.

The search is our own: an operation is made by a decorator, and the standard search takes it for another module's.
"""

import ast
import doctest
import importlib
import inspect

import pytest

import mashal as torch
from test_layers import MODULES

OPTIONS = doctest.ELLIPSIS
PARSER = doctest.DocTestParser()


def explained(name):
    """(name, docstring, line) of a module and of what is written in it, as the file has it."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            text = ast.get_docstring(node)
            if text and ">>>" in text:
                yield getattr(node, "name", "module"), inspect.cleandoc(text), getattr(node, "lineno", 1)


CASES = [pytest.param(name, *example, id=f"{name}:{example[0]}") for name in MODULES for example in explained(name)]


@pytest.mark.parametrize(("module", "name", "text", "line"), CASES)
def test_the_example_runs(module, name, text, line):
    names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional}
    names |= vars(importlib.import_module(module))
    names["__name__"] = "__main__"
    torch.manual_seed(0)
    told = []
    example = PARSER.get_doctest(text, names, f"{module}.{name}", str(MODULES[module]), line)
    doctest.DocTestRunner(optionflags=OPTIONS).run(example, out=told.append)
    assert not told, "".join(told)
