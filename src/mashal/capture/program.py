"""From a trail to a replay: where each buffer lies, the kernels' words, and what the call leaves behind.

A buffer that nobody sees after the call lies in the arena (`arena`). What outlives the call (results, gradients) gets a block of
its own. All else was there before. Where that is, a replay writes into the words that the kernels are given: each word belongs to
a base (the arena, an operand, a result, a storage), and lies so many bytes behind its beginning.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from mashal.capture.arena import aligned, arranged, lives, used
from mashal.capture.fuse import fused
from mashal.capture.guards import LENGTH, same
from mashal.capture.places import Place
from mashal.capture.plan import Plan
from mashal.capture.trail import MADE, Buffer, UpdateStep, Value, bits_of
from mashal.core.generator import PLACE
from mashal.core.tape import AccumulateGrad
from mashal.core.tensor import Tensor
from mashal.machine import memory
from mashal.machine.launch import NUMBER
from mashal.machine.observing import changes
from mashal.machine.replay import ReplayLayout
from mashal.machine.replay_tables import NOTHING, SAME, TENSOR, Tables

MISS = type("Miss", (), {"__repr__": lambda self: "MISS"})()
_HEAD = 5  # words that an optimizer's kernel is given before its numbers (trail.UpdateStep.words)


@cache
def _layout() -> ReplayLayout:
    return ReplayLayout(Tensor, AccumulateGrad)


class Program:
    """A plan made into a replay. numbers: for each update of an optimizer, its step and the words of its numbers."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.tables = Tables(returned=plan.returned, returns=plan.returns, asked=plan.asked, keeps=list(plan.kept))
        self.numbers: list[tuple[UpdateStep, Any]] = []
        self._bases: dict[Buffer, tuple[int, int]] = {}  # buffer -> (base, what to add to an offset in bytes)
        self._patches: list[list[tuple[int, int]]] = [[]]  # base 0 is the arena
        given = {o.value.buffer for o in plan.operands if o.value is not None}
        outliving = given | {v.buffer for v, _ in plan.results}
        plan.trail = fused(plan.trail, outliving, plan.folds)
        self._lives = lives(plan.trail, outliving)
        self._place()
        for i, step in enumerate(plan.trail.steps):
            self._launch(i, step)
        self._undo()
        self._leave()
        tables = self.tables
        tables.patches, tables.arena = self._patches, self.arena
        tables.slots, tables.entries, tables.apart = plan.slots, plan.entries, plan.apart
        tables.items = [(g.holder, -1 if g.key is LENGTH else g.key, g.expected) for g in plan.items]
        size = lambda i: plan.operands[i].value.form.dtype.itemsize  # type: ignore[union-attr]
        tables.together = [(a, b, distance, size(a), size(b)) for a, b, distance in plan.together]
        self._expected = [expected for _, _, expected in plan.entries]
        if any(step.given for step, _ in self.numbers):
            plan.others.append(Refreshed(self))
        self.replay: Callable[..., Any] = _layout().replay(tables, MISS)

    @property
    def needs(self) -> int:
        """Bytes of memory that a replay takes, but for the gradients of leaves."""
        gradients = {which for _, which in self.plan.leaves}
        return self.arena + sum(nbytes for i, (nbytes, *_) in enumerate(self.tables.blocks) if i not in gradients)

    # ---------------------------------------------------------------- where buffers lie
    def _base(self) -> int:
        self._patches.append([])
        return len(self._patches) - 1

    def _place(self) -> None:
        tables, plan = self.tables, self.plan
        for o in plan.operands:
            if o.value is None:
                tables.operands.append((SAME, o.same))
                continue
            base = self._base()
            self._bases.setdefault(o.value.buffer, (base, -o.value.start))
            tables.operands.append((TENSOR, o.value.form, o.history, o.value.form.dtype.itemsize, base, o.type))
        for x, value in plan.gradients:
            base = self._base()
            self._bases[value.buffer] = base, -value.start
            tables.gradients.append((x, value.form, value.form.dtype.itemsize, base))
        owners = {which: x for x, which in plan.leaves if which >= 0}
        early = {v.buffer for step in self._early() for v in step.written}  # not over what may have to be put back
        for i, (value, _) in enumerate(plan.results):
            base = self._base()
            self._bases[value.buffer] = base, 0
            free = i >= plan.returned and i not in plan.kept_gradients and value.buffer not in early
            reusable = owners.get(i) if free else None
            tables.blocks.append(
                (value.buffer.nbytes, base, 0 if reusable is None or value.offset else reusable, value.form)
            )
        for buffer in used(plan.trail):
            if buffer not in self._bases and buffer.source is not MADE:
                base = self._base()
                self._bases[buffer] = base, 0
                tables.storages.append((buffer.capsule, base))
        places, self.arena = arranged(self._lives, plan.trail)
        for buffer, place in places.items():
            self._bases[buffer] = 0, place

    # ---------------------------------------------------------------- kernels
    def _point(self, array: Any, i: int, value: Value) -> None:
        """Has word i of an array point to a value."""
        base, added = self._bases[value.buffer]
        self._patches[base].append((ctypes.addressof(array) + 8 * i, value.start + added))

    def _launch(self, number: int, step: Any) -> None:
        if isinstance(step, UpdateStep):
            return self._launch_update(step)
        if not step.call.kernel:
            return
        call = step.call
        pointers = [*step.results, *step.operands]
        words: list[int] = []
        for x, kind in zip(pointers, [*[1] * len(step.results), *call.kinds]):
            words.append(0 if isinstance(x, Value) else bits_of(float(x)) if kind == NUMBER else int(x))
        if call.scratch:
            words.append(0)
        array = self._array([*words, *call.constants])
        for i, x in enumerate(pointers):
            if isinstance(x, Value):
                self._point(array, i, x)
        if call.scratch:
            self._patches[0].append((ctypes.addressof(array) + 8 * len(pointers), self._lives.scratch[number]))
        self.tables.launches.append((call.kernel, ctypes.addressof(array)))
        self.tables.work += call.work

    def _launch_update(self, step: UpdateStep) -> None:
        width = len(step.lines[0]) + step.spare
        table = self._array([0] * (width * len(step.lines)))
        for i, line in enumerate(step.lines):
            for k, value in enumerate(line):
                self._point(table, i * width + k, value)
        rows = self._array([w for row in step.rows for w in row])
        # no numbers: a choice has changed since, so no replay will fit
        words = self._array(step.words(table, rows, step.numbers()))
        self.numbers.append((step, words))
        self.tables.launches.append((step.kernel, ctypes.addressof(words)))
        self.tables.work += step.elements

    def _array(self, words: Sequence[int]) -> Any:
        array = (ctypes.c_int64 * max(len(words), 1))(*words)
        self.tables.keeps.append(array)
        return array

    # ---------------------------------------------------------------- what is put back, what is left behind
    def _early(self) -> list[Any]:
        """The steps after which a kernel may still fail."""
        steps = self.plan.trail.steps
        return steps[: max((i for i, step in enumerate(steps) if step.fails), default=0)]

    def _undo(self) -> None:
        """What was there before and is changed before a kernel that may fail: copied first, put back if it does."""
        early = self._early()
        changed = dict.fromkeys(v.buffer for step in early for v in step.written if v.buffer.source is not MADE)
        if early:
            for generator in self.plan.generators:
                self._save(self._base(), generator.address, PLACE)  # a base that is never set: 0
        for buffer in changed:
            base, added = self._bases[buffer]
            self._save(base, added, buffer.nbytes)

    def _save(self, base: int, offset: int, nbytes: int) -> None:
        self.tables.undo.append((base, offset, nbytes, self.arena))
        self.arena += aligned(nbytes)

    def _leave(self) -> None:
        tables, plan = self.tables, self.plan
        tables.results = [(i, v.form, v.offset, node) for i, (v, node) in enumerate(plan.results)]
        tables.leaves, tables.bumps = list(plan.leaves), list(plan.bumps)

    # ---------------------------------------------------------------- what holds from replay to replay
    @property
    def may_fail(self) -> bool:
        """Whether a kernel may find an index out of range."""
        return any(step.fails for step in self.plan.trail.steps)

    def adapt(self) -> bool:
        """Looks again at what the replay compares by identity: sets right what has an equal value; False if one differs."""
        found: list[tuple[int, Any]] = []  # nothing is set right before everything is known to hold
        for i, (holder, key, _) in enumerate(self.plan.entries):
            now, before = dict.get(holder, key, NOTHING), self._expected[i]
            if now is before:
                continue
            if holder is changes:
                if not (self.plan.modules.unchanged() and all(step.fits() for step, _ in self.numbers)):
                    return False
            elif i not in self.plan.numbers and not same(now, before):
                return False
            found.append((i, now))
        if not all(guard.holds() for guard in (*(guard for _, guard, _ in self.plan.looked), *self.plan.items)):
            return False
        if any(i in self.plan.numbers for i, _ in found) and not self._refresh():
            return False
        for i, now in found:
            self._expected[i] = now
            self.tables.expect("entries", i, now)
        for i, guard in enumerate(self.plan.items):
            if guard.key is not LENGTH:
                self.tables.expect("items", i, guard.found())
        self._renew_slots()
        return True

    def leave(self, places: Sequence[Place], values: Sequence[Any]) -> None:
        """Sets places, at the end of a replay; what the program itself changes of modules doesn't make it look at them again."""
        row = next(i for i, (holder, _, _) in enumerate(self.plan.entries) if holder is changes)
        known = self.plan.settled and changes["structure"] is self._expected[row]
        for place, value in zip(places, values):
            place.put(value)
        if known and changes["structure"] is not self._expected[row]:
            self._expected[row] = changes["structure"]
            self.tables.expect("entries", row, changes["structure"])

    def _renew_slots(self) -> None:
        rows = {address: i for i, (address, _) in enumerate(self.plan.slots)}
        for x, address, node in self.plan.leaf_nodes:
            if are_alike(x.node, node):
                self.tables.expect("slots", rows[address], x.node)
        for row, _, now in self.plan.looked:
            self.tables.expect("slots", row, now())

    def others_hold(self) -> bool:
        """Whether the guards hold that native code does not look at."""
        return all(guard.holds() for guard in self.plan.others)

    def _refresh(self) -> bool:
        """Reads the optimizers' numbers anew; False if something else about them has changed."""
        numbers = [step.numbers() for step, _ in self.numbers]
        if any(found is None or len(found) > len(words) - _HEAD for found, (_, words) in zip(numbers, self.numbers)):
            return False
        for found, (_, words) in zip(numbers, self.numbers):
            for i, x in enumerate(found):
                words[_HEAD + i] = bits_of(float(x))
        return True

    # ---------------------------------------------------------------- running kernels one by one (capture.explain)
    def lend(self) -> list[Any]:
        """Has every word point to memory: that of the recorded call where it is still there, else to new memory."""
        lent = []
        storages = {base: memory.address_of(capsule) for capsule, base in self.tables.storages}
        for base, patches in enumerate(self._patches):
            if patches and base not in storages:
                capsule = memory.new_storage(self._extent(base))
                ctypes.memset(memory.address_of(capsule), 0, self._extent(base))
                lent.append(capsule)
                storages[base] = memory.address_of(capsule)
            for word, offset in patches:
                ctypes.c_int64.from_address(word).value = storages[base] + offset
        return lent

    def take_back(self, lent: list[Any]) -> None:
        """Forgets where everything lay: the next replay writes all words anew."""
        rows = self.tables.words["bases"]
        for base in range(len(self._patches)):
            rows[4 * base] = 0
        lent.clear()

    def _extent(self, base: int) -> int:
        """How many bytes a base that is not a storage stands for, its own offsets included."""
        if base == 0:
            return self.arena
        return max((b.nbytes for b, (of, _) in self._bases.items() if of == base), default=64)


@dataclass(frozen=True, eq=False)
class Refreshed:
    """Reads the numbers of optimizers anew, some of which are tensors. Asked, as guards are, before each replay."""

    program: Program

    def holds(self) -> bool:
        return self.program._refresh()


def are_alike(node: Any, other: Any) -> bool:
    """Whether two nodes are where gradients of a leaf end, and nothing hangs on them: it wanted none for a while."""
    return all(isinstance(x, AccumulateGrad) and x.hooks is None for x in (node, other))
