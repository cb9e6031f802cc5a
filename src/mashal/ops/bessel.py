"""Bessel functions of the first and second kind, of orders 0 and 1, and Airy's function.

Up to 8 each is a polynomial (of the second kind: and a logarithm); above it √(2/πx)·(P·cos φ - Q·sin φ) with slowly varying P
and Q, polynomials of (8/x)². All is computed in double precision, to a few 1e-16 of the largest value nearby. The tables
are expansions in Chebyshev's polynomials of the exact functions, as sums of powers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mashal.core.dtypes import float64
from mashal.lang import expression as e
from mashal.lang.expression import Expression, cast, constant, where
from mashal.ops.comparison import refuse_complex
from mashal.ops.define import floating, pointwise

SPECIAL = ("special",)
PI = 3.141592653589793
INFINITY = float("inf")

# ---------------------------------------------------------------- tables
J0 = (
    0.04582966485981377, 0.9303012472958572, -0.6484692830871837, -0.8080888076696872, 1.0383794611437211,
    -0.5074680458471, 0.14598884856759264, -0.028472718610882047, 0.004058078989140991, -0.0004435459224311503,
    3.8473197855944365e-05, -2.717749223632098e-06, 1.5956109104549218e-07, -7.91532308295207e-09,
    3.3634475788173604e-10, -1.243301171273326e-11, 4.0037632815796753e-13,
)  # fmt: skip
J1 = (
    -0.05814382795599107, 0.08105866038589796, 0.15151665143806634, -0.2595948652859303, 0.15858376432721938,
    -0.05474581821284722, 0.012456814392255438, -0.0020290394945705996, 0.0002494945813909099,
    -2.404574865968694e-05, 1.8684525371950874e-06, -1.196708186787801e-07, 6.4312687983276065e-09,
    -2.943013798001659e-10, 1.1610590175819576e-11, -4.0045728425886457e-13, 1.2095547964761484e-14,
)  # fmt: skip
Y0 = (
    -0.382250654459425, -0.8284358903604587, 1.6470964788745466, 0.14412632369302442, -1.0775477338215995,
    0.6721770783431723, -0.21895747096171628, 0.0463670476813471, -0.00702574105727097, 0.0008061586060550644,
    -7.279541882454115e-05, 5.321318633735116e-06, -3.2185078445935923e-07, 1.6391065268260488e-08,
    -7.13046146536789e-10, 2.681822137847736e-11, -8.840112096073101e-13, 2.558039436392922e-14,
)  # fmt: skip
Y1 = (
    0.07075985882118005, -0.24337743079193114, 0.023367571720993584, 0.23507209206669755, -0.19639839859930425,
    0.07854786922242532, -0.019628756833099423, 0.0034224907399188495, -0.00044381734351149876,
    4.467433012646365e-05, -3.600999874357815e-06, 2.3804930420514178e-07, -1.3153322551127247e-08,
    6.169688029066965e-10, -2.4887509903377128e-11, 8.760001143977853e-13, -2.695138958384033e-14,
)  # fmt: skip
P0 = (
    0.9994572757882519, -0.0005363673192130047, 6.137416080109497e-06, -2.0527448156307146e-07,
    1.280376144080092e-08, -1.2121182069774233e-09, 1.5500565496632596e-10, -2.4882702786880542e-11,
    4.786995821368028e-12, -1.0636861151667625e-12, 2.4531772967345006e-13, -6.416781008015415e-14,
    3.339452259070809e-14, -1.180002783020184e-14,
)  # fmt: skip
Q0 = (
    -0.12444091103610815, 0.0005466519279475266, -1.1817110661200976e-05, 5.684971881753781e-07,
    -4.534972837363434e-08, 5.146231602705606e-09, -7.5763304988972e-10, 1.3623497617833053e-10,
    -2.8707211071105146e-11, 6.951785915752245e-12, -1.873640743543296e-12, 4.605060470396763e-13,
    -1.3137515498826537e-13, 1.0185094098694355e-13, -4.0574096424030336e-14,
)  # fmt: skip
P1 = (
    1.0009070262780821, 0.0008988049416705579, -7.9596946984383e-06, 2.4536766222672443e-07,
    -1.4708512991275258e-08, 1.3603058049468316e-09, -1.713107485294131e-10, 2.720406848040165e-11,
    -5.191158004646548e-12, 1.1462229852806783e-12, -2.6335760672461096e-13, 6.864486664846182e-14,
    -3.5455617466606254e-14, 1.2489929194563941e-14,
)  # fmt: skip
Q1 = (
    0.3742149922195918, -0.0007697167057643706, 1.4569614809851411e-05, -6.633568561050814e-07,
    5.136105997071193e-08, -5.720890888840857e-09, 8.316077350038262e-10, -1.4816588916791194e-10,
    3.100364837230575e-11, -7.465104477698295e-12, 2.002728774766585e-12, -4.91574062967655e-13,
    1.3996264453471973e-13, -1.0759215471978615e-13, 4.275621822194818e-14,
)  # fmt: skip
AI_LEFT = (
    0.017781541276574976, 2.1604930444284958, -0.30562024069113236, -12.331518636630511, 3.6886166327460765,
    20.956031843668782, -10.649205848266586, -15.77926094617847, 12.384008010561946, 5.222475745092832,
    -7.469458084963551, 0.1270683764900245, 2.5633621604784156, -0.7761426788427193, -0.473242477191229,
    0.31777351252994007, 0.01725200254755716, -0.06734512960391666, 0.01428815111695031, 0.007557142191123207,
    -0.004061644057359924, -8.691809438218433e-05, 0.000557799011352056, -0.00011957467798899508,
    -3.72064264687736e-05, 2.1431915430875494e-05, -8.978206051576433e-07, -1.915133247727735e-06,
    4.781045605361909e-07, 8.118132441735987e-08, -5.085696434235502e-08, 2.6471455249051205e-12,
    2.413442592627996e-09,
)  # fmt: skip
AI_RIGHT = (
    0.4757280916105396, -0.5102041758488685, -0.7433251431414681, 1.5046065801570658, -0.4707540979434561,
    -0.8158175462288121, 0.8326861457008922, -0.11443102258101902, -0.2740945243771503, 0.18567108294682194,
    -0.010349325993918107, -0.04420862798143117, 0.022223123617443934, -0.0001510016249615404,
    -0.004176962029599161, 0.001655753203726433, 4.455695235667544e-05, -0.0002589676911906518,
    8.409062459979576e-05, 4.4016274203778075e-06, -1.133899659452419e-05, 3.096122137849296e-06,
    2.2456722533939676e-07, -3.6977827818943375e-07, 8.716533875266168e-08, 8.14503072847828e-09,
    -9.744792953499232e-09, 1.7262088182355095e-09, 3.6139119953750285e-10, -1.4338461805824992e-10,
)  # fmt: skip
AI_BIG = (
    0.983679282828043, -0.014613458724023217, 0.0014132014717029575, -0.0002278522136910503, 4.846334053382966e-05,
    -1.2354390686945676e-05, 3.5878329689095155e-06, -1.1510261131203217e-06, 3.9970880001578955e-07,
    -1.4812065561005197e-07, 5.8020341371436036e-08, -2.3820808462967335e-08, 9.984700470064157e-09,
    -4.334633626191562e-09, 2.417112863971864e-09, -1.2787487327828507e-09, -7.598201853112061e-11,
    2.0119706569032908e-10, 6.200741512453467e-10, -4.349436323146175e-10, -2.499121453926284e-10,
    1.8009401491463617e-10, 8.420330221634052e-11, -5.4400006009749504e-11,
)  # fmt: skip
AI_F = (
    0.9999186831687495, -8.104448420566197e-05, 2.6945352286236253e-07, -2.8316593839784085e-09,
    5.97006691014541e-11, -2.0523376508924224e-12, 1.020235093402438e-13, -6.917853744487064e-15,
    5.888886858582416e-16,
)  # fmt: skip
AI_G = (
    0.06936151508891654, -8.238664258390099e-05, 5.341888403883511e-07, -8.284810990685144e-09,
    2.2901626037350859e-10, -9.66356378957824e-12, 5.652002225189752e-13, -4.292421829143172e-14,
    4.198148654720753e-15, -4.8096685979832e-16,
)  # fmt: skip


# ---------------------------------------------------------------- what formulas are made of
def _polynomial(t: Expression, powers: Sequence[float]) -> Expression:
    y: Any = constant(powers[-1], float64)
    for c in reversed(powers[:-1]):
        y = y * t + c
    return y


def _near(x: Expression, powers: Sequence[float]) -> Expression:
    """A table of x² up to 8."""
    square = x * x
    return _polynomial(where(square <= 64, square, 64) * (1 / 32) - 1, powers)


def _away(x: Expression, p: Sequence[float], q: Sequence[float], turns: int, second: bool) -> Expression:
    """√(2/πx)·(P·cos φ - Q·sin φ), of the second kind (P·sin φ + Q·cos φ), with φ = x - turns·π/4, for x ≥ 8."""
    x = where(x >= 8, x, 8)
    inverse = 1 / x
    t = inverse * inverse * 128 - 1
    big, small = _polynomial(t, p), _polynomial(t, q) * inverse
    sine, cosine = e.sin(x), e.cos(x)
    along, across = (cosine + sine, sine - cosine) if turns == 1 else (sine - cosine, -(cosine + sine))
    wave = big * across + small * along if second else big * along - small * across
    return where(x == INFINITY, 0, e.sqrt(inverse * (1 / PI)) * wave)


def _function(name: str, text: str, slope: Any) -> Any:
    """Registers a function that is computed in double precision."""

    def register(body: Any) -> Any:
        def formula(x: Expression) -> Expression:
            return where(x == x, cast(body(cast(x, float64)), x.dtype), x)

        formula.__doc__ = text
        call = pointwise(floating, name=name, where=SPECIAL, refuse=refuse_complex(name))(formula)
        call.backward(lambda g, y, x: None if slope is None else g * cast(slope(cast(x, float64)), x.dtype))
        return call

    return register


# ---------------------------------------------------------------- the formulas
def _j0(x: Expression) -> Expression:
    x = e.abs_(x)
    return where(x <= 8, _near(x, J0), _away(x, P0, Q0, 1, False))


def _j1(x: Expression) -> Expression:
    size = e.abs_(x)
    away = _away(size, P1, Q1, 3, False)
    return where(size <= 8, x * _near(x, J1), where(x < 0, -away, away))


def _y0(x: Expression) -> Expression:
    near = e.log(x) * (2 / PI) * _near(x, J0) + _near(x, Y0)
    return _of_positive(x, where(x <= 8, near, _away(x, P0, Q0, 1, True)))


def _y1(x: Expression) -> Expression:
    near = (e.log(x) * x * _near(x, J1) - 1 / x) * (2 / PI) + x * _near(x, Y1)
    return _of_positive(x, where(x <= 8, near, _away(x, P1, Q1, 3, True)))


def _of_positive(x: Expression, y: Expression) -> Expression:
    return where(x > 0, y, where(x == 0, -INFINITY, float("nan")))


def _airy(x: Expression) -> Expression:
    size = where(e.abs_(x) >= 1, e.abs_(x), 1)
    root = e.sqrt(size)
    zeta = size * root * (2 / 3)
    quarter = e.sqrt(root) * PI**0.5
    inverse = 1 / zeta
    right = _polynomial(inverse * AIRY_INVERSE - 1, AI_BIG) * e.exp(-zeta) * 0.5 / quarter
    t = inverse * inverse * AIRY_SQUARE - 1
    sine, cosine = e.sin(zeta), e.cos(zeta)
    wave = (sine + cosine) * _polynomial(t, AI_F) - (cosine - sine) * _polynomial(t, AI_G) * inverse
    left = where(size == INFINITY, 0, wave * 0.5**0.5 / quarter)
    right = where(size == INFINITY, 0, right)
    inside = where(x > -3, _polynomial(x * 0.4 + 0.2, AI_RIGHT), _polynomial(x * 0.4 + 2.2, AI_LEFT))
    return where(x > 2, right, where(x < -8, left, inside))


AIRY_INVERSE, AIRY_SQUARE = 2 * 1.885618083164127, 2 * 15.084944665313014**2
"""That bring 1/ζ for x ≥ 2, and 1/ζ² for x ≤ -8, to [0, 2]."""

# ---------------------------------------------------------------- the names
bessel_j0 = _function("bessel_j0", "The Bessel function of the first kind of order 0.", lambda x: -_j1(x))(_j0)
bessel_j1 = _function(
    "bessel_j1", "The Bessel function of the first kind of order 1.", lambda x: _j0(x) - where(x == 0, 0.5, _j1(x) / x)
)(_j1)
bessel_y0 = _function(
    "bessel_y0", "The Bessel function of the second kind of order 0; nan below 0.", lambda x: -_y1(x)
)(_y0)
bessel_y1 = _function(
    "bessel_y1", "The Bessel function of the second kind of order 1; nan below 0.", lambda x: _y0(x) - _y1(x) / x
)(_y1)
airy_ai = _function("airy_ai", "Airy's function Ai(x). It has no gradient.", None)(_airy)
