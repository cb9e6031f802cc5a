"""A recorded call: what was recorded, what the program did meanwhile, and backward from what the call returned."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from mashal.capture import history
from mashal.capture.effects import Unrepeatable
from mashal.capture.modules import is_module
from mashal.capture.noted import Obstacle
from mashal.capture.places import Place
from mashal.capture.program import are_alike
from mashal.capture.recorder import Recorder
from mashal.capture.structure import PLAIN
from mashal.capture.watch import Watch
from mashal.core.forms import form
from mashal.core.interop import is_array, is_array_scalar
from mashal.core.tape import AccumulateGrad, mode
from mashal.core.tensor import Tensor, empty

ALONE = 4  # up to so many results, backward from each of them by itself has a program of its own


@dataclass
class Called:
    """leaves: of the arguments, the last `placed` of them held in places; found: the leaves of the answer; containers: ids of what
    was given that holds others. stores: the places that a replay sets. received: (leaf of the arguments that had
    no gradient, its gradient's place among the leaves of the answer). forward: how many steps there were before backward; walks:
    those from all results, and from each alone; reached: the tensors where they end. trouble: why the call cannot be replayed,
    or ""."""

    recorder: Recorder
    watch: Watch
    leaves: list[Any]
    found: list[Any]
    containers: list[int]
    placed: int
    stores: list[Place] = field(default_factory=list)
    received: list[tuple[int, int]] = field(default_factory=list)
    forward: int = -1
    differentiable: list[Tensor] = field(default_factory=list)
    boundary: history.Boundary | None = None
    walks: list[history.Walk] = field(default_factory=list)
    reached: list[Tensor] = field(default_factory=list)
    trouble: str = ""

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
        self.boundary.ends = {end: None for end in self.boundary.ends if not _is_gone(end[0])}
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
            self.watch.definitions += watched.definitions

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
    def wishes(self) -> list[tuple[int, bool]]:
        """(leaf of the arguments, whether it wants a gradient now) for those of which it has been set."""
        was = [self.recorder.touched[id(x)].node if isinstance(x, Tensor) else None for x in self.leaves]
        return [
            (i, x.requires_grad)
            for i, x in enumerate(self.leaves)
            if isinstance(x, Tensor) and x.is_leaf and (x.node is None) is not (was[i] is None)
        ]

    def cuts(self) -> list[Obstacle]:
        """What a replay could not do again, and where."""
        return cuts_of(self.recorder, self.watch)

    def problem(self) -> str:
        """Why the call cannot be replayed; "" if it can."""
        recorder = self.recorder
        if self.trouble:
            return self.trouble
        for x in self.found:
            if not isinstance(x, (Tensor, *PLAIN)) and (self.watch.is_new(x) or is_array(x)) and not _constant(x):
                return f"it returns a {type(x).__name__}"
            if isinstance(x, Tensor) and x.grad_ is not None and id(x) in recorder.new:
                return "it returns a tensor that it made, with a gradient"
            if id(x) in self.containers:
                return f"it returns a {type(x).__name__} that it was given"
        if any(isinstance(x, Tensor) and x.is_sparse for x in (*self.leaves, *self.found)):
            return "it takes or returns a sparse tensor"
        if any(x.grad_ is not None and x.grad_.is_sparse for x in (was.tensor for was in recorder.touched.values())):
            return "a gradient is sparse"
        for was in recorder.touched.values():
            x = was.tensor
            if are_alike(x.node, was.node):
                x.node = was.node
            set_ = any(place.owner is x for place in self.stores) or any(leaf is x for leaf in self.leaves)
            if x.capsule is not was.capsule or x.form is not was.form or (x.node is not was.node and not set_):
                return "a tensor that was there before has become another one (its data, shape or requires_grad)"
        return ""


def cuts_of(recorder: Recorder, watch: Watch) -> list[Obstacle]:
    """What a replay could not do again, and where."""
    effects = [Obstacle(e.what, tuple(e.frame_lines), settles=e.settles) for e in watch.effects]
    return [*recorder.obstacles, *effects]


def _is_gone(node: Any) -> bool:
    """Whether this stands for a leaf that nobody holds: what comes to it comes to nothing."""
    return isinstance(node, AccumulateGrad) and node.leaf() is None


def _constant(x: Any) -> bool:
    ours = type(x).__module__.startswith("mashal") and not is_module(x)
    return ours or is_array_scalar(x) or isinstance(x, (type, frozenset, range, slice, type(...)))
