"""Shapes and strides: `Size`, and the arithmetic of broadcasting, contiguity and dimensions.

Nothing here touches data. Strides and offsets count elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from operator import index as as_index
from typing import Any

from mashal.errors import message
from mashal.machine import subtuple

Strides = tuple[int, ...]


class Size(tuple):
    """A tensor's shape: a tuple of ints that prints as PyTorch's and knows its number of elements.

    >>> Size([2, 3]), Size([2, 3]).numel(), Size([2, 3]) + (4,)
    (torch.Size([2, 3]), 6, torch.Size([2, 3, 4]))
    """

    __slots__ = ()

    def __new__(cls, sizes: Any = ()) -> Size:
        sizes = tuple(sizes)
        for place, n in enumerate(sizes):
            if type(n) is not int:
                try:
                    sizes = tuple(as_index(m) for m in sizes)
                    break
                except TypeError:
                    kind = type(n).__name__
                    raise TypeError(f"torch.Size() takes an iterable of 'int' (item {place} is '{kind}')") from None
        return tuple.__new__(cls, sizes)

    def numel(self) -> int:
        return prod(self)

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"

    __str__ = __repr__

    def __add__(self, other: Any) -> Size:  # type: ignore[override]
        if not isinstance(other, tuple):
            raise TypeError(f"can only concatenate tuple (not {type(other).__name__}) to torch.Size")
        return Size(tuple.__add__(self, other))

    def __radd__(self, other: Any) -> Size:
        return Size(tuple.__add__(tuple(other), self))

    def __mul__(self, n: Any) -> Size:  # type: ignore[override]
        return Size(tuple.__mul__(self, n))

    __rmul__ = __mul__

    def __reduce__(self):
        return Size, (tuple(self),)


subtuple.install(Size, partial(tuple.__new__, Size))


def contiguous_strides(shape: Sequence[int]) -> Strides:
    """The strides of a row-major tensor; a dimension of size 0 counts as 1.

    >>> contiguous_strides((2, 3, 4))
    (12, 4, 1)
    """
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n if n > 1 else 1
    return tuple(reversed(strides))


def is_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the elements lie in row-major order without gaps; dimensions of size 1 may have any stride."""
    step = 1
    for n, s in zip(reversed(shape), reversed(strides)):
        if n == 0:
            return True
        if n != 1:
            if s != step:
                return 0 in shape
            step *= n
    return True


def broadcast(operation: str, *shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that these shapes broadcast to.

    >>> broadcast("add", (2, 1), (3,))
    (2, 3)
    """
    rank = max(map(len, shapes))
    result = [1] * rank
    for shape in shapes:
        for place, n in enumerate(shape, rank - len(shape)):
            if n != 1:
                if result[place] not in (1, n):
                    raise RuntimeError(_mismatch(operation, shapes, result[place], n, place - rank))
                result[place] = n
    return tuple(result)


def _mismatch(operation: str, shapes: Sequence[Sequence[int]], a: int, b: int, dim: int) -> str:
    listed = " and ".join(str(tuple(s)) for s in shapes)
    return message(
        operation, f"shapes {listed} do not broadcast: {a} and {b} in dimension {dim} differ and neither is 1"
    )


def broadcast_strides(shape: Sequence[int], strides: Sequence[int], to: Sequence[int]) -> Strides:
    """The strides that read a tensor as if it had the shape `to`, to which its own broadcasts."""
    lead = len(to) - len(shape)
    return (0,) * lead + tuple(0 if n == 1 and m != 1 else s for n, s, m in zip(shape, strides, to[lead:]))


def wrap_dim(operation: str, dim: Any, rank: int) -> int:
    """A dim counted from the front; IndexError if it is outside [-rank, rank - 1]."""
    try:
        d = as_index(dim)
    except TypeError:
        raise TypeError(f"{operation}(): argument 'dim' must be int, not {type(dim).__name__}") from None
    bound = rank or 1
    if not -bound <= d < bound:
        raise IndexError(
            f"{operation}: Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {d})"
        )
    return d + bound if d < 0 else d


def wrap_dims(operation: str, dims: Any, rank: int) -> tuple[int, ...]:
    """Several dims counted from the front, in their order; RuntimeError if one appears twice."""
    wrapped = tuple(wrap_dim(operation, d, rank) for d in dims)
    if len(set(wrapped)) != len(wrapped):
        twice = next(d for d in wrapped if wrapped.count(d) > 1)
        raise RuntimeError(message(operation, f"dim {twice} appears multiple times in the list of dims"))
    return wrapped


def view_strides(shape: Sequence[int], strides: Sequence[int], to: Sequence[int]) -> Strides | None:
    """The strides with which the same elements have the shape `to`, or None if that needs a copy."""
    if 0 in shape:
        return contiguous_strides(to)
    result: list[int] = []
    groups = _runs(shape, strides)
    left, step = groups.pop() if groups else (1, 1)
    for n in reversed(to):
        if n == 1:
            result.append(step)
            continue
        if left == 1:
            if not groups:
                return None
            left, step = groups.pop()
        if left % n:
            return None
        result.append(step)
        left //= n
        step *= n
    return tuple(reversed(result))


def _runs(shape: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """Maximal runs of dimensions that lie one behind the other: (elements, innermost stride) from the outside in."""
    runs: list[tuple[int, int]] = []
    for n, s in zip(shape, strides):
        if n == 1:
            continue
        if runs and runs[-1][1] == n * s:
            runs[-1] = (runs[-1][0] * n, s)
        else:
            runs.append((n, s))
    return runs


def infer_size(operation: str, sizes: Sequence[int], numel: int) -> tuple[int, ...]:
    """Sizes with a -1 replaced by what the number of elements leaves for it."""
    shape = tuple(sizes)
    if shape.count(-1) > 1:
        raise RuntimeError(message(operation, f"only one dimension can be inferred, got {list(shape)}"))
    negative = [n for n in shape if n < -1]
    if negative:
        raise RuntimeError(message(operation, f"invalid shape dimension {negative[0]} in {list(shape)}"))
    known = prod(n for n in shape if n != -1)
    if -1 in shape:
        if known == 0:
            raise RuntimeError(
                message(operation, f"the -1 of {list(shape)} can be any size, since {numel} elements leave it open")
                if numel == 0
                else message(operation, f"shape '{list(shape)}' is invalid for input of size {numel}")
            )
        if numel % known == 0:
            return tuple(numel // known if n == -1 else n for n in shape)
    if known != numel or -1 in shape:
        raise RuntimeError(message(operation, f"shape '{list(shape)}' is invalid for input of size {numel}"))
    return shape
