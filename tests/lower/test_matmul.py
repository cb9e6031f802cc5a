"""Matrix products against numpy: every dtype, transpose, edge, stride, batch and epilogue; nothing written outside."""

import ctypes
import itertools

import numpy as np
import pytest

from mashal.lower.matmul import FORMS, alternatives, choose, contraction, scratch_bytes
from mashal.lower.problem import BATCH, WORDS
from mashal.lower.tiles import Epilogue, relu
from mashal.machine import jit, threads

DTYPES = {
    "float": np.float32, "double": np.float64, "half": np.float16, "bfloat": np.uint16,
    "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64,
}  # fmt: skip
GUARD = 5
SIZES = [
    (1, 1, 1), (1, 7, 100), (1, 1030, 77), (7, 1, 33), (1100, 1, 20), (2, 30, 2), (2, 2, 30), (3, 5, 0), (5, 33, 17),
    (13, 31, 50), (64, 64, 64), (65, 67, 69), (100, 130, 800), (30, 4200, 21), (4, 300, 700),
]  # fmt: skip
KERNEL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
PLAIN = Epilogue()
kernels = {}


def kernel(element, form, epilogue=PLAIN, batched=False):
    key = element, form, epilogue, batched
    if key not in kernels:
        kernels[key] = KERNEL(jit.compile(contraction(element, form, epilogue, batched)))
    return kernels[key]


def to_bfloat(x):
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def values(rng, element, *shape):
    if element.startswith("i"):
        info = np.iinfo(DTYPES[element])
        return rng.integers(info.min, info.max, shape, DTYPES[element], endpoint=True)
    x = rng.standard_normal(shape)
    return to_bfloat(x) if element == "bfloat" else x.astype(DTYPES[element])


