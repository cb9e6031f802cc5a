"""Expressions: shared, promoted and simplified as they are made."""

import pytest

from mashal.core.dtypes import bfloat16, complex64, float16, float32, float64, int32, int64
from mashal.core.dtypes import bool as bool_
from mashal.lang import expression as e
from mashal.lang.expression import cast, constant, operand, rebuild, scalar, walk, where

x, y = operand(0, float32), operand(1, float32)


def test_equal_expressions_are_one_object():
    assert x + y is operand(0, float32) + operand(1, float32)
    assert x + y is not y + x


def test_what_appears_twice_is_walked_once():
    assert sum(node is x for node in walk([x * x + x])) == 1


def test_operands_come_before_what_uses_them():
    nodes = list(walk([e.exp(x * y) + x]))
    places = {node: i for i, node in enumerate(nodes)}
    assert all(places[o] < i for node, i in places.items() for o in node.operands)


@pytest.mark.parametrize("d", [float16, bfloat16])
def test_half_precisions_are_read_as_float32(d):
    assert operand(0, d).dtype is float32


@pytest.mark.parametrize(
    "a, b, expected",
    [(float32, float64, float64), (int32, int64, int64), (int64, float32, float32), (bool_, int32, int32),
     (float32, complex64, complex64)],
)  # fmt: skip
def test_both_sides_take_the_promoted_dtype(a, b, expected):
    assert (operand(0, a) + operand(1, b)).dtype is expected


def test_a_number_takes_the_dtype_of_the_other_side():
    assert (x * 2).dtype is float32
    assert (operand(0, int32) + 1).dtype is int32
    assert (operand(0, int32) + 1.5).dtype is float32


def test_comparisons_are_bools():
    assert (x < y).dtype is bool_ and (x != 0).dtype is bool_


def test_times_one_is_the_expression_itself():
    assert x * 1 is x and 1 * x is x and x / 1 is x


def test_small_powers_are_products():
    assert x**2 is x * x and x**1 is x and x**4 is (x * x) * (x * x)


def test_casts_to_the_same_dtype_and_of_constants_vanish():
    assert cast(x, float32) is x
    assert cast(constant(2, float32), float64) is constant(2.0, float64)


def test_where_of_equal_sides_is_the_side():
    assert where(x > 0, y, y) is y


def test_a_formula_cannot_branch_on_an_element():
    with pytest.raises(TypeError, match=r"write where\(condition, a, b\)"):
        bool(x > 0)


def test_constants_keep_the_sign_of_zero():
    assert constant(0.0, float32) is not constant(-0.0, float32)


def test_rebuild_replaces_nodes():
    assert rebuild(e.exp(x) + x, {x: y}) is e.exp(y) + y


def test_joined_rows_know_their_dtypes():
    assert e.over("argmax", x).dtype is int64
    assert e.over("any", x).dtype is bool_
    assert e.sum_over(x).dtype is float32


@pytest.mark.parametrize(
    "expression, text",
    [
        (x * 2 + e.exp(x), "add(mul(x0, 2.0), exp(x0))"),
        (where(x > 0, x, scalar(1, float32)), "select(gt(x0, 0.0), x0, s1)"),
        (e.sum_over(x) / e.row_length(), "div(sum_over(x0), float32(length()))"),
        (cast(x, int32) & 3, "and(int32(x0), 3)"),
    ],
)
def test_expressions_print_as_calls(expression, text):
    assert str(expression) == text
