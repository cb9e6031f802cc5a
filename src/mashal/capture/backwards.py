"""The backward of what a compiled call returns: programs for its gradients, and the step after a replay that makes their node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mashal.capture import answers, history
from mashal.capture.places import restored
from mashal.capture.plan import Operand, Plan
from mashal.capture.planning import Planner, result_in, whose_version
from mashal.capture.program import Program
from mashal.capture.structure import Results, flatten, rebuild
from mashal.capture.trail import MADE, Trail, Value, is_stateful
from mashal.core import tape
from mashal.core.dtypes import uint8
from mashal.core.forms import form
from mashal.core.tensor import Tensor
from mashal.machine.observing import settings_now
from mashal.machine.replay_tables import ANY_HISTORY, MANY, NONE


class Backwards:
    """Programs for the gradients of a call's results."""

    def __init__(self, planner: Planner) -> None:
        self.called, self.plan = planner.called, planner.plan
        self.recorder, self.leaves = planner.recorder, planner.leaves

    def remembered(self, shift: int, structure: Any) -> answers.Remembered:
        """The step after a replay. shift: how much further back steps are in the trail than when they were walked."""
        recorder, trail = self.recorder, self.recorder.trail
        steps = [trail.steps[walk.start + shift : walk.stop + shift] for walk in self.called.walks]
        kept: dict[Any, tuple[Any, set[int]]] = {}
        whole, *alone = (
            self._program(walk, Trail(s, trail.buffers), kept) for walk, s in zip(self.called.walks, steps)
        )
        assert whole is not None, "backward from all results stands by itself"
        seen = {whose_version(was.tensor): was.tensor for was in list(recorder.touched.values())}
        touched = [(x, recorder.value(x).buffer) for x in seen.values()]
        needed = history.users(Trail(steps[0], trail.buffers), [recorder.value(x) for x in self.called.walks[0].given])
        apart = {recorder.value(x).buffer for x in (*self.leaves, *self.called.walks[0].given) if isinstance(x, Tensor)}
        watched = [(x, needed[b]) for x, b in touched if b in needed and b not in apart]
        ends = [self._end(x) for x in self.called.reached]
        outputs = [next(((k, y) for k, y in enumerate(self.called.differentiable) if isinstance(x, Tensor) and x.node is y.node
                         and x.output == y.output), None) for x in self.called.found]  # fmt: skip
        places = [(i, found[0]) for i, found in enumerate(outputs) if found is not None]
        return answers.Remembered(
            whole, list(kept.values()), watched, ends, places, len(self.called.differentiable), self._again(structure, ends, places),
            [program for program in alone if program is not None],
        )  # fmt: skip

    def _end(self, x: Tensor) -> Any:
        """Where a gradient goes: the place of one of the call's leaves, ~ that of one of its answer's, a tensor from outside; None for
        what the call made and kept to itself."""
        i = next((i for i, leaf in enumerate(self.leaves) if leaf is x), None)
        if i is None and id(x) in self.recorder.new:
            return next((~i for i, y in enumerate(self.called.found) if y is x), None)
        return x if i is None else i

    def _program(
        self, walk: history.Walk, trail: Trail, kept: dict[Any, tuple[Any, set[int]]]
    ) -> history.BackwardProgram | None:
        """The program of a walk; None if it reads what another walk has made.

        Its operands: the gradients of the results, what forward made and backward reads (further results of the forward
        program), and the call's own operands that it reads; these are noted in `kept`, by their buffers.
        """
        recorder = self.recorder
        back = Plan(trail, asked=0, folds=self.plan.folds)
        given = [recorder.value(x) for x in walk.given]
        back.operands = [Operand(value) for value in given]
        mine = {value.buffer for value in given}
        made = {v.buffer for step in trail.steps for v in step.written}
        needed = history.users(trail, given)
        by_buffer = {recorder.value(x).buffer: i for i, x in enumerate(self.leaves) if isinstance(x, Tensor)}
        takes: list[Any] = []
        for buffer in dict.fromkeys(v.buffer for step in trail.steps for v in step.read):
            ours = buffer.source is MADE and not _before(self.plan.trail, buffer)
            if buffer in mine or (ours and buffer in made):
                continue
            if buffer in by_buffer:
                i = by_buffer[buffer]
                answer: Any = answers.Argument(i)
                back.operands.append(Operand(recorder.value(self.leaves[i]), ANY_HISTORY, type(self.leaves[i])))
            elif buffer.source is MADE:
                if ours:
                    return None
                place = result_in(self.plan, Value(buffer, 0, form(uint8, walk.given[0].device, (buffer.nbytes,))))
                answer = answers.Whole(place)
                back.operands.append(Operand(self.plan.results[place][0]))
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
        results = [self.called.differentiable[k] for k in walk.which]
        sources = history.dependences(
            results, self.called.boundary.ends if self.called.boundary else (), recorder.first
        )
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
        return answers.Over(result_in(back, value), False, value.form, value.offset)

    def _again(self, structure: Any, ends: list[Any], places: list[tuple[int, int]]) -> history.Again | None:
        """How the call is made once more as it is written; None if that would not be the same, or change something."""
        steps = self.plan.trail.steps
        lasting = any(v.buffer.source is not MADE for step in steps for v in step.written)
        lasting |= bool(self.recorder.repeats) or any(map(is_stateful, steps))
        stores = self.called.stores
        new = any(end is None or (type(end) is int and end < 0) for end in ends)
        if lasting or new or any(place.read for place in stores):
            return None
        outputs = [next(i for i, output in places if output == k) for k in range(len(self.called.differentiable))]

        def results(leaves: Sequence[Any]) -> list[Tensor]:
            args, options = rebuild(structure, leaves)
            found: list[Any] = []
            with restored(stores):
                answer = self.called.watch.function(*args, **options)
                everything = answer, *(place.before.found() for place in stores)
            flatten(everything if stores else answer, found, Results(lambda _: True))
            assert len(found) == len(self.called.found), "the same call has the same results"
            return [found[i] for i in outputs]

        return history.Again(results, ends, settings_now())


def _before(trail: Trail, buffer: Any) -> bool:
    return any(v.buffer is buffer for step in trail.steps for v in step.written)
