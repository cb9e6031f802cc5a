"""Functions that make functions: gradients, and products with Jacobians."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.func.batching import Batched
from mashal.func.differentiation import (
    bottom,
    gradient,
    marked,
    others_want,
    primal_outputs,
    recording,
    unmarked,
    zeros_where_none,
)
from mashal.utils._pytree import tree_flatten, tree_unflatten

__all__ = [
    "debug_unwrap",
    "functionalize",
    "grad",
    "grad_and_value",
    "jvp",
    "linearize",
    "vjp",
]


def _places(argnums: Any, args: tuple, name: str) -> tuple[int, ...]:
    """The positions of the arguments to differentiate by, counted from the front."""
    given = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    if not given or not all(isinstance(i, int) for i in given):
        raise RuntimeError(f"{name}: argnums must be an int or a non-empty tuple of ints, not {argnums!r}")
    if any(not -len(args) <= i < len(args) for i in given):
        raise RuntimeError(f"{name}: got argnums={argnums}, but only {len(args)} positional inputs")
    return tuple(i % len(args) for i in given)


def _with_aux(result: Any, has_aux: bool, name: str) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise RuntimeError(
            f"{name}: the function has to return (output, aux) if has_aux=True; it returned {type(result).__name__}"
        )
    return result


def _arranged(found: Sequence[Any], args: tuple, places: tuple[int, ...], argnums: Any) -> Any:
    """What was found for each differentiated tensor, in the structure of the arguments."""
    rest = iter(found)
    parts = []
    for i in places:
        flat, spec = tree_flatten(args[i])
        parts.append(tree_unflatten([next(rest) if isinstance(x, Tensor) else None for x in flat], spec))
    return parts[0] if isinstance(argnums, int) else tuple(parts)


# ---------------------------------------------------------------- gradients
def grad_and_value(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives (gradient, value) of func, whose value is a single number.

    argnums: by which arguments. has_aux: func returns (value, what else), which are returned as a pair.

    >>> torch.func.grad_and_value(lambda x: (x * x).sum())(torch.tensor([1.0, 2.0]))
    (tensor([2., 4.]), tensor(5.))
    """

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        places = _places(argnums, args, "grad")
        result, inputs = primal_outputs(functools.partial(func, **kwargs), args, places)
        value, aux = _with_aux(result, has_aux, "grad")
        if not isinstance(value, Tensor):
            raise RuntimeError(f"grad: Expected the function to return a Tensor, got {type(value).__name__}")
        if value.ndim:
            raise RuntimeError(
                f"grad: Expected the function to return a scalar tensor, got tensor with {value.ndim} dims; vjp and jacrev are for those"
            )
        if value.dtype.is_complex:
            raise RuntimeError("grad: Expected the function to return a real number, got a complex one")
        keep = others_want([value], inputs)
        found = gradient([value], inputs, [ops.ones_like(value)], create_graph=keep)
        found = unmarked(zeros_where_none(found, inputs), keep)
        arranged = _arranged(found, args, places, argnums)
        value, aux = unmarked(value, keep), unmarked(aux, keep)
        return arranged, ((value, aux) if has_aux else value)

    return wrapped


