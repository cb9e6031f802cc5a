"""Distributions: what they refuse, how they are expanded, and that transformations keep their word."""

import pytest

import mashal as torch
from mashal import distributions as d
from mashal.distributions import constraints
from mashal.distributions.utils import tril_matrix_to_vec, vec_to_tril_matrix

T = torch.tensor


def test_a_parameter_outside_its_constraint_is_named():
    with pytest.raises(ValueError, match=r"parameter scale .* of distribution Normal\(loc: 0.0, scale: -1.0\)"):
        d.Normal(0.0, -1.0)


def test_parameters_are_not_checked_if_not_wished():
    assert d.Normal(0.0, -1.0, validate_args=False).scale == -1


@pytest.mark.parametrize("value", [1.0, T(float("nan")), torch.zeros(2)])
def test_a_value_that_does_not_fit_is_refused(value):
    with pytest.raises(ValueError):
        d.Normal(torch.zeros(3), 1.0).log_prob(value)


def test_uniform_wants_low_below_high():
    with pytest.raises(ValueError, match="low must be below high"):
        d.Uniform(1.0, 1.0)


@pytest.mark.parametrize("kind", [d.Bernoulli, d.Categorical, d.Geometric])
def test_probs_and_logits_exclude_each_other(kind):
    with pytest.raises(ValueError, match="not both"):
        kind(torch.ones(2) / 2, torch.ones(2))
    with pytest.raises(ValueError, match="neither"):
        kind()


def test_what_has_no_divergence_says_so():
    with pytest.raises(NotImplementedError, match="Cauchy and q type Poisson"):
        d.kl_divergence(d.Cauchy(0.0, 1.0), d.Poisson(1.0))


def test_a_registered_divergence_is_found_for_subclasses():
    class Mine(d.Normal):
        pass

    d.kl.register_kl(Mine, d.Normal)(lambda p, q: T(7.0))
    assert d.kl_divergence(Mine(0.0, 1.0), d.Normal(0.0, 1.0)) == 7
    assert d.kl_divergence(d.Normal(0.0, 1.0), d.Normal(0.0, 1.0)) == 0


def test_a_subclass_with_its_own_init_must_say_how_to_expand():
    class Mine(d.Normal):
        def __init__(self):
            super().__init__(0.0, 1.0)

    with pytest.raises(NotImplementedError, match="must also define a custom"):
        Mine().expand((2,))


def test_lazy_probs_are_computed_once():
    b = d.Bernoulli(logits=T(0.0))
    assert "probs" not in vars(b)
    assert b.probs is b.probs
    assert b.probs == 0.5


def test_samples_have_no_history_and_rsamples_have():
    p = T(1.0, requires_grad=True)
    assert not d.Normal(p, 1.0).sample().requires_grad
    assert d.Normal(p, 1.0).rsample().requires_grad


def test_a_distribution_of_ones_own():
    class Twice(d.Distribution):
        arg_constraints = {"at": constraints.real}
        support = constraints.real
        has_rsample = True

        def __init__(self, at):
            self.at = torch.as_tensor(at)
            super().__init__(self.at.shape)

        def rsample(self, sample_shape=()):
            return self.at.expand(self._extended_shape(sample_shape)) * 2

    assert Twice(1.5).sample((2,)).tolist() == [3.0, 3.0]


REGIONS = "real positive nonnegative unit_interval simplex lower_cholesky corr_cholesky real_vector".split()


@pytest.mark.parametrize("name", REGIONS)
@pytest.mark.parametrize("registry", [d.biject_to, d.transform_to])
def test_a_transformation_leads_into_its_constraint_and_back(name, registry):
    region = getattr(constraints, name)
    try:
        transform = registry(region)
    except NotImplementedError:
        assert registry is d.biject_to
        return
    x = torch.randn(3, 3)
    y = transform(x)
    assert region.check(y).all()
    assert tuple(transform.forward_shape(x.shape)) == tuple(y.shape)
    torch.testing.assert_close(transform(transform.inv(y)), y)


@pytest.mark.parametrize("transform", [d.ExpTransform(), d.SigmoidTransform(), d.TanhTransform(), d.SoftplusTransform(),
                                       d.AffineTransform(1.0, -2.0), d.PowerTransform(T(3.0))])  # fmt: skip
def test_the_log_determinant_is_that_of_the_derivative(transform):
    x = torch.rand(4, dtype=torch.float64).add(0.1).requires_grad_()
    y = transform(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(transform.log_abs_det_jacobian(x, y), slope.abs().log())


def test_a_cached_transformation_gives_the_value_back():
    transform = d.ExpTransform(cache_size=1)
    x = torch.randn(3)
    assert transform.inv(transform(x)) is x


def test_the_inverse_of_the_inverse_is_the_transformation():
    transform = d.ComposeTransform([d.ExpTransform(), d.AffineTransform(0, 2)])
    assert transform.inv.inv is transform


def test_triangles_become_vectors_and_back():
    x = torch.arange(9.0).view(3, 3).tril()
    assert vec_to_tril_matrix(tril_matrix_to_vec(x)).equal(x)


def test_cat_and_stack_transform_pieces():
    x = T([0.0, 1.0, 2.0])
    both = d.CatTransform([d.ExpTransform(), d.identity_transform], lengths=[1, 2])
    assert both(x).tolist() == [1.0, 1.0, 2.0]
    assert d.StackTransform([d.ExpTransform()] * 3)(x).equal(x.exp())


def test_gamma_samples_move_with_their_shape():
    a = T([0.5, 5.0, 50.0], dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    x = torch._standard_gamma(a.expand(20000, 3))
    x.mean(0).sum().backward()
    torch.testing.assert_close(a.grad, torch.ones(3, dtype=torch.float64), atol=0.03, rtol=0.03)  # E[x] = a
