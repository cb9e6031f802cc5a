"""What programs do between the calls of a compiled training step, and what a step reads besides tensors: as eagerly."""

from contextlib import nullcontext

import pytest

import mashal as torch
import mashal.nn.functional as F
from capture.test_compile import both, nothing, same
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
def test_a_leaf_takes_over_a_gradient_that_nobody_else_holds():
    weight, x = torch.ones(3, 2, requires_grad=True), torch.ones(4, 3)

    def step():
        weight.grad = None
        (x @ weight).relu().sum().backward()

    (region,) = torch.explain(step).regions
    assert "sum of gradients" not in [name for kernel in region.kernels for name in kernel.operations]


def test_a_gradient_that_goes_to_two_leaves_is_no_shared_grad():
    a, b = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)

    @torch.compile
    def step(x):
        a.grad = b.grad = None
        ((a + b) * x).sum().backward()
        a.grad.add_(1)

    for _ in range(3):
        step(torch.full((3,), 2.0))
        assert (a.grad.tolist(), b.grad.tolist()) == ([3.0] * 3, [2.0] * 3)


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

    both(make, calls=8, recordings=3)


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

    both(make)


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


# ---------------------------------------------------------------- averages of a model
def test_an_average_of_what_the_step_has_just_changed():
    def make():
        student, teacher = nn.Linear(3, 2), nn.Linear(3, 2).requires_grad_(False)
        step = step_of(student, torch.optim.Adam(student.parameters()))

        def both_of_them(x):
            loss = step(x)
            with torch.no_grad():
                for mine, other in zip(teacher.parameters(), student.parameters()):
                    mine.mul_(0.9).add_(other, alpha=0.1)
            return loss

        return both_of_them, batch, lambda: [*student.parameters(), *teacher.parameters()]

    both(make)


def test_an_averaged_model_is_one_with_the_step():
    def make():
        model = nn.Linear(3, 2)
        average = torch.optim.swa_utils.AveragedModel(model)
        step = step_of(model, torch.optim.SGD(model.parameters(), lr=0.1))

        def with_average(x):
            loss = step(x)
            average.update_parameters(model)
            return loss

        return with_average, batch, lambda: list(average.state_dict().values())

    both(make, recordings=2)  # the first time it is copied


# ---------------------------------------------------------------- truths that are taken for granted
def scaled():
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=3)

    def step(x):
        optimizer.zero_grad()
        loss = model(x).pow(2).mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss.detach().nan_to_num()

    arguments = lambda i: (batch(i)[0] * (float("inf") if i in (4, 6) else 1.0),)
    return step, arguments, lambda: [*model.parameters(), *scaler.state_dict().values()]


def test_a_gradient_scaler_is_one_with_the_step_and_overflows_are_seen():
    both(scaled, calls=9, recordings=2)


def test_a_distribution_is_checked_in_a_replay():
    function = torch.compile(lambda p: torch.distributions.Categorical(probs=p).sample(), fullgraph=True)
    for _ in range(3):
        function(torch.tensor([0.5, 0.5]))
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match="to satisfy the constraint"):
        function(torch.tensor([-0.5, 0.5]))
    assert torch.equal(torch.get_rng_state(), state)
    assert int(function(torch.tensor([0.0, 1.0]))) == 1


# ---------------------------------------------------------------- hooks, and what is computed again
def test_hooks_of_leaves_are_called_once_for_what_a_compiled_forward_gives():
    def make():
        model = nn.Linear(3, 2)
        model.weight.register_hook(lambda g: g * 2)
        forward = torch.compile(lambda x: model(x).pow(2).mean())

        def step(x):
            model.zero_grad()
            forward(x).backward()
            return model.weight.grad.clone()

        return step, batch, nothing

    both(make)


def test_a_checkpoint_with_dropout_draws_the_same_numbers_again():
    def make():
        inner = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 3))
        outer = nn.Linear(3, 2)

        def step(x):
            outer.zero_grad()
            inner.zero_grad()
            loss = (
                outer(torch.utils.checkpoint.checkpoint(inner, outer.weight[0] + x, use_reentrant=False)).pow(2).mean()
            )
            loss.backward()
            return loss.detach(), [p.grad.clone() for p in inner.parameters()], torch.rand(2)

        return step, batch, lambda: [torch.get_rng_state()]

    both(make)


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_forward_whose_backward_changes_state_runs_as_written(reentrant):
    def make():
        norm, outer = nn.BatchNorm1d(3), nn.Linear(3, 3)

        def forward(x):
            return torch.utils.checkpoint.checkpoint(norm, outer(x), use_reentrant=reentrant).pow(2).mean()

        function = forward if not make.compiled else torch.compile(forward)

        def run(x):
            norm.zero_grad()
            function(x).backward()
            return norm.weight.grad.clone()

        return run, lambda: [*norm.buffers(), norm.weight.grad]

    answers = []
    for make.compiled in (False, True):
        torch.manual_seed(0)
        run, state = make()
        with pytest.warns(UserWarning, match="runs as written") if make.compiled else nullcontext():
            answers.append(([run(*batch(i)) for i in range(3)], state()))
    assert same(*answers)


