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


# ---------------------------------------------------------------- what backward does not need may be changed
CONSTANT = torch.arange(1.0, 10.0).reshape(3, 3)
UNNEEDED = {
    "a product": lambda h: h * CONSTANT,
    "a product from the left": lambda h: CONSTANT * h,
    "a product of matrices": lambda h: h @ CONSTANT,
    "a batch of products": lambda h: torch.bmm(h[None], CONSTANT[None])[0],
    "a linear map": lambda h: torch.nn.functional.linear(h, CONSTANT, CONSTANT[0]),
    "a sum of products": lambda h: torch.addmm(CONSTANT, h, CONSTANT),
    "a scaled product added": lambda h: torch.addcmul(CONSTANT, h, CONSTANT),
    "a mean of two": lambda h: torch.lerp(h, CONSTANT, CONSTANT),
    "dropout": lambda h: torch.nn.functional.dropout(h, 0.5),
    "a dot product": lambda h: torch.dot(h.view(9), CONSTANT.view(9)),
    "a dot product of rows": lambda h: torch.linalg.vecdot(h, CONSTANT),
}


@pytest.mark.parametrize("name", UNNEEDED)
def test_an_operand_that_no_wanted_gradient_needs_may_be_changed(name):
    x = torch.rand(3, 3, requires_grad=True)

    def gradient(change):
        torch.manual_seed(0)
        h = x * 1
        y = UNNEEDED[name](h)
        if change:
            h.add_(1)
        return torch.autograd.grad((y * y.detach()).sum(), x)[0]

    assert gradient(True).equal(gradient(False))


@pytest.mark.parametrize("name", UNNEEDED)
def test_an_operand_that_no_wanted_gradient_needs_is_let_go(name):
    h = torch.rand(3, 3, requires_grad=True) * 1
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.data_ptr()) or t, lambda t: t):
        y = UNNEEDED[name](h)
    assert h.data_ptr() not in kept and y.requires_grad


def test_an_operand_that_a_wanted_gradient_needs_may_not_be_changed():
    x, w = torch.rand(3, 3, requires_grad=True), torch.rand(3, 3, requires_grad=True)
    for f in (torch.mul, torch.mm, torch.nn.functional.linear):
        h = x * 1
        y = f(h, w)
        h.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


def test_gradients_of_gradients_need_no_more():
    x = torch.rand(3, 3, requires_grad=True)
    h = x * 1
    y = h @ CONSTANT
    h.add_(1)
    (first,) = torch.autograd.grad((y * y.detach() * x).sum(), x, create_graph=True)
    assert torch.autograd.grad(first.sum(), x)[0].shape == (3, 3)


@pytest.mark.parametrize("f", [lambda x, s: x / s, lambda x, s: torch.nn.functional.normalize(x), lambda x, s: torch.erfinv(x),
                               lambda x, s: torch.sinc(x), lambda x, s: torch.nn.functional.softsign(x)])  # fmt: skip
def test_a_result_that_pytorch_does_not_keep_may_be_changed(f):
    x, s = torch.rand(3, 3, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    expected = torch.autograd.grad(f(x, s).sum(), x)[0]
    y = f(x, s)
    y += CONSTANT
    assert torch.autograd.grad(y.sum(), x)[0].equal(expected)


def test_gradients_of_a_quotient_are_those_of_its_operands():
    x, s = torch.tensor([6.0, 9.0], requires_grad=True), torch.tensor([2.0, 3.0], requires_grad=True)
    y = (x * 1).div_(s)
    y.sum().backward()
    assert x.grad.tolist() == [1 / 2, torch.tensor(1 / 3).item()] and s.grad.tolist() == [-1.5, -1.0]
