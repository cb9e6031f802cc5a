"""Distributions against PyTorch: the same numbers from the same seed, densities, moments, divergences."""

import numpy as np
import pytest

import mashal

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
pytorch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def arguments_are_validated():
    """As PyTorch starts; its `compile`, once used anywhere in the process, switches this off."""
    pytorch.distributions.Distribution.set_default_validate_args(True)


A, L = "torch.tensor([[2.0, 0.5], [0.5, 1.0]])", "torch.tensor([[1.0, 0.0], [0.5, 0.8]])"
X, P = "torch.tensor([0.5, -1.0, 2.0]), torch.tensor([1.0, 2.0, 0.5])", "torch.tensor([0.25, 0.5, 0.9])"
MADE = f"""
Normal({X})
Normal(0.0, 1.0)
Laplace({X})
Cauchy({X})
Gumbel({X})
LogNormal({X})
LogisticNormal({X})
Uniform(torch.tensor([0.5, -1.0]), torch.tensor([1.0, 2.0]))
Exponential({P})
Gamma({P}, {P})
Chi2({P})
Beta({P}, {P})
Beta(2.0, 5.0)
Dirichlet(torch.tensor([[0.5, 3.0, 1.0], [2.0, 2.0, 2.0]]))
StudentT(torch.tensor([0.5, 3.0]), 1.0, 2.0)
FisherSnedecor(torch.tensor([1.5, 5.0]), torch.tensor([1.0, 7.0]))
Poisson(torch.tensor([0.5, 3.0, 20.0]))
Bernoulli({P})
Bernoulli(logits={P})
Geometric({P})
Binomial(5, {P})
NegativeBinomial(5, {P})
Categorical(torch.tensor([[0.25, 0.5, 0.9], [1.0, 2.0, 3.0]]))
OneHotCategorical(logits={P})
OneHotCategoricalStraightThrough({P})
Multinomial(4, {P})
ContinuousBernoulli({P})
VonMises({P}, torch.tensor([0.25, 2.5, 9.0]))
GeneralizedPareto({P}, {P}, torch.tensor([0.0, 0.2, -0.4]))
HalfNormal({P})
HalfCauchy({P})
Pareto({P}, {P})
Weibull({P}, {P})
InverseGamma({P}, {P})
RelaxedBernoulli(torch.tensor(0.7), {P})
RelaxedOneHotCategorical(torch.tensor(0.7), {P})
Independent(d.Normal({X}), 1)
MixtureSameFamily(d.Categorical(torch.tensor([0.3, 0.7])), d.Normal(torch.tensor([0.5, -1.0]), 1.0))
TransformedDistribution(d.Normal({X}), [d.AffineTransform(1.0, -2.0), d.SigmoidTransform()])
MultivariateNormal(torch.tensor([0.5, -1.0]), {A})
MultivariateNormal(torch.tensor([0.5, -1.0]), precision_matrix={A})
MultivariateNormal(torch.tensor([[0.5, -1.0], [1.0, 1.0]]), scale_tril={L})
LowRankMultivariateNormal(torch.tensor([0.5, -1.0]), torch.tensor([[1.0], [0.5]]), torch.tensor([0.5, 1.0]))
Wishart(torch.tensor([4.0, 5.0]), {A})
LKJCholesky(3, torch.tensor([1.5, 0.7]))
"""
CASES = MADE.strip().splitlines()
QUESTIONS = """batch_shape event_shape mean mode variance stddev has_rsample has_enumerate_support support entropy() enumerate_support()
enumerate_support(False) sample() sample((3,)) rsample((2,3)) expand((2,*d.batch_shape)).sample((2,)) log_prob(v) cdf(v)
icdf(torch.full(d.batch_shape,0.3)) expand((2,*d.batch_shape)).log_prob(v)""".split()


def made(torch, case):
    return eval(f"d.{case}", {"d": torch.distributions, "torch": torch})


def answer(torch, thing, question, value=None):
    torch.manual_seed(1)
    try:
        return eval(f"d.{question}", {"d": thing, "torch": torch, "v": value})
    except Exception as error:
        return type(error)


def same(a, b, tolerance=1e-4):
    if not hasattr(b, "numpy"):
        return str(a) == str(b)
    a, b = a.detach().numpy(), b.detach().numpy()
    return a.shape == b.shape and a.dtype == b.dtype and np.allclose(a, b, tolerance, tolerance, equal_nan=True)


@pytest.mark.parametrize("case", CASES)
def test_a_distribution_answers_as_pytorch_does(case):
    ours, theirs = made(mashal, case), made(pytorch, case)
    assert repr(ours) == repr(theirs)
    drawn = theirs.sample((3,))
    for question in QUESTIONS:
        wanted = answer(pytorch, theirs, question, drawn)
        found = answer(mashal, ours, question, mashal.tensor(drawn.numpy()))
        assert same(found, wanted), question


@pytest.mark.parametrize("case", CASES)
def test_divergences_are_pytorchs(case):
    for other in CASES:
        try:
            wanted = pytorch.distributions.kl_divergence(made(pytorch, case), made(pytorch, other))
        except (NotImplementedError, RuntimeError, ValueError):
            continue
        assert same(mashal.distributions.kl_divergence(made(mashal, case), made(mashal, other)), wanted, 3e-4), other


LEARNT = """Gamma(p,2.0) Beta(p,p+1) StudentT(p) Dirichlet(p) Normal(p,p) Laplace(p,p) Gumbel(p,p) Kumaraswamy(p,p) FisherSnedecor(p,p)
Weibull(p,p) RelaxedBernoulli(torch.tensor(0.5),logits=p) RelaxedOneHotCategorical(torch.tensor(0.5),logits=p) InverseGamma(p,p)
VonMises(p,p) ContinuousBernoulli(logits=p) Bernoulli(logits=p) Poisson(p) NegativeBinomial(p,logits=p)""".split()


def gradient(torch, case):
    torch.manual_seed(0)
    p = torch.tensor([1.5, 2.5, 0.7], requires_grad=True)
    thing = eval(f"d.{case}", {"d": torch.distributions, "torch": torch, "p": p})
    drawn = thing.rsample((5,)) if thing.has_rsample else thing.sample((5,))
    (thing.log_prob(drawn.detach()).sum() + (drawn * torch.arange(3.0)).sum()).backward()
    return p.grad.numpy()


@pytest.mark.parametrize("case", LEARNT)
def test_gradients_of_samples_and_densities_are_pytorchs(case):
    np.testing.assert_allclose(gradient(mashal, case), gradient(pytorch, case), rtol=2e-3, atol=1e-4)
