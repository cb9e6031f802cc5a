"""The positive half of the cauchy distribution."""

from __future__ import annotations

import math
from typing import Any

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.cauchy import Cauchy
from mashal.distributions.transformed_distribution import TransformedDistribution
from mashal.distributions.transforms import AbsTransform

__all__ = ["HalfCauchy"]


class HalfCauchy(TransformedDistribution):
    """The absolute value of a Cauchy number around 0 of this scale > 0."""

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    base_dist: Cauchy

    def __init__(self, scale: Any, validate_args: bool | None = None):
        super().__init__(Cauchy(0, scale, validate_args=False), AbsTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return super().expand(batch_shape, _instance=self._get_checked_instance(HalfCauchy, _instance))

    scale = property(lambda self: self.base_dist.scale, doc="The scale.")
    mode = property(lambda self: ops.zeros_like(self.scale), doc="0.")
    variance = property(lambda self: self.base_dist.variance, doc="Infinite.")

    @property
    def mean(self) -> Tensor:
        scale = self.scale
        return ops.full(self._extended_shape(), math.inf, dtype=scale.dtype, device=scale.device)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        value = ops.as_tensor(value, dtype=self.base_dist.scale.dtype, device=self.base_dist.scale.device)
        scale = self.base_dist.scale
        log_density = math.log(2 / math.pi) - scale.log() - (value / scale).pow(2).log1p()
        return ops.where(value >= 0, log_density, -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, value: Tensor) -> Tensor:
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() - math.log(2)
