"""Watching a program while it is recorded: what it read (guards), what it did besides computing (effects), where it is.

A replay runs no Python. `Watch` therefore follows the frames of the program (`frames`) while its function runs once: before each
instruction that reads or changes something (`bytecode`) it notes what that is (`visiting`), and calls of builtins are
reported to it (`effects`).

Inside mashal only `nn` is read, at the entry of its functions: what `self.training`, `self.p` and the like were.
What runs inside a scheduler's step, an import or a function marked with assume_constant_result is not watched.
"""

from __future__ import annotations

import gc
import inspect
import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any

from mashal.capture import effects
from mashal.capture.bytecode import Site
from mashal.capture.effects import Effect
from mashal.capture.frames import (
    HOME,
    IMPORTS,
    LAYERS,
    LIBRARY,
    MASHAL,
    PROGRAM,
    Lines,
    code_of,
    kind_of,
    lines_above,
    was_begun,
)
from mashal.capture.guards import Guard
from mashal.capture.sites import sites
from mashal.capture.visiting import Visitor
from mashal.core.tape import mode
from mashal.core.tensor import Tensor

__all__ = ["Watch"]

_COMPREHENSIONS = ("<listcomp>", "<dictcomp>", "<setcomp>")  # functions of their own up to 3.11
_ENVIRONMENT = type(os.environ).__getitem__.__code__
_LAZY = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Watch:
    """A context around one call of `function`; afterwards `guards`, `effects`, `definitions` (guards too:
    capture.definitions), `codes` (the program's), `picked`; while
    inside `line()`.

    declined: why nothing was watched (a profiler runs), or "". rehearsed: whether the program is stopped before it has an effect;
    strict: before it has one that is no change of an object (those may be taken back), such as printing.

    >>> scale = 2.0
    >>> def double(x):
    ...     return x * scale
    >>> with Watch(double) as watch:
    ...     y = double(torch.ones(2))
    >>> [guard.what for guard in watch.guards], watch.effects
    (['global `scale`'], [])
    """

    def __init__(self, function: Any, rehearsed: bool = False, strict: bool = False) -> None:
        self.function, self.rehearsed, self.strict = function, rehearsed, strict
        self.root = code_of(function)
        self.guards: list[Guard] = []
        self.effects: list[Effect] = []
        self.definitions: list[Any] = []
        self.codes: tuple[CodeType, ...] = ()
        self.picked: list[Any] = []
        self.declined = ""
        self._new: set[int] = set()
        self._read: set[int] = set()
        self._kinds: dict[int, tuple[CodeType, str]] = {}
        self._begun: set[FrameType] = set()
        self._quiet: FrameType | None = None  # nothing is watched until this frame returns
        self._before: tuple[Any, Any, bool] | None = None
        self._put_back: Callable[[], None] | None = None

    # ---------------------------------------------------------------- entering and leaving
    def __enter__(self) -> Watch:
        self._outside: FrameType | None = None
        self._tracer, self._profiler = sys.gettrace(), sys.getprofile()
        if self._profiler is not None and not isinstance(self._profiler, (FunctionType, MethodType)):
            self.declined = "a profiler is running"
            return self
        self._seen = Visitor(self.function, self._lines_above, self.rehearsed, self.strict)
        gc.collect(0)
        self._before = self._tracer, self._profiler, gc.isenabled()
        gc.disable()
        _finished_frame().f_trace_opcodes = True  # CPython 3.12 asks before settrace whether instructions are wanted
        self._trace, self._profile = self._on_trace, self._on_profile
        mode.watched = True
        sys.setprofile(self._profile)
        sys.settrace(self._trace)
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._before is None:
            return
        self._look_away()
        try:
            self.guards, self.effects = self._seen.conclude()
            self.picked = self._seen.picked
            self._put_back = self._seen.put_back if self.rehearsed else None
            self._new = self._seen.young | {*self._seen.made}
            self.codes = tuple(code for code, kind in self._kinds.values() if kind is PROGRAM)
            self.definitions = self._seen.definitions(self.codes)
            self._read = {id(guard.expected) for guard in self.guards}
        finally:
            self.end()
            self._kinds.clear()
            self._begun.clear()
            del self._outside, self._tracer, self._profiler, self._trace, self._profile, self._seen

    def _look_away(self) -> None:
        tracer, profiler, _ = self._before or (None, None, True)
        sys.settrace(tracer)
        sys.setprofile(profiler)
        mode.watched = False

    def end(self) -> None:
        """Puts back what was there before, if it isn't back yet: leaving may have been interrupted."""
        if self._before is not None:
            self._look_away()
            if self._before[2]:
                gc.enable()
            self._before = None

    def put_back(self) -> None:
        """After a rehearsal: has the places that were set be as they were."""
        if self._put_back is not None:
            self._put_back()
            self._put_back = None

    def is_new(self, x: Any) -> bool:
        """Afterwards: whether the call made an object, of those that it left behind. What the collector does not know counts as new,
        unless it was read somewhere."""
        return id(x) in self._new or (not gc.is_tracked(x) and id(x) not in self._read)

    # ---------------------------------------------------------------- where we are
    def line(self) -> Lines:
        """The program's frames at this moment, the compiled function first: (code, line) each."""
        return self._lines_above(sys._getframe(1))

    def _lines_above(self, frame: FrameType) -> Lines:
        return lines_above(frame, self._is_program, self._outside)

    def _is_program(self, frame: FrameType) -> bool:
        return self._kind(frame) is PROGRAM

    def _kind(self, frame: FrameType) -> str:
        code = frame.f_code
        known = self._kinds.get(id(code))
        if known is None:
            known = self._kinds[id(code)] = (code, PROGRAM if code is self.root else kind_of(frame))
        return known[1]

    def _who(self, frame: FrameType | None) -> str:
        """For whom a frame of the library works: the kind of the nearest frame above it that isn't the library's."""
        while frame is not None and frame is not self._outside:
            kind = self._kind(frame)
            if kind is not LIBRARY:
                return kind
            frame = frame.f_back
        return MASHAL

    # ---------------------------------------------------------------- events
    def _on_profile(self, frame: FrameType, event: str, argument: Any) -> None:
        """Calls of builtins, and calls of functions that are not the program's."""
        if self._outside is None and event == "call":
            self._outside = frame.f_back
        if self._quiet is not None:
            if event == "return" and frame is self._quiet:
                self._quiet = None
        elif event == "c_call":
            self._builtin(frame, argument)
        elif event == "call":
            self._entered(frame)

    def _builtin(self, frame: FrameType, function: Any) -> None:
        kind = self._kind(frame)
        if isinstance(getattr(function, "__self__", None), ContextVar):
            if kind is PROGRAM:
                self._seen.variable(frame, function)
            return
        if kind is PROGRAM:
            changed = effects.changes(function)
            if changed is not None and not isinstance(changed, Tensor):
                self._seen.mutation(frame, f"{type(changed).__name__}.{function.__name__}()", changed)
            what = effects.of_builtin(function)
        elif kind is LIBRARY and self._who(frame) is PROGRAM:
            what = effects.of_library(function)
        else:
            return
        if what is not None:
            self._seen.effect(frame, what)

    def _entered(self, frame: FrameType) -> None:
        code = frame.f_code
        kind = self._kind(frame)
        if kind is IMPORTS or (kind is PROGRAM and code.co_name == "<module>"):
            self._quiet = frame
        elif kind is MASHAL or kind is LAYERS:
            self._entered_mashal(frame, code, kind)
        elif code is _ENVIRONMENT and self._who(frame) is PROGRAM:
            self._seen.environment(frame)

    def _entered_mashal(self, frame: FrameType, code: CodeType, kind: str) -> None:
        file = code.co_filename[len(HOME) :].replace(os.sep, "/")
        if (file.startswith("optim/lr_scheduler/") and code.co_name == "step") or code.co_name == "_constant_result":
            self._quiet = frame
            return
        if kind is LAYERS and code.co_argcount:
            self._seen.read_layer(frame)
        if self._who(frame.f_back) is PROGRAM:
            if file == "core/tape.py" and code.co_name == "__init__":
                self._seen.switch(frame)
            how = effects.of_mashal(file, code.co_name, code.co_varnames[:1] == ("self",))
            if how == "always":
                self._seen.effect(frame, f"{code.co_name}()")
            elif how == "own":
                self._seen.by_mashal(frame)

    def _on_trace(self, frame: FrameType, event: Any, argument: Any) -> Any:
        """A function is called: its instructions are watched if it is the program's."""
        if self._outside is None:
            self._outside = frame.f_back
        theirs = self._tracer(frame, event, argument) if self._tracer is not None else None
        if self._tracer is not None and sys.gettrace() != self._trace:
            sys.settrace(self._trace)
        if self._kind(frame) is not PROGRAM or self._quiet is not None or frame.f_code.co_name == "<module>":
            return theirs
        code = frame.f_code
        if code.co_flags & _LAZY:
            self._resumed(frame)
        if code.co_argcount:
            self._seen.meet(frame.f_locals.get(code.co_varnames[0]))
        if code.co_flags & inspect.CO_VARKEYWORDS:
            count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)
            self._seen.new(frame.f_locals.get(code.co_varnames[count]))
        frame.f_trace = follow = self._local(sites(code), theirs)  # CPython 3.13 wants it before the next line
        frame.f_trace_opcodes = True
        return follow

    def _resumed(self, frame: FrameType) -> None:
        """A generator runs on: an effect if it was begun before the call, or if it is the compiled function."""
        if frame.f_code is self.root:
            self._seen.effect(frame, "yield")
        elif frame not in self._begun and was_begun(frame):
            self._seen.effect(frame, f"generator {frame.f_code.co_name} was begun before")
        self._begun.add(frame)

    def _local(self, places: dict[int, list[Site]], theirs: Any) -> Callable[..., Any]:
        """The trace function of one frame: at each instruction that is a site, see what happens there."""
        ours_too = isinstance(getattr(self._tracer, "__self__", None), Watch)

        def follow(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal theirs
            if event == "opcode":
                seen = self._seen
                if seen.pending:
                    seen.settle(frame)
                if self._quiet is None:
                    for site in places.get(frame.f_lasti, ()):
                        seen.visit(frame, site)
            elif event == "return":
                frame.f_trace_opcodes = False  # a generator may run on in a thread without a trace function
                if frame.f_code.co_name in _COMPREHENSIONS:
                    self._seen.new(argument)
            if theirs is not None and (event != "opcode" or ours_too):
                theirs = theirs(frame, event, argument)
            return follow

        return follow


def _finished_frame() -> FrameType:
    """A frame in which nothing will run: CPython 3.12 calls a null pointer where a frame that asks for its instructions
    runs without a trace function, while another thread has one."""
    return sys._getframe()
