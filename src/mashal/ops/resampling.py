"""Maps along a dimension whose results are weighted sums of neighbours, and functions that apply one a dimension.

A `Map` says for each result where its elements begin, how many they are, and their weights. Its transpose is a map too: so
gradients of every order are made of the same kernel (lower.resample). Averages over windows and interpolation are such maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any, NamedTuple

from mashal.core import dtypes
from mashal.core.dtypes import dtype
from mashal.core.forms import Form, form
from mashal.core.nested import table_of
from mashal.core.tensor import Tensor, plan_of
from mashal.lower.emit import register_type
from mashal.lower.resample import Resampling, resample
from mashal.ops.copying import zeros_of
from mashal.ops.define import row_major
from mashal.ops.remembered import Remembered, remembered
from mashal.ops.run import Plan, kernel_of, remember

__all__ = ["Map", "linear_map", "mapped"]

_plans: dict[Any, Any] = {}
_REGISTERS = {"float": dtypes.float32, "double": dtypes.float64}


class Map:
    """n elements along a dimension to len(starts) results.

    Result j is the sum of counts[j] elements from starts[j] on, times weights[j] (None: 1), by divisors[j] (None: 1).
    Starts and ends don't decrease. Maps are compared by identity: those who make them keep them.
    """

    __slots__ = ("_transposed", "counts", "divisors", "n", "starts", "weights")
    remembered = True

    def __init__(self, n: int, starts: Sequence[int], counts: Sequence[int], weights: Sequence[Sequence[float]] | None = None,
                 divisors: Sequence[float] | None = None):  # fmt: skip
        self.n, self.starts, self.counts = n, list(starts), list(counts)
        self.weights, self.divisors = weights, divisors
        self._transposed: Map | None = None

    @property
    def m(self) -> int:
        return len(self.starts)

    @property
    def identity(self) -> bool:
        """Whether results are the elements."""
        plain = self.weights is None and self.divisors is None and self.n == self.m
        return plain and all(c == 1 for c in self.counts) and self.starts == list(range(self.n))

    @property
    def transposed(self) -> Map:
        """The map of m elements to n results with the transposed weights."""
        if self._transposed is None:
            self._transposed = self._transpose()
            self._transposed._transposed = self
        return self._transposed

    def _transpose(self) -> Map:
        first, weights = [0] * self.n, [[] for _ in range(self.n)]
        for j, (start, count) in enumerate(zip(self.starts, self.counts)):
            by = 1.0 if self.divisors is None else self.divisors[j]
            for k in range(count):
                row = weights[start + k]
                first[start + k] = first[start + k] if row else j
                row.extend([0.0] * (j - first[start + k] - len(row)))
                row.append((1.0 if self.weights is None else self.weights[j][k]) / by)
        plain = self.weights is None and self.divisors is None and all(w == 1.0 for row in weights for w in row)
        return Map(self.m, first, [len(row) for row in weights], None if plain else weights)

    def regular(self) -> tuple[int, int, int]:
        """(step, first, last): the longest run of results with all taps that begin at every step-th element; 0, if short."""
        taps, best = max(self.counts, default=0), (0, 0, 0)
        for step in (1, 2):
            begin, length = 0, 0
            for j in range(self.m):
                fits = self.counts[j] == taps and self.starts[j] + taps - 1 + (step == 2) < self.n
                follows = length and self.starts[j] == self.starts[j - 1] + step
                begin, length = (begin, length + 1) if fits and follows else (j, int(fits))
                if length > max(8, best[2] - best[1]):
                    best = step, begin, j + 1
        return best


class _Place(NamedTuple):
    """A dimension of a tensor as it lies in memory: so many elements before, along and behind it, and the result's form."""

    outer: int
    inner: int
    result: Form


def _place(of: Form, dim: int, m: int) -> _Place:
    shape = (*of.shape[:dim], m, *of.shape[dim + 1 :])
    if of.contiguous:
        return _Place(prod(of.shape[:dim]), prod(of.shape[dim + 1 :]), form(of.dtype, of.device, shape))
    order = sorted(range(of.rank), key=lambda d: (of.strides[d], of.shape[d] != 1, -d))
    strides, step, inner = [0] * of.rank, 1, 1
    for d in order:
        inner = step if d == dim else inner
        strides[d], step = step, step * shape[d]
    return _Place(of.numel // (inner * of.shape[dim]), inner, form(of.dtype, of.device, shape, tuple(strides)))


def _along(of: Form, dim: int, by: Map) -> tuple[Plan, Form]:
    """The plan of the map's results along a dimension of a dense tensor, and their form."""
    place = _place(of, dim, by.m)
    if not (of.numel and place.result.numel):
        return (lambda _: zeros_of(place.result)), place.result
    beside, taps = place.inner > 1, max(by.counts, default=0)
    step, first, last = (0, 0, 0) if beside else by.regular()
    how = Resampling(of.dtype, beside, by.weights is not None, by.divisors is not None, step)
    tables = _tables(by, taps, beside, of.dtype)
    constants = [place.outer, by.n, by.m, place.inner, taps, first, last]
    plan = plan_of(
        kernel_of(resample, how),
        [(place.result.nbytes, place.result)],
        [of.dtype.itemsize, *[t.form.dtype.itemsize for t in tables]],
        constants,
        work=place.outer * by.m * place.inner * max(taps, 1),
    )
    return (lambda x: plan(x, *tables)), place.result


def _tables(by: Map, taps: int, beside: bool, d: dtype) -> list[Tensor]:
    """starts, counts, weights and divisors as the kernel reads them; starts again for those there are none of."""
    starts, counts = (table_of(list(v), dtypes.int64) for v in (by.starts, by.counts))
    tables, compute = [starts, counts], _REGISTERS.get(register_type(d), d)
    weights = None
    if by.weights is not None:
        rows = [[*row[:c], *[0.0] * (taps - c)] for row, c in zip(by.weights, by.counts)]
        weights = rows if beside else [list(column) for column in zip(*rows)]
    for values in (weights, by.divisors):
        tables.append(starts if values is None else table_of(list(values), compute))
    return tables


def mapped(x: Tensor, maps: Sequence[tuple[int, Map]]) -> Tensor:
    """x with maps applied along dimensions; not recorded."""
    key = x.form, *maps
    plan = _plans.get(key) or remember(_plans, key, _plan(x.form, maps))
    return plan(x)


def _plan(of: Form, maps: Sequence[tuple[int, Map]]) -> Plan:
    """The plan of maps along dimensions, those that shrink it most first."""
    shrinking = lambda d, by: (by.m / max(by.n, 1), d if by.m < by.n else -d)
    steps = sorted(((d % of.rank, by) for d, by in maps if not by.identity), key=lambda step: shrinking(*step))
    plans: list[Plan] = []
    if not steps or not of.dense:
        plans, of = [row_major], form(of.dtype, of.device, tuple(of.shape))
    for d, by in steps:
        plan, of = _along(of, d, by)
        plans.append(plan)
    return reduce(lambda first, then: lambda x: then(first(x)), plans)


def linear_map(name: str) -> Remembered:
    """A function f(x, maps) that grad_fn shows under a name; its gradients of every order are such functions too."""

    @remembered(f"{name}Backward0")
    def forward(x: Form, maps: tuple[tuple[int, Map], ...]) -> Plan:
        return _plan(x, maps)

    @remembered(f"{name}BackwardBackward0")
    def back(g: Form, maps: tuple[tuple[int, Map], ...]) -> Plan:
        return _plan(g, [(d, by.transposed) for d, by in maps])

    forward.transposed_by(back)
    back.transposed_by(forward)
    return forward
