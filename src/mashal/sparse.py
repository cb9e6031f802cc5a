"""torch.sparse: products, sums and softmax of sparse tensors, and their constructors of old."""

from __future__ import annotations

import functools
from typing import Any

from mashal import ops
from mashal.core import dtypes
from mashal.core.layouts import sparse_coo, sparse_csc, sparse_csr
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.nearest import nearest
from mashal.ops.sparse import SparseTensor
from mashal.ops.sparse_operations import summed
from mashal.ops.sparse_products import reduced, times

__all__ = [
    "BFloat16Tensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor", "LongTensor", "ShortTensor",
    "addmm", "as_sparse_gradcheck", "check_sparse_tensor_invariants", "log_softmax", "mm", "softmax", "spdiags", "sum",
]  # fmt: skip


def mm(mat1: Tensor, mat2: Tensor, reduce: str | None = None) -> Tensor:
    """The product of matrices, one of them sparse; sparse if both are. Gradients reach the values and the dense matrix.

    reduce: what becomes of a row's products, "sum" (as by default), "mean", "max" or "min"; 0 where a row has none.

    >>> torch.sparse.mm(torch.eye(2).to_sparse(), torch.ones(2, 1))
    tensor([[1.],
            [1.]])
    """
    if reduce is not None:
        if not isinstance(mat1, SparseTensor):
            raise RuntimeError(message("sparse.mm", "reduce is for a sparse first matrix, and this one is strided"))
        return reduced(mat1, mat2, reduce)
    if isinstance(mat1, SparseTensor) and not isinstance(mat2, SparseTensor):
        return times(mat1, mat2, "SparseAddmmBackward0")
    return ops.matmul(mat1, mat2)


