"""The plan of a replay: what it computes, what it is given, what it compares, and what it leaves behind.

`planning` fills it from a recorded call, `backwards` for a backward; `program` makes it a replay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mashal.capture.modules import Seen
from mashal.capture.trail import Trail, Value
from mashal.core.generator import Generator
from mashal.core.tensor import Tensor
from mashal.machine.replay_tables import ASKED_USUALLY, NONE

__all__ = ["Operand", "Plan"]


@dataclass
class Operand:
    """An operand of the call: a tensor's place when it was recorded, its history; or an object that must be the same."""

    value: Value | None
    history: int = 0
    type: Any = Tensor
    same: Any = None


@dataclass
class Plan:
    """Everything that a replay is made of. trail: what it computes.

    What it is given
        operands        the call's arguments
        gradients       (tensor, value): buffers that are the gradient of a tensor when the call begins
        generators      the random generators that it draws from

    What it leaves behind
        results         what outlives the call, (value, node); the first `returned` of them are handed out, as `returns` says
        leaves          (tensor, place in results or -1): gradients that are set, or dropped
        kept_gradients  places in results of gradients that don't lie where the one before lay, which the call reads
        bumps           (tensor, by how much its version grows)

    What it compares, natively
        apart           storages that must differ: (operand, other operand or -1, capsule or None)
        together        operands that share memory: (operand, other operand, how many bytes further that one lies)
        slots           (address of a word, the object that it has to point to)
        kept            the objects whose words these are
        leaf_nodes      (leaf, address of its slot, node)
        looked          (row of slots, guard, what gives the object or Bits that are there now)
        entries         (dictionary, key, the object that has to be there)
        numbers         which entries are options of an optimizer that its step reads anew
        items           guards of lists' items, and of lengths
        asked           the modes that must be as they are now

    And in Python
        others          what else must hold, asked before each replay
        modules         what was seen of modules: asked again where one has changed
        settled         whether the call sets nothing of a module that it has a guard for

    folds: whether what depends on constants alone is computed now.
    """

    trail: Trail
    operands: list[Operand] = field(default_factory=list)
    gradients: list[tuple[Any, Value]] = field(default_factory=list)
    generators: list[Generator] = field(default_factory=list)

    results: list[tuple[Value, Any]] = field(default_factory=list)
    returned: int = 0
    returns: int = NONE
    leaves: list[tuple[Any, int]] = field(default_factory=list)
    kept_gradients: set[int] = field(default_factory=set)
    bumps: list[tuple[Any, int]] = field(default_factory=list)

    apart: list[tuple[int, int, Any]] = field(default_factory=list)
    together: list[tuple[int, int, int]] = field(default_factory=list)
    slots: list[tuple[int, Any]] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)
    leaf_nodes: list[tuple[Any, int, Any]] = field(default_factory=list)
    looked: list[tuple[int, Any, Callable[[], Any]]] = field(default_factory=list)
    entries: list[tuple[dict, Any, Any]] = field(default_factory=list)
    numbers: set[int] = field(default_factory=set)
    items: list[Any] = field(default_factory=list)
    asked: int = ASKED_USUALLY

    others: list[Any] = field(default_factory=list)
    modules: Seen = field(default_factory=lambda: Seen(()))
    settled: bool = True
    folds: bool = True
