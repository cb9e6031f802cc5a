"""What a compiled function sets of what was there before: modes, attributes, items, globals, whether a gradient is wanted."""

from __future__ import annotations

import copy

import pytest

import mashal as torch
import mashal.nn.functional as F
from mashal import nn

BATCHES = [torch.randn(6, 4, generator=torch.Generator().manual_seed(i)) for i in range(6)]


def run(make, compiled):
    """What a function returns in six calls, and what it left behind after each; the function."""
    torch.manual_seed(0)
    function, seen = make()
    called = torch.compile(function) if compiled else function
    found = []
    for batch in BATCHES:
        answer = called(batch)
        found.append([x.clone() if isinstance(x, torch.Tensor) else x for x in (answer, *seen())])
    return found, called


def same(make):
    """The recordings of a function that does compiled what it does eagerly, and is not cut."""
    (expected, _), (found, called) = run(make, False), run(make, True)
    for a, b in zip(expected, found):
        assert all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in zip(a, b)), (a, b)
    assert not called.recordings.refusal
    return called.recordings


def model():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 2))


def modes(of):
    return [m.training for m in of.modules()]


def test_a_step_that_evaluates_and_trains_is_one_recording():
    def make():
        net = model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

        def step(x):
            net.eval()
            with torch.no_grad():
                before = net(x).square().mean()
            net.train()
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()
            return before

        return step, lambda: [modes(net), *net.parameters(), *net.buffers()]

    assert len(same(make).all) == 1


def test_a_mode_that_is_left_is_left_by_each_replay():
    def make():
        net = model()
        net.eval()

        def step(x):
            net.train()
            return net(x)

        def seen():
            found = modes(net)
            net.eval()
            return found

        return step, seen

    assert len(same(make).all) == 1


def test_a_mode_that_alternates_has_two_recordings():
    def make():
        net = model()

        def step(x):
            net.train(not net.training)
            return net(x)

        return step, lambda: [modes(net)]

    assert len(same(make).all) == 2


def test_the_mode_of_one_layer_may_be_set():
    def make():
        net = model()

        def step(x):
            net[1].training = False
            y = net(x)
            net[1].training = True
            return y

        return step, lambda: [modes(net)]

    same(make)


class Keeps(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("mean", torch.zeros(4))
        self.last = None

    def forward(self, x):
        self.last = self.linear(x)
        self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        return self.last + self.mean


def test_tensors_that_a_module_keeps_are_kept_by_each_replay():
    def make():
        net = Keeps()
        return net.forward, lambda: [net.last, net.mean, net.state_dict()["mean"]]

    same(make)


def test_what_is_kept_has_its_history():
    def make():
        net = Keeps()

        def seen():
            net.zero_grad()
            net.last.sum().backward()
            return [net.linear.weight.grad]

        return net.forward, seen

    same(make)


def test_what_a_hook_keeps_is_kept():
    def make():
        net, kept = model(), {}

        def keep(module, given, found):
            kept["hidden"] = found.detach()

        net[0].register_forward_hook(keep)
        return lambda x: net(x), lambda: [kept["hidden"]]

    same(make)


def test_a_state_that_grows_has_a_replay_for_many_sizes():
    def make():
        class Cache:
            seen = torch.zeros(1, 4)

        cache = Cache()

        def step(x):
            cache.seen = torch.cat([cache.seen, x])
            return cache.seen.mean(0)

        return step, lambda: [cache.seen]

    assert same(make).growing


def test_a_variable_outside_is_set():
    def make():
        total = torch.zeros(4)

        def step(x):
            nonlocal total
            total = total + x.sum(0)
            return x * 2

        return step, lambda: [total]

    same(make)


def test_layers_that_are_frozen_for_a_while_want_gradients_again():
    def make():
        net = model()

        def step(x):
            net[0].requires_grad_(False)
            net.zero_grad()
            net(x).square().mean().backward()
            net[0].requires_grad_(True)
            return x

        wants = lambda: [p.requires_grad for p in net.parameters()]
        return step, lambda: [wants(), net[3].weight.grad, net[0].weight.grad is None]

    assert len(same(make).all) == 1


def test_layers_that_are_frozen_between_calls_have_two_recordings():
    def make():
        net, calls = model(), iter(range(9))

        def step(x):
            net.zero_grad()
            loss = net(x).square().mean()
            loss.backward()
            return loss

        def seen():
            net[0].requires_grad_(next(calls) % 2 == 0)
            return [net[3].weight.grad]

        return step, seen

    assert len(same(make).all) == 2


def test_a_counter_is_no_recording_for_each_number():
    class Counts(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return F.relu(x) * 2

    net = Counts()
    compiled = torch.compile(net.forward)
    for batch in BATCHES:
        compiled(batch)
    assert net.calls == len(BATCHES)
    assert compiled.recordings.refusal


def test_setting_a_place_makes_nothing_grow():
    class Box:
        last = None

    box = Box()

    @torch.compile
    def step(x):
        box.last = x * 2
        return x

    step(BATCHES[0])
    step(BATCHES[1])
    (recording,) = step.recordings.all
    kept = len(recording.program.tables.keeps)
    for _ in range(20):
        step(BATCHES[2])
    assert len(recording.program.tables.keeps) == kept


def test_a_mistake_in_the_call_leaves_the_mode_as_the_program_did():
    net = model()

    @torch.compile
    def step(x):
        net.eval()
        return net(x)

    with pytest.raises(RuntimeError):
        step(torch.ones(2, 3))
    assert not net.training


def test_the_gradient_of_a_gradient_leaves_what_was_set_later():
    class Box:
        last = None

    box = Box()

    @torch.compile
    def cube(x):
        box.last = x * x
        return (x**3).sum()

    for start in (2.0, 3.0):
        x = torch.full((2,), start, requires_grad=True)
        y = cube(x)
        later = box.last = torch.ones(2)
        (g,) = torch.autograd.grad(y, x, create_graph=True)
        (h,) = torch.autograd.grad(g.sum(), x)
        assert torch.equal(h, 6 * x)
        assert box.last is later


def test_an_attribute_of_a_class_may_be_something_else_for_a_while():
    def make():
        class Depth:
            now = 0

            def __enter__(self):
                Depth.now += 1

            def __exit__(self, *error):
                Depth.now -= 1

        def step(x):
            with Depth():
                return x * Depth.now

        return step, lambda: [Depth.now]

    assert len(same(make).all) == 1


def test_tensors_are_copied_by_kernels():
    def make():
        def step(x):
            part = copy.deepcopy(x[1:, ::2])
            shared = copy.deepcopy([x, x[0]])
            shared[0].add_(1)
            return part + 1, shared[1], copy.copy(x) * 2

        return lambda x: torch.cat([y.flatten() for y in step(x)]), list

    same(make)
