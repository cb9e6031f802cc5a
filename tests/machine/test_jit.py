"""The engine: what it refuses to load, and what it compiles once."""

import os
import threading
import time

import pytest

from mashal.machine import jit
from mashal.machine.text import Module


def module_that_calls(name):
    module = Module()
    f = module.function("kernel", "i64", [("ptr", "words")])
    f.end(f.call("i64", name, 1))
    return module


def test_an_unknown_name_is_refused_before_it_can_be_called():
    with pytest.raises(RuntimeError, match="a module uses nobody_knows_this, which nobody provides"):
        jit.compile(module_that_calls("nobody_knows_this"))


def test_text_that_does_not_parse_is_an_error():
    with pytest.raises(RuntimeError):
        jit.compile("define i64 @kernel(ptr %w) { nonsense }")


def test_the_same_text_is_compiled_once():
    def constant(n):
        module = Module()
        f = module.function("kernel", "i64", [("ptr", "words")])
        f.end(f.constant("i64", n))
        return module

    first = jit.compile(constant(41))
    before = jit.JIT.compiled
    assert jit.compile(constant(41)) == first and jit.compile(constant(42)) != first
    assert jit.JIT.compiled <= before + 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork")
def test_a_process_is_not_forked_while_another_thread_compiles():
    held = threading.Event()

    def compiles():
        with jit.JIT.lock:
            held.set()
            time.sleep(0.1)

    thread = threading.Thread(target=compiles)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        ours: list[bool] = []
        other = threading.Thread(target=lambda: ours.append(jit.JIT.lock.acquire(timeout=1)))
        other.start()
        other.join()
        os._exit(0 if ours == [True] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.join()
