"""What a node keeps of tensors until backward: `save` when the operation is recorded, `unpack` in its rule.

An operand is kept with its version, so that a change in place is noticed. A result that its own node needs is kept
without history (else node and result would keep each other alive) and gets it back when it is unpacked. While
saved-tensor hooks are on (autograd.graph), what they return is kept instead.

    entry                      of
    (tensor, version)          an operand: `save(x)`
    Result(tensor, version, output)   a result of the node itself: `save_result(y)`
    Packed(…)                  either, through hooks

Nodes of plans keep the same in a flat way, `pair` and `pair_of_result`: machine.recording does it natively.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from mashal.core import tape
from mashal.core.forms import Form
from mashal.core.tensor import Tensor, alias, twin, version_of
from mashal.errors import message


class _Freed:
    """Stands in `node.saved` for what an earlier backward gave back."""

    def __repr__(self) -> str:
        return "FREED"


FREED = _Freed()


class _Packers(threading.local):
    """The saved-tensor hooks of this thread, innermost last: (pack, unpack)."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Callable, Callable]] = []
        self.forbidden: str | None = None


packers = _Packers()


class Result:
    """A result that its own node keeps."""

    __slots__ = ("output", "tensor", "version")

    def __init__(self, tensor: Tensor, version: int, output: int):
        self.tensor, self.version, self.output = tensor, version, output

    def unpacked(self, node: tape.Node) -> Tensor:
        """The result; with its history if what follows is being recorded."""
        check_version(self.tensor, self.version)
        return attached(self.tensor, node, self.output)


class Packed:
    """What a pack hook made of a tensor. edge: the tensor's place in the graph, None if it had none."""

    __slots__ = ("edge", "output", "packed", "unpack")

    def __init__(self, x: Tensor, output: int | None):
        pack, self.unpack = packers.pairs[-1]
        self.edge = None if x.node is None or output is not None else (x.node, x.output)
        self.output = output
        before = version_of(x)
        with tape.no_grad():
            self.packed = pack(alias(x) if output is not None else x)
        if version_of(x) != before:
            raise RuntimeError(message("saved_tensors_hooks", "the pack hook changed its tensor in place"))

    def unpacked(self, node: tape.Node) -> Tensor:
        """What the unpack hook makes of it, in the tensor's place in the graph."""
        x = self.unpack(self.packed)
        if not isinstance(x, Tensor):
            wrong = f"the unpack hook returned a {type(x).__name__}"
            raise TypeError(message("saved_tensors_hooks", wrong, "it must return a tensor"))
        if self.output is not None:
            return attached(x, node, self.output)
        return x if self.edge is None else attached(x, *self.edge)


def save(x: Tensor) -> Any:
    """A tensor as a node keeps it."""
    if packers.pairs:
        return Packed(x, None)
    version = x.version
    return (x, 0 if version is None else version[0])


def save_two(x: Tensor, y: Tensor) -> tuple[Any, Any]:
    """Two tensors as a node keeps them."""
    if packers.pairs:
        return Packed(x, None), Packed(y, None)
    a, b = x.version, y.version
    return (x, 0 if a is None else a[0]), (y, 0 if b is None else b[0])


def pair(x: Any) -> tuple[Any, Any]:
    """A tensor or a number, and its version, as a `PlannedNode` keeps them."""
    if not isinstance(x, Tensor):
        return x, 0
    return (Packed(x, None), 0) if packers.pairs else (x, version_of(x))


def pair_of_unneeded(x: Any) -> tuple[Any, Any]:
    """`pair` for what no gradient that is wanted needs: a tensor's form stands for it."""
    return (x.form, None) if isinstance(x, Tensor) else (x, 0)


def pair_of_result(y: Tensor) -> tuple[Any, Any]:
    """`pair` for a result that its own node keeps."""
    return (Packed(y, 0), 0) if packers.pairs else (twin(y), version_of(y))


def kept(node: tape.PlannedNode) -> list[Any]:
    """What a node keeps, in its order: tensors, numbers, and forms of tensors that no gradient needs that is wanted.

    RuntimeError if something has been changed in place since, or was given back.
    """
    check_kept(node)
    things = list(node.saved[::2])
    packed = False
    for thing, version in zip(things, node.saved[1::2]):
        if isinstance(thing, Packed):
            packed = True
        elif isinstance(thing, Tensor):
            check_version(thing, version)
    if packed:
        for i in packing_order(node):
            things[i] = things[i].unpacked(node) if isinstance(things[i], Packed) else things[i]
    if node.entry.keeps_result:
        place = len(node.entry.kept)
        things[place] = attached(things[place], node, 0)
    return things


def form_of(thing: Any) -> Form:
    """The form of a tensor that is kept, or that stands for one that is not needed."""
    return thing.form if isinstance(thing, Tensor) else thing


def packing_order(node: tape.PlannedNode) -> list[int]:
    """In which order hooks are given what a node keeps: operands by PyTorch's names for them, so `other` before `self`."""
    order = list(range(len(node.saved) // 2))
    if node.second_first and node.entry.kept == (0, 1):
        order[:2] = (1, 0)
    return order


def is_packed(node: tape.PlannedNode) -> bool:
    """Whether hooks have been at what a node keeps."""
    return any(isinstance(thing, Packed) for thing in node.saved[::2])


def save_result(y: Tensor, output: int = 0) -> Any:
    """A result as its own node keeps it."""
    if packers.pairs:
        return Packed(y, output)
    same = alias(y)
    return Result(same, same.version[0], output)  # type: ignore[index]


def unpack(entry: Any, node: tape.Node) -> Tensor:
    """The tensor that an entry keeps; RuntimeError if it has been changed in place since."""
    if type(entry) is tuple:
        x, version = entry
        if x.version is not None and x.version[0] != version:
            check_version(x, version)
        return x
    return entry.unpacked(node)


def attached(x: Tensor, node: tape.Node, output: int) -> Tensor:
    """x's data in a given place in the graph, if what follows is being recorded."""
    if not tape.mode.recording or x.node is node:
        return x
    same = alias(x)
    same.node, same.output = node, output
    return same


def check_version(x: Tensor, version: int) -> None:
    """RuntimeError unless x has this version."""
    now = version_of(x)
    if now != version:
        made_by = "" if x.grad_fn is None else f", output {x.output_nr} of {x.grad_fn.name()},"
        raise RuntimeError(
            "one of the variables needed for gradient computation has been modified by an inplace operation: a tensor "
            f"{tuple(x.shape)} of {x.dtype}{made_by} is at version {now}; expected version {version} instead. "
            "Change a copy (clone) of it, or call detect_anomaly() to see which operation needed it"
        )


def check_kept(node: tape.Node) -> None:
    """RuntimeError if an earlier backward gave back what the node kept."""
    if node.saved is FREED:
        raise RuntimeError(FREED_TEXT)


FREED_TEXT = message(
    "backward", "this graph was freed by an earlier backward", "to walk it twice, pass retain_graph=True the first time"
)
