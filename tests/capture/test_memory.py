"""What a compiled training step takes of memory, and an optimizer's kernel that waits for the end of the recorded call."""

import pytest

import mashal as torch
import mashal.nn.functional as F
from mashal import nn
from mashal.machine import memory

MEGABYTE = 1 << 20
STATEFUL = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam", "Adamax", "Adadelta"]


def training(optimizer="Adam", width=512):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
    options = {"momentum": 0.9} if optimizer == "SGD" else {}
    opt = getattr(torch.optim, optimizer)(model.parameters(), lr=0.01, **options)
    x = torch.randn(4, width)

    def step():
        opt.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        opt.step()
        return loss

    return model, opt, step


def peak(function):
    """The most bytes that were handed out at once while function ran, more than before."""
    memory.set_limits(1 << 30, 1 << 62)
    before = memory.statistics()["live"]
    function()
    found = memory.statistics()["peak"] - before
    memory.keep_free()
    return found


@pytest.mark.parametrize("optimizer", STATEFUL)
def test_a_step_that_makes_its_states_is_recorded_once(optimizer):
    _, _, step = training(optimizer, 8)
    compiled = torch.compile(step)
    for _ in range(3):
        compiled()
    assert len(compiled.recordings.all) == 1


def test_the_recorded_call_takes_no_more_than_an_eager_one():
    _, _, step = training()
    eager = peak(step)
    _, _, step = training()
    assert peak(torch.compile(step)) <= eager + MEGABYTE // 8


def test_a_replay_takes_no_more_than_an_eager_call():
    _, _, step = training()
    for _ in range(2):
        step()
    eager = peak(step)
    _, _, step = training()
    compiled = torch.compile(step)
    for _ in range(2):
        compiled()
    assert peak(compiled) <= eager + MEGABYTE // 8


def test_nothing_is_copied_that_no_kernel_can_spoil():
    x, g = torch.zeros(MEGABYTE), torch.ones(MEGABYTE)
    compiled = torch.compile(lambda: x.add_(g).mul_(2).sub_(1))
    compiled()
    compiled()
    assert peak(compiled) < MEGABYTE


def test_indices_that_forward_has_looked_at_cannot_be_wrong_in_backward():
    table, layer = nn.Embedding(10, 16), nn.Linear(16, 4)
    i = torch.arange(4)
    compiled = torch.compile(lambda: layer(table(i)).sum().backward())
    for _ in range(3):
        compiled()
    assert not compiled.recordings.all[0].program.tables.undo  # no gradient is copied before it is added to


def test_a_gradient_of_two_parts_is_added_up_where_it_stays():
    torch.manual_seed(0)
    w = torch.randn(512, 512, requires_grad=True)
    i, j = torch.arange(100), torch.arange(50, 150)

    def step():
        w.grad = None
        (F.embedding(i, w).square().sum() + F.embedding(j, w).exp().sum()).backward()

    step()
    expected = w.grad
    compiled = torch.compile(step)
    for _ in range(3):
        compiled()
    assert torch.equal(w.grad, expected)
    assert peak(compiled) < MEGABYTE * 3 // 2  # one part, not two


def states(opt):
    return {(id(p), name): x.clone() for p, own in opt.state.items() for name, x in own.items()}


@pytest.mark.parametrize("warm", [0, 1])
def test_an_error_behind_the_step_leaves_parameters_and_states_as_they_were(warm):
    model, opt, step = training(width=8)
    for _ in range(warm):
        step()
    before = [p.clone() for p in model.parameters()], [p._version for p in model.parameters()], states(opt)

    def failing():
        step()
        torch.ones(2) + torch.ones(3)

    with pytest.raises(RuntimeError, match="broadcast"):
        torch.compile(failing)()
    after = [p.clone() for p in model.parameters()], [p._version for p in model.parameters()], states(opt)
    assert all(map(torch.equal, before[0], after[0]))
    assert before[1] == after[1]
    assert before[2].keys() == after[2].keys()
    assert all(torch.equal(x, after[2][key]) for key, x in before[2].items())


def looked_at(how):
    """A training step that looks at its parameters behind the optimizer's; what it found, call after call."""
    model, opt, step = training(width=8)
    average = [p.detach().clone() for p in model.parameters()]
    weight = model[0].weight

    def whole():
        step()
        return how(weight, average, opt)

    return model, whole


LOOKS = {
    "a sum": lambda w, average, opt: w.detach().sum(),
    "an item": lambda w, average, opt: w[0, 0].item(),
    "a list": lambda w, average, opt: w.tolist(),
    "a copy": lambda w, average, opt: w.detach().clone(),
    "the parameter itself": lambda w, average, opt: w,
    "an average": lambda w, average, opt: average[0].lerp_(w.detach(), 0.5).sum(),
    "a change in place": lambda w, average, opt: w.data.clamp_(-0.1, 0.1).sum(),
    "another gradient": lambda w, average, opt: w.grad.zero_(),
    "a second step": lambda w, average, opt: opt.step(),
    "no gradient any more": lambda w, average, opt: opt.zero_grad(),
    "a state": lambda w, average, opt: opt.state[w]["exp_avg"].sum(),
    "data of its own": lambda w, average, opt: setattr(w, "data", w.data * 1),
}


@pytest.mark.parametrize("how", LOOKS)
def test_what_looks_at_an_update_sees_it(how):
    eager_model, eager = looked_at(LOOKS[how])
    model, step = looked_at(LOOKS[how])
    compiled = torch.compile(step)
    for _ in range(4):
        expected, found = eager(), compiled()
        if isinstance(expected, torch.Tensor):
            assert torch.equal(expected, found)
        else:
            assert expected == found
        assert all(map(torch.equal, eager_model.parameters(), model.parameters()))
