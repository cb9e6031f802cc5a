"""What is known before any kernel runs: numbers that fill tensors, copies, what was computed before, what is constant.

One walk over the steps. A buffer is *settled* if nothing changes it once it is made; only of those something is known for
good. Where a settled buffer is

    filled with one number      its readers take the number
    a copy of a settled one     its readers read that one
    made again                  its readers read the first one
    made of constants alone     it is computed now, once and for all
"""

from __future__ import annotations

import ctypes
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mashal.capture.fuse_parts import is_copy
from mashal.capture.trail import CONSTANT, Buffer, Step, Value
from mashal.core.dtypes import dtype
from mashal.core.forms import Form
from mashal.lang.recipes import Copy, Counted, Elements, Product, Rows
from mashal.machine.launch import NUMBER
from mashal.machine.memory import new_storage

FOLDED = 1 << 24
"""Bytes of a constant that is computed beforehand and kept."""


class Known:
    """One walk. steps: those that are left, reading what is known; numbers: for each of them, operands (by position) that are a
    number everywhere."""

    def __init__(self, steps: Sequence[Any], outliving: set[Buffer], folds: bool = True):
        self.steps: list[Any] = []
        self.numbers: list[dict[int, Any]] = []
        self._outliving, self._folds = outliving, folds
        empty = lambda step: isinstance(step, Step) and not step.call.kernel
        self._changes = Counter(v.buffer for step in steps if not empty(step) for v in step.written)
        self._made = {v.buffer for step in steps if isinstance(step, Step) for v in step.results}
        self._filled: dict[Buffer, Any] = {}
        self._instead: dict[Buffer, tuple[Buffer, int]] = {}
        self._before: dict[tuple, Step] = {}
        for step in steps:
            self._walk(step)

    def _settled(self, buffer: Buffer) -> bool:
        return self._changes[buffer] <= (buffer in self._made)

    def _walk(self, step: Any) -> None:
        if not isinstance(step, Step):
            return self._keep(step, {})
        if not step.call.kernel:
            return None
        step = self._redirected(step)
        numbers = {i: self._filled[x.buffer] for i, x in enumerate(step.operands)
                   if isinstance(x, Value) and x.buffer in self._filled}  # fmt: skip
        if isinstance(step.recipe, (type(None), Counted)) or not all(self._settled(v.buffer) for v in step.written):
            return self._keep(step, numbers)
        filling = _filling(step)
        if filling is not None:
            self._filled[step.written[0].buffer] = filling
            return self._keep(step, numbers)
        if step.writes:
            return self._keep(step, numbers)
        if self._copies(step, numbers) or not all(self._settled(v.buffer) for v in step.read):
            return self._keep(step, numbers)
        if self._again(step):
            return None
        if self._constant(step):
            return _compute(step)
        return self._keep(step, numbers)

    def _keep(self, step: Any, numbers: dict[int, Any]) -> None:
        self.steps.append(step)
        self.numbers.append(numbers)

    def _redirected(self, step: Step) -> Step:
        """The step, reading what others hold in the stead of copies."""
        changed = list(step.operands)
        for i, x in enumerate(step.operands):
            if isinstance(x, Value) and i >= step.writes and x.buffer in self._instead:
                buffer, shift = self._instead[x.buffer]
                changed[i] = Value(buffer, x.offset + shift // x.form.dtype.itemsize, x.form)
        return step if all(a is b for a, b in zip(changed, step.operands)) else replace(step, operands=tuple(changed))

    # ---------------------------------------------------------------- what a step turns out to be
    def _copies(self, step: Step, numbers: dict[int, Any]) -> bool:
        """Notes a result that is an operand once more, element for element in the same order."""
        which = _copied(step, numbers)
        if which is None:
            return False
        source, result = step.operands[which], step.results[0]
        if not self._settled(source.buffer) or not _alike(source.form, result.form) or result.offset:
            return False
        if not result.form.dense or result.buffer.nbytes != result.form.nbytes:
            return False
        self._instead[result.buffer] = source.buffer, source.start
        return True

    def _again(self, step: Step) -> bool:
        """Whether the same was computed before; then its results are read in the stead of these."""
        if any(v.buffer in self._outliving for v in step.results):
            return False
        key = (
            step.call.kernel,
            step.call.constants,
            tuple(id(v.form) for v in step.results),
            *map(_identity, step.operands),
        )
        first = self._before.setdefault(key, step)
        if first is step:
            return False
        for old, new in zip(first.results, step.results):
            self._instead[new.buffer] = old.buffer, 0
        return True

    def _constant(self, step: Step) -> bool:
        small = sum(v.buffer.nbytes for v in step.results) <= FOLDED
        fixed = all(v.buffer.source is CONSTANT for v in step.read)
        return self._folds and small and fixed and not any(v.buffer in self._outliving for v in step.results)


def _identity(x: Any) -> Any:
    return (x.buffer, x.offset, id(x.form)) if isinstance(x, Value) else (type(x), repr(x))


def _alike(a: Form, b: Form) -> bool:
    """Whether two forms go over memory in the same way."""
    same = all(s == t or n == 1 for n, s, t in zip(a.shape, a.strides, b.strides))
    return a.dtype is b.dtype and a.shape == b.shape and same


def _filling(step: Step) -> Any:
    """The number with which a step fills its only result, if that dtype holds it exactly."""
    recipe = step.recipe
    if not isinstance(recipe, Elements) or len(step.written) != 1 or len(recipe.operands) != 1:
        return None
    x, d = step.operands[-1], recipe.results[0].dtype
    root = recipe.nest.results[0][0]
    while root.kind == "cast":
        root = root.operands[0]
    if (
        root.kind != "scalar"
        or type(x) not in (int, float, bool)
        or step.written[0].buffer.nbytes != recipe.results[0].nbytes
    ):
        return None
    return x if _holds(d, x) else None


def _holds(d: dtype, x: Any) -> bool:
    if d.kind == "f":
        if x != x or abs(x) in (0, 0.5, 1, 2, float("inf")):
            return x == x and str(float(x)) != "-0.0"
        return d.itemsize == 8 or (d.itemsize == 4 and struct.unpack("f", struct.pack("f", x))[0] == x)
    return d.kind in "iub" and x in (0, 1)


def _copied(step: Step, numbers: dict[int, Any]) -> int | None:
    """The operand of which the only result is a copy."""
    recipe = step.recipe
    if isinstance(recipe, Copy):
        return None if recipe.in_place else 0
    if not isinstance(recipe, Elements) or len(step.results) != 1:
        return None
    if is_copy(recipe):
        return 0
    root = recipe.nest.results[0][0]
    if root.kind == "mul":
        for a, b in (root.operands, root.operands[::-1]):
            one = b.kind == "operand" and numbers.get(b.value) == 1
            if one and a.kind == "operand" and isinstance(step.operands[a.value], Value):
                return a.value
    return None


# ---------------------------------------------------------------- constants
def _compute(step: Step) -> None:
    """Runs a step now; its results are constants from here on."""
    for v in step.results:
        v.buffer.source, v.buffer.capsule = CONSTANT, new_storage(max(v.buffer.nbytes, 1))
    run(step, {})


def address_in(buffer: Buffer, places: dict[Buffer, int]) -> int:
    return places[buffer] if buffer in places else _pointer(buffer.capsule)


def run(step: Step, places: dict[Buffer, int]) -> None:
    """Calls a step's kernel on memory that is there. places: where buffers without storage lie."""
    words = [address_in(v.buffer, places) + v.start for v in step.results]
    for x, kind in zip(step.operands, step.call.kinds):
        if isinstance(x, Value):
            words.append(address_in(x.buffer, places) + x.start)
        else:
            words.append(struct.unpack("<q", struct.pack("<d", float(x)))[0] if kind == NUMBER else int(x))
    scratch = ctypes.create_string_buffer(step.call.scratch + 64)
    words += [ctypes.addressof(scratch)] * bool(step.call.scratch) + list(step.call.constants)
    array = (ctypes.c_int64 * len(words))(*words)
    ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(step.call.kernel)(ctypes.addressof(array))


# ---------------------------------------------------------------- what is filled, and then written over
def overwritten(steps: Sequence[Any]) -> list[Any]:
    """The steps without fills of memory that is written over before anybody reads it."""
    filled: dict[Buffer, tuple[int, int, list]] = {}  # the fill's number, elements not yet written over, boxes
    dead: set[int] = set()
    for i, step in enumerate(steps):
        read, written = _reads_and_writes(step)
        for v in read:
            filled.pop(v.buffer, None)
        for v in written:
            if v.buffer in filled:
                number, left, boxes = filled[v.buffer]
                box = _box(v)
                if box is None or any(not _apart(box, other) for other in boxes):
                    del filled[v.buffer]
                    continue
                filled[v.buffer] = number, left - v.form.numel * v.form.dtype.itemsize, [*boxes, box]
                if filled[v.buffer][1] == 0:
                    dead.add(number)
                    del filled[v.buffer]
            elif not read and len(written) == 1 and v.form.nbytes == v.buffer.nbytes and v.form.dense:
                filled[v.buffer] = i, v.buffer.nbytes, []
    return [step for i, step in enumerate(steps) if i not in dead]


def _reads_and_writes(step: Any) -> tuple[list[Value], list[Value]]:
    recipe = getattr(step, "recipe", None)
    if isinstance(recipe, (Elements, Copy)) and recipe.in_place:
        return [x for x in step.operands[step.writes :] if isinstance(x, Value)], step.written
    if isinstance(recipe, (Elements, Copy, Rows, Product)):
        return step.read, step.written
    return [*step.read, *step.written], []


def _box(value: Value) -> tuple | None:
    """A value as (stride, first index, past the last index) for each stride that steps in its memory; None if it isn't a box."""
    size = value.form.dtype.itemsize
    runs: list[list[int]] = []
    for n, s in sorted(((n, s) for n, s in zip(value.form.shape, value.form.strides) if n > 1), key=lambda d: -d[1]):
        if s == 0:
            return None
        if runs and runs[-1][1] == n * s:
            runs[-1] = [runs[-1][0] * n, s]
        else:
            runs.append([n, s])
    if not runs or runs[-1][1] != 1:
        runs.append([1, 1])
    left, box, whole = value.offset, [], value.buffer.nbytes // size
    for n, s in runs:
        first, left = divmod(left, s)
        if (first + n) * s > whole:
            return None
        box.append((s * size, first, first + n))
        whole = s
    return tuple(box)


def _apart(a: tuple, b: tuple) -> bool:
    """Whether two boxes over the same strides have nothing in common."""
    return [x[0] for x in a] == [y[0] for y in b] and any(x[2] <= y[1] or y[2] <= x[1] for x, y in zip(a, b))


_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def _pointer(storage: Any) -> int:
    return _pointer_of(storage, None) or 0
