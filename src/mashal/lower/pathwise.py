"""How samples move when a parameter of their distribution moves: gamma and beta numbers, by implicit differentiation.

A sample x with F(x; a) held fixed moves by dx/da = -∂F/∂a / ∂F/∂x. The series of the incomplete gamma and beta functions
are differentiated term by term; common factors cancel. Computed in double; nan outside the distributions' domains.
"""

from __future__ import annotations

from mashal.lower.exponentials import log
from mashal.lower.floating import INFINITY, NAN, any_lane, in_double
from mashal.lower.special import digamma
from mashal.machine.text import Function, Value

EPSILON = 2.0**-54
TURNS = 20000.0


@in_double
def gamma_path(f: Function, a: Value, x: Value, short: bool) -> Value:
    """dx/da of a gamma sample x of shape a and scale 1.

    P(a, x) = xᵃe⁻ˣ/Γ(a+1)·Σ tₙ with tₙ = Πₖ₌₁ⁿ x/(a+k), whose logarithmic derivative by a is -Hₙ = -Σₖ₌₁ⁿ 1/(a+k).
    """

    usable = a.compare("ogt", 0.0) & x.compare("ogt", 0.0) & a.compare("olt", INFINITY) & x.compare("olt", INFINITY)
    a, x = f.select(usable, a, 1.0), f.select(usable, x, 1.0)

    def turn(total: Value, moved: Value, term: Value, harmonic: Value, n: Value) -> list[Value]:
        term = term * x / (a + n)
        harmonic = harmonic + 1.0 / (a + n)
        more = any_lane(f, term.compare("ogt", total * EPSILON)) & any_lane(f, n.compare("olt", TURNS))
        return [more, total + term, moved + term * harmonic, term, harmonic, n + 1.0]

    zero = x * 0.0
    total, moved, _, _, _ = f.repeat(turn, [zero + 1.0, zero, zero + 1.0, zero, zero + 1.0])
    return f.select(usable, (moved - (log(f, x) - digamma(f, a + 1.0)) * total) * x / a, NAN)


@in_double
def beta_path(f: Function, x: Value, a: Value, b: Value, short: bool) -> Value:
    """dx/da of a beta sample x of parameters a and b, b held fixed.

    I(x; a, b) = xᵃ(1-x)ᵇ/(a·B(a, b))·Σ tₙ with tₙ = xⁿ·Πₖ₌₀ⁿ⁻¹ (a+b+k)/(a+1+k), which converges fast below the mean; above
    it 1 - I(1-x; b, a) is used.
    """
    usable = x.compare("ogt", 0.0) & x.compare("olt", 1.0) & a.compare("ogt", 0.0) & b.compare("ogt", 0.0)
    usable = usable & a.compare("olt", INFINITY) & b.compare("olt", INFINITY)
    x, a, b = f.select(usable, x, 0.5), f.select(usable, a, 1.0), f.select(usable, b, 1.0)
    low = (x * (a + b)).compare("ole", a)
    y = f.select(low, x, 1.0 - x)
    first = f.select(low, a, b)
    one = x * 0.0 + 1.0
    own = f.select(low, one, x * 0.0)

    def turn(total: Value, moved: Value, term: Value, slope: Value, n: Value) -> list[Value]:
        above, below = a + b + n, first + 1.0 + n
        slope = slope + 1.0 / above - own / below
        term = term * y * above / below
        more = any_lane(f, term.compare("ogt", total * EPSILON)) & any_lane(f, n.compare("olt", TURNS))
        return [more, total + term, moved + term * slope, term, slope, n + 1.0]

    total, moved, _, _, _ = f.repeat(turn, [one, x * 0.0, one, x * 0.0, x * 0.0])
    front = log(f, x) - own / a - digamma(f, a) + digamma(f, a + b)
    step = (front * total + moved) * x * (1.0 - x) / first
    return f.select(usable, f.select(low, -step, step), NAN)
