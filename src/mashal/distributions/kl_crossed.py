"""Divergences put together from the entropy of p and the expected log q under p.

That needs p's mean, variance, expected logarithm or exponential only. Where p's values leave q's support the divergence is infinite.
"""

from __future__ import annotations

import math
from typing import Any

from mashal import ops
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
from mashal.distributions.kl import register_kl
from mashal.distributions.utils import euler_constant

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
