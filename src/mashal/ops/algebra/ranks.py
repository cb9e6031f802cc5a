"""What the sizes of singular values say: ranks, condition numbers, pseudo-inverses, least squares."""

from __future__ import annotations

import math
from typing import Any

from mashal.core.dtypes import finfo, int64
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.algebra import results
from mashal.ops.algebra.checks import check_floating, check_matrix, check_same, check_square, conjugated, one_batch
from mashal.ops.algebra.orthogonal import linalg_qr
from mashal.ops.algebra.solving import inv_ex, is_vector, solved_triangle
from mashal.ops.algebra.spectra import eigh, svd_of, svdvals
from mashal.ops.contraction import matmul
from mashal.ops.define import any_recorded, recorded, spelled
from mashal.ops.norms import matrix_norm
from mashal.ops.outside import finish

# pyright: reportAttributeAccessIssue=false

LINALG = ("linalg",)


# ---------------------------------------------------------------- which values count as 0
def _bound(name: str, a: Tensor, largest: Tensor, atol: Any, rtol: Any) -> Tensor:
    """max(atol, rtol · the largest value), for each matrix (*, 1); by default rtol is max(m, n) · eps."""
    for word, value in (("atol", atol), ("rtol", rtol)):
        if isinstance(value, Tensor) and value.form.dtype.is_complex:
            raise RuntimeError(
                message(name, f"{word} tensor of complex type is not supported", f"it is of {value.form.dtype}")
            )
    if rtol is None:
        given = atol is not None and (isinstance(atol, Tensor) or atol > 0)
        usual = max(a.form.shape[-2:]) * finfo(a.form.dtype.to_real()).eps
        if isinstance(atol, Tensor):
            rtol = (atol > 0).logical_not() * usual
        else:
            rtol = 0.0 if given else usual
    atol = 0.0 if atol is None else atol
    widened = lambda x: x.to(largest.form.dtype).unsqueeze(-1) if isinstance(x, Tensor) else x
    relative = largest * widened(rtol)
    absolute = widened(atol)
    return relative.maximum(absolute) if isinstance(absolute, Tensor) else relative.clamp(min=absolute)


def _sizes(a: Tensor, hermitian: bool) -> Tensor:
    return eigh(a)[0].abs() if hermitian else svdvals(a)


def _largest(values: Tensor) -> Tensor:
    return values.amax(-1, keepdim=True) if values.form.shape[-1] else values.new_zeros((*values.form.shape[:-1], 1))


@spelled(LINALG)
def matrix_rank(A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None,
                out: Tensor | None = None) -> Tensor:  # fmt: skip
    """How many singular values are above max(atol, rtol · the largest): (*) int64. rtol is by default max(m, n) · eps.

    hermitian: A is taken for symmetric, and eigenvalues are used. tol: atol, with rtol 0.

    >>> torch.linalg.matrix_rank(torch.ones(3, 3))
    tensor(1)
    """
    check_matrix("linalg.matrix_rank", A)
    if hermitian:
        check_square("linalg.matrix_rank", A)
    if tol is not None:
        atol, rtol = tol, 0.0
    values = _sizes(A.detach(), hermitian)
    over = values > _bound("torch.linalg.matrix_rank", A, _largest(values), atol, rtol)
    return finish("linalg.matrix_rank", out, over.sum(-1))


# ---------------------------------------------------------------- pseudo-inverses
@recorded("LinalgPinvBackward0")
def _pinv(a: Tensor, atol: Any, rtol: Any, hermitian: bool) -> tuple[Tensor, tuple]:
    if hermitian:
        values, u = eigh(a)
        sizes, vh = values.abs(), conjugated(u)
    else:
        u, values, vh = svd_of(a, False)
        sizes = values
    kept = sizes > _bound("torch.linalg.pinv", a, _largest(sizes), atol, rtol)
    inverse = values.reciprocal().masked_fill(kept.logical_not(), 0.0).to(a.form.dtype)
    y = matmul(conjugated(vh) * inverse.unsqueeze(-2), conjugated(u))
    return y, (a, y)


@_pinv.backward
def _(node: Any, g: Tensor) -> tuple:
    a, p = node.kept()
    turned, g_turned = conjugated(p), conjugated(g)
    inner = matmul(turned, matmul(g, turned))
    left = matmul(g_turned, matmul(p, turned))
    right = matmul(matmul(turned, p), g_turned)
    return (left - matmul(a, matmul(p, left)) + right - matmul(matmul(right, p), a) - inner,)


