"""x[…]: reading and writing with every kind of index.

    x[2], x[-1], x[1:5:2], x[..., None]       views, made in one step when nothing is recorded
    x[tensor], x[mask], x[[0, 2], :, [1, 3]]  copies: ops.picking

An index is first applied as far as it gives views (`_viewed`); tensors in it are noted for their dimensions, and what is
left is one gather, or for assignment one scatter, over those dimensions.
"""

from __future__ import annotations

from operator import index as as_index
from typing import Any

from mashal.core.devices import CPU
from mashal.core.dtypes import bool as bool_
from mashal.core.dtypes import int64, uint8
from mashal.core.elements import element
from mashal.core.forms import Form, form
from mashal.core.interop import is_array
from mashal.core.nested import tensor_from_data
from mashal.core.shapes import broadcast
from mashal.core.tape import mode
from mashal.core.tensor import Tensor, alias, empty, new_view
from mashal.machine.observing import watch
from mashal.ops.blocks import outside_index, put_blocks, taken, whole
from mashal.ops.broadcast import sum_to
from mashal.ops.chosen import chosen, one_chosen
from mashal.ops.copying import checked_number, converted, copy_, fill_, filled, zeros_of
from mashal.ops.define import PLAIN, dispatched, overrides, spelled
from mashal.ops.masks import fill_where, masked_fill, scalar_of, true_places, where_true
from mashal.ops.parts import SelectBackward0, _row, select, slice_op, unbind
from mashal.ops.run import remember
from mashal.ops.viewing import Where, view
from mashal.ops.views import expand, permute, reshape, unsqueeze
from mashal.ops.writing import writing

_rows: dict[Form, tuple[Form, int, int]] = {}


@view("AliasBackward0", where=())
def alias_view(f: Form) -> Where:
    return f, 0


@alias_view.backward
def _(g: Tensor, f: Form) -> Tensor:
    return g


# ---------------------------------------------------------------- reading
@spelled(where=(), name="getitem", operators=("__getitem__",))
def getitem(input: Tensor, index: Any) -> Tensor:
    """input[index]: a view for ints, slices, None and …; a copy where tensors, lists or masks pick."""
    kind = type(index)
    if type(input) not in PLAIN:
        kinds = overrides((input,))
        if kinds:
            return dispatched(getitem, kinds, (input, index), {})
    if kind is Tensor:
        f = index.form
        if f.dtype is int64 and f.rank and input.form.rank:
            return taken(input, whole(index), dim=0, outside=outside_index)
        if _is_whole_mask(index, input):
            return where_true(input, index)
    else:
        view = _view(input, index, kind)
        if view is not None:
            return view
    if kind is tuple or kind is Tensor:
        found = _at_rows(input.form, index) or _side_by_side(input.form, index if kind is tuple else (index,))
        if found is not None:
            return taken(input, *found[1], dim=found[0], outside=outside_index)
    part = chosen(input, index) if watch.recorder is not None else None
    if part is not None:
        return _chosen_view(input, *part)
    x, picks = _viewed(input, index if kind is tuple else (index,))
    if picks:
        return _picked(x, picks)
    return alias_view(input) if x is input else x


def _view(x: Tensor, index: Any, kind: type) -> Tensor | None:
    """The view by an index of ints, slices, None and one …; None for any other, and for those of several steps to be recorded."""
    if kind is int:
        return _one(x, index)
    if kind is slice:
        return _some(x, index)
    if kind is tuple:
        found = _basic(x.form, index)
        if found is not None and (found[2] < 2 or x.node is None or not mode.recording):
            return _view_at(x, found)
    return unsqueeze(x, 0) if index is None else None


def _at_rows(f: Form, index: Any) -> tuple[int, tuple[Tensor, ...]] | None:
    """A mask of some first dimensions as what `_side_by_side` gives; None for any other index."""
    if type(index) is not Tensor or index.form.dtype is not bool_ or not 0 < index.form.rank < f.rank:
        return None
    if index.form.shape != f.shape[: index.form.rank]:
        return None
    return 0, unbind(true_places(index), 0)


