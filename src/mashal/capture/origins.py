"""Where a kernel comes from: the operation that asked for it, in a reader's words, and the line of the program.

    linear                            a call of an operation, at the line where it stands
    dropout: bernoulli                an operation that is made of others, and which of them it is
    linear backward: grad of weight   what a node of backward computes, at the line of the operation that made the node
    clip_grad_norm_: norm             a function that is made of operations
    sum of gradients                  two gradients meet, or one comes to a grad that is there

A node is known by its number: the operation that made it is the last one whose kernel ran before the node was numbered.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from dataclasses import dataclass
from types import FrameType
from typing import Any

from mashal.capture.frames import HOME, PROGRAM, kind_of
from mashal.core import tape
from mashal.core.tape import Node, PlannedNode
from mashal.core.tensor import Tensor
from mashal.ops.recording import RecordedNode
from mashal.ops.table import DEFINITIONS

__all__ = ["Origins", "Place", "operand_of"]

Place = tuple[str, int]
"""A file and a line."""

_RECORDING = os.path.join(HOME, "capture", "making")
_USUAL = {"x": "input", "w": "weight", "b": "bias"}
_HELPERS = {"make_constant": "full", "cast_to": "to", "copied_as": "clone", "row_major": "contiguous", "rdiv": "div"}
_SUMMING = ("_joined", "add", "settle", "_first")  # functions of autograd in which gradients meet
_WRAPPERS = "ops/interception.py"  # around all operations, for those who want to see every call
_COMPOSED = ("nn/utils/", "optim/")  # what is made of operations, and is worth naming
_CHANGES = ("change", "change_by", "change_by_several", "in_place")  # operations in place (ops.doors, ops.elementwise)


@dataclass
class _Origin:
    """outer: what the program called, inner: the operation that runs for it; place: the program's line."""

    outer: str
    inner: str
    place: Place | None

    @property
    def name(self) -> str:
        return self.outer if self.inner in (self.outer, "") else f"{self.outer}: {self.inner}"


class Origins:
    """The names and places of the kernels of one recording, in the order in which they run."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._found: list[_Origin] = []

    def of(self, frame: FrameType | None) -> tuple[str, Place | None]:
        """The name and the place of the kernel that is about to run, `frame` being the innermost one of mashal's."""
        found = _Origin("", "", _program_line(frame))
        composed = ""
        while frame is not None and kind_of(frame) is not PROGRAM:
            own, function = frame.f_code.co_filename[len(HOME) :].replace("\\", "/"), frame.f_code.co_name
            if own.startswith("autograd/"):
                node = frame.f_locals.get("node")
                if function in _SUMMING:
                    return "sum of gradients", found.place
                if isinstance(node, Node):
                    return self._of_node(node, found.place)
            elif own.startswith("ops/") and own != _WRAPPERS:
                name = _operation(function, frame.f_locals)
                known = name.removesuffix("_") in DEFINITIONS
                if known or (name and not found.inner):
                    found.outer = name
                    found.inner = found.inner or (name if known else "")
            elif own.startswith(_COMPOSED):
                composed = _composed(function, frame.f_locals) or composed
            elif own.startswith("nn/") and function == "forward" and not found.inner:
                composed = type(frame.f_locals.get("self")).__name__
            frame = frame.f_back
        if composed:
            found.outer, found.inner = composed, found.outer
        self._numbers.append(next(tape.numbers))
        self._found.append(found)
        return found.name, found.place

    def _of_node(self, node: Node, place: Place | None) -> tuple[str, Place | None]:
        at = bisect_right(self._numbers, node.sequence) - 1
        maker = self._found[at] if at >= 0 else _Origin("", "", None)
        own = getattr(getattr(type(node), "operation", None), "name", "")
        if own == (maker.inner or maker.outer) or (not own and isinstance(node, (PlannedNode, RecordedNode))):
            outer, inner = maker.outer, maker.inner
        else:
            outer = inner = own or _spelled(node.name())
        return f"{outer} backward" + (f": {inner}" if inner not in (outer, "") else ""), maker.place or place


def operand_of(node: Node, index: int) -> str:
    """What the operation that a node stands for calls the operand of one of the node's edges; "" if it has but one."""
    names = type(node).operands
    present = getattr(getattr(node, "entry", None), "present", None)  # where operands may be left out (ops.remembered)
    index = index if present is None else present[index]
    return _USUAL.get(names[index], names[index]) if 1 < len(names) > index else ""


def _program_line(frame: FrameType | None) -> Place | None:
    """The innermost line of the program above a frame, if it is of the call that is being recorded."""
    while frame is not None and not frame.f_code.co_filename.startswith(_RECORDING):
        if kind_of(frame) is PROGRAM:
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None


def _operation(function: str, variables: dict[str, Any]) -> str:
    """The name of the operation whose function in `ops` this is; "" if it is none."""
    if function.startswith(("_", "<")):
        return ""
    inside = [variables.get("op"), variables.get("self")]
    for other in ("the_long_way", "others"):  # what a door closes over (ops.doors)
        inside += _closed_over(variables.get(other))
    names = (getattr(x, "name", getattr(x, "__name__", None)) for x in inside if not isinstance(x, Tensor))
    name = next((name for name in names if isinstance(name, str) and name in DEFINITIONS), "")
    if function == "long" and not name:  # how a door finds what it does not know yet
        return ""
    if function in _CHANGES and name:
        return f"{name}_"
    return _HELPERS.get(name or function, name or function)


def _closed_over(function: Any) -> list[Any]:
    return [
        getattr(function, "__self__", None),
        *(c.cell_contents for c in getattr(function, "__closure__", None) or ()),
    ]


def _composed(function: str, variables: dict[str, Any]) -> str:
    if function == "step":
        return type(variables.get("self")).__name__
    return "" if function.startswith(("_", "<")) else function


def _spelled(name: str) -> str:
    """A node's name as a reader would say it.

    >>> _spelled("NativeLayerNormBackward0"), _spelled("Scaled")
    ('layer_norm', 'scaled')
    """
    name = re.sub(r"Backward\d*$", "", name).removeprefix("Native")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
