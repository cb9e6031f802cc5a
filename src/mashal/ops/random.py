"""Filling tensors with random numbers in place.

Elements are made in the order of their memory, the largest stride outermost; so `x.t().uniform_()` gives x the
numbers that `x.uniform_()` would. `ops.filling` chooses the kernel, `core.generator` holds the streams,
`ops.random_factories` and `ops.chances` make new tensors with what is here. Every function takes `generator=`;
without one the default generator is drawn from.
"""

from __future__ import annotations

import math
import operator
from functools import lru_cache
from typing import Any

from mashal.core import tape
from mashal.core.dtypes import dtype as DType
from mashal.core.forms import Form, form, like
from mashal.core.generator import Generator, default_generator
from mashal.core.tensor import Tensor, address, bump, empty, new_view
from mashal.errors import message
from mashal.ops import filling
from mashal.ops.copying import zeros_of
from mashal.ops.define import check_writable, late, spelled


# ---------------------------------------------------------------- filling in place
@spelled(("method",))
def uniform_(
    x: Tensor, a: float = 0.0, b: float = 1.0, /, *, generator: Generator | None = None, **bounds: float
) -> Tensor:
    """Fills x with numbers from the half-open range [from, to); returns x.

    x: any shape, floating or complex (both parts are filled).

    >>> _ = torch.manual_seed(123)
    >>> torch.empty(2).uniform_(-1, 1)
    tensor([-0.4078,  0.0331])
    """
    _check_bound_names("uniform_", bounds)
    low, high = float(bounds.get("from", a)), float(bounds.get("to", b))
    kind = floating("uniform_", x, or_complex=True)
    if not low <= high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}")
    for name, bound in (("from", low), ("to", high)):
        if not abs(bound) <= _largest(kind):
            raise RuntimeError(
                f"uniform_: {name} is out of bounds for {kind}: {bound:g}; its numbers end at {_largest(kind):g}"
            )
    if high - low > _largest(kind):
        raise RuntimeError(
            f"uniform_: to - from is {high - low:g}; a range of {kind} is at most {_largest(kind):g} wide"
        )
    return filled(x, "Uniform", filling.uniform, generator, low, high)


@spelled(("method",))
def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fills x with normal numbers of this mean and standard deviation; returns x.

    x: any shape, floating or complex (std is then that of the complex number, not of its parts).
    """
    floating("normal_", x, or_complex=True)
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    if x.dtype.is_complex:
        std = std / math.sqrt(2)
    return filled(x, "Normal", filling.normal, generator, float(mean), float(std))


@spelled(("method",))
def random_(x: Tensor, *bounds: int | None, generator: Generator | None = None, **names: int | None) -> Tensor:
    """Fills x with whole numbers: random_(from, to) from the range from … to - 1, random_(to) from 0 … to - 1, random_()
    from 0 … the largest that x's dtype holds exactly, random_(from, None) from `from` … that one. Returns x.
    """
    low, high = _random_bounds(bounds, names)
    kind = x.dtype
    if kind.is_complex:
        error = NotImplementedError if low is None and high is None else RuntimeError
        raise error(message("random_", f"whole numbers of dtype {kind} are not defined", "x must be real"))
    if low is None and high is None:
        if kind.name in ("uint16", "uint32", "uint64"):
            raise NotImplementedError(message("random_", f"dtype {kind} needs bounds", "say random_(from, to)"))
        return filled(x, "Random", filling.any_integers, generator)
    low = 0 if low is None else low
    if high is None:
        _check_whole("random_", kind, low, low + 1)
        if low == -(2**63) or low <= filling.largest_whole(kind.name):
            return filled(x, "Random", filling.integers_from, generator, low)
        high = low
    check_range("random_", kind, low, high)
    return filled(x, "Random", filling.integers, generator, low, high)


def _random_bounds(bounds: tuple, names: dict) -> tuple[int | None, int | None]:
    _check_bound_names("random_", names)
    low, high = names.get("from"), names.get("to")
    if len(bounds) == 1 and "to" not in names:
        high = bounds[0]
    elif bounds:
        low, high = (*bounds, high)[:2]
    if len(bounds) > 2:
        raise TypeError(message("random_", f"{len(bounds)} bounds were given", "say random_(to) or random_(from, to)"))
    return tuple(None if b is None else whole_number("random_", "a bound", b) for b in (low, high))  # type: ignore[return-value]


@spelled(("method",))
def bernoulli_(x: Tensor, p: float | Tensor = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fills x with ones of probability p, else zeros; p is a number or a tensor that expands to x's shape. Returns x."""
    if isinstance(p, Tensor):
        return _bernoulli_each(x, p, generator)
    if x.dtype.is_complex:
        raise NotImplementedError(message("bernoulli_", f"coins of dtype {x.dtype} are not defined", "x must be real"))
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
    return filled(x, "Bernoulli", filling.bernoulli, generator, float(p))


