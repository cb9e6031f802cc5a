"""Along one dimension: whole slices at the places an index vector names (index_*), and elements by flat position (take, put)."""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import int64
from mashal.core.forms import Form, form
from mashal.core.nested import tensor_from_data
from mashal.core.shapes import wrap_dim
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.blocks import (
    adding_plan,
    index_tensor,
    outside_index,
    outside_select,
    put_blocks,
    spread,
    take_blocks,
    take_plan,
    whole,
)
from mashal.ops.copying import check_tensor, converted, copied_as, copy_into, preserved, zeros_of
from mashal.ops.define import PLAIN, any_recorded, recorded, refuse_recorded_out, spelled
from mashal.ops.masks import exact_out, scalar_of
from mashal.ops.remembered import door, remembered
from mashal.ops.run import Plan, remember
from mashal.ops.views import reshape
from mashal.ops.writing import writing


# ---------------------------------------------------------------- reading
@remembered("IndexSelectBackward0", 2, gradients=1, kept=(1,))
def _index_select(x: Form, index: Form, dim: int) -> Plan:
    n, line = index.numel, x if x.rank else x.viewed((1,), (1,))
    if not x.rank and n != 1:
        raise RuntimeError(message("index_select", f"the index of a 0-d tensor has one value, got {n}"))
    made = form(x.dtype, x.device, (*line.shape[:dim], n, *line.shape[dim + 1 :]) if x.rank else ())
    return take_plan(line, [index], dim, outside_select, made)


@_index_select.first
def _(g: Tensor, x: Form, index: Tensor, dim: int) -> Tensor:
    if not index.form.rank:
        index = reshape(index, (1,))
    if x.rank:
        return spread(g, index, shape=tuple(x.shape), dim=dim, outside=outside_select)
    return reshape(spread(reshape(g, (1,)), index, shape=(1,), dim=0, outside=outside_select), ())


@door(2)
def _selected(x: Any, index: Any, dim: int) -> Any:
    check_tensor("index_select", x)
    index_tensor("index_select", index)
    _check_vector("index_select", index.form)
    return _index_select.known(x, index, wrap_dim("index_select", dim, x.form.rank))


