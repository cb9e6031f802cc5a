"""From a recorded call to the plan of its replay: operands, results and answers, gradients, guards."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import combinations
from types import CellType, FunctionType
from typing import Any

from mashal.capture import answers
from mashal.capture.arena import used
from mashal.capture.called import Called
from mashal.capture.contents import MOST, content_guards, is_whole
from mashal.capture.definitions import FUNCTION_SLOTS, ClassGuard, CountedGuard
from mashal.capture.guards import ABSENT, CONTENTS, LENGTH, Guard, HasGradient
from mashal.capture.modules import Seen, of_module
from mashal.capture.plan import Operand, Plan
from mashal.capture.trail import MADE, OUTSIDE, UpdateStep, Value
from mashal.core.tape import AccumulateGrad
from mashal.core.tensor import Tensor, version_of
from mashal.machine.launch import slot_offset, type_offset
from mashal.machine.observing import changes
from mashal.machine.replay_tables import COMPUTED, LEAF, NO_HISTORY, NOTHING


class Planner:
    """Fills the plan of a recorded call. bumped: (leaf, by how much its version grows); made_leaves: of the answer's leaves, the
    tensors that the call made and that gradients come to; without_gradient: leaves of the arguments that have to come without one."""

    def __init__(self, called: Called, plan: Plan) -> None:
        self.called, self.plan = called, plan
        self.recorder, self.leaves, self.found = called.recorder, called.leaves, called.found
        self.bumped: list[tuple[int, int]] = []
        self.made_leaves: list[int] = []
        self.without_gradient: list[int] = []
        self._gradient_guards: list[tuple[Tensor, Any]] = []
        self._grads_from: set[int] = set()

    def operands(self) -> tuple[list[int], list[tuple[int, Any]]]:
        """Tensors are the replay's operands, everything else has to be the same."""
        plan = self.plan
        places, same = [], []
        versions: set[int] = set()
        written = {v.buffer for step in plan.trail.steps for v in step.written}
        for i, x in enumerate(self.leaves):
            if not isinstance(x, Tensor):
                same.append((i, x))
                continue
            value = self.recorder.value(x)
            was = self.recorder.touched[id(x)]
            its_own = x.grad_ is not was.grad and i not in dict(self.called.received)
            its_own |= was.grad is not None and id(was.grad) in self.recorder.touched
            if its_own:  # a replay takes it only as it is
                plan.operands.append(Operand(None, same=x))
            else:
                plan.operands.append(Operand(value, past_of(was), type(x)))
                if version_of(x) != was.version and id(x.version) not in versions:
                    versions.add(id(x.version))
                    self.bumped.append((i, version_of(x) - was.version))
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

    def answers(self) -> list[Any]:
        """How the leaves of the answer are built."""
        recorder, parts = self.recorder, []
        handed: dict[int, Tensor] = {}
        held = {
            id(was.grad): was.tensor for was in recorder.touched.values() if was.tensor.grad_ is was.grad is not None
        }
        ids = {*map(id, self.found)}
        lost = [was for was in recorder.touched.values() if was.tensor.grad_ is not was.grad and id(was.grad) in ids]
        self._gradient_guards = [(was.tensor, was.grad) for was in lost if was.grad is not None]
        by_id = {id(x): i for i, x in enumerate(self.leaves) if isinstance(x, (Tensor, float))}
        for i, x in enumerate(self.found):
            if not isinstance(x, Tensor):
                given = by_id.get(id(x))
                parts.append(answers.Constant(x) if given is None else answers.Argument(given))
                continue
            if isinstance(x.node, AccumulateGrad) and id(x) in recorder.new:
                self.made_leaves.append(i)
            buffer = recorder.buffer_of(x)
            if id(x) in by_id:
                parts.append(answers.Argument(by_id[id(x)]))
            elif id(x) in held:
                parts.append(answers.Gradient(held[id(x)]))
            elif id(x) not in recorder.new or buffer is None:
                parts.append(answers.Constant(x))
            elif buffer.source is MADE:
                value = Value(buffer, x.offset, x.form)
                frozen = None if past_of(x) != COMPUTED or self._is_live(x) else x.node
                place = result_in(self.plan, value, frozen)
                known = self.plan.results[place][0]
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
        return any(x.node is y.node and x.output == y.output for y in self.called.differentiable)

    def gradients(self) -> None:
        """What becomes of the gradients of tensors that were there before, and of their versions."""
        plan, touched = self.plan, self.recorder.touched
        met = set(used(plan.trail))
        versions: set[int] = set()
        for was in list(touched.values()):
            x, now = was.tensor, was.tensor.grad_
            mine = [i for i, leaf in enumerate(self.leaves) if leaf is x]
            if mine and was.grad is None and (now is None or any(i in mine for i, _ in self.called.received)):
                self.without_gradient += mine if was.missed or was.forgets or now is not None else []
                continue
            if was.grad is not None and id(was.grad) in touched:
                buffer = self.recorder.buffer_of(was.grad)
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
                    buffer = self.recorder.buffer_of(now)
                    assert buffer is not None, "what gives a gradient is recorded"
                    place = len(plan.results)
                    shared = next((i for i, (v, _) in enumerate(plan.results) if v.buffer is buffer), None)
                    if shared is not None and any(now is x for x in self.found):
                        plan.leaves.append((x, shared))
                        continue
                    if shared is not None or buffer.source is not MADE:
                        self.called.trouble = "a gradient shares memory with something else"
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

    def guards(self, places: Sequence[int]) -> None:
        """What a replay compares before it does anything."""
        plan, watch = self.plan, self.called.watch
        mine = {id(self.leaves[i]) for i, operand in zip(places, plan.operands) if operand.value is not None}
        for was in self.recorder.touched.values():
            x = was.tensor
            if id(x) in mine or id(x) in self._grads_from:
                continue
            plan.kept.append(x)
            for name, expected in (("capsule", was.capsule), ("form", was.form), ("node", was.node)):
                plan.slots.append((id(x) + _OFFSETS[name], expected))
            if isinstance(was.node, AccumulateGrad):
                plan.leaf_nodes.append((x, id(x) + _OFFSETS["node"], was.node))
        for x, expected in self._gradient_guards:
            plan.kept.append(x)
            plan.slots.append((id(x) + _OFFSETS["grad_"], expected))
        known = {guard.name for guard in watch.guards if of_module(guard.holder)}
        plan.settled = not any(place.name in known for place in self.called.stores)
        plan.entries.append((changes, "structure", changes["structure"] if plan.settled else object()))
        written = {value.buffer for step in plan.trail.steps for value in step.written}
        plan.others += self.recorder.feeds
        for step in plan.trail.steps:
            if isinstance(step, UpdateStep):
                if step.numbers() is None:
                    self.called.trouble = "an option of its optimizer becomes another one in each call"
                if any(x.buffer.source is not OUTSIDE or x.buffer in written for x in step.given):
                    self.called.trouble = "an option of its optimizer is a tensor that the call changes"
                plan.entries += step.states
                plan.numbers.update(range(len(plan.entries), len(plan.entries) + len(step.watched)))
                plan.entries += [(holder, key, holder[key]) for holder, key in step.watched]
        arrays = [(f"argument {i}", x) for i, x in enumerate(self.leaves) if is_whole(x)]
        watch.guards += [guard for what, x in arrays for guard in content_guards(x, what)]
        plan.entries += self.recorder.entries.values()
        plan.generators = list(self.recorder.generators)
        of_modules = [guard for guard in watch.guards if of_module(guard.holder)]
        used = {*self.recorder.touched} - {id(x) for x in self.leaves}
        leaves = [was.node for was in self.recorder.touched.values() if isinstance(was.node, AccumulateGrad)]
        set_ = [place.name for place in self.called.stores]
        plan.modules = Seen(self.recorder.modules, of_modules, used, set_, self.recorder.hooks, leaves)
        layers = {type(module) for module in self.recorder.modules}
        classes = [ClassGuard(kind, frozenset()) for kind in (Tensor, *layers)]
        for guard in (*watch.guards, *watch.definitions, *classes):
            if of_module(guard.holder) or self._look_at(guard):
                continue
            if items := _items(guard):
                plan.items += items
            elif not isinstance(guard.holder, dict) or isinstance(guard.key, (type(LENGTH), Tensor)):
                plan.others.append(guard)
            else:
                plan.entries.append((guard.holder, guard.key, NOTHING if guard.expected is ABSENT else guard.expected))

    def _look_at(self, guard: Any) -> bool:
        """Has native code look at the word where a cell, a function, an object or a class has what a guard expects; False if there is
        none."""
        holder, now, expected = guard.holder, guard.found, guard.expected
        if isinstance(guard, CountedGuard):
            now, expected, address = guard.count, guard.count(), guard.address
            if not expected.value or address is None:
                return True
        elif isinstance(holder, CellType):
            address = id(holder) + _CONTENTS
        elif isinstance(holder, FunctionType) and guard.key in FUNCTION_SLOTS:
            address = id(holder) + FUNCTION_SLOTS[guard.key]
        elif guard.key == "__class__" and guard.expected is type(holder):
            address = id(holder) + _CLASS
        else:
            return False
        self.plan.kept.append(holder)
        self.plan.looked.append((len(self.plan.slots), guard, now))
        self.plan.slots.append((address, expected))
        return True


