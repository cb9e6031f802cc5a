"""Pointwise operations: values against NumPy and SciPy, dtypes, layouts, gradients, in place, out=, and what is refused."""

import math
import operator

import numpy as np
import pytest
import scipy.special

import mashal as torch
from mashal import nn
from mashal.ops.define import DEFINITIONS, Pointwise

F = nn.functional
INF, NAN = math.inf, math.nan
REALS = [0.0, 0.5, -0.5, 1.0, -1.0, 2.5, -3.25, 1e-5, 20.0, -20.0]
EXTREMES = [INF, -INF, NAN, -0.0, 3e38, -3e38, 1e-40, 100.0, -100.0]

UNARY = {
    "abs": np.abs, "neg": np.negative, "square": np.square, "reciprocal": np.reciprocal, "sqrt": np.sqrt, "exp": np.exp,
    "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p,
    "sigmoid": scipy.special.expit, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh,
    "atanh": np.arctanh, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "round": np.round, "erf": scipy.special.erf,
    "erfc": scipy.special.erfc, "erfinv": scipy.special.erfinv, "isnan": np.isnan, "isinf": np.isinf,
    "isfinite": np.isfinite, "signbit": np.signbit, "deg2rad": np.deg2rad, "rad2deg": np.rad2deg,
    "nan_to_num": np.nan_to_num, "logical_not": np.logical_not,
}  # fmt: skip
BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "maximum": np.maximum, "minimum": np.minimum,
    "fmax": np.fmax, "fmin": np.fmin, "atan2": np.arctan2, "hypot": np.hypot, "copysign": np.copysign, "fmod": np.fmod,
    "remainder": np.remainder, "floor_divide": np.floor_divide, "logaddexp": np.logaddexp, "pow": np.power,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor, "xlogy": scipy.special.xlogy,
}  # fmt: skip
INTEGERS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor, "gcd": np.gcd, "lcm": np.lcm, "maximum": np.maximum, "minimum": np.minimum,
}  # fmt: skip


