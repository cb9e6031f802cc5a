"""The negative binomial distribution."""

from __future__ import annotations

from typing import Any

from mashal import ops
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.chances import Binary
from mashal.distributions.distribution import Distribution, one_of
from mashal.distributions.gamma import Gamma
from mashal.distributions.utils import broadcast_all, lazy_property
from mashal.nn.functional import logsigmoid

__all__ = ["NegativeBinomial"]


class NegativeBinomial(Binary):
    """How many throws succeed, with probability probs in [0, 1), before total_count of them have failed."""

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    batched = {"total_count": 0, "probs": 0, "logits": 0}
    support = constraints.nonnegative_integer

    def __init__(self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        one_of("NegativeBinomial", "`probs`", probs, "`logits`", logits)
        self.total_count, value = broadcast_all(total_count, logits if probs is None else probs)
        self.total_count = self.total_count.type_as(value)
        setattr(self, "logits" if probs is None else "probs", value)
        Distribution.__init__(self, value.size(), validate_args=validate_args)

    mean = property(lambda self: self.total_count * ops.exp(self.logits), doc="n·p / (1 - p).")
    variance = property(lambda self: self.mean / ops.sigmoid(-self.logits), doc="n·p / (1 - p)².")

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @lazy_property
    def _gamma(self) -> Gamma:
        return Gamma(concentration=self.total_count, rate=ops.exp(-self.logits), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            return ops.poisson(self._gamma.sample(sample_shape=sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        unnormalised = n * logsigmoid(-self.logits) + value * logsigmoid(self.logits)
        normaliser = -ops.lgamma(n + value) + ops.lgamma(1.0 + value) + ops.lgamma(n)
        normaliser = normaliser.masked_fill(n + value == 0.0, 0.0)
        return unnormalised - normaliser
