"""Which kernel makes which random numbers, and how it is started.

A *draw* is a function of a dtype's name, a count of elements and whether the tensor behind them is contiguous, and of the
distribution's numbers; it gives the kernel (the function that writes it, and for which dtypes) and the kernel's numbers.
`into` runs a draw over a tensor's memory, `new` makes a tensor of it, `at_address` fills any memory; each in the order of
memory, each from a generator. Nothing is checked here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from mashal.core.forms import Form
from mashal.core.generator import Generator
from mashal.core.tensor import Tensor, plan_of
from mashal.lower import choices, rejection
from mashal.lower import normal as normal_kernels
from mashal.lower import random as kernels
from mashal.machine import jit
from mashal.machine.launch import INTEGER, NUMBER, RELEASE

Kernel = tuple[Callable[..., Any], tuple, tuple]
Draw = Callable[..., Kernel]

DIGITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
WHOLE = {
    "bool": 1,
    "uint8": 8,
    "uint16": 16,
    "uint32": 32,
    "uint64": 63,
    "int8": 7,
    "int16": 15,
    "int32": 31,
    "int64": 63,
}
LARGEST = {
    "float64": 2.0**1023 * (2 - 2.0**-52),
    "float32": 2.0**127 * (2 - 2.0**-23),
    "float16": 65504.0,
    "bfloat16": 2.0**127 * (2 - 2.0**-7),
}
SMALL = 10_000  # elements that take about 10 us; for more, other Python threads run meanwhile


# ---------------------------------------------------------------- draws
def uniform(dtype: str, n: int, contiguous: bool, low: float = 0.0, high: float = 1.0) -> Kernel:
    """Numbers in [low, high)."""
    return kernels.uniform, (dtype,), (low, high)


def normal(dtype: str, n: int, contiguous: bool, mean: float = 0.0, std: float = 1.0) -> Kernel:
    """Normal numbers."""
    return normal_kernels.blocks if contiguous and n >= 16 else normal_kernels.one_by_one, (dtype,), (mean, std)


def log_normal(dtype: str, n: int, contiguous: bool, mean: float = 1.0, std: float = 2.0) -> Kernel:
    """exp of normal numbers with this mean and standard deviation."""
    return normal_kernels.one_by_one, (dtype, True), (mean, std)


def integers(dtype: str, n: int, contiguous: bool, low: int, high: int) -> Kernel:
    """Whole numbers from low to high - 1; of floating dtypes, such as do not leave that range when rounded."""
    return _between(dtype, low, high)


@lru_cache
def _between(dtype: str, low: int, high: int) -> Kernel:
    if dtype in DIGITS:
        low, high = _raised(low, dtype), _lowered(high, dtype)
    span = (high - low) % 2**64
    return _integers(dtype, low, span, wide=not 0 < span < kernels.NARROW_SPAN)


def integers_from(dtype: str, n: int, contiguous: bool, low: int) -> Kernel:
    """Whole numbers from low to the largest that the dtype holds exactly, itself included."""
    span = 0 if low == -(2**63) else largest_whole(dtype) + 1 - low
    return _integers(dtype, low if span else 0, span, wide=not 0 < span < kernels.NARROW_SPAN)


def any_integers(dtype: str, n: int, contiguous: bool) -> Kernel:
    """Whole numbers from 0 to the largest that the dtype holds exactly, itself included."""
    span = largest_whole(dtype) + 1
    return _integers(dtype, 0, span, wide=dtype in ("int64", "uint64", "float64", "uint32"))


def bernoulli(dtype: str, n: int, contiguous: bool, p: float, value: float = 1.0) -> Kernel:
    """`value` with probability p, else 0."""
    return kernels.bernoulli, (dtype,), (p, value)


def bernoulli_each(dtype: str, n: int, contiguous: bool, chances: int, chance: str) -> Kernel:
    """1 with each element's own probability, of dtype `chance`, at the address `chances`; refuses those outside [0, 1]."""
    return kernels.bernoulli_each, (dtype, chance), (chances,)


def permutation(dtype: str, n: int, contiguous: bool) -> Kernel:
    """0 … n - 1 in random order; int64 only."""
    return choices.permutation if n < choices.LARGE_PERMUTATION else choices.large_permutation, (), ()


def exponential(dtype: str, n: int, contiguous: bool, rate: float = 1.0) -> Kernel:
    """Numbers of the exponential distribution."""
    return kernels.exponential, (dtype,), (rate,)


def geometric(dtype: str, n: int, contiguous: bool, p: float) -> Kernel:
    """Throws until the first success of probability p."""
    return kernels.geometric, (dtype,), (p,)


def cauchy(dtype: str, n: int, contiguous: bool, median: float = 0.0, sigma: float = 1.0) -> Kernel:
    """Numbers of the Cauchy distribution."""
    return kernels.cauchy, (dtype,), (median, sigma)


