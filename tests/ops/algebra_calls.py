"""Sample calls of linear algebra: matrices that have inverses, positive ones, symmetric ones."""

# ruff: noqa: E501
import mashal as torch
from ops.samples import Source, call


def regular(s: Source, *shape: int) -> torch.Tensor:
    """Square matrices far from singular ones."""
    return s.real(*shape) + 5 * torch.eye(shape[-1], dtype=torch.float64)


def positive(s: Source, *shape: int) -> torch.Tensor:
    """Positive-definite matrices."""
    x = s.real(*shape)
    return x @ x.mT + 3 * torch.eye(shape[-1], dtype=torch.float64)


def symmetric(s: Source, *shape: int) -> torch.Tensor:
    """Symmetric matrices with eigenvalues apart."""
    x = s.real(*shape)
    return x + x.mT + torch.diag(torch.arange(shape[-1], dtype=torch.float64) * 4)


def triangle(s: Source, *shape: int) -> torch.Tensor:
    return regular(s, *shape).tril()


def factored(s: Source, *shape: int) -> tuple:
    both, pivots = torch.linalg.lu_factor(regular(s, *shape))
    return both, pivots


SQUARE = lambda s: [call(regular(s, 3, 3)), call(regular(s, 2, 3, 3)), call(s.real(1, 1)), call(s.real(0, 2, 2))]
ANY = lambda s: [call(s.real(3, 3)), call(s.real(2, 4, 3)), call(s.real(3, 4)), call(s.real(0, 2, 2))]
POSITIVE = lambda s: [call(positive(s, 3, 3)), call(positive(s, 2, 3, 3)), call(positive(s, 3, 3), upper=True)]
SYMMETRIC = lambda s: [call(symmetric(s, 3, 3)), call(symmetric(s, 2, 3, 3)), call(symmetric(s, 3, 3), "U")]
EQUATIONS = lambda s: [
    call(regular(s, 3, 3), s.real(3, 2)),
    call(regular(s, 2, 3, 3), s.real(3, 2)),
    call(regular(s, 3, 3), s.real(3)),
    call(regular(s, 3, 3), s.real(2, 3), left=False),
]
REFLECTIONS = lambda s: [call(*torch.geqrf(s.real(4, 3))), call(*torch.geqrf(s.real(2, 4, 3)))]

