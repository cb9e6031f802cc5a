"""From a call to a recording: the call is recorded, and what it did becomes programs, guards and a way to build its answer."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from typing import Any

from mashal.capture import answers
from mashal.capture.backwards import Backwards
from mashal.capture.called import Called, cuts_of
from mashal.capture.effects import Unrepeatable
from mashal.capture.guards import Guard
from mashal.capture.noted import Obstacle
from mashal.capture.places import stores
from mashal.capture.plan import Plan
from mashal.capture.planning import Planner
from mashal.capture.program import Program
from mashal.capture.recorder import Recorder
from mashal.capture.recording import Finish, Recording
from mashal.capture.structure import Results, containers, flatten
from mashal.capture.together import opened
from mashal.capture.trail import CONSTANT, Buffer, Trail, refilled
from mashal.capture.watch import Watch
from mashal.core.tape import mode
from mashal.core.tensor import Tensor
from mashal.machine import memory
from mashal.machine.replay_tables import MANY, NONE, ONE
from mashal.switches import SHOW


class Refused(Exception):
    """A call cannot be replayed. answer: what it returned; cuts: where in the program the reasons are, if they are there.

    passes: whether the reason is not the program's, but of the moment: a profiler was running.
    settles: whether it may be that of a first call alone: objects of Python were changed.
    chooses: whether it is only that tensors of one integer are indices; others: the cuts that have other reasons.
    """

    def __init__(self, why: str, answer: Any, cuts: list[Obstacle], passes: bool = False, settles: bool = False):
        super().__init__(why)
        self.answer, self.cuts, self.passes, self.settles = answer, cuts, passes, settles
        lines = {cut.frames for cut in cuts if cut.chooses}
        self.others = [cut for cut in cuts if not (cut.chooses or (cut.reads and cut.frames in lines))]
        self.chooses = bool(cuts) and not self.others


def make(
    fn: Callable[..., Any], args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any], whole: bool = False,
    places: Sequence[Guard] = (),
) -> tuple[Any, Any]:  # fmt: skip
    """(what the call returned, the recording, or None if the next call has to be recorded anew).

    leaves: those of the arguments, and what is in the places.
    """
    recorder = Recorder(x for x in leaves if isinstance(x, Tensor))
    try:
        answer, shape, called = _recorded(recorder, fn, args, options, leaves, strict=whole, places=places)
    except Unrepeatable as stopped:  # the recorder has put everything back
        raise Refused(str(stopped), None, cuts_of(recorder, stopped.watch)) from None
    recording, problem, passing, cuts = None, "", "", []
    try:
        if not recorder.unlasting:
            cuts, passing = called.cuts(), called.watch.declined
            problem = cuts[0].what if cuts else passing or called.problem()
        if not problem and not recorder.unlasting:
            recording = _recording(called, structure, shape)
            problem = called.trouble
    except BaseException:
        recorder.undo()
        raise
    if passing:
        _keep(recorder)
        raise Refused(passing, answer, [], passes=True)
    if problem:
        recorder.undo() if whole else _keep(recorder)
        raise Refused(problem, answer, cuts, settles=bool(cuts) and all(cut.settles for cut in cuts))
    _keep(recorder)
    return answer, recording


def _keep(recorder: Recorder) -> None:
    """A call has ended well; it may still be undone, if it is a part of another one."""
    recorder.keep() if opened.notes is None else opened.notes.add(recorder)


def rehearse(
    fn: Callable[..., Any], args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any],
    places: Sequence[Guard] = (),
) -> tuple[Any, Any]:  # fmt: skip
    """(a recording of the call or None, the program's code that ran); afterwards everything is as it was before. Tensors of one
    integer are indices of kernels: should a program see that what they choose is no view, there is no recording."""
    recorder = Recorder(x for x in leaves if isinstance(x, Tensor))
    recorder.choosing = True
    try:
        _, shape, called = _recorded(recorder, fn, args, options, leaves, rehearsed=True, places=places)
    except (Exception, Unrepeatable):  # sizes that the program does not take; the recorder has put everything back
        return None, ()
    try:
        if recorder.unlasting or recorder.goes_beyond or called.cuts() or called.watch.declined or called.problem():
            return None, ()
        recording = _recording(called, structure, shape)
        recording.picked = called.watch.picked
        return None if called.trouble else recording, called.watch.codes
    finally:
        recorder.undo()
        called.watch.put_back()


def undone(fn: Callable[..., Any], args: tuple, options: dict[str, Any], leaves: list[Any]) -> Any:
    """fn(*args, **options), run as it is written; if it raises, everything is as it was before. leaves: of the arguments."""
    recorder, modes = Recorder(x for x in leaves if isinstance(x, Tensor)), (mode.recording, mode.inference)
    try:
        with recorder:
            answer = fn(*args, **options)
        _keep(recorder)
        return answer
    except BaseException:
        _settled(recorder, None, modes)
        raise


def _recorded(
    recorder: Recorder,
    fn: Callable[..., Any],
    args: tuple,
    options: dict[str, Any],
    leaves: list[Any],
    rehearsed: bool = False,
    strict: bool = False,
    places: Sequence[Guard] = (),
) -> tuple[Any, Any, Called]:
    """What the call returned, its structure, and what has been learned."""
    watch, modes = Watch(fn, rehearsed, strict), (mode.recording, mode.inference)
    try:
        with recorder:
            with watch:
                recorder.lines = watch.line
                answer = fn(*args, **options)
            recorder.lines = tuple
            found: list[Any] = []
            results = Results(watch.is_new)
            shape = flatten(answer, found, results)
            given = [id(x) for x in containers((args, options))]
            left, structures = stores(watch, recorder, given, leaves, results, found)
            shape = (tuple, shape, *structures) if left else shape
            placed = {(id(place.holder), place.key) for place in places}
            flatten((args, options), of_arguments := [])
            watch.guards = [
                g for g in watch.guards if id(g.holder) not in given and (id(g.holder), g.key) not in placed
            ]
            received = _gradients_of_arguments(recorder, leaves, found)
            for x in found:
                if isinstance(x, Tensor):
                    recorder.hands_out(x)
            called = Called(recorder, watch, leaves, found, given, len(leaves) - len(of_arguments), left, received)
            called.walk_history()
        return answer, shape, called
    except BaseException as error:
        _settled(recorder, watch, modes)
        if isinstance(error, Unrepeatable):
            error.watch = watch
        raise


def _gradients_of_arguments(recorder: Recorder, leaves: list[Any], found: list[Any]) -> list[tuple[int, int]]:
    """(place in leaves, in found) of the gradients of arguments that had none; they are appended to what was found."""
    received = []
    for i, x in enumerate(leaves):
        if isinstance(x, Tensor) and x.grad_ is not None and recorder.touched[id(x)].grad is None:
            received.append((i, len(found)))
            found.append(x.grad_)
    return received


def _settled(recorder: Recorder, watch: Watch | None, modes: tuple[bool, bool]) -> None:
    """Whatever was interrupted: nobody watches or listens any more, and everything is as it was before the call."""
    try:
        _settle(recorder, watch, modes)
    except BaseException:  # an interrupt: once more from the beginning
        _settle(recorder, watch, modes)
        raise


def _settle(recorder: Recorder, watch: Watch | None, modes: tuple[bool, bool]) -> None:
    if watch is not None:
        watch.end()
        watch.put_back()
    recorder.end()
    mode.recording, mode.inference = modes


def _recording(called: Called, structure: Any, shape: Any) -> Recording:
    """The recording of a call that can be replayed."""
    steps, buffers = called.recorder.trail.steps, called.recorder.trail.buffers
    if (
        called.watch.rehearsed
    ):  # a replay for many sizes tunes constants, which somebody may have kept: tables of indices
        for buffer in buffers:
            if buffer.source is CONSTANT and not buffer.changed:
                buffer.capsule = _copied(buffer)
    anew = [refilled(buffer) for buffer in buffers if buffer.source is CONSTANT and buffer.changed]
    steps[:0] = anew
    called.forward += len(anew)
    plan = Plan(Trail(steps[: called.forward], buffers), folds=not called.watch.rehearsed)
    planner = Planner(called, plan)
    places, fixed = planner.operands()
    parts = planner.answers()
    after: list[Finish] = []
    if called.boundary is not None:
        after.append(Backwards(planner).remembered(len(anew), structure))
    plan.returned = len(plan.results)
    plan.returns = NONE if not plan.returned else ONE if plan.returned == 1 else MANY
    planner.gradients()
    planner.guards(places)
    if "trail" in SHOW:
        print(plan.trail, file=sys.stderr)
    after[:0] = [answers.Bumped(*bumped) for bumped in planner.bumped]  # before a history notes versions
    after[:0] = [answers.Wanting(i) for i in planner.made_leaves]
    after[:0] = [answers.Wishing(i, wanted) for i, wanted in called.wishes()]
    after += [answers.Received(i, k) for i, k in called.received]
    after += [answers.Repeated(repeat) for repeat in called.recorder.repeats]
    return Recording(
        structure, Program(plan), fixed, places, shape, parts, after, called.watch.guards + called.watch.definitions,
        placed=called.placed, stores=called.stores, without_gradient=planner.without_gradient,
    )  # fmt: skip


def _copied(buffer: Buffer) -> Any:
    storage = memory.new_storage(max(buffer.nbytes, 1))
    ctypes.memmove(memory.address_of(storage), memory.address_of(buffer.capsule), buffer.nbytes)
    return storage
