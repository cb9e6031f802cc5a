"""Views of the whole: other shapes, other orders of dimensions, dimensions of size 1, expansion.

What takes a part (select, narrow, split, diagonal …) is in ops.parts. Shapes in comments are (…) of the operand.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import index as as_index
from typing import Any

from mashal.core import tape
from mashal.core.dtypes import dtype as DType
from mashal.core.forms import Form, form
from mashal.core.shapes import Size, broadcast, infer_size, view_strides, wrap_dim, wrap_dims
from mashal.core.tape import mode
from mashal.core.tensor import Tensor, new_view
from mashal.errors import message
from mashal.ops.broadcast import sum_to
from mashal.ops.copying import check_tensor, clone, copied_as
from mashal.ops.define import DEFINITIONS, PLAIN, spelled
from mashal.ops.remembered import door
from mashal.ops.viewing import Where, view

IN_PLACE = ("method", "in_place")
EVERYWHERE = ("torch", "method", "in_place")


def several(numbers: tuple) -> tuple:
    """Sizes or dims given one by one or as one sequence."""
    return tuple(numbers[0]) if len(numbers) == 1 and isinstance(numbers[0], (tuple, list)) else numbers


def check_sizes(name: str, sizes: tuple, argument: str = "size") -> tuple[int, ...]:
    """Sizes as ints; TypeError if they are none."""
    try:
        return tuple([as_index(n) for n in sizes])
    except TypeError:
        wrong = next(n for n in sizes if not hasattr(n, "__index__"))
        raise TypeError(f"{name}(): argument '{argument}' must be tuple of ints, not {type(wrong).__name__}") from None


# ---------------------------------------------------------------- other shapes
@view("ViewBackward0", where=(), name="view")
def _view(f: Form, *size: Any) -> Where:
    shape = infer_size("view", check_sizes("view", several(size)), f.numel)
    if f.contiguous:
        return form(f.dtype, f.device, shape), 0
    strides = view_strides(f.shape, f.strides, shape)
    if strides is None:
        raise RuntimeError(
            message(
                "view",
                f"shape {tuple(f.shape)} with strides {f.strides} cannot be read as {shape} without a copy",
                "use reshape",
            )
        )
    return f.viewed(shape, strides), 0


@_view.backward
def _(g: Tensor, f: Form, *size: Any) -> Tensor:
    return reshape(g, f.shape)


@view("ReshapeAliasBackward0", where=())
def _reshape_alias(f: Form, shape: tuple[int, ...]) -> Where:
    strides = view_strides(f.shape, f.strides, shape)
    return f.viewed(shape, strides), 0  # type: ignore[arg-type]


@_reshape_alias.backward
def _(g: Tensor, f: Form, shape: tuple[int, ...]) -> Tensor:
    return reshape(g, f.shape)


@view("UnsafeViewBackward0", where=())
def _unsafe_view(f: Form, shape: tuple[int, ...]) -> Where:
    return form(f.dtype, f.device, shape), 0


@_unsafe_view.backward
def _(g: Tensor, f: Form, shape: tuple[int, ...]) -> Tensor:
    return reshape(g, f.shape)


@spelled(where=("method",))
def view_op(input: Tensor, *shape: Any, **options: Any) -> Tensor:
    """The same elements with another shape (one size may be -1), or the same bytes as another dtype; never copies.

    RuntimeError if the shape needs a copy: reshape makes one.
    """
    if shape and isinstance(shape[0], DType) or "dtype" in options:
        return view_dtype(input, options["dtype"] if "dtype" in options else shape[0])
    return _view(input, *shape, **options)


@spelled()
def reshape(input: Tensor, *shape: Any, **options: Any) -> Tensor:
    """The same elements, in order, with another shape; one size may be -1. A view if possible, else a copy.

    >>> torch.reshape(torch.arange(4), (2, 2))
    tensor([[0, 1],
            [2, 3]])
    """
    f = input.form
    if f.contiguous:
        return _view(input, *shape, **({"size": options["shape"]} if options else options))
    sizes = check_sizes("reshape", several(shape or (options["shape"],)), "shape")
    wanted = infer_size("reshape", sizes, f.numel)
    if view_strides(f.shape, f.strides, wanted) is not None:
        return _reshape_alias(input, wanted)
    y = _unsafe_view(clone(input, memory_format="contiguous_format"), wanted)
    y.base = None
    return y


@spelled(where=("method",))
def view_as(input: Tensor, other: Tensor) -> Tensor:
    """input with other's shape, without a copy."""
    return _view(input, other.form.shape)


