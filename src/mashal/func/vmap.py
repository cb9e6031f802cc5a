"""vmap: a function of one sample as a function of many, by batching its operations instead of looping."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.func import functions, joined_rules, kinds, rules
from mashal.func.batching import batched_in, is_batched, levels, open_level, value_of, wrap
from mashal.ops.interception import watch
from mashal.utils._pytree import tree_flatten, tree_map, tree_unflatten

__all__ = ["vmap"]

_RULES = functions, joined_rules, kinds  # imported for what they register


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """func of one sample, as a function of many at once: its operations run on all samples together.

    in_dims: for each argument the dimension that counts samples, or None for what all share; an int for all, or nested as the
    arguments are. out_dims: where it stands in the results. randomness: "error", "different" or "same" random numbers in
    samples. chunk_size: how many samples go together. ValueError for dims that do not fit.

    >>> torch.vmap(torch.dot)(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    tensor([1., 4.])
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"vmap: randomness is {randomness!r}; it must be 'error', 'different' or 'same'")
    if chunk_size is not None and not (chunk_size == "auto" or isinstance(chunk_size, int) and chunk_size > 0):
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        flat, dims, spec = _inputs(func, in_dims, args)
        named = {name: tree_map(lambda x: 0 if isinstance(x, Tensor) else None, v) for name, v in kwargs.items()}
        more, more_spec = tree_flatten(kwargs)
        dims = [*dims, *(tree_flatten(named)[0])] if kwargs else dims
        size = _size(flat + more, dims)
        run = functools.partial(_run, func, spec, more_spec, len(flat), out_dims, randomness)
        every = flat + more
        if not isinstance(chunk_size, int) or chunk_size >= size:
            return run(every, dims, size)
        return _in_chunks(run, every, dims, size, chunk_size, out_dims)

    return wrapped


# ---------------------------------------------------------------- the arguments
def _inputs(func: Any, in_dims: Any, args: tuple) -> tuple[list, list, Any]:
    """The arguments flattened, the batch dimension of each (None: none), and how to build them again."""
    name = getattr(func, "__name__", repr(func))
    if not isinstance(in_dims, (int, tuple, list)) or isinstance(in_dims, bool):
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a (potentially nested) tuple "
            f"matching the structure of inputs, got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or the function takes none"
        )
    flat, spec = tree_flatten(args)
    dims = [in_dims] * len(flat) if isinstance(in_dims, int) else _matched(in_dims, args)
    if dims is None:
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible with the structure of inputs, "
            f"of which there are {len(args)}"
        )
    for x, dim in zip(flat, dims):
        if dim is None:
            continue
        if not isinstance(dim, int):
            raise ValueError(f"vmap({name}): got in_dim={dim!r} for an input; it must be an int or None")
        if not isinstance(x, Tensor):
            raise ValueError(
                f"vmap({name}): got in_dim={dim} for an input, but the input is of type {type(x)}. We cannot vmap over "
                "non-Tensor arguments, please use None as the respective in_dim"
            )
        if not -x.ndim <= dim < x.ndim:
            raise ValueError(
                f"vmap({name}): got in_dim={dim} for some input, but that input is a Tensor of dimensionality {x.ndim}, so "
                f"expected in_dim to satisfy -{x.ndim} <= in_dim < {x.ndim}."
            )
    return flat, dims, spec


def _matched(dims: Any, tree: Any) -> list | None:
    """A structure of dims spread over one of arguments: an entry stands for everything below its place."""
    if dims is None or isinstance(dims, int):
        return [dims] * len(tree_flatten(tree)[0])
    if isinstance(dims, dict) and isinstance(tree, dict):
        if dims.keys() != tree.keys():
            return None
        parts: Any = [_matched(dims[key], value) for key, value in tree.items()]
    elif isinstance(dims, (tuple, list)) and isinstance(tree, (tuple, list)) and len(dims) == len(tree):
        parts = [_matched(d, t) for d, t in zip(dims, tree)]
    else:
        return None
    return None if any(p is None for p in parts) else [d for p in parts for d in p]


def _size(flat: list, dims: list) -> int:
    sizes = [x.shape[d] for x, d in zip(flat, dims) if d is not None]
    if not sizes:
        raise ValueError("vmap: no input has a dimension to map over; at least one in_dim must not be None")
    if any(n != sizes[0] for n in sizes):
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the mapped dimension"
        )
    return sizes[0]


# ---------------------------------------------------------------- the call
def _run(
    func: Any, spec: Any, more_spec: Any, n: int, out_dims: Any, randomness: str, every: list, dims: list, size: int
) -> Any:
    with open_level(size, randomness) as level:
        seen = [x if d is None else wrap(x if d == 0 else x.movedim(d, 0), level) for x, d in zip(every, dims)]
        args, kwargs = tree_unflatten(seen[:n], spec), tree_unflatten(seen[n:], more_spec)
        before, watch.last = watch.last, _last(watch.last)
        try:
            result = func(*args, **kwargs)
        finally:
            watch.last = before
        return _results(func, result, out_dims, level, size)


def _last(before: Any) -> Any:
    """What calls without batched operands go through: random functions are looked at."""

    def last(function: Any, original: Any, args: tuple, kwargs: dict) -> Any:
        if levels.open and function in rules.NAMED_RANDOM and not batched_in((args, kwargs)):
            return rules.draw(function, original, args, kwargs)
        return original(*args, **kwargs) if before is None else before(function, original, args, kwargs)

    last.of_vmap = True  # type: ignore[attr-defined]
    return before if getattr(before, "of_vmap", False) else last


def _results(func: Any, result: Any, out_dims: Any, level: int, size: int) -> Any:
    flat, spec = tree_flatten(result)
    name = getattr(func, "__name__", repr(func))
    for x in flat:
        if not isinstance(x, Tensor):
            raise ValueError(f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(x)} as a return.")
    dims = [out_dims] * len(flat) if isinstance(out_dims, int) else _matched(out_dims, result)
    if dims is None and isinstance(out_dims, (tuple, list)) and len(out_dims) == 1 and isinstance(result, Tensor):
        dims = list(out_dims)
    if dims is None:
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the structure of the results"
        )
    made = []
    for x, dim in zip(flat, dims):
        if dim is None:
            if is_batched(x, level):
                raise ValueError(
                    f"vmap({name}, ...): a result is batched, but its out_dim is None; give it a dimension"
                )
            made.append(x)
            continue
        value = value_of(x, level) if is_batched(x, level) else x.unsqueeze(0).expand((size, *x.shape))
        if not -value.ndim <= dim < value.ndim:
            raise IndexError(f"vmap({name}, ...): out_dim {dim} is outside the {value.ndim} dimensions of a result")
        made.append(value if dim == 0 else value.movedim(0, dim))
    return tree_unflatten(made, spec)


def _in_chunks(run: Any, every: list, dims: list, size: int, chunk_size: int, out_dims: Any) -> Any:
    """chunk_size samples after another, the results joined."""
    parts: list[Any] = []
    spec: Any = None
    for start in range(0, size, chunk_size):
        n = min(chunk_size, size - start)
        some = [x if d is None else x.narrow(d, start, n) for x, d in zip(every, dims)]
        result = run(some, dims, n)
        flat, spec = tree_flatten(result)
        parts.append((flat, result))
    own = [out_dims] * len(parts[0][0]) if isinstance(out_dims, int) else _matched(out_dims, parts[0][1])
    columns = zip(*(flat for flat, _ in parts))
    return tree_unflatten([c[0] if d is None else ops.cat(list(c), d) for c, d in zip(columns, own or [])], spec)
