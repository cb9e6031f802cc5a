"""Derivatives of formulas: each rule against differences, and what the gradients read like."""

import numpy as np
import pytest

import mashal as torch
from mashal.core.dtypes import float32, float64
from mashal.lang import expression as e
from mashal.lang.derivative import RULES, adjoints
from mashal.lang.expression import Expression, operand, where
from mashal.lang.nest import Nest, Operand
from mashal.ops.run import plan_pointwise

x, y, g = (operand(i, float32) for i in range(3))
UNUSUAL = {"real", "imag", "complex", "conj", "cast", "select", "rem", "fma", "nextafter"}
"""Not functions of real numbers that differences could check here; their operations are checked in tests/ops."""
INSIDE = {"asin", "acos", "atanh", "erfinv"}
ABOVE = {"acosh"}


def computed(expression: Expression, *values):
    """An expression's value for arrays."""
    operands = [torch.from_numpy(v) for v in values]
    nest = Nest(((expression, float64),), tuple(Operand(float64) for _ in operands))
    form = operands[0].form
    return plan_pointwise(nest, [x.form for x in operands], tuple(form.shape), [form])(*operands).numpy()


def names():
    return sorted(set(RULES) - UNUSUAL)


@pytest.mark.parametrize("name", names())
def test_a_rule_is_the_slope(name):
    count = RULES[name].__code__.co_argcount - 2
    rng = np.random.default_rng(3)
    low, high = (
        (-0.8, 0.8)
        if name in INSIDE
        else (1.3, 3.0)
        if name in ABOVE
        else (0.3, 0.9)
        if name == "ndtri"
        else (0.3, 2.6)
    )
    values = [rng.uniform(low, high, 7) for _ in range(count)]
    if name == "zeta":
        values[0] += 1.5
    operands = [operand(i, float64) for i in range(count)]
    root = Expression(name, tuple(operands), float64)
    seed = operand(count, float64)
    ones = np.ones(7)
    for i, gradient in enumerate(adjoints(root, seed, operands)):
        if gradient is None:
            continue
        step = 1e-6
        ends = [computed(root, *(v + s * step * (k == i) for k, v in enumerate(values))) for s in (1, -1)]
        np.testing.assert_allclose(computed(gradient, *values, ones), (ends[0] - ends[1]) / (2 * step), 2e-6, 2e-7)


def test_gradients_of_shared_parts_are_added():
    (gradient,) = adjoints(x * x, g, [x])
    assert str(gradient) == "add(mul(x2, x0), mul(x2, x0))"


def test_what_a_result_does_not_depend_on_has_no_gradient():
    assert adjoints(e.exp(x), g, [y]) == [None]


def test_the_value_itself_stands_in_the_gradient_of_exp():
    root = e.exp(x)
    (gradient,) = adjoints(root, g, [x])
    assert gradient is g * root


@pytest.mark.parametrize(
    "root, texts",
    [
        (x * y, ["mul(x2, x1)", "mul(x2, x0)"]),
        (e.sin(x), ["mul(x2, cos(x0))"]),
        (x - y, ["x2", "neg(x2)"]),
        (where(x > 0, x, y), ["select(gt(x0, 0.0), x2, 0.0)", "select(gt(x0, 0.0), 0.0, x2)"]),
    ],
)
def test_gradients_read_as_formulas(root, texts):
    assert [str(p) for p in adjoints(root, g, [x, y]) if p is not None] == texts


def test_half_of_a_tie_goes_to_each_side():
    a = np.ones(3)
    operands = [operand(i, float64) for i in range(2)]
    for part in adjoints(e.maximum(*operands), operand(2, float64), operands):
        assert computed(part, a, a, a).tolist() == [0.5] * 3


def test_an_unknown_derivative_is_said():
    with pytest.raises(NotImplementedError, match="derivative for 'nextafter' is not implemented"):
        adjoints(e.nextafter(x, y), g, [x])
