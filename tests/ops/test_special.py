"""Special functions against SciPy."""

import numpy as np
import pytest
import scipy.special

import mashal as torch

REALS = np.array([-30.5, -4.5, -1.25, -0.3, 0.0, 1e-3, 0.25, 0.7, 1.0, 2.5, 10.0, 40.0])
PROBABILITIES = np.array([0.0, 1e-10, 0.01, 0.3, 0.5, 0.999, 1.0])
OF_ONE = {
    "entr": (scipy.special.entr, REALS), "erfcx": (scipy.special.erfcx, np.abs(REALS)), "ndtr": (scipy.special.ndtr, REALS),
    "log_ndtr": (scipy.special.log_ndtr, REALS), "ndtri": (scipy.special.ndtri, PROBABILITIES),
    "logit": (scipy.special.logit, PROBABILITIES), "i0": (scipy.special.i0, REALS), "i0e": (scipy.special.i0e, REALS),
    "i1": (scipy.special.i1, REALS), "i1e": (scipy.special.i1e, REALS), "gammaln": (scipy.special.gammaln, REALS),
    "psi": (scipy.special.psi, REALS[1:4]), "sinc": (np.sinc, REALS), "expit": (scipy.special.expit, REALS),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_ONE)
def test_functions_of_one_tensor_agree_with_scipy(name):
    reference, x = OF_ONE[name]
    with np.errstate(all="ignore"):
        expected = reference(x)
    np.testing.assert_allclose(getattr(torch.special, name)(torch.tensor(x)).numpy(), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("lower", "dtype", "tolerance"), [(True, "float64", 1e-11), (False, "float64", 1e-11), (True, "float32", 3e-7)]
)
def test_incomplete_gamma_functions(lower, dtype, tolerance):
    a = np.array([0.0, 1e-3, 0.5, 1.0, 5.0, 30.0, 100.0, np.inf])[:, None]
    x = np.array([0.0, 1e-3, 0.7, 1.0, 6.0, 28.0, 130.0, 1e4])
    function, reference = (torch.igamma, scipy.special.gammainc) if lower else (torch.igammac, scipy.special.gammaincc)
    result = function(torch.tensor(a.astype(dtype)), torch.tensor(x.astype(dtype)))
    np.testing.assert_allclose(result.numpy(), reference(a.astype(dtype), x.astype(dtype)), rtol=tolerance, atol=1e-37)


def test_zeta_and_polygamma():
    x = np.array([1e-3, 0.25, 1.0, 3.5, 200.0, np.inf])
    np.testing.assert_allclose(
        torch.special.zeta(torch.tensor(2.5), torch.tensor(x)).numpy(), scipy.special.zeta(2.5, x), rtol=1e-13
    )
    for n in (1, 2, 5):
        np.testing.assert_allclose(
            torch.polygamma(n, torch.tensor(x)).numpy(), scipy.special.polygamma(n, x), rtol=1e-12
        )


def test_digamma_has_trigamma_as_gradient_below_zero_too():
    x = torch.tensor(-2.75, dtype=torch.float64, requires_grad=True)
    torch.digamma(x).backward()
    step = 1e-6
    slope = (scipy.special.psi(-2.75 + step) - scipy.special.psi(-2.75 - step)) / (2 * step)
    assert x.grad.item() == pytest.approx(slope, rel=1e-7)


def test_mvlgamma_is_scipys_multigammaln():
    assert torch.mvlgamma(torch.tensor(4.5), 3).item() == pytest.approx(scipy.special.multigammaln(4.5, 3), rel=1e-6)


def test_frexp_and_ldexp_are_inverse():
    x = torch.tensor([0.0, 1.0, -3.7, 1e-40, 1e30])
    mantissa, exponent = torch.frexp(x)
    assert exponent.dtype is torch.int32
    assert torch.ldexp(mantissa, exponent).tolist() == x.tolist()


