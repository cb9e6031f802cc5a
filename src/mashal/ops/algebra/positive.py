"""Positive-definite matrices: Cholesky's factor, and what is solved with it."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.ops.algebra import arrays, results
from mashal.ops.algebra.checks import (
    NOT_POSITIVE,
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
from mashal.ops.outside import finish, outside
from mashal.ops.triangles import tril

# pyright: reportAttributeAccessIssue=false

LINALG = ("linalg",)


# ---------------------------------------------------------------- the factor
@recorded("LinalgCholeskyExBackward0")
def _cholesky(a: Tensor) -> tuple[tuple[Tensor, Tensor], tuple]:
    y, info = outside(arrays.cholesky, a)
    return (y, info), (y,)


@_cholesky.backward
def _(node: Any, g: Tensor, _info: Any) -> tuple:
    (y,) = node.kept()
    turned = conjugated(y)
    inner = tril(matmul(turned, g))
    inner = (inner + conjugated(tril(inner, -1))) * 0.5
    if inner.form.dtype.is_complex:
        inner = inner - (inner.diagonal(0, -2, -1).imag * 1j).diag_embed()
    return (solved_triangle(turned, solved_triangle(y, inner, False, left=False), True),)


@spelled(LINALG)
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False, out: Any = None) -> Any:
    """(L, info): as `cholesky`; info is 0, or the order of the first leading minor that is not positive-definite."""
    check_square("linalg.cholesky", A)
    y, info = _cholesky(conjugated(A) if upper else A)
    if check_errors:
        refuse_failed("linalg.cholesky", info, NOT_POSITIVE)
    return finish("linalg.cholesky_ex", out, (conjugated(y) if upper else y, info), results.cholesky_ex)


@spelled((), name="linalg_cholesky", aliases=("linalg.cholesky",))
def linalg_cholesky(A: Tensor, *, upper: bool = False, out: Tensor | None = None) -> Tensor:
    """The lower triangle L of A = L·Lᴴ (the upper one of A = Uᴴ·U) for positive-definite A (*, n, n). Only one triangle is read.

    LinAlgError if a matrix is not positive-definite.

    >>> torch.linalg.cholesky(torch.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    return finish("linalg.cholesky", out, cholesky_ex(A, upper=upper, check_errors=True)[0])


@spelled()
def cholesky(input: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The lower (or upper) triangle L of input = L·Lᴴ; see torch.linalg.cholesky."""
    return linalg_cholesky(input, upper=upper, out=out)


# ---------------------------------------------------------------- solutions and inverses
@recorded("CholeskySolveBackward0", tensors=2)
def _cholesky_solve(b: Tensor, factor: Tensor, upper: bool) -> tuple[Tensor, tuple]:
    turned = conjugated(factor)
    first, second = (turned, factor) if upper else (factor, turned)
    x = solved_triangle(second, solved_triangle(first, b, False), True)
    return x, (factor, x, upper)


@_cholesky_solve.backward
def _(node: Any, g: Tensor) -> tuple:
    factor, x, upper = node.kept()
    of_b = _cholesky_solve(g, factor, upper)
    if not node.wants(1):
        return of_b, None
    common = matmul(of_b, conjugated(x))
    common = common + conjugated(common)
    return of_b, -matmul(factor, common) if upper else -matmul(common, factor)


@spelled()
def cholesky_solve(input: Tensor, input2: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """X of A·X = B, given Cholesky's factor L of A = L·Lᴴ (or U of A = Uᴴ·U): B (*, n, k), L (*, n, n).

    >>> torch.cholesky_solve(torch.tensor([[8.0]]), torch.tensor([[2.0]]))
    tensor([[2.]])
    """
    name, B, L = "cholesky_solve", input, input2
    check_matrix(name, B, "B")
    check_matrix(name, L, "L")
    check_square(name, L, "L")
    check_sides(name, L, B, True)
    check_same(name, B, L, "B", "L")
    b, factor = one_batch(name, B, L)
    return finish(name, out, _cholesky_solve(b, factor, upper))


@recorded("CholeskyInverseBackward0")
def _cholesky_inverse(factor: Tensor, upper: bool) -> tuple[Tensor, tuple]:
    one = factor.new_zeros(factor.form.shape)
    one.diagonal(0, -2, -1).fill_(1)
    y = _cholesky_solve(one, factor, upper)
    return y, (factor, y, upper)


@_cholesky_inverse.backward
def _(node: Any, g: Tensor) -> tuple:
    factor, y, upper = node.kept()
    common = matmul(y, matmul(g + conjugated(g), y))
    return (-matmul(factor, common) if upper else -matmul(common, factor),)


@spelled()
def cholesky_inverse(input: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The inverse of A, given Cholesky's factor L of A = L·Lᴴ (or U of A = Uᴴ·U)."""
    check_square("cholesky_inverse", input, "L")
    return finish("cholesky_inverse", out, _cholesky_inverse(input, upper))
