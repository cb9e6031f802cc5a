"""What is public is named, and what is named is there and explained."""

import ast
import importlib
import inspect
import subprocess
import sys
import types

import pytest

import mashal
from test_layers import MODULES

PUBLIC = sorted(
    name
    for name in MODULES
    if name.split(".")[1:2] in (["nn"], ["optim"], ["utils"], ["autograd"], ["cuda"]) or name == "mashal"
)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is(name):
    assert ast.get_docstring(ast.parse(MODULES[name].read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_names_is_there(name):
    module = importlib.import_module(name)
    names = getattr(module, "__all__", [])
    assert [n for n in names if not hasattr(module, n)] == []
    assert len(set(names)) == len(names)


def test_all_is_what_mashal_exports():
    assert all(hasattr(mashal, n) for n in mashal.__all__)  # what is imported later is imported here
    exported = {n for n, v in vars(mashal).items() if not n.startswith("_") and not isinstance(v, types.ModuleType)}
    named = {n for n in mashal.__all__ if not isinstance(getattr(mashal, n), types.ModuleType)}
    assert named == exported


def test_a_name_that_mashal_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'mashal' has no attribute 'nothing_of_the_kind'"):
        mashal.nothing_of_the_kind


def test_importing_mashal_does_not_import_what_many_programs_never_use():
    code = "import mashal, sys; print([n for n in sys.modules if n.split('.')[0] in ('numpy', 'llvmlite') or n == 'mashal.nn'])"
    run = [sys.executable, "-c", code]
    subprocess.run(run, check=True)  # the first one may compile
    assert subprocess.run(run, check=True, capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_explained(name):
    module = importlib.import_module(name)
    public = [n for n in getattr(module, "__all__", []) if not n.startswith("_")]
    things = [(n, getattr(module, n)) for n in public]
    assert [n for n, thing in things if callable(thing) and not inspect.getdoc(thing)] == []
