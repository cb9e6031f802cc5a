"""Plans: what they take, what they give back, what happens when something is wrong."""

import gc
import sys
import threading
import time

import pytest

from mashal.core import dtypes
from mashal.core.devices import CPU
from mashal.core.forms import form
from mashal.core.tensor import Tensor, empty, plan_of
from mashal.machine import jit, memory
from mashal.machine.launch import INTEGER, NUMBER
from mashal.machine.text import Module

FORM = form(dtypes.float64, CPU, (1,))


def kernel(body):
    """The address of a kernel whose status is what body(function, words) returns."""
    module = Module()
    f = module.function("kernel", "i64", [("ptr", "words")])
    status = body(f, f.parameters[0])
    f.end(f.constant("i64", -1) if status is None else status)
    return jit.compile(module)


def number(x):
    """A float64 tensor of one element that holds x."""
    store = plan_of(
        kernel(lambda f, words: f.store(f.word(words, 1, "double"), f.word(words, 0, "ptr"))), [(8, FORM)], [NUMBER]
    )
    return store(x)


read = plan_of(kernel(lambda f, words: None), [], [8], returns_first=True)


def value(x):
    return x.item()


def test_a_double_and_a_tensor_reach_the_kernel():
    def add(f, words):
        f.store(f.load(f.word(words, 1, "ptr"), type="double") + f.word(words, 2, "double"), f.word(words, 0, "ptr"))

    plan = plan_of(kernel(add), [(8, FORM)], [8, NUMBER])
    assert value(plan(number(1.5), 2)) == 3.5


def test_minus_one_is_a_number_like_any_other():
    assert value(number(-1.0)) == -1.0


def test_offsets_count_elements():
    pair = form(dtypes.float64, CPU, (2,))
    plan = plan_of(
        kernel(lambda f, words: f.store(f.constant("double", 7), f.word(words, 0, "ptr"), 1)), [(16, pair)], []
    )
    x = plan()
    second = Tensor.__new__(Tensor)
    for slot in ("node", "base", "version", "grad_", "hooks"):
        setattr(second, slot, None)
    second.capsule, second.offset, second.form, second.output, second.retains = x.capsule, 1, FORM, False, False
    copy = plan_of(
        kernel(lambda f, w: f.store(f.load(f.word(w, 1, "ptr"), type="double"), f.word(w, 0, "ptr"))), [(8, FORM)], [8]
    )
    assert value(copy(second)) == 7


def test_several_results_come_as_a_tuple():
    plan = plan_of(0, [(8, FORM), (8, FORM)], [])
    assert [type(x) for x in plan()] == [Tensor, Tensor]


def test_in_place_gives_the_first_operand_back():
    x = number(1.0)
    assert read(x) is x


@pytest.mark.parametrize("operands", [(), (1, 2), (object(),), ("text",), (None,)])
def test_wrong_operands_are_a_type_error(operands):
    with pytest.raises(TypeError):
        read(*operands)


@pytest.mark.parametrize(
    ("kind", "bad", "error"), [(NUMBER, "x", TypeError), (INTEGER, 1.5, TypeError), (INTEGER, 1 << 70, OverflowError)]
)
def test_numbers_of_the_wrong_kind_raise_what_python_raises(kind, bad, error):
    with pytest.raises(error):
        plan_of(0, [(8, FORM)], [kind])(bad)


def test_a_kernel_that_refuses_calls_fail_with_the_position():
    def fail(position, *operands):
        raise IndexError(f"position {position} of {len(operands)} operand(s)")

    plan = plan_of(kernel(lambda f, words: f.constant("i64", 7)), [(8, FORM)], [8], fail=fail)
    with pytest.raises(IndexError, match="position 7 of 1"):
        plan(number(0.0))


def test_memory_that_is_not_there_is_a_runtime_error_with_the_size():
    huge = form(dtypes.float64, CPU, (1 << 52,))
    with pytest.raises(RuntimeError, match=str(8 << 52)):
        empty(huge)


def test_calls_keep_no_reference_and_no_memory():
    x = number(1.0)
    gc.collect()
    counts = sys.getrefcount(x), sys.getrefcount(FORM), memory.statistics()["live"]
    plan = plan_of(0, [(8, FORM)], [8, NUMBER])
    for _ in range(1000):
        plan(x, 2.5)
        with pytest.raises(TypeError):
            plan(x)
    del plan
    after = sys.getrefcount(x), sys.getrefcount(FORM), memory.statistics()["live"]
    assert all(abs(a - b) <= 2 for a, b in zip(counts[:2], after[:2])) and after[2] == counts[2]


def test_scratch_memory_goes_back():
    before = memory.statistics()["live"]
    plan_of(kernel(lambda f, words: f.store(f.constant("i64", 1), f.word(words, 0, "ptr"))), [], [], scratch=1 << 16)()
    assert memory.statistics()["live"] == before


def test_other_threads_run_during_a_long_kernel():
    def spin(f, words):
        cell = f.stack(8)
        f.loop(0, f.word(words, 0), 1, lambda i: f.do(f"store volatile i64 {i.spelling}, ptr {cell.spelling}"))

    plan = plan_of(kernel(spin), [], [INTEGER], work=1 << 30)
    ticks, stop = [], threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(1)
            time.sleep(0.001)

    other = threading.Thread(target=tick)
    other.start()
    start = len(ticks)
    plan(300_000_000)
    ran = len(ticks) - start
    stop.set()
    other.join()
    assert ran > 5
