"""Attention in several heads, as a layer."""

from __future__ import annotations

from typing import Any

from mashal import ops
from mashal.core import dtypes
from mashal.core.tensor import Tensor
from mashal.nn import functional as F
from mashal.nn import init
from mashal.nn.functions.multihead import canonical_mask
from mashal.nn.linear import NonDynamicallyQuantizableLinear
from mashal.nn.module import Module
from mashal.nn.parameter import Parameter

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Attention in num_heads heads of embed_dim / num_heads elements each, with projections before and behind.

    forward(query, key, value): (steps, batch, embed_dim), with batch_first (batch, steps, embed_dim), or without batch; gives (result,
    weights). kdim, vdim: sizes of key and value, by default embed_dim. dropout: of the weights, while training. add_bias_kv,
    add_zero_attn: one more key and value, learnt, or of zeros.

    in_proj_weight is (3 · embed_dim, embed_dim), or there are q_, k_ and v_proj_weight where sizes differ.

    >>> attention = nn.MultiheadAttention(8, 2, batch_first=True)
    >>> output, weights = attention(*[torch.ones(3, 5, 8)] * 3)
    >>> output.shape, weights.shape
    (torch.Size([3, 5, 8]), torch.Size([3, 5, 5]))
    """

    __constants__ = ["batch_first"]
    bias_k: Tensor | None
    bias_v: Tensor | None

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
                 add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
                 device: Any = None, dtype: Any = None) -> None:  # fmt: skip
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"MultiheadAttention: embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads}"
            )
        made = {"device": device, "dtype": dtype}
        super().__init__()
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self.kdim, self.vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError(
                f"MultiheadAttention: embed_dim {embed_dim} must be divisible by num_heads {num_heads}"
            )
        one, several = (
            (lambda *shape: Parameter(ops.empty(shape, **made))),
            ("q_proj_weight", "k_proj_weight", "v_proj_weight"),
        )
        if self._qkv_same_embed_dim:
            self.in_proj_weight = one(3 * embed_dim, embed_dim)
            for name in several:
                self.register_parameter(name, None)
        else:
            for name, size in zip(several, (embed_dim, self.kdim, self.vdim)):
                setattr(self, name, one(embed_dim, size))
            self.register_parameter("in_proj_weight", None)
        self.register_parameter("in_proj_bias", one(3 * embed_dim) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, **made)
        self.bias_k = one(1, 1, embed_dim) if add_bias_kv else None
        self.bias_v = one(1, 1, embed_dim) if add_bias_kv else None
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        if self._qkv_same_embed_dim:
            init.xavier_uniform_(self.in_proj_weight)
        else:
            for weight in (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.constant_(self.in_proj_bias, 0.0)
            init.constant_(self.out_proj.bias, 0.0)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({"_qkv_same_embed_dim": True, **state})  # files from before there was the choice

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        turned = self.batch_first and query.dim() == 3
        if turned:
            if key is value:
                query, key = (
                    (query.transpose(0, 1),) * 2 if query is key else (query.transpose(0, 1), key.transpose(0, 1))
                )  # type: ignore[attr-defined]
                value = key
            else:
                query, key, value = (x.transpose(0, 1) for x in (query, key, value))  # type: ignore[attr-defined]
        output, weights = F.multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight, self.in_proj_bias, self.bias_k, self.bias_v,
            self.add_zero_attn, self.dropout, self.out_proj.weight, self.out_proj.bias, self.training, key_padding_mask,
            need_weights, attn_mask, not self._qkv_same_embed_dim, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight,
            average_attn_weights=average_attn_weights, is_causal=is_causal,
        )  # fmt: skip
        return (output.transpose(0, 1) if turned else output), weights  # type: ignore[attr-defined]

    def merge_masks(
        self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, query: Tensor
    ) -> tuple[Tensor | None, int | None]:
        """Both masks as one, and which it is: 0 attn_mask, 1 key_padding_mask, 2 both (batch, heads, L, L); None: there is none."""
        kind = None if key_padding_mask is None else 1
        merged = key_padding_mask
        if attn_mask is not None:
            batch, length, _ = query.shape
            wide = attn_mask if attn_mask.dim() == 3 else attn_mask.view(1, 1, length, length)  # type: ignore[attr-defined]
            merged, kind = (wide.view(batch, -1, length, length) if attn_mask.dim() == 3 else wide), 2  # type: ignore[attr-defined]
            merged = merged.expand(batch, self.num_heads, -1, -1)
            if key_padding_mask is not None:
                padding = key_padding_mask.view(batch, 1, 1, length).expand(-1, self.num_heads, -1, -1)  # type: ignore[attr-defined]
                either = merged.dtype is dtypes.bool and padding.dtype is dtypes.bool
                merged = merged | padding if either else _added(merged, padding, query)
        return merged, kind


def _added(a: Tensor, b: Tensor, query: Tensor) -> Any:
    first, second = (canonical_mask(x, "mask", None, query.dtype) for x in (a, b))
    return first + second  # type: ignore[operator]
