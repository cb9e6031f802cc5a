"""Divergences in closed form: of one family, of chances, of vectors, of what is made of others. The rest is in kl_crossed."""

from __future__ import annotations

import math
from typing import Any

from mashal import linalg, ops
from mashal.autograd.roots import grad
from mashal.core.tensor import Tensor
from mashal.distributions import (
    bernoulli,
    beta,
    binomial,
    categorical,
    cauchy,
    continuous_bernoulli,
    dirichlet,
    exponential,
    gamma,
    geometric,
    gumbel,
    half_normal,
    independent,
    laplace,
    lowrank_multivariate_normal,
    multivariate_normal,
    normal,
    one_hot_categorical,
    pareto,
    poisson,
    transformed_distribution,
    uniform,
)
from mashal.distributions.exp_family import ExponentialFamily
from mashal.distributions.kl import kl_divergence, register_kl
from mashal.distributions.lowrank_multivariate_normal import low_rank_distance, low_rank_log_determinant
from mashal.distributions.multivariate_normal import half_log_determinant, squared_distance
from mashal.distributions.utils import sum_rightmost
from mashal.nn.functional import softplus

__all__: list[str] = []

Bernoulli, Beta, Binomial, Cauchy = bernoulli.Bernoulli, beta.Beta, binomial.Binomial, cauchy.Cauchy
Categorical, ContinuousBernoulli = categorical.Categorical, continuous_bernoulli.ContinuousBernoulli
Dirichlet, Exponential, Gamma, Geometric = (
    dirichlet.Dirichlet,
    exponential.Exponential,
    gamma.Gamma,
    geometric.Geometric,
)
Gumbel, HalfNormal, Independent, Laplace = (
    gumbel.Gumbel,
    half_normal.HalfNormal,
    independent.Independent,
    laplace.Laplace,
)
LowRank = lowrank_multivariate_normal.LowRankMultivariateNormal
MultivariateNormal, Normal = multivariate_normal.MultivariateNormal, normal.Normal
OneHotCategorical, Pareto, Poisson = one_hot_categorical.OneHotCategorical, pareto.Pareto, poisson.Poisson
TransformedDistribution, Uniform = transformed_distribution.TransformedDistribution, uniform.Uniform


# ---------------------------------------------------------------- of one family, in closed form
@register_kl(Normal, Normal)
def _(p: Any, q: Any) -> Tensor:
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(HalfNormal, HalfNormal)
def _(p: Any, q: Any) -> Tensor:
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Exponential, Exponential)
def _(p: Any, q: Any) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - ratio.log() - 1


@register_kl(Gamma, Gamma)
def _(p: Any, q: Any) -> Tensor:
    a, b = p.concentration, q.concentration
    rise = b * (p.rate / q.rate).log() + ops.lgamma(b) - ops.lgamma(a)
    return rise + (a - b) * ops.digamma(a) + (q.rate - p.rate) * (a / p.rate)


@register_kl(Laplace, Laplace)
def _(p: Any, q: Any) -> Tensor:
    apart = (p.loc - q.loc).abs()
    ratio = p.scale / q.scale
    return -ratio.log() + apart / q.scale + ratio * ops.exp(-apart / p.scale) - 1


@register_kl(Normal, Laplace)
def _(p: Any, q: Any) -> Tensor:
    away = p.loc - q.loc
    z = away / p.scale
    expected = p.scale * math.sqrt(2 / math.pi) * ops.exp(-0.5 * z.pow(2)) + away * ops.erf(math.sqrt(0.5) * z)
    return -p.entropy() + ops.log(2 * q.scale) + expected / q.scale


@register_kl(Cauchy, Cauchy)
def _(p: Any, q: Any) -> Tensor:
    return ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log() - (4 * p.scale * q.scale).log()


@register_kl(Dirichlet, Dirichlet)
def _(p: Any, q: Any) -> Tensor:
    a, b = p.concentration, q.concentration
    totals = a.sum(-1).lgamma() - b.sum(-1).lgamma()
    slope = a.digamma() - a.sum(-1, True).digamma()
    return totals - (a.lgamma() - b.lgamma()).sum(-1) + ((a - b) * slope).sum(-1)


# ---------------------------------------------------------------- of chances and counts
@register_kl(Bernoulli, Bernoulli)
def _(p: Any, q: Any) -> Tensor:
    one = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    one = ops.where(p.probs == 0, 0.0, ops.where(q.probs == 0, math.inf, one))
    zero = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    return one + ops.where(p.probs == 1, 0.0, ops.where(q.probs == 1, math.inf, zero))


@register_kl(Bernoulli, Poisson)
def _(p: Any, q: Any) -> Tensor:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Poisson, Poisson)
def _(p: Any, q: Any) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Geometric, Geometric)
def _(p: Any, q: Any) -> Tensor:
    return -p.entropy() - ops.log1p(-q.probs) / p.probs - q.logits


@register_kl(Binomial, Binomial)
def _(p: Any, q: Any) -> Tensor:
    if (p.total_count < q.total_count).any():
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    each = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return ops.where(p.total_count > q.total_count, math.inf, p.total_count * each)