@spelled(LINALG)
def pinv(A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None,
         out: Tensor | None = None) -> Tensor:  # fmt: skip
    """The pseudo-inverse (*, n, m) of A (*, m, n): singular values up to max(atol, rtol · the largest) count as 0.

    >>> torch.linalg.pinv(torch.tensor([[2.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    check_matrix("linalg.pinv", A)
    if hermitian:
        check_square("linalg.pinv", A)
    if not A.form.numel:
        return finish("linalg.pinv", out, conjugated(A).clone())
    return finish("linalg.pinv", out, _pinv(A, atol, rtol if rcond is None else rcond, hermitian))


@spelled()
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """The pseudo-inverse; see torch.linalg.pinv."""
    return pinv(input, rtol=rcond)


# ---------------------------------------------------------------- condition numbers
@spelled(LINALG)
def cond(A: Tensor, p: Any = None, *, out: Tensor | None = None) -> Tensor:
    """‖A‖·‖A⁻¹‖: how much errors can grow. p: None or 2 (the ratio of singular values), -2, "fro", "nuc", ±1, ±inf.

    >>> torch.linalg.cond(torch.tensor([[1.0, 0.0], [0.0, 4.0]]))
    tensor(4.)
    """
    check_matrix("linalg.cond", A)
    if p is None or (not isinstance(p, str) and abs(p) == 2):
        s = svdvals(A)
        if not s.form.shape[-1]:
            return finish("linalg.cond", out, s.new_zeros(tuple(s.form.shape[:-1])))
        y = s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
        return finish("linalg.cond", out, y)
    if p not in ("fro", "nuc", 1, -1, math.inf, -math.inf):
        wrong = f"linalg.cond got an invalid norm type: {p}"
        raise RuntimeError(message("linalg.cond", wrong, "it is None, 'fro', 'nuc', ±1, ±2 or ±inf"))
    check_square("linalg.cond", A)
    if not A.form.numel:
        return finish("linalg.cond", out, A.new_zeros(tuple(A.form.shape[:-2])).real)
    inverse, info = inv_ex(A)
    y = matrix_norm(A, p) * matrix_norm(inverse.masked_fill((info != 0)[..., None, None], 0.0), p)
    return finish("linalg.cond", out, y.masked_fill(info != 0, math.inf))


# ---------------------------------------------------------------- least squares
_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


@spelled(LINALG)
def lstsq(A: Tensor, B: Tensor, rcond: Any = None, *, driver: str | None = None, out: Any = None) -> Any:
    """(solution, residuals, rank, singular_values): X with the least ‖A·X - B‖, and of those the shortest. A (*, m, n), B (*, m, k).

    driver: "gels" takes A for one of full rank; "gelsy" (the default), "gelsd" and "gelss" count singular values up to
    rcond · the largest as 0. residuals: of each column, if A has more rows than columns and full rank.

    >>> torch.linalg.lstsq(torch.tensor([[1.0], [1.0]]), torch.tensor([[1.0], [3.0]])).solution.round(decimals=3)
    tensor([[2.]])
    """
    name = "torch.linalg.lstsq"
    _check_least_squares(name, A, B, driver)
    m, n = A.form.shape[-2:]
    vector = is_vector(A, B)
    b = B.unsqueeze(-1) if vector else B
    if b.form.shape[-2] != m:
        wrong = (
            "input.size(-2) should match other.size(-2)" if not vector else "input.size(-2) should match other.size(-1)"
        )
        raise RuntimeError(message(name, wrong, f"A is {tuple(A.form.shape)}, B {tuple(B.form.shape)}"))
    usual = finfo(A.form.dtype.to_real()).eps * max(m, n)
    bound = usual if rcond is None else rcond
    x, rank, values = _shortest(A, b, bound, driver or "gelsy")
    told = driver in ("gels", "gelsd", "gelss") and m > n and (driver == "gels" or bool((rank == n).all()))
    away = _squares(matmul(A, x) - b) if told else _squares(x.reshape(-1, 1)[:0])[:0]
    y = (x.squeeze(-1) if vector else x, away, rank, values)
    return finish(name, out, y, results.lstsq)


def _check_least_squares(name: str, a: Any, b: Any, driver: Any) -> None:
    check_floating(name, a, "input")
    check_floating(name, b, "other")
    if a.form.rank < 2:
        raise RuntimeError(message(name, "input must have at least 2 dimensions", f"it is {tuple(a.form.shape)}"))
    if b.form.rank < 1:
        raise RuntimeError(message(name, "other must have at least 1 dimension", f"it is {tuple(b.form.shape)}"))
    if not 0 <= a.form.rank - b.form.rank <= 1:
        wrong = "input.dim() must be greater or equal to other.dim() and (input.dim() - other.dim()) <= 1"
        raise RuntimeError(message(name, wrong, f"they are {tuple(a.form.shape)} and {tuple(b.form.shape)}"))
    check_same(name, a, b, "input", "other")
    if driver is not None and driver not in _DRIVERS:
        wrong = f"parameter `driver` should be one of (gels, gelsy, gelsd, gelss), it is {driver!r}"
        raise RuntimeError(message(name, wrong))


def _shortest(a: Tensor, b: Tensor, bound: Any, driver: str) -> tuple[Tensor, Tensor, Tensor]:
    """(solution, rank, singular values), the last two as the driver tells them."""
    wide, b = one_batch("torch.linalg.lstsq", a, b)
    nothing = a.new_empty(0).detach()
    values_of = lambda: svdvals(a.detach())
    if driver == "gels":
        x = _by_triangle(wide, b) if not any_recorded((wide, b)) and wide.form.numel else matmul(pinv(wide), b)
        return x, nothing.to(int64), nothing.real
    x = matmul(pinv(wide, rtol=bound), b)
    values = values_of()
    rank = (values > _largest(values) * bound).sum(-1)
    return x, rank, values if driver in ("gelsd", "gelss") else nothing.real


def _by_triangle(a: Tensor, b: Tensor) -> Tensor:
    """For matrices of full rank, from Q·R: of fewer columns the nearest, of fewer rows the shortest solution."""
    m, n = a.form.shape[-2:]
    q, r = linalg_qr(a if m >= n else conjugated(a))
    if m >= n:
        return solved_triangle(r, matmul(conjugated(q), b), True)
    return matmul(q, solved_triangle(conjugated(r), b, False))


def _squares(away: Tensor) -> Tensor:
    """The squared lengths of columns."""
    return (away * away.conj()).real.sum(-2) if away.form.dtype.is_complex else (away * away).sum(-2)
