"""Rows of a table looked up and joined, bag by bag."""

from __future__ import annotations

import math
from typing import Any

from mashal import ops
from mashal.core.dtypes import int64
from mashal.core.tensor import Tensor
from mashal.nn.functions.sparse import embedding
from mashal.ops.define import recorded

__all__ = ["embedding_bag"]

_MODES = ("sum", "mean", "max")


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum of each bag's rows of weight, (rows, size): (bags, size).

    input: (bags, indices); or (indices,), all bags' behind each other, each bag beginning at its place in offsets. include_last_offset:
    offsets ends with where the last bag ends. per_sample_weights: a factor for each index, for mode "sum". padding_idx: indices that
    don't count. A bag without indices gives zeros. The others as F.embedding's.

    >>> F.embedding_bag(torch.tensor([0, 1, 1]), torch.tensor([[0.0, 1.0], [2.0, 3.0]]), torch.tensor([0, 2]))
    tensor([[1., 2.],
            [2., 3.]])
    """
    _check(input, weight, offsets, scale_grad_by_freq, mode, sparse, per_sample_weights)
    if padding_idx is not None:
        if not -weight.size(0) <= padding_idx < weight.size(0):
            raise AssertionError(
                f"embedding_bag: padding_idx {padding_idx} is outside the {weight.size(0)} rows of weight"
            )
        padding_idx %= weight.size(0)
    flat: Any = input.reshape(-1)  # type: ignore[attr-defined]
    rows = embedding(flat, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)  # type: ignore[attr-defined]
    if input.dim() == 2:
        places = ops.arange(flat.numel()).view(tuple(input.shape))  # type: ignore[attr-defined]
    else:
        places = _places(offsets, flat.numel(), include_last_offset)
    counts = places >= 0
    if padding_idx is not None:
        counts = counts & (ops.cat([flat, flat.new_full((1,), padding_idx)])[places] != padding_idx)
    bags = ops.cat([rows, rows.new_zeros((1, rows.size(1)))])[places]  # (bags, longest, size)
    if not bags.size(1):
        return bags.sum(1)
    return _joined(bags, counts.unsqueeze(-1), mode)


@recorded("EmbeddingBagBackward0")
def _joined(bags: Any, counts: Any, mode: str) -> tuple[Tensor, tuple]:
    """The sum, mean or maximum of each bag's rows (bags, longest, size), of those that count (bags, longest, 1)."""
    if mode == "max":
        most, places = ops.where(counts, bags, -math.inf).max(1)  # type: ignore[attr-defined]
        return ops.where(counts.any(1), most, 0.0), (counts, places, mode)
    total = (ops.where(counts, bags, 0.0)).sum(1)  # type: ignore[attr-defined]
    if mode == "sum":
        return total, (counts, None, mode)
    n = counts.sum(1).clamp_min(1).to(total.dtype)
    return total / n, (counts, n, mode)


@_joined.backward
def _(node: Any, g: Any) -> tuple:
    counts, of, mode = node.kept()
    if mode == "max":
        zeros = g.new_zeros((g.size(0), counts.size(1), g.size(1)))
        return (ops.where(counts, zeros.scatter(1, of.unsqueeze(1), g.unsqueeze(1)), 0.0),)
    return (ops.where(counts, (g if of is None else g / of).unsqueeze(1), 0.0),)


def _places(offsets: Any, size: int, has_end: bool) -> Any:
    """(bags, longest): the places of each bag's indices, -1 where there are no more."""
    starts = offsets.tolist()
    if starts and starts[0] != 0:
        raise RuntimeError(
            f"embedding_bag: offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start at 0, not {starts[0]}"
        )
    ends = [*starts[1:], *([] if has_end else [size])]
    starts = starts[:-1] if has_end else starts
    if starts and max(*starts, *ends) > size:
        raise RuntimeError(
            f"embedding_bag: offsets[-1] can not be greater than input's length {size}, but it is {max(*starts, *ends)}"
        )
    longest = max((b - a for a, b in zip(starts, ends)), default=0)
    rows = [[*range(a, b), *[-1] * (longest - (b - a))] for a, b in zip(starts, ends)]
    return ops.tensor(rows, dtype=int64, device=offsets.device).view(len(rows), longest)  # type: ignore[attr-defined]


def _check(
    input: Tensor, weight: Tensor, offsets: Any, by_frequency: bool, mode: str, sparse: bool, factors: Tensor | None
) -> None:
    if weight.dim() != 2:
        raise RuntimeError(f"embedding_bag: weight {tuple(weight.shape)} must be 2-D, one row an index")
    if factors is not None and factors.size() != input.size():
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({tuple(factors.shape)}) is not None, then it must have the same shape as the input "
            f"({tuple(input.shape)})"
        )
    if input.dim() not in (1, 2):
        raise ValueError(f"embedding_bag: input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}")
    if input.dim() == 2 and offsets is not None:
        raise ValueError(
            "embedding_bag: if input is 2D, then offsets has to be None, as input is treated as a mini-batch of fixed length sequences."
        )
    if input.dim() == 1:
        if offsets is None:
            raise ValueError("embedding_bag: offsets has to be a 1D Tensor but got None")
        if offsets.dim() != 1:
            raise ValueError(f"embedding_bag: offsets has to be a 1D Tensor, but it is {tuple(offsets.shape)}")
    if mode not in _MODES:
        raise ValueError(f"embedding_bag: mode has to be one of sum, mean or max, not {mode!r}")
    if mode == "max" and (by_frequency or sparse):
        which = "scaling the gradient by the frequency" if by_frequency else "sparse weights"
        raise ValueError(f"embedding_bag: max mode does not support {which}")
    if factors is not None and mode != "sum":
        raise NotImplementedError(
            f"embedding_bag: per_sample_weights was not None. It is only supported for mode='sum' (got mode='{mode}')"
        )
