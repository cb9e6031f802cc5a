"""Numbers in nested lists as a tensor: the engine of `tensor(...)`.

    [[1, 2], [3, 4.5]]  ->  level by level: shape (2, 2), the numbers [1, 2, 3, 4.5], their kinds (int, float)  ->  float32

A list is looked through and its numbers are stored in machine code; Python sees single elements only if they are neither
plain numbers nor lists (tensors, arrays, NumPy's scalars, other sequences).

Stands on elements and interop.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import chain
from typing import Any
from weakref import WeakValueDictionary

from mashal.core import dtypes
from mashal.core.devices import CPU, META, default_device, device, usable
from mashal.core.dtypes import dtype, get_default_dtype, promote
from mashal.core.elements import elements_of, to_list
from mashal.core.forms import Form, form
from mashal.core.interop import copied, dtype_of, is_array, is_array_scalar, numpy, to_numpy
from mashal.core.tensor import Tensor, empty, make
from mashal.errors import message
from mashal.machine.jit import JIT, provide_from_process
from mashal.machine.launch import builtin
from mashal.machine.observing import watch

__all__ = ["contiguous_copy", "from_list", "from_number", "is_table", "table_of", "tensor_from_data"]

_BOOL, _INT, _FLOAT, _COMPLEX, _LIST, _OTHER = (1 << i for i in range(6))
_DEPTH = 64  # dimensions; more can only be a list that contains itself

provide_from_process("PyList_Size", "PyList_GetItem", "PyLong_FromLongLong", "PyBool_Type", "PyLong_Type", "PyFloat_Type",
                     "PyComplex_Type", "PyList_Type", "PyTuple_Type")  # fmt: skip

_TEXT = f"""
declare i64 @PyList_Size(ptr)
declare ptr @PyList_GetItem(ptr, i64)
declare ptr @PyLong_FromLongLong(i64)
@PyBool_Type = external global i8
@PyLong_Type = external global i8
@PyFloat_Type = external global i8
@PyComplex_Type = external global i8
@PyList_Type = external global i8
@PyTuple_Type = external global i8

define ptr @nested_kinds(ptr %self, ptr %args, i64 %n) {{   ; kinds(list): which kinds of items it has, as bits
entry:
  %list = load ptr, ptr %args
  %count = call i64 @PyList_Size(ptr %list)
  %bad = icmp slt i64 %count, 0
  br i1 %bad, label %fail, label %next
fail:
  ret ptr null
next:
  %i = phi i64 [0, %entry], [%i1, %one]
  %found = phi i64 [0, %entry], [%found1, %one]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %one, label %out
one:
  %o = call ptr @PyList_GetItem(ptr %list, i64 %i)
  %at = getelementptr i8, ptr %o, i64 {object.__basicsize__ - 8}
  %type = load ptr, ptr %at
  %is_float = icmp eq ptr %type, @PyFloat_Type
  %is_int = icmp eq ptr %type, @PyLong_Type
  %is_bool = icmp eq ptr %type, @PyBool_Type
  %is_complex = icmp eq ptr %type, @PyComplex_Type
  %is_list = icmp eq ptr %type, @PyList_Type
  %is_tuple = icmp eq ptr %type, @PyTuple_Type
  %k0 = select i1 %is_tuple, i64 {_LIST}, i64 {_OTHER}
  %k1 = select i1 %is_list, i64 {_LIST}, i64 %k0
  %k2 = select i1 %is_complex, i64 {_COMPLEX}, i64 %k1
  %k3 = select i1 %is_bool, i64 {_BOOL}, i64 %k2
  %k4 = select i1 %is_int, i64 {_INT}, i64 %k3
  %k5 = select i1 %is_float, i64 {_FLOAT}, i64 %k4
  %found1 = or i64 %found, %k5
  %i1 = add i64 %i, 1
  br label %next
out:
  %r = call ptr @PyLong_FromLongLong(i64 %found)
  ret ptr %r
}}
"""
_kinds = builtin(JIT.functions(_TEXT, "nested", ["_kinds"])[0], "kinds")


# ---------------------------------------------------------------- lists
def from_list(data: Sequence, dtype: dtype | None = None) -> Tensor:
    """A contiguous tensor on the cpu of the numbers in nested sequences, which must be equally long in each dimension.

    dtype: by default bool, int64, the default dtype or its complex partner, whatever holds all the numbers.
    ValueError: unequal lengths; text. TypeError: numbers and sequences mixed. RuntimeError: what is no number.

    >>> to_list(from_list([[1, 2], [3, 4.5]]))
    [[1.0, 2.0], [3.0, 4.5]]
    """
    flat = data if type(data) is list else list(data)
    kinds, shape = _kinds(flat), (len(flat),)
    if kinds >= _LIST:
        flat, shape, kinds, implied = _flattened(flat)
        dtype = dtype or implied
    d = dtype or _inferred(kinds)
    result = empty(form(d, CPU, shape))
    _store(flat, kinds, result)
    return result


def _inferred(kinds: int) -> dtype:
    """The dtype that holds plain numbers of these kinds."""
    if kinds >= _COMPLEX:
        return get_default_dtype().to_complex()
    if kinds >= _FLOAT or not kinds:
        return get_default_dtype()
    return dtypes.int64 if kinds >= _INT else dtypes.bool


def _store(numbers: list, kinds: int, result: Tensor) -> None:
    d = result.form.dtype
    if kinds & _FLOAT and d.kind in "iu":
        numbers = [_whole(x, d) if type(x) is float else x for x in numbers]
    try:
        elements_of(d).store(numbers, result.capsule, len(numbers))
        if watch.recorder is not None:
            watch.recorder.address_taken(result.capsule)
    except OverflowError as error:
        if d.kind in "iu" and d is not dtypes.uint64:
            raise ValueError(
                message("tensor", "Overflow when unpacking long long: a number takes more than 64 bits")
            ) from None
        raise OverflowError(message("tensor", f"{error} ({d})")) from None


def _whole(x: float, d: dtype) -> int:
    """A float without what is behind its point; RuntimeError if that takes more than 64 bits or a sign d doesn't have."""
    if (-(2.0**63) if d.is_signed else 0.0) <= x < (2.0**64 if d is dtypes.uint64 else 2.0**63):
        return int(x)
    raise RuntimeError(message("tensor", f"value cannot be converted to type {d.name} without overflow: {x}"))


