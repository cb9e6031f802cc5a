"""swap_tensors: two tensors exchange what they are."""

from __future__ import annotations

from mashal.core.tensor import Tensor
from mashal.errors import message

__all__ = ["swap_tensors"]

_SLOTS = ("base", "capsule", "form", "grad_", "hooks", "node", "offset", "output", "retains", "version")


def swap_tensors(t1: Tensor, t2: Tensor) -> None:
    """Exchanges two tensors' data, gradients, attributes and classes; whoever holds one sees the other's.

    Leaves or tensors without history only (RuntimeError).

    >>> a, b = torch.tensor([1]), torch.tensor([2, 3])
    >>> torch.utils.swap_tensors(a, b)
    >>> a
    tensor([2, 3])
    """
    for x in (t1, t2):
        if not isinstance(x, Tensor):
            raise TypeError(message("swap_tensors", f"tensors are expected, not {type(x).__name__}"))
        if x.grad_fn is not None:  # type: ignore[attr-defined]
            wrong = "a tensor with a history would leave its graph behind"
            raise RuntimeError(message("swap_tensors", wrong, "swap leaves, or detached tensors"))
    nodes = t1.node, t2.node
    needs = t1.requires_grad, t2.requires_grad  # type: ignore[attr-defined]
    t1.node = t2.node = None
    for slot in _SLOTS:
        if slot != "node":
            one, other = getattr(t1, slot), getattr(t2, slot)
            setattr(t1, slot, other)
            setattr(t2, slot, one)
    t1.__dict__, t2.__dict__ = t2.__dict__, t1.__dict__
    t1.__class__, t2.__class__ = t2.__class__, t1.__class__
    del nodes
    t1.requires_grad, t2.requires_grad = needs[1], needs[0]  # type: ignore[attr-defined]
