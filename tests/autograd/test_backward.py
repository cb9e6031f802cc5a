"""backward and grad: what they give, what they keep, and what they refuse."""

import gc
import weakref

import pytest

import mashal as torch
from mashal import autograd


def leaf(*values):
    return torch.tensor(values, requires_grad=True)


def test_gradients_of_a_leaf_used_twice_are_added():
    x = leaf(1.0, 2.0)
    (x * x + x).sum().backward()
    assert x.grad.tolist() == [3.0, 5.0]


def test_a_second_backward_adds_to_the_first():
    x = leaf(2.0)
    for _ in range(2):
        (x * 3).sum().backward()
    assert x.grad.tolist() == [6.0]


def test_the_gradient_to_start_from_is_given():
    x = leaf(1.0, 2.0)
    (x * x).backward(torch.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 40.0]


def test_a_tensor_of_several_elements_needs_a_gradient_to_start_from():
    with pytest.raises(RuntimeError, match=r"only for scalar outputs; this one is \(2,\)"):
        (leaf(1.0, 2.0) * 2).backward()


def test_the_gradient_to_start_from_has_the_shape_of_the_tensor():
    with pytest.raises(RuntimeError, match=r"gradient is \(3,\), the tensor \(2,\)"):
        (leaf(1.0, 2.0) * 2).backward(torch.ones(3))


def test_a_tensor_without_history_has_no_backward():
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad and does not have a grad_fn"):
        torch.ones(()).backward()


def test_a_graph_is_walked_once():
    x = leaf(1.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="pass retain_graph=True the first time"):
        y.backward()


def test_a_graph_that_has_kept_no_tensor_is_walked_again():
    x = leaf(1.0)
    y = (x + 1).reshape(1).sum()
    for _ in range(2):
        y.backward()
    assert x.grad.tolist() == [2.0]


def test_a_retained_graph_is_walked_again():
    x = leaf(3.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [12.0]


def test_gradients_of_gradients_of_gradients():
    x = torch.tensor(2.0, requires_grad=True)
    y = x * x * x * x
    for _ in range(3):
        (y,) = autograd.grad(y, x, create_graph=True)
    assert y.item() == 48.0


def test_create_graph_makes_grad_part_of_the_graph():
    x = leaf(3.0)
    (x * x).sum().backward(create_graph=True)
    assert x.grad.requires_grad


def test_grad_leaves_grad_alone():
    x = leaf(3.0)
    autograd.grad((x * x).sum(), x)
    assert x.grad is None


def test_grad_of_what_lies_between():
    x = leaf(3.0)
    h = x * 2
    assert autograd.grad((h * h).sum(), h)[0].tolist() == [12.0]


def test_grad_of_two_tensors_one_below_the_other():
    x = leaf(3.0)
    h = x * 2
    of_x, of_h = autograd.grad((h * h).sum(), [x, h])
    assert (of_x.tolist(), of_h.tolist()) == ([24.0], [12.0])


def test_grad_of_an_unused_tensor_is_refused_or_none_or_zeros():
    x, y = leaf(3.0), leaf(4.0)
    with pytest.raises(RuntimeError, match=r"input 1: .* not have been used in the graph"):
        autograd.grad((x * x).sum(), [x, y])
    assert autograd.grad((x * x).sum(), [x, y], allow_unused=True)[1] is None
    assert autograd.grad((x * x).sum(), [x, y], materialize_grads=True)[1].tolist() == [0.0]


def test_backward_into_chosen_inputs_only():
    x, y = leaf(3.0), leaf(4.0)
    (x * y).sum().backward(inputs=[x])
    assert (x.grad.tolist(), y.grad) == ([4.0], None)


def test_what_is_not_on_the_way_is_not_run():
    x, y = leaf(3.0), leaf(4.0)
    h = y * y
    h.register_hook(lambda g: pytest.fail("this branch leads to no input"))
    autograd.grad((x * x).sum() + h.sum(), x)


def test_batched_gradients_are_those_of_the_members():
    x = leaf(1.0, 2.0)
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    (found,) = autograd.grad(x * x, x, rows, is_grads_batched=True)
    assert found.tolist() == [[2.0, 0.0], [0.0, 4.0]]


def test_two_leaves_never_share_their_gradient():
    x, y = leaf(1.0, 2.0), leaf(1.0, 2.0)
    (x + y).sum().backward()
    x.grad.zero_()
    assert y.grad.tolist() == [1.0, 1.0]


def test_a_gradient_that_was_given_is_not_taken_over():
    x = leaf(1.0, 2.0)
    g = torch.ones(2)
    x.backward(g)
    x.grad.zero_()
    assert g.tolist() == [1.0, 1.0]


def test_a_gradient_that_a_hook_has_kept_is_not_taken_over():
    x, kept = leaf(1.0, 2.0), []
    x.register_hook(kept.append)
    (x * 3).sum().backward()
    x.grad.zero_()
    assert kept[0].tolist() == [3.0, 3.0]


def test_a_gradient_has_the_strides_of_its_leaf():
    x = leaf(1.0, 2.0)
    x.sum().backward()
    assert x.grad.stride() == (1,)


def test_a_change_in_place_of_what_backward_needs_is_noticed():
    x = leaf(1.0, 2.0)
    h = x * 1
    y = h * h
    h.add_(1)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation.* is at version 1; expected version 0"):
        y.sum().backward()


def test_a_result_that_its_own_node_needs_is_no_cycle():
    gc.disable()
    try:
        y = leaf(1.0).exp()
        gone = weakref.ref(y.grad_fn)
        del y
        assert gone() is None
    finally:
        gc.enable()


def test_a_long_chain_is_no_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y * 1
    y.sum().backward()
    assert x.grad.tolist() == [1.0]


def test_an_edge_stands_for_a_tensor():
    x = leaf(3.0)
    h = x * 2
    edge = autograd.graph.get_gradient_edge(h)
    assert autograd.grad((h * h).sum(), edge)[0].tolist() == [12.0]


def test_anomaly_mode_names_the_operation_that_gave_nan():
    x = torch.tensor(0.0, requires_grad=True)
    with (
        pytest.warns(UserWarning, match="test_backward.py"),
        autograd.detect_anomaly(),
        pytest.raises(RuntimeError, match=r"DivBackward0.*nan"),
    ):
        (x / x).backward()


def test_a_node_shows_the_operands_that_were_not_given():
    x, bias = torch.ones(2, 3, requires_grad=True), torch.ones(3, requires_grad=True)
    node = torch.nn.functional.layer_norm(x, (3,), None, bias).grad_fn
    assert [after and type(after).__name__ for after, _ in node.next_functions] == [
        "AccumulateGrad",
        None,
        "AccumulateGrad",
    ]
