"""Orthogonal factors: Q·R, and products of Householder's reflections."""

from __future__ import annotations

from typing import Any

from mashal.core.interop import numpy
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.algebra import results
from mashal.ops.algebra.checks import check_matrix, check_same, conjugated
from mashal.ops.algebra.solving import solved_triangle
from mashal.ops.contraction import matmul
from mashal.ops.define import recorded, spelled
from mashal.ops.joining import cat
from mashal.ops.outside import finish, outside
from mashal.ops.triangles import tril, triu

# pyright: reportAttributeAccessIssue=false

LINALG = ("linalg",)
_MODES = {"reduced": "reduced", "complete": "complete", "r": "r"}


# ---------------------------------------------------------------- Q·R
def _factored(a: Any, mode: str) -> tuple[Any, Any]:
    (m, n), batch = a.shape[-2:], a.shape[:-2]
    k = min(m, n)
    columns = m if mode == "complete" else k
    if not a.size:
        q = numpy.zeros((*batch, m, columns), a.dtype)
        if mode == "complete":
            q[...] = numpy.eye(m, dtype=a.dtype)
        return numpy.zeros(0, a.dtype) if mode == "r" else q, numpy.zeros((*batch, columns, n), a.dtype)
    if mode == "r":
        return numpy.zeros(0, a.dtype), numpy.linalg.qr(a, "r")
    q, r = numpy.linalg.qr(a, mode)
    return q, r


@recorded("LinalgQrBackward0")
def _qr(a: Tensor, mode: str) -> tuple[tuple[Tensor, Tensor], tuple]:
    q, r = outside(_factored, a, mode)
    return (q, r), (q, r, mode)


@_qr.backward
def _(node: Any, of_q: Tensor | None, of_r: Tensor | None) -> tuple:
    q, r, mode = node.kept()
    m, n = q.form.shape[-2] if q.form.rank > 1 else r.form.shape[-2], r.form.shape[-1]
    if mode == "r":
        wrong = "The derivative of linalg.qr depends on Q, which is not computed when mode='r'"
        raise RuntimeError(message("linalg.qr", wrong, "use linalg.qr(A, mode='reduced')"))
    if mode == "complete" and m > n:
        wrong = "The QR decomposition is not differentiable when mode='complete' and nrows > ncols"
        raise RuntimeError(message("linalg.qr", wrong, f"the matrices are {m}x{n}"))
    if m >= n:
        return (_square_gradient(q, r, of_q, of_r),)
    r2 = r[..., :, m:]  # A = [A1 A2], A1 = Q·R1, R2 = Q^H·A2
    of_r2 = None if of_r is None else of_r[..., :, m:]
    if of_r2 is not None:
        from_r2 = matmul(q, matmul(r2, conjugated(of_r2)))
        of_q = from_r2 if of_q is None else of_q + from_r2
    of_a1 = _square_gradient(q, r[..., :, :m], of_q, None if of_r is None else of_r[..., :, :m])
    of_a2 = matmul(q, of_r2) if of_r2 is not None else (r2 * 0)
    return (cat([of_a1, of_a2], -1),)


def _square_gradient(q: Tensor, r: Tensor, of_q: Tensor | None, of_r: Tensor | None) -> Tensor:
    """The gradient of a matrix with no more columns than rows."""
    inner = None if of_r is None else matmul(of_r, conjugated(r))
    if of_q is not None:
        part = matmul(conjugated(q), of_q)
        inner = -part if inner is None else inner - part
    assert inner is not None
    upper = triu(inner)
    both = upper + conjugated(triu(inner, 1))
    if both.form.dtype.is_complex:
        both = both - (both.diagonal(0, -2, -1).imag * 1j).diag_embed()
    y = matmul(q, both)
    if of_q is not None:
        y = y + of_q
    return solved_triangle(conjugated(r), y, False, left=False)


@spelled((), name="linalg_qr", aliases=("linalg.qr",))
def linalg_qr(A: Tensor, mode: str = "reduced", *, out: Any = None) -> Any:
    """(Q, R) with A = Q·R, Q's columns orthonormal, R an upper triangle: A (*, m, n).

    mode: "reduced" Q (*, m, k), R (*, k, n) with k = min(m, n); "complete" Q (*, m, m), R (*, m, n); "r" R alone, Q is empty.

    >>> torch.linalg.qr(torch.tensor([[3.0], [4.0]])).R
    tensor([[-5.]])
    """
    check_matrix("linalg.qr", A)
    if mode not in _MODES:
        wrong = f"qr received unrecognized mode {mode!r} but expected one of 'reduced' (default), 'r', or 'complete'"
        raise RuntimeError(message("linalg.qr", wrong))
    return finish("linalg.qr", out, tuple(_qr(A, mode)), results.linalg_qr)


