"""torch.overrides: operations on what behaves like a tensor or is a subclass of one, and modes that see every call.

An object with `__torch_function__(func, types, args, kwargs)` is asked for every public function that it is an argument of; a
TorchFunctionMode is asked for every call inside its block. Calls are seen by ops.interception, from the first one who asks on.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import threading
import types as python_types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mashal.core.tensor import Tensor
from mashal.machine.observing import changed
from mashal.nearest import nearest
from mashal.ops.define import DEFINITIONS, disabled, dispatch, overrides
from mashal.ops.interception import arm, original_of, through_modes, watch

__all__ = [
    "BaseTorchFunctionMode", "TorchFunctionMode", "enable_reentrant_dispatch", "get_default_nowrap_functions",
    "get_ignored_functions", "get_overridable_functions", "get_testing_overrides", "handle_torch_function", "has_torch_function",
    "has_torch_function_unary", "has_torch_function_variadic", "is_tensor_like", "is_tensor_method_or_property", "redispatch_function",
    "resolve_name", "wrap_torch_function",
]  # fmt: skip


# ---------------------------------------------------------------- asking
class _Once(threading.local):
    """Whether the next question in this thread is answered no, for redispatch_function."""

    skipped = False


_once = _Once()


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether a mode, or one of these (with a __torch_function__ of its own), wants to be asked."""
    if _once.skipped:
        _once.skipped = False
        return False
    return bool(watch.modes) or bool(overrides(tuple(relevant_args)))


def has_torch_function_unary(obj: Any) -> bool:
    """`has_torch_function` of one object."""
    return has_torch_function((obj,))


def has_torch_function_variadic(*objects: Any) -> bool:
    """`has_torch_function` of several objects."""
    return has_torch_function(objects)


def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """What the innermost mode, or the first of relevant_args that knows how, makes of a call; TypeError if none does."""
    relevant = tuple(relevant_args)
    kinds = overrides(relevant)
    if watch.modes:
        return through_modes(public_api, args, kwargs, tuple(kinds))
    for kind in kinds:
        one = next(x for x in relevant if type(x) is kind)
        answer = one.__torch_function__(public_api, tuple(kinds), args, kwargs)
        if answer is not NotImplemented:
            return answer
    names = ", ".join(kind.__name__ for kind in kinds)
    raise TypeError(
        f"no implementation found for '{resolve_name(public_api)}' on types that implement __torch_function__: [{names}]"
    )


def redispatch_function(
    func: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
) -> Any:
    """A function's own answer, for use in __torch_function__: this call asks nobody, what a function of yours calls does.

    >>> class Telling(torch.Tensor):
    ...     @classmethod
    ...     def __torch_function__(cls, func, types, args=(), kwargs=None):
    ...         print(func.__name__)
    ...         return torch.overrides.redispatch_function(func, types, args, kwargs)
    >>> def doubled(x):
    ...     if torch.overrides.has_torch_function((x,)):
    ...         return torch.overrides.handle_torch_function(doubled, (x,), x)
    ...     return torch.mul(x, 2)
    >>> doubled(Telling([1.0]))
    doubled
    mul
    tensor([2.])
    """
    options = kwargs or {}
    own = original_of(func)
    if own is func:
        _once.skipped = True
        try:
            return func(*args, **options)
        finally:
            _once.skipped = False
    modes = [watch.modes.pop() for _ in range(len(watch.modes))]
    try:
        return disabled(own, types, args, options)
    finally:
        for mode in reversed(modes):
            watch.modes.append(mode)