def grad(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives the gradient of func, whose value is a single number; it can be differentiated again.

    argnums: by which arguments, an int or several. has_aux: func returns (value, what else); the result is then (gradient, what else).

    >>> torch.func.grad(torch.sin)(torch.tensor(0.0))
    tensor(1.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return wrapped


# ---------------------------------------------------------------- products with the Jacobian
def _tensors(result: Any, name: str) -> tuple[list[Any], Any]:
    flat, spec = tree_flatten(result)
    if not flat or not all(isinstance(x, Tensor) for x in flat):
        raise RuntimeError(f"{name}: Expected the function to return tensors only, it returned {type(result).__name__}")
    return flat, spec


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(func(*primals), function that takes a cotangent of the output to the gradients of the primals).

    That function gives a tuple of gradients, one a primal. has_aux: func returns (output, what else); what else comes third.

    >>> y, back = torch.func.vjp(torch.sin, torch.tensor(0.0))
    >>> back(torch.tensor(2.0))
    (tensor(2.),)
    """
    places = tuple(range(len(primals)))
    result, inputs = primal_outputs(func, primals, places)
    output, aux = _with_aux(result, has_aux, "vjp")
    ys, spec = _tensors(output, "vjp")
    keep = others_want(ys, inputs)

    def back(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        starts, _ = tree_flatten(cotangents)
        if len(starts) != len(ys) or any(tuple(v.shape) != tuple(y.shape) for v, y in zip(starts, ys)):
            shapes = [tuple(v.shape) for v in starts], [tuple(y.shape) for y in ys]
            raise RuntimeError(
                f"vjp: the cotangents, of shapes {shapes[0]}, do not fit the outputs, of shapes {shapes[1]}"
            )
        kept = recording() and (keep or any(bottom(v).requires_grad for v in starts))
        found = gradient(ys, inputs, starts, kept if create_graph is None else create_graph)
        found = unmarked(zeros_where_none(found, inputs), kept or bool(create_graph))
        return _arranged(found, primals, places, places)

    shown = unmarked(tree_unflatten(ys, spec), keep)
    return (shown, back, unmarked(aux, keep)) if has_aux else (shown, back)


class _Linear:
    """The derivative of a function at a place, as a linear function of tangents; see differentiation for how."""

    def __init__(self, ys: list[Tensor], inputs: list[Tensor]):
        self.ys, self.inputs = ys, inputs
        self.keep = others_want(ys, inputs)
        self.at = [y for y in ys if y.dtype.is_floating_point or y.dtype.is_complex]
        self.v = [marked(ops.zeros_like(y)) for y in self.at]
        self.back = gradient(self.at, inputs, self.v, create_graph=True)

    def __call__(self, tangents: Sequence[Any]) -> list[Tensor]:
        """The derivatives of the outputs along tangents of the inputs (None: zero)."""
        used = [(g, t) for g, t in zip(self.back, tangents) if g is not None and t is not None]
        kept = recording() and (self.keep or any(bottom(t).requires_grad for _, t in used))
        found = (
            gradient([g for g, _ in used], self.v, [t for _, t in used], create_graph=kept)
            if used
            else [None] * len(self.v)
        )
        full = iter(unmarked(zeros_where_none(found, self.at), kept))
        return [next(full) if y.dtype.is_floating_point or y.dtype.is_complex else ops.zeros_like(y) for y in self.ys]


def jvp(
    func: Callable[..., Any], primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: bool = False
) -> Any:
    """(func(*primals), its derivative along the tangents), and what else as third with has_aux.

    >>> torch.func.jvp(torch.sin, (torch.tensor(0.0),), (torch.tensor(2.0),))
    (tensor(0.), tensor(2.))
    """
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple):
        raise RuntimeError("jvp(f, primals, tangents): Expected primals and tangents to be tuples")
    if not primals or len(primals) != len(tangents):
        raise RuntimeError(f"jvp(f, primals, tangents): got {len(primals)} primals and {len(tangents)} tangents")
    flat = tree_flatten(tangents)[0]
    places = tuple(range(len(primals)))
    result, inputs = primal_outputs(func, primals, places)
    output, aux = _with_aux(result, has_aux, "jvp")
    ys, spec = _tensors(output, "jvp")
    if len(flat) != len(inputs) or any(tuple(t.shape) != tuple(x.shape) for t, x in zip(flat, inputs)):
        raise RuntimeError(
            "jvp(f, primals, tangents): Expected primals and tangents to have the same structure and shapes"
        )
    linear = _Linear(ys, inputs)
    shown = unmarked(tree_unflatten(ys, spec), linear.keep), tree_unflatten(linear(flat), spec)
    return (*shown, unmarked(aux, linear.keep)) if has_aux else shown


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """(func(*primals), its derivative there as a function of tangents): func runs once, however many tangents follow.

    >>> y, along = torch.func.linearize(torch.sin, torch.tensor(0.0))
    >>> along(torch.tensor(3.0))
    tensor(3.)
    """
    result, inputs = primal_outputs(func, primals, tuple(range(len(primals))))
    ys, spec = _tensors(result, "linearize")
    linear = _Linear(ys, inputs)

    def along(*tangents: Any) -> Any:
        flat = tree_flatten(tangents)[0]
        if len(flat) != len(inputs) or any(tuple(t.shape) != tuple(x.shape) for t, x in zip(flat, inputs)):
            raise RuntimeError("linearize: the tangents must have the structure and shapes of the primals")
        return tree_unflatten(linear(flat), spec)

    return unmarked(tree_unflatten(ys, spec), linear.keep), along


# ---------------------------------------------------------------- other views of a function
def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """func on copies of its tensors; what it changes in place is written back once, at the end.

    remove: "mutations" or "mutations_and_views".

    >>> x = torch.zeros(1)
    >>> torch.func.functionalize(lambda x: x.add_(1))(x), x
    (tensor([1.]), tensor([1.]))
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            f"functionalize: remove={remove!r} is not valid; it must be 'mutations' or 'mutations_and_views'"
        )

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        flat, spec = tree_flatten((args, kwargs))
        copies = [x.clone() if isinstance(x, Tensor) else x for x in flat]
        before = [x._version if isinstance(x, Tensor) else 0 for x in copies]
        some, named = tree_unflatten(copies, spec)
        result = func(*some, **named)
        for x, copy, version in zip(flat, copies, before):
            if isinstance(x, Tensor) and copy._version != version:
                x.copy_(copy)  # type: ignore[attr-defined]
        return result

    return wrapped


def debug_unwrap(tensor: Tensor, *, recurse: bool = True) -> Tensor:
    """The value behind a tensor inside vmap, with its batch dimension; recurse: below all levels.

    >>> torch.vmap(lambda x: torch.func.debug_unwrap(x).sum().expand(2)[0] + 0 * x)(torch.ones(2))
    tensor([2., 2.])
    """
    if not isinstance(tensor, Batched):
        return tensor
    return bottom(tensor) if recurse else tensor.value
