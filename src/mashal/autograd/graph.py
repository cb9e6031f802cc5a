"""mashal.autograd.graph: nodes, edges, and hooks on what is saved.

PyTorch's torch.autograd.graph; what nodes are says core.tape, what is saved core.saved.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from mashal.autograd.drawing import draw
from mashal.autograd.hooks import register_hook
from mashal.autograd.roots import GradientEdge
from mashal.autograd.targets import Walk, current
from mashal.core.handles import RemovableHandle
from mashal.core.saved import packers
from mashal.core.tape import Node, mode
from mashal.core.tensor import Tensor, bump, version_of
from mashal.errors import message

__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "draw",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The place in the graph where the tensor's gradient arrives; backward and grad take it in the tensor's place."""
    if tensor.node is None:
        wrong = "the tensor does not require grad"
        raise RuntimeError(message("get_gradient_edge", wrong, "only a tensor that does has a place in the graph"))
    return GradientEdge(tensor.node, int(tensor.output))


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Notes that tensors were changed in place by something that mashal doesn't see."""
    for x in (tensor,) if isinstance(tensor, Tensor) else tensor:
        bump(x)


class saved_tensors_hooks:
    """Inside the block, `pack_hook(tensor)` is what is kept for backward, and `unpack_hook` of that what backward uses.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> with torch.autograd.graph.saved_tensors_hooks(lambda t: t.tolist(), lambda kept: torch.tensor(kept)):
    ...     y = x * x
    >>> y.sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]):
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        if packers.forbidden is not None:
            raise RuntimeError(packers.forbidden)
        packers.pairs.append((self.pack_hook, self.unpack_hook))
        mode.hooked = True

    def __exit__(self, *exception: Any) -> None:
        packers.pairs.pop()
        mode.hooked = bool(packers.pairs)


class save_on_cpu(saved_tensors_hooks):
    """Inside the block, what backward needs is kept in main memory and brought back to its device when it is used."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        def pack(x: Tensor) -> tuple[Any, Tensor]:
            return x.device, x.cpu() if x.device.type != "cpu" else x.clone()

        def unpack(kept: tuple[Any, Tensor]) -> Tensor:
            device, x = kept
            return x.to(device)

        super().__init__(pack, unpack)


class _Kept:
    """The copies that allow_mutation_on_saved_tensors made: one of each data at each version."""

    entered = False

    def __init__(self) -> None:
        self.copies: dict[Any, tuple[Tensor, Tensor]] = {}
        self.over = False

    def clear(self) -> None:
        """Gives them back."""
        self.copies.clear()

    def pack(self, x: Tensor) -> Any:
        """The copy of a tensor, with the tensor itself, so that nobody else gets its place in memory."""
        key = id(x.capsule), x.offset, x.form, version_of(x)
        if key not in self.copies:
            self.copies[key] = x.detach(), x.detach().clone()  # type: ignore[attr-defined]
        return key

    def unpack(self, key: Any) -> Tensor:
        """The copy."""
        if self.over:
            wrong = "Trying to backward outside of the block in which the graph was recorded"
            raise RuntimeError(message("allow_mutation_on_saved_tensors", wrong, "call backward inside it"))
        if key not in self.copies:
            wrong = "what was saved has been given back by clear()"
            raise RuntimeError(message("allow_mutation_on_saved_tensors", wrong, "call backward before it"))
        return self.copies[key][1]


@contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[_Kept]:
    """Inside the block, tensors that backward needs may be changed in place: copies are kept of them. Backward goes inside too.

    >>> with torch.autograd.graph.allow_mutation_on_saved_tensors():
    ...     x = torch.tensor([1.0, 2.0], requires_grad=True)
    ...     y = x.clone()
    ...     total = (y**2).sum()
    ...     y = y.zero_()
    ...     total.backward()
    >>> x.grad
    tensor([2., 4.])
    """
    if _Kept.entered:
        raise RuntimeError(message("allow_mutation_on_saved_tensors", "blocks of it cannot be nested"))
    kept, _Kept.entered = _Kept(), True
    try:
        with saved_tensors_hooks(kept.pack, kept.unpack):
            yield kept
    finally:
        kept.clear()
        kept.over, _Kept.entered = True, False


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Inside the block, saved_tensors_hooks raises RuntimeError with this message."""
    before, packers.forbidden = packers.forbidden, error_message
    try:
        if packers.pairs:
            raise RuntimeError(error_message)
        yield
    finally:
        packers.forbidden = before


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable[..., None], *, mode: str = "all") -> _MultiHandle:
    """Calls fn once in each backward: with the gradients of all the tensors ("all"), or with the first one ("any").

    "all" waits for the tensors whose gradient backward computes; None stands for the others.
    """
    if mode not in ("all", "any"):
        raise ValueError(message("register_multi_grad_hook", f"mode {mode!r}", "expected 'all' or 'any'"))
    several = _All(tensors, fn) if mode == "all" else _Any(fn)
    return _MultiHandle([register_hook(x, several.hook(position)) for position, x in enumerate(tensors)])


class _All:
    """Calls fn when the gradients of all tensors that a walk comes by have been seen."""

    def __init__(self, tensors: Sequence[Tensor], fn: Callable[..., None]):
        self.nodes = [x.node for x in tensors if x.node is not None]
        self.fn = fn
        self.seen: WeakKeyDictionary[Walk, list] = WeakKeyDictionary()
        self.lock = threading.Lock()

    def hook(self, position: int) -> Callable[[Tensor], None]:
        """The hook of the tensor at a position."""

        def note(gradient: Tensor) -> None:
            walk = current.walk
            with self.lock:
                gradients = self.seen.setdefault(walk, [None] * len(self.nodes))
                gradients[position] = gradient
                expected = sum(walk.comes_by(node) for node in self.nodes)
                done = sum(g is not None for g in gradients) == expected
                if done:
                    del self.seen[walk]
            if done:
                self.fn(gradients)

        return note


class _Any:
    """Calls fn with the first gradient that a walk brings."""

    def __init__(self, fn: Callable[..., None]):
        self.fn = fn
        self.seen: WeakSet[Walk] = WeakSet()

    def hook(self, position: int) -> Callable[[Tensor], None]:
        """The hook of the tensor at a position."""

        def note(gradient: Tensor) -> None:
            if current.walk not in self.seen:
                self.seen.add(current.walk)
                self.fn(gradient)

        return note


class _MultiHandle:
    """The handles of hooks that go together."""

    def __init__(self, handles: list[RemovableHandle]):
        self.handles = tuple(handles)

    def remove(self) -> None:
        """Takes all of them away."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> _MultiHandle:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.remove()
