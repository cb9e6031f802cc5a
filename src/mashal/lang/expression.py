"""Scalar expressions: what an operation computes for one element.

    e ::= operand(i)                  element of the i-th operand at the present point
        | scalar(i)                   the i-th operand, a number
        | constant(c)
        | place()                     the index along the row, int64
        | e + e, e - e, e * e, e / e, e % e, -e, e & e, e | e, e ^ e, ~e, e << e, e >> e
        | e < e, e <= e, …            (a bool)
        | f(e, …)                     f a name of `lower.vectormath`, or abs, maximum, minimum, where
        | cast(e, dtype)
        | over(kind, e)               e joined along the row: sum, prod, max, min, any, all, argmax, argmin

Expressions are immutable and shared: equal ones are one object, so what appears twice is computed once. A definition is a
Python function that is called with expressions in place of elements. Arithmetic is in the operands' promoted
dtype; a Python number takes the dtype of the other side. Half precisions never appear but in `operand` and the final
cast: `operand` gives float32.

    >>> x = operand(0, float32)
    >>> print(x * 2 + exp(x))
    add(mul(x0, 2.0), exp(x0))
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mashal.core.dtypes import FLOAT8, bfloat16, complex32, complex64, dtype, float16, float32, int64, promote
from mashal.core.dtypes import bool as bool_

COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")
ARITHMETIC = ("add", "sub", "mul", "div", "rem", "min", "max")
REDUCTIONS = ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin")
COMPLEX: dict[str, Callable[..., Expression]] = {}
"""What the functions of formulas are for complex operands (lang.complex)."""
_COMPUTED = {float16: float32, bfloat16: float32, complex32: complex64} | dict.fromkeys(FLOAT8, float32)

_interned: weakref.WeakValueDictionary[tuple, Expression] = weakref.WeakValueDictionary()


class Expression:
    """A node of the grammar above: its kind, its operands, the dtype of its value, and a constant or an index."""

    __slots__ = ("__weakref__", "dtype", "kind", "operands", "value")
    kind: str
    operands: tuple[Expression, ...]
    dtype: dtype
    value: Any

    def __new__(cls, kind: str, operands: tuple[Expression, ...], dtype: dtype, value: Any = None) -> Expression:
        key = kind, tuple(map(id, operands)), dtype, repr(value)
        found = _interned.get(key)
        if found is None:
            found = object.__new__(cls)
            found.kind, found.operands, found.dtype, found.value = kind, operands, dtype, value
            _interned[key] = found
        return found

    def __str__(self) -> str:
        if self.kind == "operand":
            return f"x{self.value}"
        if self.kind == "scalar":
            return f"s{self.value}"
        if self.kind == "constant":
            return repr(self.value)
        name = {"over": f"{self.value}_over", "cast": self.dtype.name}.get(self.kind, self.kind)
        return f"{name}({', '.join(map(str, self.operands))})"

    __repr__ = __str__

    def __hash__(self) -> int:
        return id(self)

    # arithmetic
    def __add__(self, other):
        return binary("add", self, other)

    def __radd__(self, other):
        return binary("add", other, self)

    def __sub__(self, other):
        return binary("sub", self, other)

    def __rsub__(self, other):
        return binary("sub", other, self)

    def __mul__(self, other):
        return _times(self, other)

    def __rmul__(self, other):
        return _times(self, other)

    def __truediv__(self, other):
        return binary("div", self, other)

    def __rtruediv__(self, other):
        return binary("div", other, self)

    def __mod__(self, other):
        return binary("rem", self, other)

    def __neg__(self):
        return Expression("neg", (self,), self.dtype)

    def __and__(self, other):
        return binary("and", self, other)

    def __or__(self, other):
        return binary("or", self, other)

    def __xor__(self, other):
        return binary("xor", self, other)

    def __invert__(self):
        return Expression("not", (self,), self.dtype)

    def __lshift__(self, other):
        return binary("shl", self, other)

    def __rshift__(self, other):
        return binary("shr", self, other)

    # comparisons
    def __lt__(self, other):
        return binary("lt", self, other)

    def __le__(self, other):
        return binary("le", self, other)

    def __gt__(self, other):
        return binary("gt", self, other)

    def __ge__(self, other):
        return binary("ge", self, other)

    def __eq__(self, other):  # type: ignore[override]
        return binary("eq", self, other)

    def __ne__(self, other):  # type: ignore[override]
        return binary("ne", self, other)

    def __bool__(self) -> bool:
        raise TypeError("a formula cannot branch on an element; write where(condition, a, b)")

    def __pow__(self, exponent):
        if isinstance(exponent, int) and 1 <= exponent <= 4:
            square = self * self
            return (self, square, square * self, square * square)[exponent - 1]
        return binary("pow", self, exponent)


# ---------------------------------------------------------------- making expressions
def operand(index: int, dtype: dtype) -> Expression:
    """The element of an operand; half precisions are read as float32. NotImplementedError for a dtype that is a name only."""
    if dtype.kind == "s":
        raise NotImplementedError(f"{dtype}: there are no operations of this dtype; it is a name only")
    return cast(Expression("operand", (), dtype, index), _COMPUTED.get(dtype, dtype))


def scalar(index: int, dtype: dtype) -> Expression:
    """An operand that is one number, given when the kernel is called."""
    return Expression("scalar", (), dtype, index)


def constant(value: Any, dtype: dtype) -> Expression:
    """A number known when the kernel is made."""
    if dtype.kind == "f":
        value = float(value)
    elif dtype.kind == "b":
        value = bool(value)
    elif dtype.kind == "c":
        value = complex(value)
    else:
        value = int(value)
    return Expression("constant", (), dtype, value)


def place() -> Expression:
    """The index along the row (along the innermost dimension of a pointwise nest over contiguous operands)."""
    return Expression("place", (), int64)


def cast(x: Expression, to: dtype) -> Expression:
    """x as another dtype; bool means "is not zero"."""
    if x.dtype is to:
        return x
    if to is bool_ and x.kind == "cast" and x.operands[0].dtype is bool_:
        return x.operands[0]
    if x.kind == "constant" and x.dtype.kind != "c" and not (x.dtype.kind == "f" and to.kind in "iu"):
        return constant(x.value, to)
    return Expression("cast", (x,), to)


def _kind_of_number(x: Any) -> dtype:
    return (
        bool_
        if isinstance(x, bool)
        else int64
        if isinstance(x, int)
        else float32
        if isinstance(x, float)
        else complex64
    )


def _common(a: Any, b: Any) -> tuple[Expression, Expression]:
    """Both sides as expressions of one dtype."""
    if not isinstance(a, Expression):
        a, b = _common(b, a)
        return b, a
    if not isinstance(b, Expression):
        number = _kind_of_number(b)
        mixed = promote(a.dtype, number)
        common = a.dtype if mixed.kind == a.dtype.kind else mixed
        return cast(a, common), constant(b, common)
    common = promote(a.dtype, b.dtype)
    return cast(a, common), cast(b, common)


def binary(kind: str, a: Any, b: Any) -> Expression:
    """A two-operand node; both sides are brought to their promoted dtype."""
    a, b = _common(a, b)
    if kind in ("div", "pow") and b.kind == "constant" and b.value == 1:
        return a
    if kind == "pow" and a.dtype.is_complex:
        return COMPLEX["pow"](a, b)
    return Expression(kind, (a, b), bool_ if kind in COMPARISONS else a.dtype)


def _times(a: Any, b: Any) -> Expression:
    a, b = _common(a, b)
    if b.kind == "constant" and b.value == 1:
        return a
    if a.kind == "constant" and a.value == 1:
        return b
    return Expression("mul", (a, b), a.dtype)


def apply(name: str, *arguments: Any) -> Expression:
    """A named function of expressions of one dtype."""
    first = next(a for a in arguments if isinstance(a, Expression))
    same = tuple(a if isinstance(a, Expression) else constant(a, first.dtype) for a in arguments)
    if first.dtype.is_complex and name in COMPLEX:
        return COMPLEX[name](*same)
    return Expression(name, same, first.dtype)


def where(condition: Expression, a: Any, b: Any) -> Expression:
    """a where the condition holds, else b."""
    if not isinstance(a, Expression) and not isinstance(b, Expression):
        a = constant(a, float32)
    a, b = _common(a, b)
    if a is b:
        return a
    return Expression("select", (cast(condition, bool_), a, b), a.dtype)


def over(kind: str, x: Expression) -> Expression:
    """x joined along the row by `kind`."""
    result = int64 if kind.startswith("arg") else bool_ if kind in ("any", "all") else x.dtype
    return Expression("over", (cast(x, bool_) if result is bool_ else x,), result, kind)


# ---------------------------------------------------------------- the functions of formulas
def _function(name: str) -> Callable[..., Expression]:
    def f(*arguments: Any) -> Expression:
        return apply(name, *arguments)

    f.__name__ = name
    f.__doc__ = f"{name} of expressions."
    return f


exp, exp2, expm1, log, log2, log10, log1p = map(_function, ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p"))
sin, cos, tan, asin, acos, atan, atan2 = map(_function, ("sin", "cos", "tan", "asin", "acos", "atan", "atan2"))
sinh, cosh, tanh, asinh, acosh, atanh = map(_function, ("sinh", "cosh", "tanh", "asinh", "acosh", "atanh"))
sqrt, rsqrt, sigmoid, erf, erfc, erfinv = map(_function, ("sqrt", "rsqrt", "sigmoid", "erf", "erfc", "erfinv"))
floor, ceil, trunc, round_even, lgamma, digamma = map(
    _function, ("floor", "ceil", "trunc", "round", "lgamma", "digamma")
)
copysign, fmod, hypot, nextafter = map(_function, ("copysign", "fmod", "hypot", "nextafter"))
erfcx, ndtr, ndtri, log_ndtr, gelu_cdf = map(_function, ("erfcx", "ndtr", "ndtri", "log_ndtr", "gelu_cdf"))
i0, i0e, i1, i1e, cbrt = map(_function, ("i0", "i0e", "i1", "i1e", "cbrt"))
logaddexp, log1p_exp, xlogy, xlog1py = map(_function, ("logaddexp", "log1p_exp", "xlogy", "xlog1py"))
frexp_mantissa, gcd, zeta, gamma_p, gamma_q = map(_function, ("frexp_mantissa", "gcd", "zeta", "gamma_p", "gamma_q"))
fma = _function("fma")


def multiply_add(a: Any, b: Any, c: Expression) -> Expression:
    """a · b + c; of floating numbers rounded once."""
    a, b = _common(a, b)
    return fma(a, b, c) if a.dtype.kind == "f" and c.dtype is a.dtype else a * b + c


def abs_(x: Expression) -> Expression:
    """|x|; of a complex number its real modulus."""
    return Expression("abs", (x,), x.dtype.to_real())


def maximum(a: Any, b: Any) -> Expression:
    """The larger one; nan if either is nan."""
    return binary("max", a, b)


def minimum(a: Any, b: Any) -> Expression:
    """The smaller one; nan if either is nan."""
    return binary("min", a, b)


def is_nan(x: Expression) -> Expression:
    """Whether x is not a number."""
    return x != x


def sum_over(x: Expression) -> Expression:
    return over("sum", x)


def max_over(x: Expression) -> Expression:
    return over("max", x)


def min_over(x: Expression) -> Expression:
    return over("min", x)


def row_length(dtype: dtype = float32) -> Expression:
    """How many elements a row has."""
    return cast(Expression("length", (), int64), dtype)


# ---------------------------------------------------------------- walking
def walk(roots: Iterable[Expression]) -> Iterator[Expression]:
    """Every node below the roots once, operands before what uses them."""
    seen: set[Expression] = set()
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((o, False) for o in reversed(node.operands) if o not in seen)


def rebuild(root: Expression, replace: dict[Expression, Expression]) -> Expression:
    """root with some nodes replaced by others of the same dtype."""
    done = dict(replace)
    for node in walk([root]):
        if node not in done:
            operands = tuple(done[o] for o in node.operands)
            same = all(a is b for a, b in zip(operands, node.operands))
            done[node] = node if same else Expression(node.kind, operands, node.dtype, node.value)
    return done[root]
