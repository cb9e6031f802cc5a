"""Linear algebra: errors, shapes, symmetric matrices' gradients, and what is particular of each factorization."""

import numpy as np
import pytest

import mashal as torch
from mashal.errors import LinAlgError
from mashal.ops.define import DEFINITIONS
from mashal.ops.families import FAMILIES
from ops.algebra_calls import positive, symmetric
from ops.samples import Source

L = torch.linalg


def random(*shape, dtype=torch.float64):
    rng = np.random.default_rng(5)
    x = rng.standard_normal(shape)
    return torch.from_numpy(x + 1j * rng.standard_normal(shape) if dtype.is_complex else x).to(dtype)


def close(a, b, tolerance=1e-9):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- the families
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("place", ["torch", "method"])
def test_a_family_names_what_its_definitions_have(family, place):
    """Functions of a module below the family, found at the place."""
    here = [d for d in DEFINITIONS.values() if d.function.__module__.startswith(family) and place in d.where]
    names = {name for d in here for name in (d.name, *d.aliases) if "." not in name}
    assert names == set(FAMILIES[family].get(place, "").split())


# ---------------------------------------------------------------- errors
@pytest.mark.parametrize(
    "name", ["inv", "det", "slogdet", "cholesky", "eig", "eigh", "eigvals", "eigvalsh", "matrix_exp"]
)
def test_matrices_must_be_square(name):
    with pytest.raises(RuntimeError, match="A must be batches of square matrices, but they are 2 by 3 matrices"):
        getattr(L, name)(torch.ones(2, 3))


@pytest.mark.parametrize("name", ["inv", "det", "svd", "qr", "cholesky", "eig", "eigh", "pinv", "lu_factor"])
def test_integers_are_refused(name):
    with pytest.raises(RuntimeError, match=r"Expected a floating point or complex tensor as input. Got Long"):
        getattr(L, name)(torch.ones(2, 2, dtype=torch.int64))


@pytest.mark.parametrize("name", ["inv", "svd", "qr", "eigh"])
def test_half_precisions_are_refused(name):
    with pytest.raises(RuntimeError, match=r"Low precision dtypes not supported. Got Half"):
        getattr(L, name)(torch.ones(2, 2, dtype=torch.float16))


@pytest.mark.parametrize("name", ["inv", "svd", "eigvals", "det"])
def test_vectors_are_refused(name):
    with pytest.raises(RuntimeError, match="at least 2 dimensions"):
        getattr(L, name)(torch.ones(2))


def test_a_singular_matrix_has_no_inverse():
    with pytest.raises(LinAlgError, match="The diagonal element 1 is zero"):
        L.inv(torch.zeros(2, 2))
    assert L.LinAlgError is LinAlgError and issubclass(LinAlgError, RuntimeError)


def test_the_singular_matrix_of_a_batch_is_named():
    batch = torch.stack([torch.eye(2), torch.zeros(2, 2)])
    with pytest.raises(LinAlgError, match=r"\(Batch element 1\)"):
        L.inv(batch)
    with pytest.raises(LinAlgError, match="singular"):
        L.solve(batch, torch.ones(2, 2))
    inverse, info = L.inv_ex(batch)
    assert info.tolist() == [0, 1] and torch.equal(inverse[0], torch.eye(2))


def test_cholesky_names_the_minor_that_is_not_positive():
    a = torch.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, 2.0], [0.0, 2.0, 5.0]])
    with pytest.raises(LinAlgError, match="leading minor of order 2"):
        L.cholesky(a)
    assert L.cholesky_ex(a).info.item() == 2


def test_lu_factor_names_the_pivot():
    with pytest.raises(LinAlgError, match=r"U\[1,1\] is zero"):
        L.lu_factor(torch.zeros(2, 2))
    assert L.lu_factor_ex(torch.zeros(2, 2)).info.item() == 1