def _side_by_side(f: Form, index: tuple) -> tuple[int, tuple[Tensor, ...]] | None:
    """Of [:, …, i, j], whole dimensions and then int64 tensors of one form: the first one's dimension and they; else None."""
    dim, first = 0, None
    for item in index:
        kind = type(item)
        if kind is Tensor:
            first = first or item.form
            if item.form is not first:
                return None
        elif kind is slice and first is None and item.start is None and item.stop is None and item.step is None:
            dim += 1
        else:
            return None
    if first is None or first.dtype is not int64 or not first.contiguous or not first.rank or len(index) > f.rank:
        return None
    return dim, index[dim:]


def _one(x: Tensor, i: int) -> Tensor:
    f = x.form
    row = _rows.get(f)
    if row is None:
        if len(_rows) > 4096:
            _rows.clear()
        if not f.rank:
            raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` to convert it to a Python number")
        row = _rows[f] = _row(f, 0)
    made, step, n = row
    if not -n <= i < n:
        raise IndexError(f"index {i} is out of bounds for dimension 0 with size {n}")
    y = new_view(x, made, x.offset + (i + n if i < 0 else i) * step)
    if x.node is not None and mode.recording:
        y.node = SelectBackward0(((x.node, x.output),), (f, (0, i)))
    return y


def _some(x: Tensor, index: slice) -> Tensor:
    """x[a:b:c], the rows of a range; the form depends on its size and step, not on where it begins, and is kept by these."""
    f = x.form
    if not f.rank or (type(index.step) is int and index.step <= 0):
        return slice_op(x, 0, index.start, index.stop, index.step) if f.rank else _viewed(x, (index,))[0]
    first, last, by = index.indices(f.shape[0])
    key = f, last - first, by
    made = _ranges.get(key) or remember(_ranges, key, _part(f, [(max(0, -((first - last) // by)), by)]))
    y = new_view(x, made, x.offset + first * f.strides[0])
    if x.node is not None and mode.recording:
        y.node = _SLICE(((x.node, x.output),), (f, (0, index.start, index.stop, by)))
    return y


_ranges: dict[tuple, Form] = {}


def _basic(f: Form, index: tuple) -> tuple[Form, int, int, Any, tuple] | None:
    """The view by an index of ints, slices, None and one …; None for any other.

    Returns its form, its shift, how many steps there are (a select, slice or unsqueeze each), and the node and the arguments of
    the last one. The form depends on the ranges' sizes and steps, not on where they begin, and is kept by these.
    """
    shift, d, ranges, steps, node, arguments, spread = 0, 0, [], 0, None, (), False
    shape, strides = f.shape, f.strides
    if len(index) > f.rank and _counted(index) > f.rank:
        return None
    for item in index:
        kind = type(item)
        if kind is int:
            n = shape[d]
            if not -n <= item < n:
                raise IndexError(f"index {item} is out of bounds for dimension {d} with size {n}")
            shift += (item + n if item < 0 else item) * strides[d]
            steps, node, arguments = steps + 1, SelectBackward0, (d, item)
            ranges.append(None)
            d += 1
        elif kind is slice:
            start, stop, by = item.start, item.stop, item.step
            if by is not None and (type(by) is not int or by <= 0):
                return None
            if start is None and stop is None and by is None and len(index) > 1:
                ranges.append(True)
            else:
                first, last, by = item.indices(shape[d])
                ranges.append((max(0, -((first - last) // by)), by))
                shift += first * strides[d]
                steps, node, arguments = steps + 1, _SLICE, (d, start, stop, by)
            d += 1
        elif item is None:
            steps, node, arguments = steps + 1, _UNSQUEEZE, (d,)
            ranges.append(False)
        elif item is ... and not spread:
            spread, left = True, f.rank - _counted(index)
            ranges += [True] * left
            d += left
        else:
            return None
    key = f, tuple(ranges)
    return _parts.get(key) or remember(_parts, key, _part(f, ranges)), shift, steps, node, arguments


def _counted(index: tuple) -> int:
    """Of how many dimensions an index says something, if it is of ints, slices, None and …"""
    n = len(index)
    for item in index:
        if item is None or item is ...:
            n -= 1
    return n


_SLICE, _UNSQUEEZE = slice_op.operation.loose, unsqueeze.operation.loose
_parts: dict[tuple, Form] = {}


def _part(f: Form, ranges: list) -> Form:
    """What is left of a form: for each part None (an index), True (a whole dimension), False (a new one), or a size and a step."""
    shape, strides, d = [], [], 0
    for part in ranges:
        if part is False:
            shape.append(1)
            strides.append(f.shape[d] * f.strides[d] if d < f.rank else 1)
            continue
        if part is not None:
            n, by = (f.shape[d], 1) if part is True else part
            shape.append(n)
            strides.append(f.strides[d] * by)
        d += 1
    return f.viewed((*shape, *f.shape[d:]), (*strides, *f.strides[d:]))


def _view_at(x: Tensor, found: tuple) -> Tensor:
    """The view that `_basic` has found."""
    made, shift, steps, node, arguments = found
    if not steps:
        return alias_view(x)
    y = new_view(x, made, x.offset + shift)
    if x.node is not None and mode.recording:
        y.node = node(((x.node, x.output),), (x.form, arguments))
    return y


def _viewed(x: Tensor, index: tuple) -> tuple[Tensor, dict[int, Tensor]]:
    """x with everything applied that gives a view, and the tensors of the index by the dimensions that they pick from."""
    items: list[Any] = []
    used, spread = 0, False
    for i in index:
        item = _item(i)
        if item is ...:
            if spread:  # the first stands for all dimensions that are left, the others for none
                continue
            spread = True
        elif item is not None and item is not True and item is not False:
            used += item.form.rank if _is_mask(item) else 1
        items.append(item)
    if used > x.form.rank:
        if not x.form.rank:
            raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` to have it as a number")
        raise IndexError(f"too many indices for tensor of dimension {x.form.rank}")
    picks: dict[int, Tensor] = {}
    given, dim, missing = x, 0, x.form.rank - used
    original = 0  # the dimension of the tensor that was indexed, for messages
    for item in items:
        if item is ...:
            dim, original = dim + missing, original + missing
        elif item is None:
            x, dim = unsqueeze(x, dim), dim + 1
        elif item is True or item is False:
            x = unsqueeze(x, dim)
            picks[dim] = _whether(item)
            dim += 1
        elif isinstance(item, slice):
            if item.start is not None or item.stop is not None or item.step not in (None, 1) or len(items) == 1:
                x = slice_op(
                    x,
                    dim,
                    *[None if b is None else _bound(b) for b in (item.start, item.stop)],
                    1 if item.step is None else _bound(item.step),
                )
            dim, original = dim + 1, original + 1
        elif isinstance(item, Tensor):
            picks[dim] = item
            step = item.form.rank if _is_mask(item) else 1
            dim, original = dim + step, original + step
        else:
            n = x.form.shape[dim]
            if not -n <= item < n:
                raise IndexError(f"index {item} is out of bounds for dimension {original} with size {n}")
            x, original = select(x, dim, item), original + 1
    return (alias_view(given) if x is given and not picks else x), picks


