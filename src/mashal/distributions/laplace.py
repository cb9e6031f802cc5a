"""The Laplace distribution."""

from __future__ import annotations

from typing import Any

from mashal import ops
from mashal.core.dtypes import finfo
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.distribution import Distribution

__all__ = ["Laplace"]


class Laplace(Distribution):
    """Two exponential tails around loc, of scale > 0."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    batched = {"loc": 0, "scale": 0}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        self._hold(validate_args, loc=loc, scale=scale)

    mean = property(lambda self: self.loc, doc="loc.")
    mode = property(lambda self: self.loc, doc="loc.")
    variance = property(lambda self: 2 * self.scale.pow(2), doc="Twice scale squared.")
    stddev = property(lambda self: (2**0.5) * self.scale, doc="√2·scale.")

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        u = self.loc.new_empty(self._extended_shape(sample_shape)).uniform_(finfo(self.loc.dtype).eps - 1, 1)
        return self.loc - self.scale * u.sign() * ops.log1p(-u.abs())

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return -ops.log(2 * self.scale) - ops.abs(value - self.loc) / self.scale

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        away = value - self.loc
        return 0.5 - 0.5 * away.sign() * ops.expm1(-away.abs() / self.scale)

    def icdf(self, value: Tensor) -> Tensor:
        side = value - 0.5
        return self.loc - self.scale * side.sign() * ops.log1p(-2 * side.abs())

    def entropy(self) -> Tensor:
        return 1 + ops.log(2 * self.scale)
