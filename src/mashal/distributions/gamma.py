"""The gamma distribution."""

from __future__ import annotations

from typing import Any

from mashal import ops
from mashal.core.dtypes import finfo
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.exp_family import ExponentialFamily

__all__ = ["Gamma"]


class Gamma(ExponentialFamily):
    """The gamma distribution of shape concentration > 0 and rate > 0 (the inverse of a scale)."""

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    batched = {"concentration": 0, "rate": 0}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None):
        self._hold(validate_args, concentration=concentration, rate=rate)

    mean = property(lambda self: self.concentration / self.rate, doc="concentration / rate.")
    mode = property(lambda self: ((self.concentration - 1) / self.rate).clamp(min=0), doc="(concentration - 1) / rate.")
    variance = property(lambda self: self.concentration / self.rate.pow(2), doc="concentration / rate².")

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        value = ops._standard_gamma(self.concentration.expand(shape)) / self.rate.expand(shape)  # type: ignore[attr-defined]
        value.data.clamp_(min=finfo(value.dtype).tiny)  # without a new version: backward may go on
        return value

    def log_prob(self, value: Tensor) -> Tensor:
        value = ops.as_tensor(value, dtype=self.rate.dtype, device=self.rate.device)
        if self._validate_args:
            self._validate_sample(value)
        return (
            ops.xlogy(self.concentration, self.rate)
            + ops.xlogy(self.concentration - 1, value)
            - self.rate * value
            - ops.lgamma(self.concentration)
        )

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return ops.igamma(self.concentration, self.rate * value)

    def entropy(self) -> Tensor:
        a = self.concentration
        return a - ops.log(self.rate) + ops.lgamma(a) + (1.0 - a) * ops.digamma(a)

    @property
    def _natural_params(self) -> tuple[Tensor, Tensor]:
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:
        return ops.lgamma(x + 1) + (x + 1) * ops.log(-y.reciprocal())