def close(result, expected, tolerance):
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(result.numpy(), expected, rtol=tolerance, atol=tolerance * 1e-3)


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_one_tensor_agree_with_numpy(name, dtype):
    x = np.array(REALS + EXTREMES, dtype)
    with np.errstate(all="ignore"):
        expected = UNARY[name](x.astype("float64") if name in ("sin", "cos", "tan") else x)
    close(getattr(torch, name)(torch.tensor(x)), expected, 1e-6 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_two_tensors_agree_with_numpy(name, dtype):
    values = np.array([*REALS, 3.0, -7.0], dtype)
    x, y = values[:, None], values[None, ::-1]
    if name == "fmod":
        y = np.where(y == 0, 1, y)
    with np.errstate(all="ignore"):
        expected = BINARY[name](x, y)
    if name == "floor_divide":  # PyTorch's quotient by zero is infinite, as NumPy's
        with np.errstate(all="ignore"):
            expected = np.where(y == 0, x / np.where(y == 0, 0.0, y), expected)
    close(
        getattr(torch, name)(torch.tensor(x), torch.tensor(y.copy())), expected, 2e-6 if dtype == "float32" else 1e-12
    )


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_integers_agree_with_numpy(name, dtype):
    values = np.arange(-9 if dtype != "uint8" else 0, 10).astype(dtype)
    x, y = values[:, None], values[None, :]
    result = getattr(torch, name)(torch.tensor(x), torch.tensor(y))
    assert result.dtype == getattr(torch, dtype)
    np.testing.assert_array_equal(result.numpy(), INTEGERS[name](x, y))


@pytest.mark.parametrize("name", ["floor_divide", "remainder"])
@pytest.mark.parametrize("divisor", [1, -1, 3, -3, 127, -128])
def test_integer_quotients_round_down(name, divisor):
    x = np.arange(-128, 128).astype("int8")
    expected = {"floor_divide": np.floor_divide, "remainder": np.remainder}[name](x.astype("int64"), divisor).astype(
        "int8"
    )
    np.testing.assert_array_equal(getattr(torch, name)(torch.tensor(x), divisor).numpy(), expected)


# ---------------------------------------------------------------- gradients
DIFFERENTIABLE = [
    d for d in DEFINITIONS.values()
    if isinstance(d.operation, Pointwise) and d.operation.rule(torch.float64)[1] is torch.float64
    and d.name not in ("sign", "floor", "ceil", "trunc", "frac", "heaviside", "nextafter", "remainder", "threshold",
                       "igamma", "igammac", "zeta", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "gcd", "lcm",
                       "bitwise_left_shift", "bitwise_right_shift", "sgn", "angle", "hardsigmoid", "polygamma", "sinc",
                       "_standard_gamma_grad", "_dirichlet_grad")
]  # fmt: skip


@pytest.mark.parametrize("definition", DIFFERENTIABLE, ids=lambda d: d.name)
def test_gradients_are_the_slopes(definition):
    """Against central differences, at points inside of every function's domain and off every kink."""
    generator = np.random.default_rng(0)
    shift = 1.3 if definition.name == "acosh" else 0.2
    operands = [generator.uniform(shift, shift + 0.6, (3, 4)) for _ in range(definition.operation.arity)]
    tensors = [torch.tensor(x, requires_grad=True) for x in operands]
    definition.function(*tensors).sum().backward()
    step = 1e-6
    for i in range(len(operands)):
        up, down = ([torch.tensor(o + d * (k == i)) for k, o in enumerate(operands)] for d in (step, -step))
        slope = (definition.function(*up) - definition.function(*down)) / (2 * step)
        if tensors[i].grad is not None:
            close(tensors[i].grad, slope.numpy(), 2e-5)


@pytest.mark.parametrize(
    ("function", "at", "slope"),
    [
        (torch.relu, 0.0, 0.0), (torch.abs, 0.0, 0.0), (torch.sqrt, 0.0, INF), (F.hardtanh, 1.0, 0.0), (F.relu6, 6.0, 0.0),
        (F.hardsigmoid, 3.0, 0.0), (F.leaky_relu, 0.0, 0.01), (F.elu, 0.0, 1.0), (lambda x: x.clamp(0, 1), 1.0, 1.0),
        (lambda x: x**0, 0.0, 0.0), (lambda x: x**2, 0.0, 0.0), (lambda x: torch.maximum(x, torch.zeros(())), 0.0, 0.5),
        (F.silu, -1e4, 0.0), (torch.sigmoid, 1e4, 0.0), (F.softplus, -1e4, 0.0), (F.logsigmoid, -1e4, 1.0),
        (F.mish, 1e4, 1.0), (lambda x: F.gelu(x, approximate="tanh"), 1e30, 1.0), (torch.logaddexp, 1e4, 0.5),
    ],
)  # fmt: skip
def test_gradients_at_kinks_and_extremes(function, at, slope):
    x = torch.tensor(at, requires_grad=True)
    (function(x, x.detach()) if function is torch.logaddexp else function(x)).backward()
    assert x.grad.item() == pytest.approx(slope, abs=1e-6)


def test_the_branch_that_where_does_not_take_has_gradient_zero():
    x = torch.tensor([0.0, 4.0], requires_grad=True)
    y = torch.where(x > 0, x.sqrt(), x)
    torch.where(x > 0, torch.tensor(INF), x * 2).backward(torch.tensor([1.0, INF]))
    assert x.grad.tolist() == [2.0, 0.0]
    assert y.tolist() == [0.0, 2.0]


def test_a_broadcast_operand_gets_the_sum_of_gradients():
    x, y = torch.ones(3, 1, requires_grad=True), torch.ones(2, requires_grad=True)
    (x * y * 2).sum().backward()
    assert x.grad.tolist() == [[4.0]] * 3
    assert y.grad.tolist() == [6.0, 6.0]


# ---------------------------------------------------------------- dtypes
@pytest.mark.parametrize(
    ("call", "dtype"),
    [
        (lambda: torch.tensor([1]) / 2, torch.float32),
        (lambda: torch.tensor([1]) + 1.5, torch.float32),
        (lambda: torch.tensor([1], dtype=torch.uint8) + torch.tensor([1], dtype=torch.int8), torch.int16),
        (lambda: torch.tensor([1.0], dtype=torch.float16) + torch.tensor(1.0, dtype=torch.float64), torch.float16),
        (lambda: torch.tensor([True]) + torch.tensor([True]), torch.bool),
        (lambda: torch.tensor([True]) * 2, torch.int64),
        (lambda: torch.tensor([1.0]) + 1j, torch.complex64),
        (lambda: torch.tensor([1]) // 2, torch.int64),
        (lambda: torch.tensor([1]) // 2.0, torch.float32),
        (lambda: torch.tensor([1]) ** 2.0, torch.float32),
        (lambda: torch.tensor([1]) == 1, torch.bool),
        (lambda: torch.exp(torch.tensor([1])), torch.float32),
        (lambda: torch.abs(torch.tensor([1 + 1j])), torch.float32),
        (lambda: torch.where(torch.tensor([True]), 1, 2.0), torch.float32),
        (lambda: torch.tensor([1.0], dtype=torch.bfloat16) * 3, torch.bfloat16),
        (lambda: torch.float_power(torch.tensor([1]), 2), torch.float64),
    ],
)
def test_results_have_the_promoted_dtype(call, dtype):
    assert call().dtype is dtype


def test_bools_add_as_or_and_multiply_as_and():
    a, b = torch.tensor([True, True, False]), torch.tensor([True, False, False])
    assert (a + b).tolist() == [True, True, False]
    assert (a * b).tolist() == [True, False, False]


# ---------------------------------------------------------------- forms
@pytest.mark.parametrize("name", ["exp", "relu", "neg", "floor"])
def test_any_layout_gives_the_same_elements(name):
    function = getattr(torch, name)
    x = torch.tensor(np.arange(-30.0, 30.0).reshape(3, 4, 5))
    for view in (x.transpose(0, 2), x[:, ::2], x[1:, :, 3], x[:, :1].expand(3, 4, 5), x[:0], x[1, 2, 3]):
        np.testing.assert_array_equal(function(view).numpy(), function(torch.tensor(view.numpy().copy())).numpy())


@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.mod,
                                operator.floordiv, operator.lt, operator.ge, operator.eq])  # fmt: skip
def test_numbers_stand_on_either_side(op):
    x = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(op(torch.tensor(x), 2).numpy(), op(x, 2))
    np.testing.assert_allclose(op(2, torch.tensor(x)).numpy(), op(2, x))


def test_alpha_scales_the_second_operand():
    x = torch.tensor([1.0, 2.0])
    assert torch.add(x, 10, alpha=2).tolist() == [21.0, 22.0]
    assert torch.sub(x, x, alpha=3).tolist() == [-2.0, -4.0]
    assert torch.rsub(x, 1, alpha=2).tolist() == [-1.0, -3.0]
    x.add_(x, alpha=-1)
    assert x.tolist() == [0.0, 0.0]


def test_in_place_writes_into_the_tensor_itself():
    x = torch.tensor([1.0, -2.0])
    address = x.data_ptr()
    y = x
    y += 1
    y *= 2
    y.relu_().clamp_(max=3).neg_().add_(1)
    assert x is y
    assert (x.data_ptr(), x.tolist()) == (address, [-2.0, 1.0])


def test_in_place_is_recorded():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.clone()
    y.mul_(3).exp_()
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 3 * np.exp([3.0, 6.0]), rtol=1e-6)


