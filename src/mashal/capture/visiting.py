"""Visiting a program's places: just before its next instruction, what that reads, picks or changes is noted.

`Visitor` is what `watch` sees with. Its methods that are called like a kind of site (`bytecode.Site`) say what happens there; the
simple ones stand in the classes that it is built on (`reading`, `picking`, `changing`), here are calls.
"""

from __future__ import annotations

import functools
from operator import attrgetter, itemgetter
from types import (
    BuiltinFunctionType,
    FrameType,
    FunctionType,
    MethodDescriptorType,
    MethodWrapperType,
    WrapperDescriptorType,
)
from typing import Any

from mashal.capture.bytecode import Site
from mashal.capture.changing import Changing
from mashal.capture.effects import changes, of_builtin
from mashal.capture.frames import is_library
from mashal.capture.guards import UNKNOWN, Guard
from mashal.capture.looking import evaluate
from mashal.capture.picking import Picking
from mashal.capture.sites import shown

__all__ = ["Visitor"]

_REPORTED = (BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType, MethodWrapperType)  # to profilers
_OF_FIRST_ARGUMENT = (next, setattr, delattr, object.__setattr__, object.__delattr__)


class Visitor(Changing, Picking):
    """Sightings at all places."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pending: dict[FrameType, str] = {}  # a local that is about to be a new container

    def visit(self, frame: FrameType, site: Site) -> None:
        """What happens at a site, just before it does."""
        try:
            getattr(self, site.kind)(frame, site)
        except Exception as error:  # an object that cannot be looked at must not break the program that uses it
            self.effect(frame, f"{shown(site.expression)} cannot be looked at ({type(error).__name__})")

    def keep(self, frame: FrameType, site: Site) -> None:
        """A new container becomes a local: noted at the next instruction, when it is there."""
        if site.expression[0] == "new" or evaluate(site.expression[1], frame) in (dict, list, set):
            self.pending[frame] = site.detail

    def settle(self, frame: FrameType) -> None:
        """What `keep` announced is there now."""
        name = self.pending.pop(frame, None)
        if name is not None:
            self.new(frame.f_locals.get(name))

    # ---------------------------------------------------------------- calls
    def call(self, frame: FrameType, site: Site) -> None:
        """A call whose function is no builtin, or a builtin whose argument matters."""
        _, callee, arguments = site.expression
        function = evaluate(callee, frame)
        self.hand_over(frame, function, arguments)
        while isinstance(function, functools.partial):
            for name, value in function.keywords.items():
                self.guard(Guard(function.keywords, name, value, f"`{name}` of a partial"), function)
            function = function.func
        if not self._is_followed(function):
            self.pick_by_method(callee, arguments, frame)
            self.call_builtin(frame, function, callee, arguments)

    def _is_followed(self, function: Any) -> bool:
        """Whether a function is written in Python, so that what it does is seen while it runs."""
        plain = getattr(function, "__func__", function)
        if isinstance(plain, FunctionType):
            self.functions[id(plain)] = plain
            if plain.__closure__:
                self.called.setdefault(plain.__code__, {})[plain] = None
            return True
        return isinstance(getattr(type(function), "__call__", None), FunctionType)  # noqa: B004

    def call_builtin(self, frame: FrameType, function: Any, callee: Any, arguments: tuple) -> None:
        """A call of a builtin, or of what is not known."""
        if function in (getattr, hasattr) and len(arguments) > 1:
            name = evaluate(arguments[1], frame)
            if arguments[0] is not None and isinstance(name, str):
                self.read(frame, Site("read", ("attribute", arguments[0], name)))
        if any(function is f for f in _OF_FIRST_ARGUMENT) and arguments:
            return self.change_by(frame, function, *arguments[:2])
        for argument in arguments:
            self.iterate(frame, Site("iterate", argument))
        if isinstance(function, MethodWrapperType) and changes(function) is not None:
            self.mutation(frame, f"{shown(callee)}()", changes(function))
        elif function is not UNKNOWN and not isinstance(function, (type, *_REPORTED)):
            what = of_builtin(function)
            if what is not None:
                self.effect(frame, what)

    def hand_over(self, frame: FrameType, function: Any, arguments: tuple) -> None:
        """A function of the library may read all of what it is given; a getter reads what it is for."""
        for key in function.__reduce__()[1] if isinstance(function, (attrgetter, itemgetter)) else ():
            if isinstance(function, itemgetter):
                self.read(frame, Site("read", ("item", arguments[0], ("constant", key))))
                continue
            read = arguments[0]
            for name in key.split("."):
                read = ("attribute", read, name)
                self.read(frame, Site("read", read))
        if is_library(getattr(function, "__func__", function)):
            given = [(evaluate(argument, frame), shown(argument)) for argument in arguments]
            for value, words in [(getattr(function, "__self__", None), "self"), *given]:
                self.read_object(frame, value, words)
