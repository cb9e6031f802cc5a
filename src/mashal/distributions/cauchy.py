"""The Cauchy distribution."""

from __future__ import annotations

import math
from typing import Any

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.distribution import Distribution

__all__ = ["Cauchy"]


class Cauchy(Distribution):
    """The ratio of two independent normal numbers, around its median loc with half width scale > 0 at half height."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    batched = {"loc": 0, "scale": 0}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        self._hold(validate_args, loc=loc, scale=scale)

    def _everywhere(self, value: float) -> Tensor:
        return ops.full(self._extended_shape(), value, dtype=self.loc.dtype, device=self.loc.device)

    mean = property(lambda self: self._everywhere(math.nan), doc="It has none: nan.")
    mode = property(lambda self: self.loc, doc="loc.")
    variance = property(lambda self: self._everywhere(math.inf), doc="Infinite.")

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        noise = self.loc.new_empty(self._extended_shape(sample_shape)).cauchy_()
        return self.loc + noise * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return -math.log(math.pi) - self.scale.log() - (((value - self.loc) / self.scale) ** 2).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return ops.atan((value - self.loc) / self.scale) / math.pi + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        return ops.tan(math.pi * (value - 0.5)) * self.scale + self.loc

    def entropy(self) -> Tensor:
        return math.log(4 * math.pi) + self.scale.log()
