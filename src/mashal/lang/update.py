"""Update rules: how an optimizer changes one element of a parameter, as a formula.

A rule is a Python function over scalar expressions. From its signature follows what a step needs:

    def rule(p, g, step: Number, exp_avg, max_avg=None, *, lr, weight_decay=0, maximize: bool): -> p, step, exp_avg, max_avg

    p, g         the parameter's element and its gradient's; in half precisions computed in float32
    step         a state that is one number a parameter (a 0-d tensor), computed in float64
    exp_avg      a state with the parameter's shape; max_avg=None: one that some options don't need (then None)
    lr           an option that is a number, in float64; weight_decay=0: where it is 0 the formula gets the Python number 0
    maximize     an option that is True or False when the kernel is made

It returns the new p and all new states. Numbers are computed among themselves in float64, as PyTorch computes them in Python,
and meet elements only in the functions below. Each of these rounds as the PyTorch operation of its name does on
float32 and float64: that, and the order of operations, is why the results agree (but for square roots, which are exactly
rounded here and not always there).

    >>> def descent(p, g, *, lr):
    ...     return (add(p, g, -lr),)
    >>> print(UpdateRule(descent).update(float32).results[0])
    fma(x1, float32(neg(slr)), x0)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mashal.core.dtypes import dtype, float32, float64
from mashal.lang.expression import Expression, abs_, apply, cast, constant, fma, operand, scalar, sqrt, where

Number = Expression  # as an annotation: a state that is one number a parameter


@dataclass(frozen=True, eq=False)
class Update:
    """A rule for one dtype and one choice of options.

    slots: the rule's p, g and the states present; numbers: names of slots that hold one number a parameter.
    results: for each slot its new value, None for g. scalars: the options that are numbers, in the order a kernel takes them.
    dtype: that of the elements in memory; number_dtype: that of the states that are numbers.
    """

    dtype: dtype
    number_dtype: dtype
    slots: tuple[str, ...]
    numbers: frozenset[str]
    results: tuple[Expression | None, ...]
    scalars: tuple[str, ...]


class UpdateRule:
    """A formula, and what its signature says.

    states: names of the states, in the order in which they are made; optional: those some options don't need.
    scalars: options that are numbers; vanishing: those whose 0 makes a simpler kernel. switches: options that are
    True or False. The switch `first` says whether the states are just being made.
    """

    def __init__(self, formula: Callable[..., tuple]):
        self.formula = formula
        self.name = formula.__name__
        parameters = inspect.signature(formula).parameters.values()
        placed = [p for p in parameters if p.kind is not p.KEYWORD_ONLY][2:]
        options = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
        self.states = tuple(p.name for p in placed)
        self.numbers = frozenset(p.name for p in placed if "Number" in str(p.annotation))
        self.optional = frozenset(p.name for p in placed if p.default is None)
        self.switches = tuple(p.name for p in options if "bool" in str(p.annotation))
        self.scalars = tuple(p.name for p in options if p.name not in self.switches)
        self.vanishing = tuple(p.name for p in options if p.default == 0 and p.name not in self.switches)
        self._updates: dict[tuple, Update] = {}

    def update(
        self,
        stored: dtype,
        number_dtype: dtype = float32,
        states: Iterable[str] | None = None,
        switches: dict[str, bool] | None = None,
        zero: Iterable[str] = (),
    ) -> Update:
        """The rule for elements of a dtype: with these states (all, if not given), switches (others are False) and zeros."""
        states = tuple(self.states if states is None else states)
        key = stored, number_dtype, states, tuple(sorted((switches or {}).items())), frozenset(zero)
        if key not in self._updates:
            self._updates[key] = self._make(stored, number_dtype, states, switches or {}, frozenset(zero))
        return self._updates[key]

    def _make(self, stored: dtype, number_dtype: dtype, states: tuple, switches: dict, zero: frozenset) -> Update:
        slots = ("p", "g", *states)
        values: dict[str, Expression | None] = dict.fromkeys(self.states)
        for i, name in enumerate(slots):
            values[name] = scalar(name, float64) if name in self.numbers else operand(i, stored)  # type: ignore[arg-type]
        options: dict[str, Any] = {name: switches.get(name, False) for name in self.switches}
        options |= {name: 0 if name in zero else scalar(name, float64) for name in self.scalars}  # type: ignore[arg-type]
        new = dict(zip(("p", *self.states), self.formula(*(values[n] for n in ("p", "g", *self.states)), **options)))
        results = tuple(new[name] if name != "g" else None for name in slots)
        for name, result in zip(slots, results):
            wanted = float64 if name in self.numbers else values[name].dtype  # type: ignore[union-attr]
            assert result is None or result.dtype is wanted, f"{self.name}: {name} has become {result.dtype}"
        return Update(stored, number_dtype, slots, self.numbers & set(states), results, self.scalars)


def update_rule(formula: Callable[..., tuple]) -> UpdateRule:
    """Makes an update rule of a formula."""
    return UpdateRule(formula)


# ---------------------------------------------------------------- numbers and elements
def given(number: Any) -> bool:
    """Whether an option of the kind `weight_decay=0` is other than 0."""
    return isinstance(number, Expression)


def beside(x: Expression, number: Any) -> Expression:
    """A number as one of x's dtype."""
    return cast(number, x.dtype) if isinstance(number, Expression) else constant(number, x.dtype)


def rounded(number: Expression, to: dtype = float32) -> Expression:
    """A number as it will be when it has been stored."""
    return cast(cast(number, to), float64)


def power(base: Any, exponent: Any) -> Expression:
    """base ** exponent of numbers, as C (and Python) computes it."""
    either = base if isinstance(base, Expression) else exponent
    return apply("pow", *(beside(either, x) for x in (base, exponent)))


# ---------------------------------------------------------------- PyTorch's operations on one element
def mul(x: Expression, number: Any) -> Expression:
    return x * beside(x, number)


def div(x: Expression, number: Any) -> Expression:
    return x / beside(x, number)


def add(x: Expression, y: Any, alpha: Any = 1) -> Expression:
    """x + alpha·y, rounded once; y an element or a number."""
    if not isinstance(y, Expression) or (y.dtype is not x.dtype and y.dtype is float64):
        y = beside(x, y)
    return x + y if not isinstance(alpha, Expression) and alpha == 1 else fma(y, beside(x, alpha), x)


def lerp(x: Expression, end: Expression, weight: Any) -> Expression:
    """x + weight·(end - x), from whichever side is nearer."""
    w = beside(x, weight)
    near = abs_(w) < 0.5
    return fma(where(near, w, w - 1.0), end - x, where(near, x, end))


def addcmul(x: Expression, a: Expression, b: Expression, value: Any = 1) -> Expression:
    """x + (value·a)·b, the second product rounded together with the sum."""
    return fma(beside(x, value) * a, b, x)


def addcdiv(x: Expression, a: Expression, b: Expression, value: Any = 1) -> Expression:
    """x + (value·a) / b"""
    return x + beside(x, value) * a / b


__all__ = [
    "Number", "Update", "UpdateRule", "add", "addcdiv", "addcmul", "beside", "div", "given", "lerp", "mul", "power", "rounded",
    "sqrt", "update_rule", "where",
]  # fmt: skip
