"""What compile raises: PyTorch's classes, which programs know as torch._dynamo.exc.

    RuntimeError
    └── TorchDynamoException         compile cannot do what it was asked for
        ├── Unsupported              fullgraph=True, and a part of the function cannot be recorded
        ├── RecompileError           the function would be recorded again, and a setting forbids it
        ├── InvalidBackend           there is no backend of this name
        ├── BackendCompilerFailed    a backend that is a function raised an error
        ├── TorchRuntimeError        never raised: an error inside a compiled function is the one that it raises without compile
        ├── UserError                never raised, for the same reason
        └── InternalTorchDynamoError never raised; it is here for programs that catch it
    RuntimeError
    └── NoSecondGradient             the gradient of a gradient was asked for, of a call that cannot be made once more
    Exception
    └── FailOnRecompileLimitHit      the function was recorded as often as is allowed, and that was to be an error

Stands on nothing.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "BackendCompilerFailed", "FailOnRecompileLimitHit", "InternalTorchDynamoError", "InvalidBackend", "NoSecondGradient",
    "RecompileError",
    "TorchDynamoException", "TorchRuntimeError", "Unsupported", "UserError",
]  # fmt: skip


class TorchDynamoException(RuntimeError):
    """compile cannot do what it was asked for."""


class Unsupported(TorchDynamoException):
    """With fullgraph=True: a part of the function cannot be recorded. msg: the whole text."""

    @property
    def msg(self) -> str:
        """The text, as `str` gives it."""
        return str(self)


class RecompileError(TorchDynamoException):
    """A function would be recorded again, and torch._dynamo.config.error_on_recompile forbids it."""


class InvalidBackend(TorchDynamoException):
    """There is no backend of this name."""


class BackendCompilerFailed(TorchDynamoException):
    """A backend that is a function raised an error: inner_exception; backend_name: the function's."""

    def __init__(self, backend: Any, inner_exception: BaseException):
        self.backend_name = getattr(backend, "__name__", type(backend).__name__)
        self.inner_exception = inner_exception
        super().__init__(f"backend={self.backend_name!r} raised:\n{type(inner_exception).__name__}: {inner_exception}")

    def __reduce__(self) -> Any:
        return TorchDynamoException.__new__, (type(self), *self.args), self.__dict__


class TorchRuntimeError(TorchDynamoException):
    """Never raised: an error inside a compiled function is the one that it raises without compile."""


class UserError(TorchDynamoException):
    """Never raised: an error inside a compiled function is the one that it raises without compile."""


class InternalTorchDynamoError(TorchDynamoException):
    """Never raised; it is here for programs that catch it."""


class FailOnRecompileLimitHit(Exception):
    """A function was recorded as often as is allowed, and that was to be an error."""


class NoSecondGradient(RuntimeError):
    """The gradient of a compiled function's gradient was asked for, and the call cannot be made once more for that."""
