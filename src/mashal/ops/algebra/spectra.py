"""Eigenvalues and singular values, and what their sizes say: ranks, condition numbers, pseudo-inverses."""

from __future__ import annotations

from typing import Any

from mashal.core.interop import numpy
from mashal.core.tensor import Tensor
from mashal.errors import LinAlgError, message
from mashal.ops.algebra import results
from mashal.ops.algebra.checks import NOT_FINITE, check_matrix, check_square, conjugated
from mashal.ops.algebra.solving import solution_of
from mashal.ops.contraction import matmul
from mashal.ops.define import any_recorded, recorded, spelled
from mashal.ops.outside import finish, outside

# pyright: reportAttributeAccessIssue=false

LINALG = ("linalg",)


def _one_on_diagonal(x: Tensor) -> Tensor:
    """Differences x[j] - x[i] as a matrix with ones on its diagonal, to divide by."""
    y = x.unsqueeze(-2) - x.unsqueeze(-1)
    n = x.form.shape[-1]
    return y + x.new_ones(n).diag_embed()


def _no_diagonal(x: Tensor) -> Tensor:
    return x - x.diagonal(0, -2, -1).diag_embed()


def _skew(x: Tensor) -> Tensor:
    return x - conjugated(x)


# ---------------------------------------------------------------- symmetric matrices
@recorded("LinalgEighBackward0")
def _eigh(a: Tensor, uplo: str) -> tuple[tuple[Tensor, Tensor], tuple]:
    values, vectors = outside(_symmetric, a, uplo)
    return (values, vectors), (values, vectors)


def _symmetric(a: Any, uplo: str) -> tuple[Any, Any]:
    if not a.size:
        return numpy.empty(a.shape[:-1], a.real.dtype), numpy.array(a)
    try:
        values, vectors = numpy.linalg.eigh(a, uplo)
    except numpy.linalg.LinAlgError as e:
        raise LinAlgError(f"linalg.eigh: {NOT_FINITE}") from e
    return values, vectors


@_eigh.backward
def _(node: Any, of_values: Tensor | None, of_vectors: Tensor | None) -> tuple:
    values, vectors = node.kept()
    turned = conjugated(vectors)
    if of_vectors is None:
        assert of_values is not None
        return (matmul(vectors * of_values.to(vectors.form.dtype).unsqueeze(-2), turned),)
    inner = matmul(turned, of_vectors)
    inner = _no_diagonal(inner / _one_on_diagonal(values).to(inner.form.dtype))
    if of_values is not None:
        inner = inner + of_values.to(inner.form.dtype).diag_embed()
    return (matmul(vectors, matmul(inner, turned)),)


def _check_side(uplo: Any) -> str:
    if not isinstance(uplo, str) or uplo.upper() not in ("L", "U"):
        raise RuntimeError(message("linalg.eigh", f"Expected UPLO argument to be 'L' or 'U', but got {uplo}"))
    return uplo.upper()


@spelled(LINALG)
def eigh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Any:
    """(eigenvalues, eigenvectors) of symmetric or hermitian A (*, n, n), of which only the lower (upper) triangle is read.

    Eigenvalues are real, ascending; eigenvectors are columns.

    >>> torch.linalg.eigh(torch.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    tensor([1., 2.])
    """
    check_square("linalg.eigh", A)
    return finish("linalg.eigh", out, tuple(_eigh(A, _check_side(UPLO))), results.eigh)


@spelled(LINALG)
def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Tensor | None = None) -> Tensor:
    """The eigenvalues of symmetric or hermitian A (*, n, n), ascending: (*, n)."""
    check_square("linalg.eigvalsh", A)
    return finish("linalg.eigvalsh", out, _eigh(A, _check_side(UPLO))[0])


# ---------------------------------------------------------------- any matrices
@recorded("LinalgEigBackward0")
def _eig(a: Tensor) -> tuple[tuple[Tensor, Tensor], tuple]:
    values, vectors = outside(_general, a)
    return (values, vectors), (values, vectors, a.form.dtype.is_complex)


def _general(a: Any) -> tuple[Any, Any]:
    kind = numpy.result_type(a.dtype, "complex64")
    if not a.size:
        return numpy.empty(a.shape[:-1], kind), numpy.empty(a.shape, kind)
    if not numpy.isfinite(a).all():
        raise RuntimeError(message("torch.linalg.eig", "input tensor should not contain infs or NaNs"))
    values, vectors = numpy.linalg.eig(a)
    return values.astype(kind), vectors.astype(kind)


@_eig.backward
def _(node: Any, of_values: Tensor | None, of_vectors: Tensor | None) -> tuple:
    values, vectors, is_complex = node.kept()
    turned = conjugated(vectors)
    if of_vectors is None:
        assert of_values is not None
        inner = of_values.unsqueeze(-1) * turned
    else:
        inner = matmul(turned, of_vectors)
        scale = inner.diagonal(0, -2, -1).real.to(inner.form.dtype)  # eigenvectors have length 1
        inner = inner - matmul(turned, vectors) * scale.unsqueeze(-2)
        inner = _no_diagonal(inner / _one_on_diagonal(values.conj()))
        if of_values is not None:
            inner = inner + of_values.diag_embed()
        inner = matmul(inner, turned)
    y = solution_of(turned, inner)[0]
    return (y if is_complex else y.real,)


@spelled(LINALG)
def eig(A: Tensor, *, out: Any = None) -> Any:
    """(eigenvalues, eigenvectors) of square A (*, n, n), complex, in no particular order; eigenvectors are columns of length 1.

    >>> torch.linalg.eig(torch.tensor([[0.0, 1.0], [-1.0, 0.0]])).eigenvalues
    tensor([0.+1.j, 0.-1.j])
    """
    check_square("linalg.eig", A)
    return finish("linalg.eig", out, tuple(_eig(A)), results.eig)


