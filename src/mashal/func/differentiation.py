"""Gradients of functions as functions, nested and mapped at will.

A function is run on `marked` inputs: the same values with a place of their own in the graph, one for every sample of the vmaps around.
`gradient` is autograd.grad for tensors that may be batched. Forward derivatives come from two backward ones: backward is linear in
the gradient v it starts from, so the derivative of it by v, times a tangent, is what forward mode gives, exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mashal import ops
from mashal.autograd.roots import grad as autograd_grad
from mashal.core.tape import AccumulateGrad, Node, enable_grad, mode
from mashal.core.tensor import Tensor
from mashal.func.batching import Batched, Nothing, batched_in, below, is_batched, levels, levels_of, whole, wrap
from mashal.utils._pytree import tree_flatten, tree_map, tree_unflatten


def bottom(x: Any) -> Tensor:
    """The tensor with data below all levels."""
    while type(x) is Batched:
        x = x.value
    return x


def marked(x: Tensor) -> Tensor:
    """x as an input to differentiate by: for every sample of the open levels its own, with gradients recorded from here on."""
    of = levels_of(x)
    for level, size, _ in levels.open:
        if level not in of:
            x = _inserted(x, level, size)
    lowest = bottom(x)
    if not (lowest.dtype.is_floating_point or lowest.dtype.is_complex):
        raise RuntimeError(f"gradients are of floating or complex tensors; an input is of {lowest.dtype}")
    with enable_grad():
        leaf = lowest.detach().requires_grad_() if lowest.node is None else lowest.view_as(lowest)  # type: ignore[attr-defined]
    return _over(x, leaf)


def _inserted(x: Any, level: int, size: int) -> Tensor:
    """x with a batch dimension of a level that it lacks, below the higher levels that it has."""
    if type(x) is Batched and x.level > level:
        inner = _inserted(x.value, level, size)
        return wrap(inner, x.level)
    return wrap(x.unsqueeze(0).expand((size, *x.shape)), level)


def _over(x: Any, lowest: Tensor) -> Tensor:
    return wrap(_over(x.value, lowest), x.level) if type(x) is Batched else lowest


# ---------------------------------------------------------------- backward, of many samples too
def gradient(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    starts: Sequence[Tensor],
    create_graph: bool,
    retain_graph: bool = True,
) -> list[Tensor | None]:
    """Σ starts · d outputs / d inputs; None for inputs that nothing depends on. Everything may be batched."""
    found = batched_in((list(outputs), list(inputs)))
    if found:
        level = max(x.level for x in found)
        parts = [[whole(x, level) for x in group] for group in (outputs, inputs, starts)]
        used = [i for i, x in enumerate(inputs) if level in levels_of(x)]
        got = gradient(parts[0], [parts[1][i] for i in used], parts[2], create_graph, retain_graph)
        made: list[Tensor | None] = [None] * len(inputs)
        for i, g in zip(used, got):
            made[i] = None if g is None else below(g, level)
        return made
    linked = [(y, v) for y, v in zip(outputs, starts) if y.node is not None]
    if not linked:
        return [None] * len(inputs)
    ys, vs = [y for y, _ in linked], [v for _, v in linked]
    if batched_in(vs):
        return _many_starts(ys, inputs, vs, create_graph)
    return list(autograd_grad(ys, inputs, vs, retain_graph=retain_graph, create_graph=create_graph, allow_unused=True))


def _many_starts(ys: list, inputs: Sequence[Tensor], vs: list, create_graph: bool) -> list[Tensor | None]:
    """Backward of many gradients at once through one graph; one after another where a node cannot."""
    try:
        found = list(autograd_grad(ys, inputs, vs, retain_graph=True, create_graph=create_graph, allow_unused=True))
        if not any(g is not None and type(bottom(g).capsule) is Nothing for g in found):
            return found
        raise RuntimeError("a gradient without data")
    except Exception:
        level = max(x.level for x in batched_in(vs))
        rows = []
        for i in range(next(size for number, size, _ in levels.open if number == level)):
            one = [v.value[i] if is_batched(v, level) else v for v in vs]
            rows.append(gradient(ys, inputs, one, create_graph))
        return [None if c[0] is None else wrap(ops.stack(list(c)), level) for c in zip(*rows)]


# ---------------------------------------------------------------- whether others want gradients too
def others_want(outputs: Sequence[Tensor], own: Sequence[Tensor]) -> bool:
    """Whether the outputs depend on anything recorded besides the fresh leaves of this transformation."""
    mine = {bottom(x).node for x in own if bottom(x).is_leaf}
    seen: set[Any] = set()
    waiting: list[Node] = [n for n in (bottom(y).node for y in outputs) if n is not None]
    while waiting:
        node = waiting.pop()
        if node in seen or node in mine:
            continue
        seen.add(node)
        if isinstance(node, AccumulateGrad):
            return True
        waiting += [edge[0] for edge in node.edges if edge is not None]
    return False


def unmarked(tree: Any, keep: bool) -> Any:
    """Results as they are handed out: without history unless others want it."""
    return tree if keep else tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, tree)


def primal_outputs(func: Callable[..., Any], args: tuple, places: Sequence[int]) -> tuple[Any, list[Tensor]]:
    """(result, marked inputs) of func with the arguments at some places marked."""
    given = list(args)
    flat_inputs: list[Tensor] = []
    for i in places:
        flat, spec = tree_flatten(given[i])
        fresh = [marked(x) if isinstance(x, Tensor) else x for x in flat]
        flat_inputs += [x for x in fresh if isinstance(x, Tensor)]
        given[i] = tree_unflatten(fresh, spec)
    with enable_grad():
        return func(*given), flat_inputs


def recording() -> bool:
    """Whether gradients are being recorded in this thread."""
    return mode.recording


def zeros_where_none(found: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor]:
    """The gradients, zeros where there is none."""
    return [ops.zeros_like(x) if g is None else g for g, x in zip(found, like)]
