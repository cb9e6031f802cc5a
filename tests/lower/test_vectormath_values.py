"""Special values of the vector mathematics: infinities, NaN, denormals, signed zeros, exact results."""

import math

import numpy as np
import pytest

from mashal.lower.vectormath import FUNCTIONS, emit
from mashal.machine.text import Module
from vector_kernels import each, operand_count, run

INF, NAN = math.inf, math.nan
EVERYWHERE = np.arange(0, 1 << 32, 65537, dtype=np.uint64).astype(np.uint32).view(np.float32)
RANDOM = np.random.default_rng(0)
SPREAD = RANDOM.integers(0, 1 << 64, 20_000, dtype=np.uint64).view(np.float64)


@pytest.fixture(autouse=True)
def quiet_and_repeatable():
    RANDOM.bit_generator.state = np.random.PCG64(1).state
    with np.errstate(all="ignore"):
        yield


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
    types = [
        "<4 x i64>" if name == "gcd" else "<4 x float>",
        "<4 x i64>" if name in ("gcd", "ldexp") else "<4 x float>",
        "<4 x float>",
    ]
    f = module.function("kernel", "i64", list(zip(types, "xyz"))[: operand_count(name)])
    emit(name, f, *f.parameters)
    called = {line.split("@")[1].split("(")[0] for line in module.text().splitlines() if line.startswith("declare")}
    assert all(one.startswith("llvm.") or one == "mashal_reduce_angles" for one in called)
    assert "fast" not in module.text()
