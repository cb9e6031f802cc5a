"""Interception: seeing every call of a public function, at no cost until somebody wants to.

Functions of the table are called as they are: nothing stands before them. When a class or a mode first wants to see calls
(a subclass of Tensor, `vmap`, autocast, a TorchFunctionMode), `arm` puts a hook into each function's place: the function
object stays, its code is exchanged, so that every name it was ever imported under goes through the hook from then on.

A hooked call goes to the first of these that applies:

    watch.modes        the innermost mode: mode(function, types, args, kwargs), itself not seeing what it calls
    an operand's own   __torch_function__ (subclasses.dispatched)
    watch.last         one function for all calls in this thread: last(function, original, args, kwargs)
    the original       what the function did before
"""

from __future__ import annotations

import functools
import inspect
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mashal.core.dtypes import dtype
from mashal.core.tensor import Tensor
from mashal.machine.observing import settings
from mashal.ops.broadcast import expand_to, sum_to
from mashal.ops.copying import converted
from mashal.ops.recording import Recorded
from mashal.ops.reducing import contiguous_copy, in_dtype, with_ones
from mashal.ops.rows import RowFormula
from mashal.ops.subclasses import PLAIN, dispatched, overrides
from mashal.ops.table import DEFINITIONS

PLACES: list[Mapping[str, Any]] = []
"""Namespaces above ops whose functions are hooked too."""
INNER = [expand_to, sum_to, with_ones, in_dtype, contiguous_copy, converted]
"""Functions that operations and their gradients are made of, which reach data by themselves."""
CALLED: list[Any] = []
"""Methods that call what they are methods of."""
_QUESTIONS = """size stride dim ndimension numel nelement element_size storage_offset untyped_storage data_ptr get_device
                backward register_hook is_floating_point is_complex is_signed item tolist numpy retain_grad requires_grad_
                storage share_memory_ is_shared""".split()
"""Methods that compute nothing: seen by nobody."""


_looking = [
    0
]  # how many modes and last functions there are in all threads: while there are none, a call is soon let through


class _Modes(list):
    """The modes of a thread, innermost last."""

    def append(self, mode: Any) -> None:
        """One more mode."""
        _looking[0] += 1
        super().append(mode)

    def pop(self, *place: Any) -> Any:
        """One mode less."""
        _looking[0] -= 1
        return super().pop(*place)


class _Watch(threading.local):
    """What looks at calls in this thread."""

    def __init__(self) -> None:
        self.modes = _Modes()
        self._last: Callable[..., Any] | None = None

    @property
    def last(self) -> Callable[..., Any] | None:
        """What every call that nobody answers goes to; None: to the original."""
        return self._last

    @last.setter
    def last(self, function: Callable[..., Any] | None) -> None:
        _looking[0] += (function is not None) - (self._last is not None)
        self._last = function


watch = _Watch()
settings.append(lambda: tuple(map(id, watch.modes)))
_SIMPLE = {int, float, bool, str, type(None), complex, dtype, slice, type(Ellipsis)}
_quiet: set[type] = {Tensor, *_SIMPLE}  # of PLAIN and _SIMPLE, those that have been met
_hooked: dict[Callable[..., Any], Callable[..., Any]] = {}  # function -> what it did before
_stands_for: dict[Any, Any] = {}  # operator -> the function that whoever is asked is told of
_state = {"armed": 0}


@functools.cache
def _template(free: tuple[str, ...]) -> types.CodeType:
    """The code `return hook(args, kwargs)` with a place for the hook, closing over `free` as the code it replaces does.

    The names stand behind the return, where nothing runs: so CPython puts the cells into each frame, where debuggers and
    whoever else asks a frame for its variables expect them.
    """
    names = "; ".join(free) or "None"
    inner = f"def template(*args, **kwargs): hook = {_PLACE!r}; return hook(args, kwargs); {names}"
    outer = compile(f"def outer({', '.join(free)}):\n    {inner}", __file__, "exec").co_consts[0]
    [code] = [c for c in outer.co_consts if isinstance(c, types.CodeType)]
    return code


_PLACE = "the hook's place"


def armed() -> bool:
    """Whether functions have hooks."""
    return _state["armed"] > 0


def arm() -> None:
    """Gives every public function a hook; later calls look for functions that came since."""
    known = len(DEFINITIONS) + len(PLACES)
    if _state["armed"] == known:
        return
    _state["armed"] = known
    for function in set(_functions()):
        if function not in _hooked:
            _hook(function)
    for kind in (Recorded, RowFormula):
        if kind.__call__ not in _hooked:
            _hook(kind.__call__, _entrance_of_object)
    for function in INNER:
        if function not in _hooked:
            _hook(function, _entrance_of_inner)
    for function in CALLED:
        if function not in _hooked:
            _hook(function, _entrance_of_object)


