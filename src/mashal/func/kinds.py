"""Rules for all operations of a kind: pointwise ones broadcast, views and reductions keep the batch dimension in front."""

from __future__ import annotations

from math import prod
from typing import Any

from mashal import ops
from mashal.core.forms import form
from mashal.core.tensor import Tensor, new_view
from mashal.func.batching import KINDS, RULES, VmapError, is_batched, one_by_one, open_level, rewrap, value_of, wrap
from mashal.func.batching import whole as whole_of
from mashal.ops.broadcast import expand_to, sum_to
from mashal.ops.copying import converted
from mashal.ops.define import DEFINITIONS, RecordedNode, recorded
from mashal.ops.elementwise import Pointwise
from mashal.ops.promotion import result_type_of
from mashal.ops.reducing import Reduction, contiguous_copy, in_dtype, with_ones
from mashal.ops.rows import RowFormula
from mashal.ops.viewing import View
from mashal.ops.writing import Writing


# ---------------------------------------------------------------- element by element
def aligned(level: int, operands: Any) -> list[Any]:
    """Operands with the batch in front, so that they broadcast as the samples would.

    A sample of rank 0 has less say in the dtype than others: where the promoted dtype is another one it is converted now.
    """
    rank = max((x.form.rank for x in operands if isinstance(x, Tensor)), default=0)
    tensors = [x for x in operands if isinstance(x, Tensor)]
    scalar = any(x.form.rank == 0 for x in tensors) and len({x.form.dtype for x in tensors}) > 1 and rank > 0
    to = result_type_of([x for x in operands if isinstance(x, (Tensor, bool, int, float, complex))]) if scalar else None
    found = []
    for x in operands:
        if is_batched(x, level):
            v = x.value
            if to is not None and x.form.rank == 0 and ops.promote_types(v.dtype, to) is not to:
                v = v.to(to)
            if x.form.rank < rank:
                v = v.reshape((v.shape[0], *(1,) * (rank - x.form.rank), *x.shape))
            found.append(v)
        else:
            found.append(x)
    return found


