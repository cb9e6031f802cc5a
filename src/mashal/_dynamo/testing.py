"""torch._dynamo.testing: backends that count what compile records."""

from __future__ import annotations

from typing import Any

from mashal.compiler.backends import is_native
from mashal.later import later
from mashal.nearest import nearest

__all__ = ["CompileCounter", "CompileCounterWithBackend"]

costs: Any = later("mashal.capture.costs")


class CompileCounter:
    """A backend that counts: frame_count recordings were made, with op_count operations all together.

    What is recorded is mashal's own, and so is the count: sizes that change are shared from the third one on.

    >>> counter = torch._dynamo.testing.CompileCounter()
    >>> double = torch.compile(lambda x: x * 2 + 1, backend=counter)
    >>> [double(torch.ones(n)).sum().item() for n in (1, 1, 2)], counter.frame_count, counter.op_count
    ([3.0, 3.0, 6.0], 2, 4)
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Counts from zero again."""
        self.frame_count = self.op_count = 0

    def recorded(self, recording: Any) -> None:
        """Called by compile for each recording."""
        self.frame_count += 1
        self.op_count += costs.recorded_in(recording.program)

    def __call__(self, module: Any, tensors: Any) -> Any:
        return module.forward


class CompileCounterWithBackend(CompileCounter):
    """The same with the name of a backend; all of them record.

    >>> counter = torch._dynamo.testing.CompileCounterWithBackend("inductor")
    >>> y = torch.compile(lambda x: x * 2, backend=counter)(torch.ones(1))
    >>> counter.frame_count
    1
    """

    def __init__(self, backend: str) -> None:
        is_native(backend)
        self.backend = backend
        super().__init__()


__getattr__ = nearest(__name__)
