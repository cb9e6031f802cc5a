"""Objects brought into memory without LLVM."""

import ctypes
import os
import subprocess
import sys

import pytest

from mashal.machine import loader
from mashal.machine.jit import JIT

pytestmark = pytest.mark.skipif(not loader.KNOWN, reason="this system's objects are loaded by LLVM")

TEXT = """
@count = internal global i64 {start}
declare double @pow(double, double)
declare i64 @ours(i64)
define i64 @{name}_next() nounwind {{
  %n = load i64, ptr @count
  %m = add i64 %n, 1
  store i64 %m, ptr @count
  ret i64 %m
}}
define double @{name}_power(double %x) nounwind {{
  %y = call double @pow(double %x, double 0.5)
  ret double %y
}}
define i64 @{name}_asked(i64 %x) {{
  %y = call i64 @ours(i64 %x)
  ret i64 %y
}}
"""


def placed(name, start=0, **outside):
    return loader.load(JIT.engine.compile(TEXT.format(name=name, start=start)), outside)


@pytest.fixture(scope="module")
def addresses():
    double = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(lambda x: 2 * x)
    yield placed("a", 40, ours=ctypes.cast(double, ctypes.c_void_p).value)


def test_what_is_written_keeps_its_first_value(addresses):
    following = ctypes.CFUNCTYPE(ctypes.c_int64)(addresses["a_next"])
    assert [following(), following()] == [41, 42]


def test_functions_of_the_c_library_are_found(addresses):
    assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(addresses["a_power"])(9.0) == 3.0


def test_names_that_were_provided_are_called(addresses):
    assert ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(addresses["a_asked"])(21) == 42


def test_an_object_with_a_name_that_nobody_has_is_left_to_llvm():
    assert placed("b") is None


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", b"MZ" * 100])
def test_what_is_no_object_of_this_kind_is_left_to_llvm(damage):
    assert loader.load(damage, {}) is None


def test_a_forked_child_has_variables_of_its_own():
    following = ctypes.CFUNCTYPE(ctypes.c_int64)(placed("c", ours=1)["c_next"])
    child = os.fork()
    if child == 0:
        os._exit(0 if [following(), following()] == [1, 2] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert following() == 1


def test_code_can_not_be_written(addresses):
    write = "import ctypes; from tests.machine import test_loader as t; ctypes.memset(t.placed('d', ours=1)['d_next'], 0, 1)"
    done = subprocess.run([sys.executable, "-c", write], capture_output=True, cwd=os.getcwd())
    assert done.returncode < 0


def test_a_process_whose_kernels_are_cached_never_loads_llvm(tmp_path):
    code = "import mashal as torch, sys; print((torch.ones(3) + 1).tolist(), 'llvmlite.binding' in sys.modules)"
    environment = os.environ | {"MASHAL_CACHE": str(tmp_path)}
    printed = [
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout
        for _ in range(2)
    ]
    assert printed[1] == "[2.0, 2.0, 2.0] False\n"


def test_machine_code_is_there_to_the_very_end_of_a_process():
    code = "import mashal as torch\nclass C: pass\nc = C(); c.c = c; c.x = torch.ones(3); c.y = torch.nn.Linear(2, 2)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
