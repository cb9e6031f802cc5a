"""The pool: nesting, forks, exit, idleness; results do not depend on how many threads there are."""

import os
import subprocess
import sys
import threading

import pytest

import mashal as torch
from mashal.machine import jit, threads
from mashal.machine.text import Module, Value


@pytest.fixture(autouse=True)
def threads_as_before():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def test_nested_jobs_run_every_chunk():
    import ctypes

    module = Module()
    hits = module.add_global("kernel_hits", "internal global i64 0")
    chunk = [("ptr", "context"), ("i64", "chunk"), ("i64", "thread")]
    inner = module.function("kernel_inner", "void", chunk, linkage="internal")
    inner.do(f"%x = atomicrmw add ptr {hits.spelling}, i64 1 seq_cst")
    inner.end()
    outer = module.function("kernel_outer", "void", chunk, linkage="internal")
    outer.call("void", threads.PARALLEL_FOR, Value(outer, "@kernel_inner", "ptr"), Value(outer, "null", "ptr"), 5)
    outer.end()
    f = module.function("kernel", "i64", [("ptr", "words")])
    f.call("void", threads.PARALLEL_FOR, Value(f, "@kernel_outer", "ptr"), Value(f, "null", "ptr"), 100)
    f.end(f.load(Value(f, hits.spelling, "ptr"), type="i64"))
    run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(jit.compile(module))
    assert run(None) == 500


def test_results_are_the_same_bits_with_any_number_of_threads():
    torch.manual_seed(0)
    x = torch.randn(300, 1000)
    results = []
    for n in (1, 2, 3):
        torch.set_num_threads(n)
        results.append([x.sum().item(), x.sum(0).tolist(), torch.softmax(x, 1).sum().item(), (x @ x.T).sum().item()])
    assert results[0] == results[1] == results[2]


def test_several_python_threads_compute_at_once():
    x = torch.arange(300_000, dtype=torch.float32)
    wrong = []

    def work():
        for _ in range(50):
            if not torch.equal(x + x, x * 2):
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(4)]
    [w.start() for w in workers]
    [w.join() for w in workers]
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_computes():
    x = torch.arange(300_000, dtype=torch.float32)
    expected = (x * 2).sum().item()
    child = os.fork()
    if child == 0:
        os._exit(0 if (x * 2).sum().item() == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    "code",
    [
        "(x + x)",
        "threading.Thread(target=lambda: [x + x for _ in range(10**9)], daemon=True).start(); time.sleep(0.05)",
    ],
    ids=["at once", "with a thread inside a kernel"],
)
def test_a_process_leaves_cleanly(code):
    text = f"import mashal as torch, threading, time\nx = torch.ones(1_000_000)\n{code}\n"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_number_of_threads_is_at_least_one():
    threads.set_num_threads(0)
    assert threads.get_num_threads() == 1


def test_plans_that_were_made_for_fewer_threads_keep_to_their_scratch():
    """A batch has scratch for as many threads as there were when it was planned."""
    a, b = torch.randn(40, 300, 700), torch.randn(40, 700, 200).transpose(1, 2).contiguous().transpose(1, 2)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = torch.bmm(a, b)
        for threads in (2, 8, 3):
            torch.set_num_threads(threads)
            for _ in range(3):
                assert torch.equal(torch.bmm(a, b), one)
    finally:
        torch.set_num_threads(before)
