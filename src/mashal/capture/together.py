"""A call in parts is undone as a whole where one of them raises: what its regions change is noted until the call has ended.

Shapes that do not fit raise in the first call of their kind, which is not made in parts (capture.recordings). What is left is what depends
on values: an index out of range in one region, when others have changed statistics, drawn numbers, made a step. A region can only
raise if a kernel of it can; so what is noted, most often nothing, are the changes of those regions that come before one like that.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from mashal.capture.answers import Bumped
from mashal.capture.errors import NoSecondGradient
from mashal.capture.frames import HOME
from mashal.capture.trail import MADE
from mashal.core.generator import PLACE
from mashal.core.tensor import Tensor, version_of
from mashal.machine import memory

if TYPE_CHECKING:
    from mashal.capture.recorder import Recorder
    from mashal.capture.recording import Recording
    from mashal.capture.recordings import Recordings

__all__ = ["Together", "noted", "opened"]

MOST = 1 << 18  # bytes: a call whose regions change more is left as it is where it raises, as without compile


class _Opened(threading.local):
    notes: Notes | None = None


opened = _Opened()
"""The notes of the call in parts that this thread is in."""


class Together:
    """A function in parts, once they are made.

    last: which of the calls of regions in a call is the last that may raise; None: it is not known yet. refusal: why the function
    runs as it is written after all, or "".
    """

    def __init__(self, written: Callable[..., Any]) -> None:
        self.parts = self.written = written
        self.refusal = ""
        self.begin()

    def begin(self) -> None:
        """Something new is recorded: it is not known any more which may raise."""
        self.last: int | None = None
        self.now: Callable[..., Any] = self
        """What is called: the parts themselves, if nothing has to be noted."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        if opened.notes is not None:
            return self.parts(*args, **options)
        opened.notes = notes = Notes(self.last)
        try:
            answer = self.parts(*args, **options)
        except Exception as error:
            if not notes.missed and (notes.undone or _is_of_mashal(error)):
                notes.put_back()
                if isinstance(error, NoSecondGradient):  # eager has one
                    self.parts, self.refusal = self.written, str(error)
                    self.begin()
                    opened.notes = None
                    return self.written(*args, **options)
            raise
        finally:
            opened.notes = None
        if not notes.recorded:
            self.last = notes.last
            self.now = self if self.last > 0 else self.parts
        notes.end()
        return answer


def noted(region: Any, whole: Together) -> Any:
    """A region that notes what it will change, where that is wanted."""
    known = region.recordings
    known.together = whole

    @functools.wraps(region)
    def call(*args: Any) -> Any:
        notes = opened.notes
        return region(*args) if notes is None else notes.around(known, region, args)

    return call


class Notes:
    """What the regions of a call change. missed: whether some of it was not noted."""

    def __init__(self, limit: int | None) -> None:
        self.limit, self.last, self.calls = limit, -1, 0
        self.recorded = self.missed = self.undone = False
        self.room = MOST
        self._back: list[Callable[[], Any]] = []
        self._ends: list[Callable[[], Any]] = []
        self._seen: dict[int, Any] = {}  # kept alive, so that no id comes twice

    def around(self, known: Recordings, region: Callable[..., Any], args: tuple) -> Any:
        """region(*args), its changes noted."""
        number, self.calls = self.calls, self.calls + 1
        recordings = [*known.all, *(x.recording for x in (*known.growing, *known.varying))]
        if any(recording.program.may_fail for recording in recordings):
            self.last = number
        is_noted = self.limit is None or number < self.limit
        for recording in recordings if is_noted else ():
            self._note(recording.changes, args)
        before = len(self._ends)
        try:
            answer = region(*args)
        except Exception:
            self.undone = True
            raise
        self.recorded |= len(self._ends) != before
        self.missed |= not is_noted and any(recording.changes.some for recording in recordings)
        return answer

    def add(self, recorder: Recorder) -> None:
        """What a recorded call has changed."""
        nbytes = recorder.note_all(self.room)
        if nbytes is None:
            self.missed = True
            return recorder.keep()
        self.room -= nbytes
        self._back.append(recorder.undo)
        self._ends.append(recorder.keep)

    def put_back(self) -> None:
        """Everything is as it was when the call began."""
        for put_back in reversed(self._back):
            put_back()

    def end(self) -> None:
        """The call has ended well."""
        for end in self._ends:
            end()

    def _note(self, changes: Changes, args: tuple) -> None:
        self.missed |= changes.unknown
        given = [x for x in args if isinstance(x, Tensor)] if changes.given else []
        for x in (*changes.tensors, *given):
            if self._is_new(x):
                self._back.append(functools.partial(_slots_back, x, x.grad_, version_of(x)))
                if x.grad_ is not None:
                    self.room -= x.grad_.form.nbytes
        grads = [x.grad_ for x in changes.gradients if x.grad_ is not None]
        for storage in (*changes.storages, *(x.capsule for x in (*grads, *given))):
            if storage is not None and self._is_new(storage):
                self._copy(memory.address_of(storage), memory.bytes_of(storage))
        for x in grads:
            if self._is_new(x):
                self._back.append(functools.partial(_slots_back, x, x.grad_, version_of(x)))
        for generator in changes.generators:
            if self._is_new(generator):
                self._copy(generator.address, PLACE)

    def _is_new(self, x: Any) -> bool:
        if self.missed or id(x) in self._seen:
            return False
        self._seen[id(x)] = x
        return True

    def _copy(self, address: int, nbytes: int) -> None:
        self.room -= nbytes
        if self.room < 0:
            self.missed = True
            return
        self._back.append(functools.partial(ctypes.memmove, address, ctypes.string_at(address, nbytes), nbytes))


class Changes:
    """What a replay changes of what was there before. given: whether arguments; unknown: whether there is more."""

    def __init__(self, recording: Recording) -> None:
        plan = recording.program.plan
        written = {v.buffer for step in plan.trail.steps for v in step.written if v.buffer.source is not MADE}
        operands = {o.value.buffer for o in plan.operands if o.value is not None}
        self.given = bool(written & operands) or any(isinstance(x, Bumped) for x in recording.after)
        of_gradients = {v.buffer: x for x, v in plan.gradients}
        self.gradients = [x for buffer, x in of_gradients.items() if buffer in written]
        self.storages = [b.capsule for b in written - operands - of_gradients.keys()]
        self.tensors = _distinct([x for x, _ in (*plan.leaves, *plan.bumps)])
        self.generators = list(plan.generators)
        names = ("Bumped", "Remembered", "Wanting")  # the last changes only what the call has made
        self.unknown = bool(recording.stores) or any(type(x).__name__ not in names for x in recording.after)
        self.some = bool(written or self.given or self.tensors or self.generators or self.unknown)


def _distinct(things: Iterable[Any]) -> list[Any]:
    return list({id(x): x for x in things}.values())


def _slots_back(x: Tensor, gradient: Any, version: int) -> None:
    x.grad_ = gradient
    if x.version is not None:
        x.version[0] = version


def _is_of_mashal(error: BaseException) -> bool:
    """Whether an operation raised an error, rather than the program."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename.startswith(HOME)