def test_equations_name_both_shapes():
    with pytest.raises(RuntimeError, match=r"AX = B \(3x3 and 2x1\)"):
        L.solve(torch.eye(3), torch.ones(2))
    with pytest.raises(RuntimeError, match=r"AX = B \(3x3 and 2x1\)"):
        L.solve_triangular(torch.eye(3), torch.ones(2, 1), upper=True)


def test_unknown_options_are_refused():
    with pytest.raises(RuntimeError, match="'L' or 'U'"):
        L.eigh(torch.eye(2), UPLO="X")
    with pytest.raises(RuntimeError, match="unrecognized mode 'x'"):
        L.qr(torch.eye(2), mode="x")
    with pytest.raises(RuntimeError, match="gelsd"):
        L.lstsq(torch.ones(3, 2), torch.ones(3, 1), driver="x")


@pytest.mark.parametrize("name", ["svd", "eig"])
def test_what_is_not_finite_is_refused(name):
    with pytest.raises(RuntimeError, match=r"inf|non-finite"):
        getattr(L, name)(torch.full((2, 2), float("nan")))


def test_r_alone_has_no_gradient():
    r = L.qr(random(3, 3).requires_grad_(), mode="r").R
    with pytest.raises(RuntimeError, match="depends on Q"):
        r.sum().backward()


# ---------------------------------------------------------------- gradients of symmetric matrices
SYMMETRIC = {
    "eigh": lambda a: L.eigh(a).eigenvectors.abs().sum() + (L.eigh(a).eigenvalues ** 2).sum(),
    "eigvalsh": lambda a: L.eigvalsh(a, "U").cumsum(-1).sum(),
    "cholesky": lambda a: (L.cholesky(a) * torch.arange(9.0).reshape(3, 3)).sum(),
    "cholesky upper": lambda a: (L.cholesky(a, upper=True) * torch.arange(9.0).reshape(3, 3)).sum(),
    "pinv": lambda a: (L.pinv(a, hermitian=True) ** 2).sum(),
    "solve": lambda a: torch.cholesky_solve(torch.ones(3, 2, dtype=a.dtype), L.cholesky(a)).abs().sum(),
    "inverse": lambda a: torch.cholesky_inverse(L.cholesky(a)).abs().sum(),
}


@pytest.mark.parametrize("name", SYMMETRIC)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_gradients_of_symmetric_matrices(name, dtype):
    source = Source(name)
    x = positive(source, 3, 3)
    if dtype.is_complex:
        y = source.real(3, 3)
        x = x.to(dtype) + (y - y.mT) * 0.3j

    def value(a):
        y = SYMMETRIC[name]((a + a.mH) / 2)
        return y.real if y.is_complex() else y

    assert torch.autograd.gradcheck(value, x.requires_grad_(), atol=1e-5)


@pytest.mark.parametrize("name", ["eigh", "cholesky"])
def test_second_gradients_of_symmetric_matrices(name):
    x = positive(Source(name), 3, 3).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda a: SYMMETRIC[name]((a + a.mT) / 2), x, atol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_determinant_of_a_singular_matrix_has_a_gradient(n):
    a = torch.zeros(n, n, dtype=torch.float64)
    a[: n - 1, : n - 1] = torch.eye(n - 1, dtype=torch.float64)
    a.requires_grad_()
    L.det(a).backward()
    expected = torch.zeros(n, n, dtype=torch.float64)
    expected[n - 1, n - 1] = 1
    close(a.grad, expected)


# ---------------------------------------------------------------- what factors are
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
@pytest.mark.parametrize("shape", [(3, 3), (2, 5, 3), (3, 5), (2, 0, 3), (70, 70)])
def test_factors_make_the_matrix(dtype, shape):
    a, tolerance = random(*shape, dtype=dtype), 1e-4 if dtype.itemsize <= 8 and dtype is not torch.float64 else 1e-10
    u, s, vh = L.svd(a, full_matrices=False)
    close(u * s.to(dtype).unsqueeze(-2) @ vh, a, tolerance)
    q, r = L.qr(a)
    close(q @ r, a, tolerance)
    p, lower, upper = L.lu(a)
    close(p @ lower @ upper, a, tolerance)
    assert {x.dtype for x in (u, vh, q, r, p, lower, upper)} == {dtype} and s.dtype is dtype.to_real()


