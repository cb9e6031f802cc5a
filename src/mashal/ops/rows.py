"""Formulas over rows that keep the rows: softmax, norms, and the gradients of both, a few sweeps over each row.

    @row_formula()
    def _softmax(x): e = exp(x - max_over(x)); return e / sum_over(e)

    y = _softmax((dim,), x)

The first operand has the full shape; others broadcast to it. What the formula gives once a row has size 1 along dims.
Nothing is recorded here: definitions state their gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.core.dtypes import dtype
from mashal.core.forms import Form, form, like
from mashal.core.shapes import broadcast
from mashal.core.tensor import Tensor
from mashal.lang.expression import cast, constant, operand, scalar
from mashal.lang.nest import Nest, Operand
from mashal.ops.define import in_registers
from mashal.ops.run import plan_rowwise, remember


class RowFormula:
    """body(*operands, **options) gives an expression, or a tuple of them. stored: the results' dtypes, None: the first operand's."""

    def __init__(self, body: Callable[..., Any], stored: tuple[dtype | None, ...] | None):
        self.body, self.stored = body, stored
        self.plans: dict[Any, Any] = {}
        self.nests: dict[Any, Nest] = {}

    def __call__(self, dims: tuple[int, ...], *operands: Any, to: dtype | None = None, **options: Any) -> Any:
        """The results for rows along dims. operands: tensors, numbers, or None where there is none. to: the results' dtype."""
        return self.plan(dims, *operands, to=to, **options)(*[x for x in operands if x is not None])

    def plan(self, dims: tuple[int, ...], *operands: Any, to: dtype | None = None, shown: tuple[int, ...] | None = None,
             **options: Any) -> Any:  # fmt: skip
        """The plan of a call; it takes those operands that are not None. For a tensor its form will do. shown: the shape in
        which the first result is handed out."""
        kinds = [
            x.form if isinstance(x, Tensor) else x if x is None or isinstance(x, Form) else float for x in operands
        ]
        key = dims, to, shown, *kinds, *options.items()
        plan = self.plans.get(key)
        if plan is None:
            plan = remember(self.plans, key, self._plan(dims, kinds, to, shown, options))
        return plan

    def _plan(self, dims: tuple[int, ...], operands: list, to: dtype | None, shown: Any, options: dict) -> Any:
        forms: list[Form | None] = [x if isinstance(x, Form) else None for x in operands if x is not None]
        shape = broadcast("rows", *(f.shape for f in forms if f is not None))
        nest = self._nest(operands, to, tuple(dims), shape, options)
        first = forms[0]
        assert first is not None
        kept = tuple(1 if d in dims else n for d, n in enumerate(shape))
        template = like(first) if first.shape == shape else form(first.dtype, first.device, shape)
        results = [form(d, first.device, kept) if nest.per_row(e) else template.with_dtype(d) for e, d in nest.results]
        given = None if shown is None else [form(results[0].dtype, first.device, shown), *results[1:]]
        return plan_rowwise(nest, forms, shape, dims, results, given)

    def _nest(
        self, operands: list, to: dtype | None, dims: tuple[int, ...], shape: tuple[int, ...], options: dict
    ) -> Nest:
        first = to or operands[0].dtype
        compute = in_registers(first)
        kinds: list[Any] = []
        for x in operands:
            if isinstance(x, Form):
                lead = len(shape) - x.rank
                fixed = all(d < lead or x.shape[d - lead] == 1 for d in dims) and any(shape[d] != 1 for d in dims)
                kinds.append(Operand(x.dtype, per_row=fixed))
            elif x is not None:
                kinds.append(Operand(compute.to_real(), number=True))
            else:
                kinds.append(None)
        key = tuple(kinds), to, *options.items()
        found = self.nests.get(key)
        if found is None:
            found = self.nests[key] = self._make(kinds, compute, first, options)
        return found

    def _make(self, kinds: list[Any], compute: dtype, first: dtype, options: dict) -> Nest:
        given = [k for k in kinds if k is not None]
        places = iter(range(len(given)))
        elements: list[Any] = []
        for k in kinds:
            if k is None:
                elements.append(None)
            elif k.number:
                elements.append(cast(scalar(next(places), k.dtype), compute))
            else:
                x = operand(next(places), k.dtype)
                elements.append(cast(x, compute) if k.dtype.kind in "fc" or not elements else x)
        values = self.body(*elements, **options)
        values = values if isinstance(values, tuple) else (values,)
        stored = self.stored or (None,) * len(values)
        results = tuple((cast(v, in_registers(d or first)), d or first) for v, d in zip(values, stored))
        return Nest(results, tuple(given))


def row_formula(*stored: dtype | None) -> Callable[[Callable[..., Any]], RowFormula]:
    """A formula over rows, with the dtypes of its results where they are not the first operand's."""
    return lambda body: RowFormula(body, stored or None)


def one(like: Any) -> Any:
    """The constant 1 in the dtype of an expression."""
    return constant(1, like.dtype)
