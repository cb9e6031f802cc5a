"""What functions over windows share: sizes for each dimension of space, how many windows there are, checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mashal.core.tensor import Tensor
from mashal.errors import message

__all__ = ["adaptive_bounds", "check_adaptive", "check_space", "per_dimension", "positions", "targets"]


def per_dimension(name: str, word: str, value: Any, rank: int, least: int) -> tuple[int, ...]:
    """An int, or one for each dimension of space (or one for all in a sequence), as a tuple."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not all(isinstance(v, int) or hasattr(v, "__index__") for v in values):
        raise TypeError(message(name, f"{word} {value!r} must be an int or a tuple of {rank} ints"))
    values = tuple(v.__index__() for v in values)
    if len(values) not in (1, rank):
        raise RuntimeError(message(name, f"{word} must be a single int, or a tuple of {rank} ints", f"it is {value!r}"))
    if min(values) < least:
        kind = "greater than zero" if least else "non-negative"
        raise RuntimeError(message(name, f"{word} should be {kind}, but it is {value!r}"))
    return values * rank if len(values) == 1 else values


def positions(name: str, n: int, k: int, s: int, p: int, d: int, ceil: bool) -> int:
    """How many windows of k elements, d apart, begin at every s-th of n elements with p more on both sides."""
    room = n + 2 * p - d * (k - 1) - 1
    m = (room + (s - 1 if ceil else 0)) // s + 1
    return m - 1 if ceil and (m - 1) * s >= n + p else m


def check_space(
    name: str, x: Tensor, rank: int, kernel: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> None:
    """RuntimeError unless x is (channels, space …) or (n, channels, space …) and windows lie over it."""
    shape = tuple(x.form.shape)
    good = len(shape) in (rank + 1, rank + 2) and all(n > 0 for n in shape[-rank - 1 :])
    if not good:
        wrong = f"Expected {rank + 1}D or {rank + 2}D input with non-zero sizes, the batch's size aside"
        raise RuntimeError(message(name, wrong, f"it is {shape}"))
    for k, p, d in zip(kernel, padding, dilation):
        if 2 * p > (k - 1) * d + 1:
            wrong = f"pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and dilation={d}"
            raise RuntimeError(message(name, wrong))


def check_result(name: str, shape: Sequence[int], result: Sequence[int]) -> None:
    """RuntimeError if there is no window."""
    if min(result) < 1:
        raise RuntimeError(message(name, f"Output size is too small: {tuple(result)} for an input of {tuple(shape)}"))


# ---------------------------------------------------------------- adaptive
def adaptive_bounds(j: int, n: int, m: int) -> tuple[int, int]:
    """Where the j-th of m windows over n elements begins and ends."""
    return j * n // m, -(-(j + 1) * n // m)


def targets(name: str, size: Any, x: Tensor, rank: int) -> tuple[int, ...]:
    """output_size as a tuple, None as the input's size."""
    values = tuple(size) if isinstance(size, (tuple, list)) else (size,) * rank
    if len(values) == 1:
        values = values * rank
    if len(values) != rank:
        raise RuntimeError(message(name, f"output_size must have {rank} values, it is {size!r}"))
    if x.form.rank <= (rank if isinstance(size, (tuple, list)) else rank - 1):
        raise ValueError(message(name, f"input of shape {tuple(x.form.shape)} has not {rank} dimensions of space"))
    return tuple(n if v is None else int(v) for v, n in zip(values, x.form.shape[-rank:]))


def check_adaptive(name: str, x: Tensor, rank: int, size: Sequence[int]) -> None:
    shape = tuple(x.form.shape)
    if len(shape) not in (rank + 1, rank + 2):
        raise RuntimeError(message(name, f"Expected {rank + 1}D or {rank + 2}D tensor, but got {list(shape)}"))
    if any(n == 0 for n in shape[1:] if len(shape) == rank + 2) or any(n == 0 for n in shape[-rank:]):
        wrong = "Expected input to have non-zero size for non-batch dimensions"
        raise RuntimeError(message(name, wrong, f"it is {list(shape)}"))
    if min(size) < 0:
        raise RuntimeError(
            message(name, f"elements of output_size must be greater than or equal to 0, it is {tuple(size)}")
        )
