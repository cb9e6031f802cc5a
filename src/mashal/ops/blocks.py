"""Blocks of elements at indices: what indexing with tensors, index_select, index_add, embedding and take are made of.

    take_blocks(x, dim, indices)          x[:, …, i, j, …]  with k index tensors of one shape for dimensions dim … dim + k - 1
    put_blocks(x, source, dim, indices)   writes there (or adds); source has the shape that take_blocks gives, or one element

Indices are int64. What happens at an index that is outside is the caller's: `outside(which, value, dim, size, place)` raises.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

from mashal.core import dtypes
from mashal.core.dtypes import dtype as DType
from mashal.core.forms import Form, form
from mashal.core.nested import tensor_from_data
from mashal.core.tensor import Tensor, empty, plan_of
from mashal.lower.indexing import Blocks, blocks
from mashal.lower.schedule import collapse
from mashal.ops.copying import clone, copied_as, copy_into, zeros_of
from mashal.ops.define import overlaps, recorded
from mashal.ops.parts import added_back, as_strided
from mashal.ops.run import Plan, kernel_of, remember

RAW = {1: dtypes.uint8, 2: dtypes.int16, 4: dtypes.int32, 8: dtypes.int64}
_plans: dict[tuple, Plan] = {}


def outside_index(which: int, value: int, dim: int, size: int, place: tuple[int, ...]) -> Exception:
    """The error for x[…]."""
    return IndexError(f"index {value} is out of bounds for dimension {dim} with size {size}")


def outside_select(which: int, value: int, dim: int, size: int, place: tuple[int, ...]) -> Exception:
    """The error of index_select and its relatives."""
    return IndexError(
        f"index out of range in self: index {value} at position {place} is outside dimension {dim} of size {size}"
    )


STRICT: set[Any] = {outside_select}
"""Errors of operations that don't count negative indices from the end."""

Outside = Callable[[int, int, int, int, tuple[int, ...]], Exception]


# ---------------------------------------------------------------- the two kernels
def take_blocks(x: Tensor, dim: int, indices: Sequence[Tensor], outside: Outside = outside_index) -> Tensor:
    """The blocks of x at indices, in a new contiguous tensor; records nothing."""
    f, shape = x.form, indices[0].form.shape
    made = form(f.dtype, f.device, (*f.shape[:dim], *shape, *f.shape[dim + len(indices) :]))
    if not made.numel or x.capsule is None:
        return empty(made)
    refuse_empty(f, dim, indices, outside)
    key = "take", f, dim, len(indices), shape, outside
    plan = _plans.get(key)
    if plan is None:
        plan = remember(_plans, key, _plan("take", f, made, dim, indices, False, outside))
    return plan(x, *indices)


def put_blocks(
    x: Tensor, source: Tensor, dim: int, indices: Sequence[Tensor], add: bool = False, outside: Outside = outside_index
) -> None:
    """Writes source to the blocks of x at indices (add: adds it); records nothing. Of equal indices the last one counts."""
    f, shape = x.form, indices[0].form.shape
    dense = form(f.dtype, f.device, (*f.shape[:dim], *shape, *f.shape[dim + len(indices) :]))
    if not dense.numel or x.capsule is None:
        return
    refuse_empty(f, dim, indices, outside)
    in_parts = f.dtype.is_complex and (add or f.dtype.itemsize == 16)  # as pairs of real numbers, see _plan
    one = source.form.numel == 1 and dense.numel != 1 and not in_parts
    wanted = form(f.dtype, f.device, ()) if one else dense
    if source.form is not wanted or overlaps(source, x):
        flat = empty(wanted)
        copy_into(flat, source if not one or source.form.rank == 0 else _as_scalar(source))
        source = flat
    kind = "add" if add else "put"
    key = kind, f, dim, len(indices), shape, one, outside
    plan = _plans.get(key)
    if plan is None:
        plan = remember(_plans, key, _plan(kind, f, dense, dim, indices, one, outside))
    plan(x, source, *indices)


def _as_scalar(x: Tensor) -> Tensor:
    return x.reshape(())  # type: ignore[attr-defined]


def refuse_empty(f: Form, dim: int, indices: Sequence[Tensor], outside: Outside) -> None:
    """An error if a dimension that is picked from has nothing."""
    for j, index in enumerate(indices):
        if not f.shape[dim + j]:
            raise outside(j, int_at(index, 0), dim + j, 0, (0,) * max(index.form.rank, 1))


def int_at(x: Tensor, i: int) -> int:
    """Element i of a contiguous int64 tensor."""
    return ctypes.c_int64.from_address(x.data_ptr() + 8 * i).value


