"""Elements moved within rows by index: `collect` reads them, `spread` adds them up. Each is the other's gradient."""

from __future__ import annotations

from math import prod
from typing import Any

from mashal.core.forms import Form, form
from mashal.core.tensor import Tensor, plan_of
from mashal.lower import moving
from mashal.ops.define import recorded, row_major
from mashal.ops.run import kernel_of, remember

_plans: dict[Any, Any] = {}


def _compact(x: Tensor) -> Tensor:
    return x if x.form.contiguous else row_major(x)


def _plan(build: Any, x: Form, shape: tuple[int, ...], dim: int) -> Any:
    made = form(x.dtype, x.device, shape)
    seen, rows = tuple(shape) or (1,), (tuple(x.shape) or (1,))[dim]
    constants = [prod(seen[:dim]), seen[dim], rows, prod(seen[dim + 1 :])]
    kinds = [x.dtype.itemsize, 8]
    return plan_of(
        kernel_of(build, x.dtype) if made.numel else 0, [(made.nbytes, made)], kinds, constants, work=made.numel
    )


def _run(build: Any, x: Tensor, places: Tensor, shape: tuple[int, ...], dim: int) -> Tensor:
    x, places = _compact(x), _compact(places)
    key = build, x.form, tuple(shape), dim
    plan = _plans.get(key) or remember(_plans, key, _plan(build, x.form, tuple(shape), dim))
    return plan(x, places)


@recorded("GatherBackward0")
def collect(x: Tensor, places: Tensor, dim: int) -> tuple[Tensor, tuple]:
    """x's elements at places along dim; places: int64 of the result's shape, which differs from x's in dim only."""
    return _run(moving.collected, x, places, places.form.shape, dim), (places, x.form.shape, dim)


@recorded("ScatterAddBackward0")
def spread(g: Tensor, places: Tensor, shape: tuple[int, ...], dim: int) -> tuple[Tensor, tuple]:
    """Zeros of a shape, to which g's elements are added at places along dim."""
    return _run(moving.spread, g, places, shape, dim), (places, dim)


@collect.backward
def _(node: Any, g: Tensor) -> tuple:
    places, shape, dim = node.kept()
    return (spread(g, places, shape, dim),)


@spread.backward
def _(node: Any, g: Tensor) -> tuple:
    places, dim = node.kept()
    return (collect(g, places, dim),)
