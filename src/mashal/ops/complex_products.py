"""Products of complex matrices, from products of their parts: (a + bi)·(c + di) = (ac - bd) + (ad + bc)i."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.core.forms import Form, form
from mashal.core.tensor import Tensor, new_view
from mashal.lang.expression import Expression, operand
from mashal.lang.nest import Nest, Operand
from mashal.ops.run import plan_pointwise


def complex_plan(plan: Callable[..., Any], operation: str, a: Form, b: Form, bias: Form | None, made: Form) -> Any:
    """The plan of a product of complex matrices, plus a bias; `plan` makes those of real ones."""
    d = made.dtype.to_real()
    left, right = _part(a), _part(b)
    shape = _full_shape(a, b)
    parts = plan(operation, left, right, None, form(d, made.device, shape))
    product = form(d, made.device, shape)
    seen = made if tuple(made.shape) == shape else form(made.dtype, made.device, shape)
    forms = [product] * 4 if bias is None else [*[product] * 4, bias]
    join = plan_pointwise(_nest(made.dtype, bias is not None), forms, shape, [seen])

    def run(x: Tensor, y: Tensor, z: Any) -> Tensor:
        re, im, re_2, im_2 = _taken(x, left, 0), _taken(x, left, 1), _taken(y, right, 0), _taken(y, right, 1)
        products = (parts(re, re_2, 0), parts(im, im_2, 0), parts(re, im_2, 0), parts(im, re_2, 0))
        result = join(*products) if bias is None else join(*products, z)
        return result if seen is made else new_view(result, made, result.offset)

    return run


def _full_shape(a: Form, b: Form) -> tuple[int, ...]:
    lead_a, lead_b = tuple(a.shape[:-2]), tuple(b.shape[:-2])
    n = max(len(lead_a), len(lead_b))
    pairs = zip((1,) * (n - len(lead_a)) + lead_a, (1,) * (n - len(lead_b)) + lead_b)
    return (*[q if p == 1 else p for p, q in pairs], a.shape[-2], b.shape[-1])


def _part(f: Form) -> Form:
    """The form of the real (or imaginary) parts of a complex tensor."""
    return form(f.dtype.to_real(), f.device, tuple(f.shape), tuple(2 * s for s in f.strides))


def _taken(x: Tensor, part: Form, which: int) -> Tensor:
    return new_view(x, part, 2 * x.offset + which)


_nests: dict[Any, Nest] = {}


def _nest(d: Any, biased: bool) -> Nest:
    found = _nests.get((d, biased))
    if found is None:
        real = d.to_real()
        ac, bd, ad, bc = (operand(i, real) for i in range(4))
        y = Expression("complex", (ac - bd, ad + bc), d)
        operands = [Operand(real)] * 4
        if biased:
            y, operands = y + operand(4, d), [*operands, Operand(d)]
        found = _nests[d, biased] = Nest(((y, d),), tuple(operands))
    return found
