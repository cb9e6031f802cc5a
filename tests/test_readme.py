"""README's first example prints what it says, and the examples of `examples/` run."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAPERS = [
    ROOT / name for name in ("README.md", "CONTRIBUTING.md", "docs/guide.md", "docs/compile.md", "benchmarks/README.md")
]


def blocks_of(paper):
    """(code, what it prints) for each block of Python in a paper."""
    return re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", paper.read_text(encoding="utf-8"), re.S)


BLOCKS = [pytest.param(*block, id=f"{paper.name} {n}") for paper in PAPERS for n, block in enumerate(blocks_of(paper))]


@pytest.mark.parametrize(("code", "output"), BLOCKS)
def test_an_example_prints_what_stands_below_it(code, output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, shown = tmp_path / "example.py", io.StringIO()
    path.write_text(code, encoding="utf-8")  # compile cuts functions by their source
    with contextlib.redirect_stdout(shown):
        exec(compile(code, str(path), "exec"), {"__name__": "readme"})
    assert shown.getvalue() == output


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_every_block_of_python_is_run(paper):
    assert len(blocks_of(paper)) == paper.read_text(encoding="utf-8").count("```python")


def test_the_readme_has_an_example():
    assert blocks_of(ROOT / "README.md")


def test_every_command_of_the_readme_is_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [name for name in re.findall(r"make (\w+)", README) if f"\n{name}:" not in makefile] == []


MEASURE = """
import pathlib, re, resource, runpy, sys
runpy.run_path(sys.argv[1], run_name="__main__")
status = pathlib.Path("/proc/self/status")  # its own peak: getrusage counts what the parent held when it forked
most = re.search(r"VmHWM:\\s*(\\d+)", status.read_text())[1] if status.exists() else resource.getrusage(0).ru_maxrss
print("resident", int(most) // 1024)
"""


def run(name):
    """What an example prints, and behind it the most memory it held, in MB."""
    path = ROOT / "examples" / name
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_digits_are_learnt_in_little_memory():
    printed = run("digits.py")
    tested = re.search(r"([\d.]+)% on what it has never seen", printed)
    assert tested
    assert float(tested[1]) >= 96.0
    assert int(printed.split()[-1]) < 200


def test_the_first_network_prints_pytorchs_losses():
    printed = run("appendix_a.py")
    assert re.findall(r"Train Loss: ([\d.]+)", printed) == ["0.75", "0.65", "0.44", "0.13", "0.03", "0.00"]
    assert "accuracy: 1.0 on train, 1.0 on test" in printed


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_every_file_that_is_named_is_there(paper):
    named = re.findall(r"`([\w/]+(?:\.\w+|/))`", paper.read_text(encoding="utf-8"))
    places = [ROOT, ROOT / "src", ROOT / "src/mashal", paper.parent]
    assert [name for name in named if "/" in name and not any((place / name).exists() for place in places)] == []


def test_the_reference_is_written(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "docs/reference.py", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "## xavier_uniform_" in (tmp_path / "mashal.nn.init.md").read_text(encoding="utf-8")
    assert "## disable" in (tmp_path / "mashal.compiler.md").read_text(encoding="utf-8")