def _bound(b: Any) -> int:
    try:
        return as_index(b)
    except TypeError:
        raise TypeError(
            f"slice indices must be integers or None or have an __index__ method, not {type(b).__name__}"
        ) from None


def _is_mask(x: Any) -> bool:
    return isinstance(x, Tensor) and x.form.dtype in _MASKS


_MASKS = (bool_, uint8)


def _item(i: Any) -> Any:
    """One part of an index as it is worked with: int, slice, None, …, True, False, or a tensor."""
    if i is None or i is ... or i is True or i is False or type(i) in (int, slice):
        return i
    if isinstance(i, Tensor):
        if i.form.rank:
            return i
        if i.form.dtype.name in ("bool", "uint8"):
            return bool(element(i))  # a mask of no dimensions: all, or nothing
        if i.form.dtype.kind in "ui":
            return int(element(i))
        raise IndexError(f"tensors used as indices must be long, int, byte or bool tensors, not {i.dtype}")
    if isinstance(i, (list, tuple)) or is_array(i):
        return _as_tensor(i)
    if hasattr(i, "__index__"):
        return as_index(i)
    if isinstance(i, range):
        return _as_tensor(list(i))
    kind = TypeError if isinstance(i, str) else IndexError
    raise kind(
        f"only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got {type(i).__name__})"
    )