def wrap_torch_function(dispatcher: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator for functions of one's own: dispatcher(*args) says which arguments are asked first."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            relevant = tuple(dispatcher(*args, **kwargs))
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return function(*args, **kwargs)

        return wrapped

    return decorate


# ---------------------------------------------------------------- modes
class TorchFunctionMode:
    """A block in which every public function is first given to the mode; subclass it and write __torch_function__.

    While the mode answers, it does not see what it calls; modes around it do.

    >>> class Names(torch.overrides.TorchFunctionMode):
    ...     def __torch_function__(self, func, types, args=(), kwargs=None):
    ...         print(func.__name__)
    ...         return func(*args, **(kwargs or {}))
    >>> with Names():
    ...     x = torch.ones(2).sum()
    ones
    sum
    """

    inner: TorchFunctionMode

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        raise NotImplementedError(
            f"{type(self).__name__} does not say what it does with calls: write __torch_function__"
        )

    def __enter__(self) -> Any:
        arm()
        watch.modes.append(self)
        changed()
        return self

    def __exit__(self, *exception: Any) -> None:
        watch.modes.pop()
        changed()

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Any:
        """A mode made from the arguments; the same as to call the class."""
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that calls every function as it is."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def enable_reentrant_dispatch() -> Iterator[None]:
    """Inside, subclasses are asked again although one of them is answering."""
    before, dispatch.enabled = dispatch.enabled, True
    try:
        yield
    finally:
        dispatch.enabled = before


def _get_current_function_mode() -> Any:
    return watch.modes[-1] if watch.modes else None


def _get_current_function_mode_stack() -> list[Any]:
    return list(watch.modes)


# ---------------------------------------------------------------- which functions there are
def is_tensor_like(inp: Any) -> bool:
    """Whether inp is a tensor or has a __torch_function__."""
    return type(inp) is Tensor or hasattr(inp, "__torch_function__")


def is_tensor_method_or_property(func: Any) -> bool:
    """Whether a function is one of Tensor's."""
    return getattr(Tensor, getattr(func, "__name__", ""), None) is func or getattr(func, "__name__", "") == "__get__"


def resolve_name(f: Any) -> str | None:
    """The full name of a function, "torch.add"; a string as it is.

    >>> torch.overrides.resolve_name(torch.Tensor.view)
    'torch.Tensor.view'
    """
    if isinstance(f, str):
        return f
    for place, prefix in _places():
        name = next((n for n, value in vars(place).items() if value is f), None)
        if name is not None:
            return f"{prefix}.{name}"
    return f"torch.{getattr(f, '__qualname__', f)}"


def _places() -> list[tuple[Any, str]]:
    root = sys.modules["mashal"]
    found = [(root, "torch"), (Tensor, "torch.Tensor")]
    for name in ("nn.functional", "linalg", "fft", "special"):
        place = sys.modules.get(f"mashal.{name}")
        if place is not None:
            found.append((place, f"torch.{name}"))
    return found


def get_overridable_functions() -> dict[Any, list[Callable[..., Any]]]:
    """Namespace -> its functions that ask their arguments."""
    known = {id(d.function) for d in DEFINITIONS.values()}
    known |= {id(f) for d in DEFINITIONS.values() for f in (d.in_place, *d.extra.values()) if f is not None}
    found: dict[Any, list[Callable[..., Any]]] = {}
    for place, _ in _places():
        here = [f for name, f in vars(place).items() if callable(f) and not name.startswith("__") and id(f) in known]
        found[place] = list(dict.fromkeys(here))
    return found


def get_testing_overrides() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Function -> a function of the same signature that returns -1, for tests of what overrides all."""
    return {f: _refusal_of(f) for functions in get_overridable_functions().values() for f in functions}


def _refusal_of(function: Callable[..., Any]) -> Callable[..., Any]:
    def answer(*args: Any, **kwargs: Any) -> int:
        return -1

    answer.__signature__ = _by_names(inspect.signature(function))  # type: ignore[attr-defined]
    return answer


def _by_names(signature: inspect.Signature) -> inspect.Signature:
    """A signature's names and defaults alone."""
    plain, keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    parameters = list(signature.parameters.values())
    several = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    kinds = [plain if p.kind is keyword and not several else p.kind for p in parameters]
    bare = [p.replace(annotation=p.empty, kind=kind) for p, kind in zip(parameters, kinds)]
    return inspect.Signature(_without_gaps(bare))


def _without_gaps(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """Parameters with defaults behind those without."""
    plain = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    needed, others = [p for p in plain if p.default is p.empty], [p for p in plain if p.default is not p.empty]
    first = [p for p in parameters if p.kind is p.POSITIONAL_ONLY]
    return first + needed + others + [p for p in parameters if p not in plain and p not in first]


_ASKING_NOBODY = (
    "as_subclass _make_subclass _make_wrapper_subclass __new__ __init__ __init_subclass__ __torch_function__".split()
)


def get_ignored_functions() -> set[Callable[..., Any]]:
    """Public functions that ask nobody."""
    asking = {f for functions in get_overridable_functions().values() for f in functions}
    root = vars(sys.modules["mashal"])
    methods = {getattr(Tensor, name) for name in _ASKING_NOBODY if hasattr(Tensor, name)}
    return methods | {
        f
        for n, f in root.items()
        if isinstance(f, python_types.FunctionType) and not n.startswith("_") and f not in asking
    }


def get_default_nowrap_functions() -> set[Any]:
    """The functions whose results a subclass gives out as they are."""
    return set()


__getattr__ = nearest(__name__)
