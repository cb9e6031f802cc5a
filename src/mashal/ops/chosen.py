"""x[t] with t a tensor of one integer, while a call is recorded.

Eagerly that is x[int(t)], a view. A replay must not ask Python which part it is: there the part is taken by a kernel, which checks
the index, and is a copy. The recorder is told (`chooses`), for a copy means the same only as long as nobody changes x or the copy.
"""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import int64
from mashal.core.tensor import Tensor, alias
from mashal.machine.observing import watch
from mashal.ops.blocks import outside_index, taken, whole
from mashal.ops.copying import converted
from mashal.ops.views import reshape

__all__ = ["chosen", "one_chosen"]


def is_choice(item: Any) -> bool:
    """Whether an index is a tensor of one integer."""
    return (
        isinstance(item, Tensor)
        and not item.form.rank
        and item.form.dtype.kind in "iu"
        and item.form.dtype.name != "uint8"
    )


def _dimensions(rank: int, index: tuple) -> list[int] | None:
    """Of which dimension each part of an index is (None is of the next one); None for other indices than ints, slices, None, … and
    tensors of one integer."""
    plain = lambda item: item is None or item is ... or type(item) in (int, slice) or is_choice(item)
    if not all(map(plain, index)) or sum(item is ... for item in index) > 1:
        return None
    counted = sum(item is not None and item is not ... for item in index)
    found, d = [], 0
    for item in index:
        found.append(d)
        d += rank - counted if item is ... else item is not None
    return found if counted <= rank else None


def chosen(x: Tensor, index: Any) -> tuple[Tensor, tuple] | None:
    """What is chosen of x, and the index that is left; None where nothing is to be chosen, as when no call is recorded."""
    index = index if type(index) is tuple else (index,)
    if watch.recorder is None or not any(map(is_choice, index)):
        return None
    dimensions = _dimensions(x.form.rank, index)
    if dimensions is None or not watch.recorder.may_choose(*filter(is_choice, index)):
        return None
    part, left = x, list(index)
    for k, (d, item) in enumerate(zip(dimensions, index)):
        if is_choice(item):
            part, left[k] = taken(part, _place(item), dim=d, outside=outside_index), 0
    return part, tuple(left)


def one_chosen(x: Tensor, index: Any) -> tuple[tuple, int, Tensor] | None:
    """For writing where one part is chosen: the index with all of that dimension, its place among the dimensions of what this
    gives, and the index in it; None as for `chosen`, and where several are."""
    index = index if type(index) is tuple else (index,)
    if watch.recorder is None or sum(map(is_choice, index)) != 1:
        return None
    dimensions = _dimensions(x.form.rank, index)
    if dimensions is None or not watch.recorder.may_choose(*filter(is_choice, index)):
        return None
    k = next(k for k, item in enumerate(index) if is_choice(item))
    before = index[:k]
    place = dimensions[k] - sum(type(item) is int for item in before) + sum(item is None for item in before)
    return (*before, slice(None), *index[k + 1 :]), place, _place(index[k])


def _place(t: Tensor) -> Tensor:
    return whole(reshape(alias(t) if t.form.dtype is int64 else converted(t, int64), (1,)))
