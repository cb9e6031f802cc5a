"""Floats among the arguments that are others in each call: one replay for all of them."""

import math
import warnings

import pytest

import mashal as torch
import mashal.nn.functional as F
from mashal import nn
from mashal.capture.varying import usual

X = torch.linspace(-2, 2, 6)


def branching(x, a):
    if a > 0.45:
        return x * a
    return x - a


USES = {
    "a factor": lambda x, a: (x * a).exp(),
    "a weight": lambda x, a: x.lerp(x * 2, a) + (1 - a) * x,
    "a product with a constant": lambda x, a: x * (a * 0.3),
    "a quotient": lambda x, a: x / a + 1 / a,
    "a power": lambda x, a: x.abs() ** a,
    "a difference": lambda x, a: x * (a - 0.001),
    "a filling": lambda x, a: x + torch.full((6,), a),
}


@pytest.mark.parametrize("use", USES)
def test_a_float_that_changes_is_recorded_twice(use):
    compiled = torch.compile(USES[use])
    for i in range(10):
        a = 0.11 + 0.073 * i
        assert torch.equal(compiled(X, a), USES[use](X, a))
    assert len(compiled.recordings.all) == 2


def test_values_that_kernels_may_know_by_name_have_recordings_of_their_own():
    assert [usual(x) for x in (0.1, 1e-4, 0.0, 0.25, 1.0, 2.0, math.inf, math.nan)] == [True] * 2 + [False] * 6
    compiled = torch.compile(lambda x, a: x.abs() ** a)
    for a in (0.3, 0.7, 0.9, 2.0, 0.8, 0.5):
        assert torch.equal(compiled(X, a), X.abs() ** a)
    assert len(compiled.recordings.all) == 4


def test_a_value_of_a_tensor_may_change_too():
    compiled = torch.compile(lambda x, a: torch.full_like(x, a) * x + a)
    for i in range(10):
        a = (torch.tensor(0.11) + 0.073 * i).item()
        assert torch.equal(compiled(X, a), torch.full_like(X, a) * X + a)
    assert len(compiled.recordings.all) == 2


def test_a_branch_on_the_value_takes_the_right_way():
    compiled = torch.compile(branching)
    for a in (0.11, 0.12, 0.2, 0.44, 0.46, 0.5, 0.7, 0.3, 0.9):
        assert torch.equal(compiled(X, a), branching(X, a))


def test_a_value_that_is_refused_is_refused():
    compiled = torch.compile(lambda x, p: F.dropout(x, p))
    for p in (0.11, 0.17, 0.23, 0.29):
        torch.manual_seed(1)
        expected = F.dropout(X, p)
        torch.manual_seed(1)
        assert torch.equal(compiled(X, p), expected)
    with pytest.raises(ValueError, match="1\\.5001"):
        compiled(X, 1.5001)


@pytest.mark.parametrize("use", [lambda x, a: x * math.sqrt(a), lambda x, a: F.threshold(x, a, 0.3)])
def test_what_does_not_follow_simply_is_as_it_is_written(use):
    compiled = torch.compile(use)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for i in range(8):
            a = 0.11 + 0.073 * i
            found, expected = compiled(X, a), use(X, a)
            assert torch.equal(*(y[0] if isinstance(y, tuple) else y for y in (found, expected)))
    assert "argument" in str(told[0].message)


def test_a_float_is_handed_on_and_set():
    """As nanoGPT sets its learning rate: in the call, in the groups of the optimizer."""
    groups = [{"lr": 0.0}, {"lr": 0.0}]

    def use(x, lr):
        for group in groups:
            group["lr"] = lr
        return x * lr, lr

    compiled = torch.compile(use)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(12):
            found, lr = compiled(X, 0.11 + 0.07 * i)
            assert lr == groups[1]["lr"] == 0.11 + 0.07 * i and torch.equal(found, X * lr)


def test_several_floats_a_training_step_and_keywords():
    def trained(wrap):
        torch.manual_seed(0)
        model = nn.Linear(6, 3)
        optimizer = torch.optim.Adam(model.parameters())

        @wrap
        def step(x, beta, *, weight):
            optimizer.zero_grad()
            y = model(x)
            loss = y.square().mean() * beta + weight * y.abs().mean()
            loss.backward()
            optimizer.step()
            return loss

        return step, [step(X, 0.9**i * 0.7, weight=0.1 + 0.031 * i).item() for i in range(10)]

    step, found = trained(torch.compile)
    assert found == trained(lambda step: step)[1]
    assert len(step.recordings.all) == 2


def test_backward_has_the_floats_of_its_forward():
    w = torch.ones(6, requires_grad=True)
    function = lambda x, a: (w * x * a).sum()
    compiled = torch.compile(function)
    for i in range(6):
        a = 0.11 + 0.073 * i
        found = torch.autograd.grad(compiled(X, a) + 2 * compiled(X, a * 1.5), w)[0]
        assert torch.equal(found, torch.autograd.grad(function(X, a) + 2 * function(X, a * 1.5), w)[0])
    assert len(compiled.recordings.all) == 2


def test_a_float_that_is_held_somewhere_is_an_input_too():
    class Tempered(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.temperature = nn.Linear(6, 3), 1.0

        def forward(self, x):
            return (self.linear(x) / self.temperature).softmax(-1) * settings["scale"]

    model, settings = Tempered(), {"scale": 0.1}
    compiled = torch.compile(lambda x: model(x))
    for i in range(10):
        model.temperature, settings["scale"] = 1.01 - 0.07 * i, 0.11 * 1.1**i
        assert torch.equal(compiled(X), model(X))
    assert len(compiled.recordings.all) == 2
