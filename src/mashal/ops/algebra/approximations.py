"""The largest singular values and extreme eigenvalues of large matrices, approximately, from random directions."""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import finfo
from mashal.core.tensor import Tensor
from mashal.ops.algebra.checks import check_matrix, check_square, conjugated
from mashal.ops.algebra.orthogonal import linalg_qr
from mashal.ops.algebra.positive import linalg_cholesky
from mashal.ops.algebra.solving import solved_triangle
from mashal.ops.algebra.spectra import eigh, svd_of
from mashal.ops.contraction import matmul
from mashal.ops.define import spelled
from mashal.ops.joining import cat
from mashal.ops.random_factories import randn

# pyright: reportAttributeAccessIssue=false

TORCH = ("torch",)


# ---------------------------------------------------------------- singular values
def _basis(a: Tensor, q: int, rounds: int) -> Tensor:
    """Q (*, m, q) with orthonormal columns and A ≈ Q·Qᴴ·A: random directions, turned towards the largest (Halko et al. 2011)."""
    directions = randn(a.form.shape[-1], q, dtype=a.form.dtype, device=a.form.device)
    found = linalg_qr(matmul(a, directions))[0]
    for _ in range(rounds):
        found = linalg_qr(matmul(conjugated(a), found))[0]
        found = linalg_qr(matmul(a, found))[0]
    return found


@spelled(TORCH)
def svd_lowrank(
    A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """(U, S, V) with A - M ≈ U·diag(S)·Vᴴ, of rank q: A (*, m, n), U (*, m, q), S (*, q), V (*, n, q).

    The directions are random: set the seed for the same result. niter: more rounds are more exact.

    >>> torch.svd_lowrank(torch.ones(5, 4), q=2)[1][0]
    tensor(4.4721)
    """
    check_matrix("svd_lowrank", A)
    q = 6 if q is None else q
    m, n = A.form.shape[-2:]
    a = A if M is None else A - M.broadcast_to(A.form.shape)
    if m < n:
        a = conjugated(a)
    found = _basis(a, q, 2 if niter is None else niter)
    u, s, vh = svd_of(matmul(conjugated(found), a), False)
    u, v = matmul(found, u), conjugated(vh)
    return (v, s, u) if m < n else (u, s, v)


@spelled(TORCH)
def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """(U, S, V): the q principal directions (columns of V) of the rows of A (*, m, n), their strengths S, and the rows in them U·S.

    center: each column's mean is subtracted first.
    """
    check_matrix("pca_lowrank", A)
    m, n = A.form.shape[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ValueError(
            f"pca_lowrank: q(={q}) must be a non-negative integer and not greater than min(m, n)={min(m, n)}"
        )
    if not niter >= 0:
        raise ValueError(f"pca_lowrank: niter(={niter}) must be a non-negative integer")
    return svd_lowrank(A - A.mean(-2, keepdim=True) if center else A, q, niter)


# ---------------------------------------------------------------- extreme eigenvalues
@spelled(TORCH)
def lobpcg(
    A: Tensor,
    k: int | None = None,
    B: Tensor | None = None,
    X: Tensor | None = None,
    n: int | None = None,
    iK: Tensor | None = None,
    niter: int | None = None,
    tol: float | None = None,
    largest: bool | None = None,
    method: str | None = None,
    tracker: Any = None,
    **ortho: Any,
) -> tuple[Tensor, Tensor]:
    """(E, V): the k largest (smallest) eigenvalues of symmetric A·v = e·B·v and their vectors, without factorizing A (Knyazev 2001).

    A: (*, m, m). B: positive-definite, by default 1. X: (*, m, n), where to begin, by default random. iK: a preconditioner,
    an approximate inverse of A. niter: rounds at most; tol: residual, relative to A's and X's sizes, at which to stop.

    >>> torch.lobpcg(torch.diag(torch.arange(1.0, 31.0)), k=1)[0].round(decimals=3)
    tensor([30.])
    """
    check_square("lobpcg", A)
    m = A.form.shape[-1]
    k = (1 if X is None else X.form.shape[-1]) if k is None else k
    width = (k if X is None else X.form.shape[-1]) if n is None else n
    if m < 3 * width:
        wrong = f"LPBPCG algorithm is not applicable when the number of A rows (={m}) is smaller than 3 x the number of requested "
        raise ValueError(f"lobpcg: {wrong}eigenpairs (={width}); use torch.linalg.eigh")
    bound = float(finfo(A.form.dtype.to_real()).eps ** 0.5 if tol is None else tol)
    start = randn(*A.form.shape[:-1], width, dtype=A.form.dtype, device=A.form.device) if X is None else X
    search = _Search(A, B, iK, largest is not False)
    values, vectors = search.run(start, niter if niter is not None else 1000, bound)
    return values[..., :k], vectors[..., :, :k]


class _Search:
    """The best vectors in the space of the present ones, their residuals and their last steps, round after round."""

    def __init__(self, a: Tensor, b: Tensor | None, preconditioner: Tensor | None, largest: bool):
        self.a, self.b, self.preconditioner, self.largest = a, b, preconditioner, largest

    def run(self, x: Tensor, rounds: int, tol: float) -> tuple[Tensor, Tensor]:
        values, x = self._best(x, x.form.shape[-1])
        step: Tensor | None = None
        for _ in range(max(rounds, 0)):
            residual = matmul(self.a, x) - self._weighted(x) * values.unsqueeze(-2)
            size = matmul(self.a, x).norm() + values.abs().amax() * x.norm()
            if float(residual.norm()) <= tol * float(size):
                break
            if self.preconditioner is not None:
                residual = matmul(self.preconditioner, residual)
            parts = [x, residual] if step is None else [x, residual, step]
            before = x
            values, x = self._best(cat(parts, -1), x.form.shape[-1])
            inside = matmul(conjugated(before), self._weighted(x))
            step = x - matmul(before, inside)
        return values, x

    def _weighted(self, x: Tensor) -> Tensor:
        return x if self.b is None else matmul(self.b, x)

    def _best(self, space: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The extreme eigenvalues in a space, largest (smallest) first, and their vectors (Rayleigh and Ritz)."""
        basis = linalg_qr(space)[0]
        if self.b is not None:
            factor = linalg_cholesky(matmul(conjugated(basis), self._weighted(basis)))
            basis = solved_triangle(conjugated(factor), basis, True, left=False)
        values, turn = eigh(matmul(conjugated(basis), matmul(self.a, basis)))
        if self.largest:
            values, turn = values.flip(-1), turn.flip(-1)
        return values[..., :count], matmul(basis, turn[..., :, :count])
