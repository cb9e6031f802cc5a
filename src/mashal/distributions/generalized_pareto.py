"""The generalised Pareto distribution, for the tails of others."""

from __future__ import annotations

import math
from typing import Any

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.distribution import Distribution

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """Excesses above loc with scale > 0; concentration 0 gives the exponential distribution, -1 the uniform one."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    batched = {"loc": 0, "scale": 0, "concentration": 0}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None):
        self._hold(validate_args, loc=loc, scale=scale, concentration=concentration)

    def _split(self) -> tuple[Tensor, Tensor]:
        """Where the concentration is 0, and the concentration with 1 there."""
        zero = ops.isclose(self.concentration, ops.zeros_like(self.concentration))
        return zero, ops.where(zero, ops.ones_like(self.concentration), self.concentration)

    def _standard(self, value: Tensor) -> Tensor:
        return (value - self.loc) / self.scale

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        upper = ops.where(self.concentration < 0, self.loc - self.scale / self.concentration, math.inf)
        return constraints.interval(self.loc, upper)

    @property
    def mean(self) -> Tensor:
        finite = self.concentration < 1
        return ops.where(finite, self.loc + self.scale / (1 - ops.where(finite, self.concentration, 0.5)), math.nan)

    mode = property(lambda self: self.loc, doc="loc.")

    @property
    def variance(self) -> Tensor:
        finite = self.concentration < 0.5
        k = ops.where(finite, self.concentration, 0.25)
        return ops.where(finite, self.scale**2 / ((1 - k) ** 2 * (1 - 2 * k)), math.nan)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        u = ops.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.icdf(u)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        z = self._standard(value)
        zero, k = self._split()
        y = 1 / k + ops.ones_like(z)
        return -self.scale.log() - ops.where(zero, z, ops.where(y == 0, y, y * ops.log1p(k * z)))

    def log_survival_function(self, value: Tensor) -> Tensor:
        """The logarithm of the probability of more than value."""
        if self._validate_args:
            self._validate_sample(value)
        z = self._standard(value)
        zero, k = self._split()
        return ops.where(zero, -z, -ops.log1p(k * z) / k)

    def log_cdf(self, value: Tensor) -> Tensor:
        """The logarithm of the probability of at most value."""
        return ops.log1p(-ops.exp(self.log_survival_function(value)))

    def cdf(self, value: Tensor) -> Tensor:
        return ops.exp(self.log_cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        zero, k = self._split()
        log_above = ops.log1p(-value)
        bent = self.loc + self.scale / k * ops.expm1(-k * log_above)
        return ops.where(zero, self.loc - self.scale * log_above, bent)

    def entropy(self) -> Tensor:
        return (ops.log(self.scale) + self.concentration + 1).expand(self._batch_shape)
