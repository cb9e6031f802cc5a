"""What a call may change, noted before it and put back afterwards: for a look at a function that is to leave no trace.

    with Before(step, args, options):
        step(*args, **options)

Noted is all that can be reached from the function (its closure, the globals it names, the object a method belongs to) and its
arguments: tensors with their gradients and versions, lists, dictionaries, sets, arrays and the attributes of objects, and the random
generators. What lies outside the program (files, other processes) and iterators cannot be put back.
"""

from __future__ import annotations

import ctypes
import functools
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, MutableMapping
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from mashal.capture.frames import code_of, foreign
from mashal.core.generator import Generator, default_generator
from mashal.core.tensor import Tensor
from mashal.machine import memory
from mashal.machine.observing import changed

__all__ = ["Before"]

_SLOTS = ("capsule", "offset", "form", "node", "output", "grad_")
_KEPT = ("mashal.capture", "mashal.machine", "mashal.lang", "mashal.lower", "mashal.ops")  # recordings and plans stay
_CONTAINERS = (
    "builtins",
    "collections",
    "types",
    "random",
    "__main__",
)  # of the standard library what holds a program's own
_ABSENT = object()


class Before:
    """A context that puts back what happened inside to everything that was there before."""

    def __init__(self, *roots: Any):
        self._roots = roots

    def __enter__(self) -> Before:
        self._back: list[Callable[[], None]] = []
        self._seen: dict[int, Any] = {}  # kept alive, so that no id comes twice
        self._stack: list[Any] = [*self._roots, default_generator]
        self._note_random()
        while self._stack:
            x = self._stack.pop()
            if id(x) not in self._seen:
                self._seen[id(x)] = x
                self._note(x)
        return self

    def __exit__(self, *exception: Any) -> None:
        for put_back in self._back:
            put_back()
        changed()  # states that an optimizer made meanwhile are gone, and the like
        self._seen.clear()
        self._back.clear()

    # ---------------------------------------------------------------- what is noted, by kind
    def _note(self, x: Any) -> None:
        if x is None or isinstance(x, (int, float, complex, str, bytes, type, CodeType, ModuleType)):
            return
        if isinstance(x, Tensor):
            self._note_tensor(x)
        elif isinstance(x, Generator):
            state = x.get_state()
            self._back.append(lambda: x.set_state(state) and None)
        elif isinstance(x, random.Random):
            self._back.append(functools.partial(x.setstate, x.getstate()))
        elif isinstance(x, (tuple, frozenset)):
            self._stack.extend(x)
        elif isinstance(x, CellType):
            self._note_cell(x)
        elif isinstance(x, functools.partial):
            self._stack += (x.func, x.args, x.keywords)
        elif isinstance(x, MethodType):
            self._stack += (x.__func__, x.__self__)
        elif isinstance(x, FunctionType):
            self._note_function(x)
        elif isinstance(x, (list, deque, bytearray, set)):
            self._note_elements(x)
        elif isinstance(x, MutableMapping):
            self._note_entries(x)
        elif hasattr(type(x), "__array_interface__") and hasattr(type(x), "copy"):
            kept = x.copy()
            self._back.append(functools.partial(_refill, x, kept))
        if _is_own(type(x)):
            self._note_attributes(x)

    def _note_random(self) -> None:
        self._stack.append(random._inst)  # type: ignore[attr-defined]
        arrays = sys.modules.get("numpy.random")
        if arrays is not None:
            self._back.append(functools.partial(arrays.set_state, arrays.get_state()))

    def _note_tensor(self, x: Tensor) -> None:
        slots = [(name, getattr(x, name)) for name in _SLOTS]
        version = x.version[0] if x.version is not None else None
        self._stack += (x.grad_, x.base)
        if x.capsule is not None and id(x.capsule) not in self._seen:
            self._seen[id(x.capsule)] = x.capsule
            self._back.append(_bytes_back(x.capsule))

        def put_back() -> None:
            for name, value in slots:
                if getattr(x, name) is not value:
                    setattr(x, name, value)
            if x.version is not None:
                x.version[0] = version or 0

        self._back.append(put_back)

    def _note_cell(self, cell: CellType) -> None:
        kept = _content(cell)
        self._stack.append(kept)

        def put_back() -> None:
            if _content(cell) is kept:
                return
            if kept is _ABSENT:
                del cell.cell_contents
            else:
                cell.cell_contents = kept

        self._back.append(put_back)

    def _note_function(self, f: FunctionType) -> None:
        self._stack += (*(f.__closure__ or ()), f.__defaults__, f.__kwdefaults__, f.__dict__)
        if foreign(f.__code__.co_filename):
            return
        space = f.__globals__
        kept = [(name, space.get(name, _ABSENT)) for name in _names(f.__code__)]
        self._stack += [value for _, value in kept]
        self._back.append(lambda: _entries_back(space, kept))

    def _note_elements(self, x: Any) -> None:
        kept = x.copy()
        if not isinstance(x, bytearray):
            self._stack.extend(kept)

        def put_back() -> None:
            if not _same(x, kept):
                x.clear()
                (x.update if isinstance(x, set) else x.extend)(kept)

        self._back.append(put_back)

    def _note_entries(self, x: MutableMapping) -> None:
        kept = list(x.items())
        self._stack += [part for entry in kept for part in entry]

        def put_back() -> None:
            now = list(x.items())
            if len(now) != len(kept) or any(a is not c or b is not d for (a, b), (c, d) in zip(now, kept)):
                x.clear()
                x.update(kept)

        self._back.append(put_back)

    def _note_attributes(self, x: Any) -> None:
        own = getattr(x, "__dict__", None)
        if isinstance(own, dict):
            self._stack.append(own)
        for kind in type(x).__mro__:
            for name in _listed(kind.__dict__.get("__slots__", ())):
                slot = kind.__dict__.get(name)
                if not hasattr(slot, "__set__") or name in ("__dict__", "__weakref__"):
                    continue
                kept = getattr(x, name, _ABSENT)
                self._stack.append(kept)
                if kept is not _ABSENT:
                    self._back.append(functools.partial(_slot_back, slot, x, kept))
        code = code_of(x)
        if code is not None:
            self._stack.append(getattr(type(x), "forward", None) or getattr(type(x), "__call__", None))  # noqa: B004


