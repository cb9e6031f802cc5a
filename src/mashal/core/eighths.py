"""Floating numbers of 8 bits: how their bits are read, as data and as numbers.

An `Eighth` says how many of the bits are mantissa, what is taken off the exponent, and how infinity and nan are written:
"ieee" as IEEE would, "fn" without infinity and nan in the last place, "fnuz" with nan where -0 would be, "scale" powers of two.
"""

from __future__ import annotations

from typing import NamedTuple

from mashal.core import dtypes
from mashal.core.dtypes import dtype

__all__ = ["EIGHTHS", "Eighth", "number_of"]


class Eighth(NamedTuple):
    """See the module."""

    mantissa: int
    bias: int
    manner: str

    @property
    def largest(self) -> int:
        """The bits of the largest finite number."""
        return {"ieee": 0x7F - (1 << self.mantissa), "fn": 0x7E, "fnuz": 0x7F, "scale": 0xFE}[self.manner]


EIGHTHS: dict[dtype, Eighth] = {
    dtypes.float8_e4m3fn: Eighth(3, 7, "fn"),
    dtypes.float8_e5m2: Eighth(2, 15, "ieee"),
    dtypes.float8_e4m3fnuz: Eighth(3, 8, "fnuz"),
    dtypes.float8_e5m2fnuz: Eighth(2, 16, "fnuz"),
    dtypes.float8_e8m0fnu: Eighth(0, 127, "scale"),
}


def number_of(bits: int, how: Eighth) -> float:
    """The number that 8 bits stand for.

    >>> number_of(0x38, EIGHTHS[dtypes.float8_e4m3fn])
    1.0
    """
    if how.manner == "scale":
        return float("nan") if bits == 0xFF else 2.0 ** (bits - 127)
    size, negative = bits & 0x7F, bits >> 7
    if how.manner == "fnuz" and bits == 0x80:
        return float("nan")
    if how.manner != "fnuz" and size > how.largest:
        infinite = how.manner == "ieee" and size == how.largest + 1
        return (-1.0 if negative else 1.0) * float("inf") if infinite else float("nan")
    exponent, digits = size >> how.mantissa, size & ((1 << how.mantissa) - 1)
    lead = 1 << how.mantissa if exponent else 0
    value = (lead + digits) * 2.0 ** (max(exponent, 1) - how.bias - how.mantissa)
    return -value if negative else value
