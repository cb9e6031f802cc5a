"""Making a module without drawing its first values."""

from __future__ import annotations

import inspect
from typing import Any

from mashal.nn.module import Module


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Any:
    """A module of a class, its parameters not initialised: for one whose state is loaded next.

    RuntimeError unless the class is a Module whose parameters can be made on a device of choice.

    >>> nn.utils.skip_init(nn.Linear, 2, 3).weight.shape
    torch.Size([3, 2])
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"skip_init: expected a Module, got {module_cls.__name__}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError(f"skip_init: {module_cls.__name__} takes no device; its parameters cannot be left out")
    device = kwargs.pop("device", "cpu")
    return module_cls(*args, device="meta", **kwargs).to_empty(device=device)
