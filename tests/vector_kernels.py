"""Runs functions of the vector mathematics on arrays, for its tests, and measures their error."""

import ctypes
import math
from functools import lru_cache

import numpy as np

from mashal.lower.vectormath import emit
from mashal.machine import jit
from mashal.machine.host import HOST
from mashal.machine.text import Module, vector

TWO_OPERANDS = set(
    """pow fmod remainder atan2 hypot nextafter copysign ldexp logaddexp xlogy xlog1py
       gcd zeta gamma_p gamma_q""".split()
)


MORE_OPERANDS = {"gamma_path": 2, "beta_path": 3}


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
    return MORE_OPERANDS.get(name) or (2 if name in TWO_OPERANDS or "polynomial" in name else 1)


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
        return math.inf
    finite = np.isfinite(rounded)
    if not finite.any():
        return 0.0
    step = np.spacing(np.maximum(np.abs(rounded[finite]), np.finfo(got.dtype).tiny)).astype(exact.dtype)
    return float(np.max(np.abs(got[finite].astype(exact.dtype) - exact[finite]) / step))


def each(function):
    """A function of Python numbers on arrays; where it refuses, NaN."""

    def safe(*x):
        try:
            return function(*x)
        except (ValueError, OverflowError, ZeroDivisionError):
            return math.nan

    return lambda *arrays: np.array([safe(*map(float, row)) for row in zip(*arrays)])
