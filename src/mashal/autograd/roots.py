"""`backward` and `grad`: what is to be walked, from which gradients, and to where. The walk is autograd.engine's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from mashal import ops
from mashal.autograd import engine
from mashal.autograd.hooks import retain_grad
from mashal.autograd.targets import Targets
from mashal.core import tape
from mashal.core.tensor import Tensor, version_of
from mashal.errors import message
from mashal.machine.observing import watch
from mashal.ops.run import remember

__all__ = ["GradientEdge", "backward", "grad", "tensor_backward"]


class GradientEdge(NamedTuple):
    """A place in the graph where a gradient arrives: result `output_nr` of `node`."""

    node: tape.Node
    output_nr: int
    ownership_token: Any = None


def tensor_backward(
    x: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Adds the gradients of x with respect to the leaves it was computed from to their grad.

    gradient: that of the result with respect to x, of x's shape; may be left out if x has one element (then 1).
    retain_graph: whether what backward needs is kept for another walk (default: create_graph).
    create_graph: whether backward itself is recorded, for gradients of gradients.
    inputs: add to the grad of these tensors only.
    Errors: RuntimeError if x needs no gradient, if the graph was freed, or if a saved tensor was changed in place.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """
    if gradient is not None or inputs is not None or x.node is None:
        return backward(x, gradient, retain_graph, create_graph, inputs=inputs)
    if create_graph:
        keep = True if retain_graph is None else retain_graph
        return engine.run([(x.node, x.output, _one(x, "backward"))], retain_graph=keep, create_graph=True)
    engine.run_from(x.node, x.output, _one(x, "backward"), bool(retain_graph))


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Adds the gradients of the tensors with respect to the leaves to the leaves' grad.

    tensors: one or several tensors (or GradientEdges); grad_tensors: for each the gradient to start from, or None (1, for
    a tensor of one element). The rest as in Tensor.backward.

    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> torch.autograd.backward([x * x, 5 * x])
    >>> x.grad
    tensor(11.)
    """
    if grad_variables is not None:
        if grad_tensors is not None:
            wrong = "both grad_tensors and grad_variables (its old name) were given"
            raise RuntimeError(message("backward", wrong, "give grad_tensors only"))
        grad_tensors = grad_variables
    roots = _roots(_several(tensors), grad_tensors, "backward")
    targets = None
    if inputs is not None:
        wanted = _several(inputs)
        if not wanted:
            raise RuntimeError(message("backward", "inputs is empty", "leave it out to reach all leaves"))
        for x in wanted:
            if isinstance(x, Tensor) and not x.is_leaf:
                retain_grad(x)
        targets = Targets([_edge(x, "backward") for x in wanted], [root[0] for root in roots], True)
    del tensors, grad_tensors
    keep = create_graph if retain_graph is None else retain_graph
    engine.run(roots, retain_graph=keep, create_graph=create_graph, targets=targets)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of the outputs, summed, with respect to each of the inputs; no grad changes.

    grad_outputs: for each output the gradient to start from, or None. allow_unused: whether None stands for the gradient
    of an input that the outputs don't depend on (else that is a RuntimeError). materialize_grads: zeros stand for it.
    is_grads_batched: grad_outputs have one more dimension, the first; so have the gradients.

    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> (first,) = torch.autograd.grad(x**3, x, create_graph=True)
    >>> torch.autograd.grad(first, x)
    (tensor(12.),)
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(message("grad", "materialize_grads=True with allow_unused=False", "leave allow_unused out"))
    if not only_inputs:
        raise RuntimeError(message("grad", "only_inputs=False is not supported", "backward adds to the leaves' grad"))
    outputs, wanted = _several(outputs), _several(inputs)
    keep = create_graph if retain_graph is None else retain_graph
    if is_grads_batched:
        return _batched(outputs, wanted, _several(grad_outputs), keep, create_graph, allow_unused, materialize_grads)
    roots = _roots(outputs, grad_outputs, "grad")
    edges = [_edge(x, "grad") for x in wanted]
    targets = Targets(edges, [root[0] for root in roots], False)
    engine.run(roots, retain_graph=keep, create_graph=create_graph, targets=targets)
    found = [targets.found[node, int(output)] for node, output in edges]
    if materialize_grads:
        return tuple(ops.zeros_like(x) if g is None else g for x, g in zip(wanted, found))
    if not allow_unused and None in [None if g is None else 0 for g in found]:
        position = next(i for i, g in enumerate(found) if g is None)
        wrong = f"input {position}: one of the differentiated Tensors appears to not have been used in the graph"
        raise RuntimeError(message("grad", wrong, "set allow_unused=True if that is meant; its gradient is None then"))
    return tuple(found)


def _batched(outputs, inputs, grad_outputs, keep, create_graph, allow_unused, materialize_grads) -> tuple[Any, ...]:
    """Gradients for each slice of grad_outputs along their first dimension, stacked."""
    count = next(len(g) for g in grad_outputs if g is not None)
    rows = []
    for i in range(count):
        slices = [None if g is None else g[i] for g in grad_outputs]
        rows.append(
            grad(
                outputs,
                inputs,
                slices,
                keep or i + 1 < count,
                create_graph,
                True,
                allow_unused,
                False,
                materialize_grads,
            )
        )
    return tuple(None if column[0] is None else _stacked(column) for column in zip(*rows))


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    return ops.stack(list(tensors))


# ---------------------------------------------------------------- what the walk starts from
def _several(given: Any) -> tuple[Any, ...]:
    if isinstance(given, (Tensor, GradientEdge)) or given is None:
        return (given,)
    return tuple(given.values()) if isinstance(given, dict) else tuple(given)


def _edge(x: Any, operation: str) -> tuple[tape.Node, int]:
    if isinstance(x, GradientEdge):
        return x.node, x.output_nr
    if x.node is None:
        raise RuntimeError(message(operation, "one of the differentiated Tensors does not require grad"))
    return x.node, x.output


def _roots(tensors: tuple[Any, ...], gradients: Any, operation: str) -> list[tuple[tape.Node, int, Any]]:
    """(node, output, gradient) for each tensor that backward starts from."""
    given = (None,) * len(tensors) if gradients is None else _several(gradients)
    if len(given) != len(tensors):
        wrong = f"got {len(tensors)} tensors and {len(given)} gradients"
        raise RuntimeError(message(operation, wrong, "give as many gradients as tensors; None stands for 1"))
    roots = []
    for position, (x, gradient) in enumerate(zip(tensors, given)):
        if isinstance(x, GradientEdge):
            roots.append((x.node, x.output_nr, gradient))
            continue
        if x.node is None:
            raise RuntimeError(
                message(operation, f"element {position} of tensors does not require grad and does not have a grad_fn")
            )
        roots.append((x.node, x.output, _one(x, operation) if gradient is None else _checked(x, gradient, operation)))
    return roots


def _one(x: Tensor, operation: str) -> Tensor:
    """The gradient of a tensor with respect to itself."""
    recorded = watch.recorder is not None  # then it is to be seen that it is a 1
    known = None if recorded else _units.get(x.form)
    if known is not None and not version_of(known):
        return known
    if x.form.numel != 1:
        raise RuntimeError(
            message(
                operation,
                f"grad can be implicitly created only for scalar outputs; this one is {tuple(x.shape)}",
                "give its gradient, or reduce it first (sum, mean)",
            )
        )
    if not x.form.dtype.is_floating_point:
        wrong = f"grad can be implicitly created only for real scalar outputs but got {x.dtype}"
        raise RuntimeError(message(operation, wrong))
    one = ops.ones_like(x)
    return one if recorded else remember(_units, x.form, one)


_units: dict[Any, Tensor] = {}
"""A 1 of each form: what most walks start from. One that a hook has changed is not used again."""


def _checked(x: Tensor, gradient: Any, operation: str) -> Tensor:
    """The gradient that was given for a tensor, if it fits."""
    if not isinstance(gradient, Tensor):
        wrong = f"gradients can be either Tensors or None, but got {type(gradient).__name__}"
        raise TypeError(message(operation, wrong))
    if gradient.form is not x.form and gradient.shape != x.shape:
        wrong = f"Mismatch in shape: the gradient is {tuple(gradient.shape)}, the tensor {tuple(x.shape)}"
        raise RuntimeError(message(operation, wrong, "a gradient has the shape of what it is the gradient of"))
    if gradient.dtype.is_complex != x.dtype.is_complex:
        wrong = f"the gradient is of {gradient.dtype}, the tensor of {x.dtype}"
        raise RuntimeError(message(operation, wrong, "both have to be complex or both real"))
    return gradient
