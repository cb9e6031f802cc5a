"""Tensors that a program puts somewhere to find them there in the next call: a hidden state, a cache, running statistics."""

import types

import pytest

import mashal as torch
from mashal import nn
from mashal.nn import functional as F


def follows(build, times=6, cuts=0):
    """Whether a compiled function answers, and leaves behind, what its original does; build() gives it and what it leaves."""
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        step, left = build()
        step = torch.compile(step) if compiled else step
        answers = []
        for i in range(times):
            answers.append((step(torch.full((2,), i + 0.25)), [x.detach().clone() for x in left()]))
        found.append(answers)
    for (a, x), (b, y) in zip(*found):
        assert torch.equal(a, b)
        assert all(map(torch.equal, x, y))
    assert len(step.recordings.cuts) == cuts
    return step.recordings


def attribute():
    state = types.SimpleNamespace(h=torch.zeros(2))

    def step(x):
        state.h = state.h * 0.5 + x
        return state.h.sum()

    return step, lambda: [state.h]


def tuple_in_attribute():
    state = types.SimpleNamespace(h=(torch.zeros(2), torch.ones(2)))

    def step(x):
        a, b = state.h
        state.h = (a + x, b * x)
        return a.sum()

    return step, lambda: state.h


def item():
    state = {"h": torch.zeros(2), "other": 1}

    def step(x):
        state["h"] = state["h"] + x * state["other"]
        return state["h"] * 2

    return step, lambda: [state["h"]]


def item_of_list():
    state = [torch.zeros(2), torch.ones(2)]

    def step(x):
        state[0], state[1] = state[1], state[0] + x
        return state[0] * 1

    return step, lambda: state


def cell():
    h = torch.zeros(2)

    def step(x):
        nonlocal h
        h = F.dropout(h) + x
        return h * 2

    return step, lambda: [h]


def twice():
    state = types.SimpleNamespace(h=torch.zeros(2))

    def step(x):
        state.h = x
        state.h = state.h * 2
        return state.h

    return step, lambda: [state.h]


def changed_after():
    state = types.SimpleNamespace(h=torch.zeros(2))

    def step(x):
        old = state.h
        state.h = old + x
        old.add_(100)
        return old

    return step, lambda: [state.h]


class Averaged(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("mean", torch.zeros(2))
        self.last = torch.zeros(2)

    def forward(self, x):
        self.mean = 0.9 * self.mean + x
        self.last = torch.tanh(self.linear(x) + self.last.detach())
        return (self.last - self.mean).sum()


def module():
    model = Averaged()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)

    def step(x):
        optimizer.zero_grad()
        loss = model(x)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, lambda: [*model.state_dict().values(), model.last]


@pytest.mark.parametrize(
    "build",
    [attribute, tuple_in_attribute, item, item_of_list, cell, twice, changed_after, module],
    ids=lambda f: f.__name__,
)
def test_what_is_put_somewhere_is_an_answer_of_a_replay(build):
    assert len(follows(build).all) == 1


class Slotted:
    __slots__ = ("keys",)


def test_a_cache_that_grows_has_few_replays_for_many_lengths():
    def build():
        cache = Slotted()
        cache.keys = torch.zeros(1, 2)

        def step(x):
            cache.keys = torch.cat([cache.keys, x[None]])
            return cache.keys.exp() * x

        return step, lambda: [cache.keys]

    known = follows(build, times=12)
    assert len(known.all) + len(known.growing) <= 4


def test_a_recurrent_net_carries_its_hidden_state():
    def build():
        net, state = nn.LSTM(2, 3), types.SimpleNamespace(hidden=(torch.zeros(1, 3), torch.zeros(1, 3)))

        def step(x):
            net.zero_grad()
            state.hidden = tuple(h.detach() for h in state.hidden)
            y, state.hidden = net(x[None], state.hidden)
            y.sum().backward()
            return net.weight_hh_l0.grad

        return step, lambda: state.hidden

    assert len(follows(build).all) == 1


def test_other_functions_see_what_a_replay_puts_into_a_module():
    model = Averaged()
    step, look = torch.compile(model), torch.compile(lambda: model.mean * 1)
    for _ in range(5):
        step(torch.ones(2))
        assert torch.equal(look(), model.mean)


# ---------------------------------------------------------------- leaves that a call makes
def test_a_leaf_that_a_call_makes_gets_its_gradient():
    def weighed(x):
        w = torch.ones(2, requires_grad=True)
        return w, (w * x).sum()

    compiled = torch.compile(weighed)
    for i in range(4):
        w, y = compiled(torch.full((2,), float(i)))
        y.backward()
        assert w.grad.tolist() == [i, i]


def test_a_leaf_that_nobody_holds_is_no_obstacle():
    w = torch.ones(2, requires_grad=True)
    compiled = torch.compile(lambda x: (torch.zeros(2, requires_grad=True) + x * w).sum())
    for i in range(4):
        w.grad = None
        compiled(torch.full((2,), float(i))).backward()
        assert w.grad.tolist() == [i, i]
    assert len(compiled.recordings.all) == 1


# ---------------------------------------------------------------- arguments that want gradients
def attacked(x, w):
    x.requires_grad = True
    (x.exp() * w).sum().backward()
    return (x + x.grad.sign()).detach()


def test_an_argument_gets_the_gradient_of_each_call():
    w, compiled = torch.ones(2), torch.compile(attacked)
    for i in range(5):
        x, y = torch.full((2,), i / 2), torch.full((2,), i / 2)
        assert torch.equal(compiled(x, w), attacked(y, w))
        assert x.requires_grad
        assert torch.equal(x.grad, y.grad)
    assert len(compiled.recordings.all) == 1


def test_an_argument_that_has_a_gradient_keeps_adding_to_it():
    compiled = torch.compile(lambda x: (x * x).sum().backward())
    for i in range(8):
        x = torch.full((2,), float(i), requires_grad=True)
        x.grad = torch.ones(2) if i % 3 == 2 else None
        compiled(x)
        assert x.grad.tolist() == [2 * i + (i % 3 == 2)] * 2


def test_a_gradient_that_was_cleared_is_that_of_the_call():
    def cleared(x):
        x.grad = None
        (x * x).sum().backward()

    compiled = torch.compile(cleared)
    for i in range(8):
        x = torch.full((2,), float(i), requires_grad=True)
        x.grad = torch.ones(2) if i % 3 == 2 else None
        compiled(x)
        assert x.grad.tolist() == [2 * i] * 2


def test_a_function_that_is_defined_in_each_call_is_compiled_once():
    def step(x):
        slope = lambda y: torch.autograd.grad(y.sum(), x, create_graph=True)[0]
        y = (x * x).sin()
        print(end="")
        first = slope(y)
        print(end="")
        return slope(first).detach()

    compiled = torch.compile(step)
    regions = []
    for i in range(5):
        x = torch.full((2,), i / 2, requires_grad=True)
        assert torch.equal(compiled(x), step(x))
        regions.append(len(compiled.recordings.regions))
    assert regions[-1] == regions[2]
