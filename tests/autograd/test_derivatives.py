"""functional and gradcheck: whole derivatives, and gradients held against differences."""

import pytest

import mashal as torch
from mashal import autograd
from mashal.autograd import functional
from mashal.autograd.gradcheck import GradcheckError


def doubles(*shape):
    return torch.rand(*shape, dtype=torch.float64).requires_grad_()


def cubes(x):
    return (x * x * x).sum()


def test_a_jacobian_has_the_shapes_of_output_and_input():
    found = functional.jacobian(lambda x: x.reshape(3, 2) * 2, torch.rand(2, 3))
    assert found.shape == (3, 2, 2, 3)
    assert found.reshape(6, 6).diagonal().tolist() == [2.0] * 6


def test_a_jacobian_of_several_is_nested():
    found = functional.jacobian(lambda x, y: (x * y, y), (torch.tensor([2.0]), torch.tensor([3.0])))
    assert [[block.item() for block in row] for row in found] == [[3.0, 2.0], [0.0, 1.0]]


def test_strict_refuses_what_is_independent():
    with pytest.raises(RuntimeError, match="jacobian: the outputs are independent of tensor 1"):
        functional.jacobian(lambda x, y: x * 2, (torch.ones(1), torch.ones(1)), strict=True)


def test_a_hessian():
    assert functional.hessian(cubes, torch.tensor([1.0, 2.0])).tolist() == [[6.0, 0.0], [0.0, 12.0]]


def test_products_with_a_jacobian():
    x, v = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 10.0])
    assert functional.vjp(lambda x: x * x, x, v)[1].tolist() == [2.0, 40.0]
    assert functional.jvp(lambda x: x * x, x, v)[1].tolist() == [2.0, 40.0]


def test_products_with_a_hessian():
    x, v = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 10.0])
    assert functional.vhp(cubes, x, v)[1].tolist() == [6.0, 120.0]
    assert functional.hvp(cubes, x, v)[1].tolist() == [6.0, 120.0]


def test_create_graph_lets_a_jacobian_be_differentiated():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    functional.jacobian(lambda x: x * x, x, create_graph=True).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_a_function_that_gives_several_values_has_no_hessian():
    with pytest.raises(RuntimeError, match="expected a single tensor with a single element"):
        functional.hessian(lambda x: x * 2, torch.ones(2))


@pytest.mark.parametrize(
    "function", [torch.exp, torch.tanh, lambda x: x.softmax(-1), lambda x: x @ x.t(), lambda x: x[:, 1:]]
)
def test_gradcheck_passes_right_gradients(function):
    x = doubles(2, 3)
    assert autograd.gradcheck(function, x)
    assert autograd.gradgradcheck(function, x)


def test_gradcheck_fails_wrong_gradients():
    class Wrong(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 3

    with pytest.raises(GradcheckError, match="Jacobian mismatch for output 0 with respect to input 0"):
        autograd.gradcheck(Wrong.apply, doubles(2))
    assert not autograd.gradcheck(Wrong.apply, doubles(2), raise_exception=False)


def test_gradcheck_needs_an_input_that_requires_grad():
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        autograd.gradcheck(torch.exp, torch.ones(2, dtype=torch.float64))
