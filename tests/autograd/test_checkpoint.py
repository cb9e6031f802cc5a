"""Checkpoints: the same results and gradients with and without, and clear errors where a function changes its mind."""

import pytest

import mashal as torch
from mashal import nn
from mashal.testing import assert_close
from mashal.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential


def block(x):
    return (x.sin().exp() * x).tanh()


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradients_are_those_without_checkpoint(reentrant):
    x = torch.randn(3, 4, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    checkpoint(block, x, use_reentrant=reentrant).sum().backward()
    block(y).sum().backward()
    assert_close(x.grad, y.grad)


@pytest.mark.parametrize("reentrant", [True, False])
def test_dropout_draws_the_same_numbers_the_second_time(reentrant):
    drop = nn.Dropout(0.5)
    x = torch.ones(100, requires_grad=True)
    torch.manual_seed(1)
    y = checkpoint(lambda x: drop(x) * x, x, use_reentrant=reentrant)
    y.sum().backward()
    assert_close(x.grad, 2 * y.detach())


def test_parameters_of_a_module_get_gradients():
    layer = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    checkpoint(layer, torch.randn(5, 3), use_reentrant=False).sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


def test_the_function_runs_again_only_when_backward_asks():
    runs = []

    def counted(x):
        runs.append(1)
        return x.exp().sin()

    x = torch.ones(2, requires_grad=True)
    y = checkpoint(counted, x, use_reentrant=False)
    assert len(runs) == 1
    y.sum().backward()
    assert len(runs) == 2


def test_backward_twice_with_retain_graph():
    x = torch.ones(2, requires_grad=True)
    y = checkpoint(block, x, use_reentrant=False).sum()
    y.backward(retain_graph=True)
    once = x.grad.clone()
    y.backward()
    assert_close(x.grad, 2 * once)


def test_checkpoints_inside_checkpoints():
    x = torch.randn(4, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    inner = lambda x: checkpoint(block, x.cos(), use_reentrant=False) * x
    checkpoint(inner, x, use_reentrant=False).sum().backward()
    (block(y.cos()) * y).sum().backward()
    assert_close(x.grad, y.grad)


def test_a_function_that_changes_its_mind_is_reported():
    runs = []

    def fickle(x):
        runs.append(1)
        return x.sin().exp() if len(runs) == 1 else x.sin()

    x = torch.ones(2, requires_grad=True)
    y = checkpoint(fickle, x, use_reentrant=False)
    with pytest.raises(CheckpointError, match="2 at first, 1 when computed again"):
        y.sum().backward()


def test_sequential_in_parts():
    layers = nn.Sequential(*[nn.Linear(3, 3) for _ in range(5)])
    x = torch.randn(2, 3, requires_grad=True)
    assert_close(checkpoint_sequential(layers, 2, x, use_reentrant=False), layers(x))


def test_unknown_arguments_are_named():
    with pytest.raises(ValueError, match="Unexpected keyword arguments: colour"):
        checkpoint(block, torch.ones(1), use_reentrant=True, colour=1)
