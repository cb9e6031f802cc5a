"""What is said of a function that compile comes upon: that it is kept out, that it is a constant, whether it is being recorded."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any

from mashal.core.interop import from_numpy, is_array
from mashal.core.tensor import Tensor
from mashal.machine.observing import watch
from mashal.nn.module import Module
from mashal.nn.optimized import OptimizedModule

__all__ = [
    "allow_in_graph", "applied", "assume_constant_result", "disable", "is_compiling", "is_dynamo_compiling", "is_exporting",
    "nested_compile_region", "wrap_numpy",
]  # fmt: skip


def is_compiling() -> bool:
    """Whether this code is being recorded by compile.

    >>> seen = []
    >>> def function(x):
    ...     seen.append(torch.compiler.is_compiling())
    ...     return x * 2
    >>> y = function(torch.ones(1)), torch.compile(function, fullgraph=False)(torch.ones(1))
    >>> seen
    [False, True]
    """
    return watch.recorder is not None and not watch.recorder.kept_out


def is_dynamo_compiling() -> bool:
    """Whether this code is being recorded by compile: another name of `is_compiling`.

    >>> torch.compiler.is_dynamo_compiling()
    False
    """
    return is_compiling()


def is_exporting() -> bool:
    """Whether this code is being exported: no.

    >>> torch.compiler.is_exporting()
    False
    """
    return False


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """A decorator that keeps a function out of compile: where it is called, the compiled part ends, and begins anew afterwards.

    recursive: accepted; what the function calls is kept out with it. reason: is told where the function is cut (`explain`).

    >>> @torch.compiler.disable(reason="it logs")
    ... def logged(x):
    ...     return x + 1
    >>> torch.compile(lambda x: x * 2, fullgraph=True)(logged(torch.ones(1)))
    tensor([4.])
    """
    if fn is None:
        return functools.partial(disable, recursive=recursive, reason=reason)
    fn = getattr(fn, "_torchdynamo_orig_callable", fn)  # of what is compiled already, the function as it is written
    return applied(
        lambda call: _kept_out(call, reason), fn, functools.partial(disable, recursive=recursive, reason=reason)
    )


def _kept_out(fn: Any, reason: str | None) -> Any:
    @functools.wraps(fn)
    def as_written(*args: Any, **options: Any) -> Any:
        recorder = watch.recorder
        if recorder is None:
            return fn(*args, **options)
        name = getattr(fn, "__qualname__", type(fn).__name__)
        recorder.obstacle(f"{name}() is kept out of compile" + (f" ({reason})" if reason else ""))
        recorder.kept_out += 1
        try:
            return fn(*args, **options)
        finally:
            recorder.kept_out -= 1

    return as_written


def applied(change: Callable[[Any], Any], to: Any, again: Callable[[Any], Any]) -> Any:
    """A function changed; a module around one; a class whose objects' calls are changed. again: does the same to other things."""
    if isinstance(to, Module):
        return OptimizedModule(to, again)
    if not isinstance(to, type):
        return change(to)
    call = getattr(to, "__call__", None)  # noqa: B004
    if issubclass(to, Module):
        to.forward = change(to.forward)  # type: ignore[method-assign]
    elif isinstance(call, FunctionType):
        to.__call__ = change(call)  # type: ignore[operator]
    return to


def allow_in_graph(fn: Any) -> Any:
    """A decorator that says a function, or each of a list, may be compiled as it is: that may all functions.

    >>> torch.compiler.allow_in_graph(torch.exp)(torch.zeros(2))
    tensor([1., 1.])
    """
    if not all(map(callable, fn if isinstance(fn, (list, tuple)) else [fn])):
        raise AssertionError(f"allow_in_graph expects a callable, not {type(fn).__name__}")
    return fn


def nested_compile_region(fn: Any = None) -> Any:
    """A decorator that says a function is compiled once for all its calls: the function as it is, for equal layers share
    their kernels anyway.

    >>> @torch.compiler.nested_compile_region
    ... def layer(x):
    ...     return x * 2
    >>> torch.compile(lambda x: layer(layer(x)))(torch.ones(2))
    tensor([4., 4.])
    """
    return fn if fn is not None else nested_compile_region


def wrap_numpy(fn: Any) -> Any:
    """A decorator for a function of arrays: tensors among its arguments come to it as arrays, arrays it returns become tensors.

    >>> torch.compiler.wrap_numpy(lambda a: a * 2)(torch.ones(2))
    tensor([2., 2.])
    """

    @functools.wraps(fn)
    def wrapped(*args: Any, **options: Any) -> Any:
        given = [x.numpy() if isinstance(x, Tensor) else x for x in args]
        named = {name: x.numpy() if isinstance(x, Tensor) else x for name, x in options.items()}
        return _as_tensors(fn(*given, **named))

    return wrapped


def _as_tensors(x: Any) -> Any:
    if isinstance(x, (tuple, list)):
        return type(x)(map(_as_tensors, x))
    return from_numpy(x) if is_array(x) else x


def assume_constant_result(fn: Any) -> Any:
    """A decorator that says a function's result never changes: where it is called in a compiled function, the result is kept.

    It may do what cannot be recorded: read a file, a tensor's value, the clock.

    >>> width = torch.tensor(3.0)
    >>> @torch.compiler.assume_constant_result
    ... def read():
    ...     return width.item()
    >>> torch.compile(lambda x: x * read(), fullgraph=True)(torch.ones(1))
    tensor([3.])
    """
    if not callable(fn):
        raise AttributeError(f"assume_constant_result: a function is expected, not {type(fn).__name__}")

    @functools.wraps(fn)
    def _constant_result(*args: Any, **options: Any) -> Any:
        recorder = watch.recorder
        return fn(*args, **options) if recorder is None else recorder.aside(lambda: fn(*args, **options))

    return _constant_result