def test_out_is_written_and_returned():
    x, out = torch.tensor([1.0, 2.0]), torch.empty(2)
    assert torch.add(x, x, out=out) is out
    assert out.tolist() == [2.0, 4.0]
    assert torch.exp(torch.tensor([0]), out=torch.empty(1, dtype=torch.float64)).dtype is torch.float64


def test_reflected_operators_of_other_classes_are_asked():
    class Other:
        def __radd__(self, x):
            return "other"

        __rmul__ = __rsub__ = __rtruediv__ = __rpow__ = __rfloordiv__ = __rmod__ = __radd__

    for op in (
        operator.add,
        operator.mul,
        operator.sub,
        operator.truediv,
        operator.pow,
        operator.floordiv,
        operator.mod,
    ):
        assert op(torch.ones(1), Other()) == "other"
    assert (torch.ones(1) == None) is False  # noqa: E711
    assert (torch.ones(1) != "a") is True


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("AddBackward0", lambda x: x + 1), ("SubBackward0", lambda x: x - x), ("RsubBackward1", lambda x: 1 - x),
        ("MulBackward0", lambda x: x * x), ("DivBackward0", lambda x: x / 2), ("PowBackward0", lambda x: x**2),
        ("PowBackward1", lambda x: x**x), ("ClampBackward1", lambda x: x.clamp(0, 1)), ("Log1PBackward0", torch.log1p),
        ("WhereBackward0", lambda x: torch.where(x > 0, x, 0.0)), ("EluBackward0", F.selu), ("SiluBackward0", F.silu),
    ],
)  # fmt: skip
def test_nodes_have_pytorch_names(name, call):
    assert type(call(torch.ones(2, requires_grad=True)).grad_fn).__name__ == name


