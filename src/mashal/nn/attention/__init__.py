"""nn.attention: which implementation computes attention, and attention with scores of one's own.

backends         SDPBackend, sdpa_kernel
implementations  those of other packages
flex_attention   scores and masks as functions; blocks: masks by blocks
"""

from mashal.nearest import nearest
from mashal.nn.attention import flex_attention
from mashal.nn.attention.backends import WARN_FOR_UNFUSED_KERNELS, SDPBackend, sdpa_kernel
from mashal.nn.attention.implementations import (
    activate_flash_attention_impl,
    current_flash_attention_impl,
    list_flash_attention_impls,
    register_flash_attention_impl,
    restore_flash_attention_impl,
)

__all__ = [
    "WARN_FOR_UNFUSED_KERNELS",
    "SDPBackend",
    "activate_flash_attention_impl",
    "current_flash_attention_impl",
    "flex_attention",
    "list_flash_attention_impls",
    "register_flash_attention_impl",
    "restore_flash_attention_impl",
    "sdpa_kernel",
]

__getattr__ = nearest(__name__)
