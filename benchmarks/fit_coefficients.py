"""Fits the polynomials of lower/coefficients.py, and writes that file. Needs mpmath; takes about half a minute.

    python benchmarks/fit_coefficients.py > src/mashal/lower/coefficients.py

Each row names a function, the interval, and how many coefficients float and double get. The fit interpolates at
Chebyshev nodes in 60 digits (within a factor of two or so of the best possible error); what is fitted is always
the slowly varying factor that is left when the leading behaviour is taken out, so that absolute error is relative.
"""

from mpmath import (
    asin,
    atan,
    bernoulli,
    besseli,
    chebyfit,
    cos,
    erf,
    erfc,
    erfinv,
    exp,
    expm1,
    log,
    log1p,
    loggamma,
    mp,
    mpf,
    pi,
    sin,
    sinh,
    sqrt,
)

mp.dps = 60


def erfcx(x):
    """exp(x²)·erfc(x)"""
    if x < 25:
        return exp(x * x) * erfc(x)
    return sum((-1) ** k * mp.fac2(2 * k - 1) / (2 * x * x) ** k for k in range(25)) / (x * sqrt(pi))


def unmapped(t, k):
    """The x of t = (x - k) / (x + k)."""
    return k * (1 + t) / max(1 - t, mpf(10) ** -25)


def erfc_inverse(w):
    """The y > 0 with (1 - erf y)·(1 + erf y) = exp(-w)."""
    if w == 0:
        return mpf(0)
    q = exp(-w) / (1 + sqrt(-expm1(-w)))  # = 1 - erf(y)
    y = sqrt(w)
    y = erfinv(1 - q) if w < 20 else sqrt(w - log(w) / 2)
    for _ in range(8):  # Newton on log(erfc)
        c = erfcx(y) * exp(-y * y)
        y += (log(c) - log(q)) * erfcx(y) * sqrt(pi) / 2
    return y


def lgamma_factor(z):
    """lgamma(2 + z) / z"""
    return loggamma(2 + z) / z


def stirling(u):
    """(lgamma(x) - ((x - 1/2)·log(x) - x + log(2π)/2))·x at u = 1/x²"""
    return sum(bernoulli(2 * k + 2) / ((2 * k + 2) * (2 * k + 1)) * u**k for k in range(28))


def digamma_tail(u):
    """(log(x) - 1/(2x) - ψ(x))·x² at u = 1/x²"""
    return sum(bernoulli(2 * k + 2) / (2 * k + 2) * u**k for k in range(28))


def i_small(order):
    """I₀(x), or I₁(x)/x, at s = x²/64"""
    return lambda s: sum((16 * s) ** k / (mp.fac(k) * mp.fac(k + order)) for k in range(70)) / 2**order


def i_large(order):
    """exp(-x)·√x·I(x) at t = 16/x - 1, for x from 8"""

    def f(t):
        if t <= -0.97:
            u, term, total = (t + 1) / 16, mpf(1), mpf(0)
            for k in range(60):
                total += term
                term *= -(4 * order - (2 * k + 1) ** 2) * u / (8 * (k + 1))
            return total / sqrt(2 * pi)
        x = 16 / (1 + t)
        return besseli(order, x) * exp(-x) * sqrt(x)

    return f


half_log2, root, quarter = log(2) / 2, sqrt(mpf(2)) - 1, pi / 4
small_root = 1 - sqrt(mpf(1) / 2)
ATANH = (3 - 2 * sqrt(mpf(2))) ** 2  # the square of (√2 - 1)/(√2 + 1)

