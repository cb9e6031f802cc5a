"""What programs ask of torch._dynamo: the names that have to do with compile, and its settings.

The work is done in mashal.capture; PyTorch's compiler of the same name, its graphs and its guards are not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mashal.compiler import allow_in_graph, assume_constant_result, disable, is_compiling, list_backends, reset
from mashal.later import later
from mashal.machine.observing import watch
from mashal.nearest import nearest
from mashal.nn.optimized import OptimizedModule

__all__ = [
    "ExplainOutput", "OptimizedModule", "allow_in_graph", "assume_constant_result", "config", "disable", "explain", "graph_break",
    "is_compiling", "list_backends", "mark_dynamic", "mark_static", "maybe_mark_dynamic", "reset",
]  # fmt: skip

compiled: Any = later("mashal.capture.compiled")
explained: Any = later("mashal.capture.explain")
_LIMITS = ("recompile_limit", "cache_size_limit")
_KEPT = {
    "allow_rnn": False, "accumulated_recompile_limit": 256, "accumulated_cache_size_limit": 256, "assume_static_by_default": True,
    "automatic_dynamic_shapes": True, "capture_dynamic_output_shape_ops": False, "capture_scalar_outputs": False,
    "guard_nn_modules": True, "inline_inbuilt_nn_modules": True, "log_level": None, "optimize_ddp": True,
    "specialize_float": False, "specialize_int": False, "suppress_errors": False, "verbose": False,
}  # fmt: skip


class Config:
    """Settings of compile. recompile_limit (cache_size_limit): so many recordings of a function are made at most.

    All others are kept and given back: they choose between ways of which there is one. An unknown name is an AttributeError.

    >>> torch._dynamo.config.recompile_limit
    8
    >>> with torch._dynamo.config.patch(recompile_limit=2):
    ...     torch._dynamo.config.cache_size_limit
    2
    """

    def __init__(self) -> None:
        self.__dict__.update(_KEPT)

    def __getattr__(self, name: str) -> Any:
        if name in _LIMITS:
            return compiled.most_recordings()
        raise AttributeError(f"torch._dynamo.config has no setting {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _LIMITS:
            compiled.most_recordings(value)
        elif name in _KEPT:
            self.__dict__[name] = value
        else:
            raise AttributeError(f"torch._dynamo.config has no setting {name!r}")

    @contextmanager
    def patch(self, arg1: Any = None, arg2: Any = None, **changes: Any) -> Iterator[None]:
        """Other settings for a while: by keywords, a dictionary, or a name and a value."""
        changes = {arg1: arg2} if isinstance(arg1, str) else {**(arg1 or {}), **changes}
        before = {name: getattr(self, name) for name in changes}
        try:
            for name, value in changes.items():
                setattr(self, name, value)
            yield
        finally:
            for name, value in before.items():
                setattr(self, name, value)


config = Config()


def graph_break(msg: str = "") -> None:
    """Ends the compiled part here; the next one begins behind it."""
    if watch.recorder is not None:
        watch.recorder.obstacle(f"graph_break(){': ' * bool(msg)}{msg}")


def mark_dynamic(t: Any, index: Any, **options: Any) -> None:
    """Says that a size changes from call to call. compile sees that by itself, so nothing is to be done."""


maybe_mark_dynamic = mark_dynamic


def mark_static(t: Any, index: Any = None) -> None:
    """Says that a size is always the same. compile sees that by itself, so nothing is to be done."""


@dataclass(frozen=True)
class ExplainOutput:
    """What `explain` found: how many recorded regions (graph_count), cuts between them with their reasons, and operations."""

    graph_count: int
    graph_break_count: int
    break_reasons: list[str]
    op_count: int
    text: str

    def __str__(self) -> str:
        return self.text


def explain(f: Callable[..., Any]) -> Callable[..., ExplainOutput]:
    """A function that, called like f, says how f is compiled. `torch.explain` says more.

    >>> found = torch._dynamo.explain(lambda x: x * 2)(torch.ones(2))
    >>> found.graph_count, found.graph_break_count
    (1, 0)
    """

    def call(*args: Any, **options: Any) -> ExplainOutput:
        found = explained.explain(f, *args, **options)
        reasons = [f"{where}: {why}" for where, why in found.cuts]
        count = sum(region.recorded for region in found.regions)
        return ExplainOutput(len(found.regions), len(reasons), reasons, count, str(found))

    return call


__getattr__ = nearest(__name__)
