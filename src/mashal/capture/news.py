"""What compile tells those who ask: counters (torch._dynamo.utils.counters), and notes of what happens (torch._logging.set_logs).

counters["stats"]["unique_graphs"]      recordings made, those for many sizes among them
counters["graph_break"][reason]         places where functions were cut, by reason
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from mashal.later import later

__all__ = ["ASKED", "count", "counters", "tell"]

logging: Any = later("logging")
counters: defaultdict[str, Counter[str]] = defaultdict(Counter)
ASKED: set[str] = set()
"""The kinds of notes that are asked for: "graph_breaks", "recompiles"."""


def count(group: str, what: str) -> None:
    """One more of something."""
    counters[group][what] += 1


def tell(kind: str, text: Callable[[], str], unless_empty: Any = True) -> None:
    """Notes something, if notes of this kind are asked for."""
    if kind in ASKED and unless_empty:
        logging.getLogger(f"mashal.{kind}").info(text())
