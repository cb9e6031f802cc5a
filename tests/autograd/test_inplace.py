"""Changes in place: what they do to the graph, to views and to their bases."""

import pytest

import mashal as torch


def leaf(*values):
    return torch.tensor(values, requires_grad=True)


def test_a_leaf_that_requires_grad_is_not_changed_in_place():
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        leaf(1.0).add_(1)


def test_nor_is_a_view_of_it():
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        leaf(1.0, 2.0)[:1].add_(1)


def test_without_recording_a_leaf_may_change():
    x = leaf(1.0)
    with torch.autograd.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0]
    assert x.is_leaf


def test_an_expanded_tensor_is_not_written_to():
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        torch.ones(1).expand(3).add_(1)


def test_a_change_in_place_becomes_history():
    x = leaf(1.0, 2.0)
    h = x * 3
    h.mul_(x)
    h.sum().backward()
    assert x.grad.tolist() == [6.0, 12.0]


def test_a_change_of_a_view_reaches_its_base():
    x, w = leaf(1.0, 2.0, 3.0, 4.0), leaf(10.0, 20.0)
    h = x * 1
    h[1:3].mul_(w)
    assert h.grad_fn.name() == "CopySlices"
    h.sum().backward()
    assert x.grad.tolist() == [1.0, 10.0, 20.0, 1.0]
    assert w.grad.tolist() == [2.0, 3.0]


def test_other_views_see_a_change_of_a_view():
    x = leaf(1.0, 2.0, 3.0, 4.0)
    h = x * 1
    one, other = h[1:3], h[2:4]
    one.mul_(torch.tensor([10.0, 20.0]))
    other.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 20.0, 1.0]


def test_views_see_a_change_of_their_base():
    x = leaf(1.0, 2.0, 3.0)
    h = x * 1
    view = h[1:]
    h.mul_(torch.tensor([1.0, 10.0, 100.0]))
    view.sum().backward()
    assert x.grad.tolist() == [0.0, 10.0, 100.0]


def test_a_constant_takes_part_of_its_history_from_what_is_assigned():
    w = leaf(5.0)
    x = torch.zeros(3)
    x[1:2] = w * 2
    x.sum().backward()
    assert w.grad.tolist() == [2.0]


def test_gradients_of_gradients_through_a_changed_view():
    x = leaf(1.0, 2.0, 3.0)
    h = x * x
    view = h[1:2]
    view.mul_(view.clone())
    (first,) = torch.autograd.grad(h.sum(), x, create_graph=True)
    assert first.tolist() == [2.0, 32.0, 6.0]
    assert torch.autograd.grad(first.sum(), x)[0].tolist() == [2.0, 48.0, 2.0]


def test_a_transposed_base_is_changed_through_its_view():
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    h = x.t() * 1
    h[0].mul_(7)
    h.sum().backward()
    assert x.grad.tolist() == [[7.0, 1.0, 1.0], [7.0, 1.0, 1.0]]


def test_retain_grad_goes_along_with_a_change_in_place():
    x = leaf(1.0)
    h = x * 1
    h.retain_grad()
    h.mul_(2)
    (h * 3).sum().backward()
    assert h.grad.tolist() == [3.0]


def test_a_view_cannot_be_detached_in_place():
    with pytest.raises(RuntimeError, match="Can't detach views in-place"):
        (leaf(1.0, 2.0) * 1)[:1].detach_()


def test_detach_in_place_ends_the_history():
    h = leaf(1.0) * 2
    h.detach_()
    assert h.grad_fn is None
    assert not h.requires_grad


def test_a_transposed_tensor_changed_through_a_view_renews_its_other_views():
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    h = x.t() * 1
    row, column = h[0], h[:, 0]
    row.mul_(2)
    (first,) = torch.autograd.grad((column * column).sum(), x, create_graph=True)
    assert torch.autograd.grad(first.sum(), x)[0].shape == (2, 3)


def test_an_operand_that_is_another_view_of_what_changes_is_noticed():
    h = leaf(1.0, 2.0) * 1
    h[:1].mul_(h[:1])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        h.sum().backward()
