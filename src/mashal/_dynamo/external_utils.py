"""torch._dynamo.external_utils: an older place of `is_compiling`."""

from __future__ import annotations

from mashal.compiler.marks import is_compiling
from mashal.nearest import nearest

__all__ = ["is_compiling"]

__getattr__ = nearest(__name__)