@spelled(LINALG)
def eigvals(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The eigenvalues of square A (*, n, n), complex: (*, n)."""
    check_square("linalg.eigvals", A)
    return finish("linalg.eigvals", out, _eig(A)[0])


# ---------------------------------------------------------------- singular values
@recorded("LinalgSvdBackward0")
def svd_of(a: Tensor, full: bool) -> tuple[tuple[Tensor, Tensor, Tensor], tuple]:
    """U, S, Vᴴ with A = U·diag(S)·Vᴴ; U and V square if full."""
    u, s, vh = outside(_singular, a, full)
    return (u, s, vh), (u, s, vh)


def _singular(a: Any, full: bool) -> tuple[Any, Any, Any]:
    if not a.size:
        return _singular_of_nothing(a, full)
    if not numpy.isfinite(a).all():
        raise LinAlgError(f"linalg.svd: {NOT_FINITE}")
    u, s, vh = numpy.linalg.svd(a, full_matrices=full)
    return u, s, vh


def _singular_of_nothing(a: Any, full: bool) -> tuple[Any, Any, Any]:
    m, n = a.shape[-2:]
    k, batch = min(m, n), a.shape[:-2]
    u, vh = numpy.zeros((*batch, m, m if full else k), a.dtype), numpy.zeros((*batch, n if full else k, n), a.dtype)
    for square in (u, vh):
        if full and not k:
            square[...] = numpy.eye(square.shape[-1])
    return u, numpy.zeros((*batch, k), a.real.dtype), vh


@svd_of.backward
def _(node: Any, of_u: Tensor | None, of_s: Tensor | None, of_vh: Tensor | None) -> tuple:
    u, s, vh = node.kept()
    m, n, k = u.form.shape[-2], vh.form.shape[-1], s.form.shape[-1]
    u, vh = u[..., :, :k], vh[..., :k, :]
    of_u = None if of_u is None else of_u[..., :, :k]
    of_vh = None if of_vh is None else of_vh[..., :k, :]
    d = u.form.dtype
    row, column = s.to(d).unsqueeze(-2), s.to(d).unsqueeze(-1)
    inner = None
    squares = _one_on_diagonal(s * s).to(d)
    if of_u is not None:
        turning = _skew(matmul(conjugated(u), of_u))
        inner = _no_diagonal(turning / squares) * row
        if d.is_complex:
            inner = inner + (turning.diagonal(0, -2, -1) / (2 * s).to(d)).diag_embed()
    if of_vh is not None:
        part = _no_diagonal(_skew(matmul(vh, conjugated(of_vh))) / squares) * column
        inner = part if inner is None else inner + part
    if of_s is not None:
        part = of_s.to(d).diag_embed()
        inner = part if inner is None else inner + part
    y = matmul(u, matmul(inner, vh))
    if of_u is not None and m > k:
        part = of_u / row
        y = y + matmul(part - matmul(u, matmul(conjugated(u), part)), vh)
    if of_vh is not None and n > k:
        part = of_vh / column
        y = y + matmul(u, part - matmul(matmul(part, conjugated(vh)), vh))
    return (y,)


_DRIVERS = ("gesvd", "gesvdj", "gesvda")


@spelled((), name="linalg_svd", aliases=("linalg.svd",))
def linalg_svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None, out: Any = None) -> Any:
    """(U, S, Vh) with A = U·diag(S)·Vh: A (*, m, n); S (*, k), k = min(m, n), descending.

    full_matrices: U and Vh are square; else U (*, m, k), Vh (*, k, n).

    >>> torch.linalg.svd(torch.tensor([[3.0, 0.0], [0.0, 4.0]])).S
    tensor([4., 3.])
    """
    check_matrix("linalg.svd", A)
    _check_driver("linalg.svd", driver)
    return finish("linalg.svd", out, tuple(svd_of(A, full_matrices)), results.linalg_svd)


def _check_driver(name: str, driver: Any) -> None:
    if driver is not None:
        raise RuntimeError(message(name, f"keyword argument `driver={driver}` is only supported on CUDA inputs"))


@spelled()
def svd(input: Tensor, some: bool = True, compute_uv: bool = True, *, out: Any = None) -> Any:
    """(U, S, V) with input = U·diag(S)·Vᴴ; see torch.linalg.svd. compute_uv=False gives zeros for U and V."""
    check_matrix("linalg.svd", input)
    if not compute_uv:
        (m, n), batch = input.form.shape[-2:], tuple(input.form.shape[:-2])
        u, v = input.new_zeros((*batch, m, m)), input.new_zeros((*batch, n, n))
        return finish("svd", out, (u, svdvals(input), v), results.svd)
    u, s, vh = svd_of(input, not some)
    return finish("svd", out, (u, s, conjugated(vh)), results.svd)


@spelled(LINALG)
def svdvals(A: Tensor, *, driver: str | None = None, out: Tensor | None = None) -> Tensor:
    """The singular values of A (*, m, n), descending: (*, min(m, n))."""
    check_matrix("linalg.svd", A)
    _check_driver("linalg.svdvals", driver)
    if any_recorded((A,)) or not A.form.numel:
        return finish("linalg.svdvals", out, svd_of(A, False)[1])
    return finish("linalg.svdvals", out, outside(_values_alone, A))


def _values_alone(a: Any) -> Any:
    if not numpy.isfinite(a).all():
        raise LinAlgError(f"linalg.svd: {NOT_FINITE}")
    return numpy.linalg.svd(a, compute_uv=False)
