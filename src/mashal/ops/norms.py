"""Norms of vectors and matrices, distances, traces."""

from __future__ import annotations

import math
from typing import Any

from mashal.core.dtypes import dtype as DType
from mashal.core.shapes import wrap_dim
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang.expression import Expression, abs_, binary, cast, constant, max_over, min_over, sqrt, sum_over, where
from mashal.ops.arithmetic import mul, sub
from mashal.ops.creation import eye
from mashal.ops.define import real_part, recorded, spelled, write_out
from mashal.ops.parts import diagonal
from mashal.ops.reducing import Rows, formula, in_dtype, reduction
from mashal.ops.reductions import amax, amin, sum_


# ---------------------------------------------------------------- |x|^p, summed
def _square_of(x: Expression) -> Expression:
    if x.dtype.is_complex:
        re, im = (Expression(part, (x,), x.dtype.to_real()) for part in ("real", "imag"))
        return re * re + im * im
    return x * x


def _power_norm(x: Expression, p: float) -> Expression:
    """(Σ |x|^p)^(1/p), with its limits at 0 (how many are not 0) and at ±inf."""
    if p == 2:
        return sqrt(sum_over(_square_of(x)))
    size = abs_(x)
    if p == 1:
        return sum_over(size)
    if p == math.inf:
        return max_over(size)
    if p == -math.inf:
        return min_over(size)
    if p == 0:
        return sum_over(where(size == 0, constant(0, size.dtype), constant(1, size.dtype)))
    return binary("pow", sum_over(binary("pow", size, constant(p, size.dtype))), constant(1 / p, size.dtype))


def _refuse(name: str, d: DType) -> None:
    if d.kind not in "fc":
        raise RuntimeError(message(name, f"Expected a floating point or complex tensor as input. Got {d}"))


@reduction(real_part, name="linalg.vector_norm", node=("LinalgVectorNormBackward0",), where=(), refuse=_refuse)
def _norm(x: Expression, *, p: float) -> Expression:
    return _power_norm(x, p)


def _real(x: Expression) -> Expression:
    return Expression("real", (x,), x.dtype.to_real()) if x.dtype.is_complex else x


def _sign(x: Expression) -> Expression:
    """x / |x|, and 0 at 0."""
    if x.dtype.is_complex:
        size = abs_(x)
        return x * cast(where(size == 0, constant(0, size.dtype), 1 / size), x.dtype)
    return where(x > 0, constant(1, x.dtype), where(x < 0, constant(-1, x.dtype), x * 0))


def _scaled(x: Expression, by: Expression) -> Expression:
    return x * cast(by, x.dtype)


@formula()
def _along_unit(g: Expression, x: Expression, y: Expression) -> Expression:
    g, y = _real(g), _real(y)
    return _scaled(x, where(y == 0, constant(0, y.dtype), g / y))


@formula()
def _along_sign(g: Expression, x: Expression) -> Expression:
    return _scaled(_sign(x), _real(g))


@formula(real_part)
def _at_extreme(x: Expression, y: Expression) -> Expression:
    y = _real(y)
    return where(abs_(x) == y, constant(1, y.dtype), constant(0, y.dtype))


@formula()
def _shared(g: Expression, x: Expression, mask: Expression, count: Expression) -> Expression:
    return _scaled(_sign(x), _real(g) * _real(mask) / _real(count))


@formula()
def _by_power(g: Expression, x: Expression, y: Expression, p: Expression) -> Expression:
    size, y = abs_(x), _real(y)
    by = binary("pow", size / y, _real(p) - 1) * _real(g)
    return _scaled(_sign(x), where((y == 0) | (size == 0), constant(0, y.dtype), by))


@_norm.backward
def _(g: Tensor, x: Tensor, y: Tensor, rows: Rows, p: float) -> Tensor:
    if p == 0:
        return mul(x, 0)
    if p == 2:
        return _along_unit(g, x, y)
    if p == 1:
        return _along_sign(g, x)
    if math.isinf(p):
        mask = _at_extreme(x, y)
        return _shared(g, x, mask, sum_(mask, rows.dims, True))
    return _by_power(g, x, y, float(p))


