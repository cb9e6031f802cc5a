"""From a call to a recording: the call is recorded, and what it did becomes programs, guards and a way to build its answer."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import combinations
from types import CellType
from typing import Any

from mashal.capture import answers, history
from mashal.capture.contents import MOST, content_guards, is_whole
from mashal.capture.effects import Unrepeatable
from mashal.capture.guards import ABSENT, CONTENTS, LENGTH, Guard, HasGradient
from mashal.capture.modules import Seen, is_module, of_module
from mashal.capture.program import Operand, Plan, Program, used
from mashal.capture.recorder import Obstacle, Recorder
from mashal.capture.recording import Finish, Recording
from mashal.capture.structure import PLAIN, Results, containers, flatten, rebuild
from mashal.capture.trail import CONSTANT, MADE, OUTSIDE, Buffer, Trail, UpdateStep, Value, is_stateful, refilled
from mashal.capture.watch import Watch
from mashal.core import tape
from mashal.core.dtypes import uint8
from mashal.core.forms import form
from mashal.core.interop import is_array, is_array_scalar
from mashal.core.tape import AccumulateGrad, mode
from mashal.core.tensor import Tensor, empty, version_of
from mashal.machine import memory
from mashal.machine.launch import slot_offset
from mashal.machine.observing import changes, settings_now
from mashal.machine.replay_tables import ANY_HISTORY, COMPUTED, LEAF, MANY, NO_HISTORY, NONE, NOTHING, ONE
from mashal.switches import SHOW

ALONE = 4  # up to so many results, backward from each of them by itself has a program of its own


class Refused(Exception):
    """A call cannot be replayed. answer: what it returned; cuts: where in the program the reasons are, if they are there.

    passes: whether the reason is not the program's, but of the moment: a profiler was running.
    settles: whether it may be that of a first call alone: objects of Python were changed.
    """

    def __init__(self, why: str, answer: Any, cuts: list[Obstacle], passes: bool = False, settles: bool = False):
        super().__init__(why)
        self.answer, self.cuts, self.passes, self.settles = answer, cuts, passes, settles


def make(
    fn: Callable[..., Any], args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any], whole: bool = False,
    places: Sequence[Guard] = (),
) -> tuple[Any, Any]:  # fmt: skip
    """(what the call returned, the recording, or None if the next call has to be recorded anew).

    leaves: those of the arguments, and what is in the places.
    """
    recorder = Recorder(x for x in leaves if isinstance(x, Tensor))
    try:
        answer, shape, maker = _recorded(recorder, fn, args, options, leaves, strict=whole, places=places)
    except Unrepeatable as stopped:  # the recorder has put everything back
        raise Refused(str(stopped), None, _cuts(recorder, stopped.watch)) from None
    recording, problem, passing, cuts = None, "", "", []
    try:
        if not recorder.unlasting:
            cuts, passing = maker.cuts(), maker.watch.declined
            problem = cuts[0].what if cuts else passing or maker.problem()
        if not problem and not recorder.unlasting:
            recording = maker.recording(structure, shape)
            problem = maker.trouble
    except BaseException:
        recorder.undo()
        raise
    if passing:
        recorder.keep()
        raise Refused(passing, answer, [], passes=True)
    if problem:
        (recorder.undo if whole else recorder.keep)()
        raise Refused(problem, answer, cuts, settles=bool(cuts) and all(cut.settles for cut in cuts))
    recorder.keep()
    return answer, recording


def rehearse(
    fn: Callable[..., Any], args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any],
    places: Sequence[Guard] = (),
) -> tuple[Any, Any]:  # fmt: skip
    """(a recording of the call or None, the program's code that ran); afterwards everything is as it was before."""
    recorder = Recorder(x for x in leaves if isinstance(x, Tensor))
    try:
        _, shape, maker = _recorded(recorder, fn, args, options, leaves, rehearsed=True, places=places)
    except (Exception, Unrepeatable):  # sizes that the program does not take; the recorder has put everything back
        return None, ()
    try:
        if recorder.unlasting or recorder.goes_beyond or maker.cuts() or maker.watch.declined or maker.problem():
            return None, ()
        recording = maker.recording(structure, shape)
        recording.picked = maker.watch.picked
        return None if maker.trouble else recording, maker.watch.codes
    finally:
        recorder.undo()


def _recorded(
    recorder: Recorder,
    fn: Callable[..., Any],
    args: tuple,
    options: dict[str, Any],
    leaves: list[Any],
    rehearsed: bool = False,
    strict: bool = False,
    places: Sequence[Guard] = (),
) -> tuple[Any, Any, _Maker]:
    """What the call returned, its structure, and what has been learned."""
    watch, modes = Watch(fn, rehearsed, strict), (mode.recording, mode.inference)
    try:
        with recorder:
            with watch:
                recorder.lines = watch.line
                answer = fn(*args, **options)
            recorder.lines = tuple
            found: list[Any] = []
            shape = flatten(answer, found, Results(watch.is_new))
            given = [id(x) for x in containers((args, options))]
            placed = {(id(place.holder), place.key) for place in places}
            watch.guards = [
                g for g in watch.guards if id(g.holder) not in given and (id(g.holder), g.key) not in placed
            ]
            maker = _Maker(recorder, watch, leaves, found, given, len(placed))
            maker.walk_history()
        return answer, shape, maker
    except BaseException as error:
        try:
            _settle(recorder, watch, modes)
        except BaseException:  # an interrupt: once more from the beginning
            _settle(recorder, watch, modes)
            raise
        if isinstance(error, Unrepeatable):
            error.watch = watch
        raise


def _settle(recorder: Recorder, watch: Watch, modes: tuple[bool, bool]) -> None:
    """Whatever was interrupted: nobody watches or listens any more, and everything is as it was before the call."""
    watch.end()
    recorder.end()
    mode.recording, mode.inference = modes


def _cuts(recorder: Recorder, watch: Watch) -> list[Obstacle]:
    effects = [Obstacle(e.what, tuple(e.frame_lines), settles=e.settles) for e in watch.effects]
    return [*recorder.obstacles, *effects]


# ---------------------------------------------------------------- making one
@dataclass
class _Maker:
    recorder: Recorder
    watch: Watch
    leaves: list[Any]
    found: list[Any]
    containers: list[int]
    placed: int
    forward: int = -1  # steps before the history was walked
    differentiable: list[Tensor] = field(default_factory=list)
    boundary: history.Boundary | None = None
    walks: list[history.Walk] = field(default_factory=list)
    reached: list[Tensor] = field(default_factory=list)
    trouble: str = ""
    _gradient_guards: list[tuple[Tensor, Any]] = field(default_factory=list)

    # ---- while the recorder still listens
    def walk_history(self) -> None:
        """Records backward, if results have a history that began in this call."""
        live = [x for x in self.found if isinstance(x, Tensor) and self._is_new(x) and not self._is_freed(x)]
        self.forward = len(self.recorder.trail.steps)
        if not live or not mode.recording:
            return
        self.differentiable = list({(id(x.node), int(x.output)): x for x in live}.values())
        self.boundary = history.Boundary(self.differentiable, self.recorder.first)
        if self.boundary.hooked:
            self.trouble = "results have hooks"
            return
        self.reached = [self._tensor_at(node, output) for node, output in self.boundary.ends]
        if any(x is None for x in self.reached):
            self.trouble = "results depend on a graph from outside that no tensor of the call stands for"
            return
        every = list(range(len(self.differentiable)))
        self.recorder.finish()
        try:
            self._walk(every)
            if 1 < len(every) <= ALONE and not self.boundary.of_program:
                for k in every:
                    self._walk([k])
        except Unrepeatable as what:
            self.trouble = f"its backward does something that no replay repeats: {what}"
        except RuntimeError as error:  # what backward needs was changed: an error only if it is asked for
            self.trouble = f"its results have no backward ({error})"
            return
        finally:
            changed = self.recorder.walk_back()
        if changed:
            self.trouble = "its backward changes what was there before"
        if any(g is not None and g.is_sparse for walk in self.walks for g in walk.found):
            self.trouble = "a gradient is sparse"

    def _walk(self, which: list[int]) -> None:
        """Backward from some of the results. Where it runs the program's own Python, that is watched, and stopped before it
        has an effect."""
        results, steps = [self.differentiable[k] for k in which], self.recorder.trail.steps
        ones = lambda: [empty(form(x.dtype, x.device, x.shape)).fill_(1) for x in results]
        given, start = self.recorder.aside(ones), len(steps)
        watched = Watch(None, rehearsed=True) if self.boundary and self.boundary.of_program else nullcontext()
        with watched:
            found = history.gradients_of(results, self.reached, given)
        self.walks.append(history.Walk(which, given, found, start, len(steps)))
        if isinstance(watched, Watch):
            self.watch.guards += watched.guards

    def _is_new(self, x: Tensor) -> bool:
        return x.node is not None and not isinstance(x.node, AccumulateGrad) and x.node.sequence >= self.recorder.first

    def _is_freed(self, x: Tensor) -> bool:
        """Whether backward has been through x's graph, so that x keeps the nodes it has."""
        return history.Boundary([x], self.recorder.first).freed

    def _tensor_at(self, node: Any, output: int) -> Tensor | None:
        if isinstance(node, AccumulateGrad):
            return node.leaf()
        for x in (*self.leaves, *(t.tensor for t in self.recorder.touched.values())):
            if isinstance(x, Tensor) and x.node is node and int(x.output) == output:
                return x
        return None

    # ---- afterwards
    def cuts(self) -> list[Obstacle]:
        """What a replay could not do again, and where."""
        return _cuts(self.recorder, self.watch)

    def problem(self) -> str:
        """Why the call cannot be replayed; "" if it can."""
        recorder = self.recorder
        if self.trouble:
            return self.trouble
        for x in self.found:
            if not isinstance(x, (Tensor, *PLAIN)) and (self.watch.is_new(x) or is_array(x)) and not _constant(x):
                return f"it returns a {type(x).__name__}"
            if id(x) in self.containers:
                return f"it returns a {type(x).__name__} that it was given"
        if any(isinstance(x, Tensor) and x.is_sparse for x in (*self.leaves, *self.found)):
            return "it takes or returns a sparse tensor"
        if any(x.grad_ is not None and x.grad_.is_sparse for x in (was.tensor for was in recorder.touched.values())):
            return "a gradient is sparse"
        for was in recorder.touched.values():
            x = was.tensor
            if x.capsule is not was.capsule or x.form is not was.form or x.node is not was.node:
                return "a tensor that was there before has become another one (its data, shape or requires_grad)"
        return ""

    def recording(self, structure: Any, shape: Any) -> Recording:
        steps, buffers = self.recorder.trail.steps, self.recorder.trail.buffers
        if (
            self.watch.rehearsed
        ):  # constants of a replay for many sizes are tuned; somebody may have kept them (tables of indices)
            for buffer in buffers:
                if buffer.source is CONSTANT and not buffer.changed:
                    buffer.capsule = _copied(buffer)
        anew = [refilled(buffer) for buffer in buffers if buffer.source is CONSTANT and buffer.changed]
        steps[:0] = anew
        self.forward += len(anew)
        plan = Plan(Trail(steps[: self.forward], buffers), folds=not self.watch.rehearsed)
        places, fixed = self._operands(plan)
        parts = self._answers(plan)
        after: list[Finish] = []
        if self.boundary is not None:
            after.append(self._backward(plan, len(anew), structure))
        plan.returned = len(plan.results)
        plan.returns = NONE if not plan.returned else ONE if plan.returned == 1 else MANY
        self._gradients(plan)
        self._guards(plan, places)
        if "trail" in SHOW:
            print(plan.trail, file=sys.stderr)
        after[:0] = [answers.Bumped(*bumped) for bumped in self._bumped]  # before a history notes versions
        after += [answers.Repeated(repeat) for repeat in self.recorder.repeats]
        return Recording(
            structure, Program(plan), fixed, places, shape, parts, after, self.watch.guards, placed=self.placed
        )

    def _operands(self, plan: Plan) -> tuple[list[int], list[tuple[int, Any]]]:
        """Tensors are the replay's operands, everything else has to be the same."""
        places, same = [], []
        versions: set[int] = set()
        written = {v.buffer for step in plan.trail.steps for v in step.written}
        self._bumped: list[tuple[int, int]] = []
        for i, x in enumerate(self.leaves):
            if not isinstance(x, Tensor):
                same.append((i, x))
                continue
            value = self.recorder.value(x)
            was = self.recorder.touched[id(x)]
            its_own = x.grad_ is not was.grad or (was.grad is not None and id(was.grad) in self.recorder.touched)
            if its_own:  # a replay takes it only as it is
                plan.operands.append(Operand(None, same=x))
            else:
                plan.operands.append(Operand(value, past_of(was), type(x)))
                if version_of(x) != was.version and id(x.version) not in versions:
                    versions.add(id(x.version))
                    self._bumped.append((i, version_of(x) - was.version))
            places.append(i)
        values = [(k, o.value) for k, o in enumerate(plan.operands) if o.value is not None]
        for (a, x), (b, y) in combinations(values, 2):
            if x.buffer is not y.buffer:
                plan.apart.append((a, b, 0))
            else:
                plan.together.append((a, b, y.start - x.start))
        outside = [b for b in used(plan.trail) if b.source is OUTSIDE and b not in {v.buffer for _, v in values}]
        for a, x in values:
            plan.apart += [(a, -1, b.capsule) for b in outside if b in written or x.buffer in written]
        return places, same

    def _result(self, plan: Plan, value: Value, node: Any = None) -> int:
        """The place of a result over a buffer; each buffer has one."""
        for i, (known, _) in enumerate(plan.results):
            if known.buffer is value.buffer:
                return i
        plan.results.append((value, node))
        return len(plan.results) - 1

    def _answers(self, plan: Plan) -> list[Any]:
        recorder, parts = self.recorder, []
        handed: dict[int, Tensor] = {}
        held = {
            id(was.grad): was.tensor for was in recorder.touched.values() if was.tensor.grad_ is was.grad is not None
        }
        ids = {*map(id, self.found)}
        lost = [was for was in recorder.touched.values() if was.tensor.grad_ is not was.grad and id(was.grad) in ids]
        self._gradient_guards = [(was.tensor, was.grad) for was in lost if was.grad is not None]
        by_id = {id(x): i for i, x in enumerate(self.leaves) if isinstance(x, Tensor)}
        for x in self.found:
            if not isinstance(x, Tensor):
                parts.append(answers.Constant(x))
                continue
            buffer = recorder._buffers.get(id(x.capsule))
            if id(x) in by_id:
                parts.append(answers.Argument(by_id[id(x)]))
            elif id(x) in held:
                parts.append(answers.Gradient(held[id(x)]))
            elif id(x) not in recorder.new or buffer is None:
                parts.append(answers.Constant(x))
            elif buffer.source is MADE:
                value = Value(buffer, x.offset, x.form)
                frozen = x.node if x.node is not None and not self._is_live(x) else None
                place = self._result(plan, value, frozen)
                known = plan.results[place][0]
                alike = known.form is value.form and known.offset == value.offset
                if alike and handed.setdefault(place, x) is x:
                    parts.append(answers.Made(place))
                elif alike and x.base is None:  # detached from the other
                    parts.append(answers.Whole(place))
                else:
                    parts.append(answers.Further(place, value.form, value.offset))
            else:
                owner = next(
                    (i for i, leaf in enumerate(self.leaves) if isinstance(leaf, Tensor) and leaf.capsule is x.capsule),
                    None,
                )
                before = self.leaves[owner].offset if owner is not None else 0
                parts.append(answers.Seen(owner, x if owner is None else None, x.form, x.offset - before))
        return parts

    def _is_live(self, x: Tensor) -> bool:
        return any(x.node is y.node and x.output == y.output for y in self.differentiable)

    def _gradients(self, plan: Plan) -> None:
        """What becomes of the gradients of tensors that were there before, and of their versions."""
        touched = self.recorder.touched
        met = set(used(plan.trail))
        versions: set[int] = set()
        self._grads_from: set[int] = set()
        for was in list(touched.values()):
            x, now = was.tensor, was.tensor.grad_
            if was.grad is not None and id(was.grad) in touched:
                buffer = self.recorder._buffers.get(id(was.grad.capsule))
                if buffer is not None and buffer.source is OUTSIDE and buffer in met:
                    plan.gradients.append((x, self.recorder.value(was.grad)))
                    self._grads_from.add(id(was.grad))
            if was.met and was.grad is not None and id(was.grad) not in self._grads_from:
                plan.others.append(HasGradient(x, was.grad.form))
            elif was.missed or (not was.forgets and was.grad is None and now is not None):
                self._gradient_guards.append((x, None))
            if now is not was.grad or was.forgets:
                if now is None:
                    plan.leaves.append((x, -1))
                elif now is not was.grad:
                    buffer = self.recorder._buffers[id(now.capsule)]
                    place = len(plan.results)
                    shared = next((i for i, (v, _) in enumerate(plan.results) if v.buffer is buffer), None)
                    if shared is not None and any(now is x for x in self.found):
                        plan.leaves.append((x, shared))
                        continue
                    if shared is not None or buffer.source is not MADE:
                        self.trouble = "a gradient shares memory with something else"
                        continue
                    plan.results.append((Value(buffer, now.offset, now.form), None))
                    plan.leaves.append((x, place))
                    if id(was.grad) in self._grads_from:
                        plan.kept_gradients.add(place)
            if (
                version_of(x) != was.version
                and id(x.version) not in versions
                and not any(x is leaf for leaf in self.leaves)
            ):
                versions.add(id(x.version))
                plan.bumps.append((x, version_of(x) - was.version))

    def _guards(self, plan: Plan, places: list[int]) -> None:
        mine = {id(self.leaves[i]) for i, operand in zip(places, plan.operands) if operand.value is not None}
        for was in self.recorder.touched.values():
            x = was.tensor
            if id(x) in mine or id(x) in self._grads_from:
                continue
            plan.kept.append(x)
            for name, expected in (("capsule", was.capsule), ("form", was.form), ("node", was.node)):
                plan.slots.append((id(x) + _OFFSETS[name], expected))
        for x, expected in self._gradient_guards:
            plan.kept.append(x)
            plan.slots.append((id(x) + _OFFSETS["grad_"], expected))
        plan.entries.append((changes, "structure", changes["structure"]))
        for step in plan.trail.steps:
            if isinstance(step, UpdateStep):
                if step.numbers() is None:
                    self.trouble = "an option of its optimizer becomes another one in each call"
                plan.entries += step.states
                plan.numbers.update(range(len(plan.entries), len(plan.entries) + len(step.watched)))
                plan.entries += [(holder, key, holder[key]) for holder, key in step.watched]
        arrays = [(f"argument {i}", x) for i, x in enumerate(self.leaves) if is_whole(x)]
        self.watch.guards += [guard for what, x in arrays for guard in content_guards(x, what)]
        plan.entries += self.recorder.entries.values()
        plan.generators = list(self.recorder.generators)
        of_modules = [guard for guard in self.watch.guards if of_module(guard.holder)]
        used = {*self.recorder.touched} - {id(x) for x in self.leaves}
        plan.modules, plan.contents = Seen(self.recorder.modules, of_modules, used), _CONTENTS
        for guard in self.watch.guards:
            if of_module(guard.holder):
                continue
            if isinstance(guard.holder, CellType):
                plan.slots.append((id(guard.holder) + _CONTENTS, guard.expected))
                plan.cells.append(guard)
            elif items := _items(guard):
                plan.items += items
            elif not isinstance(guard.holder, dict) or isinstance(guard.key, (type(LENGTH), Tensor)):
                plan.others.append(guard)
            else:
                plan.entries.append((guard.holder, guard.key, NOTHING if guard.expected is ABSENT else guard.expected))

    # ---- backward of what is returned
    def _again(
        self, plan: Plan, structure: Any, ends: list[Any], places: list[tuple[int, int]]
    ) -> history.Again | None:
        """How the call is made once more as it is written; None if that would not be the same, or change something."""
        steps = plan.trail.steps
        lasting = any(v.buffer.source is not MADE for step in steps for v in step.written)
        if lasting or self.recorder.repeats or any(map(is_stateful, steps)):
            return None
        outputs = [next(i for i, output in places if output == k) for k in range(len(self.differentiable))]

        def results(leaves: Sequence[Any]) -> list[Tensor]:
            args, options = rebuild(structure, leaves)
            found: list[Any] = []
            flatten(self.watch.function(*args, **options), found, Results(lambda _: True))
            assert len(found) == len(self.found), "the same call has the same results"
            return [found[i] for i in outputs]

        return history.Again(results, ends, settings_now())

    def _backward(self, plan: Plan, shift: int, structure: Any) -> Finish:
        """Programs for the gradients, and the step after a replay that makes the node which runs them. shift: how much further
        back steps are in the trail than when they were walked."""
        recorder, trail = self.recorder, self.recorder.trail
        steps = [trail.steps[walk.start + shift : walk.stop + shift] for walk in self.walks]
        kept: dict[Any, tuple[Any, set[int]]] = {}
        whole, *alone = (self._program(plan, walk, Trail(s, trail.buffers), kept) for walk, s in zip(self.walks, steps))
        assert whole is not None, "backward from all results stands by itself"
        seen = {whose_version(was.tensor): was.tensor for was in list(recorder.touched.values())}
        touched = [(x, recorder.value(x).buffer) for x in seen.values()]
        needed = history.users(Trail(steps[0], trail.buffers), [recorder.value(x) for x in self.walks[0].given])
        apart = {recorder.value(x).buffer for x in (*self.leaves, *self.walks[0].given) if isinstance(x, Tensor)}
        watched = [(x, needed[b]) for x, b in touched if b in needed and b not in apart]
        ends = [next((i for i, leaf in enumerate(self.leaves) if leaf is x), x) for x in self.reached]
        outputs = [next(((k, y) for k, y in enumerate(self.differentiable) if isinstance(x, Tensor) and x.node is y.node
                         and x.output == y.output), None) for x in self.found]  # fmt: skip
        places = [(i, found[0]) for i, found in enumerate(outputs) if found is not None]
        return answers.Remembered(
            whole, list(kept.values()), watched, ends, places, len(self.differentiable), self._again(plan, structure, ends, places),
            [program for program in alone if program is not None],
        )  # fmt: skip

    def _program(
        self, plan: Plan, walk: history.Walk, trail: Trail, kept: dict[Any, tuple[Any, set[int]]]
    ) -> history.BackwardProgram | None:
        """The program of a walk; None if it reads what another walk has made.

        Its operands: the gradients of the results, what forward made and backward reads (further results of the forward
        program), and the call's own operands that it reads; these are noted in `kept`, by their buffers.
        """
        recorder = self.recorder
        back = Plan(trail, asked=0, folds=plan.folds)
        given = [recorder.value(x) for x in walk.given]
        back.operands = [Operand(value) for value in given]
        mine = {value.buffer for value in given}
        made = {v.buffer for step in trail.steps for v in step.written}
        needed = history.users(trail, given)
        by_buffer = {recorder.value(x).buffer: i for i, x in enumerate(self.leaves) if isinstance(x, Tensor)}
        takes: list[Any] = []
        for buffer in dict.fromkeys(v.buffer for step in trail.steps for v in step.read):
            ours = buffer.source is MADE and not _before(plan.trail, buffer)
            if buffer in mine or (ours and buffer in made):
                continue
            if buffer in by_buffer:
                i = by_buffer[buffer]
                answer: Any = answers.Argument(i)
                back.operands.append(Operand(recorder.value(self.leaves[i]), ANY_HISTORY, type(self.leaves[i])))
            elif buffer.source is MADE:
                if ours:
                    return None
                place = self._result(plan, Value(buffer, 0, form(uint8, walk.given[0].device, (buffer.nbytes,))))
                answer = answers.Whole(place)
                back.operands.append(Operand(plan.results[place][0]))
            else:
                continue
            kept.setdefault(buffer, (answer, set()))[1].update(walk.which[k] for k in needed.get(buffer, ()))
            takes.append(buffer)
        gradients = [self._gradient_answer(back, g) for g in walk.found]
        back.returned = len(back.results)
        back.returns = NONE if not back.returned else MANY
        with tape.no_grad():
            program = Program(back)
        order = list(kept)
        results = [self.differentiable[k] for k in walk.which]
        sources = history.dependences(results, self.boundary.ends if self.boundary else (), recorder.first)
        return history.BackwardProgram(
            program, [value.form for value in given], gradients, sources, walk.which, [order.index(b) for b in takes]
        )

    def _gradient_answer(self, back: Plan, g: Tensor | None) -> Any:
        """How a gradient is built from the backward program's operands and results."""
        if g is None:
            return answers.Constant(None)
        value = self.recorder.value(g)
        for i, operand in enumerate(back.operands):
            if operand.value is not None and operand.value.buffer is value.buffer:
                return answers.Over(i, True, value.form, value.offset - operand.value.offset)
        if value.buffer.source is not MADE:
            return answers.Constant(g)
        return answers.Over(self._result(back, value), False, value.form, value.offset)


def _copied(buffer: Buffer) -> Any:
    storage = memory.new_storage(max(buffer.nbytes, 1))
    ctypes.memmove(memory.address_of(storage), memory.address_of(buffer.capsule), buffer.nbytes)
    return storage


def past_of(x: Any) -> int:
    """Whether a tensor (or what is known of one) has no history, is a leaf, or was computed."""
    return NO_HISTORY if x.node is None else LEAF if isinstance(x.node, AccumulateGrad) else COMPUTED


def whose_version(x: Tensor) -> int:
    """The same for all tensors that share a version: views of one another, and what is detached from them."""
    return id(x if x.version is None else x.version)


def _items(guard: Guard) -> list[Guard]:
    """A guard of a list's items, or of how many something has, in pieces that native code can look at; [] if it is another."""
    of, key = type(guard.holder), guard.key
    if key is LENGTH:
        return [guard] if of in (list, dict, set) else []
    if of is not list or guard.expected is ABSENT:
        return []
    if key is CONTENTS and len(guard.expected) <= MOST:
        length = Guard(guard.holder, LENGTH, len(guard.expected), guard.what)
        return [length, *(Guard(guard.holder, i, x, guard.what) for i, x in enumerate(guard.expected))]
    return [guard] if type(key) is int and key >= 0 else []


def _before(trail: Trail, buffer: Any) -> bool:
    return any(v.buffer is buffer for step in trail.steps for v in step.written)


def _constant(x: Any) -> bool:
    ours = type(x).__module__.startswith("mashal") and not is_module(x)
    return ours or is_array_scalar(x) or isinstance(x, (type, frozenset, range, slice, type(...)))


def _contents_offset() -> int:
    """Where in a cell the pointer to its contents lies."""
    probe = CellType(object())
    for offset in range(object.__basicsize__, CellType.__basicsize__, 8):
        if ctypes.c_void_p.from_address(id(probe) + offset).value == id(probe.cell_contents):
            return offset
    raise RuntimeError("compile: this Python lays out cells in a way that mashal does not know")


_CONTENTS = _contents_offset()
_OFFSETS = {name: slot_offset(Tensor, name) for name in ("capsule", "form", "node", "grad_")}
