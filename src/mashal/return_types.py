"""torch.return_types: the named results of max, sort, topk and their like."""

from typing import Any

from mashal.methods.families import found
from mashal.nearest import nearest
from mashal.ops.families import FAMILIES
from mashal.ops.return_types import RETURN_TYPES

globals().update(RETURN_TYPES)
__all__ = sorted(RETURN_TYPES)


def _find(name: str) -> Any:
    """The type of a family that is not imported yet."""
    if not name.startswith("__"):
        for family in FAMILIES:
            found(family)
    return RETURN_TYPES.get(name)


__getattr__ = nearest(__name__, find_value=_find)
