"""Equations: inverses, solutions, triangular ones, and those of tensors."""

from __future__ import annotations

from math import prod
from typing import Any

from mashal.core.interop import numpy
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.algebra import arrays, results
from mashal.ops.algebra.checks import (
    NO_SOLUTION,
    SINGULAR,
    check_matrix,
    check_same,
    check_sides,
    check_square,
    conjugated,
    one_batch,
    refuse_failed,
)
from mashal.ops.contraction import matmul
from mashal.ops.define import recorded, spelled
from mashal.ops.outside import finish, outside
from mashal.ops.triangles import tril, triu

# pyright: reportAttributeAccessIssue=false

LINALG = ("linalg",)


# ---------------------------------------------------------------- triangular equations
@recorded("LinalgSolveTriangularBackward0", tensors=2)
def _solve_triangular(a: Tensor, b: Tensor, upper: bool, unit: bool) -> tuple[Tensor, tuple]:
    """X of A·X = B; a and b of one batch shape."""
    x = outside(arrays.substitute, a, b, upper, unit)
    return x, (a, x, upper, unit)


@_solve_triangular.backward
def _(node: Any, g: Tensor) -> tuple:
    a, x, upper, unit = node.kept()
    of_b = _solve_triangular(conjugated(a), g, not upper, unit)
    if not node.wants(0):
        return None, of_b
    of_a = -matmul(of_b, conjugated(x))
    side = int(unit) if upper else -int(unit)
    return (triu if upper else tril)(of_a, side), of_b


def solved_triangle(a: Tensor, b: Tensor, upper: bool, left: bool = True, unit: bool = False) -> Tensor:
    """X of A·X = B (X·A = B if not left) for triangular A; batches are broadcast."""
    if not left:
        return solved_triangle(a.mT, b.mT, not upper, unit=unit).mT
    a, b = one_batch("linalg.solve_triangular", a, b)
    return _solve_triangular(a, b, upper, unit)


@spelled(LINALG)
def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False,
                     out: Tensor | None = None) -> Tensor:  # fmt: skip
    """X of A·X = B (X·A = B if not left) for triangular A: (*, n, n), B: (*, n, k); the other triangle is not read.

    unitriangular: the diagonal is not read either, it is taken for ones. A 0 on it gives inf and nan, no error.

    >>> torch.linalg.solve_triangular(torch.tensor([[2.0, 0.0], [1.0, 4.0]]), torch.tensor([[2.0], [5.0]]), upper=False)
    tensor([[1.],
            [1.]])
    """
    name = "linalg.solve_triangular"
    check_matrix(name, A)
    check_matrix(name, B, "B")
    check_same(name, A, B)
    check_square(name, A)
    check_sides(name, A, B, left)
    return finish(name, out, solved_triangle(A, B, upper, left, unitriangular))


@spelled()
def triangular_solve(input: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False, *,
                     out: Any = None) -> Any:  # fmt: skip
    """(solution, cloned_coefficient): X of A·X = b for triangular A (its transpose if asked for), and a copy of A."""
    name, b = "triangular_solve", input
    check_matrix(name, b, "b")
    check_matrix(name, A)
    check_same(name, b, A, "b", "A")
    check_square(name, A)
    check_sides(name, A, b, True)
    a, b = one_batch(name, A, b)
    x = solved_triangle(a.mT if transpose else a, b, upper != transpose, unit=unitriangular)
    return finish(name, out, (x, a.clone()), results.triangular_solve)


# ---------------------------------------------------------------- inverses
def _inverted(a: Any) -> tuple[Any, Any]:
    info = numpy.zeros(a.shape[:-2], "int32")
    try:
        return numpy.linalg.inv(a), info
    except numpy.linalg.LinAlgError:
        y, flat = arrays.stacked(a), info.reshape(-1)
        for i, matrix in enumerate(y):
            try:
                y[i] = numpy.linalg.inv(matrix)
            except numpy.linalg.LinAlgError:
                flat[i] = int(arrays.eliminate(matrix)[2])
                y[i] = numpy.nan
        return y.reshape(a.shape), info


@recorded("LinalgInvExBackward0")
def _inverse(a: Tensor) -> tuple[tuple[Tensor, Tensor], tuple]:
    y, info = outside(_inverted, a)
    return (y, info), (y,)


@_inverse.backward
def _(node: Any, g: Tensor, _info: Any) -> tuple:
    turned = conjugated(node.kept()[0])
    return (-matmul(turned, matmul(g, turned)),)


@spelled(LINALG)
def inv_ex(A: Tensor, *, check_errors: bool = False, out: Any = None) -> Any:
    """(inverse, info): info 0, or the number of the pivot that is 0; then the inverse is nan, and no error is raised.

    >>> torch.linalg.inv_ex(torch.zeros(2, 2)).info
    tensor(1, dtype=torch.int32)
    """
    check_square("linalg.inv", A)
    y, info = _inverse(A)
    if check_errors:
        refuse_failed("linalg.inv", info, SINGULAR)
    return finish("linalg.inv_ex", out, (y, info), results.inv_ex)


