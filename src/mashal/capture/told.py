"""What the recorder is told: what Python does to memory and tensors past the launcher (machine.observing).

A part of the recorder. Much of it is no obstacle: a storage that Python fills is a constant, a tensor's gradient that is dropped
is noted. What a replay could not do again becomes an obstacle.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mashal.capture.origins import operand_of
from mashal.capture.trail import CONSTANT, MADE, Step, Value
from mashal.capture.undoing import Undoing
from mashal.core import tape
from mashal.core.tape import AccumulateGrad, Node
from mashal.core.tensor import Tensor
from mashal.lower.keeping import granted
from mashal.machine.launch import Call
from mashal.machine.replay_tables import NOTHING
from mashal.ops.run import kernel_of

__all__ = ["Told"]

_STEPS_OF_A_NODE = 12  # at most so many kernels back is the one that wrote a gradient


class Told(Undoing):
    """A call of which Python tells.

    entries: what Python of mashal's own read in dictionaries: (dictionary, key, what was there or NOTHING). hooks: dictionaries of
    hooks that mashal looked at. unlasting: what is there already in the next call. kept_out: how many functions that are kept out of
    compile are running. choosing: whether tensors of one integer are indices of kernels, as in a rehearsal, which finds out for
    which programs a copy is no view. first: nodes with a lower number were there before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[int, Any], tuple[dict, Any, Any]] = {}
        self.hooks: list[dict] = []
        self.unlasting: list[str] = []
        self.kept_out = 0
        self.choosing = False
        self.first = next(tape.numbers)
        self._lent: dict[Any, Value] = {}

    # ---------------------------------------------------------------- memory
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

    def grant(self, truth: Tensor) -> bool:
        """What a truth is; a replay fails where it is otherwise."""
        value = self.value(truth)
        self._is_asked_for(value.buffer)
        found = self.aside(lambda: bool(truth))
        call = Call(self.aside(lambda: kernel_of(granted, found)), 1, 0, False, 0, (1,), (), ())
        self.trail.steps.append(Step(call, (value,), (), fails=True, name="granted"))
        return found

    # ---------------------------------------------------------------- tensors' slots
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

    # ---------------------------------------------------------------- backward
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
            buffer = self.buffer_of(g)
            last = next((step for step in lately if any(v.buffer is buffer for v in step.written)), None)
            if last is not None and "grad of" not in last.name:
                made.setdefault(id(last), (last, []))[1].append(operand)
        for step, operands in made.values():
            step.name += f"{',' if ':' in step.name else ':'} grad of {', '.join(operands)}"

    # ---------------------------------------------------------------- what other calls may find otherwise
    def unfinished(self, why: str) -> None:
        """What was made now is there already the next time, so this call is no pattern of the next."""
        self.unlasting.append(why)

    def relies(self, holder: dict, *keys: Any) -> None:
        """Python of mashal's own reads entries of a dictionary, or is about to change them."""
        for key in keys:
            self.entries.setdefault((id(holder), key), (holder, key, holder.get(key, NOTHING)))

    # ---------------------------------------------------------------- indices that are tensors of one integer
    def may_choose(self, *indices: Tensor) -> bool:
        """Whether such tensors may choose a part by a kernel: not while it is unknown whether that means the same, and not if all
        are constants."""
        if all(b is not None and b.source is CONSTANT for b in map(self.buffer_of, indices)):
            return False
        if not self.choosing:
            self.obstacle("a tensor is an index", reads=True, chooses=True)
        return self.choosing

    def chooses(self, x: Tensor, part: Tensor) -> None:
        """A part of x was chosen: a copy, where eagerly it is a view."""
        self._chosen.note(self.value(x).buffer, self.value(part).buffer)

    def hands_out(self, x: Tensor) -> None:
        """x is a part of the answer."""
        if self._chosen.has(self.buffer_of(x)):
            self.obstacle("what a tensor chose is returned: it is a view")
