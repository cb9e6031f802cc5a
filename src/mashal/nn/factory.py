"""What layers pass on to the functions that make their tensors."""

from __future__ import annotations

from typing import Any

__all__ = ["factory_kwargs"]

_SIMPLE = {"device", "dtype", "memory_format"}


def factory_kwargs(kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """The options of a layer as those of the functions that make tensors: device, dtype, memory_format, and those in "factory_kwargs".

    TypeError: there is another one, or one is given twice.

    >>> nn.factory_kwargs({"dtype": torch.float64, "factory_kwargs": {"device": "cpu"}})
    {'device': 'cpu', 'dtype': torch.float64}
    """
    given = dict(kwargs or {})
    found = dict(given.pop("factory_kwargs", {}))
    unknown = sorted((given.keys() | found.keys()) - _SIMPLE)
    if unknown:
        raise TypeError(f"factory_kwargs: unexpected kwargs {unknown}; there are {sorted(_SIMPLE)}")
    for name, value in given.items():
        if name in found:
            raise TypeError(f"factory_kwargs: {name} specified twice, in **kwargs and in factory_kwargs")
        found[name] = value
    return found