def test_greatest_common_divisors_of_large_integers():
    x, y = torch.tensor([2**62, -(2**40), 0, 0]), torch.tensor([2**61 + 2**60, 2**41, -7, 0])
    assert torch.gcd(x, y).tolist() == [2**60, 2**40, 7, 0]
    assert torch.lcm(torch.tensor([-4, 0]), torch.tensor([6, 3])).tolist() == [12, 0]


@pytest.mark.parametrize(("n", "kind"), [(-1, RuntimeError), (1.5, TypeError)])
def test_polygammas_order_is_checked(n, kind):
    with pytest.raises(kind, match="polygamma"):
        torch.polygamma(n, torch.ones(1))


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("chebyshev_polynomial_t", scipy.special.eval_chebyt), ("chebyshev_polynomial_u", scipy.special.eval_chebyu),
        ("hermite_polynomial_h", scipy.special.eval_hermite), ("hermite_polynomial_he", scipy.special.eval_hermitenorm),
        ("laguerre_polynomial_l", scipy.special.eval_laguerre), ("legendre_polynomial_p", scipy.special.eval_legendre),
        ("shifted_chebyshev_polynomial_t", scipy.special.eval_sh_chebyt),
    ],
)  # fmt: skip
def test_polynomials_of_several_degrees_at_once(name, reference):
    x, n = np.linspace(-1, 1, 9)[:, None], np.arange(12.0)
    result = getattr(torch.special, name)(torch.tensor(x), torch.tensor(n))
    np.testing.assert_allclose(result.numpy(), reference(n.astype(int), x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("name", "reference"), [("0", scipy.special.k0e), ("1", scipy.special.k1e)])
def test_modified_bessel_functions_of_the_second_kind(name, reference):
    x = np.array([1e-10, 1e-3, 0.1, 1.0, 2.5, 10.0, 50.0, 700.0, 1e5])
    scaled = getattr(torch.special, f"scaled_modified_bessel_k{name}")(torch.tensor(x)).numpy()
    np.testing.assert_allclose(scaled, reference(x), rtol=1e-13)
    plain = getattr(torch.special, f"modified_bessel_k{name}")(torch.tensor(x[:-2])).numpy()
    np.testing.assert_allclose(plain, reference(x[:-2]) * np.exp(-x[:-2]), rtol=1e-13)


WAVES = np.concatenate([np.linspace(-30, 30, 601), np.geomspace(1e-6, 1e4, 200)])


BESSEL = {
    "bessel_j0": scipy.special.j0,
    "bessel_j1": scipy.special.j1,
    "bessel_y0": scipy.special.y0,
    "bessel_y1": scipy.special.y1,
    "airy_ai": lambda x: scipy.special.airy(x)[0],
}


@pytest.mark.parametrize("name", BESSEL)
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-13), ("float32", 4e-7)])
def test_bessel_and_airy_functions(name, dtype, tolerance):
    x = WAVES.astype(dtype)
    x = x[np.abs(x) < 30] if name == "airy_ai" else x
    with np.errstate(all="ignore"):
        expected = BESSEL[name](x.astype("float64"))
    result = getattr(torch.special, name)(torch.from_numpy(x))
    np.testing.assert_allclose(result.numpy(), expected, rtol=20 * tolerance, atol=3 * tolerance)


def test_bessel_and_airy_functions_at_the_ends():
    ends = torch.tensor([0.0, float("inf"), float("nan")])
    assert torch.special.bessel_j0(ends)[:2].tolist() == [1.0, 0.0]
    assert torch.special.bessel_y0(ends)[:2].tolist() == [-float("inf"), 0.0]
    assert torch.special.airy_ai(-ends)[1].item() == 0.0
    assert all(bool(getattr(torch.special, f"bessel_{name}")(ends)[2].isnan()) for name in ("j0", "j1", "y0", "y1"))
    assert torch.special.bessel_y0(torch.tensor([-1.0])).isnan().item()
