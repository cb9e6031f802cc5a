"""Views of parts: one index, a range, pieces, diagonals, windows.

`select` and `slice_op` are also what basic indexing (ops.indexing) is made of. A part's gradient is zeros with the gradient
where the part was (`View.put_back`); where parts overlap it is added up (`_added_back`).
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index as as_index
from typing import Any

from mashal.core.forms import Form, form
from mashal.core.shapes import wrap_dim
from mashal.core.tape import Node, mode
from mashal.core.tensor import Tensor, empty, new_view
from mashal.errors import message
from mashal.machine.memory import bytes_of
from mashal.ops.broadcast import sum_to
from mashal.ops.copying import clone, copy_into, zeros_of
from mashal.ops.define import DEFINITIONS, Definition, define, spelled, write_out
from mashal.ops.viewing import View, Where, in_place_door, view, views


# ---------------------------------------------------------------- one index
class _Select(View):
    """select: kept without the index, lest the table grow with every one."""

    def find(self, of: Form, arguments: tuple, options: dict | None = None) -> tuple[Any, tuple]:
        dim, i = self.bound(arguments, options)
        key = of, dim
        row = self.known.get(key) or self.known.setdefault(key, _row(of, dim))
        if len(self.known) > 4096:
            self.known.clear()
        i = as_index(i)
        made, step, n = row
        if not -n <= i < n:
            raise IndexError(f"select(): index {i} out of range for tensor of size {list(of.shape)} at dimension {dim}")
        return (made, (i + n if i < 0 else i) * step), (dim, i)


def _row(f: Form, dim: int) -> tuple[Form, int, int]:
    """What is left of a form when an index is chosen in a dimension, that dimension's stride and size."""
    if not f.rank:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d = wrap_dim("select", dim, f.rank)
    left = f.viewed(tuple(f.shape[:d]) + tuple(f.shape[d + 1 :]), f.strides[:d] + f.strides[d + 1 :])
    return left, f.strides[d], f.shape[d]


def _select_rule(f: Form, dim: int, index: int) -> Where: ...  # type: ignore[empty-body]


