"""How tensors print: core.printing's texts as methods."""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import get_default_dtype
from mashal.core.printing import formatted, text
from mashal.core.tensor import Tensor


def represented(self: Any, *, tensor_contents: str | None = None) -> str:
    """The tensor's numbers, and what they don't say: dtype, device, size, gradient."""
    return text(self, get_default_dtype(), "tensor" if type(self) is Tensor else type(self).__name__)


Tensor.__repr__ = represented  # type: ignore[method-assign]
Tensor.__format__ = formatted  # type: ignore[method-assign]
