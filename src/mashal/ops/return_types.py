"""Results with names: what max, sort, topk and their like return along a dimension.

Tuples whose fields have names, printed as PyTorch prints them. `RETURN_TYPES` is what mashal.return_types shows.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from mashal.core.printing import fields_text

RETURN_TYPES: dict[str, type] = {}


def return_type(name: str, *fields: str) -> Any:
    """The type of an operation's results with these names.

    >>> pair = return_type("pair", "values", "indices")
    >>> pair(1.5, 0)
    torch.return_types.pair(
    values=1.5,
    indices=0)
    """
    made = type(
        name, (namedtuple(name, fields),), {"__slots__": (), "__repr__": _text, "__module__": "torch.return_types"}
    )
    RETURN_TYPES[name] = made
    return made


def _text(self: Any) -> str:
    return fields_text(type(self).__name__, self._asdict())


max = return_type("max", "values", "indices")
min = return_type("min", "values", "indices")
aminmax = return_type("aminmax", "min", "max")
sort = return_type("sort", "values", "indices")
topk = return_type("topk", "values", "indices")
kthvalue = return_type("kthvalue", "values", "indices")
median = return_type("median", "values", "indices")
nanmedian = return_type("nanmedian", "values", "indices")
mode = return_type("mode", "values", "indices")
cummax = return_type("cummax", "values", "indices")
cummin = return_type("cummin", "values", "indices")
histogram = return_type("histogram", "hist", "bin_edges")
histogramdd = return_type("histogramdd", "hist", "bin_edges")
