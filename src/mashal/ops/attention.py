"""Attention: each query's weighted mean of the values, weights by how well its key fits.

One kernel where nothing is masked but the future and nothing is dropped (ops.flash), else composed of products, softmax and
dropout. A row whose keys are all masked gives zeros, as in PyTorch.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from mashal.core import dtypes
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops import flash
from mashal.ops.arithmetic import add, mul
from mashal.ops.comparison import eq, ge
from mashal.ops.contraction import matmul, reshaped, transposed
from mashal.ops.creation import arange
from mashal.ops.define import spelled
from mashal.ops.dropouts import dropout
from mashal.ops.reducing import in_dtype
from mashal.ops.reductions import all_
from mashal.ops.remembered import door
from mashal.ops.selection import where
from mashal.ops.softmaxes import softmax
from mashal.ops.subclasses import PLAIN


@spelled(where=("functional",))
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query·keyᵀ·scale + mask)·value over the last two dimensions.

    query (…, L, E), key (…, S, E), value (…, S, V) give (…, L, V). attn_mask: broadcast to (…, L, S); a bool says which
    keys take part, a float is added. is_causal: query i sees the keys up to i. scale: 1/√E by default. enable_gqa: there are
    fewer heads of keys and values than of queries, each serves several.

    >>> q = torch.ones(1, 2, 4)
    >>> F.scaled_dot_product_attention(q, q, torch.tensor([[[1.0], [3.0]]]), is_causal=True)
    tensor([[[1.],
             [2.]]])
    """
    return _attention.find(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)


@door(4)
def _attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, dropout_p: float, is_causal: bool,
               scale: float | None, enable_gqa: bool) -> Any:  # fmt: skip
    """What is known of such a call, or its result."""
    _check(query, key, value, attn_mask, is_causal)
    if query.dtype in (dtypes.float16, dtypes.bfloat16):  # the scores' exponents need more digits than halves have
        wide = [in_dtype(x, dtypes.float32) for x in (query, key, value)]
        mask = attn_mask if attn_mask is None or attn_mask.dtype is dtypes.bool else in_dtype(attn_mask, dtypes.float32)
        y = _attention(*wide, mask, dropout_p, is_causal, scale, enable_gqa)
        return in_dtype(y, query.dtype)
    if enable_gqa:
        wide = [_repeated(x, query.shape[-3]) for x in (key, value)]
        return _attention(query, *wide, attn_mask, dropout_p, is_causal, scale, False)
    weights = partial(_weights, attn_mask, is_causal, scale)
    if attn_mask is None and dropout_p == 0 and {type(query), type(key), type(value)} <= PLAIN:
        factor = 1 / math.sqrt(max(query.shape[-1], 1)) if scale is None else float(scale)
        call = flash.attention(query.form, key.form, value.form, is_causal, factor, weights)
        if call is not None:
            return call
    shares = weights(query, key)
    if dropout_p > 0:
        shares = dropout(shares, dropout_p, True)
    return matmul(shares, value)


def _weights(mask: Tensor | None, is_causal: bool, scale: float | None, query: Tensor, key: Tensor) -> Tensor:
    """How much each query takes of each key's value: (…, L, S)."""
    factor = math.sqrt(1 / math.sqrt(max(query.shape[-1], 1)) if scale is None else abs(scale))
    scaled = mul(query, factor if scale is None or scale >= 0 else -factor)
    scores = matmul(scaled, transposed(mul(key, factor)))
    if is_causal:
        mask = _causal(query.shape[-2], key.shape[-2], query.device)
    if mask is not None:
        scores = _masked(scores, mask)
    weights = softmax(scores, -1)
    if mask is not None and not is_causal:
        weights = where(all_(eq(scores, -math.inf), -1, keepdim=True), 0.0, weights)
    return weights


def _causal(rows: int, columns: int, device: Any) -> Tensor:
    """The mask that lets row i see the columns up to i."""
    i, j = arange(rows, device=device), arange(columns, device=device)
    return ge(reshaped(i, (rows, 1)), j)


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    return where(mask, scores, -math.inf) if mask.dtype is dtypes.bool else add(scores, mask)


def _repeated(x: Tensor, heads: int) -> Tensor:
    """Each head of x as often as makes `heads` of them."""
    own = x.shape[-3]
    if own == heads:
        return x
    if not own or heads % own:
        wrong = f"{heads} heads of queries cannot share {own} heads of keys and values"
        raise RuntimeError(message("scaled_dot_product_attention", wrong))
    wide = x.unsqueeze(-3).expand(*x.shape[:-2], heads // own, *x.shape[-2:])  # type: ignore[attr-defined]
    return wide.reshape(*x.shape[:-3], heads, *x.shape[-2:])


def _check(query: Any, key: Any, value: Any, mask: Any, is_causal: bool) -> None:
    """Refuses what attention cannot be made of."""
    name = "scaled_dot_product_attention"
    for label, x in (("query", query), ("key", key), ("value", value)):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}(): argument '{label}' must be Tensor, not {type(x).__name__}")
        if x.ndim < 2:
            raise RuntimeError(message(name, f"{label} {tuple(x.shape)} needs at least 2 dimensions"))
        if x.dtype is not query.dtype:
            raise RuntimeError(message(name, f"query is {query.dtype}, {label} {x.dtype}", "all must have one dtype"))
    if mask is not None and is_causal:
        raise RuntimeError(message(name, "attn_mask and is_causal=True exclude each other"))
    if mask is not None and mask.dtype not in (dtypes.bool, query.dtype):
        raise RuntimeError(message(name, f"attn_mask is {mask.dtype}", f"it must be bool or query's {query.dtype}"))
