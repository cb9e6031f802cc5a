"""Which implementation of attention may be used: here there is one, and all names stand for it."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

__all__ = ["WARN_FOR_UNFUSED_KERNELS", "SDPBackend", "sdpa_kernel"]

WARN_FOR_UNFUSED_KERNELS = False


class SDPBackend(enum.IntEnum):
    """PyTorch's implementations of attention."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(backends: SDPBackend | Sequence[SDPBackend], set_priority: bool = False) -> Iterator[dict]:
    """Says which implementations may be used within; the one there is computes what each of them would.

    AssertionError: backends is no SDPBackend, nor a list of them.

    >>> with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
    ...     pass
    """
    several = [backends] if isinstance(backends, SDPBackend) else backends
    if not isinstance(several, (list, tuple)) or not all(isinstance(b, SDPBackend) for b in several):
        raise AssertionError(
            f"sdpa_kernel: backends must be an instance of SDPBackend or a list of them, not {backends!r}"
        )
    yield {}
