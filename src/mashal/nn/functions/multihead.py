"""Attention in several heads: projections, heads, attention, one projection back."""

from __future__ import annotations

import math
from typing import Any

from mashal import ops
from mashal.core import dtypes
from mashal.core.tensor import Tensor
from mashal.nn.functions.dropout import dropout

__all__ = ["canonical_mask", "multi_head_attention_forward"]

_NAME = "multi_head_attention_forward"


def canonical_mask(mask: Tensor | None, name: str, other: Any, dtype: Any) -> Tensor | None:
    """A mask as numbers to be added: a bool one becomes -inf where it is True.

    AssertionError unless it is bool or floating.
    """
    if mask is None:
        return None
    if mask.dtype is not dtypes.bool and not mask.is_floating_point():
        raise AssertionError(f"{_NAME}: only bool and floating types of {name} are supported, not {mask.dtype}")
    if mask.dtype is dtypes.bool:
        return ops.zeros_like(mask, dtype=dtype).masked_fill_(mask, -math.inf)  # type: ignore[attr-defined]
    return mask


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention in num_heads heads: (the result, the weights or None).

    query (L, N, E), key and value (S, N, ·), or all without N. attn_mask (L, S) or (N · heads, L, S), key_padding_mask (N, S): what may
    not be looked at (bool), or what is added to the scores. is_causal says that attn_mask is the causal one. need_weights: give the
    weights (N, L, S), the mean over heads unless average_attn_weights is False. `nn.MultiheadAttention` says the rest.
    """
    batched = _check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        query, key, value = (x.unsqueeze(1) for x in (query, key, value))  # type: ignore[attr-defined]
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)  # type: ignore[attr-defined]
    length, batch, width = query.shape
    key_padding_mask = canonical_mask(key_padding_mask, "key_padding_mask", attn_mask, query.dtype)
    if is_causal and attn_mask is None:
        raise RuntimeError(f"{_NAME}: Need attn_mask if specifying the is_causal hint.")
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None
    else:
        attn_mask = canonical_mask(attn_mask, "attn_mask", None, query.dtype)
        is_causal = is_causal and key_padding_mask is None
    _check_sizes(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    if use_separate_proj_weight:
        weights = q_proj_weight, k_proj_weight, v_proj_weight
        if any(w is None for w in weights):
            raise AssertionError(
                f"{_NAME}: use_separate_proj_weight is True but one of the projections' weights is None"
            )
        biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)  # type: ignore[attr-defined]
        q, k, v = (ops.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases))
    else:
        if in_proj_weight is None:
            raise AssertionError(f"{_NAME}: use_separate_proj_weight is False but in_proj_weight is None")
        q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias)
    if attn_mask is not None:
        attn_mask = _check_mask(attn_mask, length, key.size(0), batch * num_heads)
    added = 0
    if bias_k is not None and bias_v is not None:
        if static_k is not None or static_v is not None:
            raise AssertionError(f"{_NAME}: bias cannot be added to static key or value")
        k, v = ops.cat([k, bias_k.repeat(1, batch, 1)]), ops.cat([v, bias_v.repeat(1, batch, 1)])  # type: ignore[attr-defined]
        added += 1
    elif bias_k is not None or bias_v is not None:
        raise AssertionError(f"{_NAME}: bias_k and bias_v go together; one is None")
    head = width // num_heads
    q = _heads(q, batch * num_heads, head)
    k = (
        _heads(k, batch * num_heads, head)
        if static_k is None
        else _static("static_k", static_k, batch * num_heads, head)
    )
    v = (
        _heads(v, batch * num_heads, head)
        if static_v is None
        else _static("static_v", static_v, batch * num_heads, head)
    )
    if add_zero_attn:
        k, v = (ops.cat([x, x.new_zeros((x.size(0), 1, head))], 1) for x in (k, v))
        added += 1
    if added:
        attn_mask, key_padding_mask = (
            None if m is None else ops.pad(m, (0, added)) for m in (attn_mask, key_padding_mask)
        )
    source = k.size(1)
    if key_padding_mask is not None:
        padding = key_padding_mask.view(batch, 1, 1, source).expand(-1, num_heads, -1, -1)  # type: ignore[attr-defined]
        padding = padding.reshape(batch * num_heads, 1, source)
        attn_mask = padding if attn_mask is None else attn_mask + padding
    rate = dropout_p if training else 0.0
    if need_weights:
        scores = ops.bmm(q * math.sqrt(1.0 / q.shape[-1]), k.transpose(-2, -1))
        attention = ops.softmax(scores if attn_mask is None else attn_mask + scores, -1)
        attention = dropout(attention, rate) if rate > 0 else attention
        joined = ops.bmm(attention, v).transpose(0, 1).contiguous().view(length * batch, width)  # type: ignore[attr-defined]
    else:
        if attn_mask is not None:
            one = attn_mask.size(0) == 1 and attn_mask.dim() == 3
            attn_mask = attn_mask.unsqueeze(0) if one else attn_mask.view(batch, num_heads, -1, source)  # type: ignore[attr-defined]
        apart = [x.view(batch, num_heads, x.size(1), head) for x in (q, k, v)]
        joined = ops.scaled_dot_product_attention(*apart, attn_mask, rate, is_causal)
        joined = joined.permute(2, 0, 1, 3).contiguous().view(batch * length, width)  # type: ignore[attr-defined]
    output = ops.linear(joined, out_proj_weight, out_proj_bias).view(length, batch, -1)  # type: ignore[attr-defined]
    seen = None
    if need_weights:
        seen = attention.view(batch, num_heads, length, source)  # type: ignore[attr-defined, possibly-undefined]
        seen = seen.mean(1) if average_attn_weights else seen
    if not batched:
        return output.squeeze(1), None if seen is None else seen.squeeze(0)
    return output, seen


def _heads(x: Tensor, count: int, head: int) -> Any:
    return x.view(x.shape[0], count, head).transpose(0, 1)  # type: ignore[attr-defined]


def _static(name: str, x: Tensor, count: int, head: int) -> Tensor:
    if x.size(0) != count or x.size(2) != head:
        raise AssertionError(f"{_NAME}: expecting {name} of sizes ({count}, ·, {head}), but got {tuple(x.shape)}")
    return x


def _projected(query: Tensor, key: Tensor, value: Tensor, weight: Tensor, bias: Tensor | None) -> Any:
    """The three projections by one weight, by as few products as there are different tensors."""
    width = query.size(-1)
    if key is value and query is key:
        together = ops.linear(query, weight, bias)
        apart = together.unflatten(-1, (3, width)).unsqueeze(0).transpose(0, -2).squeeze(-2).contiguous()  # type: ignore[attr-defined]
        return apart[0], apart[1], apart[2]
    if key is value:
        w, b = weight.split([width, 2 * width]), (None, None) if bias is None else bias.split([width, 2 * width])  # type: ignore[attr-defined]
        pair = ops.linear(key, w[1], b[1])
        pair = pair.unflatten(-1, (2, width)).unsqueeze(0).transpose(0, -2).squeeze(-2).contiguous()  # type: ignore[attr-defined]
        return ops.linear(query, w[0], b[0]), pair[0], pair[1]
    w, b = weight.chunk(3), (None,) * 3 if bias is None else bias.chunk(3)  # type: ignore[attr-defined]
    return tuple(ops.linear(x, y, z) for x, y, z in zip((query, key, value), w, b))


# ---------------------------------------------------------------- checks
def _check_shapes(
    query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None, mask: Tensor | None, heads: int
) -> bool:
    """Whether the operands are batched. AssertionError: their ranks do not go together."""
    if query.dim() not in (2, 3):
        raise AssertionError(
            f"{_NAME}: query should be unbatched 2D or batched 3D tensor but received {query.dim()}-D query tensor"
        )
    rank = query.dim()
    if key.dim() != rank or value.dim() != rank:
        raise AssertionError(
            f"{_NAME}: for {rank}-D query, key and value must be {rank}-D too, but they are {key.dim()}-D and {value.dim()}-D"
        )
    if padding is not None and padding.dim() != rank - 1:
        raise AssertionError(
            f"{_NAME}: for {rank}-D query, key_padding_mask must be {rank - 1}-D but it is {padding.dim()}-D"
        )
    if mask is not None and mask.dim() not in (2, 3):
        raise AssertionError(f"{_NAME}: attn_mask must be 2-D or 3-D but it is {mask.dim()}-D")
    if mask is not None and rank == 2 and mask.dim() == 3:
        expected = heads, query.shape[0], key.shape[0]
        if tuple(mask.shape) != expected:
            raise AssertionError(f"{_NAME}: Expected attn_mask shape to be {expected} but got {tuple(mask.shape)}")
    return rank == 3


def _check_sizes(query: Tensor, key: Tensor, value: Tensor, expected: int, heads: int, separate: bool) -> None:
    width = query.shape[-1]
    if width != expected:
        raise AssertionError(f"{_NAME}: was expecting embedding dimension of {expected}, but got {width}")
    if width % heads:
        raise AssertionError(f"{_NAME}: embed_dim {width} not divisible by num_heads {heads}")
    same = key.shape[:2] == value.shape[:2] if separate else key.shape == value.shape
    if not same:
        raise AssertionError(f"{_NAME}: key shape {tuple(key.shape)} does not match value shape {tuple(value.shape)}")


def _check_mask(mask: Tensor, length: int, source: int, count: int) -> Tensor:
    expected = (length, source) if mask.dim() == 2 else (count, length, source)
    if tuple(mask.shape) != expected:
        raise RuntimeError(
            f"{_NAME}: The shape of the {mask.dim()}D attn_mask is {tuple(mask.shape)}, but should be {expected}."
        )
    return mask.unsqueeze(0) if mask.dim() == 2 else mask  # type: ignore[attr-defined]
