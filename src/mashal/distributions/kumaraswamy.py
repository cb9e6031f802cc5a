"""The Kumaraswamy distribution."""

from __future__ import annotations

from typing import Any

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.transformed_distribution import TransformedDistribution
from mashal.distributions.transforms import AffineTransform, PowerTransform
from mashal.distributions.uniform import Uniform
from mashal.distributions.utils import broadcast_all, euler_constant

__all__ = ["Kumaraswamy"]


class Kumaraswamy(TransformedDistribution):
    """(1 - u^(1/b))^(1/a) of a uniform u, with a = concentration1 and b = concentration0: much like Beta(a, b)."""

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None):
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        b = self.concentration0
        base = Uniform(ops.full_like(b, 0), ops.full_like(b, 1), validate_args=validate_args)
        steps = [
            PowerTransform(exponent=b.reciprocal()),
            AffineTransform(loc=1.0, scale=-1.0),
            PowerTransform(exponent=self.concentration1.reciprocal()),
        ]
        super().__init__(base, steps, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(Kumaraswamy, _instance)
        new.concentration1 = self.concentration1.expand(batch_shape)
        new.concentration0 = self.concentration0.expand(batch_shape)
        return super().expand(batch_shape, _instance=new)

    def _moment(self, n: int) -> Tensor:
        """The expected n-th power, b·B(1 + n/a, b)."""
        a, b = self.concentration1, self.concentration0
        arg = 1 + n / a
        return ops.exp(b.log() + ops.lgamma(arg) + ops.lgamma(b) - ops.lgamma(arg + b))

    mean = property(lambda self: self._moment(1), doc="b·B(1 + 1/a, b).")
    variance = property(
        lambda self: self._moment(2) - self._moment(1).pow(2), doc="The second moment less the squared mean."
    )

    @property
    def mode(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return ops.where((a < 1) | (b < 1), float("nan"), ((a - 1) / (a * b - 1)).pow(a.reciprocal()))

    def entropy(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        harmonic = ops.digamma(b + 1) + euler_constant
        return (1 - b.reciprocal()) + (1 - a.reciprocal()) * harmonic - ops.log(a) - ops.log(b)
