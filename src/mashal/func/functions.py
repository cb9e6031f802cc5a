"""autograd.Function under vmap: by its own `vmap`, or sample by sample if it says generate_vmap_rule."""

from __future__ import annotations

from typing import Any, NamedTuple

from mashal.autograd.function import Function
from mashal.core.tensor import Tensor
from mashal.func.batching import KINDS, VmapError, is_batched, joined, levels, size_of, value_of, wrap
from mashal.utils._pytree import tree_flatten, tree_unflatten

__all__ = ["VmapInfo"]


class VmapInfo(NamedTuple):
    """What a Function's vmap is told: how many samples there are, and how random numbers are drawn."""

    batch_size: int
    randomness: str


def function_rule(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    if function.vmap is not Function.vmap:
        return _by_its_own(level, function, args)
    if function.generate_vmap_rule:
        return _sample_by_sample(level, function, args, kwargs)
    raise VmapError(
        f"You tried to vmap over {function.__name__}, but it does not have vmap support. Please override and implement the vmap "
        "staticmethod or set generate_vmap_rule=True."
    )


def _by_its_own(level: int, function: Any, args: tuple) -> Any:
    randomness = next(r for number, _, r in levels.open if number == level)
    flat, spec = tree_flatten(args)
    in_dims = tree_unflatten([0 if is_batched(x, level) else None for x in flat], spec)
    values = tree_unflatten([value_of(x, level) for x in flat], spec)
    answer = function.vmap(VmapInfo(size_of(level), randomness), tuple(in_dims), *values)
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise RuntimeError(f"{function.__name__}.vmap: expected to get two returns: (output, out_dims)")
    output, dims = answer
    if not isinstance(output, tuple):
        return _out(output, dims, level)
    every = dims if isinstance(dims, tuple) else (dims,) * len(output)
    return tuple(_out(y, d, level) for y, d in zip(output, every))


def _out(y: Any, dim: Any, level: int) -> Any:
    return y if dim is None or not isinstance(y, Tensor) else wrap(y if dim == 0 else y.movedim(dim, 0), level)  # type: ignore[attr-defined]


def _sample_by_sample(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    flat, spec = tree_flatten((args, kwargs))
    results = []
    for i in range(size_of(level)):
        some, named = tree_unflatten([value_of(x, level)[i] if is_batched(x, level) else x for x in flat], spec)
        results.append(function.apply(*some, **named))
    return joined(results, level)


KINDS[type(Function)] = function_rule
