"""torch._functorch: its settings, which programs set before they compile. The transforms are in torch.func."""

from __future__ import annotations

from mashal._functorch import config
from mashal.nearest import nearest

__all__ = ["config"]

__getattr__ = nearest(__name__)
