"""What a program changes: attributes, items, variables, iterators, and what mashal's own functions change for it.

A part of what `watch` sees with. Whether a change is an effect is known in the end (`sightings`): it is none if the object was made
meanwhile, or if it is again what it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import FrameType
from typing import Any

from mashal.capture.bytecode import Site
from mashal.capture.guards import ABSENT, CONTENTS, UNKNOWN, Guard
from mashal.capture.looking import evaluate, place_of
from mashal.capture.reading import Reading
from mashal.capture.sites import shown
from mashal.core.tensor import Tensor
from mashal.machine.observing import watch

__all__ = ["Changing"]


class Changing(Reading):
    """Sightings of what is changed."""

    # ---------------------------------------------------------------- sites
    def store(self, frame: FrameType, site: Site) -> None:
        """An attribute or an item is set or deleted."""
        way, name, deleted = site.detail
        what = shown(("attribute", site.expression, name)) if way == "attribute" else f"{shown(site.expression)}[…]"
        changed = evaluate(site.expression, frame)
        if isinstance(changed, Tensor) and (way == "item" or name in ("grad", "data")):
            return
        if isinstance(changed, Tensor) and name == "requires_grad":
            return self.wants_gradients(frame, [changed], f"{what} = …")
        if isinstance(changed, Tensor) and not hasattr(type(changed), name):
            return self.effect(frame, f"{what} = …")
        key = name if way == "attribute" else evaluate(name, frame)
        known = changed is not UNKNOWN and key is not UNKNOWN
        before = place_of(changed, key, way, f"`{what}`") if known else None
        self.mutation(frame, f"{'del ' * deleted}{what}{'' if deleted else ' = …'}", changed, before)

    def rebind(self, frame: FrameType, site: Site) -> None:
        """A global or a cell of an outer function gets another value."""
        kind, name = site.expression
        if kind == "global":
            held = frame.f_globals
            before = Guard(held, name, held.get(name, ABSENT), f"global `{name}`")
            return self.mutation(frame, f"global {name} = …", held, before)
        cell = self.cell(frame, name)
        if cell is None:
            return self.mutation(frame, f"nonlocal {name} = …", UNKNOWN)
        before = Guard(cell, None, evaluate(site.expression, frame), f"`{name}`, which is closed over")
        self.mutation(frame, f"nonlocal {name} = …", cell, before)

    def inplace(self, frame: FrameType, site: Site) -> None:
        """`x += y` with x a list or the like changes the list itself."""
        changed = evaluate(site.expression, frame)
        if hasattr(type(changed), "__iadd__") and not isinstance(changed, Tensor):
            self.mutation(frame, f"{shown(site.expression)} += …", changed)

    def iterate(self, frame: FrameType, site: Site) -> None:
        """A loop over an iterator uses it up, and so does a builtin that gets it."""
        value = evaluate(site.expression, frame)
        if value is not UNKNOWN and hasattr(type(value), "__next__"):
            self.mutation(frame, f"{shown(site.expression)} is an iterator, and used up", value)

    # ---------------------------------------------------------------- calls
    def change_by(self, frame: FrameType, function: Any, argument: Any, name: Any = None) -> None:
        """A builtin is called that changes its first argument, in one attribute if there is a name."""
        changed = evaluate(argument, frame)
        if function is next:
            if changed is UNKNOWN and argument is not None and argument[0] == "call":
                if evaluate(argument[1], frame) is not iter or not argument[2]:
                    return
                of = argument[2][0]
                changed = evaluate(of, frame)
                if (of is not None and of[0] == "call") or not hasattr(type(changed), "__next__"):
                    return
            self.mutation(frame, f"next({shown(argument)})", changed)
        elif not isinstance(changed, Tensor) or evaluate(name, frame) not in ("grad", "data"):
            self.mutation(frame, f"{function.__name__}({shown(argument)}, …)", changed)

    def variable(self, frame: FrameType, function: Any) -> None:
        """A method of a context variable is called."""
        now = Guard(function.__self__, CONTENTS, ABSENT, f"the context variable {function.__self__.name}")
        now = Guard(now.holder, now.key, now.found(), now.what)
        if function.__name__ == "get":
            self.guard(now, now.holder)
        else:
            self.mutation(frame, f"{function.__self__.name}.{function.__name__}()", now.holder, now)

    def by_mashal(self, frame: FrameType) -> None:
        """A function of mashal changes its first argument, unless that is already what it is asked to be."""
        name, locals_ = frame.f_code.co_name, frame.f_locals
        thing: Any = locals_.get(frame.f_code.co_varnames[0])
        if name in ("train", "eval") and hasattr(thing, "modules"):
            asked = locals_.get("mode", False)
            if all(vars(module).get("training") is asked for module in thing.modules()):
                for module in thing.modules():
                    self.guard(Guard(vars(module), "training", asked, f"the mode of a {type(module).__name__}"), module)
                return
            for module in thing.modules():
                place = place_of(module, "training", "attribute", f"the mode of a {type(module).__name__}")
                self.mutation(frame, f"{type(module).__name__}.{name}()", module, place)
            return
        if name == "requires_grad_":
            tensors = list(thing.parameters()) if hasattr(thing, "parameters") else [thing]
            return self.wants_gradients(frame, tensors, f"{type(thing).__name__}.{name}()")
        self.mutation(frame, f"{type(thing).__name__}.{name}()", thing)

    def wants_gradients(self, frame: FrameType, tensors: Iterable[Tensor], what: str) -> None:
        """It is set whether tensors want gradients; what they did before is a guard of the recorder's."""
        for x in tensors:
            if watch.recorder is not None:
                watch.recorder.touch(x)
            self.mutation(
                frame, what, x, Guard(x, "requires_grad", x.requires_grad, "whether a tensor wants a gradient")
            )
