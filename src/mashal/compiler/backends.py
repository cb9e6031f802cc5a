"""The backends of compile: one that makes kernels, under several names of PyTorch's; none at all ("eager"); and functions.

A backend that is a function is given the function that was compiled (with `forward`) and the first call's tensors, and what it
returns is called instead; for a call with other sizes, dtypes or numbers it is asked again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from mashal.capture.errors import BackendCompilerFailed, InvalidBackend
from mashal.capture.settings import SETTINGS, Stance
from mashal.core.tensor import Tensor
from mashal.later import later

__all__ = [
    "by_function", "forget", "get_default_backend", "is_native", "list_backends", "lookup_backend", "register_backend",
    "set_default_backend",
]  # fmt: skip

compiled: Any = later("mashal.capture.compiled")
structure: Any = later("mashal.capture.structure")

Backend = Callable[..., Any]
_NATIVE = {"cudagraphs": (), "inductor": (), "aot_eager": ("debug",), "eager": ("debug",)}
_TAGS: dict[str, tuple[str, ...]] = dict(_NATIVE)
_FUNCTIONS: dict[str, Backend] = {}


class _Default:
    backend: str | Backend = "inductor"
    resets = 0


def forget() -> None:
    """Backends that are functions are asked anew."""
    _Default.resets += 1


def is_native(backend: str | Backend) -> bool:
    """Whether a backend is one of compile's own; InvalidBackend if it is a name that nobody has."""
    if isinstance(backend, str) and backend not in _TAGS:
        raise InvalidBackend(f"compile: Invalid backend: {backend!r}; there are {', '.join(sorted(_TAGS))}")
    if not isinstance(backend, str) and not callable(backend):
        raise InvalidBackend(f"compile: Invalid backend: {backend!r}; a name or a function is expected")
    return isinstance(backend, str) and backend in _NATIVE


def list_backends(exclude_tags: Iterable[str] | None = ("debug", "experimental")) -> list[str]:
    """The names that compile takes as backend, without those that have one of some tags. All of mashal's but "eager" mean the same.

    >>> torch.compiler.list_backends(())
    ['aot_eager', 'cudagraphs', 'eager', 'inductor']
    """
    return sorted(name for name, tags in _TAGS.items() if not {*tags} & {*(exclude_tags or ())})


def register_backend(compiler_fn: Backend | None = None, name: str | None = None, tags: Iterable[str] = ()) -> Any:
    """Gives a backend that is a function a name, by default its own. Also a decorator, with and without arguments.

    >>> @torch._dynamo.register_backend(tags=("debug",))
    ... def unchanged(module, tensors):
    ...     return module.forward
    >>> torch.compile(lambda x: x * 2, backend="unchanged")(torch.ones(1))
    tensor([2.])
    """
    if compiler_fn is None:
        return functools.partial(register_backend, name=name, tags=tags)
    known = name or compiler_fn.__name__
    if known in _TAGS:
        raise AssertionError(f"register_backend: {known!r} is a backend already")
    _TAGS[known], _FUNCTIONS[known] = tuple(tags), compiler_fn
    return compiler_fn


def lookup_backend(backend: str | Backend) -> Backend:
    """The backend of a name as a function of a function and tensors; a function is given back.

    >>> torch._dynamo.lookup_backend("inductor")(lambda x: x * 2, [])(torch.ones(1))
    tensor([2.])
    """
    if not is_native(backend):
        return _FUNCTIONS[backend] if isinstance(backend, str) else backend
    return _unchanged if backend == "eager" else _recorded


def _unchanged(fn: Any, tensors: Any) -> Any:
    return getattr(fn, "forward", fn)


def _recorded(fn: Any, tensors: Any) -> Any:
    return compiled.compiled(_unchanged(fn, tensors))


def set_default_backend(backend: str | Backend | None) -> None:
    """The backend of `torch.compile` where none is named; None: "inductor", as it was.

    >>> torch.compiler.set_default_backend("eager")
    >>> torch.compiler.get_default_backend()
    'eager'
    >>> torch.compiler.set_default_backend(None)
    """
    if backend is not None and not isinstance(backend, str) and not callable(backend):
        raise TypeError(f"set_default_backend: a name or a function is expected, not {type(backend).__name__}")
    _Default.backend = "inductor" if backend is None else backend


def get_default_backend() -> str | Backend:
    """The backend of `torch.compile` where none is named.

    >>> torch.compiler.get_default_backend()
    'inductor'
    """
    return _Default.backend


class Written:
    """What a backend that is a function is given: the function as it is written, called like a module."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.forward = fn

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.forward(*args, **options)


def by_function(fn: Any, backend: str | Backend, said: dict[str, Any], most: int | None) -> Any:
    """fn as a backend makes it of fn and a call's tensors, for each kind of call. said: the mode or options, if they were given."""
    make = lookup_backend(backend)
    known: dict[Any, Callable[..., Any]] = {}
    resets = _Default.resets

    def call(*args: Any, **options: Any) -> Any:
        nonlocal resets
        if resets != _Default.resets:
            known.clear()
            resets = _Default.resets
        if Stance.name == "force_eager" or SETTINGS["disable"]:
            return fn(*args, **options)
        leaves: list[Any] = []
        shape = structure.flatten((args, options), leaves)
        kind = (shape, *map(_kind, leaves))
        if kind not in known:
            if len(known) >= (SETTINGS["recompile_limit"] if most is None else most):
                return fn(*args, **options)
            known[kind] = _made(make, fn, [x for x in leaves if isinstance(x, Tensor)], said)
        return known[kind](*args, **options)

    call = functools.wraps(fn)(call)
    call._torchdynamo_orig_callable = fn  # type: ignore[attr-defined]
    return call


def _kind(leaf: Any) -> Any:
    return leaf.form if isinstance(leaf, Tensor) else repr(leaf) if isinstance(leaf, structure.PLAIN) else id(leaf)


def _made(make: Backend, fn: Any, tensors: list[Tensor], said: dict[str, Any]) -> Callable[..., Any]:
    try:
        made = make(Written(fn), tensors, **said)
        if not callable(made):
            raise TypeError(f"a backend returns a function, not {type(made).__name__}")
    except Exception as error:
        if SETTINGS["suppress_errors"]:
            return fn
        raise BackendCompilerFailed(make, error) from error
    return made
