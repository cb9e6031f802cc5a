"""torch.compile, and what its arguments say."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mashal.compiler.backends import by_function, get_default_backend, is_native
from mashal.compiler.marks import applied
from mashal.later import later

__all__ = ["compile"]

compiled: Any = later("mashal.capture.compiled")
options_of: Any = later("mashal._inductor.options")
_MODES = "default", "lite", "reduce-overhead", "max-autotune-no-cudagraphs", "max-autotune"


def compile(
    model: Callable[..., Any] | None = None, *, fullgraph: bool = False, dynamic: bool | None = None, backend: Any = None,
    mode: str | None = None, options: dict[str, Any] | None = None, name: str | None = None, disable: bool = False,
    recompile_limit: int | None = None, isolate_recompiles: bool = False,
) -> Any:  # fmt: skip
    """A function or module that computes the same by one native call; as a decorator with or without options.

    The first call runs as it is written and is recorded: every kernel, what it read in Python, and what it left behind. Later calls
    for which all of that is the same run the kernels alone, those that go together joined into one. A call for which something
    has changed is recorded too; of calls that differ in a size alone only the first few, the rest share one recording that is
    tuned to each size (capture.growing). A whole training step can be compiled: zero_grad, forward, loss, backward, clipping, the
    optimizer's and the scheduler's step.

    model: a class too, whose objects' calls are compiled. fullgraph: torch._dynamo.exc.Unsupported (a RuntimeError), with
    the line, where a part of the function cannot be recorded (`.item()`, `print`, a branch on a tensor's value); otherwise that
    part runs as it is written. dynamic: True shares a recording between
    sizes from the second size on (None: from the third), False never does.

    backend: None is `torch.compiler.get_default_backend()`; "eager" (without fullgraph) and disable=True: everything runs as it is
    written; a backend that is a function is given the function (with `forward`) and the first call's tensors, and what it
    returns is called instead. mode and options say how to make kernels, and there is one way: they are checked
    (`torch._inductor.list_options()`) and nothing else. name: what messages call the function.

    recompile_limit: so many recordings are made at most; calls that fit none run as they are written, with fullgraph they
    are a FailOnRecompileLimitHit. isolate_recompiles: each result of compile has recordings of its own in any case.

    >>> double = torch.compile(lambda x: x * 2)
    >>> double(torch.ones(2))
    tensor([2., 2.])
    """
    backend = get_default_backend() if backend is None else backend
    said = _checked(backend, mode, options, dynamic)
    if recompile_limit is not None and not isinstance(recompile_limit, int):
        raise TypeError(f"compile: recompile_limit is an int or None, not {type(recompile_limit).__name__}")

    again = functools.partial(
        compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options, name=name,
        recompile_limit=recompile_limit,
    )  # fmt: skip

    def made(fn: Any) -> Any:
        if said is not None:
            return by_function(fn, backend, said, recompile_limit)
        if backend == "eager" and not fullgraph:
            return fn
        told = getattr(backend, "recorded", None)
        return compiled.compiled(fn, fullgraph, dynamic, name or "", recompile_limit, told)

    def decorated(model: Any) -> Any:
        if not callable(model):
            wrong = "Model can't be None" if model is None else f"compile: {type(model).__name__} was given"
            kind = RuntimeError if model is None else AssertionError
            raise kind(f"{wrong}; a callable function or a module is expected")
        return model if disable else applied(made, model, again)

    return decorated if model is None else decorated(model)


def _checked(backend: Any, mode: Any, options: Any, dynamic: Any) -> dict[str, Any] | None:
    """Errors for arguments that compile doesn't take. What a backend that is a function is told; None for mashal's own."""
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if dynamic is not None and not isinstance(dynamic, bool):
        raise AssertionError(f"compile: dynamic is {dynamic!r}: it must be True, False or None")
    if not is_native(backend) and not hasattr(backend, "recorded"):
        return {name: said for name, said in (("mode", mode), ("options", options)) if said and said != "default"}
    if backend == "inductor" and mode is not None and mode not in _MODES:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(_MODES)}")
    if backend == "inductor" and options:
        options_of.check_options(options)
    return None