def _as_tensor(i: Any) -> Tensor:
    x = tensor_from_data(list(i) if isinstance(i, tuple) else i)
    return x if x.form.numel else converted(x, int64) if x.form.dtype.kind == "f" else x


def _chosen_view(x: Tensor, part: Tensor, index: tuple) -> Tensor:
    """part[index], laid out as x[index] is: sums go through it in the same order."""
    made, like = getitem(part, index), getitem(alias(x), index).form
    if made.form is not like:
        made = copy_(empty(like), made)
    watch.recorder.chooses(x, made)
    return made


# ---------------------------------------------------------------- writing
@spelled(where=(), name="setitem", operators=("__setitem__",))
def setitem(input: Tensor, index: Any, value: Any) -> None:
    """input[index] = value: a tensor that broadcasts to the place, or a number."""
    if type(input) not in PLAIN or type(value) not in _PLAIN_VALUES:
        kinds = overrides((input, value))
        if kinds:
            return dispatched(setitem, kinds, (input, index, value), {})
    kind = type(index)
    if kind is Tensor and type(value) in _NUMBERS and _is_whole_mask(index, input):
        _write_where(input, index, checked_number("index_put_", value, input.form.dtype))
        return None
    x = _view(input, index, kind)
    if x is None:
        found = _at_rows(input.form, index) or _side_by_side(input.form, index if kind is tuple else (index,))
        if found is not None:
            dim, indices = found
            value = _value_for(input, value, one_for_all=kind is Tensor and index.form.dtype is bool_)
            write_blocks(input, dim, outside_index, value, False, *indices)
            return None
        part = one_chosen(input, index) if watch.recorder is not None else None
        if part is not None:
            return _set_chosen(input, *part, value)
        x, picks = _viewed(input, index if type(index) is tuple else (index,))
        if picks:
            return _put(x, picks, value)
    if not isinstance(value, Tensor):
        if isinstance(value, (bool, int, float, complex)):
            fill_(x, value)
            return None
        value = tensor_from_data(value, input.form.dtype)
    while value.form.rank > x.form.rank and value.form.shape[0] == 1:
        value = reshape(value, tuple(value.form.shape[1:]))
    if value.form.rank == 0 and value.node is None:
        fill_(x, value)
    else:
        copy_(x, value)
    return None


def _set_chosen(x: Tensor, index: tuple, dim: int, place: Tensor, value: Any) -> None:
    """x[index] = value at one place of dimension dim."""
    part = getitem(x, index)
    behind = part.form.rank - dim - 1
    if isinstance(value, Tensor) and value.form.rank > behind:
        value = unsqueeze(value, value.form.rank - behind)
    setitem(part, (*[slice(None)] * dim, place), value)


_NUMBERS = {int, float, bool}
_PLAIN_VALUES = {Tensor, *_NUMBERS}


def _is_whole_mask(index: Tensor, x: Tensor) -> bool:
    return index.form.dtype is bool_ and index.form.shape == x.form.shape and index.form.rank > 0


# ---------------------------------------------------------------- tensors as indices
def _whether(item: bool) -> Tensor:
    """A Python bool as the index of a dimension of size 1."""
    return filled(empty(form(int64, CPU, (int(item),))), 0)


