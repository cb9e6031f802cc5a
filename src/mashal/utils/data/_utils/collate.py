"""Many items as one batch: `default_collate`, and `default_convert` for loading without batches.

Tensors, arrays and numbers are stacked; strings stay a list; dicts, named tuples and sequences are collated field by
field. `default_collate_fn_map` says which function serves which type; a user may add to it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from copy import copy
from typing import Any

from mashal.core.dtypes import float64
from mashal.core.tensor import Tensor
from mashal.ops import as_tensor, stack, tensor


def collate_tensor_fn(batch: Sequence, *, collate_fn_map: dict | None = None) -> Any:
    """Tensors of one shape, stacked along a new first dimension."""
    return stack(batch, 0)


def collate_int_fn(batch: Sequence, *, collate_fn_map: dict | None = None) -> Any:
    """Integers (or booleans) as one tensor of int64 (or bool)."""
    return tensor(batch)


def collate_float_fn(batch: Sequence, *, collate_fn_map: dict | None = None) -> Any:
    """Python's floats as one tensor of float64."""
    return tensor(batch, dtype=float64)


def collate_str_fn(batch: Sequence, *, collate_fn_map: dict | None = None) -> Any:
    """Strings and bytes stay as they are."""
    return batch


def collate_numpy_array_fn(batch: Sequence, *, collate_fn_map: dict | None = None) -> Any:
    """Arrays of one shape as one tensor; arrays of strings or objects are refused."""
    if batch[0].dtype.kind in "SUO":
        raise _cannot_collate(f"an array of dtype {batch[0].dtype}")
    return collate([as_tensor(each) for each in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch: Sequence, *, collate_fn_map: dict | None = None) -> Any:
    """NumPy's scalars as one tensor of their dtype."""
    return as_tensor(batch)


def default_collate(batch: Sequence) -> Any:
    """A list of items as one batch: stacked tensors in the items' own structure.

    batch: tensors, arrays, numbers, strings, and dicts, named tuples or sequences of them, all built alike.

    >>> default_collate([(tensor([1, 2]), 0.5), (tensor([3, 4]), 1.5)])
    [tensor([[1, 2],
            [3, 4]]), tensor([0.5000, 1.5000], dtype=torch.float64)]
    >>> default_collate([{"name": "a", "label": 1}, {"name": "b", "label": 0}])
    {'name': ['a', 'b'], 'label': tensor([1, 0])}
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def collate(batch: Sequence, *, collate_fn_map: dict | None = None) -> Any:
    """A list of items as one batch, with a function for each type of leaf.

    collate_fn_map: from a type (or a tuple of types) to `function(batch, *, collate_fn_map)`.
    """
    first = batch[0]
    kind = type(first)
    leaf = _function_for(kind, collate_fn_map)
    if leaf is not None:
        return leaf(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Mapping):
        fields = {key: collate([each[key] for each in batch], collate_fn_map=collate_fn_map) for key in first}
        return _like_mapping(first, fields)
    if isinstance(first, Sequence):
        columns = [collate(column, collate_fn_map=collate_fn_map) for column in _columns(batch)]
        if isinstance(first, tuple):
            return kind(*columns) if hasattr(first, "_fields") else columns
        return _like_sequence(first, columns)
    raise _cannot_collate(f"{kind.__module__}.{kind.__qualname__}")


def _function_for(kind: type, functions: dict | None) -> Callable | None:
    """The function for a type: its own, or that of the first type in the map that it is derived from."""
    if not functions:
        return None
    if functions is default_collate_fn_map:
        _add_numpy(functions)
    if kind in functions:
        return functions[kind]
    return next((function for each, function in functions.items() if issubclass(kind, each)), None)


def _add_numpy(functions: dict) -> None:
    """NumPy's types join the map when NumPy is loaded: before that no item can hold one."""
    array = getattr(sys.modules.get("numpy"), "ndarray", None)
    if array is not None and array not in functions:
        numpy = sys.modules["numpy"]
        functions[array] = collate_numpy_array_fn
        functions[numpy.bool_, numpy.number, numpy.object_] = collate_numpy_scalar_fn


def _columns(batch: Sequence) -> list[tuple]:
    try:
        return list(zip(*batch, strict=True))
    except ValueError:
        lengths = sorted({len(each) for each in batch})
        raise RuntimeError(
            f"default_collate: the items of a batch are sequences of lengths {lengths}; they must all have the same"
        ) from None


def _like_mapping(first: Mapping, fields: dict) -> Any:
    """The fields in a mapping like the first item's, or in a dict where such a one cannot be made."""
    if type(first) is dict:
        return fields
    try:
        if isinstance(first, MutableMapping):
            clone = copy(first)
            clone.update(fields)
            return clone
        return type(first)(fields)  # pyright: ignore[reportCallIssue]
    except TypeError:
        return fields


def _like_sequence(first: Sequence, columns: list) -> Any:
    """The columns in a sequence like the first item, or in a list where such a one cannot be made."""
    if type(first) is list:
        return columns
    try:
        if isinstance(first, MutableSequence):
            clone = copy(first)
            for position, column in enumerate(columns):
                clone[position] = column
            return clone
        return type(first)(columns)  # pyright: ignore[reportCallIssue]
    except TypeError:
        return columns


def _cannot_collate(what: str) -> TypeError:
    return TypeError(
        f"default_collate: an item holds {what}; it must hold tensors, numpy arrays, numbers, strings, "
        "dicts or sequences of these (for anything else, give the DataLoader a collate_fn)"
    )


default_collate_fn_map: dict = {
    Tensor: collate_tensor_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    bool: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


def default_convert(data: Any) -> Any:
    """An item with its NumPy arrays and scalars as tensors; everything else is left as it is.

    >>> default_convert([1, "a"])
    [1, 'a']
    """
    if isinstance(data, (Tensor, str, bytes)):
        return data
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(data, (numpy.ndarray, numpy.generic)):
        return data if data.dtype.kind in "SUO" else as_tensor(data)
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple):
        values = [default_convert(each) for each in data]
        return type(data)(*values) if hasattr(data, "_fields") else values
    if isinstance(data, Sequence):
        return _like_sequence(data, [default_convert(each) for each in data])
    return data
