"""Accuracy of the vector mathematics, on vector kernels over wide sweeps.

float32 results are compared with float64 references, float64 ones with numpy's long double where that is longer.
Errors are in units in the last place of the exact result (of the smallest normal number where that is denormal).
"""

import math
from fractions import Fraction

import numpy as np
import pytest

from vector_kernels import each, error, run

INF, NAN = math.inf, math.nan
EXTENDED = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps  # else the references err too


# ---------------------------------------------------------------- references
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
    assert error(run(name, x), NUMPY[name](x.astype(np.float64))) <= (2.1 if name == "sigmoid" else 2)


@pytest.mark.parametrize("name", NUMPY)
def test_double_is_within_two_ulp_or_little_more(name):
    x = np.concatenate([SPREAD, NEAR])
    if name in ("sin", "cos", "tan"):  # long double's own reduction is too short; see the test of large angles
        x = x[np.abs(x) < 1e9]
    assert error(run(name, x), NUMPY[name](x.astype(np.longdouble))) <= (2.2 if EXTENDED else 3)


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


@pytest.mark.parametrize("dtype, ulp", [(np.float32, 2), (np.float64, 2 if EXTENDED else 3)])
def test_powers(dtype, ulp):
    x = np.exp(RANDOM.uniform(-80, 80, 20_000)).astype(dtype)
    limit = np.log(np.finfo(dtype).max) / np.abs(np.log(x.astype(float)))
    y = (RANDOM.uniform(-1, 1, x.size) * limit).astype(dtype)
    wide = np.float64 if dtype == np.float32 else np.longdouble
    assert error(run("pow", x, y), np.power(x.astype(wide), y.astype(wide))) <= ulp


def test_two_operands():
    x, y = RANDOM.uniform(-9, 9, (2, 5000))
    for name, reference in {"atan2": np.arctan2, "hypot": np.hypot}.items():
        assert error(run(name, x, y), reference(x.astype(np.longdouble), y)) <= (2 if EXTENDED else 3)
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
