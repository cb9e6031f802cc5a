"""From a call to a recording: the call is recorded, and what it did becomes programs, guards and a way to build its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from mashal.capture import history
from mashal.capture.program import MISS, Operand, Plan, Program, used
from mashal.capture.recorder import Recorder, Touched
from mashal.capture.structure import PLAIN, equal, flatten, rebuild
from mashal.capture.trail import CONSTANT, MADE, OUTSIDE, Trail, Value
from mashal.core import tape
from mashal.core.forms import form
from mashal.core.saved import FREED
from mashal.core.tape import AccumulateGrad, mode
from mashal.core.tensor import Tensor, bump, empty, new_view, version_of
from mashal.machine.launch import slot_offset
from mashal.machine.replay import ANY_HISTORY, LEAF, MANY, NO_HISTORY, NONE, ONE


class Refused(Exception):
    """A call cannot be replayed; `answer` is what it returned."""

    def __init__(self, why: str, answer: Any):
        super().__init__(why)
        self.answer = answer


def make(
    fn: Callable[..., Any], args: tuple, options: dict[str, Any], structure: Any, leaves: list[Any]
) -> tuple[Any, Any]:
    """(what the call returned, the recording, or None if the next call has to be recorded anew)."""
    first = next(tape.numbers)
    recorder = Recorder(x for x in leaves if isinstance(x, Tensor))
    with recorder:
        answer = fn(*args, **options)
        found: list[Any] = []
        shape = flatten(answer, found)
        maker = _Maker(recorder, leaves, found, first)
        maker.walk_history()
    if recorder.unlasting:
        return answer, None
    problem = maker.problem()
    if problem:
        raise Refused(problem, answer)
    return answer, maker.recording(structure, shape)


# ---------------------------------------------------------------- what a recording is
@dataclass
class Recording:
    """A call that can be replayed.

    places: of the leaves, those that are the replay's operands; same: (place, object) the other leaves. direct: the replay, if
    it takes the function's own arguments and needs nothing else. answers: how each leaf of the answer is built.
    """

    structure: Any
    recording: bool
    program: Program
    same: list[tuple[int, Any]]
    places: list[int]
    shape: Any
    answers: list[Any]
    after: list[Callable[[Sequence[Any], Any], None]]
    direct: Callable[..., Any] | None = None

    def adapt(self, leaves: Sequence[Any]) -> bool:
        """Sets guards right whose values are equal; False if the call is another one."""
        return all(equal(leaves[i], x) for i, x in self.same) and self.program.adapt()

    def __call__(self, leaves: Sequence[Any]) -> Any:
        made = self.program.replay(*[leaves[i] for i in self.places])
        if made is MISS or type(made) is int:
            return made
        for step in self.after:
            step(leaves, made)
        made = made if type(made) is tuple else (made,)
        return rebuild(self.shape, [answer(leaves, made) for answer in self.answers])


# ---------------------------------------------------------------- making one
@dataclass
class _Maker:
    recorder: Recorder
    leaves: list[Any]
    found: list[Any]
    first: int
    forward: int = -1  # steps before the history was walked
    differentiable: list[Tensor] = field(default_factory=list)
    boundary: history.Boundary | None = None
    given: list[Tensor] = field(default_factory=list)
    reached: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor | None] = field(default_factory=list)
    trouble: str = ""

    # ---- while the recorder still listens
    def walk_history(self) -> None:
        """Records backward, if results have a history that began in this call."""
        live = [x for x in self.found if isinstance(x, Tensor) and self._is_new(x) and x.node.saved is not FREED]
        self.forward = len(self.recorder.trail.steps)
        if not live or not mode.recording:
            return
        self.differentiable = list({(id(x.node), int(x.output)): x for x in live}.values())
        self.boundary = history.Boundary(self.differentiable, self.first)
        if self.boundary.hooked or self.boundary.freed:
            self.trouble = (
                "results have hooks" if self.boundary.hooked else "part of the graph of its results was freed"
            )
            return
        self.reached = [self._tensor_at(node, output) for node, output in self.boundary.ends]
        if any(x is None for x in self.reached):
            self.trouble = "results depend on a graph from outside that no tensor of the call stands for"
            return
        self.given = self.recorder.aside(
            lambda: [empty(form(x.dtype, x.device, x.shape)).fill_(1) for x in self.differentiable]
        )
        before = {id(x): version_of(x) for x in self.reached}
        self.gradients = history.gradients_of(self.differentiable, self.reached, self.given)

    def _is_new(self, x: Tensor) -> bool:
        return x.node is not None and not isinstance(x.node, AccumulateGrad) and x.node.sequence >= self.first

    def _tensor_at(self, node: Any, output: int) -> Tensor | None:
        if isinstance(node, AccumulateGrad):
            return node.leaf()
        for x in (*self.leaves, *(t.tensor for t in self.recorder.touched.values())):
            if isinstance(x, Tensor) and x.node is node and int(x.output) == output:
                return x
        return None

    # ---- afterwards
    def problem(self) -> str:
        """Why the call cannot be replayed; "" if it can."""
        recorder = self.recorder
        if recorder.obstacles:
            return recorder.obstacles[0].what
        if self.trouble:
            return self.trouble
        for x in self.found:
            if not isinstance(x, (Tensor, *PLAIN)) and not _constant(x):
                return f"it returns a {type(x).__name__}"
        for was in recorder.touched.values():
            x = was.tensor
            if x.capsule is not was.capsule or x.form is not was.form or (x.node is not was.node and self._lives(x)):
                return "a tensor that was there before has become another one (its data, shape or requires_grad)"
        if any(b.source is CONSTANT and b.changed for b in recorder.trail.buffers):
            return "a tensor made of Python numbers is changed"
        return ""

    def _lives(self, x: Tensor) -> bool:
        return True

    def recording(self, structure: Any, shape: Any) -> Recording:
        steps = self.recorder.trail.steps
        back = Trail(steps[self.forward :], self.recorder.trail.buffers)
        plan = Plan(Trail(steps[: self.forward], self.recorder.trail.buffers))
        places, same = self._operands(plan)
        answers, results = self._answers(plan)
        self._gradients(plan)
        after: list[Callable[..., None]] = []
        if self.boundary is not None:
            self._backward(plan, back, answers, after)
        self._guards(plan, places)
        plan.returned = len(results) + (len(self._kept) if self.boundary is not None else 0)
        plan.returns = NONE if not plan.returned else ONE if plan.returned == 1 else MANY
        for repeat in self.recorder.repeats:
            after.append(lambda leaves, made, again=repeat.function: again())
        for place in self._bumped:
            after.append(lambda leaves, made, p=place: [bump(leaves[p[0]]) for _ in range(p[1])] and None)
        program = Program(plan)
        made = Recording(structure, mode.recording, program, same, places, shape, answers, after)
        flat = structure == (tuple, (tuple, *[None] * len(self.leaves)), (dict, ()))
        simple = not after and (shape is None and len(answers) == 1 and getattr(answers[0], "place", None) == 0 and plan.returned == 1
                                or answers and not plan.returned and all(getattr(a, "is_none", False) for a in answers) and shape is None)  # fmt: skip
        if flat and simple and len(places) + len(same) == len(self.leaves):
            made.direct = program.replay if not same else self._direct(program, same, places)
        return made

    def _direct(self, program: Program, same: list, places: list[int]) -> Callable[..., Any] | None:
        return None

    def _operands(self, plan: Plan) -> tuple[list[int], list[tuple[int, Any]]]:
        """Tensors are the replay's operands, everything else has to be the same."""
        places, same = [], []
        seen: dict[int, int] = {}
        written = {v.buffer for step in plan.trail.steps for v in step.written}
        self._bumped: list[tuple[int, int]] = []
        for i, x in enumerate(self.leaves):
            if not isinstance(x, Tensor):
                same.append((i, x))
                continue
            value = self.recorder.value(x)
            was = self.recorder.touched[id(x)]
            if x.grad_ is not was.grad or id(x) in seen:
                plan.operands.append(Operand(None, same=x))
            else:
                past = NO_HISTORY if was.node is None else LEAF if isinstance(was.node, AccumulateGrad) else ANY_HISTORY
                plan.operands.append(Operand(value, past, type(x)))
                if version_of(x) != was.version:
                    self._bumped.append((i, version_of(x) - was.version))
            seen[id(x)] = i
            places.append(i)
        values = [(k, o.value) for k, o in enumerate(plan.operands) if o.value is not None]
        for (a, x), (b, y) in combinations(values, 2):
            if x.buffer is not y.buffer:
                plan.apart.append((a, b, 0))
            elif x.buffer in written:
                self.trouble = "operands share memory and are changed"
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

    def _answers(self, plan: Plan) -> tuple[list[Any], list[Any]]:
        recorder, answers = self.recorder, []
        by_id = {id(x): i for i, x in enumerate(self.leaves) if isinstance(x, Tensor)}
        for x in self.found:
            if not isinstance(x, Tensor):
                answers.append(_Constant(x))
                continue
            buffer = recorder._buffers.get(id(x.capsule))
            if id(x) in by_id:
                answers.append(_Argument(by_id[id(x)]))
            elif buffer is None or (
                buffer.source is not MADE and id(x) in recorder.touched and not self._is_new(x) and x.base is None
            ):
                answers.append(_Constant(x))
            elif buffer.source is MADE:
                value = Value(buffer, x.offset, x.form)
                frozen = x.node if x.node is not None and not self._is_live(x) else None
                place = self._result(plan, value, frozen)
                known = plan.results[place][0]
                same = known.form is value.form and known.offset == value.offset
                answers.append(_Made(place) if same else _View(place, value.form, value.offset))
            else:
                owner = next(
                    (i for i, leaf in enumerate(self.leaves) if isinstance(leaf, Tensor) and leaf.capsule is x.capsule),
                    None,
                )
                answers.append(_Seen(owner, x, self.leaves[owner].offset if owner is not None else 0))
        return answers, list(plan.results)

    def _is_live(self, x: Tensor) -> bool:
        return any(x.node is y.node and x.output == y.output for y in self.differentiable)

    def _gradients(self, plan: Plan) -> None:
        """What becomes of the gradients of tensors that were there before, and of their versions."""
        touched = self.recorder.touched
        leaves = {id(x) for x in self.leaves}
        operands = {id(o.value.buffer) for o in plan.operands if o.value is not None}
        read = {v.buffer for step in plan.trail.steps for v in step.read}
        self._gradient_guards: list[tuple[Tensor, Any]] = []
        versions: set[int] = set()
        self._grads_from: set[int] = set()
        for was in list(touched.values()):
            x, now = was.tensor, was.tensor.grad_
            if was.grad is not None and id(was.grad) in touched:
                buffer = self.recorder._buffers.get(id(was.grad.capsule))
                if buffer is not None and buffer.source is OUTSIDE and buffer in read:
                    plan.gradients.append((x, self.recorder.value(was.grad)))
                    self._grads_from.add(id(was.grad))
            elif not was.forgets and was.grad is None and now is not None:
                self._gradient_guards.append((x, None))
            if now is not was.grad or was.forgets:
                if now is None:
                    plan.leaves.append((x, -1))
                elif now is not was.grad:
                    buffer = self.recorder._buffers[id(now.capsule)]
                    place = len(plan.results)
                    if any(v.buffer is buffer for v, _ in plan.results) or buffer.source is not MADE:
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
        mine = {id(self.leaves[i]) for i in places}
        for was in self.recorder.touched.values():
            x = was.tensor
            if id(x) in mine or id(x) in self._grads_from or not _outlives(x, was):
                continue
            for name, expected in (("capsule", was.capsule), ("form", was.form), ("node", was.node)):
                plan.slots.append((id(x) + _OFFSETS[name], expected))
        for x, expected in self._gradient_guards:
            plan.slots.append((id(x) + _OFFSETS["grad_"], expected))
        plan.trail.buffers = used(plan.trail)

    # ---- backward of what is returned
    def _backward(self, plan: Plan, back: Trail, answers: list[Any], after: list[Any]) -> None:
        """A second program for the gradients, and a node that runs it."""


