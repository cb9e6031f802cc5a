"""What a program is made of, as it was when it was recorded: the code and the defaults of its functions, its classes.

Code that is replaced while a program runs (a method set anew, a module loaded again, a function that a notebook patches) is seen by
native code: a function's slots are pointers, and CPython counts the changes of a class with its bases, and of a dictionary. Where such a
count is another one, Python looks whether anything has changed that matters.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from mashal.capture.guards import ABSENT, Guard, same
from mashal.machine.replay_tables import Bits

__all__ = [
    "FUNCTION_SLOTS",
    "ClassGuard",
    "CountedGuard",
    "ModuleGuard",
    "class_guards",
    "function_guards",
    "is_of_program",
]

MOST = 64  # functions of the same code
_HEAP = 1 << 9  # a type's flag: it was made by Python


# ---------------------------------------------------------------- functions
def function_guards(codes: Iterable[CodeType], met: Iterable[Any], new: set[int]) -> list[Guard]:
    """Guards for the functions that ran. met: functions, methods and classes, among which they mostly are; new: ids of what the
    call made."""
    wanted = {id(code): code for code in codes}
    names = {code.co_name for code in wanted.values()}
    found = {id(f): f for thing in met for f in _functions_in(thing, names) if id(f.__code__) in wanted}
    known = {id(f.__code__) for f in found.values()}
    inside = {id(x) for code in wanted.values() for x in code.co_consts if isinstance(x, CodeType)}  # made in the call
    missing = [code for code in wanted.values() if id(code) not in known | inside]
    others = [f for f in gc.get_referrers(*missing) if isinstance(f, FunctionType)] if missing else []
    found.update({id(f): f for f in others[:MOST] if id(f.__code__) in wanted})
    return [guard for f in found.values() if id(f) not in new for guard in _guards_of(f)]


def _functions_in(thing: Any, names: set[str]) -> Iterator[FunctionType]:
    """A function, that of a method, or those in a class and its bases that have one of these names."""
    things = [thing]
    if isinstance(thing, type):
        things = [base.__dict__[name] for base in thing.__mro__ for name in names & base.__dict__.keys()]
    for x in things:
        for f in (x.fget, x.fset) if isinstance(x, property) else (getattr(x, "__func__", x),):
            while isinstance(f, FunctionType):
                yield f
                f = f.__dict__.get("__wrapped__")


def _guards_of(f: FunctionType) -> Iterator[Guard]:
    yield Guard(f, "__code__", f.__code__, f"the code of {f.__qualname__}")
    for name in ("__defaults__", "__kwdefaults__"):
        if getattr(f, name) is not None:
            yield Guard(f, name, getattr(f, name), f"a default of {f.__qualname__}")


# ---------------------------------------------------------------- classes and modules
class CountedGuard:
    """That something defines what it did, of what matters. Its changes are counted in one word."""

    key = None

    def __init__(self, holder: Any, what: str, address: int | None) -> None:
        self.holder, self.what, self.address = holder, what, address
        self.expected = self.found()

    def found(self) -> Any:
        """What is defined now."""
        raise NotImplementedError

    def holds(self) -> bool:
        """Whether everything that matters is as it was."""
        raise NotImplementedError

    def count(self) -> Bits:
        """The word that is another one after each change; 0: changes are not counted."""
        return Bits(0 if self.address is None else ctypes.c_uint64.from_address(self.address).value)


class ClassGuard(CountedGuard):
    """names: what the program names; plain values that it does not name may be others."""

    def __init__(self, kind: type, names: frozenset[str]) -> None:
        self.names = names
        super().__init__(kind, f"class {kind.__qualname__}", None if _VERSION is None else id(kind) + _VERSION)

    def found(self) -> list[tuple[type, dict[str, Any]]]:
        """The class and its bases that were made by Python, each with what it defines."""
        known, found = _known.get(self.holder, (0, []))
        if not known or self.count().value != known:
            found = [(base, dict(base.__dict__)) for base in self.holder.__mro__ if base.__flags__ & _HEAP]
            _known[self.holder] = self.count().value, found
        return found

    def holds(self) -> bool:
        """Whether everything that matters is as it was."""
        now = self.found()
        return now is self.expected or (
            len(now) == len(self.expected)
            and all(a is b and self._alike(of_a, of_b) for (a, of_a), (b, of_b) in zip(self.expected, now))
        )

    def _alike(self, before: dict[str, Any], now: dict[str, Any]) -> bool:
        for name in before.keys() | now.keys():
            a, b = before.get(name, ABSENT), now.get(name, ABSENT)
            plain = isinstance(a, _PLAIN) and isinstance(b, _PLAIN) and name not in self.names
            if not plain and name not in _UNREAD and not same(a, b):
                return False
        return True

    def count(self) -> Bits:
        """The class's version."""
        getattr(self.holder, "__eq__", None)  # it is given one when something is looked up
        word = super().count()
        return word if word.value & 0xFFFFFFFF else Bits(0)


