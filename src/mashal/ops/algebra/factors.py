"""Factorizations into triangles, P·L·U and L·D·Lᴴ, and solutions that use them."""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import int32
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.algebra import arrays, results, symmetric
from mashal.ops.algebra.checks import (
    check_floating,
    check_matrix,
    check_same,
    check_sides,
    check_square,
    conjugated,
    one_batch,
    refuse_failed,
)
from mashal.ops.algebra.solving import solved_triangle
from mashal.ops.contraction import matmul
from mashal.ops.define import recorded, spelled
from mashal.ops.joining import cat
from mashal.ops.outside import finish, outside
from mashal.ops.triangles import tril, triu

# pyright: reportAttributeAccessIssue=false

LINALG = ("linalg",)


# ---------------------------------------------------------------- P·L·U
@recorded("LinalgLuFactorExBackward0")
def _lu(a: Tensor, pivot: bool) -> tuple[tuple[Tensor, Tensor, Tensor], tuple]:
    both, pivots, info = outside(arrays.eliminate, a, pivot)
    return (both, pivots, info), (both, pivots)


@_lu.backward
def _(node: Any, g: Tensor | None, _pivots: Any, _info: Any) -> tuple:
    both, pivots = node.kept()
    m, n = both.form.shape[-2:]
    k = min(m, n)
    if g is None:
        return (both * 0,)
    g_l, g_u = tril(g[..., :, :k], -1), triu(g[..., :k, :])
    l, u = _lower(both), triu(both[..., :k, :])
    square_l, square_u = l[..., :k, :], u[..., :, :k]
    rest: list[Any] = []
    if m > n:  # the rows below: L2 = A2·U^-1
        of_rest = solved_triangle(conjugated(square_u), g_l[..., k:, :], False, left=False)
        g_u = triu(g_u - matmul(conjugated(l[..., k:, :]), of_rest))
        rest = [of_rest]
    elif m < n:  # the columns to the right: U2 = L^-1·A2
        of_rest = solved_triangle(conjugated(square_l), g_u[..., :, k:], True, unit=True)
        g_l = g_l - tril(matmul(of_rest, conjugated(u[..., :, k:])), -1)
        rest = [of_rest]
    inner = tril(matmul(conjugated(square_l), g_l[..., :k, :]), -1) + triu(
        matmul(g_u[..., :, :k], conjugated(square_u))
    )
    part = solved_triangle(conjugated(square_l), inner, True, unit=True)
    part = solved_triangle(conjugated(square_u), part, False, left=False)
    of_rows = cat([part, *rest], -2 if m > n else -1)
    return (_rows_back(of_rows, pivots),)


def _lower(both: Tensor) -> Tensor:
    """L of both factors in one: below the diagonal, ones on it."""
    m, n = both.form.shape[-2:]
    y = tril(both[..., :, : min(m, n)], -1)
    one = both.new_zeros(y.form.shape[-2:])
    one.diagonal(0, -2, -1).fill_(1)
    return y + one


def _order(pivots: Tensor, rows: int) -> Tensor:
    """The row of A that stands in each row of L·U."""
    return outside(arrays.order_of, pivots, rows)


def _rows_back(x: Tensor, pivots: Tensor) -> Tensor:
    """P·X: rows as they were before the exchanges."""
    back = _order(pivots, x.form.shape[-2]).argsort(-1)
    return x.gather(-2, back.unsqueeze(-1).expand(*x.form.shape))


def _rows_exchanged(x: Tensor, pivots: Tensor) -> Tensor:
    """Pᵀ·X"""
    order = _order(pivots, x.form.shape[-2])
    return x.gather(-2, order.unsqueeze(-1).expand(*x.form.shape))


@spelled(LINALG)
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """(LU, pivots, info): as lu_factor; info is 0, or the number of the first pivot that is 0."""
    check_matrix("torch.linalg.lu_factor", A)
    both, pivots, info = _lu(A, pivot)
    if check_errors:
        refuse_failed("torch.linalg.lu_factor", info, _ZERO_PIVOT)
    return finish("linalg.lu_factor_ex", out, (both, pivots, info), results.lu_factor_ex)


_ZERO_PIVOT = (
    "U[{0},{0}] is zero and using it on lu_solve would result in a division by zero. If you still want to perform the "
    "factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
)


