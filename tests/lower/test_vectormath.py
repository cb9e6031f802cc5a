"""Accuracy and special values of the vector mathematics, on vector kernels over wide sweeps.

float32 results are compared with float64 references, float64 ones with numpy's long double where that is longer.
Errors are in units in the last place of the exact result (of the smallest normal number where that is denormal).
"""

import ctypes
import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pytest

from mashal.lower.vectormath import FUNCTIONS, emit
from mashal.machine import jit
from mashal.machine.host import HOST
from mashal.machine.text import Module, vector

INF, NAN = math.inf, math.nan
TYPES = {"float": np.float32, "double": np.float64}
TWO_OPERANDS = {"pow", "fmod", "remainder", "atan2", "hypot", "nextafter", "copysign", "ldexp"} | {
    "logaddexp",
    "xlogy",
    "xlog1py",
}


# ---------------------------------------------------------------- running a function
@lru_cache(None)
def kernel(name, type, width):
    """The native function over contiguous arrays whose length is a multiple of the width (0: scalars, one by one)."""
    module = Module()
    f = module.function("kernel", "i64", [("ptr", "words")])
    out, *operands, n = [f.word(f.parameters[0], i, "ptr") for i in range(1 + operand_count(name))] + [None]
    n = f.word(f.parameters[0], 1 + operand_count(name))
    types = [vector(width, type), vector(width, "i64" if name == "ldexp" else type)]

    def step(i):
        f.store(emit(name, f, *[f.load(p, i, t) for p, t in zip(operands, types)]), out, i)

    f.loop(0, n, width or 1, step)
    f.end(f.i64(-1))
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(jit.compile(module))


def operand_count(name):
    return 2 if name in TWO_OPERANDS else 1


def run(name, *operands, scalar=False):
    """The function on arrays of float32 or float64."""
    x = np.atleast_1d(operands[0])
    type = "float" if x.dtype == np.float32 else "double"
    width = 0 if scalar else HOST.lanes(x.itemsize)
    padding = -x.size % (width or 1)
    arrays = [np.concatenate([np.atleast_1d(a), np.ones(padding, np.asarray(a).dtype)]) for a in operands]
    out = np.empty(x.size + padding, np.int32 if name == "frexp_exponent" else x.dtype)
    words = np.array([out.ctypes.data, *[a.ctypes.data for a in arrays], out.size], np.int64)
    kernel(name, type, width)(words.ctypes.data)
    return out[: x.size]


def error(got, exact):
    """The largest error in ulp; infinite where infinities or NaN are not where they should be."""
    rounded = np.asarray(exact).astype(got.dtype)
    if not (np.array_equal(np.isnan(got), np.isnan(rounded)) and np.array_equal(np.isinf(got), np.isinf(rounded))):
        return INF
    finite = np.isfinite(rounded)
    if not finite.any():
        return 0.0
    step = np.spacing(np.maximum(np.abs(rounded[finite]), np.finfo(got.dtype).tiny)).astype(exact.dtype)
    return float(np.max(np.abs(got[finite].astype(exact.dtype) - exact[finite]) / step))


# ---------------------------------------------------------------- references
def each(function):
    """A function of Python numbers on arrays; where it refuses, NaN."""

    def safe(*x):
        try:
            return function(*x)
        except (ValueError, OverflowError, ZeroDivisionError):
            return NAN

    return lambda *arrays: np.array([safe(*map(float, row)) for row in zip(*arrays)])


def digamma(x):
    """By recurrence and the asymptotic series, for positive x."""
    total = np.zeros_like(x)
    for _ in range(20):
        total, x = total - 1 / x, x + 1
    series = sum(c / x ** (2 * k + 2) for k, c in enumerate([1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132]))
    return total + np.log(x) - 0.5 / x - series


