"""The divergences between distributions that have a closed form.

Most are the entropy of p and the expected log q under p, which needs p's mean, variance, expected logarithm or
exponential only: `crossed` puts them together. Where p's values leave q's support the divergence is infinite."""

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
from mashal.distributions.utils import euler_constant, sum_rightmost
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


# ---------------------------------------------------------------- expectations under p
def expected_log(p: Any) -> Tensor:
    """E_p[log x]."""
    if isinstance(p, Beta):
        return ops.digamma(p.concentration1) - ops.digamma(p.concentration1 + p.concentration0)
    if isinstance(p, Exponential):
        return -euler_constant - p.rate.log()
    if isinstance(p, Gamma):
        return ops.digamma(p.concentration) - p.rate.log()
    if isinstance(p, Pareto):
        return p.scale.log() + p.alpha.reciprocal()
    return (ops.xlogy(p.high, p.high) - ops.xlogy(p.low, p.low)) / (p.high - p.low) - 1  # uniform


def expected_exponential(p: Any, t: Tensor) -> Tensor:
    """E_p[exp(-x·t)]."""
    if isinstance(p, Normal):
        return ops.exp(-p.loc * t + 0.5 * (p.scale * t).pow(2))
    if isinstance(p, Exponential):
        return p.rate / (p.rate + t)
    if isinstance(p, Gamma):
        return (1 + t / p.rate).pow(-p.concentration)
    if isinstance(p, Gumbel):
        return ops.exp(-p.loc * t + ops.lgamma(1 + p.scale * t))
    return (ops.exp(-p.low * t) - ops.exp(-p.high * t)) / (t * (p.high - p.low))  # uniform


# ---------------------------------------------------------------- expected log q
def of_normal(p: Any, q: Any) -> Tensor:
    spread = (p.variance + (p.mean - q.loc).pow(2)) / (2 * q.scale.pow(2))
    return -spread - q.scale.log() - 0.5 * math.log(2 * math.pi)


def of_exponential(p: Any, q: Any) -> Tensor:
    return q.rate.log() - q.rate * p.mean


def of_gamma(p: Any, q: Any) -> Tensor:
    a, b = q.concentration, q.rate
    return a * b.log() - a.lgamma() + (a - 1) * expected_log(p) - b * p.mean


def of_beta(p: Any, q: Any) -> Tensor:
    mirrored = (
        Uniform(1 - p.high, 1 - p.low, False)
        if isinstance(p, Uniform)
        else Beta(p.concentration0, p.concentration1, False)
    )
    a, b = q.concentration1, q.concentration0
    return (a - 1) * expected_log(p) + (b - 1) * expected_log(mirrored) + ops.lgamma(a + b) - a.lgamma() - b.lgamma()


def of_continuous_bernoulli(p: Any, q: Any) -> Tensor:
    return p.mean * q.logits + ops.log1p(-q.probs) + q._log_constant()


def of_uniform(p: Any, q: Any) -> Tensor:
    return -ops.log(q.high - q.low)


def of_gumbel(p: Any, q: Any) -> Tensor:
    t = q.scale.reciprocal()
    return (q.loc - p.mean) * t - ops.exp(q.loc * t) * expected_exponential(p, t) - q.scale.log()


def of_pareto(p: Any, q: Any) -> Tensor:
    return q.alpha * q.scale.log() + q.alpha.log() - (q.alpha + 1) * expected_log(p)


# ---------------------------------------------------------------- where p leaves q's support
def never(p: Any, q: Any) -> Any:
    return False


def below_zero(p: Any, q: Any) -> Any:
    return p.low < 0


def outside_unit(p: Any, q: Any) -> Any:
    return (p.low < 0) | (p.high > 1)


def unit_outside(p: Any, q: Any) -> Any:
    return (q.low > 0) | (q.high < 1)


def outside(p: Any, q: Any) -> Any:
    return (q.low > p.low) | (q.high < p.high)


def below_scale(p: Any, q: Any) -> Any:
    return (p.low if isinstance(p, Uniform) else p.scale) < q.scale


def without_mean(p: Any, q: Any) -> Any:
    return p.alpha <= 1


def without_variance(p: Any, q: Any) -> Any:
    return p.alpha <= 2


def crossed(kind_p: type, kind_q: type, expected: Any, infinite: Any = never) -> None:
    """Registers KL(p, q) = -entropy(p) - E_p[log q], infinite where `infinite` says so."""

    def divergence(p: Any, q: Any) -> Tensor:
        found = -p.entropy() - expected(p, q)
        bad = infinite(p, q)
        return found if bad is False else ops.where(bad, math.inf, found)

    register_kl(kind_p, kind_q)(divergence)


for _p in (Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Laplace, Uniform):
    crossed(_p, Normal, of_normal)
crossed(Pareto, Normal, of_normal, without_variance)
for _p in (Beta, ContinuousBernoulli, Gamma):
    crossed(_p, Exponential, of_exponential)
crossed(Pareto, Exponential, of_exponential, without_mean)
crossed(Uniform, Exponential, of_exponential, below_zero)
for _p in (Beta, Exponential):
    crossed(_p, Gamma, of_gamma)
crossed(Pareto, Gamma, of_gamma, without_mean)
crossed(Uniform, Gamma, of_gamma, below_zero)
crossed(Beta, Beta, of_beta)
crossed(Uniform, Beta, of_beta, outside_unit)
for _p in (Beta, ContinuousBernoulli):
    crossed(_p, ContinuousBernoulli, of_continuous_bernoulli)
    crossed(_p, Uniform, of_uniform, unit_outside)
crossed(Uniform, ContinuousBernoulli, of_continuous_bernoulli, outside_unit)
crossed(Uniform, Uniform, of_uniform, outside)
for _p in (Normal, Exponential, Gamma, Gumbel, Uniform):
    crossed(_p, Gumbel, of_gumbel)
for _p in (Pareto, Uniform):
    crossed(_p, Pareto, of_pareto, below_scale)


def infinite(p: Any, q: Any) -> Tensor:
    """p has values where q has none."""
    sized = getattr(p, "_param", None)
    if sized is None:
        sized = next(
            v
            for v in (getattr(p, n, None) for n in ("loc", "rate", "concentration", "scale", "concentration1"))
            if v is not None
        )
    return ops.full_like(sized, math.inf)


for _p, _wider in {
    Beta: (Pareto,),
    ContinuousBernoulli: (Pareto,),
    Exponential: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gamma: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gumbel: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Laplace: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Normal: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Pareto: (Beta, ContinuousBernoulli, Uniform),
    Poisson: (Bernoulli, Binomial),
}.items():
    for _q in _wider:
        register_kl(_p, _q)(infinite)


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
