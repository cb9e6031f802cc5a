"""Calls of every operation, for the tests that all operations share (test_definitions).

A `Call` is arguments and keyword arguments; its tensors are float64 (or what the operation asks for) and can be exchanged for
others of the same values: another dtype, other strides, the meta device. Pointwise operations get theirs from how many operands
they have and from DOMAINS; every other operation has a line in sample_calls.CALLS, or brings its own (`samples=` of its definition).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import mashal as torch
from mashal.methods.families import found
from mashal.ops.define import DEFINITIONS, Pointwise
from mashal.ops.families import FAMILIES

for _family in FAMILIES:
    found(_family)


@dataclass
class Call:
    """One call of an operation."""

    args: tuple
    kwargs: dict = field(default_factory=dict)

    def map(self, change: Callable[[torch.Tensor], Any]) -> Call:
        """The same call with every tensor changed."""
        return Call(changed(self.args, change), changed(self.kwargs, change))

    def of(self, function: Callable[..., Any]) -> Any:
        return function(*self.args, **self.kwargs)

    def tensors(self) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        self.map(lambda x: found.append(x) or x)
        return found

    def floats(self) -> list[torch.Tensor]:
        return [x for x in self.tensors() if x.is_floating_point() or x.is_complex()]


def changed(x: Any, change: Callable[[torch.Tensor], Any]) -> Any:
    """A structure with its tensors changed."""
    if isinstance(x, torch.Tensor):
        return change(x)
    if isinstance(x, torch.Size):
        return x
    if isinstance(x, (tuple, list)):
        parts = [changed(e, change) for e in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if isinstance(x, dict):
        return {k: changed(v, change) for k, v in x.items()}
    return x


def call(*args: Any, **kwargs: Any) -> Call:
    return Call(args, kwargs)


# ---------------------------------------------------------------- tensors
class Source:
    """Tensors of numbers that are always the same for one operation."""

    def __init__(self, name: str):
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))

    def real(self, *shape: int, low: float = -2.0, high: float = 2.0) -> torch.Tensor:
        """float64, between bounds."""
        return torch.from_numpy(np.asarray(self.rng.uniform(low, high, shape)))

    def distinct(self, *shape: int) -> torch.Tensor:
        """float64, no two nearer than 0.1."""
        n = int(np.prod(shape))
        return torch.from_numpy((self.rng.permutation(n) * 0.3 - 1.03 * n / 7).reshape(shape))

    def whole(self, *shape: int, low: int = 0, high: int = 3) -> torch.Tensor:
        """int64, low included, high not."""
        return torch.from_numpy(np.asarray(self.rng.integers(low, high, shape)))

    def truth(self, *shape: int) -> torch.Tensor:
        """bool."""
        return torch.from_numpy(np.asarray(self.rng.integers(0, 2, shape), dtype=np.bool_))

    def complex(self, *shape: int) -> torch.Tensor:
        """complex128."""
        return torch.complex(self.real(*shape), self.real(*shape))


# ---------------------------------------------------------------- pointwise operations
POSITIVE = (0.2, 3.0)
INSIDE = (-0.9, 0.9)
DOMAINS: dict[str, tuple[float, float]] = {
    "log": POSITIVE,
    "log2": POSITIVE,
    "log10": POSITIVE,
    "sqrt": POSITIVE,
    "rsqrt": POSITIVE,
    "log1p": (-0.8, 3.0),
    "asin": INSIDE,
    "acos": INSIDE,
    "atanh": INSIDE,
    "acosh": (1.2, 4.0),
    "erfinv": INSIDE,
    "logit": (0.1, 0.9),
    "special_logit": (0.1, 0.9),
    "ndtri": (0.1, 0.9),
    "lgamma": (0.3, 4.0),
    "digamma": (0.3, 4.0),
    "gammaln": (0.3, 4.0),
    "psi": (0.3, 4.0),
    "entr": POSITIVE,
    "reciprocal": POSITIVE,
    "bessel_y0": POSITIVE,
    "bessel_y1": POSITIVE,
    "tan": (-1.2, 1.2),
    "polygamma": (0.5, 4.0),
    "multigammaln": (3.0, 6.0),
    "mvlgamma": (3.0, 6.0),
}
SECOND: dict[str, tuple[float, float]] = {
    "div": POSITIVE,
    "true_divide": POSITIVE,
    "floor_divide": POSITIVE,
    "remainder": POSITIVE,
    "fmod": POSITIVE,
    "xlogy": POSITIVE,
    "xlog1py": (-0.5, 2.0),
    "zeta": (1.0, 3.0),
    "copysign": POSITIVE,
    "igamma": POSITIVE,
    "igammac": POSITIVE,
    "gammainc": POSITIVE,
    "gammaincc": POSITIVE,
}
FIRST: dict[str, tuple[float, float]] = {
    "zeta": (2.0, 5.0),
    "pow": POSITIVE,
    "float_power": POSITIVE,
    "igamma": POSITIVE,
    "igammac": POSITIVE,
}
BITS = {
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "bitwise_not",
    "bitwise_left_shift",
    "bitwise_right_shift",
    "gcd",
    "lcm",
}
"""Operations of integers only."""


def pointwise_calls(name: str, arity: int) -> list[Call]:
    """Calls of an operation of so many operands: matrices, broadcast ones, numbers, nothing."""
    source = Source(name)

    def x(*shape: int, place: int = 0) -> torch.Tensor:
        if name in BITS:
            return source.whole(*shape, low=0, high=6)
        low, high = DOMAINS.get(name) or (SECOND if place else FIRST).get(name) or (-2.0, 2.0)
        return source.real(*shape, low=low, high=high)

    if arity == 1:
        return [call(x(3, 4)), call(x()), call(x(0, 3))]
    if arity == 2:
        y = x(3, 4, place=1)
        return [
            call(x(3, 4), y),
            call(x(3, 4), x(4, place=1)),
            call(x(3, 1), x(1, 4, place=1)),
            call(x(2, 3), x(place=1)),
            call(x(0, 3), x(3, place=1)),
        ]
    return [
        call(*[x(3, 4, place=i) for i in range(arity)]),
        call(*[x(*([3, 1, 4][i:]), place=i) for i in range(arity)]),
    ]


_made: dict[str, list[Call]] = {}


def calls_of(name: str) -> list[Call]:
    """The sample calls of a definition; none if nobody thought of it."""
    if name not in _made:
        _made[name] = list(_find(name))
    return _made[name]


def _find(name: str) -> list[Call]:
    from ops.sample_calls import ARITY, CALLS

    definition = DEFINITIONS[name]
    if definition.samples is not None:
        return definition.samples()
    if name in CALLS:
        return CALLS[name](Source(name))
    if isinstance(definition.operation, Pointwise):
        return pointwise_calls(name, definition.operation.arity)
    if name.endswith("_copy") and name.removesuffix("_copy") in CALLS:
        return CALLS[name.removesuffix("_copy")](Source(name))
    return pointwise_calls(name, ARITY[name]) if name in ARITY else []


# ---------------------------------------------------------------- the same values, laid out otherwise
def transposed(x: torch.Tensor) -> torch.Tensor:
    """Equal to x, its dimensions in the opposite order in memory."""
    return torch.from_numpy(np.asfortranarray(x.detach().numpy())) if x.dim() > 1 else x


def every_second(x: torch.Tensor) -> torch.Tensor:
    """Equal to x, with other elements between its own and an offset."""
    a = x.detach().numpy()
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1] + 1), a.dtype) if a.ndim else np.zeros((), a.dtype)
    if not a.ndim:
        return x
    wide[..., 1::2] = a
    return torch.from_numpy(wide)[..., 1::2]