def bessel(order, scaled):
    """(1/π)·∫ exp(x·cos t)·cos(order·t) dt by the trapezoidal rule, which converges geometrically."""

    def function(x):
        t = np.arange(1, 400, dtype=np.longdouble) * (np.longdouble(np.pi) / 400)
        a = np.abs(x).astype(np.longdouble)[:, None]
        ends = 0.5 * (1 + (-1) ** order * np.exp(-2 * a[:, 0]))
        y = (ends + np.sum(np.exp(a * (np.cos(t) - 1)) * np.cos(order * t), axis=1)) / 400
        y = y if scaled else y * np.exp(a[:, 0])
        return np.where(x < 0, -y, y) if order else y

    return function


def inverse_of(function, low, high):
    """The inverse of an increasing function, by bisection."""

    def inverse(x):
        a, b = np.full(x.shape, low, float), np.full(x.shape, high, float)
        for _ in range(64):
            middle = (a + b) / 2
            above = function(middle) > x
            a, b = np.where(above, a, middle), np.where(above, middle, b)
        return (a + b) / 2

    return inverse


def sigmoid(x):
    return np.where(x < 0, np.exp(x) / (1 + np.exp(-np.abs(x))), 1 / (1 + np.exp(-np.abs(x))))


def half_erfc(x):
    return 0.5 * each(math.erfc)(-np.asarray(x, float) / math.sqrt(2))


NUMPY = {
    **{
        name: getattr(np, name)
        for name in [
            "exp",
            "exp2",
            "expm1",
            "log",
            "log2",
            "log10",
            "log1p",
            "sin",
            "cos",
            "tan",
            "sinh",
            "cosh",
            "tanh",
        ]
    },
    **{name: getattr(np, "arc" + name[1:]) for name in ["asin", "acos", "atan", "asinh", "acosh", "atanh"]},
    **{name: getattr(np, name) for name in ["sqrt", "cbrt", "floor", "ceil", "trunc"]},
    "round": np.rint,
    "rsqrt": lambda x: np.where(x == 0, np.copysign(np.inf, x), 1 / np.sqrt(x)),
    "sigmoid": sigmoid,
    "log1p_exp": lambda x: np.log1p(np.exp(-np.abs(x))),
}
EVERYWHERE = np.arange(0, 1 << 32, 65537, dtype=np.uint64).astype(np.uint32).view(np.float32)
RANDOM = np.random.default_rng(0)
SPREAD = RANDOM.integers(0, 1 << 64, 20_000, dtype=np.uint64).view(np.float64)
NEAR = np.concatenate([RANDOM.uniform(-s, s, 4_000) for s in (1e-3, 1, 3, 30, 700)])


@pytest.fixture(autouse=True)
def quiet_and_repeatable():
    RANDOM.bit_generator.state = np.random.PCG64(1).state
    with np.errstate(all="ignore"):
        yield


# ---------------------------------------------------------------- accuracy
@pytest.mark.parametrize("name", NUMPY)
def test_float_is_within_two_ulp_everywhere(name):
    x = np.concatenate([EVERYWHERE, NEAR.astype(np.float32)])
    assert error(run(name, x), NUMPY[name](x.astype(np.float64))) <= 2


@pytest.mark.parametrize("name", NUMPY)
def test_double_is_within_two_ulp(name):
    x = np.concatenate([SPREAD, NEAR])
    if name in ("sin", "cos", "tan"):  # long double's own reduction is too short; see the test of large angles
        x = x[np.abs(x) < 1e9]
    assert error(run(name, x), NUMPY[name](x.astype(np.longdouble))) <= 2