def _is_own(kind: type) -> bool:
    """Whether objects of a type have attributes that are a program's state."""
    if issubclass(kind, (Tensor, Generator, FunctionType, MethodType, CellType, functools.partial)):
        return False
    module = getattr(kind, "__module__", "") or ""
    if module.startswith(_KEPT):
        return False
    return module.partition(".")[0] not in sys.stdlib_module_names or module in _CONTAINERS


def _names(code: CodeType) -> Iterable[str]:
    """The global names that code and the functions inside it may mean."""
    stack, found = [code], {}
    while stack:
        code = stack.pop()
        found.update(dict.fromkeys(code.co_names))
        stack += [c for c in code.co_consts if isinstance(c, CodeType)]
    return found


def _listed(names: Any) -> Iterable[str]:
    return (names,) if isinstance(names, str) else names


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return _ABSENT


def _same(x: Any, kept: Any) -> bool:
    if isinstance(x, (set, bytearray)):
        return x == kept
    return len(x) == len(kept) and all(a is b for a, b in zip(x, kept))


# ---------------------------------------------------------------- putting back
def _bytes_back(capsule: Any) -> Callable[[], None]:
    n, address = memory.bytes_of(capsule), memory.address_of(capsule)
    kept = ctypes.string_at(address, n)

    def put_back() -> None:
        if ctypes.string_at(address, n) != kept:
            ctypes.memmove(address, kept, n)

    return put_back


def _entries_back(space: dict[str, Any], kept: list[tuple[str, Any]]) -> None:
    for name, value in kept:
        if value is _ABSENT:
            space.pop(name, None)
        elif space.get(name, _ABSENT) is not value:
            space[name] = value


def _slot_back(slot: Any, x: Any, kept: Any) -> None:
    if getattr(x, slot.__name__, _ABSENT) is not kept:
        slot.__set__(x, kept)


def _refill(array: Any, kept: Any) -> None:
    array[...] = kept