# ---------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: torch.tensor([True]) - torch.tensor([True]), RuntimeError, r"use logical_xor\(\) or \^"),
        (lambda: -torch.tensor([True]), RuntimeError, "to invert a mask"),
        (lambda: torch.tensor([1]) // 0, RuntimeError, "ZeroDivisionError"),
        (lambda: torch.tensor([1]) % torch.tensor([0]), RuntimeError, "ZeroDivisionError"),
        (lambda: torch.tensor([2]) ** -1, RuntimeError, "negative integer powers"),
        (lambda: torch.tensor([1]).add_(1.5), RuntimeError, "can't be cast to the desired output type Long"),
        (lambda: torch.add(torch.tensor([1]), 1, alpha=0.5), RuntimeError, "must not be a floating point number"),
        (lambda: torch.ones(2, 3) + torch.ones(4, 5), RuntimeError, r"\(2, 3\) and \(4, 5\)"),
        (lambda: torch.ones(1).add_(torch.ones(2)), RuntimeError, "doesn't match the broadcast shape"),
        (lambda: torch.ones(1) & torch.ones(1), NotImplementedError, "integers or bools"),
        (lambda: torch.ones(1) + "a", TypeError, "unsupported operand"),
        (lambda: torch.maximum(torch.ones(1), 2), TypeError, "must be Tensor, not int"),
        (lambda: torch.ones(1).clamp(), RuntimeError, "at least one"),
        (lambda: torch.where(torch.ones(1), 1, 2), RuntimeError, "boolean tensor"),
        (lambda: torch.div(torch.ones(1), 2, rounding_mode="up"), RuntimeError, "'trunc' or 'floor'"),
        (lambda: F.gelu(torch.ones(1), approximate="fast"), RuntimeError, "'none' or 'tanh'"),
        (lambda: torch.ones(1, requires_grad=True).add_(1), RuntimeError, "leaf Variable"),
        (lambda: torch.ones(1).expand(3).add_(1), RuntimeError, "more than one element"),
    ],
)
def test_bad_input_is_told(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_a_column_is_changed_by_another_column_of_the_same_tensor():
    x = torch.arange(12.0).reshape(3, 4).clone()
    x[:, 1].add_(x[:, 3])
    x[:, :1].mul_(x[:, 2:3])
    assert x.tolist() == [[0, 4, 2, 3], [24, 12, 6, 7], [80, 20, 10, 11]]