SPECIAL = {  # name: reference, interval, allowed ulp in float, relative error in double
    "erf": (each(math.erf), (-5, 5), 2, 4e-16),
    "erfc": (each(math.erfc), (-5, 9), 2, 1e-15),
    "erfinv": (inverse_of(each(math.erf), 0, 6.5), (0.001, 0.99), 4, 2e-14),
    "lgamma": (each(math.lgamma), (0.01, 30), 4, 1e-13),
    "digamma": (digamma, (0.01, 1.3), 4, 1e-13),
    "i0": (bessel(0, False), (-20, 20), 4, 1e-14),
    "i0e": (bessel(0, True), (-90, 90), 4, 1e-14),
    "i1": (bessel(1, False), (-20, 20), 4, 1e-14),
    "i1e": (bessel(1, True), (-90, 90), 4, 1e-14),
    "ndtr": (half_erfc, (-10, 6), 2, 1e-13),
    "log_ndtr": (lambda x: np.where(x < 2, np.log(half_erfc(x)), np.log1p(-half_erfc(-x))), (-30, 6), 2, 1e-13),
    "ndtri": (inverse_of(half_erfc, -10, 10), (1e-8, 0.49), 4, 1e-13),
    "erfcx": (lambda x: np.exp(x * x) * each(math.erfc)(x), (-4, 4), 2, 1e-14),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_special_functions(name):
    reference, interval, ulp, relative = SPECIAL[name]
    x = RANDOM.uniform(*interval, 1500)
    narrow = x.astype(np.float32)
    assert error(run(name, narrow), reference(narrow.astype(np.float64))) <= ulp
    exact = reference(x)
    assert np.max(np.abs(run(name, x) - exact) / np.maximum(np.abs(exact), 0.05 * (name == "lgamma"))) < relative


def test_digamma_and_lgamma_reflect():
    x = RANDOM.uniform(-9.9, -0.1, 500)
    x = x[np.abs(x - np.rint(x)) > 0.02]
    np.testing.assert_allclose(run("digamma", x), digamma(1 - x) - np.pi / np.tan(np.pi * x), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(run("lgamma", x), each(math.lgamma)(x), rtol=1e-12, atol=2e-14)


@pytest.mark.parametrize("dtype, ulp", [(np.float32, 2), (np.float64, 2)])
def test_powers(dtype, ulp):
    x = np.exp(RANDOM.uniform(-80, 80, 20_000)).astype(dtype)
    limit = np.log(np.finfo(dtype).max) / np.abs(np.log(x.astype(float)))
    y = (RANDOM.uniform(-1, 1, x.size) * limit).astype(dtype)
    wide = np.float64 if dtype == np.float32 else np.longdouble
    assert error(run("pow", x, y), np.power(x.astype(wide), y.astype(wide))) <= ulp


def test_two_operands():
    x, y = RANDOM.uniform(-9, 9, (2, 5000))
    for name, reference in {"atan2": np.arctan2, "hypot": np.hypot}.items():
        assert error(run(name, x, y), reference(x.astype(np.longdouble), y)) <= 2
        a, b = x.astype(np.float32), y.astype(np.float32)
        assert error(run(name, a, b), reference(a.astype(float), b)) <= 2
    np.testing.assert_allclose(run("logaddexp", x, y), np.logaddexp(x, y), rtol=1e-15, atol=1e-15)
    np.testing.assert_allclose(run("xlogy", x, np.abs(y)), x * np.log(np.abs(y)), rtol=1e-15)


def test_gelu_cdf_is_close():
    x = RANDOM.uniform(-8, 8, 2000)
    assert np.max(np.abs(run("gelu_cdf", x.astype(np.float32)) - half_erfc(x.astype(np.float32)))) < 1e-6
    assert np.max(np.abs(run("gelu_cdf", x) - half_erfc(x))) < 1e-15


def test_exponentials_of_bounded_arguments():
    x = RANDOM.uniform(-87, 88, 5000).astype(np.float32)
    assert error(run("exp_between", x), np.exp(x.astype(float))) <= 2
    x = -np.abs(x).clip(0, 87)
    assert error(run("exp_nonpositive", x), np.exp(x.astype(float))) <= 2
    assert run("exp_nonpositive", np.float32([-INF, -88, NAN]))[:2].tolist() == [0, 0]


# ---------------------------------------------------------------- large angles
def quarter_turns(x, bits=1400):
    """(n, r) with x = n·π/2 + r, by integers."""
    half_pi = 2 * (4 * arctangent_of_inverse(5, bits) - arctangent_of_inverse(239, bits))
    scaled = Fraction(x) * (1 << bits)
    n = round(scaled / half_pi)
    return n, float((scaled - n * half_pi) / (1 << bits))


def arctangent_of_inverse(n, bits):
    terms = ((-1) ** k * (1 << bits) // ((2 * k + 1) * n ** (2 * k + 1)) for k in range(bits // 4))
    return sum(terms)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_angles_of_every_size(dtype):
    top = 127 if dtype == np.float32 else 1023
    x = np.ldexp(RANDOM.uniform(-1, 1, 120), RANDOM.integers(0, top, 120)).astype(dtype)
    x = np.append(x, [6381956970095103 * 2.0**797, 3e22]).astype(dtype)  # the double nearest to a multiple of π/2
    x = x[np.isfinite(x)]
    reduced = [quarter_turns(float(one)) for one in x]
    sine = np.array([[math.sin(r), math.cos(r), -math.sin(r), -math.cos(r)][n % 4] for n, r in reduced])
    cosine = np.array([[math.cos(r), -math.sin(r), -math.cos(r), math.sin(r)][n % 4] for n, r in reduced])
    assert error(run("sin", x), sine) <= 2
    assert error(run("cos", x), cosine) <= 2
    assert error(run("tan", x), sine / cosine) <= 3
    np.testing.assert_array_equal(run("sin", x, scalar=True), run("sin", x))


# ---------------------------------------------------------------- special values
VALUES = {  # name: pairs of x and the exact result, zeros with their sign
    "exp": [(0, 1), (-0.0, 1), (INF, INF), (-INF, 0), (NAN, NAN), (1000, INF), (-1000, 0)],
    "exp2": [(0, 1), (3, 8), (-1, 0.5), (INF, INF), (-INF, 0), (NAN, NAN), (2000, INF), (-2000, 0)],
    "expm1": [(0, 0), (-0.0, -0.0), (INF, INF), (-INF, -1), (NAN, NAN), (1e-40, 1e-40)],
    "sigmoid": [(0, 0.5), (INF, 1), (-INF, 0), (NAN, NAN)],
    "log": [(1, 0), (0, -INF), (-0.0, -INF), (INF, INF), (-1, NAN), (-INF, NAN), (NAN, NAN)],
    "log2": [(1, 0), (8, 3), (0.25, -2), (2.0**-140, -140), (0, -INF), (INF, INF), (-1, NAN), (NAN, NAN)],
    "log10": [(1, 0), (0, -INF), (INF, INF), (-1, NAN), (NAN, NAN), (1000, 3)],
    "log1p": [(0, 0), (-0.0, -0.0), (-1, -INF), (-2, NAN), (INF, INF), (NAN, NAN), (1e-40, 1e-40)],
    "sin": [(0, 0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (NAN, NAN)],
    "cos": [(0, 1), (INF, NAN), (NAN, NAN)],
    "tan": [(0, 0), (-0.0, -0.0), (INF, NAN), (NAN, NAN)],
    "asin": [(0, 0), (-0.0, -0.0), (1, math.pi / 2), (-1, -math.pi / 2), (1.5, NAN), (NAN, NAN)],
    "acos": [(1, 0), (-1, math.pi), (0, math.pi / 2), (2, NAN), (NAN, NAN)],
    "atan": [(0, 0), (-0.0, -0.0), (INF, math.pi / 2), (-INF, -math.pi / 2), (NAN, NAN)],
    "sinh": [(0, 0), (-0.0, -0.0), (INF, INF), (-INF, -INF), (NAN, NAN)],
    "cosh": [(0, 1), (INF, INF), (-INF, INF), (NAN, NAN)],
    "tanh": [(0, 0), (-0.0, -0.0), (INF, 1), (-INF, -1), (NAN, NAN), (1e-40, 1e-40)],
    "asinh": [(0, 0), (-0.0, -0.0), (INF, INF), (-INF, -INF), (NAN, NAN)],
    "acosh": [(1, 0), (0.5, NAN), (-3, NAN), (INF, INF), (NAN, NAN)],
    "atanh": [(0, 0), (-0.0, -0.0), (1, INF), (-1, -INF), (1.5, NAN), (NAN, NAN)],
    "rsqrt": [(0, INF), (-0.0, -INF), (INF, 0), (-1, NAN), (4, 0.5), (NAN, NAN)],
    "cbrt": [(0, 0), (-0.0, -0.0), (-8, -2), (INF, INF), (-INF, -INF), (NAN, NAN)],
    "erf": [(0, 0), (-0.0, -0.0), (INF, 1), (-INF, -1), (NAN, NAN), (30, 1)],
    "erfc": [(0, 1), (INF, 0), (-INF, 2), (NAN, NAN), (40, 0)],
    "erfcx": [(0, 1), (INF, 0), (-INF, INF), (NAN, NAN)],
    "erfinv": [(0, 0), (-0.0, -0.0), (1, INF), (-1, -INF), (1.1, NAN), (NAN, NAN)],
    "ndtr": [(0, 0.5), (INF, 1), (-INF, 0), (NAN, NAN)],
    "log_ndtr": [(INF, -0.0), (-INF, -INF), (NAN, NAN)],
    "ndtri": [(0, -INF), (1, INF), (0.5, 0), (-0.1, NAN), (1.1, NAN), (NAN, NAN)],
    "gelu_cdf": [(0, 0.5), (INF, 1), (-INF, 0), (NAN, NAN)],
    "lgamma": [(1, 0), (2, 0), (0, INF), (-0.0, INF), (-1, INF), (-7, INF), (INF, INF), (-INF, INF), (NAN, NAN)],
    "digamma": [(0, -INF), (-0.0, INF), (-1, NAN), (INF, INF), (-INF, NAN), (NAN, NAN)],
    "i0": [(0, 1), (INF, INF), (-INF, INF), (NAN, NAN)],
    "i0e": [(0, 1), (INF, 0), (NAN, NAN)],
    "i1": [(0, 0), (INF, INF), (-INF, -INF), (NAN, NAN)],
    "i1e": [(0, 0), (INF, 0), (NAN, NAN)],
    "round": [(0.5, 0), (1.5, 2), (-0.5, -0.0), (2.5, 2), (INF, INF), (NAN, NAN)],
    "trunc": [(-0.5, -0.0), (1e30, 1e30)],
    "floor": [(-0.5, -1), (-0.0, -0.0)],
    "ceil": [(-0.5, -0.0), (0.5, 1)],
    "frexp_mantissa": [(0, 0), (-0.0, -0.0), (8, 0.5), (-3, -0.75), (2.0**-140, 0.5), (INF, INF), (NAN, NAN)],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scalar", [False, True], ids=["vector", "scalar"])
@pytest.mark.parametrize("name", VALUES)
def test_special_values(name, dtype, scalar):
    x, want = np.array(VALUES[name], dtype).T.copy()
    got = run(name, x, scalar=scalar)
    np.testing.assert_array_equal(got, want)
    number = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(want[number]))


EXTREMES = [0, 0.5, 1, 1.5, 2, 3, 4.25, 1e-30, 1e-40, 1e30, 2.0**24 - 1, 2.0**24, 2.0**70, INF, NAN]
PAIRS = {"pow": np.power, "atan2": np.arctan2, "fmod": np.fmod, "nextafter": np.nextafter, "copysign": np.copysign}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PAIRS)
def test_special_pairs(name, dtype):
    values = np.array([s * v for v in EXTREMES for s in (1, -1)], dtype)
    x, y = (a.ravel() for a in np.meshgrid(values, values))
    want = PAIRS[name](x, y) if name == "nextafter" else PAIRS[name](x.astype(float), y.astype(float)).astype(dtype)
    got = run(name, x, y)
    np.testing.assert_allclose(got, want, rtol=1e-6 if dtype == np.float32 else 1e-15, atol=0)
    number = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(want[number]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_remainders_are_exact(dtype):
    bits = np.uint32 if dtype == np.float32 else np.uint64
    x, y = RANDOM.integers(0, np.iinfo(bits).max, (2, 3000), dtype=bits).view(dtype)
    exact = each(math.fmod)(x, y).astype(dtype)
    np.testing.assert_array_equal(run("fmod", x, y), np.where(np.isnan(x) | np.isnan(y), NAN, exact))
    x, y = RANDOM.uniform(-9, 9, (2, 1000)).astype(dtype)
    np.testing.assert_array_equal(run("remainder", x, y), np.remainder(x, y))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_frexp_and_ldexp_undo_each_other(dtype):
    x = np.concatenate([(EVERYWHERE if dtype == np.float32 else SPREAD)[::3], np.array([0, -0.0, INF, NAN], dtype)])
    mantissa, exponent = np.frexp(x)
    plain = np.isfinite(x)
    np.testing.assert_array_equal(run("frexp_mantissa", x), mantissa)
    np.testing.assert_array_equal(run("frexp_exponent", x)[plain], exponent[plain])
    np.testing.assert_array_equal(run("ldexp", mantissa, exponent.astype(np.int64)), x)
    y, n = RANDOM.uniform(1, 2, 2000).astype(dtype), RANDOM.integers(-2200, 2200, 2000)
    np.testing.assert_array_equal(run("ldexp", y, n), np.ldexp(y, n))


def test_logaddexp_of_infinities():
    x, y = np.array([INF, -INF, INF, -INF, NAN, INF]), np.array([INF, -INF, -INF, 3, 1, NAN])
    np.testing.assert_array_equal(run("logaddexp", x, y), [INF, -INF, INF, 3, NAN, NAN])


def test_xlogy_of_zero_is_zero_unless_the_other_is_nan():
    x, y = np.zeros(4), np.array([0, -1, INF, NAN])
    np.testing.assert_array_equal(run("xlogy", x, y), [0, 0, 0, NAN])
    np.testing.assert_array_equal(run("xlog1py", x, y), [0, 0, 0, NAN])


# ---------------------------------------------------------------- the text
@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_library_is_called(name):
    module = Module()
    types = ["<4 x float>", "<4 x i64>" if name == "ldexp" else "<4 x float>"]
    f = module.function("kernel", "i64", list(zip(types, "xy"))[: operand_count(name)])
    emit(name, f, *f.parameters)
    called = {line.split("@")[1].split("(")[0] for line in module.text().splitlines() if line.startswith("declare")}
    assert all(one.startswith("llvm.") or one == "mashal_reduce_angles" for one in called)
    assert "fast" not in module.text()


# ---------------------------------------------------------------- PyTorch
DIFFERENT = {  # functions in which PyTorch itself is less exact, or stops earlier: not compared closely
    *("ndtr", "log_ndtr", "erfcx", "i1", "i1e", "digamma", "lgamma")
}


@pytest.mark.parity
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted({*NUMPY, *SPECIAL} - {"cbrt", "log1p_exp"}))
def test_as_pytorch(name, dtype):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch, name, None) or getattr(torch.special, name)
    x = RANDOM.uniform(-3, 3, 3000).astype(dtype)
    exact = theirs(torch.from_numpy(x)).numpy()
    digits = (1e-4 if name in DIFFERENT else 2e-6) if dtype == np.float32 else (1e-11 if name in DIFFERENT else 1e-13)
    np.testing.assert_allclose(run(name, x), exact, rtol=digits, atol=digits / 1e2)
