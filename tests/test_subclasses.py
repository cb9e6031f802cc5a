"""Subclasses of Tensor: what operations on them give, and what they may say themselves."""

import mashal as torch
from mashal import nn


class Marked(torch.Tensor):
    """A tensor that says nothing of its own."""


class Watching(torch.Tensor):
    """A tensor that notes what is done with it."""

    seen = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.seen.append(func.__name__)
        return super().__torch_function__(func, types, args, kwargs or {})


class Ignorant:
    """No tensor, but asked by operations."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return f"{func.__name__} of something else"


def test_operations_on_a_subclass_give_the_subclass():
    x = torch.ones(3, 2).as_subclass(Marked)
    results = [x + 1, 1 - x, x.sum(), x[0], x.reshape(2, 3), torch.exp(x), x @ x.t(), torch.cat([x, x]), x.detach()]
    assert {type(y) for y in results} == {Marked}
    assert [type(y) for y in x.max(0)] == [Marked, Marked]


def test_the_constructor_makes_the_subclass():
    x = Marked([1.0, 2.0])
    assert type(x) is Marked
    assert repr(x) == "Marked([1., 2.])"


def test_a_subclass_is_asked_for_each_operation():
    Watching.seen.clear()
    x = torch.ones(2).as_subclass(Watching)
    torch.exp(x + x).sum()
    assert Watching.seen == ["add", "exp", "sum"]


def test_what_is_no_tensor_is_asked_too():
    assert torch.exp(Ignorant()) == "exp of something else"
    assert torch.add(torch.ones(1), Ignorant()) == "add of something else"


def test_operations_on_parameters_give_plain_tensors():
    class Weight(nn.Parameter):
        pass

    for kind in (nn.Parameter, Weight):
        x = kind(torch.ones(2))
        assert type(x * 2) is type(x.sum()) is torch.Tensor


def test_gradients_reach_a_subclass():
    x = torch.ones(2).as_subclass(Marked).requires_grad_()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
