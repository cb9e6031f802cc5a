"""Distributions whose parameter is given as probabilities or as their logarithms: one is kept, the other follows."""

from __future__ import annotations

from numbers import Number
from typing import Any

from mashal.core.shapes import Size
from mashal.core.tensor import Tensor
from mashal.distributions.distribution import Distribution, one_of
from mashal.distributions.utils import broadcast_all, lazy_property, logits_to_probs, probs_to_logits

__all__ = ["Binary", "Many"]


class Binary(Distribution):
    """A probability of success, as probs or as logits = log(p / (1 - p)), element by element."""

    batched = {"probs": 0, "logits": 0}

    def _hold_chance(self, probs: Any, logits: Any, validate_args: bool | None) -> None:
        """Keeps what was given of the two, with its batch shape."""
        one_of(type(self).__name__, "`probs`", probs, "`logits`", logits)
        given = logits if probs is None else probs
        (value,) = broadcast_all(given)
        setattr(self, "logits" if probs is None else "probs", value)
        Distribution.__init__(self, Size() if isinstance(given, Number) else value.size(), validate_args=validate_args)

    @property
    def _param(self) -> Tensor:
        return self.__dict__["probs"] if "probs" in self.__dict__ else self.__dict__["logits"]

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._param.new_empty(*args, **kwargs)

    @lazy_property
    def logits(self) -> Tensor:
        """The logarithm of the odds, log(p / (1 - p))."""
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self) -> Tensor:
        """The probability of success."""
        return logits_to_probs(self.logits, is_binary=True)

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter."""
        return self._param.size()


class Many(Distribution):
    """The categorical distribution behind another one, as `_categorical`, and its parameters."""

    logits = property(lambda self: self._categorical.logits, doc="The normalised logarithms of the probabilities.")
    probs = property(lambda self: self._categorical.probs, doc="The probabilities, which sum to 1.")
    param_shape = property(lambda self: self._categorical.param_shape, doc="The shape of the parameter.")

    @property
    def _param(self) -> Tensor:
        return self._categorical._param

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        new._categorical = self._categorical.expand(batch_shape)
