"""The Wishart distribution of covariance matrices."""

from __future__ import annotations

import math
import warnings
from numbers import Number
from typing import Any

from mashal import linalg, ops
from mashal.core.dtypes import finfo
from mashal.core.shapes import Size
from mashal.core.tensor import Tensor
from mashal.distributions import constraints
from mashal.distributions.chi2 import Chi2
from mashal.distributions.exp_family import ExponentialFamily
from mashal.distributions.multivariate_normal import half_log_determinant, inverse_of_tril, tril_of_precision
from mashal.distributions.utils import lazy_property

__all__ = ["Wishart"]


def mvdigamma(x: Tensor, p: int) -> Tensor:
    """The derivative of the logarithm of the multivariate gamma function."""
    halves = ops.arange(p, dtype=x.dtype, device=x.device).div(2).expand((*x.shape, -1))
    return ops.digamma(x.unsqueeze(-1) - halves).sum(-1)


class Wishart(ExponentialFamily):
    """Sums of df products x·xᵀ of normal vectors; by a covariance matrix, its inverse or its Cholesky factor, (…, n, n).

    df: above n - 1; below n samples are nearly singular, which a warning says.
    """

    batched = {"df": 0, "covariance_matrix": 2, "scale_tril": 2, "precision_matrix": 2}
    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    @property
    def arg_constraints(self) -> dict[str, Any]:
        return {
            "covariance_matrix": constraints.positive_definite,
            "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky,
            "df": constraints.greater_than(self.event_shape[-1] - 1),
        }

    def __init__(
        self,
        df: Any,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ):
        given = {"scale_tril": scale_tril, "covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix}
        given = {name: matrix for name, matrix in given.items() if matrix is not None}
        if len(given) != 1:
            raise AssertionError(
                f"Wishart: exactly one of covariance_matrix, precision_matrix and scale_tril must be given, not {len(given)}"
            )
        ((name, matrix),) = given.items()
        if matrix.ndim < 2:  # type: ignore[union-attr]
            raise ValueError(f"Wishart: {name} has {matrix.ndim} dimensions; it must be a batch of matrices")  # type: ignore[union-attr]
        event_shape = matrix.shape[-2:]  # type: ignore[union-attr]
        if isinstance(df, Number):
            batch_shape = Size(matrix.shape[:-2])  # type: ignore[union-attr]
            self.df = ops.tensor(df, dtype=matrix.dtype, device=matrix.device)  # type: ignore[union-attr]
        else:
            batch_shape = ops.broadcast_shapes(matrix.shape[:-2], df.shape)  # type: ignore[union-attr]
            self.df = df.expand(batch_shape)
        least = event_shape[-1] - 1
        if self.df.le(least).any():
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {least}.")
        setattr(self, name, matrix.expand((*batch_shape, -1, -1)))  # type: ignore[union-attr]
        if self.df.lt(event_shape[-1]).any():
            warnings.warn(
                "Low df values detected. Singular samples are highly likely to occur for ndim - 1 < df < ndim.",
                stacklevel=2,
            )
        super().__init__(batch_shape, event_shape, validate_args=validate_args)
        self._batch_dims = [-(x + 1) for x in range(len(self._batch_shape))]
        self._unbroadcasted_scale_tril = _tril_of(name, matrix)  # type: ignore[arg-type]
        steps = ops.arange(event_shape[-1], dtype=matrix.dtype, device=matrix.device)  # type: ignore[union-attr]
        self._dist_chi2 = Chi2(df=self.df.unsqueeze(-1) - steps.expand((*batch_shape, -1)))

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        new._batch_dims = [-(x + 1) for x in range(len(batch_shape))]
        steps = ops.arange(self.event_shape[-1], dtype=new.df.dtype, device=new.df.device)
        new._dist_chi2 = Chi2(df=new.df.unsqueeze(-1) - steps.expand((*batch_shape, -1)))
        new._event_shape = self._event_shape

    def _whole(self, matrix: Tensor) -> Tensor:
        return matrix.expand(self._batch_shape + self._event_shape)

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The lower triangular L with covariance LLᵀ."""
        return self._whole(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The covariance of the normal vectors."""
        factor = self._unbroadcasted_scale_tril
        return self._whole(factor @ factor.mT)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance matrix."""
        return self._whole(inverse_of_tril(self._unbroadcasted_scale_tril))

    def _per_matrix(self, x: Tensor) -> Tensor:
        return x.view((*self._batch_shape, 1, 1))

    mean = property(lambda self: self._per_matrix(self.df) * self.covariance_matrix, doc="df times the covariance.")

    @property
    def mode(self) -> Tensor:
        factor = self.df - self.covariance_matrix.shape[-1] - 1
        return self._per_matrix(ops.where(factor <= 0, math.nan, factor)) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        v = self.covariance_matrix
        diagonal = v.diagonal(dim1=-2, dim2=-1)
        return self._per_matrix(self.df) * (v.pow(2) + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def _draw(self, sample_shape: Any) -> Tensor:
        """Bartlett's decomposition: chi numbers on the diagonal, normal ones below."""
        p = self._event_shape[-1]
        chi = self._dist_chi2.rsample(sample_shape).sqrt()
        noise = chi.clamp(min=finfo(chi.dtype).eps).diag_embed(dim1=-2, dim2=-1)
        i, j = ops.tril_indices(p, p, offset=-1)
        shape = Size((*sample_shape, *self._batch_shape, p * (p - 1) // 2))
        noise[..., i, j] = ops.randn(shape, dtype=noise.dtype, device=noise.device)
        factor = self._unbroadcasted_scale_tril @ noise
        return factor @ factor.mT

    def rsample(self, sample_shape: Any = (), max_try_correction: int = 10) -> Tensor:
        """Random matrices; singular ones are drawn again, at most max_try_correction times."""
        sample = self._draw(Size(sample_shape))
        again = self._over_batch(self.support.check(sample))  # PyTorch's stream: those that are regular are drawn twice
        for _ in range(max_try_correction):
            if not again.any():
                break
            fresh = self._draw(again[again].shape)
            sample[again] = fresh
            again[again.clone()] = self._over_batch(~self.support.check(fresh))
        return sample

    def _over_batch(self, flags: Tensor) -> Tensor:
        """Whether a flag is set anywhere in the batch."""
        return flags.amax(self._batch_dims) if self._batch_shape else flags

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        nu, p = self.df, self._event_shape[-1]
        size = p * math.log(2) / 2 + half_log_determinant(self._unbroadcasted_scale_tril)
        trace = (inverse_of_tril(self._unbroadcasted_scale_tril) * value.mT).sum((-2, -1))
        determinant = linalg.slogdet(value)[1]
        return -nu * size - ops.mvlgamma(nu / 2, p=p) + (nu - p - 1) / 2 * determinant - trace / 2

    def entropy(self) -> Tensor:
        nu, p = self.df, self._event_shape[-1]
        size = p * math.log(2) / 2 + half_log_determinant(self._unbroadcasted_scale_tril)
        return (p + 1) * size + ops.mvlgamma(nu / 2, p=p) - (nu - p - 1) / 2 * mvdigamma(nu / 2, p=p) + nu * p / 2

    @property
    def _natural_params(self) -> tuple[Tensor, Tensor]:
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:
        p = self._event_shape[-1]
        a = y + (p + 1) / 2
        return a * (-linalg.slogdet(-2 * x)[1] + math.log(2) * p) + ops.mvlgamma(a, p=p)


def _tril_of(name: str, matrix: Tensor) -> Tensor:
    if name == "scale_tril":
        return matrix
    return linalg.cholesky(matrix) if name == "covariance_matrix" else tril_of_precision(matrix)
