"""Choosing between elements: where, clamp, the larger and the smaller."""

from __future__ import annotations

import warnings
from typing import Any

from mashal.core import dtypes
from mashal.core.dtypes import bool as bool_
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang import expression as e
from mashal.lang.expression import Expression, cast
from mashal.ops.arithmetic import EVERYWHERE
from mashal.ops.comparison import ne, refuse_complex
from mashal.ops.define import Pointwise, door, pointwise, same, spelled
from mashal.ops.run import scalar_name

# ---------------------------------------------------------------- where
_WHERE = Pointwise("where", lambda c, x, y: e.where(cast(c, bool_), x, y), same, "WhereBackward0")
_WHERE.gradients = lambda g, z, c, x, y: (None, e.where(cast(c, bool_), g, 0), e.where(cast(c, bool_), 0, g))
_where = door(_WHERE)


def where_condition(condition: Any) -> Tensor:
    """The condition as a bool tensor; RuntimeError for any other dtype but uint8, which is deprecated."""
    if not isinstance(condition, Tensor):
        raise TypeError(message("where", f"condition is a {type(condition).__name__}", "it must be a bool tensor"))
    if condition.form.dtype is bool_:
        return condition
    if condition.form.dtype is dtypes.uint8:
        warnings.warn(
            "where received a uint8 condition tensor. This behavior is deprecated; use a boolean condition.",
            stacklevel=3,
        )
        return ne(condition, 0)
    wrong = (
        f"expected condition to be a boolean tensor, but got a tensor with dtype {scalar_name(condition.form.dtype)}"
    )
    raise RuntimeError(message("where", wrong))


def _where_method(input: Tensor, condition: Tensor, other: Any) -> Tensor:
    """input where condition holds, else other."""
    return _where(where_condition(condition), input, other)


@spelled(method=_where_method)
def where(condition: Tensor, input: Any = None, other: Any = None, *, out: Tensor | None = None) -> Any:
    """input where condition holds, else other; all three broadcast to a common shape.

    condition: bool tensor. input, other: tensors or numbers. Without them: the indices at which condition holds, as nonzero does.

    >>> x = torch.tensor([1.0, -2.0])
    >>> torch.where(x > 0, x, 0.0)
    tensor([1., 0.])
    """
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)  # type: ignore[attr-defined]
    if input is None or other is None:
        raise TypeError(message("where", "only one of input and other is given", "give both or none"))
    return _where(where_condition(condition), input, other, out=out)


# ---------------------------------------------------------------- clamp
def _between(x: Expression, low: Expression, high: Expression) -> Expression:
    return e.minimum(e.maximum(x, low), high)


def _between_gradients(g: Expression, y: Expression, x: Expression, low: Expression, high: Expression) -> tuple:
    inside = (x >= low) & (x <= high)
    at_low, at_high = (low < high) & (x < low), (x > high) | (high < low)
    return e.where(inside, g, 0), e.where(at_low, g, 0), e.where(at_high, g, 0)


def _above_gradients(g: Expression, y: Expression, x: Expression, low: Expression) -> tuple:
    return e.where(x >= low, g, 0), e.where(x < low, g, 0)


def _below_gradients(g: Expression, y: Expression, x: Expression, high: Expression) -> tuple:
    return e.where(x <= high, g, 0), e.where(x > high, g, 0)


def _clamps(name: str, node: str) -> tuple[Pointwise, Pointwise, Pointwise]:
    """clamp between two bounds, from below, from above."""
    refuse = refuse_complex(name)
    both = Pointwise(name, _between, same, node, refuse)
    low = Pointwise(name, e.maximum, same, node, refuse)
    high = Pointwise(name, e.minimum, same, node, refuse)
    both.gradients, low.gradients, high.gradients = _between_gradients, _above_gradients, _below_gradients
    return both, low, high


_BY_NUMBERS, _BY_TENSORS = _clamps("clamp", "ClampBackward1"), _clamps("clamp", "ClampBackward0")
_DOORS = {op: door(op) for op in (*_BY_NUMBERS, *_BY_TENSORS)}
_clamp_between = _DOORS[_BY_NUMBERS[0]]
NUMBERS = {int, float}


def _clamping(input: Any, min: Any, max: Any) -> tuple[Pointwise, tuple]:
    """The operation for these bounds, and its operands."""
    given = [b for b in (min, max) if b is not None]
    if not given:
        raise RuntimeError(message("clamp", "at least one of 'min' or 'max' must not be None"))
    tensors = [isinstance(b, Tensor) for b in given]
    if any(tensors) and not all(tensors):
        raise TypeError(
            message("clamp", "one bound is a tensor and the other a number", "make both tensors or both numbers")
        )
    op = (_BY_TENSORS if tensors[0] else _BY_NUMBERS)[0 if len(given) == 2 else 1 if max is None else 2]
    return op, (input, *given)