def as_numbers(x, element):
    """The elements in a type wide enough for the reference."""
    if element == "bfloat":
        return (x.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return x.astype(np.int64 if element.startswith("i") else np.float64)


def strided(x, how):
    """x in another layout: "row", "column", every second element, or reversed (negative strides)."""
    if how == "row":
        return np.ascontiguousarray(x)
    if how == "column":
        return np.asfortranarray(x)
    if how == "reversed":
        return np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
    big = np.zeros((2 * x.shape[0], 2 * x.shape[1]), x.dtype)
    big[::2, ::2] = x
    return big[::2, ::2]


def strides(x):
    return [s // x.itemsize for s in x.strides]


def word(x, element):
    """A scalar argument as the bits of a double, or an integer."""
    return int(x) if element.startswith("i") else int(np.float64(x).view(np.int64))


def run(element, a, b, c, form=None, epilogue=PLAIN, bias=None, alpha=1.0, beta=1.0, batch=None):
    (m, k), n = a.shape[-2:], b.shape[-1]
    layout = *strides(a)[-2:], *strides(b)[-2:]
    form = form or choose(m, n, k, element, *layout)
    size = scratch_bytes(form, m, n, k, element, layout[2], layout[1])
    count = threads.get_num_threads()
    scratch = np.full(size * count + 64, 77, np.uint8)
    pointers = [0 if x is None else x.ctypes.data for x in (c, a, b, bias, scratch)]
    sizes = [word(alpha, element), word(beta, element), m, n, k, strides(c)[-2], *layout]
    given = dict(zip(WORDS, [*pointers, *sizes])) | {"scratch_each": size} | (batch or {})
    words = (ctypes.c_int64 * len(WORDS))(*[given.get(name, 0) for name in WORDS])
    assert kernel(element, form, epilogue, batch is not None)(ctypes.addressof(words)) == -1
    assert (scratch[size * count :] == 77).all(), "wrote behind the scratch memory"
    return form


def guarded(element, c):
    """A copy of c with a margin, and the function that checks the margin."""
    m, n = c.shape
    whole = np.full((m + 2, n + GUARD), 9, DTYPES[element])
    inside = whole[1:-1, :n]
    inside[:] = c

    def check():
        assert (whole[[0, -1]] == 9).all() and (whole[:, n:] == 9).all(), "wrote outside C"

    return inside, check


def assert_near(got, want, element, k, inputs=1.0):
    if element.startswith("i"):
        np.testing.assert_array_equal(got, want.astype(DTYPES[element]))
        return
    digits = {"float": 2e-6, "double": 1e-14, "half": 1e-3, "bfloat": 8e-3}[element]
    scale = np.abs(want) + (k**0.5 if element in ("float", "double") else 0.01 * (k**0.5 + 1)) + 0.1
    error = np.abs(as_numbers(got, element) - want) / scale
    assert error.max(initial=0) < digits, (element, error.max())


@pytest.mark.parametrize("element", DTYPES)
def test_products_agree_with_numpy(element):
    rng = np.random.default_rng(0)
    sizes = SIZES if element in ("float", "bfloat") else SIZES[:-3]
    for (m, n, k), left, right in itertools.product(sizes, ("row", "column"), ("row", "column")):
        a, b = values(rng, element, m, k), values(rng, element, k, n)
        want = as_numbers(a, element) @ as_numbers(b, element)
        c, check = guarded(element, np.zeros((m, n), DTYPES[element]))
        run(element, strided(a, left), strided(b, right), c)
        check()
        assert_near(c, want, element, k)


OWN_SIZES = {"matvec": [(1, 50, 40), (50, 1, 40)], "dot": [(1, 1, 1), (1, 1, 40), (1, 1, 999)]}


@pytest.mark.parametrize("element", ["float", "double", "half", "bfloat", "i32"])
def test_alternatives_have_the_same_bits(element):
    rng = np.random.default_rng(6)
    for m, n, k in [(40, 70, 50), (17, 33, 300), (100, 20, 512), (100, 20, 1111)]:
        a, b = values(rng, element, m, k), strided(values(rng, element, k, n), "column")
        forms = alternatives("blocked", k, element)
        results = [np.zeros((m, n), DTYPES[element]) for _ in forms]
        for form, c in zip(forms, results):
            run(element, a, b, c, form)
        assert all((c == results[0]).all() for c in results), (k, forms)


def test_larger_problems_need_no_less_scratch():
    """A replay for many sizes has the room of the largest."""
    for element in DTYPES:
        needed = [scratch_bytes("blocked", 40, 40, k, element, 40, 1) for k in range(100, 5000, 7)]
        assert needed == sorted(needed)


@pytest.mark.parametrize("element", ["float", "bfloat", "i32"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_takes_every_stride(element, form):
    rng = np.random.default_rng(1)
    sizes = OWN_SIZES.get(form) or [(1, 1, 1), (5, 33, 17), (40, 70, 50), (13, 3, 2)]
    layouts = ("row", "column", "reversed", "second")
    for (m, n, k), left, right in itertools.product(sizes, layouts, layouts):
        a, b = strided(values(rng, element, m, k), left), strided(values(rng, element, k, n), right)
        if form == "matvec" and 1 not in (strides(b) if m == 1 else strides(a)):
            continue
        if form == "dot" and not strides(a)[1] == strides(b)[0] == 1:
            continue
        if form == "pairs" and (k % 2 or strides(a)[1] != 1):
            continue
        c, check = guarded(element, np.zeros((m, n), DTYPES[element]))
        run(element, a, b, c, form)
        check()
        assert_near(c, as_numbers(a, element) @ as_numbers(b, element), element, k)


@pytest.mark.parametrize("element", ["float", "half", "bfloat", "i8", "i32"])
@pytest.mark.parametrize("form", FORMS)
def test_the_epilogue_scales_adds_and_activates(element, form):
    rng = np.random.default_rng(2)
    epilogue = Epilogue(bias=True, activation=relu, alpha=True, accumulate=True)
    for m, n, k in OWN_SIZES.get(form) or [(1, 1, 2), (30, 70, 50), (14, 33, 900)]:
        a, b = values(rng, element, m, k), values(rng, element, k, n)
        b = strided(b, "column") if form == "dot" else b
        bias, old = values(rng, element, n), values(rng, element, m, n)
        c, check = guarded(element, old)
        run(element, a, b, c, form, epilogue, bias, alpha=3, beta=-2)
        check()
        x, y = as_numbers(a, element) @ as_numbers(b, element), as_numbers(old, element)
        want = 3 * x - 2 * y + as_numbers(bias, element)
        want = want.astype(DTYPES[element]) if element.startswith("i") else want
        assert_near(c, np.maximum(want, 0), element, 9 * k)


@pytest.mark.parametrize("element", ["float", "half", "i64"])
def test_a_half_sum_over_many_blocks_is_rounded_once(element):
    rng = np.random.default_rng(3)
    m, n, k = 20, 40, 3000
    a, b = values(rng, element, m, k), values(rng, element, k, n)
    c, check = guarded(element, np.zeros((m, n), DTYPES[element]))
    run(element, a, b, c, "blocked")
    check()
    want = as_numbers(a, element) @ as_numbers(b, element)
    assert_near(c, want, element, k)
    if element == "half":
        assert (c == want.astype(np.float16)).mean() > 0.99


@pytest.mark.parametrize("form", ["few", "small", "blocked"])
@pytest.mark.parametrize("shape", [(3, 5), (20, 1), (2, 2)])
def test_a_batch_may_be_broadcast_and_permuted(form, shape):
    rng = np.random.default_rng(4)
    m, n, k = 9, 35, 20
    a = values(rng, "float", *shape, m, k)
    b = values(rng, "float", k, shape[0], 1, n).transpose(1, 2, 0, 3)  # broadcast in dimension 1, permuted
    c = np.full((*shape, m, n), np.nan, np.float32)
    (sa0, sa1), (sb0, _), (sc0, sc1) = strides(a)[:2], strides(b)[:2], strides(c)[:2]
    batch = dict(zip(BATCH, [*shape, sa0, sa1, sb0, 0, sc0, sc1]))
    run("float", a, b, c, form, batch=batch)
    assert_near(c, a.astype(np.float64) @ b, "float", k)


def test_nan_and_infinity_pass_through():
    a, b = np.ones((3, 4), np.float32), np.ones((4, 40), np.float32)
    a[1, 2], b[0, 5] = np.nan, np.inf
    c = np.zeros((3, 40), np.float32)
    run("float", a, b, c, epilogue=Epilogue(activation=relu))
    assert np.isnan(c[1]).all() and c[0, 5] == np.inf and c[2, 6] == 4
