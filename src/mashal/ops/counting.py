"""Counting and looking up: bincount, histc, searchsorted, bucketize, isin, unique."""

from __future__ import annotations

from math import prod
from typing import Any

from mashal.core.dtypes import int32, int64
from mashal.core.elements import element
from mashal.core.forms import Form, form
from mashal.core.shapes import wrap_dim
from mashal.core.tensor import Tensor, alias, empty, new_view, plan_of
from mashal.errors import message
from mashal.lower import counting
from mashal.machine.launch import INTEGER, NUMBER
from mashal.ops.comparison import refuse_complex
from mashal.ops.copying import copied_as
from mashal.ops.creation import as_tensor, zeros
from mashal.ops.define import row_major, spelled, write_out
from mashal.ops.moving import collect
from mashal.ops.promotion import result_type_of
from mashal.ops.reducing import in_dtype
from mashal.ops.reductions import amax, amin
from mashal.ops.run import Plan, kernel_of, remember
from mashal.ops.sorting import sort
from mashal.ops.views import reshape


def _compact(x: Tensor) -> Tensor:
    x = alias(x)
    return x if x.form.contiguous else row_major(x)


# ---------------------------------------------------------------- places among boundaries
def _places(boundaries: Tensor, x: Tensor, right: bool, narrow_: bool, name: str) -> Tensor:
    d = result_type_of((boundaries, x))
    boundaries, x = _compact(in_dtype(boundaries, d)), _compact(in_dtype(x, d))
    n, own = boundaries.form.shape[-1], boundaries.form.rank > 1
    if own and boundaries.form.shape[:-1] != x.form.shape[:-1]:
        wrong = f"boundaries {tuple(boundaries.form.shape)} and values {tuple(x.form.shape)} differ before the last dimension"
        raise RuntimeError(message(name, wrong, "boundaries must be 1-d or have the values' leading sizes"))
    made = form(int32 if narrow_ else int64, x.form.device, x.form.shape)
    rows = prod(x.form.shape[:-1]) if own else 1
    per_row = x.form.numel // max(rows, 1)
    if not made.numel or not n:
        return zeros(made.shape, dtype=made.dtype)
    address = kernel_of(counting.searched, d, made.dtype, right)
    kinds = [d.itemsize, d.itemsize]
    return plan_of(address, [(made.nbytes, made)], kinds, [rows, n, per_row, int(own)], work=16 * x.form.numel)(
        boundaries, x
    )


@spelled(where=("torch",))
def searchsorted(sorted_sequence: Tensor, input: Any, *, out_int32: bool = False, right: bool = False, side: str | None = None,
                 sorter: Tensor | None = None, out: Tensor | None = None) -> Tensor:  # fmt: skip
    """Where each value would have to be put into a sorted row: before equal ones, or after them with right=True.

    >>> torch.searchsorted(torch.tensor([1, 3, 5]), torch.tensor([3, 4]))
    tensor([1, 2])
    """
    if side is not None:
        if side not in ("left", "right"):
            raise RuntimeError(message("searchsorted", f"side can only be 'left' or 'right' but got {side}"))
        if right and side == "left":
            raise RuntimeError(
                message(
                    "searchsorted", "side and right can't be set to opposites", "got side of left while right was True"
                )
            )
        right = side == "right"
    values = as_tensor(input)
    if sorter is not None:
        sorted_sequence = collect(sorted_sequence, sorter, sorted_sequence.form.rank - 1)
    y = _places(sorted_sequence, values, right, out_int32, "searchsorted")
    return y if out is None else write_out("searchsorted", out, y)


@spelled(where=("torch",))
def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False, out: Tensor | None = None
) -> Tensor:
    """Which of the intervals between sorted boundaries each value is in; an interval includes its right end, unless right.

    >>> torch.bucketize(torch.tensor([3, 6]), torch.tensor([1, 3, 5]))
    tensor([1, 3])
    """
    if boundaries.form.rank != 1:
        raise RuntimeError(
            message("bucketize", f"boundaries tensor must be 1 dimension, but got dim({boundaries.form.rank})")
        )
    y = _places(boundaries, as_tensor(input), right, out_int32, "bucketize")
    return y if out is None else write_out("bucketize", out, y)


