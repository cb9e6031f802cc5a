"""Hooks: functions that see gradients on their way, and may replace them.

A hook of a tensor stands at the node that made the tensor, under the tensor's place among its results: so it sees the
gradient of the value as it was when the hook was registered, whatever happens to the tensor in place afterwards.
The order at a node: hooks of its results, then what retain_grad keeps, then its pre-hooks, the node, its hooks.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from mashal.core import tape
from mashal.core.dtypes import dtype
from mashal.core.handles import RemovableHandle
from mashal.core.tape import AccumulateGrad
from mashal.core.tensor import Tensor
from mashal.errors import message

__all__ = ["register_hook", "register_post_accumulate_grad_hook", "retain_grad", "retains_grad"]


# ---------------------------------------------------------------- what tensors get as methods
def register_hook(x: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Has hook(gradient of x) called whenever backward comes by; what it returns, unless None, replaces the gradient.

    Errors: RuntimeError if x does not require grad.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> handle = x.register_hook(lambda g: g * 10)
    >>> x.sum().backward()
    >>> x.grad
    tensor([10., 10.])
    """
    if x.node is None:
        raise RuntimeError(message("register_hook", "cannot register a hook on a tensor that doesn't require gradient"))
    hooks = x.node._hooks().tensors.setdefault(int(x.output), OrderedDict())
    x.hooks = hooks
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def register_post_accumulate_grad_hook(x: Tensor, hook: Callable[[Tensor], None]) -> RemovableHandle:
    """Has hook(x) called whenever a gradient has been added to x.grad. x: a leaf that requires grad."""
    if x.node is None:
        wrong = "cannot register a hook on a tensor that doesn't require gradient"
        raise RuntimeError(message("register_post_accumulate_grad_hook", wrong))
    if not x.is_leaf:
        wrong = "post accumulate grad hooks cannot be registered on non-leaf tensors"
        raise RuntimeError(
            message("register_post_accumulate_grad_hook", wrong, "retain_grad and register_hook work there")
        )
    hooks = x.node._hooks().accumulated
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def retain_grad(x: Tensor) -> None:
    """Has backward keep the gradient of a tensor that is no leaf in its grad; nothing changes for a leaf.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> y = x * 2
    >>> y.retain_grad()
    >>> y.sum().backward()
    >>> y.grad
    tensor([1., 1.])
    """
    if x.node is None:
        raise RuntimeError(message("retain_grad", "can't retain_grad on Tensor that has requires_grad=False"))
    if not x.is_leaf and not x.retains:
        x.node._hooks().retained[int(x.output)] = weakref.ref(x)
        x.retains = True


def retains_grad(x: Tensor) -> bool:
    """Whether x is no leaf and keeps its gradient."""
    return bool(x.retains) and not x.is_leaf


# ---------------------------------------------------------------- how the engine calls them
def call_tensor_hooks(hooks: tape.Hooks, gradients: list[Any]) -> None:
    """Runs the hooks of a node's results on their gradients, then keeps those that are to be kept."""
    for output, of_one in hooks.tensors.items():
        for hook in list(of_one.values()):
            if gradients[output] is not None:
                changed = hook(gradients[output])
                if changed is not None:
                    gradients[output] = _checked(changed, gradients[output])
    for output, reference in hooks.retained.items():
        tensor, gradient = reference(), gradients[output]
        if tensor is not None and gradient is not None:
            tensor.grad_ = gradient.clone() if tensor.grad_ is None else tensor.grad_ + gradient


def call_before_hooks(hooks: OrderedDict, gradients: tuple) -> tuple:
    """The gradients of the results after a node's pre-hooks."""
    for hook in list(hooks.values()):
        changed = hook(gradients)
        gradients = gradients if changed is None else _as_many(changed, gradients, "pre-hook")
    return gradients


def call_after_hooks(hooks: OrderedDict, outgoing: tuple, incoming: tuple) -> tuple:
    """The gradients of the operands after a node's hooks."""
    for hook in list(hooks.values()):
        changed = hook(outgoing, incoming)
        outgoing = outgoing if changed is None else _as_many(changed, outgoing, "hook")
    return outgoing


def leaf_hooked(node: AccumulateGrad, gradients: list[Any]) -> Any:
    """A leaf's gradient (alone in the list, which is emptied) after its hooks."""
    if node.hooks is not None:
        wanted = node.hooks.dtype
        if isinstance(wanted, dtype) and gradients[0] is not None and gradients[0].form.dtype is not wanted:
            gradients[0] = gradients[0].to(wanted)
        call_tensor_hooks(node.hooks, gradients)
        gradients[:] = call_before_hooks(node.hooks.before, tuple(gradients))
    return gradients.pop()


def _as_many(changed: Any, gradients: tuple, what: str) -> tuple:
    changed = (changed,) if isinstance(changed, Tensor) else tuple(changed)
    if len(changed) != len(gradients):
        raise RuntimeError(f"{what} of a node: it returned {len(changed)} gradients; it was given {len(gradients)}")
    return tuple(c if c is None or g is None else _checked(c, g) for c, g in zip(changed, gradients))


def _checked(changed: Any, gradient: Tensor) -> Tensor:
    """What a hook returned, if it can stand for the gradient."""
    if not isinstance(changed, Tensor):
        raise TypeError(message("hook", f"it returned a {type(changed).__name__}", "expected a Tensor or None"))
    if changed.shape != gradient.shape:
        wrong = f"it returned a gradient {tuple(changed.shape)}"
        raise RuntimeError(message("hook", wrong, f"the gradient it was given is {tuple(gradient.shape)}"))
    if changed.dtype != gradient.dtype:
        raise RuntimeError(message("hook", f"it returned a gradient of {changed.dtype}", f"expected {gradient.dtype}"))
    return changed