_select = _Select(_select_rule, "SelectBackward0", loose=True)
_select.name = "select"
SelectBackward0 = _select.node


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The elements at one index of a dimension, without that dimension; a view.

    >>> torch.select(torch.tensor([[1, 2], [3, 4]]), 0, 1)
    tensor([3, 4])
    """
    (made, shift), arguments = _select.find(input.form, (dim, index))
    y = new_view(input, made, input.offset + shift)
    if input.node is not None and mode.recording:
        y.node = SelectBackward0(((input.node, input.output),), (input.form, arguments))
    return y


_select.call = select
select.backward, select.operation = None, _select  # type: ignore[attr-defined]
define(Definition("select", select, ("torch", "method"), (), operation=_select))


# ---------------------------------------------------------------- ranges
@view("SliceBackward0", where=())
def slice_op(f: Form, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Where:
    """The elements start, start + step, … before end of one dimension."""
    d = wrap_dim("slice", dim, f.rank)
    if step <= 0:
        raise ValueError("slice step must be positive")
    first, last, step = slice(start, end, step).indices(f.shape[d])
    count = max(0, -((first - last) // step))
    shape = (*f.shape[:d], count, *f.shape[d + 1 :])
    strides = (*f.strides[:d], f.strides[d] * step, *f.strides[d + 1 :])
    return f.viewed(shape, strides), first * f.strides[d] if count else min(first, f.shape[d]) * f.strides[d]


@spelled()
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """length elements from start on, of one dimension; a view."""
    f = input.form
    if not f.rank:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    n = f.shape[wrap_dim("narrow", dim, f.rank)]
    if length < 0:
        raise RuntimeError(message("narrow", f"length {length} must be non-negative"))
    if isinstance(start, Tensor) and (start.form.rank or start.form.dtype.kind not in "iu"):
        raise RuntimeError(
            message("narrow", f"start must be a 0-d integral tensor, got {tuple(start.shape)} of {start.dtype}")
        )
    first = as_index(start)
    if not -n <= first <= n:
        raise IndexError(message("narrow", f"start {first} is outside [-{n}, {n}], dimension {dim} has size {n}"))
    first += n if first < 0 else 0
    if first + length > n:
        raise RuntimeError(message("narrow", f"start ({first}) + length ({length}) exceeds dimension size ({n})"))
    return slice_op(input, dim, first, first + length)


@spelled()
def narrow_copy(input: Tensor, dim: int, start: int, length: int, *, out: Tensor | None = None) -> Tensor:
    """narrow, copied."""
    if isinstance(dim, int) and dim >= max(input.form.rank, 1):
        raise RuntimeError(message("narrow_copy", f"dimension {dim} is outside input of shape {tuple(input.shape)}"))
    result = clone(narrow(input, dim, start, length), memory_format="contiguous_format")
    return result if out is None else write_out("narrow_copy", out, result)


# ---------------------------------------------------------------- pieces
def _pieces(f: Form, dim: int, sizes: Sequence[int]) -> tuple[Where, ...]:
    d = wrap_dim("split", dim, f.rank)
    made, at = [], 0
    for n in sizes:
        shape = (*f.shape[:d], n, *f.shape[d + 1 :])
        made.append((f.viewed(shape, f.strides), at * f.strides[d]))
        at += n
    return tuple(made)


@views("SplitBackward0", where=())
def _split(f: Form, split_size: int, dim: int = 0) -> tuple[Where, ...]:
    return _pieces(f, dim, _sizes(f, split_size, dim))


def _sizes(f: Form, split_size: int, dim: int) -> list[int]:
    if not f.rank:
        raise RuntimeError(message("split", "expects at least a 1-dimensional tensor"))
    n = f.shape[wrap_dim("split", dim, f.rank)]
    if split_size < 0 or (split_size == 0 and n):
        raise RuntimeError(message("split", f"split_size {split_size} must be positive for a dimension of size {n}"))
    if not n:
        return [0]
    return [min(split_size, n - at) for at in range(0, n, split_size)]


@views("SplitWithSizesBackward0", name="split_with_sizes")
def split_with_sizes(f: Form, split_sizes: Sequence[int], dim: int = 0) -> tuple[Where, ...]:
    """Pieces of these sizes along dim, which add up to its size."""
    if not f.rank:
        raise RuntimeError(message("split_with_sizes", "expects at least a 1-dimensional tensor"))
    n = f.shape[wrap_dim("split_with_sizes", dim, f.rank)]
    if any(s < 0 for s in split_sizes) or sum(split_sizes) != n:
        raise RuntimeError(
            message(
                "split_with_sizes",
                f"split_sizes {list(split_sizes)} sum to {sum(split_sizes)}",
                f"dimension {dim} has size {n}",
            )
        )
    return _pieces(f, dim, split_sizes)


@spelled()
def split(tensor: Tensor, split_size_or_sections: Any = None, dim: int = 0, **options: Any) -> tuple[Tensor, ...]:
    """Pieces along dim: all of one size (the last may be smaller), or of given sizes; views.

    >>> torch.split(torch.arange(5), 2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    sizes = options.get("split_size", split_size_or_sections)
    if isinstance(sizes, (tuple, list)):
        return split_with_sizes(tensor, tuple(sizes), dim)
    if not hasattr(sizes, "__index__"):
        raise TypeError(f"split(): argument 'split_size' must be int or a list of ints, not {type(sizes).__name__}")
    return _split(tensor, sizes, dim)


def _chunk_size(name: str, f: Form, chunks: int, dim: int) -> tuple[int, int]:
    if not f.rank:
        raise RuntimeError(message(name, "expects at least a 1-dimensional tensor"))
    if chunks <= 0:
        raise RuntimeError(message(name, f"chunks must be greater than 0, got {chunks}"))
    n = f.shape[wrap_dim(name, dim, f.rank)]
    return n, -(-n // chunks)


@spelled(aliases=("unsafe_chunk",))
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of the same size along dim (the last may be smaller); views."""
    n, size = _chunk_size("chunk", input.form, chunks, dim)
    if not n:
        return split_with_sizes(input, (0,) * chunks, dim)
    return _split(input, size, dim)


@spelled()
def unsafe_split(input: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """split."""
    return _split(input, split_size, dim)


@spelled()
def unsafe_split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """split_with_sizes."""
    return split_with_sizes(input, tuple(split_sizes), dim)


@spelled()
def tensor_split(input: Tensor, indices_or_sections: Any = None, dim: int = 0, **options: Any) -> tuple[Tensor, ...]:
    """Pieces along dim: so many of nearly equal size, or cut at given indices; views."""
    cuts = next(
        (options[n] for n in ("indices", "sections", "tensor_indices_or_sections") if n in options), indices_or_sections
    )
    if not input.form.rank:
        raise RuntimeError(message("tensor_split", "expects at least a 1-dimensional tensor"))
    if isinstance(cuts, Tensor):
        if cuts.form.rank > 1 or cuts.form.dtype.name != "int64":
            raise RuntimeError(
                message(
                    "tensor_split",
                    f"a tensor of indices is 0-d or 1-d and int64, got {tuple(cuts.shape)} of {cuts.dtype}",
                )
            )
        cuts = cuts.tolist()
    n = input.form.shape[wrap_dim("tensor_split", dim, input.form.rank)]
    if isinstance(cuts, (tuple, list)):
        edges = [None, *cuts]
        return tuple([slice_op(input, dim, a, b) for a, b in zip(edges, [*cuts, None])])
    if cuts <= 0:
        raise RuntimeError(message("tensor_split", f"number of sections must be larger than 0, got {cuts}"))
    made, at = [], 0
    for i in range(cuts):
        size = n // cuts + (i < n % cuts)
        made.append(slice_op(input, dim, at, at + size))
        at += size
    return tuple(made)


def _split_at(name: str, x: Tensor, cuts: Any, dim: int, least: int) -> tuple[Tensor, ...]:
    if x.form.rank < least:
        raise RuntimeError(
            f"torch.{name} requires a tensor with at least {least} dimension, but got a tensor with {x.form.rank} dimensions!"
        )
    if isinstance(cuts, int):
        n = x.form.shape[dim]
        if cuts <= 0 or n % cuts:
            raise RuntimeError(f"torch.{name} split along dimension {dim}: its size {n} is not divisible by {cuts}")
    return tensor_split(x, cuts, dim)


@spelled()
def hsplit(input: Tensor, *sections: Any, **options: Any) -> tuple[Tensor, ...]:
    """Pieces along dim 1 (of vectors: 0)."""
    cuts = _cuts(sections, options)
    return _split_at("hsplit", input, cuts, 0 if input.form.rank == 1 else 1, 1)


@spelled()
def vsplit(input: Tensor, *sections: Any, **options: Any) -> tuple[Tensor, ...]:
    """Pieces along dim 0."""
    return _split_at("vsplit", input, _cuts(sections, options), 0, 2)


@spelled()
def dsplit(input: Tensor, *sections: Any, **options: Any) -> tuple[Tensor, ...]:
    """Pieces along dim 2."""
    return _split_at("dsplit", input, _cuts(sections, options), 2, 3)


def _cuts(sections: tuple, options: dict) -> Any:
    if options:
        return options.get("indices", options.get("sections", options.get("indices_or_sections")))
    return sections[0] if len(sections) == 1 else sections


@views("UnbindBackward0")
def unbind(f: Form, dim: int = 0) -> tuple[Where, ...]:
    """All indices of a dimension, each as a tensor without that dimension; views."""
    if not f.rank:
        raise IndexError("unbind: Dimension specified as 0 but tensor has no dimensions")
    d = wrap_dim("unbind", dim, f.rank)
    left, step, n = _row(f, d)
    return tuple([(left, i * step) for i in range(n)])


def iterated(input: Tensor) -> Any:
    """Iteration over dimension 0."""
    if not input.form.rank:
        raise TypeError("iteration over a 0-d tensor")
    return iter(unbind(input, 0))


# ---------------------------------------------------------------- diagonals
@view("DiagonalBackward0")
def diagonal(f: Form, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Where:
    """The diagonal of two dimensions as the last one; offset > 0: above the main one. A view.

    >>> torch.diagonal(torch.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    a, b = wrap_dim("diagonal", dim1, f.rank), wrap_dim("diagonal", dim2, f.rank)
    if a == b or f.rank < 2:
        raise RuntimeError(message("diagonal", f"diagonal dimensions cannot be identical {dim1}, {dim2}"))
    n = min(f.shape[a], f.shape[b] - offset) if offset >= 0 else min(f.shape[a] + offset, f.shape[b])
    shift = (offset * f.strides[b] if offset >= 0 else -offset * f.strides[a]) if n > 0 else 0
    kept = [d for d in range(f.rank) if d not in (a, b)]
    shape = (*(f.shape[d] for d in kept), max(n, 0))
    return f.viewed(shape, (*(f.strides[d] for d in kept), f.strides[a] + f.strides[b])), shift


# ---------------------------------------------------------------- any strides
@view("AsStridedBackward0", where=())
def _as_strided(f: Form, size: tuple, stride: tuple, shift: int) -> Where:
    return f.viewed(tuple(size), tuple(stride)), shift


@spelled(where=("torch", "method", "in_place"))
def as_strided(input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """The storage read with any shape and strides, from any element on; a view. RuntimeError if that leaves the storage."""
    return _as_strided(input, *_strided_arguments(input, size, stride, storage_offset))


def _strided_arguments(x: Tensor, size: Any, stride: Any, offset: int | None) -> tuple[tuple, tuple, int]:
    size, stride = tuple([as_index(n) for n in size]), tuple([as_index(n) for n in stride])
    if len(size) != len(stride):
        raise RuntimeError(message("as_strided", f"mismatch in length of strides {stride} and shape {size}"))
    if any(s < 0 for s in stride):
        raise RuntimeError(
            message("as_strided", f"Negative strides are not supported at the moment, got strides: {list(stride)}")
        )
    if any(n < 0 for n in size):
        raise RuntimeError(message("as_strided", f"sizes {size} must not be negative"))
    at = x.offset if offset is None else offset
    if at < 0:
        raise RuntimeError(message("as_strided", f"storage_offset {at} must not be negative"))
    d = x.form.dtype
    needed = at + form(d, x.form.device, size, stride).extent
    if x.capsule is not None and 0 not in size and needed * d.itemsize > bytes_of(x.capsule):
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {at}, and itemsize {d.itemsize} need a storage of "
            f"{needed * d.itemsize} bytes, which is out of bounds for storage of size {bytes_of(x.capsule)}"
        )
    return size, stride, at - x.offset


def as_strided_(input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """as_strided, of the tensor itself."""
    return in_place_door(_as_strided.operation)(input, *_strided_arguments(input, size, stride, storage_offset))


DEFINITIONS["as_strided"].in_place = as_strided_


@_as_strided.backward
def _(g: Tensor, f: Form, size: tuple, stride: tuple, shift: int) -> Tensor:
    once = tuple([1 if s == 0 else n for n, s in zip(size, stride)])  # expanded dimensions are the same elements again
    if once != tuple(size):
        g, size = sum_to(g, once), once
    made = f.viewed(size, stride)
    if not _apart(made) or not f.dense:
        return added_back.function(g, f, made, shift)
    whole = zeros_of(form(g.form.dtype, f.device, f.shape, f.strides))
    if made.numel:
        copy_into(new_view(whole, made, shift), g)
    if g.node is not None and mode.recording:
        whole.node = AsStridedBackwardBackward0(((g.node, g.output),), (whole.form, size, stride, shift))
    return whole


class AsStridedBackwardBackward0(Node):
    """Elements were put into zeros at their place in memory. saved: the form of the zeros, the view's arguments."""

    __slots__ = ()
    frees = False

    def backward(self, *gradients: Any) -> tuple:
        of, size, stride, shift = self.saved
        (g,) = gradients
        laid = (
            g if g.form is of else empty(of).copy_(g)
        )  # strides are of memory: the gradient has to lie as the zeros did
        return (_as_strided.operation.call(laid, size, stride, shift),)


@view("UnfoldBackward0", where=("method",))
def unfold(f: Form, dimension: int, size: int, step: int) -> Where:
    """Windows of `size` elements, `step` apart, along a dimension; the windows' elements are a new last dimension. A view."""
    d = wrap_dim("unfold", dimension, f.rank)
    n, s = (f.shape[d], f.strides[d]) if f.rank else (1, 1)
    if size < 0 or size > n:
        raise RuntimeError(
            message("unfold", f"maximum size for tensor at dimension {dimension} is {n} but size is {size}")
        )
    if step <= 0:
        raise RuntimeError(message("unfold", f"step is {step} but must be > 0"))
    if not f.rank:
        return f.viewed((size,), (1,)), 0
    shape = (*f.shape[:d], (n - size) // step + 1, *f.shape[d + 1 :], size)
    return f.viewed(shape, (*f.strides[:d], s * step, *f.strides[d + 1 :], s)), 0


@unfold.backward
def _(g: Tensor, f: Form, dimension: int, size: int, step: int) -> Tensor:
    return _added_back(g, f, unfold.operation, (dimension, size, step))


def _added_back(g: Tensor, f: Form, op: View, arguments: tuple) -> Tensor:
    """Zeros like the operand, with g added where the view's elements were; those that several share get the sum."""
    (made, shift), _ = op.find(f, arguments)
    if _apart(made) and f.contiguous and 0 <= shift <= f.extent - made.extent:
        return op.put_back(g, f, *arguments)
    return added_back.function(g, f, made, shift)


def _apart(f: Form) -> bool:
    """Whether no two elements of a form surely share memory."""
    reach = 0
    for s, n in sorted((s, n) for s, n in zip(f.strides, f.shape) if n > 1):
        if s <= reach:
            return False
        reach += s * (n - 1)
    return True


class _Late:
    """Scatter-add over storage offsets, which ops.indexing gives (it stands on this file)."""

    function: Any = None


added_back = _Late()