@spelled(where=("torch",))
def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False, out: Tensor | None = None
) -> Tensor:
    """Which elements occur among the test elements; the opposite with invert.

    >>> torch.isin(torch.tensor([1, 2, 3]), torch.tensor([2]))
    tensor([False,  True, False])
    """
    x, tests = as_tensor(elements), as_tensor(test_elements)
    d = result_type_of((x, tests))
    x, tests = in_dtype(x, d), reshape(in_dtype(tests, d), (-1,))
    if not tests.form.numel:
        found = zeros(x.form.shape, dtype=d) != 0
    else:
        ordered = sort(tests)[0]
        at = _places(ordered, x, False, False, "isin").clamp_max(tests.form.numel - 1)  # type: ignore[attr-defined]
        found = reshape(collect(ordered, reshape(at, (-1,)), 0), x.form.shape) == x
    found = ~found if invert else found  # type: ignore[operator]
    return found if out is None else write_out("isin", out, found)  # type: ignore[arg-type]


# ---------------------------------------------------------------- counts
@spelled()
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 occurs, or the sum of its weights. input: 1-d, integers >= 0.

    >>> torch.bincount(torch.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    if input.form.rank != 1 or input.form.dtype.kind not in "iu":
        wrong = f"bincount only supports 1-d non-negative integral inputs, got {tuple(input.form.shape)} of {input.form.dtype}"
        raise RuntimeError(message("bincount", wrong))
    if minlength < 0:
        raise RuntimeError(message("bincount", f"minlength should be >= 0, it is {minlength}"))
    n = input.form.numel
    if weights is not None and weights.form.shape != input.form.shape:
        raise RuntimeError(
            message(
                "bincount",
                f"weights {tuple(weights.form.shape)} should have the shape of input {tuple(input.form.shape)}",
            )
        )
    input = _compact(input)
    low, high = (element(amin(input)), element(amax(input))) if n else (0, -1)  # type: ignore[arg-type]
    if low < 0:
        raise RuntimeError(message("bincount", f"the least element is {low}", "bincount needs numbers >= 0"))
    bins = max(high + 1, minlength)
    if weights is not None and weights.form.dtype.name != "float32":
        weights = in_dtype(weights, as_tensor(0.0).double().form.dtype)  # type: ignore[attr-defined]
    made = form(int64 if weights is None else weights.form.dtype, input.form.device, (bins,))
    if not n:
        return zeros((bins,), dtype=made.dtype)
    plan = _counting_plan(input.form, None if weights is None else weights.form.dtype, made.dtype)
    return plan(empty(made), input, bins) if weights is None else plan(empty(made), input, _compact(weights), bins)


def _counting_plan(x: Form, weight: Any, d: Any) -> Plan:
    """The plan of bincount: plan(counts, x[, weights], how many counts)."""
    key = "counted", x, weight
    plan = _plans.get(key)
    if plan is None:
        address = kernel_of(counting.counted, x.dtype, weight, d)
        kinds = [d.itemsize, x.dtype.itemsize, *([] if weight is None else [weight.itemsize]), INTEGER]
        plan = remember(_plans, key, plan_of(address, [], kinds, [x.numel], returns_first=True))
    return plan


_plans: dict[tuple, Plan] = {}


@spelled()
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0, *, out: Tensor | None = None) -> Tensor:
    """How many elements are in each of equal bins from min to max; if both are equal, from the least to the largest element.

    >>> torch.histc(torch.tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3)
    tensor([0., 2., 1., 0.])
    """
    if bins <= 0:
        raise RuntimeError(message("histc", f"bins must be > 0, but got {bins}"))
    y = histogram_of("histc", input, None, bins, min, max)
    return y if out is None else write_out("histc", out, y)


def histogram_of(name: str, x: Tensor, weights: Tensor | None, bins: int, low: float, high: float) -> Tensor:
    """The elements (or their weights) in each of equal bins from low to high."""
    if x.form.dtype.kind not in "fiu":
        raise NotImplementedError(message(name, f"not implemented for {x.form.dtype}"))
    if low > high:
        raise RuntimeError(message(name, f"max must be larger than min, got min {low} and max {high}"))
    if low == high and x.form.numel:
        low, high = float(amin(x)), float(amax(x))  # type: ignore[arg-type]
    if low == high:
        low, high = low - 1, high + 1
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        raise RuntimeError(message(name, f"range of [{low}, {high}] is not finite"))
    made = form(x.form.dtype, x.form.device, (bins,))
    operands = [_compact(t) for t in (x, weights) if t is not None]
    address = kernel_of(counting.binned, x.form.dtype, None if weights is None else weights.form.dtype)
    kinds = [*(t.form.dtype.itemsize for t in operands), NUMBER, NUMBER]
    return plan_of(address, [(made.nbytes, made)], kinds, [x.form.numel, bins])(*operands, float(low), float(high))


