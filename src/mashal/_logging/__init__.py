"""torch._logging: which notes compile makes while it works."""

from __future__ import annotations

from mashal._logging.notes import set_logs
from mashal.nearest import nearest

__all__ = ["set_logs"]

__getattr__ = nearest(__name__)
