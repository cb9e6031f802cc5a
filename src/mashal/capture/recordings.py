"""What is known of a compiled function: its recordings, found by their guards, and what is done where there is none.

A call tries the latest replay at once. If that misses, the other recordings are asked (guards whose value is equal
though not the same object are set right), then the replays that are for many calls (capture.general); if none fits, the
call is recorded. What cannot be recorded whole is split (capture.regions), or runs as it is written.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakSet

from mashal.capture.direct import always_miss, if_sound, unchanged, unless_recorded, with_held
from mashal.capture.errors import FailOnRecompileLimitHit, RecompileError, Unsupported
from mashal.capture.general import General
from mashal.capture.growing import Growing
from mashal.capture.guards import Guard
from mashal.capture.held import flatten_held, new_places, place_of_each
from mashal.capture.kinds import Kinds
from mashal.capture.leading import led
from mashal.capture.making import Refused, make, rehearse, undone
from mashal.capture.messages import (
    level_of_program,
    not_recorded,
    not_whole,
    place,
    runs_as_written,
    too_often,
    why_cut,
)
from mashal.capture.news import count, tell
from mashal.capture.program import MISS
from mashal.capture.recording import Recording
from mashal.capture.regions import Unsplit, split
from mashal.capture.settings import DEFAULTS, SETTINGS, Stance
from mashal.capture.structure import flatten
from mashal.capture.together import Together, noted
from mashal.capture.varying import Varying
from mashal.machine.observing import watch

EAGERLY, SPECIAL = 3, 2
"""So many recordings are made at once; after that of a kind of call that comes a second time (a sequence that grows never
does), up to the limit. All other calls run as they are written. SPECIAL: so many more are made at once where most sizes have a
replay in common, for those that differ (0 and 1)."""

PATIENCE = 8  # calls that set what was not there: a cache is being filled, and will be full
TOLD = 3  # calls in a row that no recording fits and no other is made for, until the user is told
TIRELESS = 16  # calls in a row that are looked up in vain: asking many recordings may cost more than the call
LONGEST_PAUSE = 255  # calls: where other threads always compute, trying to record must not cost much
_one_at_a_time = threading.Lock()
_all: WeakSet[Recordings] = WeakSet()


def with_parts(leaves: list[Any]) -> type | None:
    """The class of an argument that is a tensor made of others (sparse, masked), if there is one."""
    return next((type(x) for x in leaves if getattr(type(x), "_of_parts", False)), None)


def reset() -> None:
    """Forgets all recordings of all functions."""
    for known in list(_all):
        known.forget()


def stand(stance: str) -> str:
    """From now on compiled functions do what this says (compiler.set_stance); what they did until now."""
    before, Stance.name = Stance.name, stance
    for known in list(_all):
        known.latest = always_miss
    return before


class Recordings:
    """What is known of a compiled function, the recording used last first.

    refusal: why it is not recorded whole, or ""; unsplit: why it is not split either. arguments: the names of its parameters, if
    it takes just these; part: compiles a part of it in the same way, under a name.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        whole: bool,
        dynamic: bool | None,
        name: str,
        most: int | None,
        told: Callable[[Recording], None] | None,
        arguments: Sequence[str],
        part: Callable[[Callable[..., Any], str], Any],
    ) -> None:
        self.fn, self.whole, self.dynamic, self.most, self.told = fn, whole, dynamic, most, told
        self.arguments, self._part = arguments, part
        self.name = name or getattr(fn, "__qualname__", type(fn).__name__)
        self.together: Together | None = None
        """What this is a region of."""
        self.forget()
        _all.add(self)

    def forget(self) -> None:
        """Begins anew."""
        self.all: list[Recording] = []
        self.refusal, self.unsplit, self.warned = "", "", False
        self.led: Callable[..., Any] | None = None
        """What computes numbers first, and has the rest compiled."""
        self.choosing: bool | None = None
        """Whether tensors of one integer are indices of kernels, where that can be."""
        self.unled: set[tuple[int, ...]] = set()
        """Which leaves there is no such thing for."""
        self.kinds = Kinds()
        self.general = General(self.fn, self.dynamic, self._counted)
        self.pause = self.paused = 0
        """For how many calls nothing is recorded, and for how many it was so the last time."""
        self.rest = self.in_vain = 0
        """For how many calls the recordings are not asked, after how many calls that none of them fitted and no other may be made."""
        self.patience = PATIENCE
        self.places: list[Guard] = []
        """Attributes, items, globals and cells whose tensor or float is an input, for it is another one from call to call."""
        self.cuts: list[Any] = []
        self.regions: list[Recordings] = []
        self.parts = self.fn
        self.is_same = unchanged(None)
        """Tells whether the code is the one that was compiled in parts."""
        self.latest: Callable[..., Any] = always_miss

    def call(self, args: tuple, options: dict[str, Any]) -> Any:
        """A call that the latest recording does not fit."""
        if watch.recorder is not None or Stance.name == "force_eager" or SETTINGS["disable"]:
            return self.fn(*args, **options)
        structure, leaves = self.leaves_of(args, options)
        if (self.refusal or self.led is not None) and not self.is_same():
            self.forget()
        if self.refusal:
            return self._in_parts(args, options, structure, leaves)
        if self.led is not None:
            return self.led(*args, **options)
        kind = with_parts(leaves)
        if kind is not None:
            return self._run_with_parts(kind, args, options)
        if self.rest and Stance.name == "default":
            self.rest -= 1
            return self._as_written(args, options, structure, leaves)
        for recording in self.all:
            answer = recording.answer(leaves) if recording.structure == structure else MISS
            if answer is not MISS:
                self._prefer(recording)
                self.in_vain = 0
                return answer
        answer, varying = self.general.answer(structure, leaves)
        if answer is not MISS:
            if varying is not None and varying.recording.direct is not None and not self.places:
                self.latest = varying.direct
            return answer
        if Stance.name == "eager_on_recompile":
            return self.fn(*args, **options)
        if Stance.name == "eager_then_compile" and self.kinds.is_first(structure, leaves):
            return self.fn(*args, **options)
        if Stance.name == "fail_on_recompile":
            raise RuntimeError(
                not_recorded(self.name, self._difference(structure, leaves), "the stance fail_on_recompile")
            )
        if self.all and SETTINGS["error_on_recompile"]:
            raise RecompileError(
                not_recorded(self.name, self._difference(structure, leaves), "torch._dynamo.config.error_on_recompile")
            )
        return self._record(args, options, structure, leaves)

    def _difference(self, structure: Any, leaves: list[Any]) -> str:
        """What about a call is not as it was recorded last, "" if nothing was."""
        return self.all[0].difference(structure, leaves, self.arguments, place_of_each(self.places)) if self.all else ""

    def _in_parts(self, args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any]) -> Any:
        """A call of a function that cannot be recorded whole."""
        if self._is_sound(structure, leaves) or not _one_at_a_time.acquire(blocking=False):
            return self.parts(*args, **options)
        try:
            return self._as_written(args, options, structure, leaves)
        finally:
            _one_at_a_time.release()

    def _is_sound(self, structure: Any, leaves: list[Any]) -> bool:
        """Whether a call needs no care: such a one has gone well before, or nothing is known of its tensors."""
        return self.kinds.is_sound(structure, leaves) or with_parts(leaves) is not None

    def _as_written(self, args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any]) -> Any:
        """The first call of a kind, which may have shapes that do not fit, leaves nothing behind if it raises."""
        if self._is_sound(structure, leaves):
            return self.fn(*args, **options)
        answer = undone(self.fn, args, options, leaves)
        self.kinds.note_sound(args, structure, leaves)
        return answer

    def leaves_of(self, args: tuple, options: dict[str, Any]) -> tuple[Any, list[Any]]:
        """The structure of a call's arguments, and what a replay is given: their leaves, and what is in the places."""
        leaves: list[Any] = []
        structure = flatten((args, options), leaves)
        held = flatten_held(self.places, leaves)
        return (structure if held is None else (*structure, held)), leaves

    def _run_with_parts(self, kind: type, args: tuple, options: dict[str, Any]) -> Any:
        """A call with a tensor that is made of others (sparse, masked): they may be others each time. vmap's are in place of plain ones."""
        if kind.__name__ != "Batched":
            why = f"an argument is a {kind.__name__}, which is made of other tensors"
            if self.whole:
                raise Unsupported(runs_as_written(self.name, why))
            self._warn(lambda: runs_as_written(self.name, why))
        return self.fn(*args, **options)

    def _prefer(self, recording: Recording) -> None:
        """The next call tries this one first."""
        if recording in self.all:
            self.all.remove(recording)
        self.all.insert(0, recording)
        direct, places = recording.direct or always_miss, self.places
        self.latest = with_held(direct, places, recording.structure[3:]) if places else direct

    def _record(self, args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any]) -> Any:
        """The answer of a call for which there is no replay; while another thread records, the function runs as written."""
        if not _one_at_a_time.acquire(blocking=False):
            return self.fn(*args, **options)
        try:
            new = new_places(self.places, self.all, structure, leaves)
            if new:
                self.places = [*self.places, *new]
                self.all, self.general = [], General(self.fn, self.dynamic, self._counted)
                structure, leaves = self.leaves_of(args, options)
            known = self.general.extend(self.all, self.limit, structure, leaves, self.places)
            if not known and not self._leads(args, options, structure, leaves):
                return self._recorded(args, options, structure, leaves)
        finally:
            _one_at_a_time.release()
        return self.call(args, options)

    def _recorded(self, args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any]) -> Any:
        if self.pause:
            self.pause -= 1
            return self.fn(*args, **options)
        first = self.kinds.is_first(structure, leaves)
        eagerly = EAGERLY + SPECIAL * bool(self.general)
        if len(self.all) >= (min(eagerly, self.limit) if first else self.limit):
            self.in_vain += 1
            self._at_the_limit(structure, leaves)
            if self.in_vain > TIRELESS:
                self.rest = min(2 ** (self.in_vain - TIRELESS), LONGEST_PAUSE)
            return self._as_written(args, options, structure, leaves)
        if self.choosing and (chosen := self._chosen(args, options, structure, leaves)) is not MISS:
            return chosen
        try:
            answer, recording = make(self.fn, args, options, structure, leaves, self.whole, self.places)
        except Refused as refused:
            if refused.chooses and self.choosing is None:
                self.choosing = True
                return self._recorded(args, options, structure, leaves) if self.whole else refused.answer
            if refused.passes:
                self.pause = self.paused = min(2 * self.paused + 1, LONGEST_PAUSE)
                return refused.answer
            if refused.settles and self.patience and not self.whole:
                self.patience -= 1
                return refused.answer
            if self.whole:
                text = not_whole(self.name, refused.cuts) if refused.cuts else runs_as_written(self.name, str(refused))
                raise Unsupported(text) from None
            if self.choosing is None and refused.others:  # where indices are tensors, regions see to that
                refused.cuts = refused.others
            self._split(refused)
            self.kinds.note_sound(args, structure, leaves)
            return refused.answer
        if recording is not None:
            tell("recompiles", lambda: not_recorded(self.name, self._difference(structure, leaves)), self.all)
            self._counted(recording)
            self._prefer(recording)
            if self.together is not None:
                self.together.begin()
        return answer

    def _chosen(self, args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any]) -> Any:
        """The answer of a call in which tensors of one integer are indices, from a replay; MISS if there is none."""
        recording, _ = rehearse(self.fn, args, options, structure, leaves, self.places)
        if recording is None:
            return MISS
        answer = recording(leaves)
        if answer is not MISS:
            self._counted(recording)
            self._prefer(recording)
        return answer

    @property
    def growing(self) -> list[Growing]:
        """The replays for many sizes."""
        return self.general.growing

    @property
    def varying(self) -> list[Varying]:
        """The replays for floats that change."""
        return self.general.varying

    @property
    def limit(self) -> int:
        """How many recordings are made at most."""
        return SETTINGS["recompile_limit"] if self.most is None else self.most

    def _at_the_limit(self, structure: Any, leaves: list[Any]) -> None:
        """Says that a call is not recorded, for there are enough recordings."""
        text = too_often(self.name, len(self.all), self._difference(structure, leaves))
        chosen = self.limit != DEFAULTS["recompile_limit"]
        if len(self.all) >= self.limit and (SETTINGS["fail_on_recompile_limit_hit"] or (self.whole and chosen)):
            raise FailOnRecompileLimitHit(text.partition("; from now on")[0])
        if not self.general.hopeful and (self.in_vain >= TOLD or len(self.all) >= self.limit):
            self._warn(lambda: text)

    def _counted(self, recording: Recording) -> None:
        count("stats", "unique_graphs")
        if self.told is not None:
            self.told(recording)

    def _leads(self, args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any]) -> bool:
        """If the call differs in numbers only, from which others are computed: whether these are computed first from now on."""
        if len(self.all) < 2 or self.places:
            return False
        self.led = led(self.fn, self.all, (args, options, structure, leaves), self.unled, self._region)
        if self.led is not None:
            self.is_same = unchanged(self.fn)
            self.latest = unless_recorded(self.led, self.is_same)
        return self.led is not None

    def _region(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """A part of the function, compiled."""
        made = self._part(function, name)
        self.regions.append(made.recordings)  # type: ignore[attr-defined]
        return made

    def _split(self, refused: Refused) -> None:
        """From now on the function runs in parts: regions that are compiled, and what is between them as it is written."""
        self.refusal = str(refused)
        self.is_same = unchanged(self.fn)
        self.latest, self.cuts = always_miss, refused.cuts
        for cut in refused.cuts:
            count("graph_break", why_cut(cut))
            tell(
                "graph_breaks",
                lambda cut=cut: f"compile: {self.name} is cut at {place(list(cut.frames))}: {why_cut(cut)}",
            )

        together = Together(self.fn)
        if refused.cuts:
            try:
                together.parts = split(
                    self.fn, refused.cuts, lambda function, name: noted(self._region(function, name), together)
                )
                self.parts = together
            except Unsplit as why:
                self.refusal, self.unsplit = f"{refused}; {why}", str(why)
        self.latest = if_sound(together, self.kinds, self.is_same)
        if self.parts is self.fn:
            self._warn(lambda: runs_as_written(self.name, self.unsplit or self.refusal, self.cuts))

    def _warn(self, text: Callable[[], str]) -> None:
        """Says once that calls run as they are written."""
        if not self.warned:
            self.warned = True
            warnings.warn(text(), stacklevel=level_of_program())
