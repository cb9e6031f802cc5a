"""A compiled function: recordings found by their guards, replayed by one native call.

A call tries the latest replay at once. If that misses, the other recordings are asked (guards whose value is equal
though not the same object are set right); if none fits, the call is recorded. What cannot be recorded runs as it is
written.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from mashal.capture.making import Refused, make
from mashal.capture.program import MISS
from mashal.capture.structure import flatten
from mashal.machine.observing import watch

LIMIT = 8
"""Recordings kept of a function; one that would need more runs as it is written."""


class Compiled:
    """fn, recorded when it is first called. whole: an error instead of a way round what cannot be recorded."""

    def __init__(self, fn: Callable[..., Any], whole: bool = False):
        functools.update_wrapper(self, fn)
        self.fn, self.whole = fn, whole
        self.recordings: list[Any] = []
        self.attempts = 0
        self.refusal = ""
        self._latest: Callable[..., Any] = _always_miss

    def __call__(self, *args: Any, **options: Any) -> Any:
        if not options:
            answer = self._latest(*args)
            if answer is not MISS and type(answer) is not int:
                return answer
        return self._slowly(args, options)

    def _slowly(self, args: tuple, options: dict[str, Any]) -> Any:
        if watch.recorder is not None or self.refusal:
            return self.fn(*args, **options)
        leaves: list[Any] = []
        structure = flatten((args, options), leaves)
        for recording in self.recordings:
            if recording.structure == structure and recording.adapt(leaves):
                answer = recording(leaves)
                if type(answer) is int:  # an index out of range: the function says so better
                    return self.fn(*args, **options)
                if answer is not MISS:
                    self._prefer(recording)
                    return answer
        return self._record(args, options, structure, leaves)

    def _prefer(self, recording: Any) -> None:
        """The next call tries this one first."""
        self.recordings.remove(recording)
        self.recordings.insert(0, recording)
        self._latest = recording.direct or _always_miss

    def _record(self, args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any]) -> Any:
        if len(self.recordings) >= LIMIT:
            self.refusal = f"it has been recorded {LIMIT} times already, for other operands each time"
            warnings.warn(f"compile: {self._name()} runs as it is written from now on: {self.refusal}", stacklevel=4)
            return self.fn(*args, **options)
        try:
            answer, recording = make(self.fn, args, options, structure, leaves)
        except Refused as refused:
            if self.whole:
                raise RuntimeError(f"compile: {self._name()}: {refused}") from None
            self.refusal = str(refused)
            return refused.answer
        if recording is not None:
            self.recordings.append(recording)
            self._prefer(recording)
        return answer

    def _name(self) -> str:
        return getattr(self.fn, "__qualname__", type(self.fn).__name__)

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        """A compiled method is bound as a function is."""
        return self if owner is None else functools.partial(self, owner)

    def __repr__(self) -> str:
        return f"<compiled {self._name()}>"


def _always_miss(*args: Any) -> Any:
    return MISS
