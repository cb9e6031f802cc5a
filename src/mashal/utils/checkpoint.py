"""torch.utils.checkpoint: memory saved by computing twice; what backward needs is computed again when it is asked for.

    y = checkpoint(block, x, use_reentrant=False)

Without reentrance the forward pass runs as ever, but under hooks that keep a number instead of each saved tensor; the first
number that backward asks for runs the function again and all that it saves is kept until used. With reentrance the function
is one node of the graph, and its backward runs the function and a backward of its own inside.
"""

from __future__ import annotations

import contextlib
import enum
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mashal.amp.autocast_mode import autocast, get_autocast_dtype, is_autocast_cache_enabled, is_autocast_enabled
from mashal.autograd import Function
from mashal.autograd import backward as run_backward
from mashal.autograd.graph import saved_tensors_hooks
from mashal.core.generator import default_generator
from mashal.core.tape import enable_grad, is_grad_enabled, no_grad
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.nearest import nearest
from mashal.ops.keeping import place_of, take_up

__all__ = ["CheckpointError", "CheckpointFunction", "CheckpointPolicy", "DefaultDeviceType", "check_backward_validity", "checkpoint",
           "checkpoint_sequential", "detach_variable", "get_device_states", "noop_context_fn", "set_checkpoint_debug_enabled",
           "set_checkpoint_early_stop", "set_device_states"]  # fmt: skip


class CheckpointError(RuntimeError):
    """What was computed again is not what was computed first."""


class CheckpointPolicy(enum.Enum):
    """What to do with an operation's result in a checkpointed part."""

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


class DefaultDeviceType:
    """The type of device whose random generator is kept with the cpu's: here the cpu itself."""

    _type = "cpu"

    @staticmethod
    def set_device_type(device: str = "cuda") -> None:
        """Chooses the type."""
        DefaultDeviceType._type = device

    @staticmethod
    def get_device_type() -> str:
        """The type."""
        return DefaultDeviceType._type


class _Settings:
    early_stop = True
    debug: bool | None = None


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """A block in which computing again ends (or does not end) as soon as all that backward needs is there."""
    before, _Settings.early_stop = _Settings.early_stop, enable
    try:
        yield
    finally:
        _Settings.early_stop = before


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """A block in which errors of checkpoints say (or do not say) all that was saved; None: as each call wants it."""
    before, _Settings.debug = _Settings.debug, enabled
    try:
        yield
    finally:
        _Settings.debug = before


def noop_context_fn() -> tuple[contextlib.AbstractContextManager, contextlib.AbstractContextManager]:
    """Two contexts that do nothing, for the first computation and the second."""
    return contextlib.nullcontext(), contextlib.nullcontext()


# ---------------------------------------------------------------- what both ways need
def detach_variable(inputs: tuple) -> tuple:
    """The tensors without their history, requiring grad as before; other things as they are."""
    return tuple(_cut(x) for x in inputs)


