"""Products of sparse matrices with dense matrices and vectors: rows of the dense one, picked, scaled and added up."""

from __future__ import annotations

from typing import Any

from mashal.core.forms import form
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.broadcast import sum_to
from mashal.ops.complex_parts import conj_physical
from mashal.ops.copying import zeros_of
from mashal.ops.define import overrides, recorded
from mashal.ops.recording import Recorded
from mashal.ops.scattering import scatter_reduce
from mashal.ops.selecting import index_add
from mashal.ops.sparse import SparseTensor, _cannot
from mashal.ops.views import reshape, unsqueeze

# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportCallIssue=false, reportIndexIssue=false

REDUCTIONS = ("sum", "mean", "amax", "amin")


def _product(node: str) -> Recorded:
    """beta·c + alpha·(matrix @ other): the matrix has `values` at rows and columns and n rows. c None: nothing is added."""

    @recorded(node, tensors=3)
    def product(
        values: Tensor, other: Tensor, c: Any, rows: Tensor, columns: Tensor, n: int, alpha: Any, beta: Any
    ) -> tuple:
        y = _added_up(values, other, rows, columns, n)
        y = y if c is None else c * beta + y * alpha
        return y, (values, other, rows, columns, alpha, beta, None if c is None else c.form.shape)

    @product.backward
    def _(node: Any, g: Tensor) -> tuple:
        values, other, rows, columns, alpha, beta, shape = node.kept()
        gc = None if shape is None else sum_to(g * _conjugate(beta), shape)
        g = (g if shape is None else g * _conjugate(alpha))[rows]  # a row for each element
        gv = g * conj_physical(other)[columns] if node.wants(0) else None
        gv = gv if gv is None or other.form.rank == 1 else gv.sum(1)
        if not node.wants(1):
            return gv, None, gc
        whole = zeros_of(form(other.form.dtype, other.form.device, other.form.shape))
        return gv, index_add(whole, 0, columns, conj_physical(_beside(values, other)) * g), gc

    return product


def _added_up(values: Tensor, other: Tensor, rows: Tensor, columns: Tensor, n: int) -> Tensor:
    whole = zeros_of(form(other.form.dtype, other.form.device, (n, *other.form.shape[1:])))
    return index_add(whole, 0, rows, _beside(values, other) * other[columns])


def _beside(values: Tensor, other: Tensor) -> Tensor:
    return values if other.form.rank == 1 else unsqueeze(values, 1)


def _conjugate(factor: Any) -> Any:
    return factor.conjugate() if isinstance(factor, complex) else factor


_PRODUCTS = {
    node: _product(node)
    for node in ("MmBackward0", "MvBackward0", "SparseAddmmBackward0", "AddmmBackward0", "SparseMmReduceImplBackward0")
}


def times(x: Any, other: Tensor, node: str = "", c: Any = None, alpha: Any = 1, beta: Any = 1) -> Tensor:
    """beta·c + alpha·(x @ other), dense, with a sparse matrix x and a dense matrix or vector. node: grad_fn's name."""
    if x.sparse_dim() != 2 or x.dense_dim() or isinstance(other, SparseTensor) or other.form.rank not in (1, 2):
        raise _cannot("matmul")
    if other.form.shape[0] != x.form.shape[1]:
        raise RuntimeError(message("matmul", f"shapes {tuple(x.shape)} and {tuple(other.shape)} cannot be multiplied"))
    rows, columns = x._parts[0].unbind(0)
    if overrides((x._parts[1], other, c)):  # many samples at once (func.vmap): by operations that have rules for them
        y = _added_up(x._parts[1], other, rows, columns, x.form.shape[0])
        return y if c is None else c * beta + y * alpha
    product = _PRODUCTS[node or ("MvBackward0" if other.form.rank == 1 else "MmBackward0")]
    return product(x._parts[1], other, c, rows, columns, x.form.shape[0], alpha, beta)


def reduced(x: Any, other: Tensor, reduce: str) -> Tensor:
    """x @ other with the mean, the largest or the smallest of a row's products in place of their sum; 0 where there is none."""
    reduce = {"max": "amax", "min": "amin"}.get(reduce, reduce)
    if reduce not in REDUCTIONS:
        raise RuntimeError(message("sparse.mm", f"reduce {reduce!r} is none of {', '.join(map(repr, REDUCTIONS))}"))
    if reduce == "sum":
        return times(x, other, "SparseMmReduceImplBackward0")
    rows, columns = x._parts[0].unbind(0)
    products = unsqueeze(x._parts[1], 1) * other[columns]
    whole = zeros_of(form(other.form.dtype, other.form.device, (x.form.shape[0], other.form.shape[1])))
    index = reshape(rows, (-1, 1)).expand(products.shape)
    return scatter_reduce(whole, 0, index, products, reduce, include_self=False)
