"""segment_reduce: neighbouring rows joined, as many at a time as a list says."""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import int64
from mashal.core.shapes import wrap_dim
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.arranging import repeat_interleave
from mashal.ops.creation import arange
from mashal.ops.define import spelled
from mashal.ops.joining import cat, stack
from mashal.ops.run import check_floating
from mashal.ops.scattering import scatter_reduce

# The methods of tensors are attached above this floor: what is written with them here is checked by tests, not types.
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportCallIssue=false, reportIndexIssue=false

_REDUCTIONS = {
    "sum": "sum",
    "prod": "prod",
    "mean": "mean",
    "max": "amax",
    "min": "amin",
    "amax": "amax",
    "amin": "amin",
}
_NOTHING = {"sum": 0.0, "prod": 1.0, "mean": float("nan"), "amax": -float("inf"), "amin": float("inf")}


@spelled(("torch",))
def segment_reduce(data: Tensor, reduce: str, *, lengths: Tensor | None = None, indices: Tensor | None = None,
                   offsets: Tensor | None = None, axis: int = 0, unsafe: bool = False, initial: Any = None) -> Tensor:  # fmt: skip
    """Neighbouring elements along axis joined by "sum", "mean", "max", "min" or "prod": `lengths` of them at a time.

    lengths: how many, with the dimensions of data up to axis. offsets: where each segment begins and ends, instead. initial: what
    each segment begins with; without it an empty one gives 0, nan, -inf, inf or 1. unsafe: the lengths need not cover the data.

    >>> torch.segment_reduce(torch.tensor([1.0, 2.0, 4.0]), "sum", lengths=torch.tensor([2, 1]))
    tensor([3., 4.])
    """
    how = _REDUCTIONS.get(reduce)
    if how is None:
        raise RuntimeError(
            message("segment_reduce", f"reduce argument must be sum, prod, mean, max or min, got {reduce}")
        )
    check_floating("segment_reduce", data.form.dtype)
    d = wrap_dim("segment_reduce", axis, data.form.rank)
    size, lead = data.form.shape[d], data.form.shape[:d]
    if data.form.device.type == "meta" and (lengths is not None or offsets is not None):
        count = offsets.form.shape[-1] - 1 if lengths is None else lengths.form.shape[-1]  # type: ignore[union-attr]
        return data.new_empty((*lead, count, *data.form.shape[d + 1 :]))
    lengths = _lengths(data, d, lengths, offsets, unsafe)
    count = lengths.form.shape[-1]
    places = _places(lengths.reshape(-1, count), size, count).reshape(*lead, size)
    index = places.reshape(*lead, size, *[1] * (data.form.rank - d - 1)).expand(data.form.shape)
    shape = (*lead, count + 1, *data.form.shape[d + 1 :])  # the last place takes what no segment covers
    empty = _NOTHING[how] if initial is None else initial
    if how == "mean":
        total = scatter_reduce(data.new_full(shape, 0 if initial is None else initial), d, index, data, "sum").narrow(
            d, 0, count
        )
        many = lengths.reshape(*lead, count, *[1] * (data.form.rank - d - 1))
        return (total / many.clamp_min(1)).where((many > 0) | (initial is not None), empty)
    return scatter_reduce(data.new_full(shape, empty), d, index, data, how).narrow(d, 0, count)


def _lengths(data: Tensor, d: int, lengths: Tensor | None, offsets: Tensor | None, unsafe: bool) -> Tensor:
    if lengths is None and offsets is None:
        raise RuntimeError(message("segment_reduce", "either lengths or offsets must be given"))
    if lengths is None:
        assert offsets is not None
        return offsets.diff(dim=-1).to(int64)
    if lengths.form.rank != d + 1:
        wrong = f"lengths have {lengths.form.rank} dimensions"
        raise RuntimeError(message("segment_reduce", wrong, f"they need {d + 1}: those of data up to axis"))
    if not unsafe:
        if lengths.numel() and int(lengths.min()) < 0:
            raise RuntimeError(message("segment_reduce", "lengths contains negative value"))
        if bool((lengths.sum(-1) != data.form.shape[d]).any()):
            wrong = f"all rows of lengths must sum to the {data.form.shape[d]} elements along axis"
            raise RuntimeError(message("segment_reduce", wrong, "or pass unsafe=True"))
    return lengths.to(int64)


def _places(lengths: Tensor, size: int, count: int) -> Tensor:
    """For each row of lengths the segment of each element; `count` for those that no segment covers."""
    rows = []
    for row in lengths.unbind(0):
        covered = repeat_interleave(arange(count), row)[:size]
        rows.append(cat([covered, covered.new_full((size - covered.form.shape[0],), count)]))
    return stack(rows)
