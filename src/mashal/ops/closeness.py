"""Whether tensors are equal, or nearly so."""

from __future__ import annotations

from mashal.core import dtypes
from mashal.core.dtypes import bool as bool_
from mashal.core.elements import element
from mashal.core.forms import Form
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang.expression import Expression, abs_, cast, over
from mashal.ops.comparison import eq
from mashal.ops.define import PLAIN, boolean, pointwise, spelled
from mashal.ops.reductions import all_
from mashal.ops.rows import row_formula
from mashal.ops.run import Plan, remember


def _check_close(x: Tensor, y: Tensor, *, rtol: float, atol: float, equal_nan: bool) -> None:
    if x.form.dtype is not y.form.dtype:
        raise RuntimeError(
            message("isclose", f"tensors are of {x.form.dtype} and {y.form.dtype}", "they must be of one dtype")
        )
    if rtol < 0 or atol < 0:
        raise RuntimeError(message("isclose", f"rtol is {rtol} and atol is {atol}", "they must not be below 0"))


@pointwise(boolean, refuse=_check_close, tensors=2)
def isclose(
    x: Expression, y: Expression, *, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Expression:
    """Where |x - y| ≤ atol + rtol · |y|, or both are equal (infinities too); with equal_nan also where both are nan.

    >>> torch.isclose(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.1]))
    tensor([ True, False])
    """
    if x.dtype.kind not in "fc":
        x, y = cast(x, dtypes.float64), cast(y, dtypes.float64)
    difference, size = abs_(x - y), abs_(y)
    close = (x == y) | ((difference <= size * rtol + atol) & (difference < float("inf")) & (size < float("inf")))
    return close | ((x != x) & (y != y)) if equal_nan else close


@spelled()
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether isclose holds everywhere.

    >>> torch.allclose(torch.tensor([1.0]), torch.tensor([1.0 + 1e-9]))
    True
    """
    return bool(element(all_(isclose(input, other, rtol=rtol, atol=atol, equal_nan=equal_nan))))


@row_formula(bool_)
def _all_equal(x: Expression, y: Expression) -> Expression:
    return over("all", x == y)


_equalities: dict[Form, Plan] = {}


@spelled()
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have one shape and the same elements.

    >>> torch.equal(torch.tensor([1, 2]), torch.tensor([1, 2]))
    True
    """
    if type(input) in PLAIN and type(other) in PLAIN and input.form is other.form:
        f = input.form
        plan = _equalities.get(f)
        if plan is None and f.rank and f.numel and f.dtype.kind != "c":
            plan = remember(_equalities, f, _all_equal.plan(tuple(range(f.rank)), input, other))
        if plan is not None:
            return element(plan(input, other))
    for x in (input, other):
        if not isinstance(x, Tensor):
            raise TypeError(f"equal(): argument must be Tensor, not {type(x).__name__}")
    if input.form.device is not other.form.device:
        raise RuntimeError(
            message(
                "equal", f"tensors are on {input.form.device} and {other.form.device}", "they must be on one device"
            )
        )
    return input.form.shape == other.form.shape and bool(element(all_(eq(input, other))))
