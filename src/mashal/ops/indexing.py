"""x[…]: reading and writing with every kind of index.

    x[2], x[-1], x[1:5:2], x[..., None]       views, made in one step when nothing is recorded
    x[tensor], x[mask], x[[0, 2], :, [1, 3]]  copies: ops.picking

An index is first applied as far as it gives views (`_viewed`); tensors in it are noted for their dimensions, and what is
left is one gather, or for assignment one scatter, over those dimensions.
"""

from __future__ import annotations

from operator import index as as_index
from typing import Any

from mashal.core.dtypes import int64
from mashal.core.elements import element
from mashal.core.forms import Form
from mashal.core.interop import is_array
from mashal.core.nested import tensor_from_data
from mashal.core.tape import mode
from mashal.core.tensor import Tensor, new_view
from mashal.ops.copying import converted, copy_, fill_
from mashal.ops.define import PLAIN, dispatched, overrides, spelled
from mashal.ops.parts import SelectBackward0, _row, select, slice_op
from mashal.ops.viewing import Where, view
from mashal.ops.views import reshape, unsqueeze

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
    if kind is int:
        return _one(input, index)
    if kind is tuple and input.node is None:
        found = _basic(input.form, index)
        if found is not None:
            return new_view(input, found[0], input.offset + found[1])
    x, picks = _viewed(input, index if kind is tuple else (index,))
    if picks:
        return _picked(x, picks)
    return alias_view(input) if x is input else x


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


def _basic(f: Form, index: tuple) -> tuple[Form, int] | None:
    """The form and the shift of an index of ints and slices alone; None for any other."""
    if len(index) > f.rank:
        return None
    shape, strides, shift = [], [], 0
    for d, item in enumerate(index):
        kind = type(item)
        n, step = f.shape[d], f.strides[d]
        if kind is int:
            if not -n <= item < n:
                raise IndexError(f"index {item} is out of bounds for dimension {d} with size {n}")
            shift += (item + n if item < 0 else item) * step
        elif kind is slice:
            by = item.step
            if by is not None and (type(by) is not int or by <= 0):
                return None
            first, last, by = item.indices(n)
            shape.append(max(0, -((first - last) // by)))
            strides.append(step * by)
            shift += first * step
        else:
            return None
    rest = len(index)
    return f.viewed((*shape, *f.shape[rest:]), (*strides, *f.strides[rest:])), shift


def _viewed(x: Tensor, index: tuple) -> tuple[Tensor, dict[int, Tensor]]:
    """x with everything applied that gives a view, and the tensors of the index by the dimensions that they pick from."""
    items = [_item(i) for i in index]
    used = sum(
        i.form.rank if _is_mask(i) else 1
        for i in items
        if i is not None and i is not ... and i is not True and i is not False
    )
    if sum(i is ... for i in items) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
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
    return isinstance(x, Tensor) and x.form.dtype.name in ("bool", "uint8")


def _item(i: Any) -> Any:
    """One part of an index as it is worked with: int, slice, None, …, True, False, or a tensor."""
    if i is None or i is ... or i is True or i is False or type(i) in (int, slice):
        return i
    if isinstance(i, Tensor):
        if i.form.rank or i.form.dtype.name in ("bool", "uint8"):
            return i
        if i.form.dtype.kind in "ui":
            return int(element(i))
        raise IndexError(f"tensors used as indices must be long, int, byte or bool tensors, not {i.dtype}")
    if isinstance(i, (list, tuple)) or is_array(i):
        return _as_tensor(i)
    if hasattr(i, "__index__"):
        return as_index(i)
    if isinstance(i, range):
        return _as_tensor(list(i))
    raise TypeError(
        f"only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got {type(i).__name__})"
    )


def _as_tensor(i: Any) -> Tensor:
    x = tensor_from_data(list(i) if isinstance(i, tuple) else i)
    return x if x.form.numel else converted(x, int64) if x.form.dtype.kind == "f" else x


# ---------------------------------------------------------------- writing
@spelled(where=(), name="setitem", operators=("__setitem__",))
def setitem(input: Tensor, index: Any, value: Any) -> None:
    """input[index] = value: a tensor that broadcasts to the place, or a number."""
    kinds = overrides((input, value))
    if kinds:
        return dispatched(setitem, kinds, (input, index, value), {})
    x, picks = _viewed(input, index if type(index) is tuple else (index,))
    if picks:
        return _put(input, x, picks, value)
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


# ---------------------------------------------------------------- tensors as indices
def _whether(item: bool) -> Tensor:
    raise NotImplementedError


def _picked(x: Tensor, picks: dict[int, Tensor]) -> Tensor:
    raise NotImplementedError


def _put(given: Tensor, x: Tensor, picks: dict[int, Tensor], value: Any) -> None:
    raise NotImplementedError