# ---------------------------------------------------------------- random generators
def test_an_own_generator_is_where_it_was_after_an_error():
    generator = torch.Generator().manual_seed(3)
    function = torch.compile(lambda x, i: torch.randn(3, generator=generator) + x[i])
    for _ in range(2):
        function(torch.ones(2, 3), torch.tensor([1]))
    state = generator.get_state()
    with pytest.raises(IndexError):
        function(torch.ones(2, 3), torch.tensor([7]))
    assert torch.equal(generator.get_state(), state)


def test_a_generator_that_is_made_in_the_call_begins_anew_in_each():
    def function():
        generator = torch.Generator()
        return torch.rand(2, generator=generator)

    compiled = torch.compile(function)
    assert all(torch.equal(compiled(), function()) for _ in range(3))


# ---------------------------------------------------------------- the gradient of a compiled function's gradient
def test_a_penalty_on_the_gradient_of_a_compiled_critic():
    critic = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))

    def gradients(forward, x):
        critic.zero_grad()
        (g,) = torch.autograd.grad(forward(x).sum(), x, create_graph=True)
        (g.norm(dim=1) - 1).pow(2).mean().backward()
        return [g.detach(), *(p.grad for p in critic.parameters())]

    compiled = torch.compile(critic)
    for i in range(3):
        x = batch(i)[0].requires_grad_()
        assert same(gradients(compiled, x), gradients(critic, x))


def test_random_numbers_are_not_drawn_again_for_a_second_gradient():
    forward = torch.compile(lambda w: F.dropout(w, 0.5).pow(2).sum())
    w = torch.ones(8, requires_grad=True)
    forward(w)
    with pytest.raises(RuntimeError, match="draws random numbers"):
        torch.autograd.grad(forward(w), w, create_graph=True)


# ---------------------------------------------------------------- data, checks and decorators
def test_data_changed_in_place_is_no_cut():
    def make():
        model = nn.Linear(3, 2)

        def step(x):
            loss = model(x).pow(2).mean()
            loss.backward()
            for p in model.parameters():
                p.data -= 0.1 * p.grad
                p.grad.zero_()
            return loss.detach()

        return step, batch, lambda: list(model.parameters())

    both(make, recordings=2)


def test_data_replaced_inside_is_replaced_in_each_call():
    def make():
        weight = nn.Parameter(torch.ones(3))

        def step(x):
            y = x @ weight
            weight.data = weight.data * 0.9
            return y.sum().detach()

        return step, batch, lambda: [weight]

    both(make, recordings=0)


def test_an_infinite_norm_is_an_error_in_a_replay_and_leaves_everything_as_it_was():
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    @torch.compile(fullgraph=True)
    def step(x):
        optimizer.zero_grad()
        model(x).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
        optimizer.step()

    for i in range(3):
        step(*batch(i))
    before = [p.grad.clone() for p in model.parameters()]
    with pytest.raises(RuntimeError, match="norm"):
        step(batch(0)[0] * float("inf"))
    assert same(before, [p.grad for p in model.parameters()])


def test_a_function_under_no_grad_is_split_around_its_cuts():
    def make():
        model = nn.Linear(3, 2)

        @torch.no_grad()
        def evaluate(x):
            loss = model(x).pow(2).mean()
            return loss.item(), loss.requires_grad

        return evaluate, batch, nothing

    function = both(make, recordings=0)
    assert [len(region.all) for region in function.recordings.regions] == [1]