def index_lists(x: Tensor, picks: dict[int, Tensor]) -> tuple[list[int], list[Tensor]]:
    """The dimensions that are picked from and, for each, an int64 index tensor; all of one shape."""
    if len(picks) == 1:
        ((dim, index),) = picks.items()
        if index.form.dtype is int64:
            return [dim], [whole(alias(index))]
    dims, indices = [], []
    for dim, index in sorted(picks.items()):
        if _is_mask(index):
            shape = x.form.shape[dim : dim + index.form.rank]
            if index.form.shape != shape:
                wrong = next(
                    (k for k in range(index.form.rank) if k >= len(shape) or index.form.shape[k] != shape[k]), 0
                )
                raise IndexError(
                    f"The shape of the mask {list(index.shape)} at index {wrong} does not match the shape of the indexed tensor "
                    f"{list(x.shape)} at index {dim + wrong}"
                )
            found = true_places(index)
            for k in range(index.form.rank):
                dims.append(dim + k)
                indices.append(select(found, 0, k))
        else:
            if index.form.dtype.kind not in "iu":
                raise IndexError(f"tensors used as indices must be long, int, byte or bool tensors, not {index.dtype}")
            dims.append(dim)
            indices.append(index)
    shapes = {tuple(i.form.shape) for i in indices}
    if len(shapes) > 1:
        try:
            shape = broadcast("index", *shapes)
        except RuntimeError:
            listed = ", ".join(str(list(i.form.shape)) for i in indices)
            raise IndexError(
                f"shape mismatch: indexing tensors could not be broadcast together with shapes {listed}"
            ) from None
        indices = [expand(i, shape) for i in indices]
    return dims, [whole(alias(i)) for i in indices]


def _in_front(x: Tensor, dims: list[int]) -> tuple[Tensor, int]:
    """x with the picked dimensions side by side, and where they begin: as they are, or else in front."""
    if len(dims) == 1 or dims == list(range(dims[0], dims[0] + len(dims))):
        return x, dims[0]
    return permute(x, (*dims, *(d for d in range(x.form.rank) if d not in dims))), 0


def _error(dims: list[int]) -> Any:
    """outside_index, with the dimensions as the user counts them."""
    if len(dims) == 1 or dims == list(range(dims[0], dims[0] + len(dims))):
        return outside_index
    order = tuple(dims)
    found = _errors.get(order)
    if found is None:
        found = _errors[order] = lambda which, value, dim, size, place: outside_index(
            which, value, order[which], size, place
        )
    return found


_errors: dict[tuple[int, ...], Any] = {}


def _picked(x: Tensor, picks: dict[int, Tensor]) -> Tensor:
    dims, indices = index_lists(x, picks)
    moved, first = _in_front(x, dims)
    return taken(moved, *indices, dim=first, outside=_error(dims))


def _value_for(x: Tensor, value: Any, accumulate: bool = False, one_for_all: bool = False) -> Tensor:
    """A value as a tensor of x's dtype. one_for_all: a tensor of one element may have another dtype."""
    if not isinstance(value, Tensor):
        if isinstance(value, (bool, int, float, complex)):
            return scalar_of("index_put_", value, x.form)
        return tensor_from_data(value, x.form.dtype)
    if value.form.dtype is x.form.dtype:
        return value
    if (value.form.rank or accumulate) and not (one_for_all and value.form.numel == 1):
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {value.dtype} to be put into {x.dtype}"
        )
    return converted(value, x.form.dtype)


def _put(x: Tensor, picks: dict[int, Tensor], value: Any, accumulate: bool = False) -> None:
    """x[picks] = value, recorded."""
    one_for_all = len(picks) == 1 and _is_mask(next(iter(picks.values())))
    value = _value_for(x, value, accumulate, one_for_all)
    ((_, mask), *more) = picks.items()
    if (
        not more
        and value.form.numel == 1
        and value.node is None
        and not accumulate
        and mask.form.dtype.name == "bool"
        and mask.form.shape == x.form.shape
    ):
        _write_where(x, mask, reshape(value, ()))
        return
    dims, indices = index_lists(x, picks)
    moved, first = _in_front(x, dims)
    write_blocks(moved, first, _error(dims), value, accumulate, *indices)


@writing("IndexPutBackward0", where=())
def _write_where_op(x: Tensor, mask: Tensor, value: Any) -> tuple:
    fill_where(x, mask, value)
    return (), (mask,)


