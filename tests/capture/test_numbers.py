"""Numbers that Python computes anew in each call of a compiled function: learning rates that are tensors, counted batches, step numbers."""

from __future__ import annotations

import pytest

import mashal as torch
from mashal import nn

BATCHES = [torch.randn(6, 4, generator=torch.Generator().manual_seed(i)) for i in range(8)]


def trained(make, compiled, before=None):
    """Losses, parameters, buffers and states after each of eight steps; the step."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(4, 5, bias=False), nn.BatchNorm1d(5, affine=False, momentum=None), nn.Linear(5, 3, bias=False)
    )
    optimizer, schedule = make(net)

    def step(x):
        optimizer.zero_grad()
        loss = net(x).square().mean()
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        return loss

    called = torch.compile(step) if compiled else step
    found = []
    for i, batch in enumerate(BATCHES):
        if before is not None:
            before(optimizer, i)
        loss = called(batch)
        states = [x for state in optimizer.state.values() for x in state.values() if isinstance(x, torch.Tensor)]
        found.append([x.detach().clone() for x in (loss, *net.parameters(), *net.buffers(), *states)])
    return found, called


def same(make, before=None):
    """Asserts that compiled steps do what eager ones do, without a cut."""
    (expected, _), (found, called) = trained(make, False, before), trained(make, True, before)
    for a, b in zip(expected, found):
        assert len(a) == len(b) and all(map(torch.equal, a, b))
    assert not called.recordings.refusal
    assert len(called.recordings.all) <= 2
    return called


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "Adafactor", "Muon"])
def test_a_learning_rate_that_is_a_tensor_is_read_in_each_call(name):
    def make(net):
        return getattr(torch.optim, name)(net.parameters(), lr=torch.tensor(0.01)), None

    same(make, lambda optimizer, i: optimizer.param_groups[0]["lr"].fill_(0.01 * (i + 1)))


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"maximize": True}, {"beta2_decay": -0.5}])
def test_adafactor_is_recorded(options):
    same(lambda net: (torch.optim.Adafactor(net.parameters(), **options), None))


@pytest.mark.parametrize("options", [{}, {"nesterov": False}, {"adjust_lr_fn": "match_rms_adamw"}])
def test_muon_is_recorded(options):
    same(lambda net: (torch.optim.Muon(net.parameters(), **options), None))


@pytest.mark.parametrize("name", ["Adafactor", "Muon"])
def test_a_schedule_sets_what_the_next_call_reads(name):
    def make(net):
        optimizer = getattr(torch.optim, name)(net.parameters(), lr=0.1)
        return optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)

    same(make)


def test_a_learning_rate_that_the_call_changes_is_no_recording():
    def make(compiled):
        w, rate = torch.ones(3, requires_grad=True), torch.tensor(0.1)
        optimizer = torch.optim.SGD([w], lr=rate)

        def step(x):
            optimizer.zero_grad()
            (w * x).sum().backward()
            optimizer.step()
            rate.mul_(0.5)
            return x * 2

        called = torch.compile(step) if compiled else step
        return [(called(torch.full((3,), float(i))), w.detach().clone())[1] for i in range(4)]

    with pytest.warns(UserWarning, match="a tensor that the call changes"):
        found = make(True)
    assert all(map(torch.equal, found, make(False)))


def test_a_layer_that_counts_its_batches_twice_in_a_call_is_cut():
    def make(compiled):
        layer = nn.BatchNorm1d(4, momentum=None, affine=False)
        called = torch.compile(lambda x: layer(layer(x))) if compiled else lambda x: layer(layer(x))
        return [(called(batch), layer.running_mean.clone())[1] for batch in BATCHES[:4]]

    with pytest.warns(UserWarning, match="what the call itself has changed"):
        found = make(True)
    assert all(map(torch.equal, found, make(False)))
