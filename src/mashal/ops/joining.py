"""Joining tensors: cat, stack and their relatives.

Both write into one result: a copy for each operand; small ones that are all alike by one call (ops.packing).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from mashal.core import tape
from mashal.core.dtypes import promote
from mashal.core.forms import Form, form
from mashal.core.shapes import wrap_dim
from mashal.core.tape import Node, mode
from mashal.core.tensor import Tensor, alias, empty, plan_of
from mashal.errors import message
from mashal.lower.joining import joining
from mashal.ops.copying import check_tensor, converted, copy_into
from mashal.ops.define import any_recorded, dispatched, overrides, refuse_recorded_out, spelled, write_out
from mashal.ops.packing import packed
from mashal.ops.parts import select, slice_op
from mashal.ops.run import Plan, kernel_of, remember, same_device
from mashal.ops.views import atleast_1d, atleast_2d, atleast_3d, expand, reshape


# ---------------------------------------------------------------- along a dimension that is there
class CatBackward0(Node):
    """saved: dim, and for each operand its size there and its dtype (None: an empty one that was skipped)."""

    __slots__ = ()
    frees = False

    def backward(self, *gradients: Any) -> tuple:
        (g,) = gradients
        dim, parts = self.saved
        found, at = [], 0
        for edge, part in zip(self.edges, parts):
            if part is None:
                found.append(None)
                continue
            n, d = part
            found.append(converted(slice_op(g, dim, at, at + n), d) if edge is not None else None)
            at += n
        return tuple(found)


@spelled(where=("torch",), aliases=("concat", "concatenate"))
def cat(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None, axis: int | None = None) -> Tensor:
    """The tensors one behind the other along dim; all other sizes are the same. The dtype is the promoted one.

    >>> torch.cat([torch.tensor([1, 2]), torch.tensor([3])])
    tensor([1, 2, 3])
    """
    dim = dim if axis is None else axis
    if out is None and type(tensors) in (list, tuple) and (short := packed("cat", tensors, dim)):
        result, recorded = short
        if recorded and mode.recording and result.form.dtype.kind in "fc":
            d = wrap_dim("cat", dim, result.form.rank)
            result.node = CatBackward0(tape.edges(*tensors), (d, [(x.form.shape[d], x.form.dtype) for x in tensors]))
        return result
    given = _listed("cat", tensors, ValueError)
    kinds = overrides(given)
    if kinds:
        return dispatched(cat, kinds, (tensors, dim), {} if out is None else {"out": out})
    used = [x for x in given if x.form.shape != (0,)]
    d = _check_cat(given, used, dim)
    if out is not None and any_recorded(given):
        refuse_recorded_out("cat")
    if out is not None and any(out is x or (x.capsule is out.capsule and x.capsule is not None) for x in given):
        raise RuntimeError(
            message(
                "cat", "unsupported operation: the input tensors cannot refer to any of the output memory locations"
            )
        )
    result = _concatenated(given, used, d)
    if out is not None:
        return write_out("cat", out, result)
    if mode.recording and any_recorded(given) and result.form.dtype.kind in "fc":
        parts = [None if x.form.shape == (0,) and used else (x.form.shape[d], x.form.dtype) for x in given]
        result.node = CatBackward0(tape.edges(*given), (d, parts))
    return result


def _listed(name: str, tensors: Any, empty_error: type[Exception] = RuntimeError) -> list[Tensor]:
    if isinstance(tensors, Tensor) or not hasattr(tensors, "__iter__"):
        raise TypeError(
            f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not {type(tensors).__name__}"
        )
    given = list(tensors)
    for i, x in enumerate(given):
        if type(x) is not Tensor and not isinstance(x, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}")
    if not given:
        raise empty_error(message(name, "expected a non-empty list of Tensors"))
    return given


def _check_cat(given: list[Tensor], used: list[Tensor], dim: int) -> int:
    for i, x in enumerate(given):
        if not x.form.rank:
            raise RuntimeError(message("cat", f"zero-dimensional tensor (at position {i}) cannot be concatenated"))
    first = (used or given)[0]
    d = wrap_dim("cat", dim, first.form.rank)
    shape = first.form.shape
    for i, x in enumerate(given):
        own = x.form.shape
        if own == (0,) or own == shape:
            continue
        if len(own) != len(shape) or own[:d] != shape[:d] or own[d + 1 :] != shape[d + 1 :]:
            raise RuntimeError(
                message(
                    "cat",
                    f"tensor {i} is {tuple(own)}",
                    f"except in dim {d} it must match tensor {_position(given, first)}, {tuple(shape)}",
                )
            )
    return d


def _position(given: list[Tensor], x: Tensor) -> int:
    return next(i for i, y in enumerate(given) if y is x)


def _concatenated(given: list[Tensor], used: list[Tensor], dim: int) -> Tensor:
    first = given[0].form
    device, d = first.device, first.dtype
    if any(x.form is not first for x in given):
        device = same_device("cat", given)
        for x in given:
            d = promote(d, x.form.dtype)
    if not used:
        return empty(form(d, device, (0,)))
    shape = used[0].form.shape
    total = sum([x.form.shape[dim] for x in used])
    made = form(d, device, (*shape[:dim], total, *shape[dim + 1 :]))
    result = _joined(used, made, dim)
    if result is not None:
        return result
    result = empty(made)
    fill_along(result, used, dim)
    return result


MOST = 512  # tensors that one kernel joins
_plans: dict[tuple, Plan] = {}


_ROWS, _SHORT = 1 << 10, 16  # rows of pieces, and bytes of a piece


def _joined(parts: list[Tensor], made: Form, dim: int) -> Tensor | None:
    """A new tensor of a form, of contiguous tensors of its dtype one behind the other along dim; None if they are none.

    A tensor that has a dimension less than the result is a slice of size 1.
    """
    if len(parts) > MOST or not made.numel or parts[0].capsule is None:
        return None
    forms = [x.form for x in parts]
    first = forms[0]
    alike = forms.count(first) == len(forms)
    key = (first, len(forms), made, dim) if alike else (*forms, made, dim)
    plan = _plans.get(key)
    if plan is None:
        if not all(f.contiguous and f.dtype is made.dtype and f.numel for f in forms):
            return None
        rows = prod(made.shape[:dim])
        if rows >= _ROWS and min(f.nbytes for f in forms) < _SHORT * rows:
            return None  # so short pieces are copied faster by vectors of their places
        plan = remember(_plans, key, _join_plan(forms, made, dim))
    return plan(*parts)


def _join_plan(forms: list[Form], made: Form, dim: int) -> Plan:
    size, n = made.dtype.itemsize, len(forms)
    rows = prod(made.shape[:dim])
    lengths = [f.numel // rows * size for f in forms]
    places = [sum(lengths[:i]) for i in range(n)]
    pieces = max(1, min(64, max(lengths) >> 19))
    words = [rows, sum(lengths), pieces, *lengths, *places]
    return plan_of(kernel_of(joining, n), [(made.nbytes, made)], [size] * n, words, work=made.numel)


def fill_along(result: Tensor, parts: Sequence[Tensor], dim: int) -> None:
    """Copies tensors into a result, one behind the other along dim."""
    f = result.form
    at, step = 0, f.strides[dim]
    piece = alias(result)
    for x in parts:
        own = x.form
        if own.numel:
            piece.form, piece.offset = f.viewed(tuple(own.shape), f.strides), at * step
            copy_into(piece, x)
        at += own.shape[dim]


# ---------------------------------------------------------------- along a new dimension
class StackBackward0(Node):
    """saved: dim, the operands' dtypes."""

    __slots__ = ()
    frees = False

    def backward(self, *gradients: Any) -> tuple:
        (g,) = gradients
        dim, kinds = self.saved
        return tuple(
            [
                converted(select(g, dim, i), d) if e is not None else None
                for i, (e, d) in enumerate(zip(self.edges, kinds))
            ]
        )


