"""The uniform distribution."""

from __future__ import annotations

from typing import Any

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.distribution import Distribution
from mashal.ops.keeping import granted

__all__ = ["Uniform"]


class Uniform(Distribution):
    """Equally likely numbers in [low, high).

    >>> torch.distributions.Uniform(0.0, 4.0).log_prob(torch.tensor(1.0))
    tensor(-1.3863)
    """

    arg_constraints = {
        "low": constraints.dependent(is_discrete=False, event_dim=0),
        "high": constraints.dependent(is_discrete=False, event_dim=0),
    }
    batched = {"low": 0, "high": 0}
    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None):
        self._hold(validate_args, low=low, high=high)
        if self._validate_args and not granted(ops.lt(self.low, self.high).all()):
            raise ValueError(f"Uniform: low must be below high everywhere, and they are\n{self.low}\n{self.high}")

    mean = property(lambda self: (self.high + self.low) / 2, doc="The middle.")
    mode = property(lambda self: float("nan") * self.high, doc="It has none: nan.")
    stddev = property(lambda self: (self.high - self.low) / 12**0.5, doc="The width over √12.")
    variance = property(lambda self: (self.high - self.low).pow(2) / 12, doc="The squared width over 12.")

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.interval(self.low, self.high)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        noise = ops.rand(self._extended_shape(sample_shape), dtype=self.low.dtype, device=self.low.device)
        return self.low + noise * (self.high - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        above, below = self.low.le(value).type_as(self.low), self.high.gt(value).type_as(self.low)
        return ops.log(above.mul(below)) - ops.log(self.high - self.low)

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return ((value - self.low) / (self.high - self.low)).clamp(min=0, max=1)

    def icdf(self, value: Tensor) -> Tensor:
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        return ops.log(self.high - self.low)
