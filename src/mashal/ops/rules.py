"""Which dtype an operation computes in and which it stores, by the promoted dtype of its operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.core.dtypes import bool as bool_
from mashal.core.dtypes import dtype
from mashal.lang.expression import operand
from mashal.ops.promotion import floating as as_floating
from mashal.ops.promotion import number_dtype

Rule = Callable[[dtype], tuple[dtype, dtype]]


def same(d: dtype) -> tuple[dtype, dtype]:
    """Computed in, and stored as, the promoted dtype."""
    return d, d


def floating(d: dtype) -> tuple[dtype, dtype]:
    """Integers and bools become the default floating dtype."""
    return as_floating(d), as_floating(d)


def only_floating(d: dtype) -> tuple[dtype, dtype]:
    """Computed in, and stored as, the promoted dtype, which must be floating (`Pointwise.dtypes_of` refuses others)."""
    return d, d


def boolean(d: dtype) -> tuple[dtype, dtype]:
    """Compared in the promoted dtype; the result is a bool."""
    return d, bool_


def real_part(d: dtype) -> tuple[dtype, dtype]:
    """The result of a complex operand is real."""
    return d, d.to_real()


# ---------------------------------------------------------------- in kernels
def in_registers(d: dtype) -> dtype:
    """The dtype in which a kernel computes with elements of d."""
    return operand(0, d).dtype


def number_kind(x: Any, compute: dtype) -> dtype:
    """How a number is handed to a kernel: as a double for floating arithmetic, else as an integer."""
    d = number_dtype(x)
    if compute.kind in "fc" or d.kind == "f":
        return in_registers(compute).to_real() if compute.kind in "fc" else d
    return compute if compute.kind != "b" or d.kind == "b" else d