ROWS = [  # name, function, from, to, coefficients of float (or of the short form in double arithmetic), of double
    ("exp", lambda x: (expm1(x) - x) / x**2, -half_log2 * 1.001, half_log2 * 1.001, 5, 11),  # 1 + x + x²·P(x)
    ("exp_short", lambda x: (expm1(x) - x) / x**2, -half_log2 * 1.001, half_log2 * 1.001, 7, 0),
    ("exp2", lambda x: expm1(x * log(2)) / x, -0.5, 0.5, 7, 11),  # 1 + x·P(x)
    ("log", lambda x: (log1p(x) - x + x * x / 2) / x**3, -small_root, root, 9, 0),  # x - x²/2 + x³·P(x)
    ("atanh_log", lambda z: (log((1 + sqrt(z)) / (1 - sqrt(z))) / sqrt(z) - 2) / z, 0, ATANH, 4, 7),
    ("atanh_pair", lambda z: ((mp.atanh(sqrt(z)) / sqrt(z) - 1) / z - mpf(1) / 3) / z, 0, ATANH, 0, 8),
    ("sin", lambda s: (sin(sqrt(s)) / sqrt(s) - 1) / s, 0, quarter**2 * 1.001, 3, 6),
    ("cos", lambda s: (cos(sqrt(s)) - 1 + s / 2) / s**2, 0, quarter**2 * 1.001, 3, 6),
    ("asin", lambda s: (asin(sqrt(s)) / sqrt(s) - 1) / s, 0, 0.25, 6, 13),
    ("atan", lambda s: (atan(sqrt(s)) / sqrt(s) - 1) / s, 0, 1, 9, 20),
    ("sinh", lambda s: (sinh(sqrt(s)) / sqrt(s) - 1) / s, 0, 1, 4, 7),
    ("atanh", lambda s: (mp.atanh(sqrt(s)) / sqrt(s) - 1) / s, 0, 0.25, 7, 0),
    ("tanh", lambda s: (mp.tanh(sqrt(s)) / sqrt(s) - 1) / s, 0, mpf(0.625) ** 2, 5, 12),
    ("erf", lambda s: erf(sqrt(s)) / sqrt(s) - 1, 0, mpf(0.921875) ** 2, 7, 12),  # x + x·P(x²)
    ("erfcx", lambda t: (1 + 2 * unmapped(t, 3.75)) * erfcx(unmapped(t, 3.75)), -1, 1, 12, 25),
    ("erf_inverse", lambda t: erfc_inverse(unmapped(t, 3) ** 2) / unmapped(t, 3), -1, (27.3 - 3) / 30.3, 8, 16),
    ("erf_inverse_middle", lambda w: erfc_inverse(w) / sqrt(-expm1(-w)), 0, 5, 10, 22),
    ("erf_inverse_tail", lambda s: erfc_inverse((s + 3) ** 2) / sqrt(-expm1(-((s + 3) ** 2))), -0.765, 1.1, 10, 0),
    ("lgamma", lgamma_factor, -0.5, 0.5, 9, 18),
    ("stirling", stirling, 0, mpf(1) / 81, 3, 6),
    ("digamma", digamma_tail, 0, mpf(1) / 100, 3, 7),
    ("i0_small", i_small(0), 0, 1, 12, 17),
    ("i1_small", i_small(1), 0, 1, 11, 16),
    ("i0_large", i_large(0), -1, 1, 7, 22),
    ("i1_large", i_large(1), -1, 1, 7, 22),
]


def fit(f, low, high, n):
    nudge = mpf(10) ** -22
    return (
        [float(c) for c in chebyfit(lambda x: f(x + nudge if abs(x) < nudge else x), [low, high], n)][::-1] if n else []
    )


if __name__ == "__main__":
    print(
        '"""Coefficients of the vector mathematics, lowest power first; written by benchmarks/fit_coefficients.py."""\n'
    )
    print("# fmt: off\nCOEFFICIENTS: dict[str, dict[str, tuple[float, ...]]] = {")
    for name, f, low, high, short, long in ROWS:
        print(f'    "{name}": {{')
        for type, n in (("float", short), ("double", long)):
            if n:
                numbers = [repr(c) for c in fit(f, low, high, n)]
                lines = [", ".join(numbers[i : i + 4]) for i in range(0, n, 4)]
                print(f'        "{type}": (\n            ' + ",\n            ".join(lines) + ",\n        ),")
        print("    },")
    print("}")
