"""torch.distributions: random values, their densities, and transformations of both.

Read in this order
  distribution, constraint, structured_constraints, constraints, utils    what all have in common
  normal, uniform, exponential, laplace, cauchy, gamma, chi2, dirichlet, beta, studentT, fishersnedecor, poisson, generalized_pareto,
  von_mises                                   of numbers, by their parameters
  chances, bernoulli, geometric, binomial, negative_binomial, continuous_bernoulli, categorical, one_hot_categorical, multinomial
                                              by probabilities or their logarithms
  multivariate_normal, lowrank_multivariate_normal, wishart, lkj_cholesky    of vectors and matrices
  transform, elementwise_transforms, vector_transforms, transforms; constraint_registry    functions of values
  transformed_distribution and log_normal, half_normal, half_cauchy, gumbel, kumaraswamy, pareto, weibull, inverse_gamma, logistic_normal,
  relaxed_bernoulli, relaxed_categorical      transformed others;  independent, mixture_same_family
  kl, kl_crossed, kl_pairs                    divergences

Loaded when it is first asked for. Stands on ops, nn.functional, linalg.
"""

from mashal.distributions import kl_crossed as _kl_crossed
from mashal.distributions import kl_pairs as _kl_pairs
from mashal.distributions import transforms
from mashal.distributions.bernoulli import Bernoulli
from mashal.distributions.beta import Beta
from mashal.distributions.binomial import Binomial
from mashal.distributions.categorical import Categorical
from mashal.distributions.cauchy import Cauchy
from mashal.distributions.chi2 import Chi2
from mashal.distributions.constraint_registry import biject_to, transform_to
from mashal.distributions.continuous_bernoulli import ContinuousBernoulli
from mashal.distributions.dirichlet import Dirichlet
from mashal.distributions.distribution import Distribution
from mashal.distributions.exp_family import ExponentialFamily
from mashal.distributions.exponential import Exponential
from mashal.distributions.fishersnedecor import FisherSnedecor
from mashal.distributions.gamma import Gamma
from mashal.distributions.generalized_pareto import GeneralizedPareto
from mashal.distributions.geometric import Geometric
from mashal.distributions.gumbel import Gumbel
from mashal.distributions.half_cauchy import HalfCauchy
from mashal.distributions.half_normal import HalfNormal
from mashal.distributions.independent import Independent
from mashal.distributions.inverse_gamma import InverseGamma
from mashal.distributions.kl import kl_divergence, register_kl
from mashal.distributions.kumaraswamy import Kumaraswamy
from mashal.distributions.laplace import Laplace
from mashal.distributions.lkj_cholesky import LKJCholesky
from mashal.distributions.log_normal import LogNormal
from mashal.distributions.logistic_normal import LogisticNormal
from mashal.distributions.lowrank_multivariate_normal import LowRankMultivariateNormal
from mashal.distributions.mixture_same_family import MixtureSameFamily
from mashal.distributions.multinomial import Multinomial
from mashal.distributions.multivariate_normal import MultivariateNormal
from mashal.distributions.negative_binomial import NegativeBinomial
from mashal.distributions.normal import Normal
from mashal.distributions.one_hot_categorical import OneHotCategorical, OneHotCategoricalStraightThrough
from mashal.distributions.pareto import Pareto
from mashal.distributions.poisson import Poisson
from mashal.distributions.relaxed_bernoulli import RelaxedBernoulli
from mashal.distributions.relaxed_categorical import RelaxedOneHotCategorical
from mashal.distributions.studentT import StudentT
from mashal.distributions.transformed_distribution import TransformedDistribution
from mashal.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    CatTransform,
    ComposeTransform,
    CorrCholeskyTransform,
    CumulativeDistributionTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    PowerTransform,
    ReshapeTransform,
    SigmoidTransform,
    SoftmaxTransform,
    SoftplusTransform,
    StackTransform,
    StickBreakingTransform,
    TanhTransform,
    Transform,
    identity_transform,
)
from mashal.distributions.uniform import Uniform
from mashal.distributions.von_mises import VonMises
from mashal.distributions.weibull import Weibull
from mashal.distributions.wishart import Wishart

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "Bernoulli",
    "Beta",
    "Binomial",
    "CatTransform",
    "Categorical",
    "Cauchy",
    "ComposeTransform",
    "ContinuousBernoulli",
    "CorrCholeskyTransform",
    "CumulativeDistributionTransform",
    "Dirichlet",
    "Distribution",
    "ExpTransform",
    "Exponential",
    "ExponentialFamily",
    "FisherSnedecor",
    "Gamma",
    "GeneralizedPareto",
    "Geometric",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "Independent",
    "IndependentTransform",
    "InverseGamma",
    "Kumaraswamy",
    "LKJCholesky",
    "Laplace",
    "LogNormal",
    "LogisticNormal",
    "LowRankMultivariateNormal",
    "LowerCholeskyTransform",
    "MixtureSameFamily",
    "Multinomial",
    "MultivariateNormal",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "Pareto",
    "Poisson",
    "PositiveDefiniteTransform",
    "PowerTransform",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "ReshapeTransform",
    "SigmoidTransform",
    "SoftmaxTransform",
    "SoftplusTransform",
    "StackTransform",
    "StickBreakingTransform",
    "StudentT",
    "TanhTransform",
    "Transform",
    "TransformedDistribution",
    "Uniform",
    "VonMises",
    "Weibull",
    "Wishart",
    "biject_to",
    "identity_transform",
    "kl_divergence",
    "register_kl",
    "transform_to",
]
