"""Calls of modules are native: they must be what `forward` and hooks make of them."""

import inspect

import pytest

import mashal as torch

nn = torch.nn


class Adds(nn.Module):
    def forward(self, x, *more, scale=1, **options):
        return x, more, scale, options


def test_arguments_reach_forward_as_they_were_given():
    assert Adds()(1, 2, 3, scale=4, other=5) == (1, (2, 3), 4, {"other": 5})


def test_an_error_of_forward_goes_through():
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        Adds()()


def test_forward_put_on_an_instance_is_called():
    layer = nn.Linear(2, 2)
    layer.forward = lambda x: "own"
    assert layer(1) == "own"


def test_a_class_may_have_a_call_of_its_own():
    class Twice(nn.Linear):
        def __call__(self, x):
            return super().__call__(super().__call__(x))

    layer = Twice(2, 2)
    x = torch.ones(1, 2)
    assert torch.equal(layer(x), layer.forward(layer.forward(x)))


def test_a_hook_is_called_as_long_as_it_is_there():
    layer, seen = nn.Identity(), []
    handle = layer.register_forward_hook(lambda module, args, output: seen.append(output))
    layer(1)
    handle.remove()
    layer(2)
    assert seen == [1]


def test_the_call_says_what_it_takes():
    assert str(inspect.signature(nn.Module.__call__)) == "(self, /, *args, **kwargs)"


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)
