"""Dropout and its relatives, and rrelu: what is random in a layer.

In training (0 < p < 1) each draws one decision an element, or a channel, of probability 1 - p to keep. With p = 0,
outside of training, and for an empty input, the input itself is returned and nothing is drawn; p = 1 draws nothing either.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from mashal.core.dtypes import bfloat16, float32, float64
from mashal.core.dtypes import bool as bool_
from mashal.core.forms import Form, form, like
from mashal.core.generator import Generator
from mashal.core.tensor import Tensor, address, empty
from mashal.errors import message
from mashal.ops import filling
from mashal.ops.define import spelled
from mashal.ops.random import bernoulli_, filled

ALPHA = 1.7580993408473766  # -(scale · alpha) of selu: where its negative branch ends


@spelled(("torch",))
def dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """input with elements set to 0 with probability p, and the others divided by 1 - p. input: floating."""
    return _dropped("dropout", input, p, train, _like, Tensor.__mul__)


@spelled(("torch",))
def dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`dropout` in place."""
    return _dropped("dropout_", input, p, train, _like, Tensor.__imul__)


@spelled(("torch",))
def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`dropout` of whole channels. input: (batch, channels, …)."""
    return _dropped("feature_dropout", input, p, train, _channels, Tensor.__mul__)


@spelled(("torch",))
def feature_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`feature_dropout` in place."""
    return _dropped("feature_dropout_", input, p, train, _channels, Tensor.__imul__)


@spelled(("torch",))
def alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Dropout that keeps mean and variance of what selu returns: dropped elements take selu's lowest value."""
    return _alpha_dropped("alpha_dropout", input, p, train, _like, False)


@spelled(("torch",))
def alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`alpha_dropout` in place."""
    return _alpha_dropped("alpha_dropout_", input, p, train, _like, True)


@spelled(("torch",))
def feature_alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`alpha_dropout` of whole channels. input: (batch, channels, …)."""
    return _alpha_dropped("feature_alpha_dropout", input, p, train, _channels, False)


@spelled(("torch",))
def feature_alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`feature_alpha_dropout` in place."""
    return _alpha_dropped("feature_alpha_dropout_", input, p, train, _channels, True)


@spelled(("torch",))
def native_dropout(input: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """The result of dropout, and its mask (True: kept); scaled after masking, so last bits may differ from `dropout`'s."""
    if train is None or train:
        mask = bernoulli_(empty(like(input.form, bool_)), 1.0 - p)
        return (input * mask) * (0.0 if p == 1 else 1.0 / (1.0 - p)), mask
    return input.clone(), empty(like(input.form, bool_)).fill_(True)


@spelled(("torch",))
def rrelu(
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """x where x > 0, else x times a slope: in training a random one from [lower, upper), else their mean. input: floating."""
    if not lower <= upper:
        raise RuntimeError(
            message("rrelu", f"lower = {lower:g} is above upper = {upper:g}", "lower must not exceed upper")
        )
    if not training:
        return input.where(input > 0, input * ((lower + upper) / 2))
    if input.dtype is not float64:
        lower, upper = filling.as_float32(lower), filling.as_float32(upper)
    if input.dtype is bfloat16:  # the slopes are not rounded to it, only the products
        return rrelu(input.to(float32), lower, upper, True, generator).to(bfloat16)
    x = input.detach().contiguous()
    drawn = filled(empty(x.form), "Rrelu", filling.slopes, generator, address(x), float(lower), float(upper))
    return input * drawn


# ---------------------------------------------------------------- shared
def _dropped(
    name: str, x: Tensor, p: float, train: bool, noise: Callable[[str, Tensor], Form], times: Callable
) -> Tensor:
    _check(name, x, p, train)
    if p == 0 or not train or not x.numel():
        return x
    return times(x, 0.0 if p == 1 else _factor(noise(name, x), p))


def _factor(of: Form, p: float) -> Tensor:
    """1 / (1 - p) with probability 1 - p, else 0; the quotient rounded as its dtype's arithmetic would."""
    kept = 1.0 / (1.0 - p) if of.dtype is float64 else 1.0 / filling.as_float32(1.0 - p)
    return filled(empty(of), "Bernoulli", filling.bernoulli, None, 1.0 - p, kept)


def _alpha_dropped(
    name: str, x: Tensor, p: float, train: bool, noise: Callable[[str, Tensor], Form], inplace: bool
) -> Tensor:
    _check(name, x, p, train)
    if p == 0 or not train or not x.numel():
        return x
    if p == 1:
        return x.mul_(0.0) if inplace else x * 0.0
    kept = bernoulli_(empty(noise(name, x)), 1.0 - p)
    a = 1.0 / math.sqrt((ALPHA * ALPHA * p + 1) * (1.0 - p))
    shift = (kept + -1).mul_(ALPHA * a).add_(ALPHA * a * p)
    factor = kept.mul_(a)
    return x.mul_(factor).add_(shift) if inplace else x * factor + shift


def _like(name: str, x: Tensor) -> Form:
    return like(x.form)


def _channels(name: str, x: Tensor) -> Form:
    if x.ndim < 2:
        raise RuntimeError(message(name, f"input has shape {tuple(x.shape)}", "channels need 2 dimensions at least"))
    return form(x.dtype, x.device, (*x.shape[:2], *[1] * (x.ndim - 2)))


def _check(name: str, x: Tensor, p: float, train: bool) -> None:
    if not 0 <= p <= 1:
        raise RuntimeError(f"{name}: dropout probability has to be between 0 and 1, but got {p}")
    if not (x.dtype.is_floating_point or x.dtype.is_complex) and train and 0 < p < 1:
        raise RuntimeError(
            message(
                name,
                f"result type {float32} can't be cast to the desired output type {x.dtype}",
                "input must be floating",
            )
        )
