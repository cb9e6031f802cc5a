"""Numbers that follow from numbers among the arguments: computed first, and the rest is compiled with them as arguments."""

from __future__ import annotations

import math
import warnings

import pytest

import mashal as torch
from mashal import nn

X = torch.linspace(-1, 1, 12).reshape(3, 4)
RATE, WARM, WHOLE = 0.3, 3, 20


def scheduled(step, base=RATE):
    """A warm-up, and half a cosine."""
    if step < WARM:
        return base * (step + 1) / WARM
    done = (step - WARM) / (WHOLE - WARM)
    return base * 0.5 * (1 + math.cos(math.pi * done))


def falling(x, t):
    return x * math.exp(-t)


def noisy(x, t):
    kept = math.exp(-0.5 * t)
    return kept * x + (1 - kept**2) ** 0.5 * torch.ones(4)


def by_step(x, step):
    rate = scheduled(step)
    return x * rate, rate


def every_third(x, step):
    if step % 3 == 0:
        x = x * 2
    return x / (1 - 0.9 ** (step + 1))


def in_a_loop(x, t):
    for k in range(2):
        x = x * math.sin(t * 0.5) + k
    return x


def with_a_default(x, t=0.3, *, power=1.5):
    return x * t**power


def with_shadows(x, t):
    exp = lambda t: t * 2
    return exp(t) + x * math.tanh(t * 3)


PROGRAMS = [falling, noisy, by_step, every_third, in_a_loop, with_a_default, with_shadows]


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_numbers_are_computed_first(function):
    steps = function in (by_step, every_third)
    compiled = torch.compile(function)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(14):
            t = i if steps else 0.13 * (i + 1)
            expected, found = function(X, t), compiled(X, t)
            pairs = zip(expected, found) if isinstance(expected, tuple) else [(expected, found)]
            assert all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)
    assert compiled.recordings.led


def test_the_rest_has_one_replay_for_all():
    compiled = torch.compile(falling)
    for i in range(14):
        compiled(X, 0.13 * (i + 1))
    (rest,) = compiled.recordings.regions
    assert len(rest.varying) == 1


def test_gradients_go_through():
    weight = torch.ones(4, requires_grad=True)
    function = lambda x, t: (x * weight).sum() * math.exp(-t)
    compiled = torch.compile(function)
    for i in range(8):
        expected, found = (torch.autograd.grad(f(X, 0.13 * (i + 1)), weight)[0] for f in (function, compiled))
        assert torch.equal(expected, found)


def test_modules_and_methods():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x, t):
            return self.linear(x) * math.exp(-t)

    net = Scaled()
    for compiled in (torch.compile(net), torch.compile(net.forward)):
        for i in range(8):
            assert torch.equal(compiled(X, 0.13 * (i + 1)), net(X, 0.13 * (i + 1)))


def test_where_a_number_cannot_be_computed_the_function_says_so():
    compiled = torch.compile(lambda x, t: x * math.sqrt(t))
    for i in range(6):
        compiled(X, 0.13 * (i + 1))
    assert compiled.recordings.led
    with pytest.raises(ValueError, match="math domain error"):
        compiled(X, -1.0)
    assert torch.equal(compiled(X, 0.7), X * math.sqrt(0.7))


def test_where_only_one_branch_can_be_computed_the_other_one_is_right():
    function = lambda x, t: x / math.log(t) if t > 0 else x
    compiled = torch.compile(function)
    for i in range(9):
        t = -1.3 if i % 3 == 0 else 0.37 * (i + 1)
        assert torch.equal(compiled(X, t), function(X, t))


def test_functions_that_do_more_are_not_called_first():
    seen = []

    def noted(t):
        seen.append(t)
        return t * 2

    compiled = torch.compile(lambda x, t: x * noted(t))
    for i in range(6):
        compiled(X, 0.13 * (i + 1))
    assert not compiled.recordings.led
    assert len(seen) == 6


def test_fullgraph_stays_one_graph():
    compiled = torch.compile(falling, fullgraph=True)
    for i in range(8):
        assert torch.equal(compiled(X, 0.13 * (i + 1)), falling(X, 0.13 * (i + 1)))
    assert compiled.recordings.led