@spelled()
def index_select(input: Tensor, dim: int, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The slices of a dimension at the places in index (0-d or 1-d, int32 or int64), in a new tensor.

    >>> torch.index_select(torch.tensor([5, 6, 7]), 0, torch.tensor([2, 0]))
    tensor([7, 5])
    """
    if out is None:
        return _selected.find(input, index, dim)
    if any_recorded((input,)):
        refuse_recorded_out("index_select")
    return exact_out("index_select", out, _selected.find(input, index, dim), input, index)


def _check_vector(name: str, index: Form) -> None:
    if index.rank > 1:
        kind = RuntimeError if name.startswith("index_fill") else IndexError
        raise kind(f"{name}(): Index is supposed to be a vector, but got {tuple(index.shape)}")


def _vector(name: str, index: Any) -> Tensor:
    index = index_tensor(name, index)
    _check_vector(name, index.form)
    return index if index.form.rank else reshape(index, (1,))


# ---------------------------------------------------------------- writing
def _check_source(name: str, x: Form, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """The source as the slices that are written: its other sizes are x's."""
    key = name, x, dim, index.form, source.form
    if key in _fitting:
        return source
    if source.form.dtype is not x.dtype:
        raise RuntimeError(f"{name}(): self ({x.dtype}) and source ({source.dtype}) must have the same dtype")
    n = index.form.numel
    own = source.form.shape if source.form.rank else (1,)
    if not x.rank:
        return source
    if len(own) != x.rank or own[dim] != n:
        kind = IndexError if name.startswith("index_copy") else RuntimeError
        raise kind(
            f"{name}(): Number of indices ({n}) should be equal to the source's size in dimension {dim}; it is {tuple(own)}"
        )
    if own[:dim] != x.shape[:dim] or own[dim + 1 :] != x.shape[dim + 1 :]:
        raise RuntimeError(f"{name}(): source {tuple(own)} must match self {tuple(x.shape)} except in dimension {dim}")
    remember(_fitting, key, True)
    return source


_fitting: dict[tuple, bool] = {}
"""What `_check_source` has found good: name, form, dimension, the index's and the source's form."""


def _as_vector(x: Tensor) -> Tensor:
    return x if x.form.rank else reshape(x, (1,))


@remembered("IndexAddBackward0", 3, gradients=2, kept=(2,))
def _index_added(x: Form, source: Form, index: Form, dim: int) -> Plan:
    to = preserved(x)
    plan = adding_plan(to, source, dim, index, outside_select)
    assert plan is not None
    return lambda x, source, index: plan(copied_as(x, to), source, index)


@_index_added.backward
def _(node: Any, g: Tensor) -> tuple:
    index, dim = node.kept()
    return g, index_select(g, dim, index) if node.wants(1) else None


@door(3)
def _adding(x: Any, source: Any, index: Any, dim: Any) -> Any:
    """index_add of operands that the kernel takes as they are; None for any others."""
    for operand in (x, source, index):
        if type(operand) not in PLAIN:
            return None
    if index.form.rank != 1 or not x.form.rank or type(dim) is not int or not -x.form.rank <= dim < x.form.rank:
        return None
    d = dim % x.form.rank
    usual = adding_plan(preserved(x.form), source.form, d, index.form, outside_select)
    return None if usual is None else _index_added.known(x, source, index, d)


def _shortly_added(x: Any, dim: Any = None, index: Any = None, source: Any = None, *more: Any) -> Any:
    return None if more else _adding.find(x, source, index, dim)


@writing("IndexAddBackward0", short=_shortly_added)
def index_add(x: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> tuple:
    """x with alpha · source's slices added at the places in index along dim; those of equal indices add up."""
    d, index = wrap_dim("index_add", dim, x.form.rank), _vector("index_add", index)
    given = source
    _check_source("index_add", x.form, d, index, source)
    if alpha != 1:
        source = source * alpha  # type: ignore[operator]
    put_blocks(_as_vector(x), _as_vector(source), d, (index,), add=True, outside=outside_select)
    return (given,), (d, index, alpha, given.form.shape)


@index_add.backward
def _(node: Any, g: Tensor) -> tuple:
    dim, index, alpha, shape = node.kept()
    part = None
    if node.wants(1):
        part = reshape(index_select(g, dim, index), shape)
        part = part if alpha == 1 else part * alpha  # type: ignore[operator]
    return g, part


@writing("IndexCopyBackward0")
def index_copy(x: Tensor, dim: int, index: Tensor, source: Tensor) -> tuple:
    """x with source's slices at the places in index along dim."""
    d, index = wrap_dim("index_copy", dim, x.form.rank), _vector("index_copy", index)
    _check_source("index_copy", x.form, d, index, source)
    put_blocks(_as_vector(x), _as_vector(source), d, (index,), outside=outside_select)
    return (source,), (d, index, source.form.shape)


@index_copy.backward
def _(node: Any, g: Tensor) -> tuple:
    dim, index, shape = node.kept()
    part = reshape(index_select(g, dim, index), shape) if node.wants(1) else None
    return index_fill(g, dim, index, 0) if node.wants(0) else None, part


@writing("IndexFillBackward0")
def index_fill(x: Tensor, dim: int, index: Tensor, value: Any) -> tuple:
    """x with value (a number or a 0-d tensor) in the slices at the places in index along dim."""
    d, index = wrap_dim("index_fill", dim, x.form.rank), _vector("index_fill", index)
    given = value if isinstance(value, Tensor) else None
    if given is not None and given.form.rank:
        raise RuntimeError(
            message(
                "index_fill",
                f"only supports a 0-dimensional value tensor, but got tensor with {given.form.rank} dimension(s)",
            )
        )
    filling = scalar_of("index_fill", value, x.form) if given is None else converted(given, x.form.dtype)
    put_blocks(_as_vector(x), filling, d, (index,), outside=outside_index)
    return (given,), (d, index)


@index_fill.backward
def _(node: Any, g: Tensor) -> tuple:
    dim, index = node.kept()
    part = None
    if len(node.edges) > 1 and node.wants(1):
        part = index_select(g, dim, tensor_from_data(sorted(set(index.tolist())), int64)).sum()
    return index_fill(g, dim, index, 0) if node.wants(0) else None, part


# ---------------------------------------------------------------- by flat position
def outside_take(which: int, value: int, dim: int, size: int, place: tuple[int, ...]) -> Exception:
    """The error of take and put_."""
    return IndexError(f"out of range: tried to access index {value} on a tensor of {size} elements.")


def _check_positions(name: str, index: Any) -> Tensor:
    if not isinstance(index, Tensor):
        raise TypeError(f"{name}(): argument 'index' must be Tensor, not {type(index).__name__}")
    if index.form.dtype.name != "int64":
        raise RuntimeError(f"{name}(): Expected a long tensor for index, but got {index.dtype}")
    return whole(index)


@recorded("TakeBackward0")
def _take(x: Tensor, index: Tensor) -> tuple[Tensor, tuple]:
    flat = reshape(x, (x.form.numel,))
    return take_blocks(flat, 0, (index,), outside_take), (x.form, index)


@_take.backward
def _(node: Any, g: Tensor) -> tuple:
    f, index = node.kept()
    return (reshape(spread(g, index, shape=(f.numel,), dim=0, outside=outside_take), f.shape),)


@spelled()
def take(input: Tensor, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements at flat positions, in the index's shape.

    >>> torch.take(torch.tensor([[4, 3], [2, 1]]), torch.tensor([0, 3]))
    tensor([4, 1])
    """
    check_tensor("take", input)
    index = _check_positions("take", index)
    if not input.form.numel and index.form.numel:
        raise IndexError("take(): tried to take from an empty tensor")
    result = _take(input, index)
    return result if out is None else exact_out("take", out, result, input, index)


@writing("PutBackward0")
def put(x: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> tuple:
    """x with source's elements at flat positions (accumulate: added)."""
    index = _check_positions("put_", index)
    if source.form.dtype is not x.form.dtype:
        raise RuntimeError(
            f"put_(): self and source expected to have the same dtype, but got self.dtype = {x.dtype} and source.dtype = {source.dtype}"
        )
    if index.form.numel != source.form.numel:
        raise RuntimeError(
            f"put_(): Expected source and index to have the same number of elements, but got {source.form.numel} and {index.form.numel}"
        )
    f = x.form
    flat = x if f.contiguous else copied_as(x, form(f.dtype, f.device, f.shape))
    put_blocks(reshape(flat, (f.numel,)), reshape(source, index.form.shape), 0, (index,), accumulate, outside_take)
    if flat is not x:
        copy_into(x, flat)
    return (source,), (index, accumulate, source.form.shape)


@put.backward
def _(node: Any, g: Tensor) -> tuple:
    index, accumulate, shape = node.kept()
    mine = g if accumulate else put(g, index, zeros_of(form(g.form.dtype, g.form.device, index.form.shape)))
    return mine, reshape(take(g, index), shape) if node.wants(1) else None
