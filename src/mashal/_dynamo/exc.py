"""torch._dynamo.exc: what compile raises. The classes are those of mashal.capture.errors."""

from __future__ import annotations

from mashal.capture.errors import (
    BackendCompilerFailed,
    FailOnRecompileLimitHit,
    InternalTorchDynamoError,
    InvalidBackend,
    RecompileError,
    TorchDynamoException,
    TorchRuntimeError,
    Unsupported,
    UserError,
)
from mashal.nearest import nearest

__all__ = [
    "BackendCompilerFailed", "FailOnRecompileLimitHit", "InternalTorchDynamoError", "InvalidBackend", "RecompileError",
    "TorchDynamoException", "TorchRuntimeError", "Unsupported", "UserError",
]  # fmt: skip

__getattr__ = nearest(__name__)
