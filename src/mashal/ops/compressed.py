"""Sparse matrices in compressed rows (CSR) or columns (CSC): made, asked for their parts, and everything that tensors in coordinates can.

A CompressedTensor keeps coordinates in order, rows or columns first; the compressed indices are counted from them when asked for.
"""

from __future__ import annotations

from typing import Any

from mashal.core import dtypes
from mashal.core.layouts import sparse_bsc, sparse_bsr, sparse_coo, sparse_csc, sparse_csr
from mashal.core.nested import tensor_from_data
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.arranging import repeat_interleave
from mashal.ops.copying import converted
from mashal.ops.creation import arange
from mashal.ops.define import spelled
from mashal.ops.interception import original_of
from mashal.ops.joining import cat, stack
from mashal.ops.sorting import argsort
from mashal.ops.sparse import HANDLERS, LAYOUTS, SparseTensor, sparse_of, to_sparse

# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportCallIssue=false, reportIndexIssue=false


class CompressedTensor(SparseTensor):
    """A sparse matrix in compressed rows or columns; see the module."""

    is_sparse = False
    major = 0

    def values(self) -> Tensor:
        """The elements, in the layout's order."""
        return self._parts[1]

    def _compressed(self) -> Tensor:
        """Where each row (column) begins among the elements, and where the last one ends."""
        places, n = self._parts[0][self.major], self.form.shape[self.major]
        counts = places.bincount(minlength=n)
        return cat([counts.new_zeros(1), counts.cumsum(0)])

    def sparse_dim(self) -> int:
        """Two: rows and columns."""
        return 2

    def _with_layout(self, coordinates: Any) -> Any:
        return compressed(coordinates, type(self))

    def _turned(self) -> Any:
        """The transpose: rows in the place of columns."""
        kind = CscTensor if self.major == 0 else CsrTensor
        return sparse_of(self._parts[0].flip(0), self._parts[1], tuple(reversed(self.form.shape[:2])), True, kind)

    def coalesce(self) -> Any:
        """Itself: every place occurs once."""
        return self


class CsrTensor(CompressedTensor):
    """A sparse matrix in compressed rows."""

    is_sparse_csr = True
    layout = sparse_csr

    def crow_indices(self) -> Tensor:
        """Where each row begins, and where the last one ends."""
        return self._compressed()

    def col_indices(self) -> Tensor:
        """The column of each element."""
        return self._parts[0][1]

    def _named_parts(self) -> tuple[tuple[str, Tensor], ...]:
        return ("crow_indices", self.crow_indices()), ("col_indices", self.col_indices()), ("values", self._parts[1])


class CscTensor(CompressedTensor):
    """A sparse matrix in compressed columns."""

    major = 1
    layout = sparse_csc

    def ccol_indices(self) -> Tensor:
        """Where each column begins, and where the last one ends."""
        return self._compressed()

    def row_indices(self) -> Tensor:
        """The row of each element."""
        return self._parts[0][0]

    def _named_parts(self) -> tuple[tuple[str, Tensor], ...]:
        return ("ccol_indices", self.ccol_indices()), ("row_indices", self.row_indices()), ("values", self._parts[1])


def compressed(x: Any, kind: type[CompressedTensor]) -> Any:
    """A sparse matrix in coordinates as one of this kind."""
    x = sparse_of(*x._parts[:2], tuple(x.form.shape), x._parts[2] and x.layout is sparse_coo).coalesce()
    if x.sparse_dim() != 2:
        raise RuntimeError(
            message("to_sparse", f"{x.sparse_dim()} sparse dimensions", "compressed layouts are of matrices")
        )
    indices, values, _ = x._parts
    if kind.major:
        order = argsort(indices[1], stable=True)
        indices, values = indices[:, order], values[order]
    return sparse_of(indices, values, tuple(x.form.shape), True, kind)


def _as_sparse(x: Tensor, dense_dim: int | None) -> Any:
    if isinstance(x, SparseTensor):
        return x
    return to_sparse(x, None if dense_dim is None else x.form.rank - dense_dim)


