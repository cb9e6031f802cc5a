"""Broadcasting and its transpose: `expand_to` reads a tensor as a larger shape, `sum_to` adds a gradient up to a smaller one.

Each is the other's gradient. The definitions of pointwise operations stand on these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mashal.core import dtypes, tape
from mashal.core.dtypes import dtype
from mashal.core.forms import Form, form
from mashal.core.shapes import broadcast_strides, contiguous_strides
from mashal.core.tensor import Tensor, new_view
from mashal.lang.expression import cast, operand, sum_over
from mashal.lang.nest import Nest, Operand
from mashal.ops.run import plan_rowwise, remember

_sums: dict[dtype, Nest] = {}
_plans: dict[Any, Any] = {}
_wide: dict[Any, Form] = {}


class ExpandBackward0(tape.Node):
    """saved: the shape that was expanded."""

    __slots__ = ()
    frees = False

    def backward(self, *gradients: Any) -> tuple:
        return (sum_to(gradients[0], self.saved),)


class SumBackward1(tape.Node):
    """saved: the shape that was summed."""

    __slots__ = ()
    frees = False

    def backward(self, *gradients: Any) -> tuple:
        return (expand_to(gradients[0], self.saved),)


def expanded(of: Form, shape: tuple[int, ...]) -> Form:
    """A form read as a shape to which it broadcasts."""
    return of.viewed(shape, broadcast_strides(of.shape, of.strides, shape))


def expand_to(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """x read as `shape`, to which it broadcasts; a view."""
    key = x.form, shape
    wide = _wide.get(key) or remember(_wide, key, expanded(x.form, tuple(shape)))
    y = new_view(x, wide, x.offset)
    if x.node is not None and tape.mode.recording:
        y.node = ExpandBackward0(((x.node, x.output),), x.form.shape)
    return y


def sum_nest(d: dtype) -> Nest:
    """The nest that sums rows of a dtype."""
    found = _sums.get(d)
    if found is None:
        result = d if d.kind in "fc" else dtypes.int64
        found = _sums[d] = Nest(((sum_over(cast(operand(0, d), operand(0, result).dtype)), result),), (Operand(d),))
    return found


def sum_to(g: Tensor, shape: Sequence[int]) -> Tensor:
    """g summed over the dimensions in which `shape` was broadcast to g's shape."""
    if g.form.shape == shape:
        return g
    y = sum_plan(g.form, shape)(g)  # type: ignore[misc]
    if g.node is not None and tape.mode.recording:
        y.node = SumBackward1(((g.node, g.output),), g.form.shape)
    return y


def sum_plan(of: Form, shape: Sequence[int]) -> Any:
    """The plan of `sum_to` for a form; None if it has the shape already."""
    if of.shape == shape:
        return None
    key = of, shape
    return _plans.get(key) or remember(_plans, key, _plan(of, tuple(shape)))


def _plan(of: Form, shape: tuple[int, ...]) -> Any:
    lead = of.rank - len(shape)
    dims = [d for d in range(of.rank) if d < lead or (shape[d - lead] == 1 and of.shape[d] != 1)]
    result = form(of.dtype, of.device, shape)
    seen = of.viewed((1,) * lead + shape, (0,) * lead + contiguous_strides(shape))
    return plan_rowwise(sum_nest(of.dtype), [of], of.shape, dims, [seen], [result])
