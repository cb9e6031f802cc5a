"""torch.compile and what programs ask of the compiler. The work is done in mashal.capture."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any

from mashal.core.interop import from_numpy, is_array
from mashal.core.tensor import Tensor
from mashal.later import later
from mashal.machine.observing import watch
from mashal.nearest import nearest
from mashal.nn.module import Module
from mashal.nn.optimized import OptimizedModule

__all__ = [
    "allow_in_graph", "assume_constant_result", "compile", "cudagraph_mark_step_begin", "disable", "is_compiling",
    "is_dynamo_compiling", "is_exporting", "list_backends", "nested_compile_region", "reset", "set_stance", "wrap_numpy",
]  # fmt: skip

compiled: Any = later("mashal.capture.compiled")
_STANCES = ("default", "force_eager", "eager_on_recompile", "fail_on_recompile")
_MODES = "default", "lite", "reduce-overhead", "max-autotune-no-cudagraphs", "max-autotune"
_BACKENDS = {"cudagraphs": (), "inductor": (), "aot_eager": ("debug",), "eager": ("debug",)}


def compile(
    model: Callable[..., Any] | None = None, *, fullgraph: bool = False, dynamic: bool | None = None, backend: Any = "inductor",
    mode: str | None = None, options: dict[str, Any] | None = None, disable: bool = False,
) -> Any:  # fmt: skip
    """A function or module that computes the same by one native call; as a decorator with or without options.

    The first call runs as it is written and is recorded: every kernel, what it read in Python, and what it left behind. Later calls
    for which all of that is the same run the kernels alone, those that go together joined into one. A call for which something
    has changed is recorded too; of calls that differ in a size alone only the first few, the rest share one recording that is
    tuned to each size (capture.growing). A whole training step can be compiled: zero_grad, forward, loss, backward, clipping, the
    optimizer's and the scheduler's step.

    fullgraph: RuntimeError, with the line, where a part of the function cannot be recorded (`.item()`, `print`, a branch on
    a tensor's value); otherwise that part runs as it is written. dynamic: True shares a recording between
    sizes from the second size on (None: from the third), False never does. backend "eager" and disable=True: everything runs as it is
    written; a backend that is a function is given the function (with `forward`) and the first call's tensors, and what it
    returns is called instead. mode and options are accepted: they say how to compile, and there is one way.

    model: a class too, whose objects' calls are compiled.

    >>> double = torch.compile(lambda x: x * 2)
    >>> double(torch.ones(2))
    tensor([2., 2.])
    """
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if mode is not None and mode not in _MODES:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(_MODES)}")
    if dynamic is not None and not isinstance(dynamic, bool):
        raise AssertionError(f"compile: dynamic is {dynamic!r}: it must be True, False or None")
    if isinstance(backend, str) and backend not in _BACKENDS:
        raise RuntimeError(f"compile: Invalid backend: {backend!r}; there are {', '.join(_BACKENDS)}")
    if not isinstance(backend, str) and not callable(backend):
        raise RuntimeError(f"compile: Invalid backend: {backend!r}; a name or a function is expected")
    if model is None:
        return functools.partial(
            compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options, disable=disable
        )
    if not callable(model):
        raise RuntimeError(f"torch.compile: a function or a module is expected, not {type(model).__name__}")
    if disable:
        return model

    def made(fn: Any) -> Any:
        if not isinstance(backend, str):
            return _by_backend(fn, backend)
        return fn if backend == "eager" else compiled.compiled(fn, fullgraph, dynamic)

    return _applied(made, model)


def _applied(change: Callable[[Any], Any], to: Any) -> Any:
    """A function changed; a module around one; a class whose objects' calls are changed."""
    if isinstance(to, Module):
        return OptimizedModule(to, change(to.__call__))
    if not isinstance(to, type):
        return change(to)
    call = getattr(to, "__call__", None)  # noqa: B004
    if issubclass(to, Module):
        to.forward = change(to.forward)  # type: ignore[method-assign]
    elif isinstance(call, FunctionType):
        to.__call__ = change(call)  # type: ignore[operator]
    return to


class Written:
    """What a backend that is a function is given: the function as it is written, called like a module."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.forward = fn

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.forward(*args, **options)


def _by_backend(fn: Any, backend: Callable[..., Any]) -> Any:
    """fn as a function makes it of fn and the tensors of the first call."""
    chosen: list[Any] = []

    def call(*args: Any, **options: Any) -> Any:
        if not chosen:
            tensors = [x for x in (*args, *options.values()) if isinstance(x, Tensor)]
            chosen.append(backend(Written(fn), tensors))
        return chosen[0](*args, **options)

    return functools.wraps(fn)(call)


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
    return watch.recorder is not None


def is_dynamo_compiling() -> bool:
    """Whether this code is being recorded by compile: another name of `is_compiling`.

    >>> torch.compiler.is_dynamo_compiling()
    False
    """
    return watch.recorder is not None


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
    return _applied(lambda call: _kept_out(call, reason), fn)


def _kept_out(fn: Any, reason: str | None) -> Any:
    @functools.wraps(fn)
    def as_written(*args: Any, **options: Any) -> Any:
        if watch.recorder is not None:
            name = getattr(fn, "__qualname__", type(fn).__name__)
            watch.recorder.obstacle(f"{name}() is kept out of compile" + (f" ({reason})" if reason else ""))
        return fn(*args, **options)

    return as_written


def allow_in_graph(fn: Any) -> Any:
    """A decorator that says a function may be compiled as it is: that may all functions.

    >>> torch.compiler.allow_in_graph(torch.exp)(torch.zeros(2))
    tensor([1., 1.])
    """
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


class set_stance:
    """From now on, inside a with statement, or as a decorator while a function runs: what compiled functions do.

    stance: "default"; "force_eager": they run as they are written; "eager_on_recompile": they do where no recording fits;
    "fail_on_recompile": that is a RuntimeError.

    >>> double = torch.compile(lambda x: x * 2)
    >>> with torch.compiler.set_stance("force_eager"):
    ...     double(torch.ones(2))
    tensor([2., 2.])
    """

    def __init__(
        self, stance: str = "default", *, skip_guard_eval_unsafe: bool = False, force_backend: Any = None
    ) -> None:
        if stance not in _STANCES:
            raise RuntimeError(f"set_stance: stance must be one of {', '.join(_STANCES)}, not {stance!r}")
        if watch.recorder is not None:
            watch.recorder.obstacle("set_stance()")
        self.stance, self.before = stance, compiled.stand(stance)

    def __enter__(self) -> None:
        compiled.stand(self.stance)

    def __exit__(self, *error: Any) -> None:
        compiled.stand(self.before)

    def __call__(self, fn: Callable[..., Any]) -> Any:
        compiled.stand(self.before)

        @functools.wraps(fn)
        def call(*args: Any, **options: Any) -> Any:
            with set_stance(self.stance):
                return fn(*args, **options)

        return call


def assume_constant_result(fn: Any) -> Any:
    """A decorator that says a function's result never changes: the function as it is, for a recording keeps what it read.

    >>> @torch.compiler.assume_constant_result
    ... def width():
    ...     return 3
    >>> width()
    3
    """
    return fn


def reset() -> None:
    """Forgets all recordings; compiled functions are recorded again when they are next called.

    >>> torch.compiler.reset()
    """
    compiled.reset()


def cudagraph_mark_step_begin() -> None:
    """Says that a step begins; nothing depends on it here, for results of an earlier call are never overwritten.

    >>> torch.compiler.cudagraph_mark_step_begin()
    """


def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    """The names that compile takes as backend, without those that have one of some tags. All but "eager" mean the same.

    >>> torch.compiler.list_backends(())
    ['aot_eager', 'cudagraphs', 'eager', 'inductor']
    """
    return sorted(name for name, tags in _BACKENDS.items() if not {*tags} & {*(exclude_tags or ())})


__getattr__ = nearest(__name__)