_PLAIN = (int, float, str, bytes, complex, type(None), type(ABSENT))
_UNREAD = frozenset("__dict__ __weakref__ __doc__ __annotations__ __static_attributes__".split())
_known: WeakKeyDictionary[type, tuple[int, list[tuple[type, dict[str, Any]]]]] = WeakKeyDictionary()


class ModuleGuard(CountedGuard):
    """names: what the program read there."""

    def __init__(self, module: ModuleType, names: Iterable[str]) -> None:
        self.names = list(names)
        what = f"what is in module {module.__name__}"
        super().__init__(module, what, None if _CHANGES is None else id(module.__dict__) + _CHANGES)

    def found(self) -> list[Any]:
        """What has these names now."""
        return [self.holder.__dict__.get(name, ABSENT) for name in self.names]

    def holds(self) -> bool:
        """Whether everything that matters is as it was."""
        return all(map(same, self.found(), self.expected))


def class_guards(kinds: Iterable[type], codes: Iterable[CodeType], new: set[int]) -> list[ClassGuard]:
    """Guards for classes of the program. codes: its code that ran."""
    names = frozenset(name for code in codes for name in code.co_names)
    return [ClassGuard(kind, names) for kind in kinds if is_of_program(kind) and id(kind) not in new]


def is_of_program(kind: type) -> bool:
    """Whether a class may be changed by a program: it is neither Python's nor mashal's."""
    package = kind.__module__.partition(".")[0] if isinstance(kind.__module__, str) else ""
    ours = package == "mashal" or (package in sys.stdlib_module_names and package != "__main__")
    return bool(kind.__flags__ & _HEAP) and not ours


# ---------------------------------------------------------------- how Python lays them out
def _offsets_in_functions() -> dict[str, int]:
    """Where in a function its slots lie."""

    def probe(a: Any = (), *, b: Any = ()) -> None: ...

    found = {}
    for name in ("__code__", "__defaults__", "__kwdefaults__"):
        for offset in range(object.__basicsize__, FunctionType.__basicsize__, 8):
            if ctypes.c_uint64.from_address(id(probe) + offset).value == id(getattr(probe, name)):
                found[name] = offset
                break
    if len(found) < 3:
        raise RuntimeError("compile: this Python lays out functions in a way that mashal does not know")
    return found


_SIZE, _DICT = int(type.__basicsize__), int(dict.__basicsize__)  # type: ignore[arg-type]


def _words(x: Any, size: int, word: Any) -> list[int]:
    return [word.from_address(id(x) + offset).value for offset in range(0, size, 8)]


def _version_offset() -> int | None:
    """Where in a class its version lies: a word that is 0 when the class has changed, until something is looked up."""
    probe: Any = type("Probe", (), {"a": 1})
    look: Callable[[], list[int]] = lambda: (probe.a, _words(probe, _SIZE, ctypes.c_uint32))[1]
    before = look()
    probe.a = 2
    between, after = _words(probe, _SIZE, ctypes.c_uint32), look()
    found = [8 * i for i, (a, b, c) in enumerate(zip(before, between, after)) if a and not b and c not in (0, a)]
    return found[0] if len(found) == 1 else None


def _changes_offset() -> int | None:
    """Where in a dictionary its changes are counted (not from Python 3.14 on)."""
    probe = {"a": 1}
    before = _words(probe, _DICT, ctypes.c_uint64)
    probe["a"] = 2
    found = [8 * i for i, (a, b) in enumerate(zip(before, _words(probe, _DICT, ctypes.c_uint64))) if a != b]
    return found[0] if len(found) == 1 else None


FUNCTION_SLOTS = _offsets_in_functions()
_VERSION, _CHANGES = _version_offset(), _changes_offset()
