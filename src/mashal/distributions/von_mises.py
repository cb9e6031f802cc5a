"""The von Mises distribution, the normal one's relative on the circle."""

from __future__ import annotations

import math
from typing import Any

from mashal import ops
from mashal.core.dtypes import bool as bool_
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.distribution import Distribution
from mashal.distributions.utils import lazy_property

__all__ = ["VonMises"]


class VonMises(Distribution):
    """Angles around loc, in radians, with concentration > 0: density exp(κ·cos(x - loc)) / (2π·I₀(κ))."""

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    batched = {"loc": 0, "concentration": 0}
    support = constraints.real
    has_rsample = False

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None):
        self._hold(validate_args, loc=loc, concentration=concentration)

    mean = property(lambda self: self.loc, doc="loc.")
    mode = property(lambda self: self.loc, doc="loc.")

    @lazy_property
    def variance(self) -> Tensor:
        """The circular variance, 1 - I₁(κ) / I₀(κ)."""
        kappa = self.concentration
        return 1 - ops.i1e(kappa) / ops.i0e(kappa)  # type: ignore[attr-defined]

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        kappa = self.concentration
        log_i0 = ops.log(ops.i0e(kappa)) + kappa  # type: ignore[attr-defined]
        return kappa * ops.cos(value - self.loc) - math.log(2 * math.pi) - log_i0

    @lazy_property
    def _proposal_r(self) -> Tensor:
        kappa = self.concentration.double()
        tau = 1 + (1 + 4 * kappa**2).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * kappa)
        exact = (1 + rho**2) / (2 * rho)
        return ops.where(kappa < 1e-5, 1 / kappa + kappa, exact)  # its series near 0

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Best and Fisher's rejection from a wrapped Cauchy distribution (1979), in double."""
        with no_grad():
            loc, kappa, r = self.loc.double(), self.concentration.double(), self._proposal_r
            x = ops.empty(self._extended_shape(sample_shape), dtype=loc.dtype, device=loc.device)
            done = ops.zeros(x.shape, dtype=bool_, device=loc.device)
            while not done.all():
                u1, u2, u3 = ops.rand((3, *x.shape), dtype=loc.dtype, device=loc.device).unbind()
                z = ops.cos(math.pi * u1)
                f = (1 + r * z) / (r + z)
                c = kappa * (r - f)
                accept = ((c * (2 - c) - u2) > 0) | ((c / u2).log() + 1 - c >= 0)
                x = ops.where(accept, (u3 - 0.5).sign() * f.acos(), x)
                done = done | accept
            return ((x + math.pi + loc) % (2 * math.pi) - math.pi).to(self.loc.dtype)
