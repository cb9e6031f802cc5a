"""torch._dynamo.optimize, the older name of torch.compile, and the class of compiled modules."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mashal.compiler.backends import is_native
from mashal.compiler.compiling import compile
from mashal.nearest import nearest
from mashal.nn.optimized import OptimizedModule

__all__ = ["OptimizedModule", "innermost_fn", "is_dynamo_supported", "optimize", "optimize_assert"]


def optimize(
    backend: Any = "inductor", *, nopython: bool = False, dynamic: bool | None = None, disable: bool = False
) -> Callable[[Any], Any]:
    """A decorator that compiles: `torch.compile` with its older arguments. nopython: fullgraph.

    >>> torch._dynamo.optimize("inductor")(lambda x: x * 2)(torch.ones(1))
    tensor([2.])
    """
    is_native(backend)
    return functools.partial(compile, backend=backend, fullgraph=nopython, dynamic=dynamic, disable=disable)


def optimize_assert(backend: Any = "inductor", *, dynamic: bool | None = None) -> Callable[[Any], Any]:
    """A decorator that compiles with fullgraph=True.

    >>> torch._dynamo.optimize_assert("inductor")(lambda x: x * 2)(torch.ones(1))
    tensor([2.])
    """
    return optimize(backend, nopython=True, dynamic=dynamic)


def is_dynamo_supported() -> bool:
    """Whether functions can be compiled: they can.

    >>> torch._dynamo.is_dynamo_supported()
    True
    """
    return True


def innermost_fn(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it is written of one that was compiled, once or more often.

    >>> torch._dynamo.eval_frame.innermost_fn(torch.compile(torch.exp)) is torch.exp
    True
    """
    while hasattr(fn, "_torchdynamo_orig_callable"):
        fn = fn._torchdynamo_orig_callable  # type: ignore[attr-defined]
    return fn


__getattr__ = nearest(__name__)
