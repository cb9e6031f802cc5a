"""Random numbers into memory: which kernel, with which words.

Every function fills `n` elements of a dtype (named as in "float32") at an address, in the order of memory,
from a generator. Nothing is checked here but that there is something to do; nothing is drawn for n = 0.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from functools import cache

from mashal.core.generator import Generator
from mashal.core.tensor import plan_of
from mashal.lower import choices, rejection
from mashal.lower import normal as normal_kernels
from mashal.lower import random as kernels
from mashal.machine import jit
from mashal.machine.launch import INTEGER, NUMBER, RELEASE
from mashal.machine.text import Module

LARGEST = {
    "float64": 2.0**1023 * (2 - 2.0**-52),
    "float32": 2.0**127 * (2 - 2.0**-23),
    "float16": 65504.0,
    "bfloat16": 2.0**127 * (2 - 2.0**-7),
}
SMALL = 10_000  # elements that take about 10 us; for more, other Python threads run meanwhile
DIGITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
WHOLE = {
    "int8": 7,
    "int16": 15,
    "int32": 31,
    "int64": 63,
    "uint8": 8,
    "uint16": 16,
    "uint32": 32,
    "uint64": 63,
    "bool": 1,
}


def fill_uniform(generator: Generator, address: int, dtype: str, n: int, low: float = 0.0, high: float = 1.0) -> None:
    """Numbers in [low, high)."""
    _run(kernels.uniform, (dtype,), n, address, generator.address, float(low), float(high))


def fill_normal(
    generator: Generator, address: int, dtype: str, n: int, mean: float = 0.0, std: float = 1.0, contiguous: bool = True
) -> None:
    """Normal numbers; contiguous tells whether the tensor behind the memory is (it decides which algorithm runs)."""
    build = normal_kernels.blocks if contiguous and n >= 16 else normal_kernels.one_by_one
    _run(build, (dtype,), n, address, generator.address, float(mean), float(std))


def fill_log_normal(
    generator: Generator, address: int, dtype: str, n: int, mean: float = 1.0, std: float = 2.0
) -> None:
    """exp of normal numbers with this mean and standard deviation."""
    _run(normal_kernels.one_by_one, (dtype, True), n, address, generator.address, float(mean), float(std))


def fill_integers(generator: Generator, address: int, dtype: str, n: int, low: int, high: int) -> None:
    """Whole numbers from low to high - 1; of floating dtypes, such as do not leave that range when rounded."""
    if dtype in DIGITS:
        low, high = _raised(low, dtype), _lowered(high, dtype)
    span = (high - low) % 2**64
    _integers(generator, address, dtype, n, low, span, wide=not 0 < span < kernels.NARROW_SPAN)


def fill_integers_from(generator: Generator, address: int, dtype: str, n: int, low: int) -> None:
    """Whole numbers from low to the largest that the dtype holds exactly, itself included."""
    largest = largest_whole(dtype)
    span = 0 if low == -(2**63) else largest + 1 - low
    _integers(generator, address, dtype, n, low if span else 0, span, wide=not 0 < span < kernels.NARROW_SPAN)


def fill_any_integers(generator: Generator, address: int, dtype: str, n: int) -> None:
    """Whole numbers from 0 to the largest that the dtype holds exactly, itself included."""
    span = 2 ** DIGITS[dtype] + 1 if dtype in DIGITS else 2 ** WHOLE[dtype]
    _integers(generator, address, dtype, n, 0, span, wide=dtype in ("int64", "uint64", "float64", "uint32"))


def fill_bernoulli(generator: Generator, address: int, dtype: str, n: int, p: float, value: float = 1.0) -> None:
    """`value` with probability p, else 0."""
    _run(kernels.bernoulli, (dtype,), n, address, generator.address, float(p), float(value))


def fill_bernoulli_each(generator: Generator, address: int, dtype: str, n: int, chances: int, chance: str) -> int:
    """1 with each element's own probability, of dtype `chance`, at the address `chances`.

    Returns -1, or the position of the first probability outside [0, 1].
    """
    return _run(kernels.bernoulli_each, (dtype, chance), n, address, generator.address, chances)


def fill_permutation(generator: Generator, address: int, n: int) -> None:
    """0 … n - 1 in random order, as int64."""
    build = choices.permutation if n < choices.LARGE_PERMUTATION else choices.large_permutation
    _run(build, (), n, address, generator.address)


def fill_exponential(generator: Generator, address: int, dtype: str, n: int, rate: float = 1.0) -> None:
    """Numbers of the exponential distribution."""
    _run(kernels.exponential, (dtype,), n, address, generator.address, float(rate))


def fill_geometric(generator: Generator, address: int, dtype: str, n: int, p: float) -> None:
    """Throws until the first success of probability p."""
    _run(kernels.geometric, (dtype,), n, address, generator.address, float(p))


def fill_cauchy(
    generator: Generator, address: int, dtype: str, n: int, median: float = 0.0, sigma: float = 1.0
) -> None:
    """Numbers of the Cauchy distribution."""
    _run(kernels.cauchy, (dtype,), n, address, generator.address, float(median), float(sigma))


def fill_poisson(generator: Generator, address: int, dtype: str, n: int, rates: int) -> int:
    """Poisson numbers with the rates at an address. Returns -1, or the position of the first bad rate."""
    return _run(rejection.poisson, (dtype,), n, address, generator.address, rates)


def fill_gamma(generator: Generator, address: int, dtype: str, n: int, shapes: int) -> None:
    """Gamma numbers of scale 1 with the shapes at an address."""
    _run(rejection.gamma, (dtype,), n, address, generator.address, shapes)


def fill_binomial(generator: Generator, address: int, dtype: str, n: int, counts: int, probabilities: int) -> None:
    """Binomial numbers with the counts and the probabilities at two addresses."""
    _run(rejection.binomial, (dtype,), n, address, generator.address, counts, probabilities)


def fill_slopes(generator: Generator, address: int, dtype: str, n: int, x: int, low: float, high: float) -> None:
    """rrelu's slopes for the elements at the address x: from [low, high) where they are <= 0, else 1."""
    _run(rejection.slopes, (dtype,), n, address, generator.address, x, float(low), float(high))


