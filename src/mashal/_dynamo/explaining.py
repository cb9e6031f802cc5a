"""torch._dynamo.explain: how compile takes a function, in PyTorch's words. `torch.explain` says more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mashal.later import later

__all__ = ["ExplainOutput", "GraphCompileReason", "explain"]

explained: Any = later("mashal.capture.explain")


@dataclass(frozen=True)
class GraphCompileReason:
    """Why a function is cut somewhere. reason: with the place; user_stack: the place alone."""

    reason: str
    user_stack: list[str]
    graph_break: bool = True

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class ExplainOutput:
    """What `explain` found: how many recorded regions (graph_count), cuts between them with their reasons, and operations.

    graphs: the regions themselves, as `torch.explain` gives them, without those of backward. Printed, it is what `torch.explain`
    prints.
    """

    graphs: list[Any]
    graph_count: int
    graph_break_count: int
    break_reasons: list[GraphCompileReason]
    op_count: int
    text: str

    def __str__(self) -> str:
        return self.text


def explain(f: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """A function that, called like f, says how f is compiled; with arguments, what it says at once. `torch.explain` says more.

    >>> found = torch._dynamo.explain(lambda x: x * 2)(torch.ones(2))
    >>> found.graph_count, found.graph_break_count
    (1, 0)
    """

    def call(*args: Any, **options: Any) -> ExplainOutput:
        found = explained.explain(f, *args, **options)
        reasons = [GraphCompileReason(f"{where}: {why}", [where]) for where, why in found.cuts]
        regions = [region for region in found.regions if not region.backward]
        count = sum(region.recorded for region in regions)
        return ExplainOutput(regions, len(regions), len(reasons), reasons, count, str(found))

    return call(*args, **options) if args or options else call
