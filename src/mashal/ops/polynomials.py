"""Orthogonal polynomials of mashal.special: each degree from the two below it. The degree may be a tensor too."""

from __future__ import annotations

from typing import Any

from mashal.lang.expression import Expression, abs_, apply, where
from mashal.ops.define import floating, pointwise


def _family(name: str, of: str, shifted: bool = False) -> Any:
    """A family's function of (x, n); shifted: of 2x - 1, for x in [0, 1]."""
    family = name.removeprefix("shifted_")

    def body(x: Expression, n: Expression) -> Expression:
        y = apply(family, x * 2 - 1 if shifted else x, n)
        return where(abs_(n) < 2.0**63, y, 0)  # no degree, nan included: as for a negative one

    domain = " on [0, 1]" if shifted else ""
    body.__doc__ = f"{of} of degree n{domain}; 0 for a negative n. It has no gradient."
    call = pointwise(floating, name=name, where=("special",))(body)
    call.backward(lambda g, y, x, n: (None, None))
    return call


chebyshev_polynomial_t = _family("chebyshev_polynomial_t", "Chebyshev's polynomial of the first kind")
chebyshev_polynomial_u = _family("chebyshev_polynomial_u", "Chebyshev's polynomial of the second kind")
chebyshev_polynomial_v = _family("chebyshev_polynomial_v", "Chebyshev's polynomial of the third kind")
chebyshev_polynomial_w = _family("chebyshev_polynomial_w", "Chebyshev's polynomial of the fourth kind")
shifted_chebyshev_polynomial_t = _family("shifted_chebyshev_polynomial_t", "Chebyshev's first polynomial", True)
shifted_chebyshev_polynomial_u = _family("shifted_chebyshev_polynomial_u", "Chebyshev's second polynomial", True)
shifted_chebyshev_polynomial_v = _family("shifted_chebyshev_polynomial_v", "Chebyshev's third polynomial", True)
shifted_chebyshev_polynomial_w = _family("shifted_chebyshev_polynomial_w", "Chebyshev's fourth polynomial", True)
hermite_polynomial_h = _family("hermite_polynomial_h", "The physicist's Hermite polynomial")
hermite_polynomial_he = _family("hermite_polynomial_he", "The probabilist's Hermite polynomial")
laguerre_polynomial_l = _family("laguerre_polynomial_l", "Laguerre's polynomial")
legendre_polynomial_p = _family("legendre_polynomial_p", "Legendre's polynomial")
