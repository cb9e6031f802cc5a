"""What a program was seen reading and changing: guards, and effects.

`Sightings` collects both while a program runs, and says at the end which changes were of things that were there
before: the young generation of the garbage collector, emptied before and not collected since, is exactly what was made
meanwhile. The collector does not know dictionaries of plain values; of them those count as new that were seen being made.

What there is to see at each place of a program is found by the classes that stand on this one (`reading`, `picking`, `changing`,
`visiting`).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from types import CellType, CodeType, FrameType, FunctionType, ModuleType
from typing import Any

from mashal.capture.definitions import ModuleGuard, class_guards, function_guards, is_of_program
from mashal.capture.effects import Effect, Mutation, Unrepeatable
from mashal.capture.frames import Lines
from mashal.capture.guards import ABSENT, CONTENTS, LENGTH, UNKNOWN, Guard
from mashal.capture.modules import of_module
from mashal.capture.places import Place, place_to_set
from mashal.core.tape import mode
from mashal.core.tensor import Tensor

__all__ = ["Sightings"]

_INSIDE = {"__dict__", "vars"}  # the dictionary of an old object may be new


class Sightings:
    """What a program was seen reading and changing.

    function: what was called. lines_above: the program's lines that led to a frame. rehearsed: whether the program is stopped
    (`Unrepeatable`) before it has an effect; strict: before one that is no change of an object.
    """

    def __init__(
        self, function: Any, lines_above: Callable[[FrameType], Lines], rehearsed: bool = False, strict: bool = False
    ) -> None:
        self.function, self.rehearsed, self.strict = function, rehearsed, strict
        self.lines_above = lines_above
        self.found: dict[tuple[int, Any], tuple[Guard, Any]] = {}  # with the object whose dictionary the holder is
        self.changes: list[Effect | Mutation] = []
        self.before: dict[tuple[int, Any], Guard] = {}  # of places that were written: what was there
        self.made: dict[int, Any] = {}
        self.young: set[int] = set()  # in the end: what the collector has met since the beginning
        self.mode = _mode()
        self.switches: list[Effect] = []
        self.classes: dict[type, None] = {}  # whose methods ran, or whose attributes were read
        self.objects: dict[int, Any] = {}  # of these classes
        self.functions: dict[int, Any] = {}  # that were called
        self.called: dict[CodeType, dict[FunctionType, None]] = {}  # closures that were about to be called
        self.names: dict[int, tuple[ModuleType, dict[str, Any]]] = {}  # what was read in modules not the program's

    # ---------------------------------------------------------------- in the end
    def conclude(self) -> tuple[list[Guard], list[Effect]]:
        """The guards and the effects. What was made since the beginning is nobody's business."""
        self.young = {id(thing) for thing in gc.get_objects(generation=0)}
        effects, changed = self._effects()
        old = [
            guard for guard, owner in self.found.values() if id(owner) not in self.young and id(owner) not in self.made
        ]
        was_changed = lambda guard: type(guard.holder) in (list, dict, set) and id(guard.holder) in changed
        return [guard for guard in old if not was_changed(guard)], effects

    def _effects(self) -> tuple[list[Effect], set[int]]:
        """The effects; and the ids of what was changed otherwise than in one place that a replay may set."""
        effects: list[Effect] = []
        changed: set[int] = set()
        places: dict[tuple[int, Any], Place | None] = {}
        for change in self.changes + (self.switches if _mode() != self.mode else []):
            if isinstance(change, Mutation):
                if id(change.changed) in (self.young if change.tracked else self.made):
                    continue
                if change.before is not None and change.before.holds():
                    if not isinstance(change.changed, Tensor):
                        self.found.setdefault(change.before.name, (change.before, change.changed))
                    continue
                place = places.setdefault(change.before.name, self._place_of(change)) if change.before else None
                if place is None:
                    changed.add(id(change.changed))
                change = Effect(change.frame_lines, change.what, change.settles, place)
            if change not in effects:
                effects.append(change)
        return effects, changed

    def _place_of(self, change: Mutation) -> Place | None:
        """The one place that was set, if nobody has looked at all that stands beside it, or counted it. (Layers always count.)"""
        before = change.before
        if before is None or (id(before.holder), CONTENTS) in self.found:
            return None
        counted = (id(before.holder), LENGTH) in self.found and not of_module(before.holder)
        if counted and before.expected is ABSENT:
            return None
        return place_to_set(before, change.changed, before.name in self.found)

    def put_back(self) -> None:
        """After a rehearsal: the places that were set are as they were."""
        for change in self.changes:
            place = self._place_of(change) if isinstance(change, Mutation) else None
            if place is not None:
                place.put_back()

    def definitions(self, codes: Iterable[CodeType]) -> list[Any]:
        """Guards for what the program is made of: functions, classes, and which class an object is of."""
        new = self.young | {*self.made}
        old = [x for x in self.objects.values() if id(x) not in new and is_of_program(type(x))]
        kinds = [Guard(x, "__class__", type(x), f"the class of a {type(x).__name__}") for x in old]
        met = [self.function, *self.functions.values(), *self.classes]
        modules = [ModuleGuard(module, names) for module, names in self.names.values()]
        return [*function_guards(codes, met, new), *class_guards(self.classes, codes, new), *kinds, *modules]

    # ---------------------------------------------------------------- noting
    def guard(self, guard: Guard, owner: Any) -> None:
        """Something was read, unless the program wrote it before."""
        if guard.name not in self.before:
            self.meet(guard.expected)
            self.found.setdefault(guard.name, (guard, owner))

    def meet(self, thing: Any) -> None:
        """A function is called with this as its first argument, or an attribute of it is read."""
        if isinstance(thing, type):
            self.classes[thing] = None
        elif not isinstance(thing, (Tensor, FunctionType, dict, list, CellType)) and thing is not UNKNOWN:
            self.classes[type(thing)] = None
            self.objects[id(thing)] = thing

    def new(self, made: Any) -> None:
        """An object was made."""
        self.made[id(made)] = made

    def is_new(self, thing: Any) -> bool:
        """Whether a thing was made since the beginning."""
        if gc.is_tracked(thing):
            return any(made is thing for made in gc.get_objects(generation=0))
        return id(thing) in self.made

    def mutation(self, frame: FrameType, what: str, changed: Any, before: Guard | None = None) -> None:
        """An object, or what cannot be found out, is changed; in one place only if it is known what was there before."""
        if self.rehearsed and place_to_set(before, changed, False) is None and not self.is_new(changed):
            self.effect(frame, what)
        if before is not None:
            before = self.before.setdefault(before.name, before)
        lines = self.lines_above(frame)
        if changed is UNKNOWN or (type(changed) is dict and _INSIDE & {*frame.f_code.co_names}):
            self.changes.append(Effect(lines, what))
        else:
            entries = len(changed) if type(changed) is dict else None
            self.changes.append(Mutation(lines, what, changed, gc.is_tracked(changed), before, entries))

    def effect(self, frame: FrameType, what: str) -> None:
        """Something happens that no replay repeats."""
        self.changes.append(Effect(self.lines_above(frame), what))
        if self.rehearsed or self.strict:
            raise Unrepeatable(what)

    def switch(self, frame: FrameType) -> None:
        """Recording for backward is switched; no effect if in the end it is what it was, as after a with statement."""
        self.switches.append(Effect(self.lines_above(frame), type(frame.f_locals.get("self")).__name__))


def _mode() -> tuple[bool, bool]:
    """Whether operations are recorded for backward."""
    return mode.recording, mode.inference