CALLS = {
    **dict.fromkeys(("det", "linalg_slogdet", "slogdet", "inv", "inverse", "inv_ex"), SQUARE),
    "logdet": lambda s: [call(positive(s, 3, 3)), call(positive(s, 2, 3, 3))],
    **dict.fromkeys(("eig", "eigvals"), lambda s: SQUARE(s)[:2]),
    **dict.fromkeys(("eigh", "eigvalsh"), SYMMETRIC),
    "linalg_svd": lambda s: [call(s.real(3, 3)), call(s.real(2, 4, 3), False)], "svd": lambda s: [call(s.real(3, 3)), call(s.real(2, 4, 3))],
    "svdvals": ANY, "geqrf": ANY, "linalg_qr": lambda s: [*ANY(s)[:3], call(s.real(3, 4), "complete")], "qr": lambda s: ANY(s)[:3],
    **dict.fromkeys(("cholesky", "linalg_cholesky", "cholesky_ex"), POSITIVE),
    "cholesky_solve": lambda s: [call(s.real(3, 2), triangle(s, 3, 3)), call(s.real(2, 3, 2), triangle(s, 3, 3).mT, True)],
    "cholesky_inverse": lambda s: [call(triangle(s, 3, 3)), call(triangle(s, 2, 3, 3).mT, True)],
    **dict.fromkeys(("solve", "solve_ex"), EQUATIONS),
    "solve_triangular": lambda s: [call(triangle(s, 3, 3), s.real(3, 2), upper=False), call(triangle(s, 2, 3, 3).mT, s.real(3, 2), upper=True),
                                   call(triangle(s, 3, 3), s.real(2, 3), upper=False, left=False, unitriangular=True)],
    "triangular_solve": lambda s: [call(s.real(3, 2), triangle(s, 3, 3).mT), call(s.real(3, 2), triangle(s, 3, 3), False, True)],
    **dict.fromkeys(("lu_factor", "lu_factor_ex", "linalg_lu", "lu"), lambda s: [call(regular(s, 3, 3)), call(s.real(2, 4, 3)), call(s.real(3, 4))]),
    "lu_unpack": lambda s: [call(*factored(s, 3, 3)), call(*factored(s, 2, 3, 3), unpack_pivots=False)],
    "linalg_lu_solve": lambda s: [call(*factored(s, 3, 3), s.real(3, 2)), call(*factored(s, 3, 3), s.real(2, 3), left=False, adjoint=True)],
    "lu_solve": lambda s: [call(s.real(3, 2), *factored(s, 3, 3))],
    **dict.fromkeys(("ldl_factor", "ldl_factor_ex"), lambda s: [call(symmetric(s, 3, 3)), call(symmetric(s, 2, 4, 4))]),
    "ldl_solve": lambda s: [call(*torch.linalg.ldl_factor(symmetric(s, 4, 4)), s.real(4, 2))],
    "householder_product": REFLECTIONS, "orgqr": REFLECTIONS,
    "ormqr": lambda s: [call(*torch.geqrf(s.real(4, 3)), s.real(4, 2)), call(*torch.geqrf(s.real(4, 3)), s.real(2, 4), False, True)],
    "pinv": lambda s: [call(s.real(3, 3)), call(s.real(2, 4, 3))],
    "pinverse": lambda s: [call(s.real(4, 3))],
    "matrix_rank": lambda s: [call(s.real(3, 3)), call(s.real(2, 4, 3), 0.1), call(symmetric(s, 3, 3), hermitian=True)],
    "cond": lambda s: [call(regular(s, 3, 3)), call(regular(s, 3, 3), "fro"), call(regular(s, 2, 3, 3), 1)],
    "lstsq": lambda s: [call(s.real(4, 3), s.real(4, 2)), call(s.real(2, 3, 4), s.real(2, 3, 2)), call(s.real(4, 3), s.real(4, 2), driver="gels")],
    "matrix_power": lambda s: [call(regular(s, 3, 3), 3), call(regular(s, 2, 3, 3), -2), call(s.real(3, 3), 0)],
    "matrix_exp": lambda s: [call(s.real(3, 3)), call(s.real(2, 3, 3))],
    "multi_dot": lambda s: [call([s.real(2, 3), s.real(3, 4), s.real(4, 2)]), call([s.real(3), s.real(3, 4), s.real(4)])],
    "chain_matmul": lambda s: [call(s.real(2, 3), s.real(3, 4), s.real(4, 2))],
    "linalg_vander": lambda s: [call(s.real(3)), call(s.real(2, 3), N=4)], "vander": lambda s: [call(s.real(3)), call(s.real(3), 4, True)],
    "vecdot": lambda s: [call(s.real(3, 4), s.real(4)), call(s.real(3, 4), s.real(3, 4), dim=0)],
    "linalg_matmul": lambda s: [call(s.real(2, 3), s.real(3, 4))], "linalg_diagonal": lambda s: [call(s.real(2, 3, 4)), call(s.real(3, 3), offset=1)],
    "tensorinv": lambda s: [call(regular(s, 6, 6).reshape(6, 2, 3), 1)], "tensorsolve": lambda s: [call(regular(s, 6, 6).reshape(2, 3, 6), s.real(2, 3))],
    "svd_lowrank": lambda s: [call(s.real(5, 4), 2)], "pca_lowrank": lambda s: [call(s.real(5, 4), 2)], "lobpcg": lambda s: [call(positive(s, 9, 9), 2)],
}  # fmt: skip

ALGEBRA = set(CALLS) - {
    "matrix_exp",
    "multi_dot",
    "chain_matmul",
    "linalg_vander",
    "vander",
    "vecdot",
    "linalg_matmul",
    "linalg_diagonal",
}
"""Refuse half precisions, as PyTorch does."""
WITHOUT_GRADIENT = {"geqrf", "matrix_rank", "ldl_factor", "ldl_factor_ex", "ldl_solve", "lobpcg"}
"""Have no gradient in PyTorch either (or, of lobpcg, only through its result)."""
SYMMETRIC_ONLY = {
    "eigh",
    "eigvalsh",
    "cholesky",
    "linalg_cholesky",
    "cholesky_ex",
    "cholesky_solve",
    "cholesky_inverse",
}
"""Read one triangle only, and give the gradient of symmetric changes: test_algebra holds them."""
UNLIKE = {"eig", "svd_lowrank", "pca_lowrank"}
"""Their vectors may have any factor, or are drawn."""
