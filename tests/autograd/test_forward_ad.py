"""Tensors with tangents: derivatives along a direction, and what is refused."""

import pytest

import mashal as torch
from mashal import nn
from mashal.autograd import forward_ad as fwAD

T = torch.tensor


@pytest.mark.parametrize(
    "function", [torch.sin, lambda x: x * x.sum(), lambda x: torch.softmax(x, 0), lambda x: x @ x, lambda x: x[1:]]
)
def test_the_tangent_of_a_result_is_its_derivative_along_the_tangent(function):
    x, t = T([0.3, -1.0, 2.0], dtype=torch.float64), T([1.0, 0.5, -2.0], dtype=torch.float64)
    with fwAD.dual_level():
        value, tangent = fwAD.unpack_dual(function(fwAD.make_dual(x, t)))
    step = 1e-6
    expected = (function(x + step * t) - function(x - step * t)) / (2 * step)
    torch.testing.assert_close(value, function(x))
    torch.testing.assert_close(tangent, expected, rtol=1e-6, atol=1e-8)
    assert not tangent.requires_grad


def test_a_dual_tensor_gives_its_parts_back():
    with fwAD.dual_level():
        x = fwAD.make_dual(T(2.0), T(3.0))
        assert fwAD.unpack_dual(x).primal == 2
        assert fwAD.unpack_dual(x).tangent == 3


def test_what_has_no_tangent_has_none():
    with fwAD.dual_level():
        fwAD.make_dual(T(2.0), T(3.0))
        assert fwAD.unpack_dual(T(1.0)).tangent is None
        w = T(1.0, requires_grad=True)
        assert fwAD.unpack_dual(w * 2).tangent is None


def test_tangents_end_with_the_level():
    with fwAD.dual_level():
        x = fwAD.make_dual(T(2.0), T(3.0))
    assert fwAD.unpack_dual(x).tangent is None


def test_a_dual_tensor_can_be_changed_in_place():
    with fwAD.dual_level():
        x = fwAD.make_dual(T([1.0, 2.0]), T([1.0, 1.0]))
        x.mul_(3)
        assert fwAD.unpack_dual(x).tangent.tolist() == [3, 3]


def test_tangents_of_a_models_parameters():
    model = nn.Linear(2, 1)
    parameters = {name: p.detach().clone() for name, p in model.named_parameters()}
    x = torch.ones(1, 2)
    with fwAD.dual_level():
        for name, p in parameters.items():
            delattr(model, name)
            setattr(model, name, fwAD.make_dual(p, torch.ones_like(p)))
        assert fwAD.unpack_dual(model(x)).tangent.tolist() == [[3.0]]


def test_backward_goes_through_tangents():
    x = T(2.0, requires_grad=True)
    with fwAD.dual_level():
        tangent = fwAD.unpack_dual(fwAD.make_dual(x, T(1.0)) ** 3).tangent
        assert tangent == 12
        tangent.backward()
    assert x.grad == 12


def test_outside_of_a_level_nothing_is_made():
    with pytest.raises(RuntimeError, match="no level exists"):
        fwAD.make_dual(T(1.0), T(1.0))


def test_levels_do_not_nest():
    with fwAD.dual_level(), pytest.raises(RuntimeError, match="do not nest"):
        fwAD.enter_dual_level()


def test_shapes_must_agree():
    with fwAD.dual_level(), pytest.raises(RuntimeError, match="one shape"):
        fwAD.make_dual(T(1.0), torch.ones(2))


def test_gradcheck_holds_tangents_against_differences():
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: (torch.softmax(x, 0), x.sum()), (x,), check_forward_ad=True)
