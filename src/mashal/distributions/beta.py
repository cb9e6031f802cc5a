"""The beta distribution."""

from __future__ import annotations

from numbers import Real
from typing import Any

from mashal import ops
from mashal.core.shapes import Size
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.dirichlet import Dirichlet
from mashal.distributions.exp_family import ExponentialFamily
from mashal.distributions.utils import broadcast_all

__all__ = ["Beta"]


class Beta(ExponentialFamily):
    """Numbers between 0 and 1: the first share of a Dirichlet distribution of two (concentration1, concentration0 > 0)."""

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None):
        if isinstance(concentration1, Real) and isinstance(concentration0, Real):
            pair = ops.tensor([float(concentration1), float(concentration0)])
        else:
            pair = ops.stack(broadcast_all(concentration1, concentration0), -1)
        self._dirichlet = Dirichlet(pair, validate_args=validate_args)
        super().__init__(self._dirichlet._batch_shape, validate_args=validate_args)

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        new._dirichlet = self._dirichlet.expand(batch_shape)

    concentration1 = property(lambda self: _part(self, 0), doc="The concentration on the side of 1.")
    concentration0 = property(lambda self: _part(self, 1), doc="The concentration on the side of 0.")
    mean = property(
        lambda self: self.concentration1 / (self.concentration1 + self.concentration0), doc="The expected value."
    )
    mode = property(lambda self: self._dirichlet.mode[..., 0], doc="The most likely value.")

    @property
    def variance(self) -> Tensor:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self._dirichlet.rsample(sample_shape).select(-1, 0)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self._dirichlet.log_prob(ops.stack([value, 1.0 - value], -1))

    def entropy(self) -> Tensor:
        return self._dirichlet.entropy()

    @property
    def _natural_params(self) -> tuple[Tensor, Tensor]:
        return self.concentration1, self.concentration0

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:
        return ops.lgamma(x) + ops.lgamma(y) - ops.lgamma(x + y)


def _part(beta: Beta, i: int) -> Any:
    value = beta._dirichlet.concentration[..., i]
    return ops.tensor([value]) if isinstance(value, Real) else value
