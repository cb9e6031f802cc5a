"""What a program's way depends on, in a rehearsal: the keys by which it picks, the numbers on which it branches.

A rehearsal (`growing`) runs a program with other sizes. If it picks the same things then, and branches alike, one recording may stand for
all of these sizes; a guard would say too much, for there the number itself differs.
"""

from __future__ import annotations

from types import FrameType
from typing import Any

from mashal.capture.bytecode import Site
from mashal.capture.guards import UNKNOWN
from mashal.capture.looking import evaluate, evaluate_number, gives_tensor
from mashal.capture.modules import is_module
from mashal.capture.reading import Reading
from mashal.core.shapes import Size
from mashal.core.tensor import Tensor

__all__ = ["Picking"]

_NUMBERS = (int, float, bool, str, tuple, Size, type(None))  # known by their value
_PICKING = ("get", "index", "count", "pop", "setdefault")  # methods whose first argument picks


class Picking(Reading):
    """Sightings of what is picked. picked: keys and numbers in the order in which they were met."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.picked: list[Any] = []

    def pick(self, frame: FrameType, site: Site) -> None:
        """An item is taken by a key that is computed: in a rehearsal, what the key is."""
        if self.rehearsed:
            self.pick_by(site.expression, site.detail, frame)

    def pick_by(self, of: Any, key: Any, frame: FrameType) -> None:
        """Notes a key. A tensor's items are kernels' business; what cannot be seen is taken for a tensor if its key isn't an int."""
        owner, key = evaluate(of, frame), evaluate(key, frame)
        if owner is UNKNOWN and of is not None and of[0] == "new":
            owner = of
        if isinstance(owner, (Tensor, Size)) or is_module(owner) or (owner is UNKNOWN and type(key) is not int):
            return
        if key is not UNKNOWN or not self.is_new(owner):
            self.picked.append(object() if key is UNKNOWN else repr(key))

    def pick_by_method(self, callee: Any, arguments: tuple, frame: FrameType) -> None:
        """A method is called that may take an item by its first argument."""
        if self.rehearsed and arguments and callee is not None and callee[0] == "attribute" and callee[2] in _PICKING:
            self.pick_by(callee[1], arguments[0], frame)

    def truth(self, frame: FrameType, site: Site) -> None:
        """A branch: in a rehearsal, on which number."""
        value = evaluate_number(site.expression, frame) if self.rehearsed else UNKNOWN
        if type(value) is int:
            self.picked.append(value)

    def uneven(self, frame: FrameType, site: Site) -> None:
        """Something is done with numbers that does not change at thresholds only: in a rehearsal, what the numbers are."""
        if self.rehearsed:
            sides = site.expression, site.detail
            values = [evaluate_number(x, frame) for x in sides]
            if not any(isinstance(x, Tensor) for x in values) and not any(gives_tensor(x, frame) for x in sides):
                self.picked += [object() if x is UNKNOWN else repr(x) if type(x) in _NUMBERS else id(x) for x in values]
