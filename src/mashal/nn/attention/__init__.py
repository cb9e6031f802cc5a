"""nn.attention: which implementation computes attention, and attention with scores of one's own.

backends         SDPBackend, sdpa_kernel
flex_attention   scores and masks as functions; blocks: masks by blocks
"""

from mashal.nearest import nearest
from mashal.nn.attention import flex_attention
from mashal.nn.attention.backends import WARN_FOR_UNFUSED_KERNELS, SDPBackend, sdpa_kernel

__all__ = ["WARN_FOR_UNFUSED_KERNELS", "SDPBackend", "flex_attention", "sdpa_kernel"]

__getattr__ = nearest(__name__)
