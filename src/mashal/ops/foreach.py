"""torch._foreach_add and its relatives: an operation on every tensor of a list, of which optimizers are made.

FOREACH: name -> function, all that torch has. Each takes a list of tensors; a further operand is one for all of them (a number, a
0-d tensor) or a list of as many. The forms that end in _ change the tensors and return the list, the others return a tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.names import public

__all__ = ["FOREACH"]

FOREACH: dict[str, Callable[..., Any]] = {}
_OPERATIONS = public()
UNARY = """abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg reciprocal round rsqrt
sigmoid sign sin sinh sqrt tan tanh trunc""".split()
BINARY = "add sub mul div maximum minimum clamp_min clamp_max lerp".split()


def _tensors(name: str, given: Any) -> Sequence[Tensor]:
    if isinstance(given, Tensor) or not isinstance(given, (list, tuple)):
        raise TypeError(f"{name}(): argument 'self' must be tuple of Tensors, not {type(given).__name__}")
    if not given:
        raise RuntimeError(message(name, "the list must have at least one tensor"))
    return given


def _spread(name: str, n: int, operand: Any) -> Sequence[Any]:
    """One operand for each of n tensors."""
    if not isinstance(operand, (list, tuple)):
        return [operand] * n
    if len(operand) != n:
        raise RuntimeError(message(name, f"lists must have the same length, got {n} and {len(operand)}"))
    return operand


def _put(name: str, doc: str, function: Callable[..., Any], in_place: bool) -> None:
    def each(self: Sequence[Tensor], *operands: Any, **options: Any) -> Any:
        tensors = _tensors(name, self)
        if len(operands) == 3 and isinstance(operands[2], Tensor) and operands[2].form.rank == 1:  # addcmul's values
            operands = (*operands[:2], operands[2].tolist())  # type: ignore[attr-defined]
        spread = [_spread(name, len(tensors), operand) for operand in operands]
        made = [function(*places, **options) for places in zip(tensors, *spread)]
        return self if in_place else tuple(made)

    each.__name__ = each.__qualname__ = name
    each.__doc__ = f"{doc}, for every tensor of a list{', written into it; returns the list' if in_place else ''}."
    FOREACH[name] = each


for _word in UNARY + BINARY:
    _like = {"maximum": "clamp_min", "minimum": "clamp_max"}.get(_word, _word)  # which take numbers too
    _put(f"_foreach_{_word}", _word, _OPERATIONS[_like], False)
    _put(f"_foreach_{_word}_", _word, _OPERATIONS[f"{_like}_"], True)
_put("_foreach_clone", "clone", _OPERATIONS["clone"], False)
_put("_foreach_mm", "mm", _OPERATIONS["mm"], False)
_put("_foreach_copy_", "copy_", _OPERATIONS["copy_"], True)
_put("_foreach_zero_", "zero_", _OPERATIONS["zero_"], True)
_put("_foreach_max", "The largest element", lambda x: _OPERATIONS["max"](x), False)
_put(
    "_foreach_norm", "The norm", lambda x, ord=2, dtype=None: _OPERATIONS["vector_norm"](x, ord, dtype=dtype), False
)  # fmt: skip


def _with_value(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(x: Tensor, a: Tensor, b: Tensor, value: Any = 1) -> Tensor:
        return function(x, a, b, value=value.item() if isinstance(value, Tensor) else value)

    return call


for _word in ("addcmul", "addcdiv"):
    _put(f"_foreach_{_word}", _word, _with_value(_OPERATIONS[_word]), False)
    _put(f"_foreach_{_word}_", _word, _with_value(_OPERATIONS[f"{_word}_"]), True)


def _pow(self: Any, exponent: Any) -> tuple[Tensor, ...]:
    """pow, for every tensor of a list; the bases or the exponents may be numbers."""
    n = len(self) if isinstance(self, (list, tuple)) else len(exponent)
    name = "_foreach_pow"
    return tuple(_OPERATIONS["pow"](x, y) for x, y in zip(_spread(name, n, self), _spread(name, n, exponent)))


FOREACH["_foreach_pow"] = _pow
_put("_foreach_pow_", "pow", _OPERATIONS["pow_"], True)
