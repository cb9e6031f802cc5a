"""What a program reads: globals, cells, attributes, items, and containers as a whole become guards.

A part of what `watch` sees with. Where it cannot be found out which item is read, all of them are guarded.
"""

from __future__ import annotations

import gc
from types import CellType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any

from mashal.capture.bytecode import Site
from mashal.capture.contents import LARGEST, content_guards, is_whole, object_guards
from mashal.capture.frames import function_in
from mashal.capture.guards import ABSENT, UNKNOWN, Guard
from mashal.capture.looking import candidates, evaluate, item_of, look_up, place_of
from mashal.capture.modules import is_module
from mashal.capture.sightings import Sightings
from mashal.capture.sites import reads_of_first, shown
from mashal.core.interop import is_array
from mashal.core.tensor import Tensor
from mashal.machine.observing import watch

__all__ = ["Reading"]


class Reading(Sightings):
    """Sightings of what is read."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._closures: dict[FrameType, FunctionType | None] = {}  # the function that runs in a frame

    # ---------------------------------------------------------------- sites
    def read(self, frame: FrameType, site: Site) -> None:
        """A global, a cell, an attribute or an item is read: it becomes a guard."""
        kind, of = site.expression[:2]
        if kind in ("global", "cell"):
            self.read_variable(frame, site, kind, of)
        else:
            for owner in candidates(of, frame):
                self.read_part(frame, site, owner)

    def read_variable(self, frame: FrameType, site: Site, kind: str, name: str) -> None:
        """A global or a cell; a name of Python's own is no guard."""
        holder: Any = frame.f_globals if kind == "global" else self.cell(frame, name)
        value = evaluate(site.expression, frame)
        if holder is None or value is UNKNOWN or (kind == "global" and name not in holder):
            return
        words = f"global `{name}`" if kind == "global" else f"`{name}`, which is closed over"
        self.guard(Guard(holder, name if kind == "global" else None, value, words), holder)
        if value is not frame.f_globals:
            self.read_content(frame, site.whole, value, words)

    def read_part(self, frame: FrameType, site: Site, owner: Any) -> None:
        """An attribute or an item of an object. That an object has none of its own, but its class has, is a guard, too."""
        kind, _, key = site.expression
        key = key if kind == "attribute" else evaluate(key, frame)
        words = f"`{shown(site.expression)}`"
        self.meet(owner)
        holder, value = look_up(owner, key) if kind == "attribute" else item_of(owner, key)
        if kind == "attribute" and holder is None and isinstance(owner, ModuleType):
            self.names.setdefault(id(owner), (owner, {}))[1][key] = value
        if watch.recorder is not None and id(holder) in watch.recorder.moved:
            return self.effect(frame, f"{words} is read, after a schedule's step")
        shadowable = isinstance(value, MethodType) and not is_module(owner) and not isinstance(owner, (type, Tensor))
        if kind == "attribute" and (value is UNKNOWN or holder is not None or shadowable):
            own = place_of(owner, key, kind, words)
            if own is not None and own.expected is ABSENT:
                self.guard(own, owner)
        if value is not UNKNOWN and holder is not None:
            there = holder.get(key, value) if type(holder) is dict else value  # a function, where a method was found
            self.guard(Guard(holder, key, there, words), owner)
        self.read_content(frame, site.whole or is_whole(value), value, words)
        if kind == "item" and value is UNKNOWN:  # it may be any of them
            of = shown(site.expression[1])
            self.read_content(frame, True, owner, of)
            self.read_object(frame, owner, of)

    def read_content(self, frame: FrameType, whole: bool, value: Any, words: str) -> None:
        """A container that is looked at as a whole."""
        if not whole:
            return
        if is_array(value) and value.nbytes > LARGEST:
            return self.effect(frame, f"reading the large array {words}")
        for guard in content_guards(value, words):
            self.guard(guard, guard.holder)

    def read_object(self, frame: FrameType, value: Any, words: str) -> None:
        """An object is handed to code that is not watched, which may read all of it."""
        for guard in object_guards(value, words):
            self.guard(guard, value)

    def cell(self, frame: FrameType, name: str) -> CellType | None:
        """The cell of a free variable; None where the frame's function isn't found."""
        if name == "__class__":
            return None
        if frame not in self._closures:
            near = [self.function, *self.called.get(frame.f_code, ())]
            self._closures[frame] = function_in(frame, near) or function_in(frame, gc.get_referrers(frame.f_code))
        function = self._closures[frame]
        return None if function is None else (function.__closure__ or ())[frame.f_code.co_freevars.index(name)]

    # ---------------------------------------------------------------- functions of mashal, and of the library
    def read_layer(self, frame: FrameType) -> None:
        """All that a layer's function may read of its module."""
        for site in reads_of_first(frame.f_code):
            self.read(frame, site)

    def environment(self, frame: FrameType) -> None:
        """os.environ looks for a variable."""
        of, name = frame.f_locals["self"], frame.f_locals["key"]
        held, key = vars(of)["_data"], of.encodekey(name)
        self.guard(Guard(held, key, held.get(key, ABSENT), f"the environment's {name}"), held)
