"""Imports go one way: this reads all of them, without running any.

    errors, switches < machine < core < lang < lower < ops < autograd < methods < capture < nn, optim, … < mashal itself

None stands inside a function, there is no cycle, and PyTorch is never imported. A `later("module")` goes the same way, but
may stand anywhere: it imports nothing until the module is used.
"""

import ast
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
FILES = sorted(SOURCE.rglob("*.py"))
FLOORS = ["errors", "switches", "machine", "core", "lang", "lower", "ops", "autograd", "methods", "capture"]
HEIGHT = {name: height for height, name in enumerate(FLOORS)} | {"switches": 0, "later": 0, "nearest": 0}
PUBLIC = len(FLOORS)  # nn, optim, utils and all other public namespaces
ROOF = PUBLIC + 1  # mashal itself and its command line


@dataclass(frozen=True)
class Import:
    """One imported module: who imports it, where, and whether a function or only a type checker does."""

    importer: str
    imported: str
    line: int
    inside: bool
    typing: bool
    later: bool = False


def module_name(path):
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def height(module):
    """The floor a module stands on; its folder or file directly under mashal decides."""
    parts = module.split(".")
    if len(parts) == 1 or parts[1] == "__main__":
        return ROOF
    return HEIGHT.get(parts[1], PUBLIC)


def named_by(statement, importer):
    """The modules that an import statement names; of `from a import b`, b where that is a module."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    base = statement.module or ""
    if statement.level:
        package = importer if MODULES[importer].name == "__init__.py" else importer.rpartition(".")[0]
        for _ in range(statement.level - 1):
            package = package.rpartition(".")[0]
        base = f"{package}.{base}".rstrip(".")
    return [f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in statement.names]


def imports_below(node, importer, inside=False, typing=False):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            for imported in named_by(child, importer):
                yield Import(importer, imported, child.lineno, inside, typing)
        if isinstance(child, ast.Call) and ast.unparse(child.func) == "later":
            yield Import(importer, ast.literal_eval(child.args[0]), child.lineno, inside, typing, later=True)
        is_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        yield from imports_below(child, importer, inside or is_function, typing or for_types)


IMPORTS = [
    found
    for module, path in MODULES.items()
    for found in imports_below(ast.parse(path.read_text(encoding="utf-8")), module)
]


def shown(imports):
    return [f"{i.importer}:{i.line} imports {i.imported}" for i in imports]


def test_imports_go_one_way():
    ours = [i for i in IMPORTS if i.imported.split(".")[0] == "mashal" and not i.typing]
    assert shown(i for i in ours if height(i.imported) > height(i.importer)) == []


def test_no_import_stands_inside_a_function():
    assert shown(i for i in IMPORTS if i.inside and not i.later) == []


def test_pytorch_is_never_imported():
    assert shown(i for i in IMPORTS if i.imported.split(".")[0] == "torch") == []


def test_llvm_is_imported_by_nothing_that_mashal_imports_at_once():
    assert {i.importer for i in IMPORTS if i.imported.split(".")[0] == "llvmlite"} == {"mashal.machine.engine"}
    assert shown(i for i in IMPORTS if i.imported == "mashal.machine.engine" and not i.later) == []


@pytest.mark.parametrize("package", ["numpy", "scipy"])
def test_what_takes_long_to_import_is_imported_when_it_is_first_used(package):
    assert shown(i for i in IMPORTS if i.imported.split(".")[0] == package and not (i.typing or i.later)) == []


def test_there_is_no_cycle():
    below = defaultdict(set)
    for i in IMPORTS:
        if i.imported in MODULES and i.imported != i.importer and not (i.typing or i.later):
            below[i.importer].add(i.imported)
    finished, path = set(), []

    def visit(module):
        assert module not in path, "a cycle: " + " > ".join([*path[path.index(module) :], module])
        if module not in finished:
            path.append(module)
            for other in sorted(below[module]):
                visit(other)
            finished.add(path.pop())

    for module in MODULES:
        visit(module)


def test_no_module_hides_a_public_function():
    hiding = {
        "tensor",
        "compile",
        "matmul",
        "sort",
        "norm",
        "sum",
        "max",
        "min",
        "all",
        "any",
        "mean",
        "where",
        "stack",
    }
    assert [m for m in MODULES if m.count(".") == 1 and m.rpartition(".")[2] in hiding] == []
