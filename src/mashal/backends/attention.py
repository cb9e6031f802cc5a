"""Which ways to compute attention may be chosen on CUDA devices: settings that are kept, for devices there are none of."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["SDPAParams", "settings"]

_ALLOWED = {"flash": True, "mem_efficient": True, "math": True, "cudnn": True, "fp16_bf16_reduction_math": False}


class SDPAParams:
    """The operands of an attention that is asked about: query, key, value, attn_mask, dropout, is_causal, enable_gqa."""

    def __init__(
        self,
        query: Any,
        key: Any,
        value: Any,
        attn_mask: Any,
        dropout: float,
        is_causal: bool,
        enable_gqa: bool = False,
    ):
        self.query, self.key, self.value, self.attn_mask = query, key, value, attn_mask
        self.dropout, self.is_causal, self.enable_gqa = dropout, is_causal, enable_gqa


def _asks(way: str) -> Callable[[], bool]:
    def enabled() -> bool:
        return _ALLOWED[way]

    enabled.__doc__ = f"Whether {way} attention may be chosen on a CUDA device."
    return enabled


def _sets(way: str) -> Callable[[bool], None]:
    def enable(enabled: bool) -> None:
        _ALLOWED[way] = bool(enabled)

    enable.__doc__ = f"Sets whether {way} attention may be chosen on a CUDA device."
    return enable


def _can_use(params: SDPAParams, debug: bool = False) -> bool:
    """Whether this attention can be computed so: no, there is no CUDA device."""
    if not isinstance(params, SDPAParams):
        raise TypeError(f"can_use_flash_attention(): argument 'params' must be SDPAParams, not {type(params).__name__}")
    return False


@contextlib.contextmanager
def sdp_kernel(
    enable_flash: bool = True, enable_math: bool = True, enable_mem_efficient: bool = True, enable_cudnn: bool = True
) -> Iterator[None]:
    """A block in which only these ways may be chosen; old: use torch.nn.attention.sdpa_kernel."""
    before = dict(_ALLOWED)
    _ALLOWED.update(flash=enable_flash, math=enable_math, mem_efficient=enable_mem_efficient, cudnn=enable_cudnn)
    try:
        yield
    finally:
        _ALLOWED.update(before)


def _no() -> bool:
    """No: there is no CUDA device."""
    return False


def settings() -> dict[str, Any]:
    """What torch.backends.cuda has of this."""
    ways = ("flash", "mem_efficient", "math", "cudnn")
    return {
        **{f"{way}_sdp_enabled": _asks(way) for way in ways},
        **{f"enable_{way}_sdp": _sets(way) for way in ways},
        "fp16_bf16_reduction_math_sdp_allowed": _asks("fp16_bf16_reduction_math"),
        "allow_fp16_bf16_reduction_math_sdp": _sets("fp16_bf16_reduction_math"),
        "can_use_flash_attention": _can_use,
        "can_use_efficient_attention": _can_use,
        "can_use_cudnn_attention": _can_use,
        "is_flash_attention_available": _no,
        "is_ck_sdpa_available": _no,
        "sdp_kernel": sdp_kernel,
        "SDPAParams": SDPAParams,
    }
