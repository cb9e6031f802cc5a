"""Routines that modules ask for by name, and loops that run until a condition fails."""

import ctypes

import pytest

from mashal.machine import jit
from mashal.machine.text import Module


def native(module):
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(jit.compile(module))


def test_a_repeated_body_runs_until_its_condition_fails():
    m = Module()
    f = m.function("kernel", "i64", [("i64", "n")])

    def halve(n, steps):
        return [n.compare("sgt", 3), n >> 1, steps + 1]

    f.end(f.repeat(halve, [f.parameters[0], f.i64(0)])[1])
    steps = native(m)
    assert [steps(n) for n in (0, 3, 4, 1000)] == [1, 1, 2, 9]


def test_a_promised_routine_is_compiled_when_a_module_first_asks_for_it():
    built = []

    def triple():
        m = Module()
        f = m.function("kernel", "i64", [("i64", "n")])
        f.end(f.parameters[0] * 3)
        built.append(m)
        return m

    jit.JIT.promise("test_triple", triple)
    assert not built
    for add in (1, 2):
        m = Module()
        f = m.function("kernel", "i64", [("i64", "n")])
        f.end(f.call("i64", "test_triple", f.parameters[0]) + add)
        assert native(m)(5) == 15 + add
    assert len(built) == 1


def test_a_name_that_nobody_promised_is_refused():
    m = Module()
    f = m.function("kernel", "i64", [])
    f.end(f.call("i64", "test_nobody"))
    with pytest.raises(RuntimeError, match="test_nobody"):
        jit.compile(m)