def _cut(x: Any) -> Any:
    if not isinstance(x, Tensor):
        return x
    y: Any = x.detach()  # type: ignore[attr-defined]
    y.requires_grad = x.requires_grad  # type: ignore[attr-defined]
    return y


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warns if no input requires grad."""
    if not any(isinstance(x, Tensor) and x.requires_grad for x in inputs):  # type: ignore[attr-defined]
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


def get_device_states(*args: Any) -> tuple[list[int], list[Tensor]]:
    """The devices of the arguments beside the cpu, and the states of their generators: none."""
    return [], []


def set_device_states(devices: list[int], states: list[Tensor], *, device_type: str | None = None) -> None:
    """Sets the generators of devices beside the cpu: there are none."""


class _Surroundings:
    """The random generator and autocast as they are when a function runs, so that it can be run again as it was."""

    def __init__(self, preserve_rng_state: bool):
        self.random = place_of(default_generator) if preserve_rng_state else None
        self.autocast = (is_autocast_enabled("cpu"), get_autocast_dtype("cpu"), is_autocast_cache_enabled())

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """A block with these surroundings."""
        now = place_of(default_generator) if self.random is not None else None
        enabled, dtype, cache = self.autocast
        try:
            if self.random is not None:
                take_up(default_generator, self.random)
            with autocast("cpu", dtype=dtype, enabled=enabled, cache_enabled=cache):
                yield
        finally:
            if now is not None:
                take_up(default_generator, now)


# ---------------------------------------------------------------- without reentrance
class _Enough(Exception):
    """Computing again has given all that is needed."""


class _Part:
    """A checkpointed part: how to run it again, what was saved of it, and what running it again gave."""

    def __init__(self, run: Callable[[], Any], surroundings: _Surroundings, context: Any, check: str, early_stop: bool):
        self.run, self.surroundings, self.context, self.early_stop = run, surroundings, context, early_stop
        self.checked = check != "none"
        self.about: list[tuple] = []  # of every tensor saved at first: shape, dtype, device
        self.again: dict[int, Tensor] = {}
        self.asked: int | None = None

    def pack(self, x: Tensor) -> int:
        self.about.append((tuple(x.shape), x.dtype, x.device))
        return len(self.about) - 1

    def unpack(self, place: int) -> Tensor:
        if place not in self.again:
            self._compute()
            self.asked = None
        if self.asked is not None and self.asked != place:
            self.again.pop(self.asked, None)  # the last one asked for stays: it may be asked for once more
        self.asked = place
        return self.again[place]

    def _compute(self) -> None:
        found: list[Tensor] = []

        def note(x: Tensor) -> Tensor:
            found.append(x.detach())  # type: ignore[attr-defined]
            if self.early_stop and len(found) == len(self.about):
                raise _Enough
            return x

        with enable_grad(), self.surroundings.again(), self.context, saved_tensors_hooks(note, lambda x: x):
            try:
                self.run()
            except _Enough:
                pass
        self._compare(found)
        self.again = dict(enumerate(found))

    def _compare(self, found: list[Tensor]) -> None:
        if len(found) != len(self.about):
            wrong = (
                f"a different number of tensors was saved: {len(self.about)} at first, {len(found)} when computed again"
            )
            raise CheckpointError(message("checkpoint", wrong, "the function must do the same both times"))
        for place, (x, first) in enumerate(zip(found, self.about)):
            now = (tuple(x.shape), x.dtype, x.device)
            if self.checked and now != first:
                wrong = f"tensor {place} that was computed again has different metadata"
                raise CheckpointError(
                    message("checkpoint", f"{wrong}: {now[0]}, {now[1]} and not {first[0]}, {first[1]}")
                )


def _plainly(function: Callable[..., Any], args: tuple, kwargs: dict, preserve: bool, context_fn: Callable[[], Any], check: str,
             early_stop: bool) -> Any:  # fmt: skip
    first, second = context_fn()
    if not is_grad_enabled():
        with first:
            return function(*args, **kwargs)
    part = _Part(lambda: function(*args, **kwargs), _Surroundings(preserve), second, check, early_stop)
    with saved_tensors_hooks(part.pack, part.unpack), first:
        return function(*args, **kwargs)


# ---------------------------------------------------------------- with reentrance
class CheckpointFunction(Function):
    """A function as one node: its backward runs it again, and then a backward inside."""

    @staticmethod
    def forward(ctx: Any, run_function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
        """Runs the function without recording."""
        check_backward_validity(args)
        ctx.run_function, ctx.surroundings = run_function, _Surroundings(preserve_rng_state)
        ctx.places = [i for i, x in enumerate(args) if isinstance(x, Tensor)]
        ctx.others = [None if isinstance(x, Tensor) else x for x in args]
        ctx.save_for_backward(*(args[i] for i in ctx.places))
        with no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Runs the function again, recorded, and hands back the gradients of its inputs."""
        inputs = list(ctx.others)
        for i, x in zip(ctx.places, ctx.saved_tensors):
            inputs[i] = x
        inputs = detach_variable(tuple(inputs))
        with ctx.surroundings.again(), enable_grad():
            outputs = ctx.run_function(*inputs)
        outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        pairs = [(y, g) for y, g in zip(outputs, gradients) if isinstance(y, Tensor) and y.requires_grad]  # type: ignore[attr-defined]
        if not pairs:
            raise RuntimeError(
                message("checkpoint", "none of the results has requires_grad=True", "such a part needs no checkpoint")
            )
        run_backward(tuple(y for y, _ in pairs), tuple(g for _, g in pairs))
        return None, None, *(x.grad if isinstance(x, Tensor) else None for x in inputs)  # type: ignore[attr-defined]


# ---------------------------------------------------------------- what users call
def _chosen(name: str, use_reentrant: bool | None) -> bool:
    if use_reentrant is not None:
        return use_reentrant
    wrong = f"{name}: the use_reentrant parameter should be passed explicitly; use_reentrant=False is recommended"
    warnings.warn(wrong, stacklevel=3)
    return True


def checkpoint(function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None,
               context_fn: Callable[[], Any] = noop_context_fn, determinism_check: str = "default", debug: bool = False,
               early_stop: bool = True, **kwargs: Any) -> Any:  # fmt: skip
    """function(*args, **kwargs), of which backward keeps the arguments only and computes the rest again.

    preserve_rng_state=False: random numbers may differ the second time. context_fn gives a context for the first and one for the
    second time. determinism_check: "default" compares shapes and dtypes of both, "none" does not. CheckpointError if they differ.

    >>> x = torch.tensor([2.0], requires_grad=True)
    >>> y = torch.utils.checkpoint.checkpoint(lambda x: x.exp().sin(), x, use_reentrant=False)
    >>> y.backward()
    >>> bool(x.grad == x.exp().cos() * x.exp())
    True
    """
    preserve = kwargs.pop("preserve_rng_state", True)
    use_reentrant = _chosen("checkpoint", use_reentrant)
    if not use_reentrant:
        stop = early_stop and _Settings.early_stop
        return _plainly(function, args, kwargs, preserve, context_fn, determinism_check, stop)
    if kwargs:
        raise ValueError(f"Unexpected keyword arguments: {','.join(kwargs)}")
    if context_fn is not noop_context_fn or debug is not False:
        raise ValueError(message("checkpoint", "context_fn and debug are for use_reentrant=False"))
    return CheckpointFunction.apply(function, preserve, *args)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Functions (or a Sequential) one after another, in so many parts, all but the last of them checkpointed.

    >>> x = torch.tensor([0.5], requires_grad=True)
    >>> torch.utils.checkpoint.checkpoint_sequential([torch.sin, torch.cos], 2, x, use_reentrant=False).detach()
    tensor([0.8873])
    """
    use_reentrant = _chosen("checkpoint_sequential", use_reentrant)
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError(f"Unexpected keyword arguments: {','.join(kwargs)}")
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = len(steps) // segments
    for start in range(0, size * (segments - 1), size) if size else ():
        part = _chain(steps[start : start + size])
        input = checkpoint(part, input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return _chain(steps[size * (segments - 1) :])(input)


def _chain(steps: list[Callable[..., Any]]) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        for step in steps:
            x = step(x)
        return x

    return run


__getattr__ = nearest(__name__)
