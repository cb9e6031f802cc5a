"""What a program says to compile about a place, a size or a tensor."""

from __future__ import annotations

from typing import Any

from mashal.machine.observing import watch

__all__ = ["graph_break", "mark_dynamic", "mark_static", "mark_static_address", "maybe_mark_dynamic", "mark_unbacked"]


def graph_break(msg: str = "") -> None:
    """Ends the compiled part here; the next one begins behind it."""
    if watch.recorder is not None:
        watch.recorder.obstacle(f"graph_break(){': ' * bool(msg)}{msg}")


def mark_dynamic(t: Any, index: Any, **options: Any) -> None:
    """Says that a size changes from call to call: calls share a recording from the second size on, not from the third.

    index: a dimension, or several. options: the bounds min and max and the like are not needed.

    >>> x = torch.ones(3, 2)
    >>> torch._dynamo.mark_dynamic(x, 0)
    """
    indices = set(index) if isinstance(index, (list, tuple)) else {index}
    t._dynamo_dynamic_indices = getattr(t, "_dynamo_dynamic_indices", set()) | indices


maybe_mark_dynamic = mark_unbacked = mark_dynamic


def mark_static(t: Any, index: Any = None) -> Any:
    """Says that a size, or all of a class of modules, is always the same. compile sees that by itself, so nothing is to be done."""
    return t if isinstance(t, type) else None


def mark_static_address(t: Any, guard: bool = True) -> None:
    """Says that a tensor stays where it is in memory. compile sees that by itself, so nothing is to be done."""
