"""The derivative of a pointwise expression, as an expression.

`adjoints(root, seed, operands)` walks the expression from its root to its operands, multiplying by local derivatives
(reverse accumulation), and gives for each operand the gradient `seed * d root / d operand`. What the rules use of the value
itself (exp's derivative is exp) is the node, so the forward result can be put in its place.

A derivative that is right but loses digits or overflows at large arguments is stated beside the formula in the
definition instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from mashal.lang import expression as e
from mashal.lang.expression import Expression, cast, constant, walk, where

Rule = Callable[..., tuple[Expression | None, ...]]


def _sign(x: Expression) -> Expression:
    return where(x > 0, 1.0, where(x < 0, constant(-1.0, x.dtype), x * 0))


def _conj(x: Expression) -> Expression:
    return Expression("conj", (x,), x.dtype) if x.dtype.is_complex else x


def _modulus(g: Expression, y: Expression, a: Expression) -> Expression:
    return where(y == 0, 0, a / y) * g


_SQRT_PI = math.sqrt(math.pi)
_NORMAL_PEAK = 1 / math.sqrt(2 * math.pi)

# g: gradient of the node's value; y: the node itself; then its operands
RULES: dict[str, Rule] = {
    "add": lambda g, y, a, b: (g, g),
    "sub": lambda g, y, a, b: (g, -g),
    "mul": lambda g, y, a, b: (g * _conj(b), g * _conj(a)),
    "div": lambda g, y, a, b: (g / _conj(b), -g * _conj(y / b)),
    "neg": lambda g, y, a: (-g,),
    "rem": lambda g, y, a, b: (g, -g * e.floor(a / b)),
    "fmod": lambda g, y, a, b: (g, -g * e.trunc(a / b)),
    "fma": lambda g, y, a, b, c: (g * b, g * a, g),
    "max": lambda g, y, a, b: _tied(g, a, b, a > b),
    "min": lambda g, y, a, b: _tied(g, a, b, a < b),
    "select": lambda g, y, c, a, b: (None, where(c, g, 0), where(c, 0, g)),
    "abs": lambda g, y, a: (_modulus(g, y, a) if a.dtype.is_complex else g * _sign(a),),
    "exp": lambda g, y, a: (g * y,),
    "exp2": lambda g, y, a: (g * y * math.log(2),),
    "expm1": lambda g, y, a: (g * (y + 1),),
    "log": lambda g, y, a: (g / a,),
    "log2": lambda g, y, a: (g / (a * math.log(2)),),
    "log10": lambda g, y, a: (g / (a * math.log(10)),),
    "log1p": lambda g, y, a: (g / (a + 1),),
    "sqrt": lambda g, y, a: (g / (y * 2),),
    "rsqrt": lambda g, y, a: (g * -0.5 * y * y * y,),
    "sin": lambda g, y, a: (g * e.cos(a),),
    "cos": lambda g, y, a: (-g * e.sin(a),),
    "tan": lambda g, y, a: (g * (y * y + 1),),
    "asin": lambda g, y, a: (g * e.rsqrt(1 - a * a),),
    "acos": lambda g, y, a: (-g * e.rsqrt(1 - a * a),),
    "atan": lambda g, y, a: (g / (a * a + 1),),
    "atan2": lambda g, y, a, b: (g * b / (a * a + b * b), -g * a / (a * a + b * b)),
    "sinh": lambda g, y, a: (g * e.cosh(a),),
    "cosh": lambda g, y, a: (g * e.sinh(a),),
    "tanh": lambda g, y, a: (g * (1 - y * y),),
    "asinh": lambda g, y, a: (g * e.rsqrt(a * a + 1),),
    "acosh": lambda g, y, a: (g * (e.rsqrt(a - 1) * e.rsqrt(a + 1) if a.dtype.is_complex else e.rsqrt(a * a - 1)),),
    "atanh": lambda g, y, a: (g / (1 - a * a),),
    "sigmoid": lambda g, y, a: (g * (1 - y) * y,),
    "erf": lambda g, y, a: (g * (2 / _SQRT_PI) * e.exp(-(a * a)),),
    "erfc": lambda g, y, a: (g * (-2 / _SQRT_PI) * e.exp(-(a * a)),),
    "erfinv": lambda g, y, a: (g * (_SQRT_PI / 2) * e.exp(y * y),),
    "lgamma": lambda g, y, a: (g * e.digamma(a),),
    "hypot": lambda g, y, a, b: (g * (a / y), g * (b / y)),
    "pow": lambda g, y, a, b: (_pow_base(g, a, b), _pow_exponent(g, y, a, b)),
    "copysign": lambda g, y, a, b: (where(a == 0, 0, g * y / a), constant(0, g.dtype)),
    "logaddexp": lambda g, y, a, b: (g * e.exp(a - y), g * e.exp(b - y)),
    "i0": lambda g, y, a: (g * e.i1(a),),
    "i0e": lambda g, y, a: (g * (e.i1e(a) - _sign(a) * y),),
    "i1": lambda g, y, a: (g * where(a == 0, 0.5, e.i0(a) - y / a),),
    "i1e": lambda g, y, a: (g * where(a == 0, 0.5, e.i0e(a) - y * _sign(a) - y / a),),
    "modified_bessel_k0": lambda g, y, a: (-g * e.apply("modified_bessel_k1", a),),
    "modified_bessel_k1": lambda g, y, a: (-g * (e.apply("modified_bessel_k0", a) + y / a),),
    "scaled_modified_bessel_k0": lambda g, y, a: (g * (y - e.apply("scaled_modified_bessel_k1", a)),),
    "scaled_modified_bessel_k1": lambda g, y, a: (g * (y - e.apply("scaled_modified_bessel_k0", a) - y / a),),
    "erfcx": lambda g, y, a: (g * (2 * a * y - 2 / _SQRT_PI),),
    "ndtr": lambda g, y, a: (g * e.exp(a * a * -0.5) * _NORMAL_PEAK,),
    "ndtri": lambda g, y, a: (g * e.exp(y * y * 0.5) / _NORMAL_PEAK,),
    "gelu_cdf": lambda g, y, a: (g * e.exp(a * a * -0.5) * _NORMAL_PEAK,),
    "zeta": lambda g, y, s, q: (None, -g * s * e.zeta(s + 1, q)),
    "log_ndtr": lambda g, y, a: (g * (2 * _NORMAL_PEAK) / e.erfcx(a * -math.sqrt(0.5)),),
    "real": lambda g, y, a: (cast(g, a.dtype),),
    "imag": lambda g, y, a: (Expression("complex", (g * 0, g), a.dtype),),
    "complex": lambda g, y, a, b: (Expression("real", (g,), a.dtype), Expression("imag", (g,), b.dtype)),
    "cast": lambda g, y, a: (cast(g, a.dtype) if a.dtype.kind in "fc" else None,),
    "conj": lambda g, y, a: (_conj(g),),
}
# constant almost everywhere
for _name in ("floor", "ceil", "trunc", "round"):
    RULES[_name] = lambda g, y, a: (constant(0, g.dtype),)


def _tied(g: Expression, a: Expression, b: Expression, first: Expression) -> tuple[Expression, Expression]:
    """The gradient goes to the chosen side, half to each where both are equal; both get it where either is nan."""
    half = where(a == b, g * 0.5, where((a == a) & (b == b), 0, g))
    return where(first, g, half), where(first, 0, where(a == b, g * 0.5, g))


def _pow_base(g: Expression, a: Expression, b: Expression) -> Expression:
    return where(b == 0, 0, g * (b * e.binary("pow", a, b - 1)))


def _pow_exponent(g: Expression, y: Expression, a: Expression, b: Expression) -> Expression:
    return where((a == 0) & (b >= 0), 0, g * (y * e.log(a)))


def adjoints(root: Expression, seed: Expression, wanted: list[Expression]) -> list[Expression | None]:
    """For each wanted node its gradient, given the root's; None where the root does not depend on it smoothly."""
    gradients: dict[Expression, Expression] = {root: seed}
    ends = set(wanted)  # a set, not the list: expressions compare by making an expression
    reaches = _below(root, ends)
    for node in reversed(list(walk([root]))):
        g = gradients.get(node)
        if g is None or node in ends or not node.operands or node not in reaches:
            continue
        if node.kind not in RULES:
            if node.dtype.kind in "fc":
                raise NotImplementedError(f"the derivative for '{node.kind}' is not implemented")
            continue
        for operand, part in zip(node.operands, RULES[node.kind](g, node, *node.operands)):
            if part is not None and operand in reaches and operand.dtype.kind in "fc":
                gradients[operand] = gradients[operand] + part if operand in gradients else part
    return [gradients.get(node) for node in wanted]


def _below(root: Expression, wanted: set[Expression]) -> set[Expression]:
    """The nodes on a way from the root to a wanted node."""
    found = set(wanted)
    for node in walk([root]):
        if any(o in found for o in node.operands):
            found.add(node)
    return found
