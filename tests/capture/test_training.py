"""What programs do between the calls of a compiled training step, and what a step reads besides tensors: as eagerly."""

import pytest

import mashal as torch
import mashal.nn.functional as F
from capture.test_compile import both, nothing
from mashal import nn


def step_of(model, optimizer):
    def step(x):
        optimizer.zero_grad()
        loss = model(x).pow(2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def batch(i):
    return (torch.arange(12.0).reshape(4, 3) * 0.1 + i,)


# ---------------------------------------------------------------- parameters and gradients between calls
def test_a_parameter_frozen_between_calls():
    def make():
        model = nn.Linear(3, 2)
        optimizer = torch.optim.Adam(model.parameters())

        def arguments(i):
            model.weight.requires_grad_(i < 3)
            return batch(i)

        return step_of(model, optimizer), arguments, lambda: [*model.parameters(), model.weight.grad]

    both(make, recordings=2)


def test_a_gradient_given_to_a_frozen_parameter_is_used():
    def make():
        model = nn.Linear(3, 2)
        model.bias.requires_grad_(False)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step(x):
            model(x).sum().backward()
            optimizer.step()

        def arguments(i):
            if i == 3:
                model.bias.grad = torch.ones(2)
            return batch(i)

        return step, arguments, lambda: list(model.parameters())

    both(make, recordings=3)


def test_a_gradient_that_lies_in_another_order():
    def make():
        model = nn.Linear(3, 2)
        optimizer = torch.optim.Adam(model.parameters())

        def step(x):
            model(x).sum().backward()
            optimizer.step()

        def arguments(i):
            if i == 3:
                model.weight.grad = model.weight.grad.t().contiguous().t()
            return batch(i)

        return step, arguments, lambda: list(model.parameters())

    both(make, calls=8, recordings=2)


@pytest.mark.parametrize("form", [lambda w: w.data * 2, lambda w: w.detach()[1:] * 2, lambda w: w[:2].data[1:] * 2])
def test_data_replaced_between_calls_is_seen_by_what_shares_it(form):
    def make():
        weight = nn.Parameter(torch.ones(3))

        def arguments(i):
            if i == 3:
                weight.data = torch.full((3,), 5.0)
            return ()

        return lambda: form(weight).detach(), arguments, nothing

    both(make, recordings=2)


def test_a_view_whose_data_is_replaced_between_calls():
    def make():
        view = torch.ones(4)[1:]

        def arguments(i):
            if i == 3:
                view.data = torch.full((3,), 5.0)
            return ()

        return lambda: view[1:] * 2, arguments, nothing

    both(make, recordings=2)


# ---------------------------------------------------------------- numbers that a schedule or the program changes
def scheduled(answer):
    def make():
        model = nn.Linear(3, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

        def step(x):
            optimizer.zero_grad()
            loss = model(x).pow(2).mean()
            loss.backward()
            optimizer.step()
            schedule.step()
            return loss.detach(), answer(optimizer, schedule)

        return step, batch, lambda: list(model.parameters())

    return make


@pytest.mark.parametrize("answer", [
    lambda optimizer, schedule: schedule.get_last_lr(),
    lambda optimizer, schedule: optimizer.param_groups[0]["lr"],
    lambda optimizer, schedule: [group["lr"] for group in optimizer.param_groups],
    lambda optimizer, schedule: schedule.last_epoch,
    lambda optimizer, schedule: optimizer.state_dict()["param_groups"][0]["lr"],
])  # fmt: skip
def test_what_a_schedule_has_set_is_read_anew_in_each_call(answer):
    function = both(scheduled(answer), recordings=0)
    assert len(function.recordings.regions[0].all) == 1


def test_a_learning_rate_that_is_read_before_the_step_is_not_the_last_calls():
    def make():
        weight = torch.ones(3, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=0.1)

        def step():
            optimizer.zero_grad()
            weight.sum().backward()
            optimizer.step()
            return optimizer.param_groups[0]["lr"]

        def arguments(i):
            optimizer.param_groups[0]["lr"] = 0.1 if i < 4 else 0.2
            return ()

        return step, arguments, lambda: [weight]

    both(make, recordings=2)


def test_a_dictionary_with_tensors_as_keys_is_no_reading_of_their_values():
    def make():
        model = nn.Linear(3, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        step = step_of(model, optimizer)
        return lambda x: (step(x), len(optimizer.state))[0], batch, lambda: list(model.parameters())

    both(make)


def test_a_number_that_is_only_handed_on_is_no_concern_of_a_region():
    def make():
        model = nn.Linear(3, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

        def step(x):
            optimizer.zero_grad()
            loss = F.relu(model(x)).pow(2).mean()
            value = loss.item()
            loss.backward()
            optimizer.step()
            return {"value": value, "loss": loss * 2}

        return step, batch, lambda: list(model.parameters())

    function = both(make, recordings=0)
    assert max(len(region.all) for region in function.recordings.regions) == 1