def fill_multinomial(
    generator: Generator, address: int, weights: int, dtype: str, rows: int, categories: int, samples: int
) -> int:
    """samples choices for each row, with replacement, as int64. Returns -1, the position of the first bad weight, or
    for a row without weight its number behind all positions."""
    room = ctypes.create_string_buffer(8 * categories)
    words = address, generator.address, weights, ctypes.addressof(room), rows, categories
    return _run(choices.multinomial, (dtype,), samples, *words)


# ---------------------------------------------------------------- what dtypes hold
def largest_whole(dtype: str) -> int:
    """The end of the whole numbers, from 0 on, that a dtype holds without gaps."""
    return 2 ** DIGITS[dtype] if dtype in DIGITS else 2 ** WHOLE[dtype] - 1


def whole_range(dtype: str) -> tuple[int, int]:
    """The smallest and the largest number of a dtype, as whole numbers."""
    if dtype in LARGEST:
        return -int(LARGEST[dtype]), int(LARGEST[dtype])
    largest = 2**64 - 1 if dtype == "uint64" else largest_whole(dtype)
    return (-largest - 1 if dtype.startswith("int") else 0), largest


def as_float32(x: float) -> float:
    """x rounded to float32."""
    return struct.unpack("<f", struct.pack("<f", x))[0]


# ---------------------------------------------------------------- helpers
def _integers(generator: Generator, address: int, dtype: str, n: int, low: int, span: int, wide: bool) -> None:
    signed = [x % 2**64 - (2**64 if x % 2**64 >> 63 else 0) for x in (low, span)]
    _run(kernels.integers, (dtype, wide), n, address, generator.address, *signed)


def _rounded(x: int, dtype: str) -> int:
    """A whole number rounded to the digits of a dtype, ties to even; beyond a half type's range it stays large."""
    spare = max(abs(x).bit_length() - DIGITS[dtype], 0)
    half, rest = (1 << spare) >> 1, abs(x) & ((1 << spare) - 1)
    kept = abs(x) >> spare
    kept += rest > half or (rest == half and spare > 0 and kept & 1)
    return (kept << spare) * (1 if x >= 0 else -1)


def _step(x: int, dtype: str) -> int:
    return 1 << max(abs(x).bit_length() - DIGITS[dtype], 0)


def _raised(low: int, dtype: str) -> int:
    """The lower bound, moved so that rounding a number to the dtype cannot go below it."""
    p = _rounded(low + 1, dtype)
    return p + _step(low + 1, dtype) if p < low else low


def _lowered(high: int, dtype: str) -> int:
    p = _rounded(high - 1, dtype)
    return p - _step(high - 1, dtype) if p >= high else high


class _Refused(Exception):
    """A kernel's position of what it cannot use."""


def _refuse(position: int, *words: float) -> None:
    raise _Refused(position)


def _run(build: Callable[..., Module], variant: tuple, n: int, *words: float) -> int:
    if n == 0:
        return -1
    kinds = tuple(NUMBER if isinstance(word, float) else INTEGER for word in words)
    try:
        _plan(build, variant, kinds, n > SMALL)(*words, n)
    except _Refused as refused:
        return refused.args[0]
    return -1


@cache
def _plan(build: Callable[..., Module], variant: tuple, kinds: tuple, large: bool) -> Callable[..., object]:
    work = RELEASE + 1 if large else 0
    operands = [*kinds, INTEGER]
    return plan_of(jit.compile(build(*variant)), [], operands, work=work, returns_first=True, fail=_refuse)