def result_in(plan: Plan, value: Value, node: Any = None) -> int:
    """The place of a result over a buffer; each buffer has one."""
    for i, (known, _) in enumerate(plan.results):
        if known.buffer is value.buffer:
            return i
    plan.results.append((value, node))
    return len(plan.results) - 1


def past_of(x: Any) -> int:
    """Whether a tensor (or what is known of one) has no history, is a leaf, or was computed."""
    return NO_HISTORY if x.node is None else LEAF if isinstance(x.node, AccumulateGrad) else COMPUTED


def whose_version(x: Tensor) -> int:
    """The same for all tensors that share a version: views of one another, and what is detached from them."""
    return id(x if x.version is None else x.version)


def _items(guard: Any) -> list[Guard]:
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


def _contents_offset() -> int:
    """Where in a cell the pointer to its contents lies."""
    probe = CellType(object())
    for offset in range(object.__basicsize__, CellType.__basicsize__, 8):
        if ctypes.c_void_p.from_address(id(probe) + offset).value == id(probe.cell_contents):
            return offset
    raise RuntimeError("compile: this Python lays out cells in a way that mashal does not know")


_CONTENTS = _contents_offset()
_CLASS = type_offset()
_OFFSETS = {name: slot_offset(Tensor, name) for name in ("capsule", "form", "node", "grad_")}
