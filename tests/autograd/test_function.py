"""Function: operations whose forward and backward are written by hand."""

import pytest

import mashal as torch
from mashal.autograd import Function, grad
from mashal.autograd.function import once_differentiable


class Square(Function):
    @staticmethod
    def forward(ctx, x, power_name="two"):
        ctx.save_for_backward(x)
        ctx.power_name = power_name
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x * 2, None


class Exponential(Function):
    @staticmethod
    def forward(x):
        return x.exp()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0]


def leaf(*values):
    return torch.tensor(values, requires_grad=True)


def made(forward, backward):
    """A Function of these two."""
    return type("Made", (Function,), {"forward": staticmethod(forward), "backward": staticmethod(backward)})


def test_its_node_is_named_after_it():
    assert repr(Square.apply(leaf(3.0)).grad_fn).startswith("<SquareBackward object at 0x")


def test_backward_gives_gradients():
    x = leaf(3.0)
    Square.apply(x, "two").sum().backward()
    assert x.grad.tolist() == [6.0]


def test_what_is_set_on_ctx_is_there_in_backward():
    y = Square.apply(leaf(3.0), "zwei")
    assert y.grad_fn.power_name == "zwei"


def test_gradients_of_gradients_follow_from_backward():
    x = leaf(3.0)
    (first,) = grad(Square.apply(x).sum(), x, create_graph=True)
    assert grad(first.sum(), x)[0].tolist() == [2.0]


def test_setup_context_saves_results():
    x = leaf(0.0)
    (first,) = grad(Exponential.apply(x).sum(), x, create_graph=True)
    assert grad(first.sum(), x)[0].tolist() == [1.0]


def test_setup_context_takes_arguments_by_name():
    assert Exponential.apply(x=leaf(0.0)).tolist() == [1.0]


def test_saved_tensors_are_freed_with_the_graph():
    y = Square.apply(leaf(3.0)).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()


def test_a_saved_tensor_that_has_changed_is_noticed():
    x = leaf(3.0) * 1
    y = Square.apply(x)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_needs_input_grad_tells_which_gradients_are_wanted():
    seen = []

    def backward(ctx, g):
        seen.append(ctx.needs_input_grad)
        return g, g

    made(lambda ctx, a, b: a + b, backward).apply(leaf(1.0), torch.ones(1)).sum().backward()
    assert seen == [(True, False)]


def test_gradients_that_nothing_flowed_into_are_zeros_or_none():
    for materialize, expected in ((True, [0.0]), (False, None)):
        seen = []

        def forward(ctx, x, materialize=materialize):
            ctx.set_materialize_grads(materialize)
            return x * 2, x * 3

        def backward(ctx, a, b, seen=seen):
            seen.append(b if b is None else b.tolist())
            return a * 2

        made(forward, backward).apply(leaf(1.0))[0].sum().backward()
        assert seen == [expected]


def test_results_marked_non_differentiable_need_no_gradient():
    def forward(ctx, x):
        y = x * 2
        ctx.mark_non_differentiable(y)
        return y, x * 3

    y, z = made(forward, lambda ctx, a, b: b * 3).apply(leaf(1.0))
    assert (y.requires_grad, z.requires_grad) == (False, True)


def test_an_operand_changed_in_place_is_marked_dirty():
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    x = leaf(1.0)
    h = x * 1
    y = made(forward, lambda ctx, g: g * 2).apply(h)
    assert y is h
    y.sum().backward()
    assert x.grad.tolist() == [2.0]


def test_an_operand_returned_as_it_is_becomes_a_view():
    x = leaf(1.0)
    y = made(lambda ctx, x: x, lambda ctx, g: g * 5).apply(x)
    assert y is not x
    y.sum().backward()
    assert x.grad.tolist() == [5.0]


def test_a_wrong_number_of_gradients_is_told():
    with pytest.raises(
        RuntimeError, match=r"MadeBackward: it returned an incorrect number of gradients \(expected 2, got 1\)"
    ):
        made(lambda ctx, a, b: a * b, lambda ctx, g: g).apply(leaf(1.0), leaf(2.0)).sum().backward()


def test_a_gradient_of_the_wrong_shape_is_told():
    with pytest.raises(
        RuntimeError, match=r"invalid gradient at index 0: got \(3,\); expected shape compatible with \(2,\)"
    ):
        made(lambda ctx, a: a * 1, lambda ctx, g: torch.ones(3)).apply(leaf(1.0, 2.0)).sum().backward()


def test_a_gradient_of_a_broadcast_operand_is_summed():
    x = leaf(1.0)
    made(lambda ctx, a: a.expand(3) * 1, lambda ctx, g: g).apply(x).sum().backward()
    assert x.grad.tolist() == [3.0]


def test_a_gradient_for_what_is_no_tensor_is_told():
    with pytest.raises(RuntimeError, match="different from None at position 1"):
        made(lambda ctx, a, k: a * k, lambda ctx, g: (g, g)).apply(leaf(1.0), 2).sum().backward()


def test_only_tensors_are_saved():
    with pytest.raises(TypeError, match=r"save_for_backward: argument 0 is a int"):
        made(lambda ctx, a: ctx.save_for_backward(3), None).apply(leaf(1.0))


def test_once_differentiable_refuses_a_second_derivative():
    function = made(lambda ctx, a: a * 2, once_differentiable(lambda ctx, g: g * 2))
    x = leaf(1.0)
    y = function.apply(x)
    (first,) = grad((y * y).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_under_no_grad_nothing_is_recorded():
    with torch.autograd.no_grad():
        assert Square.apply(leaf(3.0)).grad_fn is None


def test_a_function_is_not_instantiated():
    with pytest.warns(DeprecationWarning, match=r"call Square\.apply"):
        Square()
