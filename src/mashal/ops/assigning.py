"""In-place forms of operations that compute a new tensor: the result is written into the first operand, its history too.

spelled(EVERYWHERE, in_place=assigned(addmm))(addmm)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mashal.core.tape import mode, no_grad
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.copying import check_tensor, clone, copy_
from mashal.ops.define import check_not_expanded, check_writable, dispatched, late, overrides
from mashal.ops.run import check_cast

__all__ = ["assigned"]


def assigned(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """NAME_ for a function NAME of tensors: its result must have the first operand's shape and fit into its dtype."""
    name = f"{function.__name__}_"

    @functools.wraps(function)
    def in_place(input: Tensor, *arguments: Any, **options: Any) -> Tensor:
        check_tensor(name, input)
        kinds = overrides((input, *arguments))
        if kinds:
            return dispatched(in_place, kinds, (input, *arguments), options)
        check_not_expanded(input)
        if mode.recording:
            check_writable(input, name)
        before = clone(input) if mode.recording and input.node is not None else input
        y = function(before, *arguments, **options)
        if y.form.shape != input.form.shape:
            raise RuntimeError(
                message(
                    name,
                    f"Bad in-place call: input tensor size {list(input.form.shape)} and output tensor size "
                    f"{list(y.form.shape)} should match",
                )
            )
        check_cast(name, y.form.dtype, input.form.dtype)
        return write_back(input, y)

    in_place.__name__ = in_place.__qualname__ = name
    in_place.__doc__ = f"{function.__name__}, written into the tensor itself."
    return in_place


def write_back(input: Tensor, y: Tensor) -> Tensor:
    """Writes a result that was computed from a copy of input into input, and makes its history input's."""
    if y.node is None or input.base is not None or y.output or y.form.dtype is not input.form.dtype:
        return copy_(input, y)
    with no_grad():
        copy_(input, y)
    late.rebase(input, y.node)
    return input
