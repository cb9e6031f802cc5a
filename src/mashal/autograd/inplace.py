"""What a change in place does to the graph: the common rule of all in-place operations, `out=` and index assignment.

After a recorded change the door calls `rebase` (it knows it as `late.rebase`, for ops stand below):

    x is no view     x's history is the new node's; views of x become views of the changed x
    x is a view      the base's history becomes a CopySlices, which runs the new node on the gradient of the changed
                     part; x and all other views become views of the changed base

Views know their base, a base not its views: that keeps making one cheap. They are looked for only when the list of
versions they all share has more holders than are known.
"""

from __future__ import annotations

import gc
import weakref
from sys import getrefcount
from typing import Any

from mashal.core import tape
from mashal.core.tensor import Tensor, empty
from mashal.ops.define import late

__all__ = ["CopySlices", "rebase"]


def rebase(x: Tensor, node: tape.Node, position: int = 0) -> None:
    """Makes a node x's history, after x was changed in place.

    node: with edges to the operands' histories as they were before; position: which of them is x.
    """
    base = x.base
    if base is None:
        had_history = x.node is not None
        _place(x, node, 0)
        _renew_views(x, 1, had_history)
        return
    had_history = base.node is not None
    below = (base.node, base.output) if had_history else None
    others = tuple(edge for i, edge in enumerate(node.edges) if i != position)
    _place(base, CopySlices((below, *others), (node, position, base.form, x.form, x.offset - base.offset)), 0)
    _renew(x)
    _renew_views(base, 2, had_history, x)


class CopySlices(tape.Node):
    """Part of a tensor was changed in place by another node.

    saved: that node, which of its operands the part was, the forms of the whole and of the part, and where the part begins.
    Its edges: the whole before the change, then the node's other operands.
    """

    __slots__ = ()

    def backward(self, gradient: Any) -> tuple:
        """The gradient outside the part goes on as it is; inside, through the node."""
        node, position, whole, part, offset = self.saved
        result = gradient.clone() if gradient.form is whole else empty(whole).copy_(gradient)
        within = result.as_strided(part.shape, part.strides, offset)
        gradients = list(node.backward(within.clone()))
        inside = gradients.pop(position)
        if inside is None:
            within.zero_()
        else:
            within.copy_(inside)
        return (result, *gradients)


def _place(x: Tensor, node: tape.Node, output: int) -> None:
    """Gives x its new place in the graph; what retain_grad asked for goes along."""
    if x.retains and x.node is not None and x.node.hooks is not None:
        x.node.hooks.retained.pop(int(x.output), None)
        node._hooks().retained[output] = weakref.ref(x)
    x.node, x.output = node, output


# ---------------------------------------------------------------- views of what has changed
def _renew(view: Any) -> None:
    """Makes a view's history that of its base as it now is."""
    fresh = view.base.as_strided(view.form.shape, view.form.strides, view.offset)
    _place(view, fresh.node, fresh.output)


def _renew_views(base: Tensor, known: int, had_history: bool, done: Tensor | None = None) -> None:
    """Renews all live views of a base but `done`. known: how many holders its list of versions has if there are none.

    A view without history of a base that had one was made under no_grad, and stays without.
    """
    version = base.version
    others = 0 if version is None else getrefcount(version) - known - _OWN_REFERENCES
    if others <= 0:
        return
    for holder in _holders(version, others, (base, done)):
        if holder.base is base and (holder.node is not None or not had_history):
            _renew(holder)


def _holders(version: Any, count: int, besides: tuple) -> list[Tensor]:
    """The tensors that share a list of versions, `count` of them `besides` those given.

    Most are young: Python's collector knows those apart from the many that it has looked at before.
    """

    def among(things: list[Any]) -> list[Tensor]:
        sharing = [x for x in things if isinstance(x, Tensor) and x.version is version]
        return [x for x in sharing if all(x is not known for known in besides)]

    found: list[Tensor] = []
    for generation in (0, 1):
        found += among(gc.get_objects(generation=generation))
        if len(found) >= count:
            return found
    return among(gc.get_referrers(version))


class _Holder:
    __slots__ = ("it",)


def _count() -> int:
    holder = _Holder()
    holder.it = [0]
    version = holder.it
    return getrefcount(version) - 1


_OWN_REFERENCES = _count()
late.rebase = rebase  # type: ignore[method-assign]
