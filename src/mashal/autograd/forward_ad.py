"""torch.autograd.forward_ad: tensors that carry a tangent along with their value.

    with dual_level():
        x = make_dual(primal, tangent)
        y = function(x)
        unpack_dual(y).tangent                       the derivative of y along the tangent

What is computed from a dual tensor is recorded as for backward. Backward is a linear function of the gradient it starts from; the
derivative of that function, times the tangents, is the tangent of the result, exactly, and costs two walks for each result that is
asked for. So every operation that can be differentiated twice has a tangent; inside no_grad there is none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mashal import ops
from mashal.autograd.roots import grad
from mashal.core.tape import AccumulateGrad, Node, enable_grad
from mashal.core.tensor import Tensor, alias
from mashal.errors import message

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]

_levels: list[dict[Node, tuple[Tensor, Tensor]]] = []  # for each open level: leaf's node -> (leaf, its tangent)


class UnpackedDualTensor(NamedTuple):
    """A value and its tangent; None if there is none."""

    primal: Any
    tangent: Any


class DualBackward0(Node):
    """Where a dual tensor begins: its gradient goes to the leaf that stands for it, and to what it was made of."""

    __slots__ = ()
    frees = False

    def backward(self, *gradients: Any) -> tuple:
        return (gradients[0],) * len(self.edges)


def enter_dual_level() -> int:
    """Opens a level; gives its number. One at a time."""
    if _levels:
        raise RuntimeError(message("enter_dual_level", "a level is open already", "levels do not nest"))
    _levels.append({})
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Closes the level: tensors made in it have no tangent from then on."""
    if not _levels:
        raise RuntimeError(message("exit_dual_level", "no level is open", "call enter_dual_level first"))
    if level not in (None, len(_levels) - 1):
        raise RuntimeError(
            message("exit_dual_level", f"level {level} is not the innermost", "close the innermost first")
        )
    _levels.pop()


class dual_level:
    """A block in which tensors may have tangents.

    >>> import mashal.autograd.forward_ad as fwAD
    >>> with fwAD.dual_level():
    ...     x = fwAD.make_dual(torch.tensor(3.0), torch.tensor(1.0))
    ...     print(fwAD.unpack_dual(x * x).tangent)
    tensor(6.)
    """

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exception: Any) -> None:
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """tensor with a tangent of its shape and dtype. RuntimeError outside of a level, or for tensors without derivatives."""
    if not _levels:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    for name, x in (("primal", tensor), ("tangent", tangent)):
        if not (x.dtype.is_floating_point or x.dtype.is_complex):
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {x.dtype}")
    if tensor.shape != tangent.shape:
        wrong = f"the tangent is {tuple(tangent.shape)}, the tensor {tuple(tensor.shape)}"
        raise RuntimeError(message("make_dual", wrong, "they must have one shape"))
    leaf = tensor.detach().requires_grad_()  # type: ignore[attr-defined]
    dual = alias(tensor)
    edges = ((leaf.node, 0),) if tensor.node is None else ((leaf.node, 0), (tensor.node, tensor.output))
    dual.node = DualBackward0(edges, None)
    _levels[-1][leaf.node] = leaf, tangent
    return dual


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """(value, tangent) of a tensor; the tangent is None if it depends on no dual tensor, or outside of a level."""
    if not _levels or not isinstance(tensor, Tensor) or tensor.node is None:
        return UnpackedDualTensor(tensor, None)
    found, others = _reached(tensor)
    if not found:
        return UnpackedDualTensor(tensor, None)
    leaves, tangents = zip(*found)
    with enable_grad():
        start = ops.zeros_like(tensor).requires_grad_()
        back = grad(tensor, leaves, start, retain_graph=True, create_graph=True, allow_unused=True)
        linear = [(g, t) for g, t in zip(back, tangents) if g is not None and g.node is not None]
        keep = others or any(t.requires_grad for t in tangents)
        (along,) = grad([g for g, _ in linear], start, [t.to(g.dtype) for g, t in linear], retain_graph=True,
                        create_graph=keep, allow_unused=True) if linear else (None,)  # fmt: skip
    tangent = ops.zeros_like(tensor) if along is None else along if keep else along.detach()
    return UnpackedDualTensor(tensor if others else tensor.detach(), tangent)  # type: ignore[attr-defined]


def _reached(tensor: Tensor) -> tuple[list[tuple[Tensor, Tensor]], bool]:
    """The (leaf, tangent) of all duals that a tensor depends on, and whether it depends on other leaves too."""
    known, found, others = _levels[-1], [], False
    seen: set[Any] = set()
    waiting: list[Any] = [tensor.node]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in known:
            found.append(known[node])
        elif isinstance(node, AccumulateGrad):
            others = True
        waiting += [edge[0] for edge in node.edges if edge is not None]
    return found, others
