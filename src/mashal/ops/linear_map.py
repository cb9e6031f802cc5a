"""linear: input·weightᵀ + bias, and its three gradients, each a plan of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mashal.core.forms import Form, form
from mashal.core.saved import form_of, kept
from mashal.core.shapes import view_strides
from mashal.core.tensor import Tensor, finder
from mashal.errors import message
from mashal.ops.arithmetic import mul
from mashal.ops.broadcast import sum_nest, sum_plan, sum_to
from mashal.ops.complex_parts import conj_physical
from mashal.ops.contraction import matmul, plan_product, reshaped, transposed, turned
from mashal.ops.define import dispatched, overrides, row_major, spelled, write_out
from mashal.ops.planned import Part, Planned, PlanNode
from mashal.ops.run import plan_rowwise, remember, same_device

_calls: dict[Any, _Linear] = {}


@spelled(where=("functional",))
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None, *, out: Tensor | None = None) -> Tensor:
    """input·weightᵀ + bias: (..., in), (out, in) and (out) to (..., out).

    >>> F.linear(torch.tensor([1.0, 2.0]), torch.tensor([[3.0, 4.0]]), torch.tensor([0.5]))
    tensor([11.5000])
    """
    if out is not None:
        return write_out("linear", out, linear(input, weight, bias))
    return _find(input, weight, 0 if bias is None else bias)


def _long(input: Any, weight: Any, bias: Any) -> Tensor:
    """A call that the table does not know yet; bias is 0 if there is none."""
    operands = input, weight, None if type(bias) is int else bias
    kinds = overrides(operands)
    if kinds:
        return dispatched(linear, kinds, operands, {})
    for place, x in enumerate(operands):
        if not isinstance(x, Tensor) and not (place == 2 and x is None):
            name = ("input", "weight", "bias")[place]
            raise TypeError(
                f"linear(): argument '{name}' (position {place + 1}) must be Tensor, not {type(x).__name__}"
            )
    key = tuple([x.form if isinstance(x, Tensor) else int for x in operands])
    return remember(_calls, key, _Linear(*operands)).plan(input, weight, bias)


_find = finder(_calls, _long)


class LinearBackward(PlanNode):
    """saved: input, weight. Gradients g·W, gᵀ·x and the column sums of g."""

    __slots__ = ()
    operands = ("input", "weight", "bias")

    def by_operations(self, g: Tensor) -> tuple:
        """The gradients as products and sums, recorded if asked for."""
        x, w = kept(self)
        of_x, of_w = form_of(x), form_of(w)
        if g.form.dtype.is_complex:
            x, w = (conj_physical(t) if isinstance(t, Tensor) else t for t in (x, w))
        if of_w.rank == 1:
            return self._of_row(g, x, w)
        n, k = of_w.shape
        rows = of_x.numel // k if k else g.form.numel // max(n, 1)
        flat = reshaped(g, (rows, n))
        gx = matmul(g, w) if self.edges[0] is not None else None
        gw = matmul(transposed(flat), reshaped(x, (rows, k))) if self.edges[1] is not None else None
        return gx, gw, *(sum_to(flat, self.entry.bias_shape) if e is not None else None for e in self.edges[2:])

    def _of_row(self, g: Tensor, x: Tensor, w: Tensor) -> tuple:
        """A weight without the dimension of results: one result for each input."""
        column = reshaped(g, (*g.form.shape, 1))
        gx = mul(column, w) if self.edges[0] is not None else None
        gw = sum_to(mul(column, x), form_of(w).shape) if self.edges[1] is not None else None
        return gx, gw, *(sum_to(g, ()) if e is not None else None for e in self.edges[2:])


_NODES = {
    name: type(name, (LinearBackward,), {"__slots__": ()})
    for name in ("AddmmBackward0", "MmBackward0", "ViewBackward0", "UnsafeViewBackward0")
}


class _Linear(Planned):
    """What is known of a linear map of operands of certain forms: plan(input, weight, bias or 0)."""

    __slots__ = ("bias_shape",)

    def __init__(self, x: Tensor, w: Tensor, bias: Tensor | None):
        same_device("linear", [t for t in (x, w, bias) if t is not None])
        _check(x, w, bias)
        of = x.form
        one = w.form.rank == 1
        weight = w.form.viewed((1, *w.form.shape), (0, *w.form.strides)) if one else w.form
        n, k = weight.shape
        self.bias_shape = None if bias is None else bias.form.shape
        fits = bias is None or tuple(bias.form.shape) == (n,)
        made = form(of.dtype, of.device, (*of.shape[:-1], *(() if one else (n,))))
        left = of if of.rank > 1 else of.viewed((1, k), (0, *of.strides))
        plan = plan_product("linear", left, turned(weight), bias.form if bias is not None and fits else None, made)
        names = ("MmBackward0", "UnsafeViewBackward0") if bias is None else ("AddmmBackward0", "ViewBackward0")
        super().__init__(
            plan if fits else lambda a, b, c: plan(a, b, 0) + c,
            _NODES[names[of.rank != 2]],
            (True, True, bias is not None),
            2 if bias is None else 3,
            kept=(0, 1),
            needs=(2, 1),
            recorded=of.dtype.kind in "fc",
        )

    def parts(self, things: list[Any], g: Tensor) -> Sequence[Part] | None:
        """g·W, gᵀ·x and g's column sums, without views on the way."""
        x, w, of = things[0].form, things[1].form, g.form
        if w.rank == 1 or w.dtype.is_complex:
            return None
        n, k = w.shape
        rows = x.numel // k if k else of.numel // max(n, 1)
        flat = form(of.dtype, of.device, (rows, n))
        strides = view_strides(x.shape, x.strides, (rows, k))
        seen = x.viewed((rows, k), strides or (k, 1))
        of_x = plan_product("linear", flat, w, None, form(x.dtype, x.device, tuple(x.shape)))
        of_w = plan_product("linear", turned(flat), seen, None, form(w.dtype, w.device, (n, k)))
        of_bias = _column_sums(flat)
        if not of.contiguous:
            of_x, of_w, of_bias = (_row_major_first(plan, 0) for plan in (of_x, of_w, of_bias))
        if strides is None:
            of_w = _row_major_first(of_w, 1)
        parts = [Part(of_x, (2, 1, 3)), Part(of_w, (2, 0, 3))]
        if self.bias_shape is not None:
            parts.append(Part(of_bias, (2,), sum_plan(form(of.dtype, of.device, (n,)), self.bias_shape)))
        return parts