def _flattened(items: list) -> tuple[list, tuple[int, ...], int, dtype | None]:
    """The numbers in nested sequences, in order; their shape; their kinds; the dtype that tensors among them imply."""
    whole, shape, implied = items, [len(items)], False
    while (kinds := _kinds(items)) >= _LIST:
        if kinds & _OTHER:
            implied = True
            items = [_plain(x) if _kinds([x]) & _OTHER else x for x in items]
            kinds = _kinds(items)
            if kinds < _LIST:
                break
        if kinds & (_LIST - 1):
            raise _mixed(items)
        length = len(items[0])
        for item in items:
            if len(item) != length:
                raise ValueError(
                    message("tensor", f"expected sequence of length {length} at dim {len(shape)} (got {len(item)})")
                )
        if len(shape) == _DEPTH:
            raise ValueError(message("tensor", f"too many dimensions: lists within lists, more than {_DEPTH} deep"))
        shape.append(length)
        items = list(chain.from_iterable(items))
    return items, tuple(shape), kinds, _implied(whole) if implied else None


def _mixed(items: list) -> TypeError:
    if isinstance(items[0], (list, tuple)):
        other = next(x for x in items if not isinstance(x, (list, tuple)))
        return TypeError(
            message("tensor", f"not a sequence: {other!r} stands where the first item is a {type(items[0]).__name__}")
        )
    other = next(x for x in items if isinstance(x, (list, tuple)))
    return TypeError(
        message("tensor", f"a {type(other).__name__} cannot be a number: {other!r:.60} stands beside numbers")
    )


# ---------------------------------------------------------------- what is neither a number nor a list
def _plain(x: Any) -> Any:
    """A tensor, an array, a sequence or a number of some class of its own as plain numbers or a list."""
    if isinstance(x, Tensor):
        return to_list(x)
    if is_array(x) or is_array_scalar(x):
        return x.tolist()
    if isinstance(x, (str, bytes)):
        raise ValueError(message("tensor", f"too many dimensions '{type(x).__name__}': {x!r:.60} is no number"))
    if isinstance(x, int):
        return int(x)
    if isinstance(x, float):
        return float(x)
    if isinstance(x, complex):
        return complex(x)
    if _is_sequence(x):
        return list(x)
    raise _no_dtype(x)