@spelled(LINALG)
def inv(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of square matrices (*, n, n). LinAlgError if one is singular.

    >>> torch.linalg.inv(torch.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    check_square("linalg.inv", A)
    y, info = _inverse(A)
    refuse_failed("linalg.inv", info, SINGULAR)
    return finish("linalg.inv", out, y)


@spelled()
def inverse(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of square matrices; see torch.linalg.inv."""
    return inv(input, out=out)


# ---------------------------------------------------------------- equations
def _solution(a: Any, b: Any) -> tuple[Any, Any]:
    info = numpy.zeros(a.shape[:-2], "int32")
    try:
        return numpy.linalg.solve(a, b), info
    except numpy.linalg.LinAlgError:
        y, matrices, flat = arrays.stacked(b), arrays.stacked(a), info.reshape(-1)
        for i, matrix in enumerate(matrices):
            try:
                y[i] = numpy.linalg.solve(matrix, y[i])
            except numpy.linalg.LinAlgError:
                flat[i] = int(arrays.eliminate(matrix)[2])
                y[i] = numpy.nan
        return y.reshape(b.shape), info


@recorded("LinalgSolveExBackward0", tensors=2)
def _solved(a: Tensor, b: Tensor) -> tuple[tuple[Tensor, Tensor], tuple]:
    y, info = outside(_solution, a, b)
    return (y, info), (a, y)


@_solved.backward
def _(node: Any, g: Tensor, _info: Any) -> tuple:
    a, y = node.kept()
    of_b = _solved(conjugated(a), g)[0]
    return -matmul(of_b, conjugated(y)) if node.wants(0) else None, of_b


def solution_of(a: Tensor, b: Tensor, left: bool = True) -> tuple[Tensor, Tensor]:
    """(X, info) of A·X = B (X·A = B if not left); batches are broadcast."""
    if not left:
        y, info = solution_of(a.mT, b.mT)
        return y.mT, info
    wide, b = one_batch("linalg.solve", a, b)
    y, info = _solved(wide, b)
    if wide is not a and info.form.numel:
        info = info[tuple([0] * (info.form.rank - a.form.rank + 2))]
    return y, info


def is_vector(a: Tensor, b: Tensor) -> bool:
    """Whether B is a vector, or a batch of them, rather than of matrices."""
    return b.form.rank == 1 or (a.form.rank - 1 == b.form.rank and tuple(a.form.shape[:-1]) == tuple(b.form.shape))


@spelled(LINALG)
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """(result, info): X of A·X = B, and info 0, or the number of the pivot that is 0; then the result is nan."""
    name = "linalg.solve"
    check_square(name, A)
    check_same(name, A, B)
    vector = is_vector(A, B)
    if vector and not left:
        raise RuntimeError(message(name, "Vector broadcasting of the left hand side is not supported for left=False"))
    b = B.unsqueeze(-1) if vector else B
    check_sides(name, A, b, left)
    y, info = solution_of(A, b, left)
    if check_errors:
        refuse_failed(f"torch.{name}", info, NO_SOLUTION)
    return finish("linalg.solve_ex", out, (y.squeeze(-1) if vector else y, info), results.solve_ex)


@spelled(LINALG)
def solve(A: Tensor, B: Tensor, *, left: bool = True, out: Tensor | None = None) -> Tensor:
    """X of A·X = B (X·A = B if not left): A (*, n, n), B (*, n, k) or vectors (*, n). LinAlgError if A is singular.

    >>> torch.linalg.solve(torch.tensor([[2.0, 0.0], [0.0, 4.0]]), torch.tensor([2.0, 2.0]))
    tensor([1.0000, 0.5000])
    """
    return finish("linalg.solve", out, solve_ex(A, B, left=left, check_errors=True)[0])


# ---------------------------------------------------------------- tensors as matrices
@spelled(LINALG)
def tensorinv(A: Tensor, ind: int = 2, *, out: Tensor | None = None) -> Tensor:
    """The inverse of A as a map from its dimensions after the first ind to those.

    >>> torch.linalg.tensorinv(torch.eye(6).reshape(6, 2, 3), ind=1).shape
    torch.Size([2, 3, 6])
    """
    if ind <= 0:
        raise RuntimeError(
            message("torch.linalg.tensorinv", "Expected a strictly positive integer for 'ind'", f"it is {ind}")
        )
    first, last = tuple(A.form.shape[:ind]), tuple(A.form.shape[ind:])
    if prod(first) != prod(last):
        wrong = "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind])"
        raise RuntimeError(message("torch.linalg.tensorinv", wrong, f"they are {prod(last)} and {prod(first)}"))
    y = inv(A.reshape(prod(last), prod(first))).reshape(*last, *first)
    return finish("linalg.tensorinv", out, y)


@spelled(LINALG)
def tensorsolve(A: Tensor, B: Tensor, dims: Any = None, *, out: Tensor | None = None) -> Tensor:
    """X of tensordot(A, X, X.ndim) = B. dims: dimensions of A that are moved to its end first."""
    if dims is not None:
        others = [d for d in range(A.form.rank) if d not in {d % A.form.rank for d in dims}]
        A = A.permute(*others, *dims)
    shape = tuple(A.form.shape[B.form.rank :])
    if prod(shape) != prod(A.form.shape[: B.form.rank]):
        wrong = (
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim])"
        )
        raise RuntimeError(
            message("torch.linalg.tensorsolve", wrong, f"A is {tuple(A.form.shape)}, B {tuple(B.form.shape)}")
        )
    y = solve(A.reshape(B.form.numel, prod(shape)), B.reshape(-1)).reshape(shape)
    return finish("linalg.tensorsolve", out, y)
