"""The dtype of a result: PyTorch's rules for tensors, 0-d tensors and numbers together.

Operands fall into three priorities: tensors with dimensions, 0-d tensors, Python numbers. A lower priority changes the
dtype only if its kind (bool < integer < floating < complex) is higher than that of all priorities above it.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Number
from typing import Any

from mashal.core import dtypes
from mashal.core.dtypes import dtype, promote
from mashal.core.tensor import Tensor

_RANK = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


def number_dtype(x: Any) -> dtype:
    """The dtype that a Python number stands for."""
    if isinstance(x, bool):
        return dtypes.bool
    if isinstance(x, int):
        return dtypes.int64
    if isinstance(x, float):
        return dtypes.get_default_dtype()
    return dtypes.get_default_dtype().to_complex()


def result_type_of(operands: Iterable[Any]) -> dtype:
    """The common dtype of tensors and numbers; operands may also be (dtype, rank) pairs, rank -1 for a number."""
    best: list[dtype | None] = [None, None, None]
    for x in operands:
        if isinstance(x, Tensor):
            d, priority = x.form.dtype, 0 if x.form.rank else 1
        elif isinstance(x, tuple):
            d, priority = x[0], 2 if x[1] < 0 else 0 if x[1] else 1
        else:
            d, priority = number_dtype(x), 2
        before = best[priority]
        best[priority] = d if before is None else promote(before, d)
    return _combined(*best)


def _combined(tensors: dtype | None, zero_dims: dtype | None, numbers: dtype | None) -> dtype:
    result = tensors
    for lower in (zero_dims, numbers):
        if lower is None:
            continue
        if result is None:
            result = lower
        elif _RANK[lower.kind] > _RANK[result.kind]:
            result = _of_kind(lower, result)
    assert result is not None
    return result


def _of_kind(lower: dtype, upper: dtype) -> dtype:
    """The lower priority's dtype, widened if the upper one asks for it (complex of a double)."""
    return (
        promote(lower, upper)
        if lower.kind == "c" and upper.kind == "f" and upper.itemsize == 8
        else _complex_of(lower, upper)
    )


def _complex_of(lower: dtype, upper: dtype) -> dtype:
    if lower.kind == "c" and upper.kind == "f":
        return upper.to_complex()
    return lower


def floating(d: dtype) -> dtype:
    """The dtype in which a floating-point function of this dtype is computed."""
    return d if d.kind in "fc" else dtypes.get_default_dtype()


def is_operand(x: Any) -> bool:
    """Whether arithmetic takes x: a tensor, a number, or an array's element."""
    return isinstance(x, (Tensor, Number)) or (hasattr(x, "item") and getattr(x, "ndim", None) == 0)
