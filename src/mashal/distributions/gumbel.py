"""The Gumbel distribution."""

from __future__ import annotations

import math
from numbers import Number
from typing import Any

from mashal import ops
from mashal.core.dtypes import finfo
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.transformed_distribution import TransformedDistribution
from mashal.distributions.transforms import AffineTransform, ExpTransform
from mashal.distributions.uniform import Uniform
from mashal.distributions.utils import broadcast_all, euler_constant

__all__ = ["Gumbel"]


class Gumbel(TransformedDistribution):
    """loc - scale·log(-log u) of a uniform u: the largest of many numbers."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        self.loc, self.scale = broadcast_all(loc, scale)
        limits = finfo(self.loc.dtype)
        if isinstance(loc, Number) and isinstance(scale, Number):
            base = Uniform(limits.tiny, 1 - limits.eps, validate_args=validate_args)
        else:
            low = ops.full_like(self.loc, limits.tiny)
            base = Uniform(low, ops.full_like(self.loc, 1 - limits.eps), validate_args=validate_args)
        log = ExpTransform().inv
        steps = [
            log,
            AffineTransform(loc=0, scale=-ops.ones_like(self.scale)),
            log,
            AffineTransform(loc=loc, scale=-self.scale),
        ]
        super().__init__(base, steps, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(Gumbel, _instance)
        new.loc, new.scale = self.loc.expand(batch_shape), self.scale.expand(batch_shape)
        return super().expand(batch_shape, _instance=new)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        y = (self.loc - value) / self.scale
        return (y - y.exp()) - self.scale.log()

    mean = property(lambda self: self.loc + self.scale * euler_constant, doc="loc + scale·γ.")
    mode = property(lambda self: self.loc, doc="loc.")
    stddev = property(lambda self: (math.pi / math.sqrt(6)) * self.scale, doc="π/√6·scale.")
    variance = property(lambda self: self.stddev.pow(2), doc="π²/6·scale².")

    def entropy(self) -> Tensor:
        return self.scale.log() + (1 + euler_constant)
