"""Leaving the graph: `detach` and `detach_`."""

from __future__ import annotations

from mashal.core.tensor import Tensor, alias, as_subclass, versions
from mashal.ops.define import PLAIN

__all__ = ["detach", "detach_"]


def detach(x: Tensor) -> Tensor:
    """x's data as a tensor without history. Data is shared: a change in place of one shows in the other.

    >>> x = torch.ones(2, requires_grad=True)
    >>> (x * 2).detach()
    tensor([2., 2.])
    """
    same = alias(x)
    return same if type(x) in PLAIN else as_subclass(type(x), same)


def detach_(x: Tensor) -> Tensor:
    """Takes x itself out of the graph that made it: it becomes a leaf without gradient. Not for views."""
    if x.base is not None:
        raise RuntimeError("detach_: x is a view; Can't detach views in-place. Use detach() instead.")
    versions(x)
    x.node, x.output = None, 0
    return x
