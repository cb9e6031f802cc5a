"""Blocks of elements at indices: what indexing with tensors, index_select, index_add, embedding and take are made of.

    take_blocks(x, dim, indices)          x[:, …, i, j, …]  with k index tensors of one shape for dimensions dim … dim + k - 1
    put_blocks(x, source, dim, indices)   writes there (or adds); source has the shape that take_blocks gives, or one element

Indices are int64. What happens at an index that is outside is the caller's: `outside(which, value, dim, size, place)` raises.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from mashal.core import dtypes
from mashal.core.forms import Form, form
from mashal.core.nested import tensor_from_data
from mashal.core.tensor import Tensor, empty, plan_of
from mashal.lower.indexing import Blocks, blocks
from mashal.lower.schedule import collapse
from mashal.ops.copying import clone, copied_as, copy_into, zeros_of
from mashal.ops.define import overlaps
from mashal.ops.parts import added_back, as_strided
from mashal.ops.remembered import Remembered, remembered
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
    forms = [i.form for i in indices]
    key = ("take", x.form, *forms, dim, outside)
    plan = _plans.get(key) or remember(_plans, key, take_plan(x.form, forms, dim, outside))
    return plan(x, *indices)


def take_plan(x: Form, indices: Sequence[Form], dim: int, outside: Outside, made: Form | None = None) -> Plan:
    """The plan of take_blocks, which may hand the elements out in another form."""
    k, shape = len(indices), indices[0].shape
    made = made or form(x.dtype, x.device, (*x.shape[:dim], *shape, *x.shape[dim + k :]))
    if not made.numel:
        return plan_of(0, [(0, made)], [x.dtype.itemsize, *[8] * k])
    if 0 in x.shape[dim : dim + k]:
        return lambda _, *given: refuse_empty(x, dim, [whole(i) for i in given], outside)
    plan = _plan("take", x, made, dim, indices, False, outside)
    if all(map(_is_whole, indices)):
        return plan
    return lambda x, *given: plan(x, *[whole(i) for i in given])


def put_blocks(
    x: Tensor, source: Tensor, dim: int, indices: Sequence[Tensor], add: bool = False, outside: Outside = outside_index
) -> None:
    """Writes source to the blocks of x at indices (add: adds it); records nothing. Of equal indices the last one counts."""
    f, given = x.form, source
    call = (add, f, source.form, dim, outside, *[i.form for i in indices])
    plan = _puts.get(call)
    if plan is not None and source.capsule is not x.capsule:
        plan(x, source, *indices)
        return
    shape = indices[0].form.shape
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
        plan = remember(_plans, key, _plan(kind, f, dense, dim, [i.form for i in indices], one, outside))
    if source is given:
        remember(_puts, call, plan)
    plan(x, source, *indices)


_puts: dict[tuple, Plan] = {}
"""What puts a source as it is; by all that put_blocks is given."""


def adding_plan(x: Form, source: Form, dim: int, index: Form, outside: Outside) -> Plan | None:
    """The plan that adds source to slices of x along dim; None unless it needs no more than the kernel."""
    dense = form(x.dtype, x.device, (*x.shape[:dim], *index.shape, *x.shape[dim + 1 :]))
    if source is not dense or not dense.numel or not x.numel or x.dtype.is_complex or not _is_whole(index):
        return None
    return None if x.device.type == "meta" else _plan("add", x, dense, dim, [index], False, outside)


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


def _plan(kind: str, f: Form, dense: Form, dim: int, indices: Sequence[Form], one: bool, outside: Outside) -> Plan:
    k, index = len(indices), indices[0]
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

    fail.limits = tuple((0 if outside in STRICT else -n, n) for n in f.shape[dim : dim + k])  # type: ignore[attr-defined]
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
def taken(x: Tensor, *indices: Tensor, dim: int, outside: Outside) -> Tensor:
    """take_blocks, recorded."""
    return _taking(len(indices), outside).find(x, *indices, dim)


def spread(g: Tensor, *indices: Tensor, shape: tuple[int, ...], dim: int, outside: Outside) -> Tensor:
    """Zeros of a shape with g added at the blocks, recorded: the transpose of taken."""
    return _spreading(len(indices), outside).find(g, *indices, shape, dim)


@cache
def _taking(k: int, outside: Outside) -> Remembered:
    @remembered("IndexBackward0", 1 + k, gradients=1, kept=range(1, 1 + k))
    def take(x: Form, *rest: Any) -> Plan:
        *indices, dim = rest
        return take_plan(x, indices, dim, outside)

    @take.first
    def _(g: Tensor, x: Form, *rest: Any) -> Tensor:
        *indices, dim = rest
        return spread(g, *indices, shape=tuple(x.shape), dim=dim, outside=outside)

    return take


@cache
def _spreading(k: int, outside: Outside) -> Remembered:
    @remembered("IndexPutBackward0", 1 + k, gradients=1, kept=range(1, 1 + k))
    def put(g: Form, *rest: Any) -> Plan:
        *_, shape, dim = rest
        to = form(g.dtype, g.device, shape)

        def plan(g: Tensor, *indices: Tensor) -> Tensor:
            made = zeros_of(to)
            put_blocks(made, g, dim, [whole(i) for i in indices], add=True, outside=outside)
            return made

        return plan

    @put.first
    def _(gg: Tensor, g: Form, *rest: Any) -> Tensor:
        *indices, _, dim = rest
        return taken(gg, *indices, dim=dim, outside=outside)

    return put


# ---------------------------------------------------------------- indices
def index_tensor(name: str, index: Any, dtypes_: str = "int32 or int64") -> Tensor:
    """An index as the kernels want it: int64, contiguous, without history."""
    if not isinstance(index, Tensor):
        raise TypeError(f"{name}(): argument 'index' must be Tensor, not {type(index).__name__}")
    check_index(name, index.form)
    return whole(index)


def check_index(name: str, index: Form) -> None:
    """An error unless an index's dtype is int64 or int32."""
    if index.dtype is not dtypes.int64 and index.dtype is not dtypes.int32:
        kind = IndexError if name.startswith("index") else RuntimeError
        raise kind(f"{name}(): Expected dtype int32/int64 for index, but got {index.dtype}")


def whole(index: Tensor) -> Tensor:
    """An integer tensor as int64, contiguous."""
    f = index.form
    return index if _is_whole(f) else copied_as(index, form(dtypes.int64, f.device, f.shape))


def _is_whole(f: Form) -> bool:
    return f.dtype is dtypes.int64 and f.contiguous


# ---------------------------------------------------------------- views that overlap
def _added_back(g: Tensor, f: Form, made: Form, shift: int) -> Tensor:
    """A form's zeros, with g added at the offsets where a view had its elements."""
    low = min(0, shift)
    size = max(f.extent, shift + made.extent) - low
    line = tensor_from_data(range(size), dtypes.int64)
    places = as_strided(line, made.shape, made.strides, shift - low)
    flat = spread(g, whole(places), shape=(size,), dim=0, outside=outside_index)
    return clone(as_strided(flat, f.shape, f.strides, -low), memory_format="contiguous_format")


added_back.function = _added_back
