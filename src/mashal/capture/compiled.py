"""Compiled functions: recordings found by their guards, replayed by one native call.

A call tries the latest replay at once. If that misses, the other recordings are asked (guards whose value is equal
though not the same object are set right), then the replays that are for many sizes (capture.growing); if none fits, the
call is recorded. What cannot be recorded runs as it is written.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from operator import attrgetter
from types import FunctionType
from typing import Any
from weakref import WeakSet

from mashal.capture.errors import FailOnRecompileLimitHit, RecompileError, Unsupported
from mashal.capture.frames import function_of
from mashal.capture.growing import Growing, grow
from mashal.capture.guards import Guard, same
from mashal.capture.leading import numbers_first
from mashal.capture.making import Refused, make, rehearse, undone
from mashal.capture.messages import not_recorded, not_whole, place, runs_as_written, too_often, why_cut
from mashal.capture.news import count, tell
from mashal.capture.places import of_tensors
from mashal.capture.program import MISS
from mashal.capture.recording import Recording
from mashal.capture.regions import Unsplit, is_call_of_module, split
from mashal.capture.settings import DEFAULTS, SETTINGS, Stance
from mashal.capture.sizes import Growth, Sizes, changes_between
from mashal.capture.structure import PLAIN, flatten
from mashal.capture.together import Together, noted
from mashal.capture.varying import Varying, floats_that_differ, vary
from mashal.core.tensor import Tensor
from mashal.machine.observing import watch

EAGERLY, SPECIAL = 3, 2
"""So many recordings are made at once; after that of a kind of call that comes a second time (a sequence that grows never
does), up to the limit. All other calls run as they are written. SPECIAL: so many more are made at once where most sizes have a
replay in common, for those that differ (0 and 1)."""

MOST_TRIES, PATIENCE = 12, 4
"""So often a replay for many sizes is tried; so often before anybody is told: small sizes may have kernels of their own."""
MOST_TRIALS = 4  # at a replay for floats that change
MOST_KINDS = 4096
MOST_SOUND = 32  # kinds: where each call is of another one, running it as it is written must not cost much
ENOUGH = 2  # kinds of calls that went well, until others that differ in an int only are taken to
MOST_PLACES = 64
PATIENCE = 8  # calls that set what was not there: a cache is being filled, and will be full
TIRELESS = 16  # calls in a row that are looked up in vain: asking many recordings may cost more than the call
LONGEST_PAUSE = 255  # calls: where other threads always compute, trying to record must not cost much
_one_at_a_time = threading.Lock()
_all: WeakSet[Recordings] = WeakSet()


def compiled(
    fn: Callable[..., Any],
    whole: bool = False,
    dynamic: bool | None = None,
    name: str = "",
    most: int | None = None,
    told: Callable[[Recording], None] | None = None,
) -> Callable[..., Any]:
    """fn, recorded when it is first called. whole: an error instead of a way round what cannot be recorded.

    dynamic: a replay for many sizes is made as soon as a second size comes; False: never; None: when a third one does.
    most: how many recordings are made, if it is not what the settings say. told: is told each.
    """
    known = Recordings(fn, whole, dynamic, name, most, told)
    names = _positional(fn)

    def call(*args: Any, **options: Any) -> Any:
        answer = MISS if options else known.latest(*args)
        return answer if answer is not MISS else known.call(args, options)

    if names is not None:  # the same without a tuple and a dictionary for each call
        given = ", ".join(names)
        text = f"""def call({given}):
            answer = known.latest({given})
            return answer if answer is not MISS else known.call(({given}{"," if names else ""}), {{}})"""
        space = {"known": known, "MISS": MISS}
        exec(compile(text, f"{__file__} (made by compiled)", "exec"), space)  # a traceback shows no other line for it
        call = space["call"]
    call = functools.wraps(fn)(call)
    call.recordings = known  # type: ignore[attr-defined]
    call._torchdynamo_orig_callable = fn  # type: ignore[attr-defined]
    return call


def _positional(fn: Any) -> list[str] | None:
    """The names of the parameters, if fn is a function that takes just these, in order, each call."""
    code = getattr(fn, "__code__", None)
    if not isinstance(fn, FunctionType) or code is None or fn.__defaults__ or fn.__kwdefaults__:
        return None
    if (
        code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
        or code.co_kwonlyargcount
        or code.co_posonlyargcount
    ):
        return None
    names = list(code.co_varnames[: code.co_argcount])
    return None if {"known", "MISS"} & {*names} else names


def _names_of_leaves(fn: Any, args: tuple, options: dict[str, Any]) -> tuple[dict[int, str], dict[str, Any]]:
    """The parameters of those leaves of a call that are arguments by themselves, and all arguments by their names; {} for none."""
    try:
        bound = inspect.signature(fn.__self__.forward if is_call_of_module(fn) else fn).bind(*args, **options)
    except (TypeError, ValueError):
        return {}, {}
    by_place = list(bound.signature.parameters)
    names: dict[int, str] = {}
    leaves: list[Any] = []
    for name, x in (*zip(by_place, args), *options.items()):
        if flatten(x, leaves) is None:
            names[len(leaves) - 1] = name
    bound.apply_defaults()
    return names, dict(bound.arguments)


def with_parts(leaves: list[Any]) -> type | None:
    """The class of an argument that is a tensor made of others (sparse, masked), if there is one."""
    return next((type(x) for x in leaves if getattr(type(x), "_of_parts", False)), None)


def reset() -> None:
    """Forgets all recordings of all functions."""
    for known in list(_all):
        known.forget()


def flatten_held(places: Sequence[Guard], leaves: list[Any]) -> Any:
    """Appends the leaves of what is in some places; returns its structure, or None if each place holds one leaf."""
    found = tuple([place.found() for place in places])
    structure = flatten(found, leaves)
    return None if structure == (tuple, *[None] * len(found)) else structure


def _with_held(direct: Callable[..., Any], places: Sequence[Guard], held: tuple) -> Callable[..., Any]:
    """A replay that is given what is in some places, too, if that has the structure it had."""
    expected = held[0] if held else None

    def call(*args: Any) -> Any:
        leaves: list[Any] = []
        return direct(*args, *leaves) if flatten_held(places, leaves) == expected else MISS

    return call


def stand(stance: str) -> str:
    """From now on compiled functions do what this says (compiler.set_stance); what they did until now."""
    before, Stance.name = Stance.name, stance
    for known in list(_all):
        known.latest = _always_miss
    return before


class Recordings:
    """What is known of a compiled function, the recording used last first.

    refusal: why it is not recorded whole, or ""; unsplit: why it is not split either.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        whole: bool,
        dynamic: bool | None,
        name: str = "",
        most: int | None = None,
        told: Callable[[Recording], None] | None = None,
    ):
        self.fn, self.whole, self.dynamic, self.most, self.told = fn, whole, dynamic, most, told
        self.arguments = _positional(fn) or ()
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
        self.kinds: set[tuple] = set()
        self.sound: set[tuple] = set()
        """Kinds of calls that have gone well without a recording."""
        self.sorts: Counter[tuple] = Counter()
        """How many kinds have, that differ in ints and the like only: a counter is another int in each call."""
        self.growing: list[Growing] = []
        self.varying: list[Varying] = []
        self.trials = 0
        """How often it was tried to make a replay for floats that change."""
        self.settled: list[tuple[tuple, Sizes, bool]] = []
        """Of what changes: at which sizes a replay for many was tried to make, and whether it was made."""
        self.hopeful = False
        """Whether calls that differ in their size may yet get a replay in common."""
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
        self.is_same = _unchanged(None)
        """Tells whether the code is the one that was compiled in parts."""
        self.latest: Callable[..., Any] = _always_miss

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
        for growing, n in self.growing_for(structure, leaves):
            answer = growing(n, leaves)
            if answer is not MISS:
                return answer
        for varying in self.varying:
            answer = varying(leaves) if varying.takes(structure, leaves) else MISS
            if answer is not MISS:
                if varying.recording.direct is not None and not self.places:
                    self.latest = varying.direct
                return answer
        if Stance.name == "eager_on_recompile":
            return self.fn(*args, **options)
        if Stance.name == "eager_then_compile" and self._is_first(structure, leaves):
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
        return self.all[0].difference(structure, leaves, self.arguments, self._held()) if self.all else ""

    def _in_parts(self, args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any]) -> Any:
        """A call of a function that cannot be recorded whole."""
        if self._is_sound(structure, leaves) or not _one_at_a_time.acquire(blocking=False):
            return self.parts(*args, **options)
        try:
            return self._as_written(args, options, structure, leaves)
        finally:
            _one_at_a_time.release()

    def _is_sound(self, structure: Any, leaves: list[Any]) -> bool:
        """Whether a call with such arguments has gone well before, or may be taken to."""
        if len(self.sound) >= MOST_SOUND or _kind(structure, leaves) in self.sound:
            return True
        return self.sorts[_sorts(structure, leaves)] >= ENOUGH or with_parts(leaves) is not None

    def _as_written(self, args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any]) -> Any:
        """The first call of a kind, which may have shapes that do not fit, leaves nothing behind if it raises."""
        if self._is_sound(structure, leaves):
            return self.fn(*args, **options)
        answer = undone(self.fn, args, options, leaves)
        self._note_sound(args, options, structure, leaves)
        return answer

    def _note_sound(self, args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any]) -> None:
        self.sound.add(_kind(structure, leaves))
        self.sorts[_sorts(structure, leaves)] += 1
        if len(leaves) == len(args) and all(isinstance(x, Tensor) for x in args):
            self.sound.add(_forms(args))

    def leaves_of(self, args: tuple, options: dict[str, Any]) -> tuple[Any, list[Any]]:
        """The structure of a call's arguments, and what a replay is given: their leaves, and what is in the places."""
        leaves: list[Any] = []
        structure = flatten((args, options), leaves)
        held = flatten_held(self.places, leaves)
        return (structure if held is None else (*structure, held)), leaves

    def _held(self) -> list[Guard]:
        """For each leaf that no argument has the place where it is held."""
        held: list[Guard] = []
        for where in self.places:
            flatten(where.found(), leaves := [])
            held += [where] * len(leaves)
        return held

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
        direct, places = recording.direct or _always_miss, self.places
        self.latest = _with_held(direct, places, recording.structure[3:]) if places else direct

    def _record(self, args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any]) -> Any:
        """The answer of a call for which there is no replay; while another thread records, the function runs as written."""
        if not _one_at_a_time.acquire(blocking=False):
            return self.fn(*args, **options)
        try:
            if self._has_new_places(structure, leaves):
                structure, leaves = self.leaves_of(args, options)
            if not self._generalised(structure, leaves) and not self._leads(args, options, structure, leaves):
                return self._recorded(args, options, structure, leaves)
        finally:
            _one_at_a_time.release()
        return self.call(args, options)

    def _has_new_places(self, structure: Any, leaves: list[Any]) -> bool:
        """Where nothing but a tensor or a float that is held somewhere is another one than in a recording: that place is an input
        from now on."""
        new: dict[tuple[int, Any], Guard] = {}
        for recording in self.all:
            if recording.structure == structure and recording.takes(leaves):
                for guard in recording.guards:
                    found = guard.found() if isinstance(guard.expected, float) or of_tensors(guard.expected) else None
                    if type(found) is type(guard.expected) and not same(found, guard.expected):
                        new[id(guard.holder), guard.key] = Guard(guard.holder, guard.key, None, guard.what)
        if not new or len(self.places) + len(new) > MOST_PLACES:
            return False
        self.places = [*self.places, *new.values()]
        self.all, self.growing, self.varying, self.settled = [], [], [], []
        return True

    def _recorded(self, args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any]) -> Any:
        if self.pause:
            self.pause -= 1
            return self.fn(*args, **options)
        first = self._is_first(structure, leaves)
        eagerly = EAGERLY + SPECIAL * bool(self.growing or self.varying)
        if len(self.all) >= (min(eagerly, self.limit) if first else self.limit):
            self._at_the_limit(structure, leaves)
            self.in_vain += 1
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
            self._note_sound(args, options, structure, leaves)
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
    def limit(self) -> int:
        """How many recordings are made at most."""
        return SETTINGS["recompile_limit"] if self.most is None else self.most

    def _at_the_limit(self, structure: Any, leaves: list[Any]) -> None:
        """Says that a call is not recorded, for there are enough recordings."""
        text = too_often(self.name, len(self.all), self._difference(structure, leaves))
        chosen = self.limit != DEFAULTS["recompile_limit"]
        if len(self.all) >= self.limit and (SETTINGS["fail_on_recompile_limit_hit"] or (self.whole and chosen)):
            raise FailOnRecompileLimitHit(text.partition("; from now on")[0])
        if not self.hopeful:
            self._warn(lambda: text)

    def _counted(self, recording: Recording) -> None:
        count("stats", "unique_graphs")
        if self.told is not None:
            self.told(recording)

    # ---------------------------------------------------------------- sizes that change
    def growing_for(self, structure: Any, leaves: list[Any]) -> list[tuple[Growing, Sizes]]:
        """The replays for many sizes that are for such a call, each with its sizes."""
        sizes = [(growing, growing.sizes(structure, leaves)) for growing in self.growing]
        return [(growing, n) for growing, n in sizes if n is not None and growing.spans(n)]

    def _generalised(self, structure: Any, leaves: list[Any]) -> bool:
        """If the call differs from a recorded one in sizes only: whether there is now a replay for it."""
        self.hopeful = False
        dynamic = self.dynamic
        if dynamic is None and not SETTINGS["automatic_dynamic_shapes"]:
            dynamic = False
        elif dynamic is None:
            marked = any(getattr(x, "_dynamo_dynamic_indices", None) for x in leaves)
            dynamic = True if marked or not SETTINGS["assume_static_by_default"] else None
        made = len(self.all) + len(self.varying)
        if dynamic is False or len(self.all) < (1 if dynamic else 2) or made >= self.limit:
            return False
        like = [x for x in self.all if x.structure == structure and changes_between(x, leaves)]
        whole = Growth.between(like, leaves) if like else None
        if whole is not None and self._grow(whole, like[0], leaves):
            return True
        for other in like if whole is None or whole.count > 1 else ():
            growth = Growth.between([other], leaves)
            if growth is not None and not (whole is not None and growth.mixes(whole)):
                return self._grow(growth, other, leaves)
        if whole is not None:
            return False
        return self._varies(structure, leaves)

    def _varies(self, structure: Any, leaves: list[Any]) -> bool:
        """If the call differs from a recorded one in floats only: whether there is now a replay for it."""
        like = [other for other in self.all if other.structure == structure and floats_that_differ(other, leaves)]
        if not like or self.trials >= MOST_TRIALS:
            return False
        self.trials += 1
        made = vary(self.fn, like[0], leaves, self.places)
        if made is not None:
            self.varying.insert(0, made)
            self._counted(made.recording)
        return made is not None

    def _leads(self, args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any]) -> bool:
        """If the call differs from a recorded one in numbers only, from which others are computed: whether these are computed first
        from now on."""
        if len(self.all) < 2 or self.places:
            return False
        for other in self.all:
            differing = [i for i, x in other.fixed if not same(leaves[i], x)]
            numbers = all(type(leaves[i]) in (int, float) for i in differing)
            if self.led is None and numbers and other.structure == structure and other.takes(leaves):
                if not differing or (*differing,) in self.unled:
                    continue
                self.unled.add((*differing,))
                names, arguments = _names_of_leaves(self.fn, args, options)
                if all(names.get(i) in arguments for i in differing):
                    self.led = numbers_first(self.fn, arguments, {names[i] for i in differing}, self._region)
        if self.led is not None:
            self.is_same = _unchanged(self.fn)
            self.latest = _unless_recorded(self.led, self.is_same)
        return self.led is not None

    def _region(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """A part of the function, compiled."""
        made = compiled(function, self.whole, self.dynamic, name=name, most=self.most, told=self.told)
        self.regions.append(made.recordings)  # type: ignore[attr-defined]
        return made

    def _grow(self, growth: Growth, like: Recording, leaves: list[Any]) -> bool:
        n = growth.sizes(leaves)
        tried = [(sizes, made) for what, sizes, made in self.settled if what == growth.what]
        self.hopeful |= len(tried) < PATIENCE
        vain = [sizes for sizes, made in tried if not made]
        near = lambda sizes: all(0 <= a - b <= len(tried) + 1 for a, b in zip(n, sizes))
        if len(tried) >= MOST_TRIES or any(map(near, vain)):
            return False
        came = [*(sizes for sizes, _ in tried), growth.sizes_of(like)]
        smaller = any(a < b for sizes in came for a, b in zip(n, sizes))  # where sizes don't grow
        growing = grow(self.fn, growth, like, leaves, smaller, self.places)
        self.settled.append((growth.what, n, growing is not None))
        if growing is not None:
            self.growing.insert(0, growing)
            self._counted(growing.recording)
        return growing is not None

    def _is_first(self, structure: Any, leaves: list[Any]) -> bool:
        """Whether a call with such arguments has not come before."""
        kind = (
            structure,
            *[x.form if isinstance(x, Tensor) else repr(x) if isinstance(x, PLAIN) else id(x) for x in leaves],
        )
        known = kind in self.kinds
        if len(self.kinds) < MOST_KINDS:
            self.kinds.add(kind)
        return not known

    def _split(self, refused: Refused) -> None:
        """From now on the function runs in parts: regions that are compiled, and what is between them as it is written."""
        self.refusal = str(refused)
        self.is_same = _unchanged(self.fn)
        self.latest, self.cuts = _always_miss, refused.cuts
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
        self.latest = _if_sound(together, self.sound, self.is_same)
        if self.parts is self.fn:
            self._warn(lambda: runs_as_written(self.name, self.unsplit or self.refusal, self.cuts))

    def _warn(self, text: Callable[[], str]) -> None:
        """Says once that calls run as they are written."""
        if not self.warned:
            self.warned = True
            warnings.warn(text(), stacklevel=_level())


def _level() -> int:
    """How many frames above the one that warns the program is."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


_PACKAGE = __file__[: __file__.rindex("capture")]


def _unchanged(fn: Any) -> Callable[[], bool]:
    """Tells whether a function has still the code and the defaults that it has now."""
    function = function_of(fn)
    if function is None:
        return lambda: True
    code, defaults, keywords = function.__code__, function.__defaults__, function.__kwdefaults__
    return lambda: (
        function.__code__ is code and function.__defaults__ is defaults and function.__kwdefaults__ is keywords
    )


def _unless_recorded(function: Callable[..., Any], is_same: Callable[[], bool]) -> Callable[..., Any]:
    """function, but MISS while something is recorded, and if the program has changed."""
    return lambda *args: function(*args) if watch.recorder is None and is_same() else MISS


def _if_sound(parts: Together, sound: set[tuple], is_same: Callable[[], bool]) -> Callable[..., Any]:
    """A call in parts; MISS while something is recorded, if it may be the first of its kind, and if the program has changed."""

    def call(*args: Any) -> Any:
        if watch.recorder is not None or not is_same():
            return MISS
        try:
            known = _forms(args) in sound or len(sound) >= MOST_SOUND
        except AttributeError:  # not all are tensors
            known = False
        return parts.now(*args) if known else MISS

    return call


def _forms(args: tuple) -> tuple:
    """The kind of a call with nothing but tensors, found quickly."""
    return tuple(map(_form, args))


_form = attrgetter("form")


def _kind(structure: Any, leaves: list[Any]) -> tuple:
    """What calls have in common that raise all or none, but for the numbers in their tensors."""
    return structure, *[_sort(x) for x in leaves]


def _sorts(structure: Any, leaves: list[Any]) -> tuple:
    """The kind of a call, but for its ints and other plain values."""
    return structure, *[x.form if isinstance(x, Tensor) else type(x) for x in leaves]


def _sort(x: Any) -> Any:
    return x.form if isinstance(x, Tensor) else x if isinstance(x, PLAIN) and not isinstance(x, float) else type(x)


def _always_miss(*args: Any) -> Any:
    return MISS
