"""Whole Jacobians and Hessians: all rows, or all columns, in one mapped walk."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mashal import ops
from mashal.core.shapes import Size
from mashal.core.tensor import Tensor
from mashal.func.batching import is_batched, open_level, wrap
from mashal.func.differentiation import gradient, others_want, primal_outputs, unmarked
from mashal.func.transforms import _arranged, _Linear, _places, _tensors, _with_aux
from mashal.utils._pytree import tree_unflatten

__all__ = ["hessian", "jacfwd", "jacrev"]


def _basis(x: Tensor) -> Tensor:
    """The unit tensors of x's shape, one behind the other."""
    n = x.numel()
    return ops.eye(n, dtype=x.dtype, device=x.device).reshape((n, *x.shape))


def _columns(units: Tensor, chunk_size: int | None, run: Callable[[Any], list[Any]]) -> list[Any]:
    """run for all units at once (or chunk by chunk): for each result the rows, or None."""
    n = units.shape[0]
    step = chunk_size or max(n, 1)
    parts = []
    for start in range(0, max(n, 1), step):
        some = units.narrow(0, start, min(step, n - start))  # type: ignore[attr-defined]
        with open_level(some.shape[0]) as level:
            found = run(wrap(some, level))
            parts.append([_rows(g, level, some.shape[0]) for g in found])
    return [None if c[0] is None else ops.cat(c, 0) if len(c) > 1 else c[0] for c in map(list, zip(*parts))]


def _rows(g: Any, level: int, n: int) -> Any:
    if g is None:
        return None
    return g.value if is_batched(g, level) else g.unsqueeze(0).expand((n, *g.shape))


def _check_chunk(chunk_size: int | None, name: str) -> None:
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"{name}: `chunk_size` should be greater than 0.")


def jacrev(
    func: Callable[..., Any],
    argnums: Any = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable[..., Any]:
    """A function that gives the Jacobian of func by backward, all rows together: output shape + input shape.

    chunk_size: how many rows together. The structure is that of the output, each part with that of the inputs.

    >>> torch.func.jacrev(torch.sin)(torch.zeros(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    _check_chunk(chunk_size, "jacrev")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        places = _places(argnums, args, "jacrev")
        result, inputs = primal_outputs(functools.partial(func, **kwargs), args, places)
        output, aux = _with_aux(result, has_aux, "jacrev")
        ys, spec = _tensors(output, "jacrev")
        keep = others_want(ys, inputs)
        found = []
        for y in ys:
            rows = _columns(_basis(y), chunk_size, lambda v, y=y: gradient([y], inputs, [v], keep))
            shaped = [_shaped(r, (*y.shape, *x.shape), x) for r, x in zip(rows, inputs)]
            found.append(_arranged(unmarked(shaped, keep), args, places, argnums))
        jacobian = tree_unflatten(found, spec)
        return (jacobian, unmarked(aux, keep)) if has_aux else jacobian

    return wrapped


def _shaped(rows: Any, shape: tuple, x: Tensor) -> Tensor:
    return ops.zeros(Size(shape), dtype=x.dtype, device=x.device) if rows is None else rows.reshape(shape)


def jacfwd(
    func: Callable[..., Any],
    argnums: Any = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
    randomness: str = "error",
) -> Callable[..., Any]:
    """A function that gives the Jacobian of func along its inputs, all columns together: output shape + input shape.

    >>> torch.func.jacfwd(torch.sin)(torch.zeros(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    _check_chunk(chunk_size, "jacfwd")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        places = _places(argnums, args, "jacfwd")
        result, inputs = primal_outputs(functools.partial(func, **kwargs), args, places)
        output, aux = _with_aux(result, has_aux, "jacfwd")
        ys, spec = _tensors(output, "jacfwd")
        linear = _Linear(ys, inputs)
        by_input = []
        for i, x in enumerate(inputs):
            along: list[Any] = [None] * len(inputs)

            def run(t: Any, i: int = i, along: list[Any] = along) -> list[Any]:
                return linear([*along[:i], t, *along[i + 1 :]])

            columns = _columns(_basis(x), chunk_size, run)
            by_input.append([c.movedim(0, -1).reshape((*y.shape, *x.shape)) for c, y in zip(columns, ys)])
        found = [_arranged([columns[j] for columns in by_input], args, places, argnums) for j in range(len(ys))]
        jacobian = tree_unflatten(found, spec)
        return (jacobian, unmarked(aux, linear.keep)) if has_aux else jacobian

    return wrapped


def hessian(func: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
    """A function that gives the second derivatives of func: output shape + input shape + input shape.

    >>> torch.func.hessian(lambda x: (x**3).sum())(torch.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)
