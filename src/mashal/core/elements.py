"""Elements as Python's numbers, and back: what `item`, `tolist` and `tensor` stand on.

For each dtype three builtins in machine code, made when the dtype is first met:

    item(storage, offset)                    -> one element as bool, int, float or complex
    lists(storage, offset, shape, strides)   -> the elements as nested lists; rank 1 or more
    store(numbers, storage, count)              a list of numbers to the first elements of a storage

Nothing here knows what a tensor's operations are, so printing and indexing can stand on it. The surprise: half types
are converted by their bits, which is right on every processor, those without instructions for them included.

Stands on machine, dtypes and forms.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from mashal.core.dtypes import dtype
from mashal.core.element_code import element_code
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.machine.jit import JIT
from mashal.machine.launch import builtin
from mashal.machine.observing import watch

__all__ = ["Elements", "element", "elements_of", "to_list"]


class Elements(NamedTuple):
    """The builtins of one dtype; see the top of this file."""

    item: Callable[[Any, int], Any]
    lists: Callable[[Any, int, tuple, tuple], list]
    store: Callable[[list, Any, int], None]


@cache
def elements_of(d: dtype) -> Elements:
    """The builtins that read and write elements of a dtype."""
    names = ["_item", "_lists", "_store"]
    addresses = JIT.functions(element_code(d), "element", names)
    return Elements(*(builtin(address, name[1:]) for address, name in zip(addresses, names)))


class _Items(dict):
    """dtype -> its `item`: the shortest way for the commonest question."""

    def __missing__(self, d: dtype) -> Callable[[Any, int], Any]:
        self[d] = elements_of(d).item
        return self[d]


class _Lists(dict):
    """dtype -> its `lists`."""

    def __missing__(self, d: dtype) -> Callable[[Any, int, tuple, tuple], list]:
        self[d] = elements_of(d).lists
        return self[d]


_items, _lists = _Items(), _Lists()


# ---------------------------------------------------------------- of tensors
def element(x: Tensor) -> Any:
    """The number in a tensor of one element: a bool, int, float or complex.

    RuntimeError: it has another number of elements, or no data.
    """
    form = x.form
    if form.numel == 1 and x.capsule is not None:
        if watch.recorder is not None:
            watch.recorder.address_taken(x.capsule)
        return _items[form.dtype](x.capsule, x.offset)
    if form.numel != 1:
        raise RuntimeError(message("item", f"a Tensor with {form.numel} elements cannot be converted to Scalar"))
    raise RuntimeError(message("item", "Tensor.item() cannot be called on meta tensors"))


def to_list(x: Tensor) -> Any:
    """The elements as nested lists, row by row; the number itself for a 0-d tensor. No operation runs.

    NotImplementedError: a tensor without data.
    """
    form, capsule = x.form, x.capsule
    if capsule is None:
        raise NotImplementedError(message("tolist", "Cannot copy out of meta tensor; no data!"))
    if watch.recorder is not None:
        watch.recorder.address_taken(capsule)
    if not form.rank:
        return _items[form.dtype](capsule, x.offset)
    return _lists[form.dtype](capsule, x.offset, form.shape, form.strides)
