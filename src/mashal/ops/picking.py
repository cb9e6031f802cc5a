"""One element of each row: `pick_along` reads it, `place_along` puts it into a row of zeros. Each is the other's gradient."""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import int64
from mashal.core.forms import form
from mashal.core.tensor import Tensor
from mashal.lang.expression import constant, operand, place, sum_over, where
from mashal.lang.nest import Nest, Operand
from mashal.ops.define import recorded
from mashal.ops.run import plan_rowwise, remember

_plans: dict[Any, Any] = {}
_nests: dict[Any, Nest] = {}


def _nest(d: Any, picks: bool) -> Nest:
    found = _nests.get((d, picks))
    if found is None:
        x = operand(0, d)
        chosen = where(place() == operand(1, int64), x, constant(0, x.dtype))
        operands = Operand(d, per_row=not picks), Operand(int64, per_row=True)
        found = _nests[d, picks] = Nest(((sum_over(chosen) if picks else chosen, d),), operands)
    return found


@recorded("IndexSelectBackward0")
def pick_along(x: Tensor, at: Tensor, dim: int) -> tuple[Tensor, tuple]:
    """The element of each row along dim at the index `at` says; at: int64, of x's shape with size 1 in dim."""
    key = x.form, at.form, dim
    plan = _plans.get(key)
    if plan is None:
        made = [form(x.form.dtype, x.form.device, at.form.shape)]
        plan = plan_rowwise(
            _nest(x.form.dtype, True), [x.form, at.form], x.form.shape, [dim] if x.form.rank else [], made
        )
        remember(_plans, key, plan)
    return plan(x, at), (at, x.form.shape, dim)


@recorded("IndexPutBackward0")
def place_along(g: Tensor, at: Tensor, shape: tuple[int, ...], dim: int) -> tuple[Tensor, tuple]:
    """Zeros of a shape, with g's element in each row along dim where `at` says. g and at: size 1 in dim."""
    key = g.form, at.form, shape, dim
    plan = _plans.get(key)
    if plan is None:
        made = [form(g.form.dtype, g.form.device, tuple(shape))]
        plan = plan_rowwise(_nest(g.form.dtype, False), [g.form, at.form], shape, [dim] if shape else [], made)
        remember(_plans, key, plan)
    return plan(g, at), (at, dim)


@pick_along.backward
def _(node: Any, g: Tensor) -> tuple:
    at, shape, dim = node.kept()
    return (place_along(g, at, shape, dim),)


@place_along.backward
def _(node: Any, g: Tensor) -> tuple:
    at, dim = node.kept()
    return (pick_along(g, at, dim),)