@pytest.mark.parametrize("hermitian", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_solutions_by_l_d_l(hermitian, dtype):
    for n in (1, 2, 5, 9):
        x = random(3, n, n, dtype=dtype)
        a = x + (x.mH if hermitian else x.mT)
        b = random(3, n, 2, dtype=dtype)
        y = L.ldl_solve(*L.ldl_factor(a, hermitian=hermitian), b, hermitian=hermitian)
        close(a @ y, b)


@pytest.mark.parametrize("n", [1, 31, 32, 33, 100])
@pytest.mark.parametrize("upper", [False, True])
def test_triangular_solutions_of_every_size(n, upper):
    a = random(n, n) + 3 * n * torch.eye(n, dtype=torch.float64)
    a = a.triu() if upper else a.tril()
    close(a @ L.solve_triangular(a, random(n, 3), upper=upper), random(n, 3))


def test_the_exponential_of_large_matrices():
    a = (random(3, 4, 4) - random(3, 4, 4).mT) * torch.tensor([0.01, 1.0, 30.0]).reshape(3, 1, 1)
    close(L.matrix_exp(a) @ L.matrix_exp(-a), torch.eye(4, dtype=torch.float64).expand(3, 4, 4))


def test_householders_product_is_q():
    a = random(2, 5, 3)
    close(L.householder_product(*torch.geqrf(a)), L.qr(a).Q)
    close(torch.ormqr(*torch.geqrf(a), random(2, 5, 4)), L.qr(a, "complete").Q @ random(2, 5, 4))


def test_low_rank_is_found():
    a = random(20, 3) @ random(3, 15)
    u, s, v = torch.svd_lowrank(a, q=3)
    close(u * s @ v.mT, a)


def test_extreme_eigenvalues():
    a = symmetric(Source("lobpcg"), 30, 30)
    torch.manual_seed(0)
    values, vectors = torch.lobpcg(a, k=2, tol=1e-9)
    close(values, L.eigvalsh(a).flip(0)[:2], 1e-6)
    close(a @ vectors, vectors * values, 1e-4)


def test_large_and_strided_operands_lose_nothing():
    a = random(80, 40).mT[::2]
    close(L.pinv(a) @ a @ L.pinv(a), L.pinv(a))
    x = L.lstsq(a.mT, random(80, 2)).solution
    close(a @ (a.mT @ x), a @ random(80, 2))


def test_results_have_names():
    assert L.eigh(torch.eye(2))._fields == ("eigenvalues", "eigenvectors")
    assert torch.return_types.linalg_svd is type(L.svd(torch.eye(2)))
    assert repr(torch.linalg.inv_ex(torch.eye(1))).startswith("torch.return_types.linalg_inv_ex(\ninverse=")


def test_nodes_have_pytorchs_names():
    a = torch.eye(2, requires_grad=True)
    assert type(L.det(a).grad_fn).__name__ == "LinalgDetBackward0"
    assert type(L.svd(a).S.grad_fn).__name__ == "LinalgSvdBackward0"
    assert type(L.solve(a, a).grad_fn).__name__ == "LinalgSolveExBackward0"


@pytest.mark.parametrize("driver", ["gelsy", "gelsd", "gelss"])
def test_least_squares_tell_ranks_and_singular_values_of_the_matrices_given(driver):
    found = torch.linalg.lstsq(torch.eye(3)[None], torch.ones(2, 3, 1), driver=driver)
    assert found.solution.shape == (2, 3, 1) and found.rank.tolist() == [3]
    assert found.singular_values.shape == ((0,) if driver == "gelsy" else (1, 3))