def _column_sums(flat: Form) -> Any:
    """The plan of a matrix's column sums."""
    n = flat.shape[1]
    column, made = form(flat.dtype, flat.device, (1, n)), form(flat.dtype, flat.device, (n,))
    return plan_rowwise(sum_nest(flat.dtype), [flat], tuple(flat.shape), [0], [column], [made])


def _row_major_first(plan: Any, place: int) -> Any:
    """A plan that takes a row-major copy of the operand at a place."""
    return lambda *operands: plan(*operands[:place], row_major(operands[place]), *operands[place + 1 :])


def _check(x: Tensor, w: Tensor, bias: Tensor | None) -> None:
    """RuntimeError unless shapes and dtypes fit."""
    if w.form.rank not in (1, 2) or not x.form.rank:
        raise RuntimeError(
            message("linear", f"input {tuple(x.shape)} and weight {tuple(w.shape)}", "weight must be (out, in)")
        )
    n, k = w.form.shape if w.form.rank == 2 else (1, *w.form.shape)
    if x.form.shape[-1] != k:
        wrong = f"input {tuple(x.shape)} has {x.form.shape[-1]} features, weight {tuple(w.shape)} expects {k}"
        raise RuntimeError(f"linear: {wrong} (mat1 and mat2 shapes cannot be multiplied)")
    if bias is not None and tuple(bias.shape) not in ((n,), (1,), ()):
        raise RuntimeError(
            message("linear", f"bias {tuple(bias.shape)} does not fit the {n} results of weight {tuple(w.shape)}")
        )
    for t in (w, bias):
        if t is not None and t.form.dtype is not x.form.dtype:
            raise RuntimeError(
                message("linear", f"input is {x.dtype}, weight or bias {t.dtype}", "all must have one dtype")
            )
