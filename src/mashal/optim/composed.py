"""Update rules as ordinary operations, one after another: what `differentiable=True` needs.

The same expressions that make a kernel are computed here on whole tensors, so every step is recorded, and a gradient can be taken
through it, also with respect to options that are tensors. Slow: for meta-learning, not for training.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from mashal.core.tensor import Tensor
from mashal.lang.expression import Expression, walk
from mashal.lang.update import Update
from mashal.ops import full_like


def _extremum(name: str, of_numbers: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    def of_either(a: Any, b: Any) -> Any:
        if not isinstance(a, Tensor) and not isinstance(b, Tensor):
            return of_numbers(a, b)
        return getattr(_tensor(a, b), name)(_tensor(b, a))

    return of_either


def _function(name: str, of_numbers: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: getattr(x, name)() if isinstance(x, Tensor) else of_numbers(x)


def _select(condition: Any, a: Any, b: Any) -> Any:
    if not isinstance(condition, Tensor):
        return a if condition else b
    like = a if isinstance(a, Tensor) else b if isinstance(b, Tensor) else condition.float()
    return _tensor(a, like).where(condition, _tensor(b, like))


def _tensor(x: Any, like: Tensor) -> Tensor:
    return x if isinstance(x, Tensor) else full_like(like, x)


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "neg": operator.neg,
    "pow": operator.pow, "fma": lambda a, b, c: a * b + c, "cast": lambda x: x, "select": _select,
    "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge, "eq": operator.eq, "ne": operator.ne,
    "abs": _function("abs", abs), "sqrt": _function("sqrt", math.sqrt),
    "max": _extremum("maximum", max), "min": _extremum("minimum", min),
}  # fmt: skip


def evaluate(update: Update, slots: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The new value of each slot, given those of all slots (tensors, and numbers for the numbers) and the options."""
    known: dict[Expression, Any] = {}
    roots = {name: root for name, root in zip(update.slots, update.results) if root is not None}
    for node in walk(roots.values()):
        if node.kind == "operand":
            known[node] = slots[update.slots[node.value]]
        elif node.kind == "scalar":
            known[node] = slots[node.value] if node.value in slots else options[node.value]
        elif node.kind == "constant":
            known[node] = node.value
        else:
            known[node] = _OPERATIONS[node.kind](*(known[o] for o in node.operands))
    return {name: known[root] for name, root in roots.items()}