@spelled(where=("method",))
def to_sparse_csr(input: Tensor, dense_dim: int | None = None) -> Tensor:
    """A matrix in compressed rows. dense_dim: how many dimensions each element has of its own.

    >>> torch.eye(2).to_sparse_csr().crow_indices()
    tensor([0, 1, 2])
    """
    return compressed(_as_sparse(input, dense_dim), CsrTensor)


@spelled(where=("method",))
def to_sparse_csc(input: Tensor, dense_dim: int | None = None) -> Tensor:
    """A matrix in compressed columns. dense_dim: how many dimensions each element has of its own.

    >>> torch.eye(2).to_sparse_csc().ccol_indices()
    tensor([0, 1, 2])
    """
    return compressed(_as_sparse(input, dense_dim), CscTensor)


@spelled(where=("method",))
def to_sparse_coo(input: Tensor) -> Tensor:
    """A tensor in coordinates.

    >>> torch.eye(2).to_sparse_csr().to_sparse_coo().indices()
    tensor([[0, 1],
            [0, 1]])
    """
    if not isinstance(input, SparseTensor):
        return to_sparse(input)
    if input.layout is sparse_coo:
        return input
    return sparse_of(*input._parts[:2], tuple(input.form.shape), False).coalesce()


def _converted_to(name: str, x: Any, *arguments: Any, **options: Any) -> Any:
    return original_of(
        {"to_sparse_csr": to_sparse_csr, "to_sparse_csc": to_sparse_csc, "to_sparse_coo": to_sparse_coo}[name]
    )(x)


LAYOUTS.update(
    {
        sparse_coo: lambda x: original_of(to_sparse_coo)(x),
        sparse_csr: lambda x: compressed(x, CsrTensor),
        sparse_csc: lambda x: compressed(x, CscTensor),
    }
)
HANDLERS.update(dict.fromkeys(("to_sparse_csr", "to_sparse_csc", "to_sparse_coo"), _converted_to))


def _matrix(
    operation: str,
    kind: type[CompressedTensor],
    starts: Any,
    others: Any,
    values: Any,
    size: Any,
    dtype: Any,
    requires_grad: bool,
) -> Any:
    bounds, places = (x if isinstance(x, Tensor) else tensor_from_data(x) for x in (starts, others))
    elements = values if isinstance(values, Tensor) else tensor_from_data(values)
    elements = elements if dtype is None else converted(elements, dtype)
    bounds, places = converted(bounds, dtypes.int64), converted(places, dtypes.int64)
    if bounds.form.rank != 1 or places.form.rank != 1 or elements.form.rank != 1:
        raise RuntimeError(
            message(operation, "batches of matrices and matrices of blocks are not supported", "give one matrix")
        )
    n, nnz = bounds.form.numel - 1, places.form.numel
    if nnz != elements.form.numel or (n >= 0 and int(bounds[-1]) != nnz) or int(bounds[0]) != 0:
        wrong = f"indices end at {int(bounds[-1])} and start at {int(bounds[0])}, for {nnz} places and {elements.form.numel} values"
        raise RuntimeError(message(operation, wrong, "they must start at 0 and end at the number of values"))
    counts = bounds[1:] - bounds[:-1]
    if n and int(counts.amin()) < 0:
        raise RuntimeError(message(operation, "the compressed indices fall somewhere", "they must rise"))
    lines = repeat_interleave(arange(n), counts)
    other = 1 - kind.major
    least = int(places.amax()) + 1 if nnz else 0
    if size is None:
        size = (n, least) if other == 1 else (least, n)
    if tuple(size)[kind.major] != n or least > tuple(size)[other] or (nnz and int(places.amin()) < 0):
        raise RuntimeError(
            message(operation, f"size {tuple(size)} does not hold {n} compressed lines and places up to {least - 1}")
        )
    if requires_grad:
        elements = elements.detach().requires_grad_()
    indices = stack([lines, places] if kind.major == 0 else [places, lines])
    return sparse_of(indices, elements, tuple(size), True, kind)