def arm_new() -> None:
    """Hooks for functions that have just come, where the others have theirs."""
    if armed():
        arm()


def original_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a function does itself, without its hook."""
    return _hooked.get(function, function)


def _functions() -> Iterator[Any]:
    for definition in DEFINITIONS.values():
        for f in (definition.function, definition.in_place, definition.operator, *definition.extra.values()):
            if isinstance(f, types.FunctionType):
                if f is definition.operator:
                    _stands_for[f] = definition.function
                yield f
    for place in PLACES:
        for name, f in place.items():
            if isinstance(f, types.FunctionType) and not name.startswith("_") and name not in _QUESTIONS and _ours(f):
                yield f


def _ours(function: Any) -> bool:
    return function.__module__.startswith(("mashal.ops", "mashal.methods", "mashal.nn.func", "mashal.autograd.history"))


def _hook(function: Any, entrance: Callable[..., Any] | None = None) -> None:
    code = function.__code__
    original = types.FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    original.__kwdefaults__, original.__dict__ = function.__kwdefaults__, dict(function.__dict__)
    original.__doc__, original.__qualname__ = function.__doc__, function.__qualname__
    if not hasattr(function, "__signature__"):
        function.__signature__ = inspect.signature(function)
    own = _template(code.co_freevars)
    constants = tuple((entrance or _entrance)(function, original) if c == _PLACE else c for c in own.co_consts)
    function.__code__ = own.replace(co_consts=constants, co_name=code.co_name)
    _hooked[function] = original


def _entrance(function: Any, original: Any) -> Callable[..., Any]:
    function = _stands_for.get(function, function)
    looking, quiet = _looking, _quiet

    def hook(args: tuple, kwargs: dict) -> Any:
        if not looking[0] and not kwargs:
            for x in args:
                if type(x) not in quiet:
                    break
            else:
                return original(*args)
        if watch.modes:
            return through_modes(function, args, kwargs)
        special = special_operands(args, kwargs)
        if special:
            kinds = overrides(special)
            if kinds:
                return dispatched(function, kinds, args, kwargs)
        if watch.last is not None:
            return watch.last(function, original, args, kwargs)
        return original(*args, **kwargs)

    return hook


def _entrance_of_inner(function: Any, original: Any) -> Callable[..., Any]:
    """What other functions are made of is seen only by those that must see everything (classes with `inner`)."""

    def hook(args: tuple, kwargs: dict) -> Any:
        kinds = _inner_kinds(args, kwargs)
        return dispatched(function, kinds, args, kwargs) if kinds else original(*args, **kwargs)

    return hook


def _entrance_of_object(function: Any, original: Any) -> Callable[..., Any]:
    """The same for objects that are called: the first argument is the function."""

    def hook(args: tuple, kwargs: dict) -> Any:
        kinds = _inner_kinds(args[1:], kwargs)
        return dispatched(args[0], kinds, args[1:], kwargs) if kinds else original(*args, **kwargs)

    return hook


def _inner_kinds(args: tuple, kwargs: dict) -> list[type]:
    special = special_operands(args, kwargs)
    return [kind for kind in overrides(special) if getattr(kind, "inner", False)] if special else []


def special_operands(args: tuple, kwargs: dict) -> list[Any]:
    """The operands, also those in lists, that may want to be asked: neither plain tensors nor plain Python."""
    found: list[Any] = []
    for x in (*args, *kwargs.values()) if kwargs else args:
        kind = type(x)
        if kind in PLAIN or kind in _SIMPLE:
            _quiet.add(kind)
            continue
        if kind is tuple or kind is list:
            found += [e for e in x if isinstance(e, Tensor) and type(e) not in PLAIN or _asks(e)]
        elif isinstance(x, Tensor) or _asks(x):
            found.append(x)
    return found


def _asks(x: Any) -> bool:
    return type(x) not in PLAIN and type(x) not in _SIMPLE and hasattr(type(x), "__torch_function__")


def through_modes(function: Any, args: tuple, kwargs: dict, kinds: tuple | None = None) -> Any:
    """Asks the innermost mode, outside of it."""
    mode = watch.modes.pop()
    try:
        if kinds is None:
            kinds = tuple(dict.fromkeys(type(x) for x in special_operands(args, kwargs)))
        return mode.__torch_function__(function, kinds, args, kwargs)
    finally:
        watch.modes.append(mode)
