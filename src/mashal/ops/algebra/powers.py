"""Products of many matrices: powers, exponentials, chains; Vandermonde's matrices; inner products of vectors."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from mashal.core.dtypes import complex64, float32, int64
from mashal.core.shapes import broadcast
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.algebra import arrays
from mashal.ops.algebra.checks import LOW, check_square, conjugated, plain_conjugate
from mashal.ops.algebra.solving import inv
from mashal.ops.contraction import matmul
from mashal.ops.define import recorded, spelled
from mashal.ops.joining import cat
from mashal.ops.outside import finish, outside
from mashal.ops.parts import diagonal

# pyright: reportAttributeAccessIssue=false

LINALG = ("linalg",)


# ---------------------------------------------------------------- powers
def _check_power(name: str, x: Any) -> None:
    if isinstance(x, Tensor) and x.form.rank >= 2 and x.form.shape[-1] == x.form.shape[-2]:
        return
    check_square(name, x)


@spelled(("torch", "method", "linalg"))
def matrix_power(input: Tensor, n: int, *, out: Tensor | None = None) -> Tensor:
    """The product of n equal matrices (*, m, m); n = 0 gives the identity, n < 0 powers of the inverse.

    >>> torch.linalg.matrix_power(torch.tensor([[1, 1], [0, 1]]), 5)
    tensor([[1, 5],
            [0, 1]])
    """
    _check_power("linalg.matrix_power", input)
    if n == 0:
        one = input.detach().new_zeros(tuple(input.form.shape))
        one.diagonal(0, -2, -1).fill_(1)
        return finish("linalg.matrix_power", out, input.clone().copy_(one))
    square, y = inv(input) if n < 0 else input, None
    n = abs(n)
    while n:
        if n & 1:
            y = square if y is None else matmul(y, square)
        n >>= 1
        if n:
            square = matmul(square, square)
    assert y is not None
    return finish("linalg.matrix_power", out, y.clone() if y is input else y)


@recorded("LinalgMatrixExpBackward0")
def _matrix_exp(a: Tensor) -> tuple[Tensor, tuple]:
    return outside(arrays.exponential, a), (a,)


@_matrix_exp.backward
def _(node: Any, g: Tensor) -> tuple:
    (a,) = node.kept()
    n, turned = a.form.shape[-1], conjugated(a)
    rows = cat([cat([turned, g], -1), cat([turned * 0, turned], -1)], -2)
    return (_matrix_exp(rows)[..., :n, n:],)


@spelled(("torch", "method", "linalg"))
def matrix_exp(A: Tensor) -> Tensor:
    """The exponential of square matrices (*, n, n): Σ Aᵏ / k!.

    >>> torch.linalg.matrix_exp(torch.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    d = A.form.dtype if isinstance(A, Tensor) else None
    if d is not None and d.name in LOW:
        return matrix_exp(A.to(complex64 if d.is_complex else float32)).to(d)
    check_square("linalg.matrix_exp", A)
    return _matrix_exp(A)


# ---------------------------------------------------------------- chains
@spelled(LINALG)
def multi_dot(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """The product of two or more matrices, in the order that needs the fewest multiplications; the first and last may be vectors.

    >>> torch.linalg.multi_dot([torch.tensor([1.0, 2.0]), torch.tensor([[3.0], [4.0]])])
    tensor([11.])
    """
    _check_chain(tensors)
    first, last = tensors[0], tensors[-1]
    chain = list(tensors)
    chain[0] = first.unsqueeze(0) if first.form.rank == 1 else first
    chain[-1] = last.unsqueeze(-1) if last.form.rank == 1 else last
    for i, (a, b) in enumerate(itertools.pairwise(chain)):
        if a.form.shape[-1] != b.form.shape[0]:
            wrong = f"tensors {i} and {i + 1} with shapes {list(a.form.shape)} and {list(b.form.shape)} cannot be multiplied"
            raise RuntimeError(message("multi_dot", wrong))
    y = _product(chain, _splits(chain), 0, len(chain) - 1)
    if first.form.rank == 1:
        y = y.squeeze(0)
    if last.form.rank == 1:
        y = y.squeeze(-1)
    return finish("linalg.multi_dot", out, y)


def _check_chain(tensors: Sequence[Tensor]) -> None:
    if len(tensors) < 2:
        raise RuntimeError(message("multi_dot", "expected at least 2 tensors", f"but got {len(tensors)}"))
    for i, x in enumerate(tensors):
        ends = i in (0, len(tensors) - 1)
        if x.form.rank != 2 and not (ends and x.form.rank == 1):
            kinds = "1D or 2D" if ends else "2D"
            raise RuntimeError(message("multi_dot", f"tensor {i} must be {kinds}", f"it is {tuple(x.form.shape)}"))
        if x.form.dtype is not tensors[0].form.dtype:
            wrong = f"all tensors must be the same dtype but got {tensors[0].form.dtype} and {x.form.dtype}"
            raise RuntimeError(message("multi_dot", wrong))
        if x.form.device is not tensors[0].form.device:
            wrong = f"all tensors must be on the same device but got {tensors[0].form.device} and {x.form.device}"
            raise RuntimeError(message("multi_dot", wrong))


def _splits(chain: list[Tensor]) -> dict[tuple[int, int], int]:
    """Where to split each part of a chain: the cheapest order, found from short parts to long ones."""
    n = len(chain)
    sizes = [x.form.shape[0] for x in chain] + [chain[-1].form.shape[1]]
    costs = {(i, i): 0 for i in range(n)}
    split = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            tries = [(costs[i, k] + costs[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)]
            costs[i, j], split[i, j] = min(tries)
    return split


def _product(chain: list[Tensor], split: dict[tuple[int, int], int], i: int, j: int) -> Tensor:
    if i == j:
        return chain[i]
    k = split[i, j]
    return matmul(_product(chain, split, i, k), _product(chain, split, k + 1, j))


@spelled(("torch",))
def chain_matmul(*matrices: Any, out: Tensor | None = None) -> Tensor:
    """The product of matrices, in the cheapest order; see torch.linalg.multi_dot."""
    chain = list(matrices[0]) if len(matrices) == 1 and not isinstance(matrices[0], Tensor) else list(matrices)
    for i, x in enumerate(chain):
        if x.form.rank != 2:
            raise RuntimeError(message("chain_matmul", f"Tensor {i} must be a matrix", f"it is {tuple(x.form.shape)}"))
    return finish("chain_matmul", out, chain[0].clone() if len(chain) == 1 else multi_dot(chain))


# ---------------------------------------------------------------- vectors
@spelled((), name="linalg_vander", aliases=("linalg.vander",))
def linalg_vander(x: Tensor, N: int | None = None) -> Tensor:
    """The powers 0 … N - 1 of each element, along a new last dimension: (*, n) to (*, n, N); N is by default n.

    >>> torch.linalg.vander(torch.tensor([2, 3]), N=3)
    tensor([[1, 2, 4],
            [1, 3, 9]])
    """
    x = x if x.form.rank else x.reshape(1)
    n = x.form.shape[-1] if N is None else N
    if n <= 1:
        raise RuntimeError(message("linalg.vander", "N must be greater than 1", f"it is {n}"))
    kind = int64 if x.form.dtype.kind in "biu" else x.form.dtype
    column = x.to(kind).unsqueeze(-1)
    one = column.detach().new_ones(tuple(column.form.shape))
    return cat([one, column.expand(*x.form.shape, n - 1).cumprod(-1)], -1)


@spelled(("torch",))
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers N - 1 … 0 of a vector's elements as rows (0 … N - 1 if increasing).

    >>> torch.vander(torch.tensor([2, 3]), N=3)
    tensor([[4, 2, 1],
            [9, 3, 1]])
    """
    if x.form.rank != 1:
        raise RuntimeError(
            message("torch.vander", "x must be a one-dimensional tensor", f"it is {tuple(x.form.shape)}")
        )
    n = x.form.shape[0] if N is None else N
    if n < 0:
        raise RuntimeError(message("torch.vander", f"N must be non-negative, it is {n}"))
    kind = int64 if x.form.dtype.kind in "biu" else x.form.dtype
    if n == 0:
        return x.new_empty((x.form.shape[0], 0), dtype=kind)
    column = x.to(kind).unsqueeze(-1)
    one = column.detach().new_ones(tuple(column.form.shape))
    y = one if n == 1 else cat([one, column.expand(x.form.shape[0], n - 1).cumprod(-1)], -1)
    return y if increasing else y.flip(-1)


@spelled(LINALG)
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """Σ conj(x)·y along dim, broadcast.

    >>> torch.linalg.vecdot(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    tensor(11.)
    """
    for which, z in (("x", x), ("y", y)):
        if z.form.dtype.kind not in "fc":
            wrong = f"Expected a floating point or complex tensor as input. Got {z.form.dtype}"
            raise RuntimeError(message("linalg.vecdot", wrong, f"it is {which}"))
    broadcast("linalg.vecdot", x.form.shape, y.form.shape)
    return finish("linalg.vecdot", out, (plain_conjugate(x) * y).sum(dim))


# ---------------------------------------------------------------- other spellings
@spelled((), name="linalg_matmul", aliases=("linalg.matmul",))
def linalg_matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The product of matrices; see torch.matmul."""
    return matmul(input, other, out=out)


@spelled((), name="linalg_diagonal", aliases=("linalg.diagonal",))
def linalg_diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices, a view: see torch.diagonal.

    >>> torch.linalg.diagonal(torch.eye(2))
    tensor([1., 1.])
    """
    return diagonal(A, offset, dim1, dim2)
