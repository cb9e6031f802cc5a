"""Comparisons of elements: results are bools, operands are compared in their promoted dtype."""

from __future__ import annotations

import operator
from typing import Any

from mashal.errors import message
from mashal.lang.expression import Expression, binary
from mashal.ops.arithmetic import EVERYWHERE, dtype_of
from mashal.ops.define import boolean, pointwise
from mashal.ops.promotion import result_type_of
from mashal.ops.run import scalar_name


def refuse_complex(name: str, kind: type[Exception] = NotImplementedError) -> Any:
    """What refuses complex operands in the name of an operation."""

    def refuse(*operands: Any, **options: Any) -> None:
        for x in operands:
            if dtype_of(x).kind == "c":
                wrong = f"\"{name}\" not implemented for '{scalar_name(dtype_of(x))}'"
                raise kind(message(name, wrong, "complex numbers have no order"))

    return refuse


def refuse_but(kinds: str, name: str, right: str) -> Any:
    """What refuses operands whose common dtype is of another kind than these."""

    def refuse(*operands: Any, **options: Any) -> None:
        d = result_type_of(operands)
        if d.kind not in kinds:
            raise NotImplementedError(message(name, f"not implemented for '{scalar_name(d)}'", right))

    return refuse


_TEXTS = {
    "eq": ("equal", "==", ()),
    "ne": ("not equal", "!=", ("not_equal",)),
    "lt": ("below", "<", ("less",)),
    "le": ("at most", "<=", ("less_equal",)),
    "gt": ("above", ">", ("greater",)),
    "ge": ("at least", ">=", ("greater_equal",)),
}


def _comparison(name: str) -> Any:
    words, sign, aliases = _TEXTS[name]

    def body(x: Expression, y: Expression) -> Expression:
        return binary(name, x, y)

    answers = ", ".join(str(getattr(operator, name)(v, 2)) for v in (1, 2, 3))
    body.__doc__ = f"""Where x is {words} y: a bool tensor of the broadcast shape.

    >>> (torch.tensor([1, 2, 3]) {sign} 2).tolist()
    [{answers}]
    """
    refuse = None if name in ("eq", "ne") else refuse_complex(name)
    options = {"name": name, "operators": (f"__{name}__",), "aliases": aliases, "refuse": refuse}
    call = pointwise(boolean, where=EVERYWHERE, tensors=1, **options)(body)
    call.operation.rounds_numbers = True
    return call


eq, ne, lt, le, gt, ge = map(_comparison, ("eq", "ne", "lt", "le", "gt", "ge"))
