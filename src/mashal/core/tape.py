"""What is recorded for backward: grad modes and nodes.

A `Node` stands for one recorded operation. A tensor that came out of it points to it (`tensor.node`, and `tensor.output`
for which of its results); a leaf that wants a gradient points to its `AccumulateGrad`. A tensor without a node needs
no gradient. Nodes point to the nodes of the operands (`edges`), so the graph lives as long as its last result.

Each operation has a class of nodes of its own, named as PyTorch names it (AddBackward0): that is what grad_fn prints.
The engine that walks nodes is autograd.engine.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from typing import Any

from mashal.core.handles import RemovableHandle
from mashal.later import later
from mashal.machine import modes

traceback = later("traceback")  # for anomaly mode alone
numbers = count()


class _Mode:
    """Per thread: is backward recorded; is inference mode on; are there hooks on what is saved (core.saved).

    settling: does a backward run whose end are the leaves' grads, and nothing else. watched: does somebody look at what
    Python reads (capture.watch), so that native code should leave it to Python.
    """

    recording = modes.switch(modes.NOT_RECORDING, usual=True)
    inference = modes.switch(modes.INFERENCE)
    hooked = modes.switch(modes.HOOKED)
    settling = modes.switch(modes.SETTLING)
    watched = modes.switch(modes.WATCHED)


mode = _Mode()


class Anomaly:
    """Whether nodes note where they were made (anomaly mode), and whether backward looks for nan."""

    enabled = modes.switch(modes.ANOMALY, everywhere=True)
    check_nan = True


anomaly = Anomaly()


class Hooks:
    """What is to be called at a node, in this order; each a dictionary {number: function} or None.

    tensors: {output: hooks of that result}, called with its gradient; retained: {output: weak reference to the
    tensor that keeps it}; before: with all gradients of the results; after: with the gradients of the operands and
    of the results; accumulated: with a leaf whose grad is complete. dtype: what a leaf's gradient is brought to first; None: it
    stays as it comes, "own": the leaf's.
    """

    __slots__ = ("accumulated", "after", "before", "dtype", "retained", "tensors")

    def __init__(self) -> None:
        self.dtype: Any = "own"
        self.tensors: dict[int, OrderedDict] = {}
        self.retained: dict[int, Any] = {}
        self.before: OrderedDict = OrderedDict()
        self.after: OrderedDict = OrderedDict()
        self.accumulated: OrderedDict = OrderedDict()


class Node:
    """One recorded operation.

    edges: for each operand (node, output) or None; saved: what the backward formula needs, given back after
    backward if `frees`; sequence: order of creation; hooks: a `Hooks` or None. A subclass gives
    `backward(*gradients of the results) -> gradients of the operands`, one for each edge. `results` is how many tensors
    the operation gave, `operands` what it calls the operands of its edges, where there are several.
    """

    __slots__ = ("__dict__", "__weakref__", "edges", "hooks", "metadata_", "saved", "sequence")
    results = 1
    operands: tuple[str, ...] = ()
    frees = True

    def __init__(self, edges: tuple, saved: Any):
        self.edges = edges
        self.saved = saved
        self.sequence = next(numbers)
        self.hooks: Hooks | None = None
        if anomaly.enabled:
            self.metadata["traceback_"] = traceback.format_stack()[:-1]

    def backward(self, *gradients: Any) -> tuple:
        """The gradients of the operands, given those of the results (None where there is none)."""
        raise NotImplementedError

    def name(self) -> str:
        """What grad_fn is called: the name of its class."""
        return type(self).__name__

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The nodes that the gradients go to, with the index of the result there."""
        return tuple((None, 0) if edge is None else (edge[0], int(edge[1])) for edge in self.edges)

    @property
    def metadata(self) -> dict:
        """A dictionary for whoever wants to note something at this node."""
        try:
            return self.metadata_
        except AttributeError:
            self.metadata_: dict = {}
            return self.metadata_

    def _sequence_nr(self) -> int:
        return self.sequence

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {id(self):#x}>"

    def _hooks(self) -> Hooks:
        if self.hooks is None:
            self.hooks = Hooks()
        return self.hooks

    def register_hook(self, hook: Callable) -> RemovableHandle:
        """hook(gradients of operands, gradients of results) runs after this node; it may return other ones."""
        return _put(self._hooks().after, hook)

    def register_prehook(self, hook: Callable) -> RemovableHandle:
        """hook(gradients of results) runs before this node; it may return other ones."""
        return _put(self._hooks().before, hook)


def _put(hooks: OrderedDict, hook: Callable) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


class AccumulateGrad(Node):
    """Where gradients of a leaf end: they are added to its `.grad`. Knows its leaf weakly, so both go together."""

    __slots__ = ("leaf",)

    def __init__(self, leaf: Any):
        self.edges = ()
        self.saved = None
        self.sequence = -1  # after all other nodes
        self.hooks = None
        self.leaf = weakref.ref(leaf)

    @property
    def variable(self) -> Any:
        """The leaf, or None if it is gone."""
        return self.leaf()


class PlannedCall:
    """What a node made by a plan's call knows of such calls.

    plan: what a call runs. gradients: {form of the incoming gradient: gradient plan}. kept: which operands are saved;
    keeps_result: whether the result is.
    """

    __slots__ = ("gradients", "keeps_result", "kept", "plan")


class PlannedNode(Node):
    """The node of a plan's call, made by native code as a rule (machine.recording).

    saved: what is kept of operands and result, each followed by its version (None: it is not needed, its form is there).
    second_first: whether hooks on what is saved are given the second operand before the first.
    """

    __slots__ = ("entry",)
    entry: PlannedCall
    second_first = False

    def share_versions(self, result: Any) -> None:
        """The result has got a list of versions: the twin of it that is saved has the same."""
        if self.entry.keeps_result and type(self.saved) is tuple:
            twin = self.saved[2 * len(self.entry.kept)]
            if getattr(twin, "capsule", None) is result.capsule:
                twin.version = result.version


def wants_gradient(*operands: Any) -> bool:
    """Whether an operation on these tensors is to be recorded."""
    return mode.recording and any(x is not None and x.node is not None for x in operands)


def edges(*operands: Any) -> tuple:
    """The edges to the operands' nodes."""
    return tuple(None if x is None or x.node is None else (x.node, x.output) for x in operands)


# ---------------------------------------------------------------- grad modes
class _Switch:
    """A context manager and decorator that sets the mode of this thread."""

    def __init__(self) -> None:
        self._before: list[tuple[bool, bool]] = []

    def _set(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Any:
        self._before.append((mode.recording, mode.inference))
        self._set()
        return None

    def __exit__(self, *exception: Any) -> None:
        mode.recording, mode.inference = self._before.pop()

    def clone(self) -> Any:
        return type(self)()

    def __call__(self, function: Callable) -> Callable:
        """As a decorator of a function, a generator function or a class's __init__."""
        return decorated(self, function)


def decorated(switch: Any, function: Callable) -> Callable:
    """The function, run inside `switch` (a generator function: each of its steps). See `within`."""
    if inspect.isclass(function):
        function.__init__ = decorated(switch, function.__init__)
        return function
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def stepping(*args, **kwargs):
            generator = function(*args, **kwargs)
            try:
                with switch.clone():
                    answer = generator.send(None)
                while True:
                    try:
                        request = yield answer
                    except GeneratorExit:
                        with switch.clone():
                            generator.close()
                        raise
                    except BaseException as error:
                        with switch.clone():
                            answer = generator.throw(error)
                    else:
                        with switch.clone():
                            answer = generator.send(request)
            except StopIteration as end:
                return end.value

        return stepping

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        with switch.clone():
            return function(*args, **kwargs)

    wrapped.inside = functools.partial(decorated, switch)
    return wrapped


def within(function: Any) -> Callable | None:
    """What makes another function run inside the switch that this one runs in, as a decorator; None if it runs in none."""
    return getattr(function, "inside", None) if getattr(function, "__globals__", None) is globals() else None


class no_grad(_Switch):
    """Nothing is recorded for backward inside: `with no_grad():` or `@no_grad()`."""

    def __new__(cls, function: Callable | None = None) -> Any:
        made = super().__new__(cls)
        if function is None:
            return made
        made.__init__()
        return made(function)

    def _set(self) -> None:
        mode.recording = False


class enable_grad(no_grad):
    """Operations are recorded inside, also within no_grad."""

    def _set(self) -> None:
        mode.recording = True


class set_grad_enabled(_Switch):
    """Switches recording on or off: at once as a function, until the end of the block as a context manager."""

    def __init__(self, mode_: bool):
        super().__init__()
        self.prev = mode.recording
        self.mode = bool(mode_)
        mode.recording = self.mode

    def __enter__(self) -> None:
        self._before.append((self.prev, mode.inference))
        mode.recording = self.mode

    def _set(self) -> None:
        mode.recording = self.mode

    def __call__(self, function: Callable) -> Callable:
        mode.recording = self.prev
        return decorated(self, function)

    def clone(self) -> set_grad_enabled:
        before = mode.recording
        copy = set_grad_enabled(self.mode)
        copy.prev = mode.recording = before
        return copy


class inference_mode(_Switch):
    """no_grad, and what is made inside never takes part in backward later."""

    def __new__(cls, mode: Any = True) -> Any:
        made = super().__new__(cls)
        if callable(mode) and not isinstance(mode, bool):
            made.__init__()
            return made(mode)
        return made

    def __init__(self, mode: Any = True):
        super().__init__()
        self.mode = bool(mode)

    def clone(self) -> inference_mode:
        return inference_mode(self.mode)

    def _set(self) -> None:
        mode.recording, mode.inference = (False, True) if self.mode else (True, False)


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread."""
    return mode.recording


def is_inference_mode_enabled() -> bool:
    """Whether inference mode is on in this thread."""
    return mode.inference
