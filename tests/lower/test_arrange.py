"""How batches are broadcast, collapsed and folded, checked by computing them."""

import ctypes

import numpy as np
import pytest

from mashal.lower.arrange import arrange
from mashal.lower.matmul import contraction
from mashal.lower.problem import WORDS
from mashal.machine import jit, threads


def strides(x):
    return [s // x.itemsize for s in x.strides]


def product(a, b):
    """(A @ B by the kernel, its plan)"""
    plan = arrange(a.shape, strides(a), b.shape, strides(b), "float", threads=threads.get_num_threads())
    c = np.full(np.broadcast_shapes(a.shape[:-2], b.shape[:-2]) + (a.shape[-2], b.shape[-1]), np.nan, np.float32)
    if not plan.copy:
        scratch = np.zeros(plan.scratch + 64, np.uint8)
        pointers = [x.ctypes.data for x in (c, a, b)] + [0, scratch.ctypes.data, 0, 0]
        words = (ctypes.c_int64 * len(WORDS))(*pointers, *plan.sizes)
        address = jit.compile(contraction(plan.element, plan.form, batched=plan.batched))
        assert ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(address)(ctypes.addressof(words)) == -1
    return c, plan


@pytest.mark.parametrize(
    "a, b, batched",
    [
        ((5, 7, 9), (9, 4), False),
        ((2, 3, 5, 9), (9, 4), False),
        ((6, 1, 9), (9, 4), False),
        ((9,), (9, 4), False),
        ((3, 5, 9), (3, 9, 4), True),
        ((2, 3, 5, 9), (3, 9, 4), True),
        ((2, 1, 5, 9), (3, 9, 4), True),
        ((5, 9), (2, 3, 9, 4), True),
        ((20, 200, 90), (20, 90, 210), True),
        ((2, 300, 400), (2, 400, 310), True),
    ],
)
def test_batches_broadcast(a, b, batched):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(a, np.float32), rng.standard_normal(b, np.float32)
    a = a[None] if a.ndim == 1 else a
    c, plan = product(a, b)
    assert plan.batched == batched
    np.testing.assert_allclose(c, a.astype(np.float64) @ b, rtol=1e-4, atol=1e-4)


def test_heads_are_read_where_they_lie():
    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal((2, 10, 4, 16), np.float32).transpose(0, 2, 1, 3) for _ in range(2))
    c, plan = product(a, b.swapaxes(-1, -2))
    assert plan.sizes[8:10] == (2, 4)
    np.testing.assert_allclose(c, a @ b.swapaxes(-1, -2), rtol=1e-4, atol=1e-5)


def test_three_dimensions_that_do_not_collapse_ask_for_a_copy():
    a = np.ones((2, 2, 3, 2, 4), np.float32).transpose(2, 1, 0, 3, 4)
    b = np.ones((3, 2, 2, 4, 5), np.float32)
    assert product(a, b)[1].copy
    assert not product(np.ascontiguousarray(a), b)[1].copy


def test_results_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(2)
    before = threads.get_num_threads()
    shapes = [((1, 700), (700, 900)), ((300, 3000), (3000, 200)), ((200, 500), (500, 300)), ((900, 700), (700, 1))]
    try:
        for a, b in shapes:
            a, b = rng.standard_normal(a, np.float32), rng.standard_normal(b, np.float32)
            results = []
            for n in (1, 2, 3):
                threads.set_num_threads(n)
                results.append(product(a, b)[0])
            assert all((r == results[0]).all() for r in results)
    finally:
        threads.set_num_threads(before)
