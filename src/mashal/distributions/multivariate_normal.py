"""The normal distribution of vectors."""

from __future__ import annotations

import math
from typing import Any

from mashal import linalg, ops
from mashal.core.shapes import Size
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.distribution import Distribution
from mashal.distributions.utils import lazy_property, standard_normal

__all__ = ["MultivariateNormal"]


def batch_mv(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrices (…, n, m) times vectors (…, m)."""
    return ops.matmul(matrix, vector.unsqueeze(-1)).squeeze(-1)


def squared_distance(scale_tril: Tensor, away: Tensor) -> Tensor:
    """|L⁻¹·x|² for the last dimension: how far x is from 0 in the measure of the covariance LLᵀ."""
    solved = linalg.solve_triangular(scale_tril, away.unsqueeze(-1), upper=False)
    return solved.squeeze(-1).pow(2).sum(-1)


def half_log_determinant(scale_tril: Tensor) -> Tensor:
    """log |L| of a triangular matrix, half of log |LLᵀ|."""
    return scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def tril_of_precision(precision: Tensor) -> Tensor:
    """The lower triangular L with LLᵀ the inverse of the precision matrix."""
    flipped = linalg.cholesky(ops.flip(precision, (-2, -1)))
    inverse = ops.transpose(ops.flip(flipped, (-2, -1)), -2, -1)
    identity = ops.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    return linalg.solve_triangular(inverse, identity.expand_as(precision), upper=False)


def inverse_of_tril(scale_tril: Tensor) -> Tensor:
    """(LLᵀ)⁻¹."""
    identity = ops.eye(scale_tril.shape[-1], dtype=scale_tril.dtype, device=scale_tril.device)
    inverse = linalg.solve_triangular(scale_tril, identity.expand_as(scale_tril), upper=False)
    return inverse.mT @ inverse


class MultivariateNormal(Distribution):
    """Normal vectors of mean loc (…, n), with a covariance matrix, its inverse or its Cholesky factor, (…, n, n).

    >>> torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2)).event_shape
    torch.Size([2])
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    batched = {"loc": 1, "covariance_matrix": 2, "scale_tril": 2, "precision_matrix": 2}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ):
        if loc.ndim < 1:
            raise ValueError("MultivariateNormal: loc is 0-d; it must be at least one-dimensional")
        given = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix, "scale_tril": scale_tril}
        given = {name: matrix for name, matrix in given.items() if matrix is not None}
        if len(given) != 1:
            raise ValueError(
                "MultivariateNormal: exactly one of covariance_matrix, precision_matrix and scale_tril must be given, "
                f"not {len(given)}"
            )
        ((name, matrix),) = given.items()
        if matrix.ndim < 2:  # type: ignore[union-attr]
            raise ValueError(f"MultivariateNormal: {name} has {matrix.ndim} dimensions; it must be a batch of matrices")  # type: ignore[union-attr]
        batch_shape = ops.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])  # type: ignore[union-attr]
        setattr(self, name, matrix.expand((*batch_shape, -1, -1)))  # type: ignore[union-attr]
        self.loc = loc.expand((*batch_shape, -1))
        super().__init__(batch_shape, self.loc.shape[-1:], validate_args=validate_args)
        if name == "scale_tril":
            self._unbroadcasted_scale_tril = matrix
        elif name == "covariance_matrix":
            self._unbroadcasted_scale_tril = linalg.cholesky(matrix)
        else:
            self._unbroadcasted_scale_tril = tril_of_precision(matrix)  # type: ignore[arg-type]

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril

    def _whole(self, matrix: Tensor) -> Tensor:
        return matrix.expand(self._batch_shape + self._event_shape + self._event_shape)

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The lower triangular L with covariance LLᵀ."""
        return self._whole(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The expected products of the deviations from the mean."""
        factor = self._unbroadcasted_scale_tril
        return self._whole(ops.matmul(factor, factor.mT))

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance matrix."""
        return self._whole(inverse_of_tril(self._unbroadcasted_scale_tril))

    mean = property(lambda self: self.loc, doc="loc.")
    mode = property(lambda self: self.loc, doc="loc.")

    @property
    def variance(self) -> Tensor:
        return self._unbroadcasted_scale_tril.pow(2).sum(-1).expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        noise = standard_normal(self._extended_shape(sample_shape), self.loc.dtype, self.loc.device)
        return self.loc + batch_mv(self._unbroadcasted_scale_tril, noise)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        factor = self._unbroadcasted_scale_tril
        far = squared_distance(factor, value - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + far) - half_log_determinant(factor)

    def entropy(self) -> Tensor:
        half = half_log_determinant(self._unbroadcasted_scale_tril)
        return (0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + half).expand(self._batch_shape)