def addmm(mat: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """beta·mat + alpha·(mat1 @ mat2) with a sparse mat1."""
    if isinstance(mat, SparseTensor) or isinstance(mat2, SparseTensor) or not isinstance(mat1, SparseTensor):
        return ops.addmm(mat, mat1, mat2, beta=beta, alpha=alpha)
    return times(mat1, mat2, "SparseAddmmBackward0", mat, alpha, beta)


def sum(input: Tensor, dim: Any = None, dtype: Any = None) -> Tensor:
    """The sum of a sparse tensor over all or some dimensions; sparse as long as a sparse dimension is left.

    >>> torch.sparse.sum(torch.eye(2).to_sparse())
    tensor(2.)
    """
    if not isinstance(input, SparseTensor):
        raise RuntimeError(
            message("sparse.sum", "the input is strided", "it must be sparse; torch.sum is for all others")
        )
    x: Any = input if dtype is None else input.to(dtype)  # type: ignore[attr-defined]
    return x._parts[1].sum() if dim is None else summed(x, dim)


def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """softmax along dim of the elements that are kept."""
    return ops.softmax(input, dim, dtype=dtype)


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """log_softmax along dim of the elements that are kept."""
    return ops.log_softmax(input, dim, dtype=dtype)


def spdiags(diagonals: Tensor, offsets: Tensor, shape: Any, layout: Any = None) -> Tensor:
    """A sparse matrix whose diagonals (one or several rows) lie at these offsets; a diagonal's element k is in column k.

    layout: sparse_coo (by default; the elements lie diagonal by diagonal, not coalesced), sparse_csr or sparse_csc.

    >>> torch.sparse.spdiags(torch.ones(3), torch.tensor([1]), (3, 3)).to_dense()
    tensor([[0., 1., 0.],
            [0., 0., 1.],
            [0., 0., 0.]])
    """
    if layout not in (None, sparse_coo, sparse_csr, sparse_csc):
        raise RuntimeError(
            message("spdiags", f"layout {layout}", "only sparse_coo, sparse_csr and sparse_csc are supported")
        )
    rows = diagonals.unsqueeze(0) if diagonals.ndim == 1 else diagonals  # type: ignore[attr-defined]
    each = offsets.reshape(-1).tolist()  # type: ignore[attr-defined]
    if len(each) != len(rows):
        raise RuntimeError(message("spdiags", f"{len(rows)} diagonals for {len(each)} offsets", "give as many"))
    if len(set(each)) != len(each):
        raise RuntimeError(message("spdiags", f"offsets {each} repeat", "each diagonal has its own"))
    height, width = shape
    places, values = [], []
    for row, offset in zip(rows, each):
        columns = ops.arange(max(0, offset), min(width, height + offset, rows.shape[1]))
        places.append(ops.stack([columns - offset, columns]))
        values.append(row[columns])
    made = ops.sparse_coo_tensor(ops.cat(places, 1), ops.cat(values), (height, width))
    return made if layout is None else made.to_sparse(layout=layout)  # type: ignore[attr-defined]


def as_sparse_gradcheck(gradcheck: Any) -> Any:
    """gradcheck for functions that take or give sparse tensors: it is given their values, and results with all elements.

    >>> check = torch.sparse.as_sparse_gradcheck(torch.autograd.gradcheck)
    >>> x = torch.eye(2, dtype=torch.float64).to_sparse().requires_grad_()
    >>> check(lambda x: (x * x).to_sparse_csr(), x)
    True
    """

    @functools.wraps(gradcheck)
    def check(func: Any, inputs: Any, **options: Any) -> Any:
        given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        values = [_values_of(x) for x in given]

        def of_values(*those: Any) -> Any:
            made = func(*(_with_values(x, v) for x, v in zip(given, those)))
            return tuple(map(_whole, made)) if isinstance(made, (tuple, list)) else _whole(made)

        return gradcheck(of_values, values, **options)

    return check


def _values_of(x: Any) -> Any:
    return x._parts[1].detach().requires_grad_(x.requires_grad) if isinstance(x, SparseTensor) else x


def _with_values(x: Any, values: Any) -> Any:
    return x._like(x._parts[0], values, x._parts[2]) if isinstance(x, SparseTensor) else values


def _whole(x: Any) -> Any:
    return x.to_dense() if isinstance(x, SparseTensor) else x


class check_sparse_tensor_invariants:
    """A block or switch; sparse tensors are always checked when they are made here."""

    def __init__(self, enable: bool = True):
        self.state = enable

    @staticmethod
    def is_enabled() -> bool:
        """True: they are always checked."""
        return True

    @staticmethod
    def enable() -> None:
        """They are checked already."""

    @staticmethod
    def disable() -> None:
        """They go on being checked."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: Any) -> None:
        return None


def _constructor(name: str, dtype: Any) -> Any:
    def make(*arguments: Any, device: Any = None) -> Tensor:
        if len(arguments) >= 2 and isinstance(arguments[0], Tensor):
            return ops.sparse_coo_tensor(*arguments, dtype=dtype, device=device)
        size = arguments[0] if len(arguments) == 1 and not isinstance(arguments[0], int) else arguments
        empty = ops.empty((0,), dtype=dtype)
        return ops.sparse_coo_tensor(ops.empty((len(size), 0), dtype=dtypes.int64), empty, tuple(size), device=device)

    def of(cls: type, *arguments: Any, **options: Any) -> Tensor:
        return make(*arguments, **options)

    text = f"A sparse tensor of {dtype}: {name}(indices, values, size) or {name}(*sizes). sparse_coo_tensor is its successor."
    return type(name, (SparseTensor,), {"__new__": of, "__doc__": text, "__module__": __name__})


FloatTensor = _constructor("FloatTensor", dtypes.float32)
DoubleTensor = _constructor("DoubleTensor", dtypes.float64)
HalfTensor = _constructor("HalfTensor", dtypes.float16)
BFloat16Tensor = _constructor("BFloat16Tensor", dtypes.bfloat16)
LongTensor = _constructor("LongTensor", dtypes.int64)
IntTensor = _constructor("IntTensor", dtypes.int32)
ShortTensor = _constructor("ShortTensor", dtypes.int16)
CharTensor = _constructor("CharTensor", dtypes.int8)
ByteTensor = _constructor("ByteTensor", dtypes.uint8)
__getattr__ = nearest(__name__)
