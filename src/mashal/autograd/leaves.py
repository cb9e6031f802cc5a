"""Where gradients end: what has come to each leaf is added to its grad.

The first gradient of a leaf becomes its grad without a copy if nobody else can see it: then a step of training
allocates no more than its kernels do. "Nobody else" is read from reference counts: of the gradient, of its storage, of the
list of versions it shares with tensors over the same data, and of the tensor it is a view of.
"""

from __future__ import annotations

from sys import getrefcount
from typing import Any

from mashal.autograd.hooks import leaf_hooked
from mashal.core.forms import Form, form
from mashal.core.tape import AccumulateGrad, mode
from mashal.core.tensor import Tensor, empty, gradient_dtype
from mashal.errors import message
from mashal.machine.observing import watch

__all__ = ["settle"]


def settle(pending: dict[AccumulateGrad, Any], targets: Any) -> None:
    """Adds what has come to each leaf to its grad; or only notes it, where the targets say so."""
    for node in list(pending):
        if node.hooks is None:
            gradient = pending.pop(node)
        else:
            gradient = leaf_hooked(node, [pending.pop(node)])
        if gradient is None:
            continue
        if targets is not None:
            targets.take(node, [gradient])
            if not targets.accumulate:
                continue
        leaf = node.leaf()
        if leaf is None:
            continue
        if watch.recorder is not None:
            watch.recorder.looks_at_gradient(leaf)
        if leaf.grad_ is None:
            alone = getrefcount(gradient) == (_count_of_local() if mode.watched else _LOCAL) and not mode.recording
            if alone and gradient.version is None and gradient.form is leaf.form and _held(gradient.capsule, 1):
                leaf.grad_ = gradient
            else:
                leaf.grad_ = _first(gradient, leaf, alone)
        elif mode.recording:
            leaf.grad_ = leaf.grad_ + gradient
        else:
            leaf.grad_.add_(gradient)
        del gradient
        if node.hooks is not None:
            for hook in list(node.hooks.accumulated.values()):
                hook(leaf)


def _first(gradient: Tensor, leaf: Tensor, alone: bool) -> Tensor:
    """What becomes of the first gradient of a leaf. alone: nobody but the caller holds the gradient."""
    if gradient.shape != leaf.shape:
        wrong = f"a leaf {tuple(leaf.shape)} got a gradient {tuple(gradient.shape)}"
        raise RuntimeError(message("backward", wrong, "the gradient has to have the leaf's shape"))
    if type(gradient) is not Tensor and gradient.is_sparse:
        return gradient
    kept = gradient_dtype(leaf) or gradient.form.dtype
    wanted = leaf.form if leaf.form.dense and kept is leaf.form.dtype else form(kept, leaf.device, leaf.shape)
    if alone and _same_layout(gradient.form, wanted) and _unshared(gradient):
        gradient.base = None
        return gradient
    if mode.recording:
        return gradient.clone()
    copy = empty(wanted)
    copy.copy_(gradient)
    return copy


def _same_layout(one: Form, other: Form) -> bool:
    return one is other or (one.dtype is other.dtype and one.device == other.device and one.strides == other.strides)


def _unshared(gradient: Tensor) -> bool:
    """Whether no tensor but its base, which nobody else holds, lies over the same data."""
    holders = 1 if gradient.base is None else 2
    return (
        _held(gradient.capsule, holders)
        and (gradient.version is None or _held(gradient.version, holders))
        and (gradient.base is None or _held(gradient.base, 1))
    )


# ---------------------------------------------------------------- what reference counts are without anybody else
# They are counted anew while a recording watches: CPython 3.10 then keeps what the locals hold in a dictionary as well.
def _count_of_local() -> int:
    pending = {0: [0]}
    gradient = pending.pop(0)
    return getrefcount(gradient)


class _Holder:
    __slots__ = ("it",)


def _count_of_held() -> int:
    holder = _Holder()
    holder.it = [0]
    return _references(holder.it)


def _references(x: Any) -> int:
    return getrefcount(x)


def _held(x: Any, holders: int) -> bool:
    """Whether x, read from a slot for this call, is held by so many slots in all."""
    return getrefcount(x) == (_count_of_held() if mode.watched else _HELD) + holders - 1


_LOCAL = _count_of_local()
_HELD = _count_of_held()
