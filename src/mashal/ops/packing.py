"""Many tensors of one form into one, side by side, by a single call of machine code: what small `stack` and `cat` are.

A batch of a data loader is 64 rows; one copy each would cost more than making the rows. The code walks the list,
reads where each tensor's elements lie and copies them. It gives up (-1) at the first tensor that is of another class or
form; the callers then take their general way.

Stands on core and machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from mashal.core.forms import Form, form
from mashal.core.shapes import wrap_dim
from mashal.core.tensor import Tensor, empty
from mashal.machine.jit import JIT, provide_from_process
from mashal.machine.launch import builtin, slot_offset, type_offset
from mashal.machine.observing import watch

__all__ = ["packed"]

LIMIT = 1 << 20  # bytes of a result; larger ones are worth several threads
provide_from_process("PyList_GetItem", "PyList_Size", "PyCapsule_GetPointer", "memcpy")

_TEXT = f"""
declare i64 @PyList_Size(ptr)
declare ptr @PyList_GetItem(ptr, i64)
declare ptr @PyCapsule_GetPointer(ptr, ptr)
declare i64 @PyLong_AsLongLong(ptr)
declare ptr @PyLong_FromLongLong(i64)
declare ptr @memcpy(ptr, ptr, i64)
@_Py_NoneStruct = external global i8

; (list of tensors, their form, the result's storage, bytes of a block, blocks of a tensor, bytes of an element)
; -> how many of them have a node; -1: one is of another class or form
define ptr @pack_blocks(ptr %kind, ptr %args, i64 %nargs) {{
entry:
  %list = load ptr, ptr %args
  %a1 = getelementptr ptr, ptr %args, i64 1
  %form = load ptr, ptr %a1
  %a2 = getelementptr ptr, ptr %args, i64 2
  %storage = load ptr, ptr %a2
  %a3 = getelementptr ptr, ptr %args, i64 3
  %o3 = load ptr, ptr %a3
  %block = call i64 @PyLong_AsLongLong(ptr %o3)
  %a4 = getelementptr ptr, ptr %args, i64 4
  %o4 = load ptr, ptr %a4
  %blocks = call i64 @PyLong_AsLongLong(ptr %o4)
  %a5 = getelementptr ptr, ptr %args, i64 5
  %o5 = load ptr, ptr %a5
  %size = call i64 @PyLong_AsLongLong(ptr %o5)
  %count = call i64 @PyList_Size(ptr %list)
  %row = mul i64 %block, %count
  %data = call ptr @PyCapsule_GetPointer(ptr %storage, ptr null)
  %none = icmp eq ptr %data, null
  br i1 %none, label %raised, label %next
next:
  %i = phi i64 [0, %entry], [%i1, %done]
  %nodes = phi i64 [0, %entry], [%nodes1, %done]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %look, label %out
look:
  %x = call ptr @PyList_GetItem(ptr %list, i64 %i)
  %p0 = getelementptr i8, ptr %x, i64 {type_offset()}
  %type = load ptr, ptr %p0
  %same_type = icmp eq ptr %type, %kind
  br i1 %same_type, label %one, label %refuse
one:
  %p1 = getelementptr i8, ptr %x, i64 {slot_offset(Tensor, "form")}
  %own = load ptr, ptr %p1
  %same_form = icmp eq ptr %own, %form
  br i1 %same_form, label %find, label %refuse
find:
  %p2 = getelementptr i8, ptr %x, i64 {slot_offset(Tensor, "capsule")}
  %capsule = load ptr, ptr %p2
  %source = call ptr @PyCapsule_GetPointer(ptr %capsule, ptr null)
  %lost = icmp eq ptr %source, null
  br i1 %lost, label %raised, label %place
place:
  %p3 = getelementptr i8, ptr %x, i64 {slot_offset(Tensor, "offset")}
  %o = load ptr, ptr %p3
  %offset = call i64 @PyLong_AsLongLong(ptr %o)
  %shift = mul i64 %offset, %size
  %from = getelementptr i8, ptr %source, i64 %shift
  %start = mul i64 %i, %block
  %to = getelementptr i8, ptr %data, i64 %start
  br label %copy
copy:
  %k = phi i64 [0, %place], [%k1, %copy]
  %from_shift = mul i64 %k, %block
  %to_shift = mul i64 %k, %row
  %s = getelementptr i8, ptr %from, i64 %from_shift
  %t = getelementptr i8, ptr %to, i64 %to_shift
  %c = call ptr @memcpy(ptr %t, ptr %s, i64 %block)
  %k1 = add i64 %k, 1
  %again = icmp slt i64 %k1, %blocks
  br i1 %again, label %copy, label %done
done:
  %p4 = getelementptr i8, ptr %x, i64 {slot_offset(Tensor, "node")}
  %node = load ptr, ptr %p4
  %has = icmp ne ptr %node, @_Py_NoneStruct
  %w = zext i1 %has to i64
  %nodes1 = add i64 %nodes, %w
  %i1 = add i64 %i, 1
  br label %next
refuse:
  br label %out
raised:
  ret ptr null
out:
  %answer = phi i64 [%nodes, %next], [-1, %refuse]
  %r = call ptr @PyLong_FromLongLong(i64 %answer)
  ret ptr %r
}}
"""
_pack = builtin(JIT.functions(_TEXT, "pack", ["_blocks"])[0], "pack", Tensor)


class _Place(NamedTuple):
    """How tensors of one form lie in the result: its form, bytes of a block, and blocks of each tensor."""

    made: Form
    block: int
    blocks: int


_places: dict[tuple[str, Form, int, int], _Place | None] = {}


def packed(name: str, tensors: Sequence[Tensor], dim: int) -> tuple[Tensor, int] | None:
    """The tensors stacked ("stack") or joined ("cat") along dim, and how many of them are recorded.

    None: a recording wants a kernel it can repeat, there is none, they are not all plain contiguous tensors of one form, or
    the result is empty or large.
    """
    first = tensors[0] if tensors else None
    if type(first) is not Tensor or type(dim) is not int or watch.recorder is not None:
        return None
    f = first.form
    key = name, f, len(tensors), dim
    place = _places.get(key)
    if place is None:
        if key in _places:
            return None
        if len(_places) > 4096:
            _places.clear()
        place = _places[key] = _place(*key)
        if place is None:
            return None
    result = empty(place.made)
    nodes = _pack(list(tensors), f, result.capsule, place.block, place.blocks, f.dtype.itemsize)
    return None if nodes < 0 else (result, nodes)


def _place(name: str, f: Form, count: int, dim: int) -> _Place | None:
    size = f.nbytes
    if not f.contiguous or f.device.type != "cpu" or not size or size * count > LIMIT or (name == "cat" and not f.rank):
        return None
    shape = tuple(f.shape)
    dim = wrap_dim(name, dim, f.rank + (name == "stack"))
    here = (count,) if name == "stack" else (count * shape[dim],)
    made = form(f.dtype, f.device, (*shape[:dim], *here, *shape[dim + (name == "cat") :]))
    blocks = prod(shape[:dim])
    return _Place(made, size // blocks, blocks)
