"""The distribution of correlation matrices of Lewandowski, Kurowicka and Joe (2009), by their Cholesky factors."""

from __future__ import annotations

import math
from typing import Any

from mashal import ops
from mashal.core.dtypes import finfo
from mashal.core.shapes import Size
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.beta import Beta
from mashal.distributions.distribution import Distribution
from mashal.distributions.utils import broadcast_all

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Cholesky factors of dim × dim correlation matrices M with density ∝ |M|^(concentration - 1); 1 is uniform."""

    arg_constraints = {"concentration": constraints.positive}
    batched = {"concentration": 0}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None):
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        steps = ops.arange(dim - 1, dtype=self.concentration.dtype, device=self.concentration.device)
        steps = ops.cat([steps.new_zeros((1,)), steps])
        self._beta = Beta(steps + 0.5, (self.concentration + 0.5 * (dim - 2)).unsqueeze(-1) - 0.5 * steps)
        super().__init__(self.concentration.size(), Size((dim, dim)), validate_args)

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        new.dim, new._beta = self.dim, self._beta.expand((*batch_shape, self.dim))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """The onion method, all rows at once: lengths by the beta distribution, directions by normal numbers."""
        with no_grad():
            y = self._beta.sample(sample_shape).unsqueeze(-1)
            normal = ops.randn(self._extended_shape(sample_shape), dtype=y.dtype, device=y.device).tril(-1)
            direction = normal / normal.norm(dim=-1, keepdim=True)
            direction[..., 0, :] = 0.0  # the first row has no direction
            w = ops.sqrt(y) * direction
            rest = ops.clamp(1 - ops.sum(w**2, dim=-1), min=finfo(w.dtype).tiny)
            return w + ops.diag_embed(rest.sqrt())

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = ops.arange(2, self.dim + 1, device=self.concentration.device)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - order
        others = self.dim - 1
        alpha = self.concentration + 0.5 * others
        normaliser = 0.5 * others * math.log(math.pi) + ops.mvlgamma(alpha - 0.5, others) - ops.lgamma(alpha) * others
        return ops.sum(order * diagonal.log(), dim=-1) - normaliser
