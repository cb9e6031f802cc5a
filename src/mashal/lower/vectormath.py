"""The scalar functions of pointwise operations, by name, as straight-line IR on float and double lanes.

    emit("exp", f, x) -> the value exp(x), of x's type

Operands are values of one type, float or double, scalar or vector (narrower floats are widened by the caller).
Held by tests/lower/test_vectormath.py: float within 2 ulp (sigmoid 2.1, erfinv, lgamma, digamma 4), double within 2.2
(special functions: 1e-13 relative; lgamma and digamma absolute beside their zeros), infinities, NaN, denormals and -0.0
as IEEE and C have them. Branches: sin, cos, tan (arguments from 2^30 on), fmod, remainder, erfinv of doubles; loops: those
of `iterated` and `pathwise`.

    >>> from mashal.machine.text import Module
    >>> f = Module().function("half_power", "float", [("float", "x")])
    >>> f.end(emit("rsqrt", f, f.parameters[0]))
    >>> print(f.text())
    define float @half_power(float %x) nounwind {
    entry:
      %v.0 = call float @llvm.sqrt.f32(float %x)
      %v.1 = fdiv float 0x3FF0000000000000, %v.0
      ret float %v.1
    }
"""

from __future__ import annotations

from collections.abc import Callable

from mashal.lower import exponentials, floating, iterated, pathwise, special, trigonometry
from mashal.machine.text import Function, Value

FUNCTIONS: dict[str, Callable[..., Value]] = {
    name: getattr(place, name)
    for place, names in {
        exponentials: """exp exp2 expm1 exp_between exp_nonpositive sigmoid log log2 log10 log1p log1p_exp logaddexp
                         xlogy xlog1py sinh cosh tanh asinh acosh atanh pow cbrt""",
        trigonometry: "sin cos tan asin acos atan atan2",
        special: """erf erfc erfcx erfinv ndtr log_ndtr ndtri gelu_cdf lgamma digamma i0 i0e i1 i1e""",
        iterated: "gcd zeta gamma_p gamma_q",
        pathwise: "gamma_path beta_path",
        floating: """sqrt rsqrt floor ceil trunc round copysign nextafter frexp_mantissa frexp_exponent ldexp
                     fmod remainder hypot""",
    }.items()
    for name in names.split()
}
FUNCTIONS.update(iterated.BESSEL_K)
FUNCTIONS.update((name, iterated.polynomial_of(name)) for name in iterated.POLYNOMIALS)


def emit(name: str, f: Function, *operands: Value) -> Value:
    """Writes the function `name` of these operands into f and returns its value.

    The result has the operands' type, except that frexp_exponent's is i32; ldexp's second operand is an integer.
    Raises KeyError for a name that is not in FUNCTIONS.
    """
    return FUNCTIONS[name](f, *operands)