def clamp_(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """clamp, written into the tensor itself."""
    op, operands = _clamping(input, min, max)
    return op.in_place(operands)


@spelled(EVERYWHERE, aliases=("clip",), in_place=clamp_)
def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Tensor | None = None) -> Tensor:
    """input, no less than min and no more than max; where min is above max, max.

    min, max: numbers or tensors that broadcast; one of them may be None. nan stays nan. At the bounds the gradient passes.

    >>> torch.clamp(torch.tensor([-2.0, 0.5, 3.0]), -1, 1)
    tensor([-1.0000,  0.5000,  1.0000])
    """
    if type(min) in NUMBERS and type(max) in NUMBERS:
        return _clamp_between(input, min, max, out=out)
    op, operands = _clamping(input, min, max)
    return _DOORS[op](*operands, out=out)


def _one_sided(name: str, side: int) -> Any:
    """clamp_min or clamp_max, for a bound that is a number or a tensor; and its in-place form."""
    word = name.rpartition("_")[2]
    node = f"Clamp{word.capitalize()}Backward"
    by = {False: _clamps(name, f"{node}0")[side], True: _clamps(name, f"{node}1")[side]}
    doors = {tensor: door(op) for tensor, op in by.items()}

    def clamp(input: Tensor, bound: Any, *, out: Tensor | None = None) -> Tensor:
        return doors[isinstance(bound, Tensor)](input, bound, out=out)

    def change(input: Tensor, bound: Any) -> Tensor:
        return by[isinstance(bound, Tensor)].in_place((input, bound))

    for op in by.values():
        op.tensors = 1
    return clamp, change


_clamp_min, _clamp_min_ = _one_sided("clamp_min", 1)
_clamp_max, _clamp_max_ = _one_sided("clamp_max", 2)


def clamp_min_(input: Tensor, min: Any) -> Tensor:
    """clamp_min, written into the tensor itself."""
    return _clamp_min_(input, min)


def clamp_max_(input: Tensor, max: Any) -> Tensor:
    """clamp_max, written into the tensor itself."""
    return _clamp_max_(input, max)


@spelled(EVERYWHERE, in_place=clamp_min_)
def clamp_min(input: Tensor, min: Any, *, out: Tensor | None = None) -> Tensor:
    """input, no less than min: a number or a tensor that broadcasts."""
    return _clamp_min(input, min, out=out)


@spelled(EVERYWHERE, in_place=clamp_max_)
def clamp_max(input: Tensor, max: Any, *, out: Tensor | None = None) -> Tensor:
    """input, no more than max: a number or a tensor that broadcasts."""
    return _clamp_max(input, max, out=out)


# ---------------------------------------------------------------- the larger and the smaller
@pointwise(refuse=refuse_complex("maximum", RuntimeError), tensors=2)
def maximum(x: Expression, y: Expression) -> Expression:
    """The larger of x and y; nan if one is nan. Where they are equal each gets half of the gradient.

    >>> torch.maximum(torch.tensor([1, 5]), torch.tensor([3, 2]))
    tensor([3, 5])
    """
    return e.maximum(x, y)


@pointwise(refuse=refuse_complex("minimum", RuntimeError), tensors=2)
def minimum(x: Expression, y: Expression) -> Expression:
    """The smaller of x and y; nan if one is nan. Where they are equal each gets half of the gradient."""
    return e.minimum(x, y)


@pointwise(refuse=refuse_complex("fmax", RuntimeError), tensors=2)
def fmax(x: Expression, y: Expression) -> Expression:
    """The larger of x and y; if one is nan, the other."""
    return e.where((x >= y) | (y != y), x, y)


@fmax.backward
def _(g: Expression, z: Expression, x: Expression, y: Expression) -> tuple:
    first = (x >= y) | (y != y)
    return e.where(first, g, 0), e.where(first, 0, g)


@pointwise(refuse=refuse_complex("fmin", RuntimeError), tensors=2)
def fmin(x: Expression, y: Expression) -> Expression:
    """The smaller of x and y; if one is nan, the other."""
    return e.where((x <= y) | (y != y), x, y)


@fmin.backward
def _(g: Expression, z: Expression, x: Expression, y: Expression) -> tuple:
    first = (x <= y) | (y != y)
    return e.where(first, g, 0), e.where(first, 0, g)
