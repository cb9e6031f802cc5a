"""torch._dynamo.utils: counters of what compile did.

counters["stats"]["unique_graphs"]: recordings made; counters["graph_break"]: places where functions were cut, by reason.
"""

from __future__ import annotations

from mashal.capture.news import counters
from mashal.nearest import nearest

__all__ = ["counters", "is_compile_supported"]


def is_compile_supported(device_type: str) -> bool:
    """Whether functions of tensors on such a device are compiled: where there are kernels, on the CPU.

    >>> torch._dynamo.utils.is_compile_supported("cpu")
    True
    """
    return device_type.partition(":")[0] == "cpu"


__getattr__ = nearest(__name__)
