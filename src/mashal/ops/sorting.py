"""Order along a dimension: sort, topk and what is read off sorted rows.

Kernels work on rows of contiguous tensors (lower.sorting). nan is the largest; equal elements keep their order.
"""

from __future__ import annotations

from math import prod
from typing import Any

from mashal.core.dtypes import int64
from mashal.core.forms import Form, form
from mashal.core.shapes import wrap_dim
from mashal.core.tensor import Tensor, plan_of
from mashal.errors import message
from mashal.lower.sorting import bytes_of_chunk, choice, chunks_of, sort_rows
from mashal.ops import return_types
from mashal.ops.define import recorded, row_major, spelled, write_out
from mashal.ops.moving import spread
from mashal.ops.run import kernel_of, remember

_plans: dict[Any, Any] = {}


# ---------------------------------------------------------------- plans
def _sorted_rows(name: str, x: Tensor, dim: int, descending: bool, kept: int | None = None) -> tuple[Tensor, Tensor]:
    """The first `kept` (all) values of sorted rows along dim, and their places; not recorded."""
    if x.form.dtype.kind == "c":
        raise RuntimeError(message(name, f"does not support complex numbers ({x.form.dtype})", "they have no order"))
    x = x if x.form.contiguous else row_major(x)
    key = x.form, dim, descending, kept
    plan = _plans.get(key) or remember(_plans, key, sorting_plan(x.form, dim, descending, kept))
    return plan(x)


def sorting_plan(of: Form, dim: int, descending: bool, kept: int | None) -> Any:
    """The plan of sorted rows of a contiguous form: plan(x) gives values and places."""
    shape = tuple(of.shape) or (1,)
    outer, length, inner = prod(shape[:dim]), shape[dim], prod(shape[dim + 1 :])
    kept = length if kept is None else kept
    result = (*shape[:dim], kept, *shape[dim + 1 :]) if of.rank else ()
    made = [form(of.dtype, of.device, result), form(int64, of.device, result)]
    results = [(f.nbytes, f) for f in made]
    if not made[0].numel:
        return plan_of(0, results, [of.dtype.itemsize])
    chunks = chunks_of(of.dtype, outer * inner, length)
    address = kernel_of(sort_rows, of.dtype, descending, choice(of.dtype, length, inner, kept))
    constants = [outer, length, inner, kept, chunks]
    scratch = chunks * bytes_of_chunk(of.dtype, length)
    return plan_of(address, results, [of.dtype.itemsize], constants, work=8 * of.numel, scratch=scratch)


def _recorded_order(name: str, node: str) -> Any:
    """The recorded operation: values and places of sorted rows."""

    @recorded(node)
    def order(x: Tensor, dim: int, descending: bool, kept: int | None = None) -> tuple[tuple, tuple]:
        values, places = _sorted_rows(name, x, dim, descending, kept)
        return (values, places), (places, x.form.shape, dim)

    @order.backward
    def _(node: Any, g: Tensor, _: Any = None) -> tuple:
        places, shape, dim = node.kept()
        return (spread(g, places, shape, dim),)

    return order


_sort = _recorded_order("sort", "SortBackward0")
_topk = _recorded_order("topk", "TopkBackward0")


def _pair(kind: Any, name: str, values: Tensor, places: Tensor, out: Any) -> Any:
    """Values and places with their names, or in out=."""
    if out is None:
        return kind(values, places)
    return kind(write_out(name, out[0], values), write_out(name, out[1], places))


# ---------------------------------------------------------------- sort, topk
@spelled()
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False, *, out: Any = None) -> Any:
    """(values, indices): the elements along dim in order. Always stable.

    >>> torch.sort(torch.tensor([3, 1, 2])).values
    tensor([1, 2, 3])
    """
    if isinstance(dim, bool):
        dim, descending = -1, dim
    values, places = _sort(input, wrap_dim("sort", dim, input.form.rank), bool(descending))
    return _pair(return_types.sort, "sort", values, places, out)


@spelled()
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that sort along dim.

    >>> torch.argsort(torch.tensor([3, 1, 2]))
    tensor([1, 2, 0])
    """
    if isinstance(dim, bool):
        dim, descending = -1, dim
    return _sorted_rows("argsort", input, wrap_dim("argsort", dim, input.form.rank), bool(descending))[1]


@spelled()
def msort(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements in order along the first dimension."""
    values = _sort(input, 0, False)[0] if input.form.rank else input.clone()  # type: ignore[attr-defined]
    return values if out is None else write_out("msort", out, values)


@spelled()
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *, out: Any = None) -> Any:
    """(values, indices): the k largest (or smallest) elements along dim, in order.

    >>> torch.topk(torch.tensor([1.0, 5.0, 3.0]), 2).values
    tensor([5., 3.])
    """
    d = wrap_dim("topk", dim, input.form.rank)
    size = input.form.shape[d] if input.form.rank else 1
    if not 0 <= int(k) <= size:
        raise RuntimeError(
            message(
                "topk", f"selected index k out of range: k is {k}", f"dim {dim} of {tuple(input.form.shape)} has {size}"
            )
        )
    values, places = _topk(input, d, bool(largest), int(k))
    return _pair(return_types.topk, "topk", values, places, out)