@spelled(LINALG)
def lu_factor(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """(LU, pivots): L (below the diagonal) and U of A = P·L·U in one, and the rows exchanged, counted from 1.

    RuntimeError if a pivot is 0. pivot=False exchanges no rows.
    """
    return finish("linalg.lu_factor", out, lu_factor_ex(A, pivot=pivot, check_errors=True)[:2], results.lu_factor)


@spelled((), name="linalg_lu", aliases=("linalg.lu",))
def linalg_lu(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """(P, L, U) with A = P·L·U: a permutation, ones on L's diagonal; P is empty with pivot=False."""
    check_matrix("linalg.lu", A)
    both, pivots, _ = _lu(A, pivot)
    p, l, u = lu_unpack(both, pivots)
    return finish("linalg.lu", out, (p if pivot else A.new_empty(0), l, u), results.lu)


@spelled()
def lu(A: Tensor, pivot: bool = True, get_infos: bool = False, out: Any = None) -> Any:
    """(LU, pivots), with get_infos also info: see torch.linalg.lu_factor and lu_factor_ex."""
    check_matrix("lu", A)
    made = _lu(A, pivot)
    if not get_infos:
        refuse_failed("lu", made[2], _ZERO_PIVOT)
        return finish("lu", out, made[:2], results.lu_factor)
    return finish("lu", out, tuple(made), results.lu_with_info)


@spelled(("torch",))
def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True, *,
              out: Any = None) -> Any:  # fmt: skip
    """(P, L, U) of what lu_factor gives; empty tensors for those that are not asked for."""
    if unpack_pivots and LU_pivots.form.dtype is not int32:
        wrong = f"LU_pivots is expected to be a contiguous tensor of torch.int32 dtype, it is of {LU_pivots.form.dtype}"
        raise RuntimeError(message("torch.lu_unpack", wrong))
    m, n = LU_data.form.shape[-2:]
    empty = LU_data.new_empty(0)
    p = l = u = empty
    if unpack_pivots:
        one = LU_data.new_zeros((*LU_pivots.form.shape[:-1], m, m)).detach()
        one.diagonal(0, -2, -1).fill_(1)
        p = _rows_back(one, LU_pivots)
    if unpack_data:
        l, u = _lower(LU_data), triu(LU_data[..., : min(m, n), :])
    return finish("lu_unpack", out, (p, l, u), results.lu_unpack)


@spelled((), name="linalg_lu_solve", aliases=("linalg.lu_solve",))
def linalg_lu_solve(LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False,
                    out: Tensor | None = None) -> Tensor:  # fmt: skip
    """X of A·X = B (X·A = B if not left; Aᴴ if adjoint), given lu_factor's results for A."""
    name = "linalg.lu_solve"
    check_floating(name, LU, "LU")
    check_square(name, LU, "LU")
    check_same(name, LU, B, "LU", "B")
    if pivots.form.dtype is not int32:
        raise RuntimeError(
            message(name, f"pivots should be a Tensor of scalar type torch.int32, it is of {pivots.form.dtype}")
        )
    check_sides(name, LU, B, left)
    if tuple(pivots.form.shape) != tuple(LU.form.shape[:-1]):
        wrong = "Number of pivots per batch should be same as the dimension of the matrix"
        raise RuntimeError(message(name, wrong, f"pivots are {tuple(pivots.form.shape)}, LU is {tuple(LU.form.shape)}"))
    both, b = one_batch(name, LU, B)
    pivots = pivots.expand(both.form.shape[:-1])
    return finish(name, out, _lu_solved(both, pivots, b, left, adjoint))


def _lu_solved(both: Tensor, pivots: Tensor, b: Tensor, left: bool, adjoint: bool) -> Tensor:
    if not left:  # X·A = B is Aᴴ·Xᴴ = Bᴴ
        return conjugated(_lu_solved(both, pivots, conjugated(b), True, not adjoint))
    l, u = tril(both, -1), triu(both)
    if adjoint:  # A^H = U^H·L^H·P^T
        y = solved_triangle(conjugated(l), solved_triangle(conjugated(u), b, False), True, unit=True)
        return _rows_back(y, pivots)
    return solved_triangle(u, solved_triangle(l, _rows_exchanged(b, pivots), False, unit=True), True)


@spelled()
def lu_solve(input: Tensor, LU_data: Tensor, LU_pivots: Tensor, *, out: Tensor | None = None) -> Tensor:
    """X of A·X = b, given lu's results for A; see torch.linalg.lu_solve."""
    return linalg_lu_solve(LU_data, LU_pivots, input, out=out)


# ---------------------------------------------------------------- L·D·L^H
@spelled(LINALG)
def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False, out: Any = None) -> Any:
    """(LD, pivots, info): L and D of a symmetric (hermitian) A = L·D·Lᵀ in one, D with blocks of size 1 and 2, as LAPACK has them."""
    check_square("torch.linalg.ldl_factor_ex", A)
    made = outside(symmetric.symmetric_factors, A, hermitian)
    if check_errors:
        refuse_failed("torch.linalg.ldl_factor_ex", made[2], "Factor D is exactly singular at its element {}.")
    return finish("linalg.ldl_factor_ex", out, made, results.ldl_factor_ex)


@spelled(LINALG)
def ldl_factor(A: Tensor, *, hermitian: bool = False, out: Any = None) -> Any:
    """(LD, pivots): as ldl_factor_ex; LinAlgError if D is singular."""
    made = ldl_factor_ex(A, hermitian=hermitian, check_errors=True)
    return finish("linalg.ldl_factor", out, made[:2], results.ldl_factor)


@spelled(LINALG)
def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False, out: Tensor | None = None) -> Tensor:
    """X of A·X = B, given ldl_factor's results for A."""
    name = "torch.linalg.ldl_solve"
    check_square(name, LD, "LD")
    check_matrix(name, B, "B")
    check_same(name, LD, B, "LD", "B")
    check_sides(name, LD, B, True)
    if tuple(pivots.form.shape) != tuple(LD.form.shape[:-1]):
        wrong = f"Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with shape {tuple(pivots.form.shape)}"
        raise RuntimeError(message(name, wrong, f"LD is {tuple(LD.form.shape)}"))
    if pivots.form.dtype.kind not in "iu":
        raise RuntimeError(message(name, f"Expected pivots to be integers. Got {pivots.form.dtype}"))
    both, b = one_batch(name, LD, B)
    pivots = pivots.expand(both.form.shape[:-1])
    return finish(name, out, outside(symmetric.solve_symmetric, both, pivots, b, hermitian))