def poisson(dtype: str, n: int, contiguous: bool, rates: int) -> Kernel:
    """Poisson numbers with the rates at an address; refuses those not >= 0."""
    return rejection.poisson, (dtype,), (rates,)


def gamma(dtype: str, n: int, contiguous: bool, shapes: int) -> Kernel:
    """Gamma numbers of scale 1 with the shapes at an address."""
    return rejection.gamma, (dtype,), (shapes,)


def binomial(dtype: str, n: int, contiguous: bool, counts: int, probabilities: int) -> Kernel:
    """Binomial numbers with the counts and the probabilities at two addresses."""
    return rejection.binomial, (dtype,), (counts, probabilities)


def slopes(dtype: str, n: int, contiguous: bool, x: int, low: float, high: float) -> Kernel:
    """rrelu's slopes for the elements at the address x: from [low, high) where they are <= 0, else 1."""
    return rejection.slopes, (dtype,), (x, low, high)


def multinomial(
    dtype: str, n: int, contiguous: bool, weights: int, room: int, kind: str, rows: int, categories: int
) -> Kernel:
    """Choices for each row, with replacement. weights: the address of rows × categories weights of dtype `kind`; room: of
    as many doubles as there are categories. n: all choices together.

    Refuses a weight that is not finite and >= 0 by its position, a row without weight by rows · categories + its number.
    """
    return choices.multinomial, (kind,), (weights, room, rows, categories, n // rows)


def _integers(dtype: str, low: int, span: int, wide: bool) -> Kernel:
    return kernels.integers, (dtype, wide), tuple((x + 2**63) % 2**64 - 2**63 for x in (low, span))


# ---------------------------------------------------------------- running them
class Refused(Exception):
    """A kernel cannot use what it was given; `position` says where."""

    @property
    def position(self) -> int:
        return self.args[0]


def into(x: Tensor, draw: Draw, generator: Generator, *numbers: Any) -> None:
    """Fills x: real, dense, not empty."""
    of = x.form
    kernel, variant, words = draw(of.dtype.name, of.numel, of.contiguous, *numbers)
    (_into.get((kernel, variant, of)) or _plan_into(kernel, variant, of, words))(x, generator.address, *words)


def new(of: Form, draw: Draw, generator: Generator, *numbers: Any) -> Tensor:
    """A tensor of a form: real, dense, not empty."""
    kernel, variant, words = draw(of.dtype.name, of.numel, of.contiguous, *numbers)
    return (_new.get((kernel, variant, of)) or _plan_new(kernel, variant, of, words))(generator.address, *words)


def at_address(
    address: int, dtype: str, n: int, draw: Draw, generator: Generator, *numbers: Any, contiguous: bool = True
) -> None:
    """Fills n elements of a dtype at an address."""
    if n:
        kernel, variant, words = draw(dtype, n, contiguous, *numbers)
        _plan_at(kernel, variant, tuple(map(_kind, words)), n > SMALL)(address, generator.address, *words, n)


_into: dict[tuple, Callable[..., Any]] = {}
_new: dict[tuple, Callable[..., Any]] = {}


def _plan_into(kernel: Callable[..., Any], variant: tuple, of: Form, words: tuple) -> Callable[..., Any]:
    operands = [of.dtype.itemsize, INTEGER, *map(_kind, words)]
    plan = plan_of(
        _compiled(kernel, variant), [], operands, [of.numel], work=_work(of.numel), returns_first=True, fail=_refuse
    )
    return _remembered(_into, (kernel, variant, of), plan)


def _plan_new(kernel: Callable[..., Any], variant: tuple, of: Form, words: tuple) -> Callable[..., Any]:
    operands = [INTEGER, *map(_kind, words)]
    plan = plan_of(
        _compiled(kernel, variant), [(of.nbytes, of)], operands, [of.numel], work=_work(of.numel), fail=_refuse
    )
    return _remembered(_new, (kernel, variant, of), plan)


@cache
def _plan_at(kernel: Callable[..., Any], variant: tuple, kinds: tuple, large: bool) -> Callable[..., Any]:
    operands, work = [INTEGER, INTEGER, *kinds, INTEGER], _work(SMALL + large)
    return plan_of(_compiled(kernel, variant), [], operands, work=work, returns_first=True, fail=_refuse)


def _remembered(plans: dict, key: tuple, plan: Callable[..., Any]) -> Callable[..., Any]:
    if len(plans) > 4096:  # a program with ever new shapes
        plans.clear()
    plans[key] = plan
    return plan


@cache
def _compiled(kernel: Callable[..., Any], variant: tuple) -> int:
    return jit.compile(kernel(*variant))


def _kind(word: float) -> int:
    return NUMBER if isinstance(word, float) else INTEGER


def _work(n: int) -> int:
    return RELEASE + 1 if n > SMALL else 0


def _refuse(position: int, *operands: Any) -> None:
    raise Refused(position)


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
