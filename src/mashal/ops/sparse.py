"""Sparse tensors in coordinates (COO): only some elements are kept, each with its indices.

A SparseTensor can be made, asked for its parts, coalesced, transposed, multiplied by a matrix, printed, and made dense
again; sparse_operations says what else is possible, and every other operation that it cannot: to_dense() leads to it. Gradients
are recorded on the values: a sparse tensor requires grad if its values do, and its gradient is sparse at the same places.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

from mashal.core import dtypes
from mashal.core.dtypes import get_default_dtype
from mashal.core.forms import form
from mashal.core.layouts import sparse_coo
from mashal.core.nested import tensor_from_data
from mashal.core.printing import text
from mashal.core.shapes import contiguous_strides
from mashal.core.tensor import Tensor, as_subclass, new_view
from mashal.errors import message
from mashal.later import later
from mashal.ops.copying import check_tensor, converted, zeros_of
from mashal.ops.counting import unique
from mashal.ops.define import spelled
from mashal.ops.interception import arm, original_of
from mashal.ops.masks import nonzero
from mashal.ops.parts import unbind
from mashal.ops.selecting import index_add
from mashal.ops.views import reshape

QUESTIONS = frozenset(
    """to_dense to_sparse sparse_coo_tensor is_tensor is_floating_point is_complex is_signed is_storage is_inference
    is_conj is_neg numel typename result_type is_same_size is_set_to""".split()
)
"""Functions that ask only what a tensor is, or are of sparse tensors anyway."""


_operations = later("mashal.ops.sparse_operations")
HANDLERS: dict[str, Callable[..., Any]] = {}
"""Function's name -> handler(name, *arguments): what operations make of sparse tensors (sparse_operations)."""
IN_PLACE = frozenset("grad_ requires_grad_ zero_ mul_ div_ add_ sub_ neg_ copy_ detach_ share_memory_".split())


