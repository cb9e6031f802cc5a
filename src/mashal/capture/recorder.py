"""The recorder: runs a call and notes every kernel, every buffer, and what Python did past the kernels.

    with Recorder(operands) as recorder:
        answer = fn(*args)
    recorder.trail, recorder.obstacles, recorder.touched

The call runs for real, so the first call of a compiled function costs little more than an eager one. If it raises, whatever it
had changed is put back: the bytes of buffers, versions, gradients, the random generator.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import Any

from mashal.capture.modules import is_module
from mashal.capture.origins import Origins, operand_of
from mashal.capture.trail import CONSTANT, MADE, OUTSIDE, Buffer, Step, Trail, UpdateStep, Value
from mashal.capture.waiting import Waiting
from mashal.core import tape
from mashal.core.devices import CPU
from mashal.core.dtypes import float64
from mashal.core.forms import form
from mashal.core.generator import PLACE, Generator, default_generator, living
from mashal.core.nested import is_table
from mashal.core.tape import AccumulateGrad, Node
from mashal.core.tensor import _LAYOUT, Tensor, empty, version_of
from mashal.lower.keeping import granted
from mashal.machine import memory
from mashal.machine.launch import Call
from mashal.machine.observing import watch
from mashal.machine.replay_tables import NOTHING
from mashal.ops.run import kernel_of

_KEPT = 1 << 25  # bytes that lie free meanwhile: a recorded call is to need no more than one that isn't


@dataclass(frozen=True)
class Obstacle:
    """What a replay could not do again. reads: Python read a tensor's values. frames: the user's lines, outermost first.

    settles: whether it may be that of a first call alone, as where a cache is filled.
    """

    what: str
    frames: tuple[tuple[Any, int], ...] = ()
    reads: bool = False
    settles: bool = False
    chooses: bool = False
    """Whether it is an index that is a tensor of one integer."""


@dataclass
class Touched:
    """A tensor that was there before, as it was when it was first met."""

    tensor: Tensor
    capsule: Any
    offset: int
    form: Any
    node: Any
    grad: Any
    version: int
    forgets: bool = False
    """Whether its gradient was dropped before anybody read it."""
    missed: bool = False
    """Whether Python saw that it had no gradient."""
    met: bool = False
    """Whether Python saw the gradient that it had."""


@dataclass(frozen=True, eq=False)
class Feed:
    """A tensor of a number that Python computes. Asked, as guards are, before each replay."""

    function: Callable[[], float]
    tensor: Tensor

    def holds(self) -> bool:
        ctypes.c_double.from_address(memory.address_of(self.tensor.capsule)).value = self.function()
        return True


class Recorder:
    """A context around a call; operands: its tensors."""

    def __init__(self, operands: Iterable[Tensor] = ()):
        self.trail = Trail()
        self.obstacles: list[Obstacle] = []
        self.touched: dict[int, Touched] = {}
        self.repeats: list[Callable[[], Any]] = []
        self.moved: set[int] = set()
        self.kept_out = 0
        """How many functions that are kept out of compile are running."""
        """ids of dictionaries and lists that the functions in `repeats` may have changed."""
        self.entries: dict[tuple[int, Any], tuple[dict, Any, Any]] = {}
        """What Python of mashal's own read in dictionaries: (dictionary, key, what was there or NOTHING)."""
        self.hooks: list[dict] = []
        """Dictionaries of hooks that mashal looked at."""
        self.unlasting: list[str] = []
        self.feeds: list[Feed] = []
        self.choosing = False
        """Whether tensors of one integer are indices of kernels: in a rehearsal, for some programs see that a copy is no view."""
        self._chosen: list[tuple[Buffer, Buffer]] = []
        self._outdated: set[Buffer] = set()
        self._buffers: dict[int, Buffer] = {}
        self._calls: dict[int, Call] = {}
        self._blocks: list[bytes] = []
        self._lent: dict[Any, Value] = {}
        self.first = next(tape.numbers)
        """Nodes with a lower number were there before."""
        self.finishing = False
        """Whether the call has ended, and its history is walked."""
        self.walked: dict[Buffer, bytes] = {}
        """What was there before, and was changed by walking the history: as it was when the call ended."""
        self.new: set[int] = set()
        """ids of tensors that were made in the call (what was there before is alive, so no id is mistaken)."""
        self._modules: dict[int, Any] = {}
        self._origins = Origins()
        self._begun = self._ended = False
        self.generators: dict[Generator, bytes] = {}
        """Those that are drawn from, and where they stood."""
        self.lines: Callable[[], Any] = tuple
        """Gives the program's frames at this moment (capture.watch)."""
        self._operands = list(operands)
        self._waiting = Waiting()
        self._within: dict[tuple[Buffer, int, Any], tuple[int, int]] = {}
        """Between which limits the indices lie that kernels have looked at."""
        self._taking_back: list[Callable[[], Any]] = []

    # ---------------------------------------------------------------- on and off
    def __enter__(self) -> Recorder:
        assert watch.recorder is None, "one recording at a time"
        self._note_generators()
        self._outside = sys._getframe(1)
        for x in self._operands:
            self.value(x)
        self._begun = True
        memory.keep_free(_KEPT)
        self._listen(True)
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self._begun = False
        self._listen(False)
        memory.empty_cache()  # a replay has memory of its own
        memory.keep_free()
        if kind is not None:
            self.undo()
        self._ended = True

    def end(self) -> None:
        """Takes everything back, if that has not been done: leaving may have been interrupted."""
        if not self._ended:
            self.__exit__(BaseException, None, None)

    def _listen(self, on: bool) -> None:
        watch.recorder = self if on else None
        _LAYOUT.listen(self._record if on else None)

    def aside(self, function: Callable[[], Any]) -> Any:
        """function(), not recorded. The tensors that it returns were not made in the call, whatever had their ids before."""
        listened = watch.recorder is self
        self._listen(False)
        try:
            found = function()
            for x in found if isinstance(found, (list, tuple)) else (found,):
                if isinstance(x, Tensor):
                    self._buffers.pop(id(x.capsule), None)
                    self.new.discard(id(x))
            return found
        finally:
            self._listen(listened)

    # ---------------------------------------------------------------- kernels
    def _record(self, owner: Any, *operands: Any) -> Any:
        """Runs a plan in the launcher's stead and notes it; or notes a tensor that has been made."""
        if type(owner) is not tuple:
            return self.new.add(id(owner))
        self._listen(False)
        try:
            step = self._step(owner, operands)
            for value in step.operands[: step.writes]:
                if isinstance(value, Value):
                    self._before_change(value.buffer)
            result = _LAYOUT.rerun(owner)(*operands)
            step.results = tuple(self._made(x) for x in _listed(result, len(owner) - 4))
            step.fails = self._may_fail(owner[2], step)
            self.trail.steps.append(step)
            if step.call.kernel:
                _note_computed(step)
            return result
        finally:
            self._listen(True)

    def _step(self, owner: tuple, operands: tuple) -> Step:
        block, *_, recipe = owner
        call = self._calls.get(id(block))
        if call is None:
            self._blocks.append(block)
            call = self._calls[id(block)] = Call.of(block)
        values = tuple(self.value(x) if isinstance(x, Tensor) else self._lent.get(x, x) for x in operands)
        self._note_generators(operands)
        name, place = self._origins.of(sys._getframe(2))
        self._note_modules(sys._getframe(2))
        return Step(call, values, (), call.writes, recipe=recipe, name=name, place=place)

    def _note_generators(self, operands: Iterable[Any] = (default_generator.address,)) -> None:
        """Notes where the random generators stand whose addresses are among operands."""
        for x in operands:
            if type(x) is int and x in living and living[x] not in self.generators:
                self.generators[living[x]] = ctypes.string_at(x, PLACE)

    def _may_fail(self, fail: Any, step: Step) -> bool:
        """Whether a kernel may find an index out of range that no kernel before it has found within the same limits."""
        limits = getattr(fail, "limits", None)
        if fail is None or limits is None:
            return fail is not None
        unknown = False
        for x, (least, beyond) in zip(step.operands[-len(limits) :], limits):
            seen = x.buffer, x.offset, x.form
            known = self._within.get(seen)
            if known is None or known[0] < least or known[1] > beyond:
                unknown, self._within[seen] = True, (least, beyond)
        return unknown

    def _note_modules(self, frame: Any) -> None:
        """Notes the modules that are at work above a frame."""
        while frame is not None and frame is not self._outside:
            name = frame.f_code.co_name
            if name == "forward" or name == "__call__":
                it = frame.f_locals.get("self")
                if it is not None and is_module(it):
                    self._modules.setdefault(id(it), it)
            frame = frame.f_back

    @property
    def modules(self) -> list[Any]:
        """The modules that were at work."""
        return list(self._modules.values())

    def value(self, x: Tensor) -> Value:
        """The place that a tensor sees."""
        if x.capsule is None:
            self.obstacle("a tensor without data (on meta) takes part")
            return Value(Buffer(-1, None, 0, MADE), x.offset, x.form)
        buffer = self._buffers.get(id(x.capsule))
        buffer = buffer or self._new_buffer(x.capsule, CONSTANT if is_table(x) else OUTSIDE)
        self._is_asked_for(buffer)
        if buffer in self._outdated:
            self.obstacle("what a tensor chose has changed: it is a view")
        if buffer.source is OUTSIDE:
            self.touch(x)
        if id(x.capsule) in self.moved:
            self.obstacle("an option that a schedule's step has set is read")
        return Value(buffer, x.offset, x.form)

    def _made(self, x: Tensor) -> Value:
        """A result's place; its storage is new, whatever had the same id before is gone."""
        self.new.add(id(x))
        return Value(self._new_buffer(x.capsule, MADE), x.offset, x.form)

    def _new_buffer(self, storage: Any, source: str) -> Buffer:
        kept = None if source is MADE else storage  # who holds what was made decides whether it may be taken over
        buffer = Buffer(len(self.trail.buffers), kept, memory.bytes_of(storage), source)
        self.trail.buffers.append(buffer)
        self._buffers[id(storage)] = buffer
        return buffer

    def _before_change(self, buffer: Buffer) -> None:
        if self._chosen:
            self._note_written(buffer)
        self._within = {seen: limits for seen, limits in self._within.items() if seen[0] is not buffer}
        if self.finishing and buffer.source is OUTSIDE:
            self.walked.setdefault(buffer, ctypes.string_at(memory.address_of(buffer.capsule), buffer.nbytes))
        if buffer.source is not MADE and buffer.before is None:
            buffer.before = ctypes.string_at(memory.address_of(buffer.capsule), buffer.nbytes)
        buffer.changed = True

    # ---------------------------------------------------------------- what Python does (machine.observing)
    def address_taken(self, storage: Any) -> None:
        """Python reads or writes a storage."""
        buffer = self._buffers.get(id(storage))
        self._is_asked_for(buffer)
        if buffer is not None and buffer.source is MADE and not buffer.computed:
            buffer.source, buffer.capsule = CONSTANT, storage
        elif buffer is None or buffer.source is not CONSTANT:
            self.obstacle("a tensor's values are read in Python", reads=True)

    def born(self, storage: Any) -> None:
        """Python makes a storage."""
        self._new_buffer(storage, CONSTANT)

    def lend(self, x: Tensor) -> int:
        """x's address, to be given to a kernel as a number."""
        value = self.value(x)
        found = self.aside(x.data_ptr)
        self._lent[found] = value
        return found

    def touch(self, x: Tensor) -> None:
        """If x was there before, or what x is a view of, notes its slots."""
        if id(x) not in self.touched and id(x) not in self.new:
            self.touched[id(x)] = Touched(x, x.capsule, x.offset, x.form, x.node, x.grad_, version_of(x))
        if x.base is not None:
            self.touch(x.base)

    def replaces(self, x: Tensor) -> None:
        """x is about to see other memory."""
        self.touch(x)
        if id(x) in self.touched:
            self.obstacle("the data of a tensor that was there before is replaced")

    def derived(self, x: Tensor, made: Tensor) -> None:
        """Python has made a tensor out of x's slots."""
        self.touch(x)
        self.new.add(id(made))

    def looks_at_gradient(self, x: Tensor) -> None:
        """Python asks for x's gradient."""
        self.touch(x)
        was = self.touched.get(id(x))
        if was is not None and x.grad_ is was.grad and not was.forgets:
            was.missed, was.met = was.grad is None, was.grad is not None

    def forget_gradient(self, x: Tensor) -> None:
        """x's gradient is about to be dropped."""
        new = id(x) not in self.touched
        self.touch(x)
        if id(x) not in self.touched:
            return
        was = self.touched[id(x)]
        was.forgets |= new or x.grad_ is was.grad and id(was.grad) not in self.touched

    def walks(self, roots: list[Any]) -> None:
        """Backward begins: what it runs through must have been recorded in this call."""
        stack, seen = list(roots), set()
        while stack and not self.finishing:
            node = stack.pop()
            if id(node) in seen or isinstance(node, AccumulateGrad):
                continue
            seen.add(id(node))
            if node.sequence < self.first:
                return self.obstacle("backward goes on into a graph from before the call")
            stack += [edge[0] for edge in node.edges if edge is not None]

    def gives(self, node: Node, gradients: Iterable[Tensor | None]) -> None:
        """A node of backward has made the gradients of its operands: the kernels that wrote them are named after these."""
        lately = self.trail.steps[-_STEPS_OF_A_NODE:][::-1]
        made: dict[int, tuple[Any, list[str]]] = {}
        for i, g in enumerate(gradients):
            operand = "" if g is None else operand_of(node, i)
            if g is None or not operand:
                continue
            buffer = self._buffers.get(id(g.capsule))
            last = next((step for step in lately if any(v.buffer is buffer for v in step.written)), None)
            if last is not None and "grad of" not in last.name:
                made.setdefault(id(last), (last, []))[1].append(operand)
        for step, operands in made.values():
            step.name += f"{',' if ':' in step.name else ':'} grad of {', '.join(operands)}"

    def unfinished(self, why: str) -> None:
        self.unlasting.append(why)

    def obstacle(self, what: str, reads: bool = False) -> None:
        """Something that a replay could not do again happens here."""
        self.obstacles.append(Obstacle(what, tuple(self.lines()), reads))

    def relies(self, holder: dict, *keys: Any) -> None:
        """Python of mashal's own reads entries of a dictionary, or is about to change them."""
        for key in keys:
            self.entries.setdefault((id(holder), key), (holder, key, holder.get(key, NOTHING)))

    def repeat(self, function: Callable[[], Any]) -> None:
        """Notes that each replay calls function() when its kernels have run."""
        given = (*function.args, *function.keywords.values()) if isinstance(function, partial) else ()
        if any(isinstance(x, Tensor) for x in given):
            self.obstacle("a schedule is given a tensor")
        self.repeats.append(function)
        held = _held(given)
        options = _options(held)
        self.moved.update(map(id, held), [id(x.capsule) for x in options])
        self.takes_back(partial(_refill, [(x, x.copy()) for x in held if isinstance(x, (dict, list))]))
        self.takes_back(partial(_fill, options, self.aside(lambda: [x.clone() for x in options])))

    def feed(self, function: Callable[[], float], *reads: Any) -> Tensor:
        """A tensor of function(), which each replay fills before it begins. reads: what function reads."""
        buffers = [self.value(x).buffer for x in reads if isinstance(x, Tensor)]
        if any(id(x) in self.moved for x in reads) or any(b.source is not OUTSIDE or b.changed for b in buffers):
            self.obstacle("a number follows from what the call itself has changed")
        made = self.aside(lambda: empty(form(float64, CPU, ())).fill_(function()))
        self.feeds.append(Feed(function, made))
        return made

    def may_choose(self, *indices: Tensor) -> bool:
        """Whether tensors of one integer may choose a part by a kernel: not while it is unknown whether that means the same, and not
        if all are constants."""
        if all(b is not None and b.source is CONSTANT for b in (self._buffers.get(id(x.capsule)) for x in indices)):
            return False
        if not self.choosing:
            self.obstacles.append(Obstacle("a tensor is an index", tuple(self.lines()), reads=True, chooses=True))
        return self.choosing

    def chooses(self, x: Tensor, part: Tensor) -> None:
        """A part of x was chosen: a copy, where eagerly it is a view."""
        self._chosen.append((self.value(x).buffer, self.value(part).buffer))

    def hands_out(self, x: Tensor) -> None:
        """x is a part of the answer."""
        if self._chosen and any(part is self._buffers.get(id(x.capsule)) for _, part in self._chosen):
            self.obstacle("what a tensor chose is returned: it is a view")

    def _note_written(self, buffer: Buffer) -> None:
        """A buffer is about to change, so what was chosen of it is not what it was."""
        self._outdated.update(part for of, part in self._chosen if of is buffer)
        if any(part is buffer for _, part in self._chosen):
            self.obstacle("what a tensor chose is changed: it is a view")

    def update(self, lines: list[tuple[Tensor, ...]], **rest: Any) -> None:
        """Notes an optimizer's kernel, which is run as late as may be (capture.waiting)."""
        if any(id(group) in self.moved for group, _ in rest["watched"]):
            self.obstacle("an optimizer's step after its schedule's")
        _, where = self._origins.of(sys._getframe(1))
        rest["given"] = tuple(self.value(x) for x in rest["numbers"]() or () if isinstance(x, Tensor))
        step = UpdateStep(lines=[tuple(map(self.value, line)) for line in lines], place=where, **rest)
        for value in step.written:
            if self._chosen:
                self._note_written(value.buffer)
            if value.buffer.source is CONSTANT:
                self.aside(partial(self._before_change, value.buffer))
            value.buffer.changed = True
        place = lambda x: memory.address_of(x.capsule) + x.offset * x.form.dtype.itemsize
        addresses = self.aside(lambda: [[place(x) for x in line] for line in lines])
        storages = [x.capsule for line in lines for x in line]
        self.aside(partial(self._waiting.put_off, step, addresses, storages))
        self.trail.steps.append(step)
        _note_computed(step)

    def _is_asked_for(self, buffer: Buffer | None) -> None:
        """Runs the kernels that wait, if what they are about is needed now."""
        if self._begun and buffer in self._waiting.buffers:
            self.aside(lambda: [self._before_change(v.buffer) for step in self._waiting.steps for v in step.written])
            self._waiting.run()

    @property
    def goes_beyond(self) -> bool:
        """Whether something past tensors was changed."""
        return bool(self._taking_back)

    def takes_back(self, function: Callable[[], Any]) -> None:
        """Notes what undoes a change past tensors."""
        self._taking_back.append(function)

    def grant(self, truth: Tensor) -> bool:
        """What a truth is; a replay fails where it is otherwise."""
        value = self.value(truth)
        self._is_asked_for(value.buffer)
        found = self.aside(lambda: bool(truth))
        call = Call(self.aside(lambda: kernel_of(granted, found)), 1, 0, False, 0, (1,), (), ())
        self.trail.steps.append(Step(call, (value,), (), fails=True, name="granted"))
        return found

    # ---------------------------------------------------------------- taking back
    def finish(self) -> None:
        """The call has ended: what follows is walking its history."""
        self.finishing = True
        self._grads = {id(was.tensor): was.tensor.grad_ for was in self.touched.values()}

    def walk_back(self) -> bool:
        """Puts back what walking the history changed; whether that was anything."""
        for buffer, data in self.walked.items():
            ctypes.memmove(self.aside(partial(memory.address_of, buffer.capsule)), data, buffer.nbytes)
        before = [(was.tensor, self._grads.get(id(was.tensor), was.grad)) for was in self.touched.values()]
        changed = [(x, grad) for x, grad in before if x.grad_ is not grad]
        for x, grad in changed:
            x.grad_ = grad
        return bool(self.walked or changed)

    def undo(self) -> None:
        """Puts back what the call changed so far."""
        self._waiting.forget()
        while self._taking_back:
            self._taking_back.pop()()
        for buffer in self.trail.buffers:
            if buffer.before is not None and buffer.source is OUTSIDE:
                ctypes.memmove(memory.address_of(buffer.capsule), buffer.before, buffer.nbytes)
        for was in self.touched.values():
            x = was.tensor
            x.capsule, x.offset, x.form, x.node, x.grad_ = was.capsule, was.offset, was.form, was.node, was.grad
            if x.version is not None:
                x.version[0] = was.version
        for generator, place in self.generators.items():
            ctypes.memmove(generator.address, place, PLACE)
        self.keep()

    def note_all(self, most: int) -> int | None:
        """Runs what waits; the call can be undone until `keep`. How many bytes are kept for that; None: it would be more than `most`."""
        waiting = {v.buffer for step in self._waiting.steps for v in step.written}
        buffers = {b for b in self.trail.buffers if b.before is not None and b.source is OUTSIDE} | waiting
        nbytes = sum(b.nbytes for b in buffers)
        if nbytes > most:
            return None
        for buffer in waiting:
            self._before_change(buffer)
        self._waiting.run()
        return nbytes

    def keep(self) -> None:
        """The call has ended: what was there before is not needed any more."""
        self._waiting.run()
        for buffer in self.trail.buffers:
            buffer.before = None