# ---------------------------------------------------------------- distinct elements
def _runs(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(first place of each run of equal elements, which run each is in, lengths) of a contiguous 1-d tensor."""
    n = x.form.numel
    if not n:
        none = zeros((0,), dtype=int64)
        return none, none, none
    key = "runs", x.form
    plan = _plans.get(key)
    if plan is None:
        made, count = form(int64, x.form.device, (n,)), form(int64, x.form.device, ())
        results = [(made.nbytes, made)] * 3 + [(count.nbytes, count)]
        plan = plan_of(kernel_of(counting.runs, x.form.dtype), results, [x.form.dtype.itemsize], [n])
        remember(_plans, key, plan)
    firsts, which, lengths, total = plan(x)
    some = form(int64, x.form.device, (element(total),))
    return new_view(firsts, some, 0), which, new_view(lengths, some, 0)


def _whole(x: Tensor | None) -> Tensor | None:
    """A part of a tensor as one by itself."""
    return None if x is None else copied_as(x, form(x.form.dtype, x.form.device, x.form.shape))


def _results(values: Tensor, inverse: Tensor | None, counts: Tensor | None) -> Any:
    found = tuple(x for x in (values, inverse, counts) if x is not None)
    return found if len(found) > 1 else values


@spelled()
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements that differ from the one before them; with where each element went, and how often it stood there.

    >>> torch.unique_consecutive(torch.tensor([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    if dim is not None and input.form.rank != 1:
        return _unique_slices(
            input, wrap_dim("unique_consecutive", dim, input.form.rank), return_inverse, return_counts, False
        )
    flat = _compact(reshape(input, (-1,)))
    firsts, which, lengths = _runs(flat)
    inverse = reshape(which, input.form.shape) if return_inverse else None
    return _results(collect(flat, firsts, 0), inverse, _whole(lengths if return_counts else None))


@spelled()
def unique(input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
           dim: int | None = None) -> Any:  # fmt: skip
    """The distinct elements in order; with where each element is among them, and how often it occurs.

    >>> torch.unique(torch.tensor([3, 1, 3]))
    tensor([1, 3])
    """
    _refuse_complex(input)
    if dim is not None and input.form.rank != 1:
        return _unique_slices(input, wrap_dim("unique", dim, input.form.rank), return_inverse, return_counts, True)
    ordered, places = sort(alias(input if input.form.rank == 1 else reshape(input, (-1,))))
    firsts, which, lengths = _runs(_compact(ordered))
    inverse = None
    if return_inverse:
        inverse = reshape(collect(which, places.argsort(), 0), input.form.shape)
    return _results(collect(_compact(ordered), firsts, 0), inverse, _whole(lengths if return_counts else None))


_refuse_complex = refuse_complex("unique")


def _unique_slices(x: Tensor, dim: int, return_inverse: bool, return_counts: bool, ordered: bool) -> Any:
    """The distinct slices along a dimension: rows are ranked column by column, from the last to the first."""
    rows = _compact(reshape(alias(x).movedim(dim, 0), (x.form.shape[dim], x.form.numel // max(x.form.shape[dim], 1))))  # type: ignore[attr-defined]
    n, columns = rows.form.shape
    order = as_tensor(range(n), dtype=int64)
    if ordered:
        for c in range(columns - 1, -1, -1):
            order = order[rows[order, c].argsort(stable=True)]  # type: ignore[index]
    sorted_rows = rows[order]  # type: ignore[index]
    new = zeros((n,), dtype=int64)
    if n > 1:
        new[1:] = (sorted_rows[1:] != sorted_rows[:-1]).any(1)  # type: ignore[index]
    which = new.cumsum(0)  # type: ignore[attr-defined]
    firsts, _, lengths = _runs(_compact(which))
    values = alias(x).index_select(dim, order[firsts])  # type: ignore[attr-defined, index]
    inverse = None
    if return_inverse:
        inverse = collect(which, order.argsort(), 0)  # type: ignore[attr-defined]
    return _results(values, inverse, _whole(lengths if return_counts else None))