class SparseTensor(Tensor):
    """Elements at some places of a larger shape: indices (sparse dimensions, n) and values (n, dense dimensions …).

    The same place may occur several times; its values add up. Not made by hand: see sparse_coo_tensor and Tensor.to_sparse.
    """

    _of_parts = True
    is_sparse = True  # type: ignore[assignment]
    layout = sparse_coo
    _parts: tuple[Tensor, Tensor, bool]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = getattr(func, "__name__", str(func))
        if name in HANDLERS:
            answer = HANDLERS[name](name, *args, **(kwargs or {}))
            if answer is not NotImplemented:
                return answer
        if name in QUESTIONS:
            return original_of(func)(*args, **(kwargs or {}))
        raise _cannot(name)

    def __getattribute__(self, name: str) -> Any:
        if name.endswith("_") and not name.startswith("_") and name not in IN_PLACE and name != "grad_":
            # changes in place have no way here (grad_ is where a tensor keeps its gradient)
            return partial(_refusing(name), self)
        return super().__getattribute__(name)

    def __repr__(self, *, tensor_contents: str | None = None) -> str:
        return text(self, get_default_dtype())

    @property
    def requires_grad(self) -> bool:  # type: ignore[override]
        """Whether gradients are computed for its values."""
        return self._parts[1].requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self._parts[1].requires_grad = wanted

    @property
    def grad(self) -> Tensor | None:  # type: ignore[override]
        """The gradient, at the places of the tensor."""
        indices, values, coalesced = self._parts
        return None if values.grad is None else self._like(indices, values.grad, coalesced)

    @grad.setter
    def grad(self, value: Any) -> None:
        self._parts[1].grad = None if value is None else value._parts[1]

    is_leaf = property(lambda self: self._parts[1].is_leaf, doc="Whether no recorded operation made its values.")  # type: ignore[assignment]
    grad_fn = property(lambda self: self._parts[1].grad_fn, doc="The node that made its values.")  # type: ignore[assignment]

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Sets requires_grad; returns the tensor."""
        self.requires_grad = requires_grad
        return self

    def _like(self, indices: Tensor, values: Tensor, coalesced: bool) -> SparseTensor:
        """A tensor of this size and layout with other parts."""
        return sparse_of(indices, values, tuple(self.form.shape), coalesced, type(self))

    def _indices(self) -> Tensor:
        """The places of the elements, a column each."""
        return self._parts[0]

    def _values(self) -> Tensor:
        """The elements."""
        return self._parts[1]

    def _named_parts(self) -> tuple[tuple[str, Tensor], ...]:
        """What is printed of it."""
        return ("indices", self._parts[0]), ("values", self._parts[1])

    def _nnz(self) -> int:
        """How many elements are kept."""
        return self._parts[0].form.shape[1]

    def is_coalesced(self) -> bool:
        """Whether every place occurs once, in order."""
        return self._parts[2]

    def indices(self) -> Tensor:
        """The places, a column each, once each and in order: of coalesced tensors only."""
        return self._coalesced("indices")._parts[0]

    def values(self) -> Tensor:
        """The elements, one a place: of coalesced tensors only."""
        return self._coalesced("values")._parts[1]

    def _coalesced(self, operation: str) -> SparseTensor:
        if not self._parts[2]:
            raise RuntimeError(
                message(operation, "Cannot get indices or values of an uncoalesced tensor", "call .coalesce() first")
            )
        return self

    def sparse_dim(self) -> int:
        """How many dimensions have indices."""
        return self._parts[0].form.shape[0]

    def dense_dim(self) -> int:
        """How many dimensions every single value has."""
        return self._parts[1].form.rank - 1

    def _with_layout(self, coordinates: Any) -> Any:
        """A tensor in coordinates, in this one's layout."""
        return coordinates

    def detach(self) -> Tensor:
        """The same elements without history."""
        indices, values, coalesced = self._parts
        return self._like(indices, values.detach(), coalesced)  # type: ignore[attr-defined]

    def clone(self, **options: Any) -> Tensor:
        """A copy."""
        indices, values, coalesced = self._parts
        return self._like(indices.clone(), values.clone(), coalesced)  # type: ignore[attr-defined]

    def to_sparse(self, sparse_dim: int | None = None, *, layout: Any = None, **options: Any) -> Tensor:
        """In a layout, by default in coordinates."""
        return _in_layout(self, layout or sparse_coo)

    def coalesce(self) -> SparseTensor:
        """Every place once, in order, with the sum of its values."""
        if self._parts[2]:
            return self
        _, values, _ = self._parts
        sizes = self.form.shape[: self.sparse_dim()]
        places, which = unique(self._flat(), return_inverse=True)
        summed = zeros_of(form(values.form.dtype, values.form.device, (places.form.numel, *values.form.shape[1:])))
        rows = [places // step % n for step, n in zip(contiguous_strides(sizes), sizes)]
        indices = tensor_from_data([], dtypes.int64).new_empty((len(sizes), places.form.numel))  # type: ignore[attr-defined]
        for row, found in zip(indices, rows):
            row.copy_(found)
        return sparse_of(indices, index_add(summed, 0, which, values), tuple(self.shape), True)

    def _flat(self) -> Tensor:
        """Every place as one number, counted through the sparse dimensions."""
        indices = self._parts[0]
        flat = zeros_of(form(dtypes.int64, indices.form.device, (self._nnz(),)))
        for row, step in zip(unbind(indices, 0), contiguous_strides(self.form.shape[: self.sparse_dim()])):
            flat = flat + row * step
        return flat

    def to_dense(self, dtype: Any = None, *, masked_grad: bool | None = None) -> Tensor:
        """All elements: 0 where none is kept."""
        values = self._parts[1]
        shape = tuple(self.shape)
        n = prod(shape[: self.sparse_dim()])
        whole = zeros_of(form(values.form.dtype, values.form.device, (n, *values.form.shape[1:])))
        dense = reshape(index_add(whole, 0, self._flat(), values), shape)
        return dense if dtype is None else converted(dense, dtype)


def _cannot(operation: str) -> NotImplementedError:
    return NotImplementedError(message(operation, "not supported for sparse tensors", "use .to_dense() first"))


def _refusing(name: str) -> Any:
    def refuse(self: Any, *arguments: Any, **options: Any) -> Any:
        raise _cannot(name)

    refuse.__name__ = name
    refuse.__doc__ = "Not for sparse tensors: NotImplementedError."
    return refuse


for _name in (  # what Tensor's other methods do with memory
    "item", "tolist", "numpy", "data_ptr", "stride", "storage", "untyped_storage", "storage_offset", "backward",
    "__bool__", "__float__", "__int__", "__index__", "__iter__", "__array__", "__dlpack__", "__contains__",
    "__deepcopy__", "__reduce_ex__", "__setitem__", "as_subclass",
    "__ifloordiv__", "__imod__", "__ipow__", "__iand__", "__ior__", "__ixor__",
):  # fmt: skip
    setattr(SparseTensor, _name, _refusing(_name))


def sparse_of(
    indices: Tensor, values: Tensor, shape: tuple[int, ...], coalesced: bool, kind: type[SparseTensor] | None = None
) -> Any:
    """A sparse tensor of these parts. Its own memory is one 0 that stands for all elements, and is never asked."""
    arm()  # from now on every function asks
    _operations.handles  # noqa: B018  what the answers are
    zero = zeros_of(form(values.form.dtype, values.form.device, ()))
    f = form(values.form.dtype, values.form.device, shape, (0,) * len(shape))
    made = as_subclass(kind or SparseTensor, new_view(zero, f, 0))
    made.base = None
    made._parts = indices, values, coalesced
    return made


@spelled(where=("method",))
def to_sparse(
    input: Tensor,
    sparse_dim: int | None = None,
    *,
    layout: Any = None,
    blocksize: Any = None,
    dense_dim: int | None = None,
) -> Tensor:
    """The elements that are not 0, with their places. sparse_dim: how many leading dimensions get indices, by default all.

    layout: sparse_coo (by default), sparse_csr or sparse_csc; dense_dim: with one of the latter, how many dimensions have no indices.

    >>> torch.tensor([0.0, 3.0]).to_sparse()
    tensor(indices=tensor([[1]]),
           values=tensor([3.]),
           size=(2,), nnz=1, layout=torch.sparse_coo)
    """
    rank = input.form.rank
    if layout not in (None, sparse_coo):
        return _in_layout(original_of(to_sparse)(input, None if dense_dim is None else rank - dense_dim), layout)
    leading = rank if sparse_dim is None else sparse_dim
    if not 0 < leading <= rank:
        raise RuntimeError(message("to_sparse", f"sparse_dim {leading} must be between 1 and the rank, {rank}"))
    there = input != 0  # type: ignore[operator]
    if leading < rank:
        there = there.any(tuple(range(leading, rank)))  # type: ignore[attr-defined]
    indices = nonzero(there).t().contiguous()
    return sparse_of(indices, input[tuple(unbind(indices, 0))], tuple(input.form.shape), True)


LAYOUTS: dict[Any, Callable[[Any], Any]] = {}
"""Layout -> what makes a sparse tensor one of that layout (compressed)."""


def _in_layout(x: Any, layout: Any) -> Any:
    if layout not in LAYOUTS:
        near = " and ".join(map(str, LAYOUTS))
        raise NotImplementedError(message("to_sparse", f"there are no tensors of layout {layout}", f"there are {near}"))
    return x if x.layout is layout else LAYOUTS[layout](x)


@spelled(where=("method",))
def to_dense(input: Tensor, dtype: Any = None, *, masked_grad: bool | None = None) -> Tensor:
    """Itself: all elements are kept already (dtype: converted)."""
    return input if dtype is None else converted(input, dtype)


@spelled(where=("torch",))
def sparse_coo_tensor(
    indices: Any,
    values: Any,
    size: Any = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
    is_coalesced: bool | None = None,
) -> Tensor:
    """A sparse tensor: values (n, …) at indices (sparse dimensions, n) of a tensor of a size, by default just large enough.

    >>> torch.sparse_coo_tensor([[0, 1], [1, 0]], [1.0, 2.0], (2, 2)).to_dense()
    tensor([[0., 1.],
            [2., 0.]])
    """
    operation = "sparse_coo_tensor"
    where = indices if isinstance(indices, Tensor) else tensor_from_data(indices)
    where = converted(where, dtypes.int64)
    elements = values if isinstance(values, Tensor) else tensor_from_data(values)
    check_tensor(operation, elements, "values", 2)
    if dtype is not None:
        elements = converted(elements, dtype)
    if device is not None:
        where, elements = where.to(device), elements.to(device)  # type: ignore[attr-defined]
    if where.form.rank != 2 or not elements.form.rank or where.form.shape[1] != elements.form.shape[0]:
        raise RuntimeError(
            message(
                operation,
                f"indices {tuple(where.shape)} must be (sparse dimensions, n) for values {tuple(elements.shape)} of n elements",
            )
        )
    shape = _size(operation, where, elements, size)
    if requires_grad:
        elements = elements.detach().requires_grad_()  # type: ignore[attr-defined]
    return sparse_of(where, elements, shape, bool(is_coalesced))


def _size(operation: str, where: Tensor, elements: Tensor, size: Any) -> tuple[int, ...]:
    """The whole tensor's shape, the indices checked against it."""
    dense, sparse = tuple(elements.form.shape[1:]), where.form.shape[0]
    if where.form.numel:
        highest, lowest = where.amax(1).tolist(), where.amin(1).tolist()  # type: ignore[attr-defined]
    elif size is None:
        raise RuntimeError(message(operation, "no indices tell how large it is", "give size"))
    else:
        highest, lowest = [-1] * sparse, [0] * sparse
    shape = (*[n + 1 for n in highest], *dense) if size is None else tuple([int(n) for n in size])
    if len(shape) != sparse + len(dense) or shape[sparse:] != dense:
        raise RuntimeError(
            message(
                operation, f"size {shape} must have {sparse} sparse dimensions, followed by those of a value, {dense}"
            )
        )
    for d, (low, high, n) in enumerate(zip(lowest, highest, shape)):
        if low < 0:
            raise RuntimeError(message(operation, f"found negative index {low} for dim {d}"))
        if high >= n:
            raise RuntimeError(
                message(
                    operation, f"size is inconsistent with indices: for dim {d}, size is {n} but found index {high}"
                )
            )
    return shape