@spelled()
def qr(input: Tensor, some: bool = True, *, out: Any = None) -> Any:
    """(Q, R) with input = Q·R; some=False: Q is square. See torch.linalg.qr."""
    check_matrix("linalg.qr", input)
    return finish("qr", out, tuple(_qr(input, "reduced" if some else "complete")), results.qr)


# ---------------------------------------------------------------- reflections
def _raw(a: Any) -> tuple[Any, Any]:
    k = min(a.shape[-2:])
    if not a.size:
        return numpy.array(a), numpy.zeros((*a.shape[:-2], k), a.dtype)
    h, tau = numpy.linalg.qr(a, "raw")
    return numpy.swapaxes(h, -1, -2), tau


@spelled()
def geqrf(input: Tensor, *, out: Any = None) -> Any:
    """(a, tau): R in a's upper triangle and below it the vectors of Householder's reflections, whose factors are tau."""
    check_matrix("geqrf", input)
    return finish("geqrf", out, outside(_raw, input), results.geqrf)


def _reflections(name: str, a: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """V and T with H1·H2·…·Hk = 1 - V·T·Vᴴ, V (*, m, k) and T (*, k, k) an upper triangle."""
    check_matrix(name, a, "input")
    check_same(name, a, tau, "input", "tau")
    m, n = a.form.shape[-2:]
    k = tau.form.shape[-1] if tau.form.rank else 0
    if min(m, n) < k or a.form.rank != tau.form.rank + 1 or a.form.shape[:-2] != tau.form.shape[:-1]:
        wrong = f"input is {tuple(a.form.shape)} and tau {tuple(tau.form.shape)}"
        raise RuntimeError(message(name, wrong, "tau must have no more elements than input rows or columns"))
    v = tril(a[..., :, :k], -1) + _unit(a, m, k)
    d = tau.unsqueeze(-1)
    between = _unit(a, k, k) + d * triu(matmul(conjugated(v), v), 1)
    return v, solved_triangle(between, tau.diag_embed(), True, unit=True)


def _unit(like: Tensor, rows: int, columns: int) -> Tensor:
    one = like.detach().new_zeros((rows, columns))
    one.diagonal().fill_(1)
    return one


@spelled(LINALG)
def householder_product(input: Tensor, tau: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The first columns of the product of reflections 1 - tau·v·vᴴ, v below input's diagonal: (*, m, n), as geqrf gives them.

    >>> a, tau = torch.geqrf(torch.tensor([[3.0], [4.0]]))
    >>> torch.linalg.householder_product(a, tau)
    tensor([[-0.6000],
            [-0.8000]])
    """
    v, t = _reflections("linalg.householder_product", input, tau)
    m, n = input.form.shape[-2:]
    if m < n:
        right = "input must have no more columns than rows"
        raise RuntimeError(message("torch.linalg.householder_product", f"input is {tuple(input.form.shape)}", right))
    y = _unit(input, m, n) - matmul(v, matmul(t, conjugated(v[..., :n, :])))
    return finish("linalg.householder_product", out, y)


@spelled()
def orgqr(input: Tensor, input2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The matrix Q of geqrf's results; see torch.linalg.householder_product."""
    return householder_product(input, input2, out=out)


@spelled()
def ormqr(input: Tensor, input2: Tensor, input3: Tensor, left: bool = True, transpose: bool = False, *,
          out: Tensor | None = None) -> Tensor:  # fmt: skip
    """Q·input3 (input3·Q if not left; Qᴴ if transpose), Q the square product of reflections of geqrf's results input and input2."""
    check_same("torch.ormqr", input, input3, "input", "other")
    v, t = _reflections("torch.ormqr", input, input2)
    if input3.form.rank < 2 or input3.form.shape[-2 if left else -1] != input.form.shape[-2]:
        side = "other.shape[-2]" if left else "other.shape[-1]"
        wrong = f"{side} must be equal to input.shape[-2], other is {tuple(input3.form.shape)}, input {tuple(input.form.shape)}"
        raise RuntimeError(message("torch.ormqr", wrong))
    if transpose:
        t = conjugated(t)
    turned = conjugated(v)
    if left:
        return finish("ormqr", out, input3 - matmul(v, matmul(t, matmul(turned, input3))))
    return finish("ormqr", out, input3 - matmul(matmul(matmul(input3, v), t), turned))
