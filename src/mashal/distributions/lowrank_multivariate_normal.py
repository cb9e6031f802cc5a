"""Normal vectors whose covariance is a diagonal and a product of few columns."""

from __future__ import annotations

import math
from typing import Any

from mashal import linalg, ops
from mashal.core.shapes import Size
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.distribution import Distribution
from mashal.distributions.multivariate_normal import batch_mv, half_log_determinant
from mashal.distributions.utils import lazy_property, standard_normal

__all__ = ["LowRankMultivariateNormal"]


class LowRankMultivariateNormal(Distribution):
    """Normal vectors of mean loc (…, n) and covariance WWᵀ + diag(d), with W = cov_factor (…, n, r) and d = cov_diag (…, n).

    Densities are computed by way of r × r matrices (Woodbury's identity and the determinant lemma).
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    batched = {"loc": 1, "cov_diag": 1, "cov_factor": 2}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor, cov_factor: Tensor, cov_diag: Tensor, validate_args: bool | None = None):
        if loc.ndim < 1:
            raise ValueError("LowRankMultivariateNormal: loc is 0-d; it must be at least one-dimensional")
        event_shape = loc.shape[-1:]
        if cov_factor.ndim < 2 or cov_factor.shape[-2:-1] != event_shape:
            raise ValueError(
                f"cov_factor must be a batch of matrices with shape {event_shape[0]} x m, not of shape {tuple(cov_factor.shape)}"
            )
        if cov_diag.shape[-1:] != event_shape:
            raise ValueError(
                f"cov_diag must be a batch of vectors with shape {event_shape}, not of shape {tuple(cov_diag.shape)}"
            )
        column = loc.unsqueeze(-1)
        try:
            column, self.cov_factor, diagonal = ops.broadcast_tensors(column, cov_factor, cov_diag.unsqueeze(-1))
        except RuntimeError as error:
            shapes = f"loc {tuple(loc.shape)}, cov_factor {tuple(cov_factor.shape)}, cov_diag {tuple(cov_diag.shape)}"
            raise ValueError(f"Incompatible batch shapes: {shapes}") from error
        self.loc, self.cov_diag = column[..., 0], diagonal[..., 0]
        super().__init__(self.loc.shape[:-1], event_shape, validate_args=validate_args)
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = cov_factor, cov_diag
        self._capacitance_tril = capacitance_tril(cov_factor, cov_diag)

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        for name in ("_unbroadcasted_cov_factor", "_unbroadcasted_cov_diag", "_capacitance_tril"):
            setattr(new, name, getattr(self, name))

    mean = property(lambda self: self.loc, doc="loc.")
    mode = property(lambda self: self.loc, doc="loc.")

    def _whole(self, matrix: Tensor) -> Tensor:
        return matrix.expand(self._batch_shape + self._event_shape + self._event_shape)

    @lazy_property
    def variance(self) -> Tensor:
        """The diagonal of the covariance matrix."""
        own = self._unbroadcasted_cov_factor.pow(2).sum(-1) + self._unbroadcasted_cov_diag
        return own.expand(self._batch_shape + self._event_shape)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """WWᵀ + diag(d)."""
        factor = self._unbroadcasted_cov_factor
        return self._whole(ops.matmul(factor, factor.mT) + ops.diag_embed(self._unbroadcasted_cov_diag))

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariance: of D½(1 + D⁻½WWᵀD⁻½)D½, where the inner matrix is well conditioned."""
        root = self._unbroadcasted_cov_diag.sqrt().unsqueeze(-1)
        scaled = self._unbroadcasted_cov_factor / root
        inner = ops.matmul(scaled, scaled.mT).contiguous()
        n = self._event_shape[0]
        inner = inner + ops.eye(n, dtype=inner.dtype, device=inner.device)
        return self._whole(root * linalg.cholesky(inner))

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance: D⁻¹ - D⁻¹W(1 + WᵀD⁻¹W)⁻¹WᵀD⁻¹."""
        weighted = self._unbroadcasted_cov_factor.mT / self._unbroadcasted_cov_diag.unsqueeze(-2)
        half = linalg.solve_triangular(self._capacitance_tril, weighted, upper=False)
        return self._whole(ops.diag_embed(self._unbroadcasted_cov_diag.reciprocal()) - half.mT @ half)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        of_factor = Size((*shape[:-1], self.cov_factor.shape[-1]))
        common = standard_normal(of_factor, self.loc.dtype, self.loc.device)
        own = standard_normal(shape, self.loc.dtype, self.loc.device)
        moved = self.loc + batch_mv(self._unbroadcasted_cov_factor, common)
        return moved + self._unbroadcasted_cov_diag.sqrt() * own

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        factor, diagonal = self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag
        far = low_rank_distance(factor, diagonal, value - self.loc, self._capacitance_tril)
        size = low_rank_log_determinant(diagonal, self._capacitance_tril)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + size + far)

    def entropy(self) -> Tensor:
        size = low_rank_log_determinant(self._unbroadcasted_cov_diag, self._capacitance_tril)
        return (0.5 * (self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + size)).expand(self._batch_shape)


def capacitance_tril(factor: Tensor, diagonal: Tensor) -> Tensor:
    """The Cholesky factor of 1 + WᵀD⁻¹W."""
    inner = ops.matmul(factor.mT / diagonal.unsqueeze(-2), factor).contiguous()
    return linalg.cholesky(inner + ops.eye(factor.shape[-1], dtype=inner.dtype, device=inner.device))


def low_rank_log_determinant(diagonal: Tensor, capacitance: Tensor) -> Tensor:
    """log |WWᵀ + D| = log |1 + WᵀD⁻¹W| + log |D|."""
    return 2 * half_log_determinant(capacitance) + diagonal.log().sum(-1)


def low_rank_distance(factor: Tensor, diagonal: Tensor, away: Tensor, capacitance: Tensor) -> Tensor:
    """xᵀ(WWᵀ + D)⁻¹x by Woodbury's identity."""
    projected = batch_mv(factor.mT / diagonal.unsqueeze(-2), away)
    inner = linalg.solve_triangular(capacitance, projected.unsqueeze(-1), upper=False).squeeze(-1)
    return (away.pow(2) / diagonal).sum(-1) - inner.pow(2).sum(-1)