@spelled(("method",))
def exponential_(x: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fills x with numbers of the exponential distribution of rate lambd; returns x. x: floating."""
    if not x.dtype.is_floating_point:
        raise RuntimeError(_continuous("exponential_", "Exponential", x))
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
    return filled(x, "Exponential", filling.exponential, generator, float(lambd))


@spelled(("method",))
def geometric_(x: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fills x with the number of throws until the first success of probability p (1, 2, …); returns x."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    if x.dtype.is_complex or x.dtype.kind == "b":
        raise NotImplementedError(
            message("geometric_", f"counts of dtype {x.dtype} are not defined", "x must be a number")
        )
    return filled(x, "Geometric", filling.geometric, generator, float(p))


@spelled(("method",))
def cauchy_(x: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fills x with numbers of the Cauchy distribution; returns x. x: floating."""
    if not x.dtype.is_floating_point:
        raise RuntimeError(_continuous("cauchy_", "Cauchy", x))
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    return filled(x, "Cauchy", filling.cauchy, generator, float(median), float(sigma))


@spelled(("method",))
def log_normal_(x: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """Fills x with exp of normal numbers of this mean and standard deviation; returns x. x: floating."""
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
    floating("log_normal_", x)
    return filled(x, "LogNormal", filling.log_normal, generator, float(mean), float(std))


def _bernoulli_each(x: Tensor, p: Tensor, generator: Generator | None) -> Tensor:
    if not p.dtype.is_floating_point:
        raise NotImplementedError(message("bernoulli", f"probabilities of dtype {p.dtype}", "they must be floating"))
    if x.form.contiguous:
        chances = p.expand(x.shape).contiguous() if p.shape != x.shape else p.contiguous()
    else:
        chances = ordered(p.expand(x.shape), x.form).contiguous()

    try:
        return filled(x, "Bernoulli", filling.bernoulli_each, generator, address(chances), p.dtype.name)
    except filling.Refused as refused:
        wrong = float(chances.reshape(-1)[refused.position])
        raise RuntimeError(
            f"bernoulli: Expected p_in >= 0 && p_in <= 1 to be true, but probability {wrong:g} is outside [0, 1]"
        ) from None


# ---------------------------------------------------------------- what is drawn from tensors
class _Drawn(tape.Node):
    """Drawn numbers do not follow their chances, means or rates: each gets a gradient of 0. saved: their forms."""

    __slots__ = ()
    frees = False

    def backward(self, *gradients: Any) -> tuple:
        return tuple(None if f is None else zeros_of(f) for f in self.saved)


@lru_cache
def _drawn_node(name: str) -> type[_Drawn]:
    return type(name, (_Drawn,), {"__slots__": ()})


def drawn(name: str, result: Tensor, *operands: Any) -> Tensor:
    """result, which was drawn from tensors; name: what its gradient's node is called."""
    if tape.mode.recording and any(isinstance(x, Tensor) and x.node is not None for x in operands):
        edges = tape.edges(*[x if isinstance(x, Tensor) else None for x in operands])
        forms = [like(x.form) if isinstance(x, Tensor) and x.node is not None else None for x in operands]
        result.node = _drawn_node(name)(edges, forms)
    return result


# ---------------------------------------------------------------- how a tensor is filled
def filled(x: Tensor, name: str, draw: filling.Draw, generator: Generator | None, *numbers: Any) -> Tensor:
    """x, after a draw has filled it in memory order; name: what its gradient's node is called."""
    generator = default_generator if generator is None else checked(name, generator)
    if x.node is not None and tape.wants_gradient(x):
        _forget_history(x, name)
    of = x.form
    if of.numel and of.device.type != "meta":
        if not of.dense:
            _fill_scattered(x, draw, generator, numbers)
        elif of.dtype.is_complex:
            kind, n = of.dtype.to_real().name, 2 * of.numel
            filling.at_address(address(x), kind, n, draw, generator, *numbers, contiguous=of.contiguous)
        else:
            filling.into(x, draw, generator, *numbers)
    bump(x)
    return x


def checked(name: str, generator: Any) -> Generator:
    """The generator, if it is one."""
    if not isinstance(generator, Generator):
        wrong = f"generator is a {type(generator).__name__}"
        raise TypeError(message(name.lower(), wrong, "it must be a torch.Generator"))
    return generator


def _fill_scattered(x: Tensor, draw: filling.Draw, generator: Generator, numbers: tuple) -> None:
    if any(step == 0 and size > 1 for step, size in zip(x.stride(), x.shape)):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )
    view = ordered(x, x.form)
    values = empty(form(x.dtype, x.device, view.shape))
    kind, parts = (x.dtype.to_real(), 2) if x.dtype.is_complex else (x.dtype, 1)
    filling.at_address(address(values), kind.name, parts * x.numel(), draw, generator, *numbers, contiguous=False)
    with tape.no_grad():
        view.copy_(values)


def ordered(x: Tensor, by: Form) -> Tensor:
    """x with its dimensions sorted by the strides of a form of the same shape, the largest first."""
    order = sorted(range(by.rank), key=lambda d: -by.strides[d])
    steps = x.form.strides
    return new_view(x, x.form.viewed(tuple(x.shape[d] for d in order), tuple(steps[d] for d in order)), x.offset)


def _forget_history(x: Tensor, name: str) -> None:
    """What x was doesn't matter any more: its gradient ends here, as zero."""
    check_writable(x, name)
    kind = type(f"{name}Backward0", (tape.Node,), {"__slots__": (), "backward": lambda node, g: (None,)})
    late.rebase(x, kind(tape.edges(x), None))


# ---------------------------------------------------------------- what is refused
@lru_cache
def check_range(name: str, kind: DType, low: int, high: int) -> None:
    """RuntimeError unless low < high, and low and high - 1 are numbers of the dtype."""
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    _check_whole(name, kind, low, high)


def _check_whole(name: str, kind: DType, low: int, high: int) -> None:
    smallest, largest = filling.whole_range(kind.name)
    for what, bound in (("from", low), ("to - 1", high - 1)):
        if not smallest <= bound <= largest:
            raise RuntimeError(f"{name}: {what} is out of bounds for {kind}: {bound} is outside {smallest} … {largest}")


def floating(name: str, x: Tensor, or_complex: bool = False) -> DType:
    kind = x.dtype.to_real() if or_complex else x.dtype
    if not kind.is_floating_point:
        right = "it must be floating or complex" if or_complex else "it must be floating"
        raise NotImplementedError(message(name, f"the tensor's dtype is {x.dtype}", right))
    return kind


def _continuous(name: str, distribution: str, x: Tensor) -> str:
    return (
        f"{name}: {distribution} distribution is a continuous probability distribution. dtype must be a floating point but "
        f"you specified {x.dtype}"
    )


def _largest(kind: DType) -> float:
    return filling.LARGEST[kind.name]


def _check_bound_names(name: str, bounds: dict) -> None:
    for wrong in bounds.keys() - {"from", "to"}:
        raise TypeError(f"{name}() got an unexpected keyword argument {wrong!r}")


def whole_number(name: str, what: str, x: Any) -> int:
    try:
        return operator.index(x)
    except TypeError:
        raise TypeError(message(name, f"{what} is a {type(x).__name__}", "it must be an int")) from None