@_write_where_op.backward
def _(node: Any, g: Tensor) -> tuple:
    (mask,) = node.kept()
    return (masked_fill(g, mask, 0),)


_write_where = _write_where_op.in_place


@writing("IndexPutBackward0", where=())
def _write_blocks(x: Tensor, first: int, outside: Any, value: Tensor, accumulate: bool, *indices: Tensor) -> tuple:
    f = x.form
    source = value
    key = f, value.form, first, len(indices), indices[0].form
    if key in _fitting:
        put_blocks(x, source, first, indices, accumulate, outside)
        return (value,), (first, outside, accumulate, value.form, *indices)
    shape = (*f.shape[:first], *indices[0].form.shape, *f.shape[first + len(indices) :])
    if source.form.numel != 1 or source.form.rank > len(shape):
        while source.form.rank > len(shape) and source.form.shape[0] == 1:
            source = reshape(source, tuple(source.form.shape[1:]))
        if not broadcasts(source.form.shape, shape):
            raise RuntimeError(
                f"shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to indexing result of shape {list(shape)}"
            )
    if source is value:
        remember(_fitting, key, True)
    put_blocks(x, source, first, indices, accumulate, outside)
    return (value,), (first, outside, accumulate, value.form, *indices)


_fitting: dict[tuple, bool] = {}
"""The forms of values that have been found to fit: (x, value, first dimension, how many indices, their form)."""


@_write_blocks.backward
def _(node: Any, g: Tensor) -> tuple:
    first, outside, accumulate, of, *indices = node.kept()
    mine = g
    if not accumulate and node.wants(0):
        zero = zeros_of(form(g.form.dtype, g.form.device, ()))
        mine = _write_blocks(g, first, outside, zero, False, *indices)
    if not node.wants(1):
        return mine, None
    return mine, converted(summed_to(taken(g, *indices, dim=first, outside=outside), tuple(of.shape)), of.dtype)


write_blocks = _write_blocks.in_place


def broadcasts(shape: Any, to: Any) -> bool:
    """Whether a shape broadcasts to another."""
    lead = len(to) - len(shape)
    return lead >= 0 and all(n in (1, m) for n, m in zip(shape, to[lead:]))


def summed_to(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """sum_to, also for shapes with more leading ones than g has dimensions."""
    lead = len(shape) - g.form.rank
    if lead > 0:
        return reshape(sum_to(g, shape[lead:]), shape)
    return sum_to(g, shape)


# ---------------------------------------------------------------- by name
def _picks_of(name: str, x: Tensor, indices: Any) -> dict[int, Tensor]:
    if isinstance(indices, Tensor) or not hasattr(indices, "__iter__"):
        raise TypeError(
            f"{name}(): argument 'indices' (position 1) must be tuple of Tensors, not {type(indices).__name__}"
        )
    picks, dim = {}, 0
    for index in indices:
        if index is None:
            dim += 1
            continue
        if not isinstance(index, Tensor):
            raise TypeError(f"{name}(): indices must be tensors or None, not {type(index).__name__}")
        picks[dim] = index
        dim += index.form.rank if _is_mask(index) else 1
    if dim > x.form.rank:
        raise IndexError(f"too many indices for tensor of dimension {x.form.rank} (got {dim})")
    return picks


@spelled(where=("torch", "method"), name="index_put_")
def index_put_(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """input[indices] = values (accumulate: +=, for each of equal indices); returns input."""
    _put(input, _picks_of("index_put_", input, indices), values, accumulate)
    return input


@spelled()
def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of input with values at indices (accumulate: added)."""
    dims, found = index_lists(input, _picks_of("index_put", input, indices))
    if values.form.dtype is not input.form.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {values.dtype} to be put into {input.dtype}"
        )
    moved, first = _in_front(input, dims)
    made = _write_blocks(moved, first, _error(dims), values, accumulate, *found)
    if moved is input:
        return made
    order = (*dims, *(d for d in range(input.form.rank) if d not in dims))
    return permute(made, tuple(sorted(range(len(order)), key=order.__getitem__)))