def pointwise_rule(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    if kwargs.get("out") is not None:
        return NotImplemented
    operation = function.operation
    names = ["input", "other"][: operation.arity]
    if any(name in kwargs for name in names):
        args = (*args, *(kwargs[n] for n in names[len(args) :] if n in kwargs))
        kwargs = {n: v for n, v in kwargs.items() if n not in names}
    n = operation.arity
    return rewrap(function(*aligned(level, args[:n]), *args[n:], **kwargs), level)


def broadcasting_rule(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    """For functions of several tensors that broadcast, and numbers."""
    if kwargs.get("out") is not None:
        return NotImplemented
    names = list(kwargs)
    every = aligned(level, [*args, *kwargs.values()])
    return rewrap(function(*every[: len(args)], **dict(zip(names, every[len(args) :]))), level)


def in_place_rule(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    x = args[0]
    if not is_batched(x, level):
        raise VmapError(
            f"vmap: {function.__name__} cannot write the values of many samples into one tensor of shape {tuple(x.shape)}; "
            "use the function that makes a new tensor"
        )
    if any(isinstance(o, Tensor) and o.form.rank > x.form.rank for o in args):
        return NotImplemented
    function(*aligned(level, args), **kwargs)
    return x


# ---------------------------------------------------------------- views
@recorded("BatchedViewBackward0")
def _seen(x: Tensor, op: Any, arguments: tuple, lead: int) -> Any:
    """The view of every sample; the first `lead` dimensions are batches."""
    of = form(x.form.dtype, x.form.device, tuple(x.form.shape[lead:]), tuple(x.form.strides[lead:]))
    found, plain = op.find(of, arguments)
    made = tuple(_under(x, f, shift, lead) for f, shift in (found if op.parts else (found,)))
    return (made if op.parts else made[0]), (op, plain, lead, tuple(x.form.shape))


@_seen.backward
def _(node: RecordedNode, *gradients: Any) -> tuple:
    op, arguments, lead, shape = node.kept()
    if all(g is None for g in gradients):
        return (None,)
    return (_put(op, arguments, lead, shape, gradients),)


def _under(x: Tensor, f: Any, shift: int, lead: int) -> Tensor:
    whole = x.form.viewed((*x.form.shape[:lead], *f.shape), (*x.form.strides[:lead], *f.strides))
    return new_view(x, whole, x.offset + shift)


def _put(op: Any, arguments: tuple, lead: int, shape: tuple, gradients: tuple) -> Tensor:
    """Zeros with the gradients where the views were, in every sample; where views overlap they add up."""
    given = [g for g in gradients if g is not None]
    stated = op.gradient if op.gradient not in (op.put_back, op.put_back_parts) else None
    if stated is None:
        whole = given[0].new_zeros(shape)  # type: ignore[attr-defined]
        seen = _seen(whole, op, arguments, lead)
        for place, g in zip(seen if op.parts else (seen,), gradients):
            if g is not None:
                place.copy_(g)
        return whole
    of = form(given[0].dtype, given[0].device, tuple(shape[lead:]))
    flat = [None if g is None else g.reshape((-1, *g.shape[lead:])) for g in gradients]
    try:
        with open_level(prod(shape[:lead])) as level:
            each = [None if g is None else wrap(g, level) for g in flat]
            found = stated(each if op.parts else each[0], of, *arguments)
            return whole_of(found, level).reshape(shape)
    except RuntimeError:  # the stated gradient has a part without a rule
        rows = [[None if g is None else g[i] for g in flat] for i in range(prod(shape[:lead]))]
        return ops.stack([stated(r if op.parts else r[0], of, *arguments) for r in rows]).reshape(shape)


def view_rule(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    x, *arguments = args if args else (kwargs.pop("input"),)
    operation = function.operation
    if not is_batched(x, level):
        return NotImplemented
    found = _seen(x.value, operation, operation.bound(tuple(arguments), kwargs), 1)
    return rewrap(tuple(found) if operation.parts else found, level)


def _seen_rule(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    x, operation, arguments, lead = args
    return rewrap(_seen(value_of(x, level), operation, arguments, lead + 1), level)


# ---------------------------------------------------------------- rows
def reduction_rule(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    names = ("input", "dim", "keepdim")
    given = dict(zip(names, args)) | kwargs
    if given.get("out") is not None or len(args) > 3:
        return NotImplemented
    dim = given.pop("dim", given.pop("axis", None))
    keepdim = given.pop("keepdim", given.pop("keepdims", False))
    x = given.pop("input")
    value, rank = x.value, x.form.rank
    if dim is None or dim == () or dim == [] or rank == 0:
        if dim not in (None, (), [], 0, -1, (0,), (-1,)):
            return NotImplemented
        y = function(value.reshape((value.shape[0], -1)), 1, **given)
        return rewrap(y.reshape((-1, *(1,) * rank)) if keepdim else y, level)
    return rewrap(function(value, moved(dim, x), keepdim, **given), level)


def moved(dim: Any, x: Tensor) -> Any:
    """A sample's dims, as those of the value."""
    if isinstance(dim, (tuple, list)):
        return tuple(moved(d, x) for d in dim)
    if not -max(x.form.rank, 1) <= dim < max(x.form.rank, 1):
        return dim + 1 if dim > 0 else dim - 1  # out of range there too
    return dim % max(x.form.rank, 1) + 1


def row_formula_rule(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    dims, *operands = args
    values = aligned(level, operands)
    shift = max(x.form.rank for x in operands if isinstance(x, Tensor))
    return rewrap(function(tuple(d % shift + 1 for d in dims), *values, **kwargs), level)


# ---------------------------------------------------------------- what gradients are made of
def expand_rule(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    x, shape = args
    value = x.value.reshape((x.value.shape[0], *(1,) * (len(shape) - x.form.rank), *x.shape))
    return wrap(value.expand((value.shape[0], *shape)), level)


def sum_rule(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    g, shape = args
    lead = g.form.rank - len(shape)
    dims = [d for d in range(g.form.rank) if d < lead or (shape[d - lead] == 1 and g.shape[d] != 1)]
    value = g.value.sum([d + 1 for d in dims]) if dims else g.value
    return wrap(value.reshape((value.shape[0], *shape)), level)


def same_elements(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    return wrap(args[0].value.reshape((args[0].value.shape[0], *args[1])), level)


def same_shape(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    return wrap(function(args[0].value, *args[1:2]), level)


RULES.update({expand_to: expand_rule, sum_to: sum_rule, with_ones: same_elements})
RULES.update(dict.fromkeys((in_dtype, contiguous_copy, converted), same_shape))
KINDS.update(
    {
        Writing: one_by_one,
        RowFormula: row_formula_rule,
        Pointwise: pointwise_rule,
        View: view_rule,
        Reduction: reduction_rule,
    }
)
RULES[_seen] = _seen_rule
for _definition in DEFINITIONS.values():
    if _definition.in_place is not None and isinstance(_definition.operation, Pointwise):
        RULES[_definition.in_place] = in_place_rule
    if _definition.operator is not None and isinstance(_definition.operation, Pointwise):
        RULES[_definition.operator] = pointwise_rule
        _definition.operator.operation = _definition.operation  # type: ignore[attr-defined]