# ---------------------------------------------------------------- schedules and sizes; gradients that are looked at
def test_finding_out_whether_a_step_grows_takes_the_schedule_no_further():
    def make():
        model = nn.Linear(3, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

        def step(x):
            loss = step_of(model, optimizer)(x)
            schedule.step()
            return loss

        arguments = lambda i: (torch.ones((8, 8, 5, 5, 8, 7, 6, 8)[i], 3),)
        return step, arguments, lambda: [*model.parameters(), schedule.last_epoch, schedule.get_last_lr()]

    both(make, calls=8, recordings=3)


@pytest.mark.parametrize("look", [
    lambda w: w.grad,
    lambda w: [w.grad, w.grad * 2],
    lambda w: w.grad is not None,
    lambda w: w.grad.zero_() + 1,
])  # fmt: skip
def test_a_gradient_that_is_another_one_in_each_call(look):
    def run(function):
        w = torch.ones(3, requires_grad=True)
        answers = []
        for i in range(5):
            w.grad = torch.full((3,), float(i))
            answers += [function(w), w.grad.clone()]
        w.grad = torch.ones(3)
        return answers, function(w)

    assert same(run(look), run(torch.compile(look)))


def test_a_gradient_that_is_gone_is_seen():
    w = torch.ones(3, requires_grad=True)
    function = torch.compile(lambda: 1 if w.grad is None else 2)
    answers = []
    for gradient in (None, torch.ones(3), None, torch.ones(3)):
        w.grad = gradient
        answers.append(function())
    assert answers == [1, 2, 1, 2]


@pytest.mark.parametrize("set_to_none", [False, True])
@pytest.mark.parametrize("before", [False, True])
def test_a_gradient_given_from_outside_between_steps(before, set_to_none):
    def make():
        model = nn.Linear(3, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step(x):
            if before:
                optimizer.zero_grad(set_to_none)
            model(x).pow(2).mean().backward()
            optimizer.step()
            gradients = [p.grad for p in model.parameters()]
            if not before:
                optimizer.zero_grad(set_to_none)
            return gradients

        def arguments(i):
            if i in (3, 5):
                model.weight.grad = torch.full((2, 3), 0.1)
            return batch(i)

        return step, arguments, lambda: list(model.parameters())

    torch.manual_seed(0)
    expected = make()
    answers = [[g.clone() for g in expected[0](*expected[1](i))] for i in range(7)]
    torch.manual_seed(0)
    step, arguments, state = make()
    step = torch.compile(step)
    assert same(answers, [[g.clone() for g in step(*arguments(i))] for i in range(7)])
    assert same(expected[2](), state())


def test_clearing_gradients_clears_those_that_are_there():
    w = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    clear = torch.compile(lambda: optimizer.zero_grad(set_to_none=False))
    for _ in range(4):
        w.grad = torch.ones(3)
        clear()
        assert w.grad.tolist() == [0.0, 0.0, 0.0]


def test_a_recording_that_an_option_does_not_fit_is_left_as_it_was():
    def make():
        model = nn.Linear(3, 2)
        optimizer = torch.optim.Adam(model.parameters())

        def arguments(i):
            optimizer.param_groups[0]["weight_decay"] = (0.0, 0.0, 0.1, 0.1, 0.1, 0.1)[i]
            optimizer.param_groups[0]["lr"] = 0.1 / (1 + i // 2)
            return (torch.ones((4, 4, 5, 4, 5, 4)[i], 3),)

        return step_of(model, optimizer), arguments, lambda: list(model.parameters())

    both(make, recordings=2)


# ---------------------------------------------------------------- options that are tensors
@pytest.mark.parametrize("sgd", [True, False])
def test_a_learning_rate_that_is_a_tensor_is_an_input(sgd):
    def make():
        model = nn.Linear(3, 2)
        rate = torch.tensor(0.1)
        optimizer = (
            torch.optim.SGD(model.parameters(), rate, 0.9) if sgd else torch.optim.AdamW(model.parameters(), rate)
        )
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
        step = step_of(model, optimizer)

        def step_and_schedule(x):
            loss = step(x)
            schedule.step()
            return loss

        def arguments(i):
            if i == 4:
                rate.fill_(0.3)
            return batch(i)

        return step_and_schedule, arguments, lambda: [*model.parameters(), rate]

    both(make, recordings=1)


def test_a_tensor_that_a_schedule_sets_is_not_read_too_early():
    weight, rate = torch.ones(2, requires_grad=True), torch.tensor(1.0)
    optimizer = torch.optim.SGD([weight], rate)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    @torch.compile
    def step():
        optimizer.step()
        schedule.step()
        return rate * 1

    weight.grad = torch.ones(2)
    assert [step().item() for _ in range(4)] == [0.5, 0.25, 0.125, 0.0625]


def test_a_tensor_that_a_schedule_has_set_is_put_back_where_the_call_raises():
    weight, rate = torch.ones(2, requires_grad=True), torch.tensor(1.0)
    optimizer = torch.optim.SGD([weight], rate)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    @torch.compile
    def step():
        optimizer.step()
        schedule.step()
        raise ValueError("too late")

    weight.grad = torch.ones(2)
    with pytest.raises(ValueError):
        step()
    assert (rate.item(), schedule.last_epoch, weight.tolist()) == (1.0, 0, [1.0, 1.0])