def _plan(kind: str, f: Form, dense: Form, dim: int, indices: Sequence[Tensor], one: bool, outside: Outside) -> Plan:
    k, index = len(indices), indices[0].form
    size = f.dtype.itemsize
    split = f.dtype.is_complex and (kind == "add" or size == 16)
    shape, strides = tuple(f.shape), f.strides
    d = f.dtype.to_real() if split else f.dtype
    if split:
        shape, strides = (*shape, 2), (*(2 * s for s in strides), 1)
    if kind != "add":
        d = RAW[d.itemsize]
    before, before_strides = _collapsed(shape[:dim], strides[:dim])
    after, after_strides = _collapsed(shape[dim + k :], strides[dim + k :])
    how = Blocks(
        kind, d, k, len(before), len(after), bool(after) and after_strides[-1] == 1, one, outside not in STRICT
    )
    words = [
        index.numel,
        *shape[dim : dim + k],
        *strides[dim : dim + k],
        *before,
        *before_strides,
        *after,
        *after_strides,
    ]
    address = kernel_of(blocks, how)

    def fail(status: int, *operands: Any) -> None:
        place, which = divmod(status, k)
        picked = operands[-k + which]
        raise outside(
            which, int_at(picked, place), dim + which, f.shape[dim + which], _unraveled(place, picked.form.shape)
        )

    if kind == "take":
        return plan_of(address, [(dense.nbytes, dense)], [size, *[8] * k], words, work=dense.numel, fail=fail)
    return plan_of(address, [], [size, size, *[8] * k], words, work=dense.numel, returns_first=True, fail=fail)


def _collapsed(shape: Sequence[int], strides: Sequence[int]) -> tuple[list[int], list[int]]:
    """Fewer dimensions that walk the same elements in the same order."""
    dense, step = [], 1
    for n in reversed(shape):
        dense.append(step)
        step *= n
    sizes, (_, walked) = collapse(shape, [tuple(reversed(dense)), tuple(strides)])
    return ([], []) if sizes == [1] else (sizes, walked)


def _unraveled(place: int, shape: Sequence[int]) -> tuple[int, ...]:
    found = []
    for n in reversed(shape):
        found.append(place % n)
        place //= n
    return tuple(reversed(found))


# ---------------------------------------------------------------- recorded
@recorded("IndexBackward0")
def taken(x: Tensor, dim: int, outside: Outside, *indices: Tensor) -> tuple[Tensor, tuple]:
    """take_blocks, recorded."""
    return take_blocks(x, dim, indices, outside), (x.form, dim, outside, *indices)


@taken.backward
def _(node: Any, g: Tensor) -> tuple:
    f, dim, outside, *indices = node.kept()
    return (spread(g, f, dim, outside, *indices),)


@recorded("IndexPutBackward0")
def spread(g: Tensor, f: Form, dim: int, outside: Outside, *indices: Tensor) -> tuple[Tensor, tuple]:
    """Zeros with g added at the blocks: the transpose of taken."""
    whole = zeros_of(form(g.form.dtype, f.device, f.shape))
    put_blocks(whole, g, dim, indices, add=True, outside=outside)
    return whole, (dim, outside, *indices)


@spread.backward
def _(node: Any, g: Tensor) -> tuple:
    dim, outside, *indices = node.kept()
    return (taken(g, dim, outside, *indices),)


# ---------------------------------------------------------------- indices
def index_tensor(name: str, index: Any, dtypes_: str = "int32 or int64") -> Tensor:
    """An index as the kernels want it: int64, contiguous, without history."""
    if not isinstance(index, Tensor):
        raise TypeError(f"{name}(): argument 'index' must be Tensor, not {type(index).__name__}")
    d = index.form.dtype
    if d.name not in ("int64", "int32"):
        raise _wrong_index(name, d)
    return whole(index)


def _wrong_index(name: str, d: DType) -> Exception:
    kind = IndexError if name.startswith("index") else RuntimeError
    return kind(f"{name}(): Expected dtype int32/int64 for index, but got {d}")


def whole(index: Tensor) -> Tensor:
    """An integer tensor as int64, contiguous."""
    f = index.form
    if f.dtype is dtypes.int64 and f.contiguous:
        return index
    return copied_as(index, form(dtypes.int64, f.device, f.shape))


# ---------------------------------------------------------------- views that overlap
def _added_back(g: Tensor, f: Form, made: Form, shift: int) -> Tensor:
    """A form's zeros, with g added at the offsets where a view had its elements."""
    low = min(0, shift)
    size = max(f.extent, shift + made.extent) - low
    line = tensor_from_data(range(size), dtypes.int64)
    places = as_strided(line, made.shape, made.strides, shift - low)
    flat = spread(g, form(g.form.dtype, f.device, (size,)), 0, outside_index, whole(places))
    return clone(as_strided(flat, f.shape, f.strides, -low), memory_format="contiguous_format")


added_back.function = _added_back