# ---------------------------------------------------------------- vectors
@spelled(where=("linalg",), name="vector_norm")
def vector_norm(x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None,
                out: Tensor | None = None) -> Tensor:  # fmt: skip
    """The norm of vectors along dim (all elements if None): (Σ |x|^ord)^(1/ord); ord may be 0 and ±inf.

    >>> torch.linalg.vector_norm(torch.tensor([3.0, 4.0]))
    tensor(5.)
    """
    if dtype is not None:
        x = in_dtype(x, dtype)
    if x.form.numel == 0 and (ord < 0 or ord == math.inf):
        sizes = range(x.form.rank) if dim is None else [dim] if isinstance(dim, int) else dim
        if any(x.form.shape[d] == 0 for d in sizes) or not x.form.rank:
            wrong = f"cannot compute the {ord} norm of {tuple(x.form.shape)} along dim {dim}"
            raise RuntimeError(message("linalg.vector_norm", wrong, "the operation has no identity for an empty row"))
    return _norm(x, dim, keepdim, p=float(ord), out=out)


@spelled()
def norm(input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, out: Tensor | None = None,
         dtype: DType | None = None) -> Tensor:  # fmt: skip
    """The p-norm along dim, of all elements if dim is None; "fro" is p = 2, "nuc" the sum of singular values.

    >>> torch.norm(torch.tensor([3.0, 4.0]))
    tensor(5.)
    """
    if p == "nuc":
        return matrix_norm(input, "nuc", (-2, -1) if dim is None else dim, keepdim, dtype=dtype, out=out)
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(message("norm", f"unknown norm {p!r}", "p is a number, 'fro' or 'nuc'"))
    return vector_norm(input, 2 if p is None or p == "fro" else float(p), dim, keepdim, dtype=dtype, out=out)


@spelled()
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of input - other."""
    return vector_norm(sub(input, other), p)


# ---------------------------------------------------------------- matrices
@spelled(where=("linalg",), name="matrix_norm")
def matrix_norm(A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: DType | None = None,
                out: Tensor | None = None) -> Tensor:  # fmt: skip
    """The norm of matrices in two dimensions: "fro", "nuc", ±1, ±2 or ±inf."""
    if A.form.rank < 2:
        raise RuntimeError(
            message(
                "linalg.matrix_norm", f"The input tensor A must have at least 2 dimensions, it is {tuple(A.form.shape)}"
            )
        )
    x = A if dtype is None else in_dtype(A, dtype)
    rows, columns = (wrap_dim("linalg.matrix_norm", d, x.form.rank) for d in dim)
    if ord == "fro":
        y = _norm(x, (rows, columns), keepdim, p=2.0)
    elif ord in (1, -1, math.inf, -math.inf):
        summed, other = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = _norm(x, summed, True, p=1.0)
        nothing = ord > 0 and not sums.form.shape[other]
        y = (sum_ if nothing else amax if ord > 0 else amin)(sums, other, True)
        y = y if keepdim else _without(y, rows, columns)
    elif ord in (2, -2, "nuc"):
        y = _of_singular_values(x, ord, rows, columns, keepdim)
    else:
        raise RuntimeError(
            message("linalg.matrix_norm", f"Order {ord} not supported", "it is 'fro', 'nuc', ±1, ±2 or ±inf")
        )
    return y if out is None else write_out("linalg.matrix_norm", out, y)


def _without(y: Tensor, rows: int, columns: int) -> Tensor:
    return sum_(y, (rows, columns))  # of size 1: their only element


def _of_singular_values(x: Tensor, ord: Any, rows: int, columns: int, keepdim: bool) -> Tensor:
    moved = x.movedim((rows, columns), (-2, -1))  # type: ignore[attr-defined]
    values = moved.svd()[1]
    y = (
        sum_(values, -1)
        if ord == "nuc" or (ord == 2 and not values.form.shape[-1])
        else (amax if ord > 0 else amin)(values, -1)
    )
    if keepdim:
        for d in sorted((rows, columns)):
            y = y.unsqueeze(d)
    return y


@spelled()
def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal.

    >>> torch.trace(torch.tensor([[1, 2], [3, 4]]))
    tensor(5)
    """
    if input.form.rank != 2:
        raise RuntimeError(message("trace", f"expected a matrix, but got a tensor with dim {input.form.rank}"))
    return _trace(input)


@recorded("TraceBackward0")
def _trace(x: Tensor) -> tuple[Tensor, tuple]:
    return sum_(diagonal(x)), (tuple(x.form.shape),)


@_trace.backward
def _(node: Any, g: Tensor) -> tuple:
    ((rows, columns),) = node.kept()
    return (g * eye(rows, columns, dtype=g.form.dtype, device=g.form.device),)