_STEPS_OF_A_NODE = 12  # at most so many kernels back is the one that wrote a gradient


def _note_computed(step: Step | UpdateStep) -> None:
    for value in step.written:
        value.buffer.computed = True


def _refill(containers: list[tuple[Any, Any]]) -> None:
    """Puts dictionaries and lists back to what they were copied as."""
    for x, before in containers:
        x.clear()
        (x.update if isinstance(x, dict) else x.extend)(before)


def _options(held: list[Any]) -> list[Tensor]:
    """The options of an optimizer's groups that are tensors, which a schedule fills."""
    groups = [x for x in held if isinstance(x, dict) and "params" in x]
    return [option for group in groups for option in group.values() if isinstance(option, Tensor)]


def _fill(options: list[Tensor], before: list[Tensor]) -> None:
    """Puts options that are tensors back to what they were."""
    with tape.no_grad():
        for option, was in zip(options, before):
            option.copy_(was)


def _held(things: Any) -> list[Any]:
    """All dictionaries and lists of plain objects among these things, in them and in their attributes."""
    found, stack = {}, list(things)
    while stack:
        x = stack.pop()
        inside = x if isinstance(x, (dict, list, tuple)) else getattr(x, "__dict__", None)
        if inside is None or isinstance(x, (Tensor, type, FunctionType)) or is_module(x) or id(inside) in found:
            continue
        found[id(inside)] = inside
        stack += inside.values() if isinstance(inside, dict) else inside
    return list(found.values())


def _listed(result: Any, count: int) -> tuple:
    return () if not count else (result,) if count == 1 else result