@spelled(where=("method",))
def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """input with other's shape."""
    return reshape(input, other.form.shape)


@spelled()
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions start_dim to end_dim as one.

    >>> torch.flatten(torch.zeros(2, 3, 4), 1).shape
    torch.Size([2, 12])
    """
    return _flattened.find(input, start_dim, end_dim)


@door(1)
def _flattened(x: Any, start_dim: int, end_dim: int) -> Any:
    check_tensor("flatten", x)
    shape = tuple(x.form.shape)
    start, end = (wrap_dim("flatten", d, len(shape)) for d in (start_dim, end_dim))
    if start > end:
        raise RuntimeError(message("flatten", f"start_dim {start_dim} comes after end_dim {end_dim}"))
    if shape and start == end:
        return x
    wanted = (*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :]) if shape else (1,)
    if not x.form.contiguous or type(x) not in PLAIN:
        return reshape(x, wanted)
    return _view.operation.recorded_call(x.form, (wanted,))  # type: ignore[attr-defined]


@spelled()
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Dimension dim as several of these sizes (one may be -1)."""
    shape = input.form.shape
    d = wrap_dim("unflatten", dim, len(shape))
    sizes = check_sizes("unflatten", tuple(sizes) if isinstance(sizes, (tuple, list)) else (sizes,), "sizes")
    if not sizes:
        raise RuntimeError(message("unflatten", "sizes must be non-empty"))
    known = prod(n for n in sizes if n != -1)
    if sizes.count(-1) > 1 or (known != shape[d] if -1 not in sizes else known == 0 or shape[d] % known):
        raise RuntimeError(
            message("unflatten", f"sizes {list(sizes)} don't multiply up to the size of dim {dim} ({shape[d]})")
        )
    sizes = tuple([shape[d] // known if n == -1 else n for n in sizes])
    return reshape(input, (*shape[:d], *sizes, *shape[d + 1 :]))


@spelled()
def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension; a view if they lie one behind the other."""
    n = input.form.numel
    if input.form.contiguous or not n:
        return reshape(input, (n,))
    return reshape(input.contiguous(), (n,))  # type: ignore[attr-defined]


# ---------------------------------------------------------------- orders of dimensions
@view("PermuteBackward0", name="permute")
def permute(f: Form, *dims: Any) -> Where:
    """The dimensions in another order: dimension i of the result is dims[i] of the operand.

    >>> torch.permute(torch.zeros(2, 3, 4), (2, 0, 1)).shape
    torch.Size([4, 2, 3])
    """
    dims = several(dims)
    if len(dims) != f.rank:
        raise RuntimeError(
            message("permute", f"dims {tuple(dims)} are {len(dims)}, the tensor has {f.rank} dimensions")
        )
    order = wrap_dims("permute", dims, f.rank)
    return f.viewed(tuple([f.shape[d] for d in order]), tuple([f.strides[d] for d in order])), 0


@permute.backward
def _(g: Tensor, f: Form, *dims: Any) -> Tensor:
    order = wrap_dims("permute", several(dims), f.rank)
    return permute(g, tuple(sorted(range(f.rank), key=order.__getitem__)))


def _swapped(name: str, f: Form, dim0: int, dim1: int) -> Form:
    if not f.rank and dim0 in (0, -1) and dim1 in (0, -1):
        return f
    a, b = wrap_dim(name, dim0, f.rank), wrap_dim(name, dim1, f.rank)
    shape, strides = list(f.shape), list(f.strides)
    shape[a], shape[b] = shape[b], shape[a]
    strides[a], strides[b] = strides[b], strides[a]
    return f.viewed(tuple(shape), tuple(strides))


@view("TransposeBackward0", where=EVERYWHERE)
def transpose(f: Form, dim0: int, dim1: int) -> Where:
    """Two dimensions exchanged."""
    return _swapped("transpose", f, dim0, dim1), 0


@transpose.backward
def _(g: Tensor, f: Form, dim0: int, dim1: int) -> Tensor:
    return transpose(g, dim0, dim1)


@view("TransposeBackward0", where=EVERYWHERE)
def swapaxes(f: Form, axis0: int, axis1: int) -> Where:
    """Two dimensions exchanged; transpose by NumPy's name."""
    return _swapped("swapaxes", f, axis0, axis1), 0


@view("TransposeBackward0", where=EVERYWHERE)
def swapdims(f: Form, dim0: int, dim1: int) -> Where:
    """Two dimensions exchanged; another name of transpose."""
    return _swapped("swapdims", f, dim0, dim1), 0


@swapaxes.backward
@swapdims.backward
def _(g: Tensor, f: Form, a: int, b: int) -> Tensor:
    return transpose(g, a, b)


@view("TBackward0", where=EVERYWHERE)
def t(f: Form) -> Where:
    """A matrix transposed; vectors and 0-d tensors as they are."""
    if f.rank > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {f.rank}D")
    return f.viewed(tuple(reversed(f.shape)), tuple(reversed(f.strides))), 0


@t.backward
def _(g: Tensor, f: Form) -> Tensor:
    return t(g)


@spelled(where=("property",), name="T")
def T(input: Tensor) -> Tensor:
    """The dimensions in reverse order."""
    return permute(input, tuple(range(input.form.rank - 1, -1, -1)))


@spelled(where=("property",), name="mT")
def mT(input: Tensor) -> Tensor:
    """The last two dimensions exchanged: matrices transposed."""
    if input.form.rank < 2:
        raise RuntimeError(
            f"tensor.mT is only supported on matrices or batches of matrices. Got {input.form.rank}-D tensor."
        )
    return transpose(input, -2, -1)


@view("PermuteBackward0", name="movedim", aliases=("moveaxis",))
def movedim(f: Form, source: Any, destination: Any) -> Where:
    """Dimensions moved from source to destination (ints or tuples of the same length); the others keep their order."""
    order = _moved_order(f, source, destination)
    return f.viewed(tuple([f.shape[d] for d in order]), tuple([f.strides[d] for d in order])), 0


def _moved_order(f: Form, source: Any, destination: Any) -> list[int]:
    listed = [tuple(d) if isinstance(d, tuple) else (d,) for d in (source, destination)]
    if len(listed[0]) != len(listed[1]):
        raise RuntimeError(message("movedim", f"source {source} and destination {destination} differ in length"))
    come, go = (wrap_dims("movedim", dims, f.rank) for dims in listed)
    rest = iter([d for d in range(f.rank) if d not in come])
    places = dict(zip(go, come))
    return [places[d] if d in places else next(rest) for d in range(f.rank)]


@movedim.backward
def _(g: Tensor, f: Form, source: Any, destination: Any) -> Tensor:
    order = _moved_order(f, source, destination)
    return permute(g, tuple(sorted(range(f.rank), key=order.__getitem__)))


# ---------------------------------------------------------------- dimensions of size 1
@view("SqueezeBackward0", where=())
def _squeeze_all(f: Form) -> Where:
    return _without(f, [d for d in range(f.rank) if f.shape[d] == 1]), 0


@view("SqueezeBackward1", where=())
def _squeeze_one(f: Form, dim: int) -> Where:
    d = wrap_dim("squeeze", dim, f.rank)
    return _without(f, [d] if f.rank and f.shape[d] == 1 else []), 0


@view("SqueezeBackward2", where=())
def _squeeze_some(f: Form, dims: tuple[int, ...]) -> Where:
    wrapped = wrap_dims("squeeze", dims, f.rank)
    return _without(f, [d for d in wrapped if f.rank and f.shape[d] == 1]), 0


def _without(f: Form, dims: Sequence[int]) -> Form:
    kept = [d for d in range(f.rank) if d not in dims]
    return f.viewed(tuple([f.shape[d] for d in kept]), tuple([f.strides[d] for d in kept]))


@_squeeze_all.backward
@_squeeze_one.backward
@_squeeze_some.backward
def _(g: Tensor, f: Form, *dims: Any) -> Tensor:
    return reshape(g, f.shape)


def squeeze_(input: Tensor, dim: Any = None) -> Tensor:
    """squeeze, of the tensor itself."""
    return _squeezer(dim).in_place(input, *(() if dim is None else (dim,)))


@spelled(where=EVERYWHERE)
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without the dimensions of size 1: all of them, or those of `dim` (an int or several).

    >>> torch.squeeze(torch.zeros(1, 2, 1)).shape
    torch.Size([2])
    """
    if dim is None:
        return _squeeze_all(input)
    return _squeezer(dim)(input, dim)


DEFINITIONS["squeeze"].in_place = squeeze_


def _squeezer(dim: Any) -> Any:
    return _squeeze_all if dim is None else _squeeze_some if isinstance(dim, (tuple, list)) else _squeeze_one


@view("UnsqueezeBackward0", where=EVERYWHERE)
def unsqueeze(f: Form, dim: int) -> Where:
    """With a new dimension of size 1 at place dim."""
    d = wrap_dim("unsqueeze", dim, f.rank + 1)
    step = f.shape[d] * f.strides[d] if d < f.rank else 1
    return f.viewed((*f.shape[:d], 1, *f.shape[d:]), (*f.strides[:d], step, *f.strides[d:])), 0


@unsqueeze.backward
def _(g: Tensor, f: Form, dim: int) -> Tensor:
    return squeeze(g, wrap_dim("unsqueeze", dim, f.rank + 1))


# ---------------------------------------------------------------- expansion
@view("ExpandBackward0", where=("method",))
def expand(f: Form, *size: Any) -> Where:
    """Dimensions of size 1 read as larger ones, new ones in front; -1 keeps a size. No memory is used: elements repeat."""
    return _expanded("expand", f, several(size)), 0


def _expanded(name: str, f: Form, size: tuple) -> Form:
    sizes = check_sizes(name, size)
    lead = len(sizes) - f.rank
    if lead < 0:
        raise RuntimeError(
            message(name, f"sizes {list(sizes)} are fewer than the {f.rank} dimensions of {tuple(f.shape)}")
        )
    shape, strides = list(sizes), [0] * lead + list(f.strides)
    for d, n in enumerate(sizes):
        own = f.shape[d - lead] if d >= lead else None
        if n == -1 and own is not None:
            shape[d] = own
        elif n < 0:
            where = "in a leading, non-existing dimension" if own is None else "for a size"
            raise RuntimeError(message(name, f"the size {n} of dimension {d} isn't allowed {where}"))
        elif own is not None and own != n:
            if own != 1:
                raise RuntimeError(
                    message(
                        name,
                        f"size {n} must match the existing size {own} at dimension {d}; {list(f.shape)} does not expand to {list(sizes)}",
                    )
                )
            strides[d] = 0
    return f.viewed(tuple(shape), tuple(strides))


@expand.backward
def _(g: Tensor, f: Form, *size: Any) -> Tensor:
    return sum_to(g, f.shape)


@spelled(where=("method",))
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """input expanded to other's shape."""
    return expand(input, other.form.shape)


@spelled()
def broadcast_to(input: Tensor, *size: Any, **options: Any) -> Tensor:
    """input expanded to a shape."""
    return expand(input, several(size or (options["size"],)))


@spelled(where=("torch",))
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """All tensors, expanded to their common shape."""
    given = several(tensors)
    shape = broadcast("broadcast_tensors", *(x.form.shape for x in given)) if given else ()
    return tuple([x if x.form.shape == shape else expand(x, shape) for x in given])


@spelled(where=("torch",))
def broadcast_shapes(*shapes: Any) -> Any:
    """The shape that shapes broadcast to."""
    listed = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    return Size(broadcast("broadcast_shapes", *listed) if listed else ())


# ---------------------------------------------------------------- at least so many dimensions
def _each(tensors: tuple, one: Any) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return one(tensors[0])
    return tuple([one(x) for x in several(tensors)])


@spelled(where=("torch",))
def atleast_1d(*tensors: Any) -> Any:
    """0-d tensors with one dimension, others as they are; several tensors give a tuple."""
    return _each(tensors, lambda x: x if x.form.rank else reshape(x, (1,)))


@spelled(where=("torch",))
def atleast_2d(*tensors: Any) -> Any:
    """Tensors with at least two dimensions; vectors become rows."""
    return _each(
        tensors, lambda x: x if x.form.rank >= 2 else reshape(x, (1, 1)) if not x.form.rank else unsqueeze(x, 0)
    )


@spelled(where=("torch",))
def atleast_3d(*tensors: Any) -> Any:
    """Tensors with at least three dimensions; vectors become (1, n, 1), matrices (m, n, 1)."""

    def one(x: Tensor) -> Tensor:
        rank = x.form.rank
        if rank == 0:
            return reshape(x, (1, 1, 1))
        return x if rank >= 3 else unsqueeze(x, -1) if rank == 2 else unsqueeze(unsqueeze(x, 0), -1)

    return _each(tensors, one)


# ---------------------------------------------------------------- other dtypes over the same bytes
def _view_of(x: Tensor, f: Form, offset: int, node: Any = None, saved: Any = None) -> Tensor:
    y = new_view(x, f, offset)
    if node is not None and x.node is not None and mode.recording:
        y.node = node(((x.node, x.output),), saved)
    return y


class _Reread(tape.Node):
    """The same bytes as another dtype; `rule` gives the gradient."""

    __slots__ = ()
    frees = False
    rule: Any

    def backward(self, *gradients: Any) -> tuple:
        return (self.rule(gradients[0], self.saved),)


def _reread(name: str, rule: Any) -> Any:
    return type(name, (_Reread,), {"__slots__": (), "rule": staticmethod(rule)})


_AS_REAL = _reread("ViewAsRealBackward0", lambda g, _: view_as_complex(g))
_AS_COMPLEX = _reread("ViewAsComplexBackward0", lambda g, _: view_as_real(g))
_AS_DTYPE = _reread("ViewBackward1", lambda g, d: view_dtype(g, d))


def view_dtype(x: Tensor, d: DType) -> Tensor:
    """The same bytes as another dtype; the last dimension grows or shrinks with the size of elements."""
    f = x.form
    old, new = f.dtype.itemsize, d.itemsize
    if old == new:
        made, offset = f.with_dtype(d), x.offset
    else:
        if not f.rank:
            raise RuntimeError(f"self.dim() cannot be 0 to view {f.dtype} as {d} (different element sizes)")
        if f.strides[-1] != 1:
            raise RuntimeError(
                f"self.stride(-1) must be 1 to view {f.dtype} as {d} (different element sizes), but got {f.strides[-1]}"
            )
        n = f.shape[-1] * old
        ratio = max(old, new) // min(old, new)
        if n % new or (new > old and (x.offset % ratio or any(s % ratio for s in f.strides[:-1]))):
            raise RuntimeError(
                message(
                    "view",
                    f"the last dimension {f.shape[-1]}, the strides {f.strides[:-1]} and storage_offset {x.offset} must be "
                    f"divisible by {ratio} to view {f.dtype} as {d} (different element sizes)",
                )
            )
        strides = tuple([s * ratio if old > new else s // ratio for s in f.strides[:-1]])
        made, offset = form(d, f.device, (*f.shape[:-1], n // new), (*strides, 1)), x.offset * old // new
    recorded = _AS_DTYPE if d.kind in "fc" else None
    return _view_of(x, made, offset, recorded, f.dtype)


@spelled(where=("torch",))
def view_as_real(input: Tensor) -> Tensor:
    """A complex tensor's parts as a last dimension of size 2, over the same memory."""
    f = input.form
    if not f.dtype.is_complex:
        raise RuntimeError(message("view_as_real", f"only complex tensors have parts, got {f.dtype}"))
    made = form(f.dtype.to_real(), f.device, (*f.shape, 2), (*(2 * s for s in f.strides), 1))
    return _view_of(input, made, 2 * input.offset, _AS_REAL)


@spelled(where=("torch",))
def view_as_complex(input: Tensor) -> Tensor:
    """A tensor whose last dimension has size 2 as complex numbers, over the same memory."""
    f = input.form
    if f.dtype.name not in ("float16", "float32", "float64"):
        raise RuntimeError(
            message("view_as_complex", f"only half, float and double tensors are complex numbers' parts, got {f.dtype}")
        )
    if not f.rank or f.shape[-1] != 2:
        raise RuntimeError(
            message("view_as_complex", f"Tensor must have a last dimension of size 2, got {tuple(f.shape)}")
        )
    if f.strides[-1] != 1 or any(s % 2 for s in f.strides[:-1]) or input.offset % 2:
        raise RuntimeError(
            message(
                "view_as_complex",
                f"strides {f.strides} and offset {input.offset}: Tensor must have a last dimension with stride 1, all else even",
            )
        )
    made = form(f.dtype.to_complex(), f.device, f.shape[:-1], tuple([s // 2 for s in f.strides[:-1]]))
    return _view_of(input, made, input.offset // 2, _AS_COMPLEX)


def plain_copy(x: Tensor) -> Tensor:
    """x's elements in a contiguous tensor without history."""
    return copied_as(x, form(x.form.dtype, x.form.device, x.form.shape))