@spelled(where=("torch",))
def sparse_csr_tensor(
    crow_indices: Any,
    col_indices: Any,
    values: Any,
    size: Any = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
) -> Tensor:
    """A sparse matrix in compressed rows: where each row begins (rows + 1 numbers), the column and the value of each element.

    >>> torch.sparse_csr_tensor([0, 1, 3], [1, 0, 1], [1.0, 2.0, 3.0]).to_dense()
    tensor([[0., 1.],
            [2., 3.]])
    """
    return _matrix("sparse_csr_tensor", CsrTensor, crow_indices, col_indices, values, size, dtype, requires_grad)


@spelled(where=("torch",))
def sparse_compressed_tensor(
    compressed_indices: Any,
    plain_indices: Any,
    values: Any,
    size: Any = None,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
) -> Tensor:
    """A sparse matrix in compressed rows (layout=torch.sparse_csr) or columns (torch.sparse_csc), as the functions of those names.

    >>> torch.sparse_compressed_tensor([0, 1, 3], [1, 0, 1], [1.0, 2.0, 3.0], layout=torch.sparse_csc).to_dense()
    tensor([[0., 2.],
            [1., 3.]])
    """
    operation = "sparse_compressed_tensor"
    if layout in (sparse_bsr, sparse_bsc):
        nearest = sparse_csr if layout is sparse_bsr else sparse_csc
        raise NotImplementedError(message(operation, f"blocks ({layout}) are not there", f"the nearest is {nearest}"))
    if layout not in (sparse_csr, sparse_csc):
        raise RuntimeError(message(operation, f"layout {layout} is not compressed", "use sparse_csr or sparse_csc"))
    kind = CsrTensor if layout is sparse_csr else CscTensor
    return _matrix(operation, kind, compressed_indices, plain_indices, values, size, dtype, requires_grad)


@spelled(where=("torch",))
def sparse_csc_tensor(
    ccol_indices: Any,
    row_indices: Any,
    values: Any,
    size: Any = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
) -> Tensor:
    """A sparse matrix in compressed columns: where each column begins, the row and the value of each element.

    >>> torch.sparse_csc_tensor([0, 1, 3], [1, 0, 1], [1.0, 2.0, 3.0]).to_dense()
    tensor([[0., 2.],
            [1., 3.]])
    """
    return _matrix("sparse_csc_tensor", CscTensor, ccol_indices, row_indices, values, size, dtype, requires_grad)


@spelled(where=("method",))
def sparse_mask(input: Tensor, mask: Tensor) -> Tensor:
    """input's elements at the places of a sparse tensor.

    >>> torch.ones(2, 2).sparse_mask(torch.eye(2).to_sparse()).values()
    tensor([1., 1.])
    """
    if not isinstance(mask, SparseTensor):
        raise RuntimeError(message("sparse_mask", "the mask is dense", "it must be sparse"))
    mask = mask.coalesce()
    whole = input.to_dense() if isinstance(input, SparseTensor) else input
    return mask._like(mask._parts[0], whole[tuple(mask._parts[0].unbind(0))], True)


def _masked(name: str, x: Any, mask: Any) -> Any:
    return original_of(sparse_mask)(x, mask)


HANDLERS["sparse_mask"] = _masked


# ---------------------------------------------------------------- questions to tensors that are not sparse
def _of_sparse_only(name: str) -> Any:
    def ask(input: Tensor) -> Any:
        raise RuntimeError(message(name, "the tensor is strided", "only sparse tensors have it; to_sparse makes one"))

    ask.__name__ = ask.__qualname__ = name
    ask.__doc__ = f"{name} of a sparse tensor; RuntimeError for any other."
    return spelled(where=("method",))(ask)


for _name in "coalesce is_coalesced indices values crow_indices col_indices ccol_indices row_indices".split():
    _of_sparse_only(_name)
