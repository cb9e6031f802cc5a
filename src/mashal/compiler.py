"""torch.compile and what programs ask of the compiler. The work is done in mashal.capture."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mashal.later import later
from mashal.machine.observing import watch
from mashal.nearest import nearest
from mashal.nn.module import Module
from mashal.nn.optimized import OptimizedModule

__all__ = ["assume_constant_result", "compile", "cudagraph_mark_step_begin", "disable", "is_compiling", "is_dynamo_compiling",
           "is_exporting", "list_backends", "reset"]  # fmt: skip

compiled: Any = later("mashal.capture.compiled")
_BACKENDS = ["inductor", "cudagraphs", "aot_eager", "eager"]


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
    written. mode and options are accepted: they say how to compile, and there is one way.

    >>> double = torch.compile(lambda x: x * 2)
    >>> double(torch.ones(2))
    tensor([2., 2.])
    """
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if mode not in (None, "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs", "lite"):
        raise RuntimeError(
            f"Unrecognized mode={mode}, should be one of: default, reduce-overhead, max-autotune, max-autotune-no-cudagraphs"
        )
    if isinstance(backend, str) and backend not in _BACKENDS:
        raise RuntimeError(f"compile: there is no backend {backend!r}; there are {', '.join(_BACKENDS)}")
    if model is None:
        return functools.partial(
            compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options, disable=disable
        )
    if not callable(model):
        raise RuntimeError(f"torch.compile: a function or a module is expected, not {type(model).__name__}")
    as_written = disable or backend == "eager"
    if isinstance(model, Module):
        return OptimizedModule(
            model, model.__call__ if as_written else compiled.compiled(model.__call__, fullgraph, dynamic)
        )
    return model if as_written else compiled.compiled(model, fullgraph, dynamic)


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

    @functools.wraps(fn)
    def as_written(*args: Any, **options: Any) -> Any:
        if watch.recorder is not None:
            name = getattr(fn, "__qualname__", type(fn).__name__)
            watch.recorder.obstacle(f"{name}() is kept out of compile" + (f" ({reason})" if reason else ""))
        return fn(*args, **options)

    return as_written


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


def list_backends(exclude_tags: Any = ()) -> list[str]:
    """The names that compile takes as backend. All but "eager" mean the same.

    >>> torch.compiler.list_backends()
    ['inductor', 'cudagraphs', 'aot_eager', 'eager']
    """
    return list(_BACKENDS)


__getattr__ = nearest(__name__)