@spelled(where=("torch",))
def stack(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The tensors, all of one shape, along a new dimension.

    >>> torch.stack([torch.tensor([1, 2]), torch.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    if out is None and type(tensors) in (list, tuple) and (short := packed("stack", tensors, dim)):
        result, recorded = short
        if recorded and mode.recording and result.form.dtype.kind in "fc":
            d = wrap_dim("stack", dim, result.form.rank)
            result.node = StackBackward0(tape.edges(*tensors), (d, [x.form.dtype for x in tensors]))
        return result
    given = _listed("stack", tensors)
    kinds = overrides(given)
    if kinds:
        return dispatched(stack, kinds, (tensors, dim), {} if out is None else {"out": out})
    of = given[0].form
    d = wrap_dim("stack", dim, of.rank + 1)
    forms = [x.form for x in given]
    for i, x in enumerate(given if forms.count(of) < len(forms) else ()):
        if x.form.shape != of.shape:
            raise RuntimeError(
                message(
                    "stack",
                    f"all must be of equal size, but tensor 0 is {tuple(of.shape)} and tensor {i} is {tuple(x.form.shape)}",
                )
            )
    if out is not None and any_recorded(given):
        refuse_recorded_out("stack")
    result = _stacked(given, of, d)
    if out is not None:
        return write_out("stack", out, result)
    if mode.recording and any_recorded(given) and result.form.dtype.kind in "fc":
        result.node = StackBackward0(tape.edges(*given), (d, [x.form.dtype for x in given]))
    return result


def _stacked(given: list[Tensor], of: Form, dim: int) -> Tensor:
    device, d = of.device, of.dtype
    if any(x.form is not of for x in given):
        device = same_device("stack", given)
        for x in given:
            d = promote(d, x.form.dtype)
    shape = of.shape
    made = form(d, device, (*shape[:dim], len(given), *shape[dim:]))
    result = _joined(given, made, dim)
    if result is not None:
        return result
    result = empty(made)
    f = result.form
    part = f.viewed(tuple(shape), f.strides[:dim] + f.strides[dim + 1 :])
    piece, step = alias(result), f.strides[dim]
    piece.form = part
    for i, x in enumerate(given):
        piece.offset = i * step
        copy_into(piece, x)
    return result


# ---------------------------------------------------------------- by name of the direction
@spelled(where=("torch",))
def hstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Side by side: along dim 1 (vectors: 0)."""
    given = [atleast_1d(x) for x in _listed("hstack", tensors)]
    return cat(given, 0 if given[0].form.rank == 1 else 1, out=out)


@spelled(where=("torch",), aliases=("row_stack",))
def vstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """One above the other: along dim 0; vectors are rows."""
    return cat([atleast_2d(x) for x in _listed("vstack", tensors)], 0, out=out)


@spelled(where=("torch",))
def dstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """One behind the other: along dim 2."""
    return cat([atleast_3d(x) for x in _listed("dstack", tensors)], 2, out=out)


@spelled(where=("torch",))
def column_stack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Vectors as columns, side by side with matrices."""
    given = [reshape(x, (x.form.numel, 1)) if x.form.rank <= 1 else x for x in _listed("column_stack", tensors)]
    return cat(given, 1, out=out)


# ---------------------------------------------------------------- grids and products
@spelled(where=("torch",))
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Each vector spread over the grid that all of them span. indexing: "ij", or "xy" with the first two exchanged.

    >>> torch.meshgrid(torch.tensor([1, 2]), torch.tensor([3, 4]), indexing="ij")[0]
    tensor([[1, 1],
            [2, 2]])
    """
    given = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else list(tensors)
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(message("meshgrid", f"indexing must be one of 'xy' or 'ij', but received: {indexing}"))
    if not given:
        raise RuntimeError(message("meshgrid", "expects a non-empty TensorList"))
    for x in given:
        check_tensor("meshgrid", x)
        if x.form.rank > 1:
            raise RuntimeError(
                message("meshgrid", f"Expected 0D or 1D tensor in the tensor list but got {tuple(x.form.shape)}")
            )
        if x.form.dtype is not given[0].form.dtype:
            raise RuntimeError(message("meshgrid", "expects all tensors to have the same dtype"))
    swap = indexing == "xy" and len(given) >= 2
    if swap:
        given[:2] = given[1], given[0]
    shape = tuple([x.form.numel for x in given])
    n = len(given)
    made = [
        expand(reshape(x, (1,) * i + (-1 if x.form.numel else 0,) + (1,) * (n - 1 - i)), shape)
        for i, x in enumerate(given)
    ]
    if swap:
        made[:2] = made[1], made[0]
    return tuple(made)


@spelled(where=("torch",))
def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of the vectors' elements, one a row; a single vector as it is."""
    for x in tensors:
        if x.form.rank != 1:
            raise RuntimeError(message("cartesian_prod", f"Expect a 1D vector, but got shape {tuple(x.form.shape)}"))
    if len(tensors) == 1:
        return tensors[0]
    return stack([reshape(x, (-1,)) for x in meshgrid(*tensors, indexing="ij")], 1)