@register_kl(Categorical, Categorical)
def _(p: Any, q: Any) -> Tensor:
    terms = p.probs * (p.logits - q.logits)
    terms = ops.where((q.probs == 0).expand_as(terms), math.inf, terms)
    return ops.where((p.probs == 0).expand_as(terms), 0.0, terms).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _(p: Any, q: Any) -> Tensor:
    return kl_divergence(p._categorical, q._categorical)


# ---------------------------------------------------------------- of vectors
def _check_events(p: Any, q: Any) -> None:
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"KL-divergence between normal vectors of different sizes, {tuple(p.event_shape)} and {tuple(q.event_shape)}, "
            "cannot be computed"
        )


def _trace(a: Tensor) -> Tensor:
    """Σ of all squares of (…, n, m): the trace of aaᵀ."""
    return a.reshape((*a.shape[:-2], -1)).pow(2).sum(-1)


def _solved(factor: Tensor, x: Tensor) -> Tensor:
    return linalg.solve_triangular(factor, x, upper=False)


@register_kl(MultivariateNormal, MultivariateNormal)
def _(p: Any, q: Any) -> Tensor:
    _check_events(p, q)
    lp, lq = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    shape = ops.broadcast_shapes(lp.shape[:-2], lq.shape[:-2])
    n = p.event_shape[0]
    trace = _trace(_solved(lq.expand((*shape, n, n)), lp.expand((*shape, n, n))))
    far = squared_distance(lq, q.loc - p.loc)
    return half_log_determinant(lq) - half_log_determinant(lp) + 0.5 * (trace + far - n)


@register_kl(MultivariateNormal, LowRank)
def _(p: Any, q: Any) -> Tensor:
    _check_events(p, q)
    w, d, c = q._unbroadcasted_cov_factor, q._unbroadcasted_cov_diag, q._capacitance_tril
    size = low_rank_log_determinant(d, c) - 2 * half_log_determinant(p._unbroadcasted_scale_tril)
    far = low_rank_distance(w, d, q.loc - p.loc, c)
    lp = p._unbroadcasted_scale_tril
    inner = _solved(c, (w.mT / d.unsqueeze(-2)) @ lp)
    trace = _trace(lp * d.rsqrt().unsqueeze(-1)) - _trace(inner)
    return 0.5 * (size + far + trace - p.event_shape[0])


@register_kl(LowRank, MultivariateNormal)
def _(p: Any, q: Any) -> Tensor:
    _check_events(p, q)
    lq, n = q._unbroadcasted_scale_tril, p.event_shape[0]
    size = 2 * half_log_determinant(lq) - low_rank_log_determinant(p._unbroadcasted_cov_diag, p._capacitance_tril)
    far = squared_distance(lq, q.loc - p.loc)
    shape = (*ops.broadcast_shapes(lq.shape[:-2], p._unbroadcasted_cov_factor.shape[:-2]), n, n)
    whole = lq.expand(shape)
    factor = p._unbroadcasted_cov_factor
    trace = _trace(_solved(whole, factor.expand((*shape[:-1], factor.shape[-1]))))
    trace = trace + _trace(_solved(whole, ops.diag_embed(p._unbroadcasted_cov_diag.sqrt()).expand(shape)))
    return 0.5 * (size + far + trace - n)


@register_kl(LowRank, LowRank)
def _(p: Any, q: Any) -> Tensor:
    _check_events(p, q)
    w, d, c = q._unbroadcasted_cov_factor, q._unbroadcasted_cov_diag, q._capacitance_tril
    size = low_rank_log_determinant(d, c) - low_rank_log_determinant(p._unbroadcasted_cov_diag, p._capacitance_tril)
    far = low_rank_distance(w, d, q.loc - p.loc, c)
    projected = w.mT / d.unsqueeze(-2)
    own = (p._unbroadcasted_cov_diag / d).sum(-1)
    common = _trace(p._unbroadcasted_cov_factor * d.rsqrt().unsqueeze(-1))
    gone = _trace(_solved(c, projected * p._unbroadcasted_cov_diag.sqrt().unsqueeze(-2)))
    gone = gone + _trace(_solved(c, projected @ p._unbroadcasted_cov_factor))
    return 0.5 * (size + far + own + common - gone - p.event_shape[0])


# ---------------------------------------------------------------- of what is made of others
@register_kl(Independent, Independent)
def _(p: Any, q: Any) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("KL of Independents with different reinterpreted_batch_ndims is not implemented")
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _(p: Any, q: Any) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError(
            "KL of TransformedDistributions with different transforms or events is not implemented"
        )
    more = len(p.event_shape) - len(p.base_dist.event_shape)
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), more)


@register_kl(ExponentialFamily, ExponentialFamily)
def _(p: Any, q: Any) -> Tensor:
    """Bregman's divergence of the log normalisers."""
    if type(p) is not type(q):
        raise NotImplementedError(
            f"KL(p || q) of {type(p).__name__} and {type(q).__name__}, different exponential families, is not implemented"
        )
    own = [x.detach().requires_grad_() for x in p._natural_params]
    other = q._natural_params
    normaliser = p._log_normalizer(*own)
    slopes = grad(normaliser.sum(), own, create_graph=True)
    found = q._log_normalizer(*other) - normaliser
    for a, b, slope in zip(own, other, slopes):
        found = found - sum_rightmost((b - a) * slope, len(q.event_shape))
    return found