def _is_sequence(x: Any) -> bool:
    return hasattr(x, "__len__") and hasattr(x, "__getitem__") and not isinstance(x, dict)


def _no_dtype(x: Any) -> RuntimeError:
    return RuntimeError(
        message(
            "tensor",
            f"Could not infer dtype of {type(x).__name__}",
            "numbers, tensors, arrays and sequences of these have one",
        )
    )


def _implied(x: Any) -> dtype:
    """The dtype that holds everything in nested sequences, where tensors and arrays count with their own."""
    if isinstance(x, Tensor):
        return x.form.dtype
    if is_array(x) or is_array_scalar(x):
        return dtype_of(x.dtype)
    if isinstance(x, (bool, int, float, complex)):
        return _inferred(_kinds([_plain(x) if type(x) is not bool else x]))
    found = {_implied(item) for item in x}
    if not found:
        return get_default_dtype()
    first, *others = found
    for other in others:
        first = promote(first, other)
    return first


# ---------------------------------------------------------------- anything
def from_number(value: Any, dtype: dtype | None = None) -> Tensor:
    """A 0-d tensor on the cpu; dtype as in `from_list`."""
    kinds = _kinds([value])
    if kinds >= _LIST:
        value = _plain(value)
        kinds = _kinds([value])
    result = empty(form(dtype or _inferred(kinds), CPU, ()))
    _store([value], kinds, result)
    return result


def tensor_from_data(data: Any, dtype: dtype | None = None, device: Any = None) -> Tensor:
    """A new tensor with a copy of data: a number, nested sequences, an array, a tensor; no history, no gradient.

    >>> tensor_from_data(2.5).shape, tensor_from_data(range(3)).dtype
    (torch.Size([]), torch.int64)
    """
    result = _from_data(data, dtype)
    if device is None:
        place = default_device()
        if place is CPU:
            return result
        device = place
    return _placed(result, device)


_tables: WeakValueDictionary[int, Tensor] = WeakValueDictionary()


def table_of(numbers: Sequence, dtype: dtype, device: device = CPU) -> Tensor:
    """Numbers that a plan keeps for its kernel: nobody changes them, and nobody else sees them.

    Whoever records a call takes them for a constant of it, whether they were made then or before.
    """
    table = _placed(from_list(numbers, dtype), device)
    _tables[id(table)] = table
    return table


def is_table(x: Tensor) -> bool:
    """Whether `table_of` made it."""
    return _tables.get(id(x)) is x


def _from_data(data: Any, d: dtype | None) -> Tensor:
    kind = type(data)
    if kind is list or kind is tuple:
        return from_list(data, d)
    if kind in _NUMBERS:
        return from_number(data, d)
    if isinstance(data, Tensor):
        return contiguous_copy(data, d or data.form.dtype)
    if is_array(data) or is_array_scalar(data):
        with numpy.errstate(all="ignore"):
            return copied(numpy.asarray(data), d)
    if isinstance(data, (str, bytes)):
        raise TypeError(message("tensor", f"new(): invalid data type '{kind.__name__}'"))
    if isinstance(data, (int, float, complex)):
        return from_number(data, d)
    if _is_sequence(data):
        return from_list(list(data), d)
    if hasattr(data, "__array_interface__") or hasattr(data, "__array__"):
        return copied(numpy.asarray(data), d)
    raise _no_dtype(data)


_NUMBERS = {bool, int, float, complex}


def _placed(x: Tensor, to: Any) -> Tensor:
    place = usable(device(to) if type(to) is not device else to)
    return make(None, 0, form(x.form.dtype, META, x.form.shape)) if place is META else x


def contiguous_copy(x: Tensor, d: dtype) -> Tensor:
    """A contiguous copy in a dtype, by no operation."""
    kind: Form = x.form
    if x.capsule is None:
        return make(None, 0, form(d, kind.device, kind.shape))
    result = empty(form(d, CPU, kind.shape))
    if not kind.numel:
        return result
    if kind.dtype is d and kind.contiguous:
        ctypes.memmove(result.data_ptr(), x.data_ptr(), kind.nbytes)
        return result
    if kind.dtype.numpy_name:
        with numpy.errstate(all="ignore"):
            return copied(to_numpy(x, force=True), d)
    flat = to_list(x) if kind.rank else [to_list(x)]
    for _ in range(kind.rank - 1):
        flat = list(chain.from_iterable(flat))
    _store(flat, _kinds(flat), result)
    return result
