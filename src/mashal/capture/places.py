"""What a call leaves in places that were there before: attributes, items, globals, cells of outer functions.

    self.training = False
    features["relu"] = y

A replay runs no Python, but it can set such a place again: what stands there in the end is built as a part of the answer is.
`stores` says which of the changes that were seen are of this kind; all others cut.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import CellType, WrapperDescriptorType
from typing import TYPE_CHECKING, Any

from mashal.capture.guards import ABSENT, CONTENTS, Guard, same
from mashal.capture.modules import of_module
from mashal.capture.structure import PLAIN, Results, flatten
from mashal.core.interop import is_array
from mashal.core.tensor import Tensor
from mashal.machine.observing import changed

if TYPE_CHECKING:
    from mashal.capture.recorder import Recorder
    from mashal.capture.watch import Watch

__all__ = ["Place", "of_tensors", "place_to_set", "restored", "stores"]

_CONTAINERS = (dict, list, OrderedDict, defaultdict)


@dataclass(frozen=True, eq=False)
class Place:
    """A place that was set. before: what was there; owner: the object whose attribute it is, or None; read: whether the program
    looked there before it set it."""

    before: Guard
    owner: Any
    read: bool

    @property
    def name(self) -> tuple[int, Any]:
        """The same for the same place."""
        return self.before.name

    def put(self, value: Any) -> None:
        """Sets the place, and tells if it is a module's."""
        if same(self.before.found(), value):
            return
        if self.owner is not None:
            setattr(self.owner, self.before.key, value)
        else:
            self.before.put(value)
            if of_module(self.before.holder):
                changed()

    def put_back(self) -> None:
        """Has there be what was there before."""
        before = self.before
        if before.expected is not ABSENT:
            return self.put(before.expected)
        if before.found() is not ABSENT:
            delattr(self.owner, before.key) if self.owner is not None else before.holder.pop(before.key)


@contextmanager
def restored(places: Sequence[Place]) -> Iterator[None]:
    """In the end the places are as they were in the beginning."""
    before = [(place, place.before.found()) for place in places]
    try:
        yield
    finally:
        for place, value in before:
            place.put(value)


def place_to_set(before: Guard | None, owner: Any, read: bool) -> Place | None:
    """The place that was changed, if setting it again does what the program did; None if more may have happened."""
    if (
        before is None or before.key is CONTENTS or isinstance(owner, type)
    ):  # what depends on a class depends on all of it
        return None
    holder = before.holder
    if owner is holder and type(holder) in _CONTAINERS or isinstance(holder, CellType):
        return Place(before, None, read)
    attribute = owner is not holder or not isinstance(owner, (dict, list))  # one with a slot is its own holder
    attribute = isinstance(owner, Tensor) or (attribute and _is_set_plainly(owner))
    return Place(before, owner, read) if attribute else None


def _is_set_plainly(owner: Any) -> bool:
    """Whether setting an attribute runs none of the program's code."""
    how = type(owner).__setattr__
    return isinstance(how, WrapperDescriptorType) or how.__module__.partition(".")[0] == "mashal"


def stores(
    watch: Watch,
    recorder: Recorder,
    given: Sequence[int],
    arguments: Sequence[Any],
    results: Results,
    leaves: list[Any],
) -> tuple[list[Place], list[Any]]:
    """The places that a replay sets, and the structures of what it puts there, whose leaves are appended. given: ids of the
    containers among the arguments, whose leaves are `arguments`. What is found here is no effect any more, nor is whether an argument
    wants a gradient: the recorder knows it."""
    places: dict[tuple[int, Any], Place] = {}
    others = {*given, *(id(x) for x in arguments if isinstance(x, Tensor))}  # in the next call they are other ones
    for effect in watch.effects:
        place = effect.place
        if place is not None and id(place.before.holder) not in others and _is_left(place, watch, recorder, given):
            places.setdefault(place.name, place)
    wishes = {(id(x), "requires_grad") for x in arguments if isinstance(x, Tensor) and x.is_leaf}
    settled = {*places, *wishes}
    watch.effects = [e for e in watch.effects if e.place is None or e.place.name not in settled]
    return list(places.values()), [flatten(place.before.found(), leaves, results) for place in places.values()]


def _is_left(place: Place, watch: Watch, recorder: Recorder, given: Sequence[int]) -> bool:
    """Whether a replay can make again what stands in a place. What follows from what had been there is another thing in each call:
    a tensor may be, a number would be recorded anew each time."""
    value = place.before.found()
    if value is ABSENT or (place.read and not (isinstance(value, (bool, type(None))) or of_tensors(value))):
        return False
    parts: list[Any] = []
    flatten(value, parts, Results(watch.is_new))
    return all(_is_known(x, watch, recorder) and id(x) not in given for x in parts)


def of_tensors(x: Any) -> bool:
    """Whether this is a tensor, or a tuple of nothing else."""
    return isinstance(x, Tensor) or (type(x) is tuple and bool(x) and all(map(of_tensors, x)))


def _is_known(x: Any, watch: Watch, recorder: Recorder) -> bool:
    """Whether something is plain, was there before, or is a plain tensor that was made in the call."""
    if isinstance(x, Tensor):
        return not x.is_sparse and (id(x) not in recorder.new or (type(x) is Tensor and x.grad_ is None))
    return isinstance(x, PLAIN) or (not watch.is_new(x) and not is_array(x))
