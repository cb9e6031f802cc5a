"""The environment's switches: one table, read in one place, and a wrong value is an error."""

import re
import subprocess
import sys

import pytest

from mashal import switches
from mashal.switches import Switch, parsed
from test_layers import FILES


def elsewhere():
    return {path: path.read_text(encoding="utf-8") for path in FILES if path.name != "switches.py"}


def test_no_other_file_reads_a_switch_for_itself():
    reads = re.compile(r"(environ|getenv)\W+(get\W+)?MASHAL_")
    assert [path.name for path, text in elsewhere().items() if reads.search(text)] == []


@pytest.mark.parametrize("name", [name for name, row in vars(switches).items() if isinstance(row, Switch)])
def test_every_switch_is_used(name):
    assert any(re.search(rf"\b{name}\b", text) for text in elsewhere().values())


def test_the_table_shows_every_switch_and_names_strangers(monkeypatch):
    monkeypatch.setenv("MASHAL_TREADS", "2")
    table = switches.table()
    assert all(name in table for name in switches.SWITCHES)
    assert re.search(r"MASHAL_TREADS +is not a switch", table)


@pytest.mark.parametrize(
    ("text", "default", "value"), [("2", 0, 2), ("3k", 0, 3072), ("ON", False, True), ("x", "", "x")]
)
def test_a_value_has_the_type_of_its_default(text, default, value):
    assert parsed("MASHAL_X", text, default) == value


@pytest.mark.parametrize(("text", "default"), [("", 0), ("-1", 0), ("many", 0), ("K", 0), ("2", True), ("", True)])
def test_a_value_of_the_wrong_kind_is_refused(text, default):
    with pytest.raises(ValueError, match="MASHAL_X: "):
        parsed("MASHAL_X", text, default)


def test_a_wrong_value_is_told_at_import():
    command = [sys.executable, "-c", "import mashal.switches"]
    done = subprocess.run(
        command, env={"MASHAL_THREADS": "all", "PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "ValueError: MASHAL_THREADS: 'all' is not a whole number" in done.stderr
