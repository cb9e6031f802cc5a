"""Attention whose scores a function changes and a block mask restricts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.nearest import nearest
from mashal.nn.attention.blocks import (
    BlockMask,
    and_masks,
    create_block_mask,
    create_mask,
    noop_mask,
    or_masks,
    places,
)

__all__ = [
    "AuxOutput", "AuxRequest", "BlockMask", "and_masks", "create_block_mask", "create_mask", "flex_attention", "noop_mask", "or_masks",
]  # fmt: skip


class AuxRequest(NamedTuple):
    """What flex_attention is to give besides: the logarithm of the sums of the weights, the largest scores."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What an AuxRequest asked for; None for the rest."""

    lse: Tensor | None = None
    max_scores: Tensor | None = None


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Callable[..., Any] | None = None,
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: Any = None,
    *,
    return_aux: AuxRequest | None = None,
) -> Any:
    """softmax(score_mod(query·keyᵀ·scale))·value over what block_mask lets be seen.

    query (B, H, L, E), key (B, H, S, E), value (B, H, S, V) give (B, H, L, V). scale: 1/√E by default. enable_gqa: fewer heads of keys
    and values. score_mod(score, batch, head, query, key) -> score: called once, with all scores and the numbers of their places, as
    tensors that broadcast. return_lse: also the logarithm of each query's sum of weights. A query that sees nothing gives zeros.

    >>> from mashal.nn.attention.flex_attention import flex_attention
    >>> x = torch.ones(1, 1, 2, 4)
    >>> flex_attention(x, x, torch.tensor([[[[1.0], [3.0]]]]), lambda s, b, h, q, k: torch.where(q >= k, s, -float("inf")))
    tensor([[[[1.],
              [2.]]]])
    """
    _check(query, key, value, enable_gqa)
    if enable_gqa:
        times = query.size(1) // key.size(1)
        key, value = (x.repeat_interleave(times, 1) for x in (key, value))  # type: ignore[attr-defined]
    (b, h, q), k = query.shape[:3], key.size(2)
    scores: Any = ops.matmul(query, key.transpose(-2, -1)) * (1 / math.sqrt(query.size(-1)) if scale is None else scale)  # type: ignore[attr-defined]
    if score_mod is not None:
        scores = score_mod(scores, *places(b, h, q, k, query.device))
    if block_mask is not None:
        scores = ops.where(block_mask.seen(b, h, q, k, query.device), scores, -math.inf)
    unseen = (scores == -math.inf).all(-1, keepdim=True)
    weights = ops.where(unseen, 0.0, ops.softmax(scores, -1))
    output = ops.matmul(weights.to(value.dtype), value)  # type: ignore[attr-defined]
    if return_aux is not None:
        most = scores.amax(-1) if return_aux.max_scores else None
        return output, AuxOutput(ops.logsumexp(scores, -1) if return_aux.lse else None, most)
    return (output, ops.logsumexp(scores, -1)) if return_lse else output


def _check(query: Tensor, key: Tensor, value: Tensor, enable_gqa: bool) -> None:
    if any(x.dim() != 4 for x in (query, key, value)):
        raise NotImplementedError(
            "flex_attention: query, key and value must be (B, H, length, size), 4 dimensions each"
        )
    if query.size(-1) != key.size(-1):
        raise ValueError(
            f"flex_attention: query {tuple(query.shape)} and key {tuple(key.shape)} must have the same last size"
        )
    heads = query.size(1), key.size(1)
    if heads[0] != heads[1] and not enable_gqa:
        raise ValueError(
            f"flex_attention: {heads[0]} heads of queries and {heads[1]} of keys; pass enable_gqa=True where several share one"
        )
    if heads[0] % heads[1]:
        raise ValueError(f"flex_attention: {heads[0]} heads of queries can't share {heads[1]} heads of keys")


__getattr__ = nearest(__name__)