def _outlives(x: Tensor, was: Touched) -> bool:
    return True


def _constant(x: Any) -> bool:
    return isinstance(x, (type, frozenset)) or type(x).__module__.startswith("mashal")


_OFFSETS = {name: slot_offset(Tensor, name) for name in ("capsule", "form", "node", "grad_")}


# ---------------------------------------------------------------- how an answer is built
@dataclass
class _Constant:
    value: Any

    @property
    def is_none(self) -> bool:
        return self.value is None

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any]) -> Any:
        return self.value


@dataclass
class _Argument:
    index: int

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any]) -> Any:
        return leaves[self.index]


@dataclass
class _Made:
    place: int

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any]) -> Any:
        return made[self.place]


@dataclass
class _View:
    """A further tensor over the memory of a result."""

    place: int
    form: Any
    offset: int

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any]) -> Any:
        return new_view(made[self.place], self.form, self.offset)


@dataclass
class _Seen:
    """A new tensor over the memory of an argument (at a distance from its first element), or over memory that was there before."""

    argument: int | None
    like: Tensor
    origin: int

    def __call__(self, leaves: Sequence[Any], made: Sequence[Any]) -> Any:
        if self.argument is None:
            return new_view(self.like, self.like.form, self.like.offset)
        source = leaves[self.argument]
        return new_view(source, self.like.form, source.offset + self.like.offset - self.origin)
