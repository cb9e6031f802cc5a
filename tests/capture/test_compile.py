"""torch.compile: the same numbers as without it, call after call, with everything else that a call changes.

`both` runs a function eagerly and compiled on the same data and compares results, gradients asked of them, and state.
"""

import copy
import cProfile
import gc
import os
import pickle
import re
import subprocess
import sys
import threading
import warnings

import pytest

import mashal as torch
import mashal.nn.functional as F
from mashal import nn
from mashal.machine import memory


def same(a, b):
    """Equal to the bit, in structures too."""
    if isinstance(a, torch.Tensor):
        return (
            isinstance(b, torch.Tensor) and a.shape == b.shape and a.dtype is b.dtype and torch.equal(a, b)
            and a.requires_grad == b.requires_grad
        )  # fmt: skip
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(x, b[key]) for key, x in a.items())
    return a == b


def both(make, calls=6, recordings=1):
    """make() -> function, arguments of call i, state; the compiled function, after the comparison."""

    def run(compiled):
        torch.manual_seed(0)
        function, arguments, state = make()
        function = torch.compile(function) if compiled else function
        results = [function(*arguments(i)) for i in range(calls)]
        return results, state(), function

    expected, state, _ = run(False)
    found, found_state, function = run(True)
    assert same(expected, found)
    assert same(state, found_state)
    assert len(function.recordings.all) == recordings, function.recordings.refusal
    return function


def nothing():
    return []


# ---------------------------------------------------------------- whole training steps
def training(optimizer, **options):
    """A step with all that a step has: batch norm, dropout, clipping, a schedule."""

    def make():
        model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 2))
        update = optimizer(model.parameters(), **options)
        schedule = torch.optim.lr_scheduler.StepLR(update, 2, 0.5)

        def step(x, y):
            update.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            update.step()
            schedule.step()
            return loss

        def state():
            parameters = list(model.parameters())
            return [
                [p.detach().clone() for p in parameters], [p.grad.clone() for p in parameters],
                [p._version for p in parameters], [b.clone() for b in model.buffers()],
                update.param_groups[0]["lr"], schedule.last_epoch, update.state_dict()["state"],
            ]  # fmt: skip

        return step, lambda i: (torch.randn(5, 4), torch.randn(5, 2)), state

    return make


OPTIMIZERS = [
    (torch.optim.SGD, {"lr": 0.1}), (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    (torch.optim.Adam, {}), (torch.optim.AdamW, {"amsgrad": True}), (torch.optim.NAdam, {}), (torch.optim.RAdam, {}),
    (torch.optim.Adamax, {}), (torch.optim.Adagrad, {}), (torch.optim.Adadelta, {}), (torch.optim.RMSprop, {"momentum": 0.5}),
    (torch.optim.Rprop, {}), (torch.optim.ASGD, {}),
]  # fmt: skip


@pytest.mark.parametrize("optimizer, options", OPTIMIZERS, ids=lambda x: getattr(x, "__name__", None))
def test_a_whole_training_step_is_one_recording(optimizer, options):
    both(training(optimizer, **options), calls=8)


@pytest.mark.parametrize("name", ["Adafactor", "Muon", "LBFGS", "SparseAdam", "SGD"])
def test_a_step_in_python_follows_its_options_and_states(name):
    sparse = name in ("SparseAdam", "SGD")

    def trained(wrap):
        torch.manual_seed(0)
        model = nn.Embedding(8, 4, sparse=True) if sparse else nn.Linear(4, 3, bias=False)
        x = torch.tensor([1, 2, 1]) if sparse else torch.randn(5, 4)
        update = getattr(torch.optim, name)(model.parameters(), lr=0.1)

        def loss():
            update.zero_grad()
            found = model(x).square().mean()
            found.backward()
            return found

        def step():
            return update.step(loss) if name == "LBFGS" else (loss(), update.step())[0]

        step, losses = wrap(step), []
        for i in range(6):
            losses.append(step().item())
            update.param_groups[0]["lr"] /= 2
            if i == 3:
                update.load_state_dict(copy.deepcopy(update.state_dict()))
        return losses, *(p.detach() for p in model.parameters())

    assert same(trained(lambda step: step), trained(torch.compile))


def test_gradients_accumulate_over_calls():
    def make():
        model = nn.Linear(3, 2)
        update = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x, k):
            loss = model(x).pow(2).mean()
            loss.backward()
            if k == 3:
                update.step()
                update.zero_grad()
            return loss.detach()

        return step, lambda i: (torch.randn(5, 3), i % 4), lambda: [p.detach().clone() for p in model.parameters()]

    whole = both(make, calls=20, recordings=2)
    assert whole.recordings.led, "whether k is 3 is asked first: other numbers are alike"


@pytest.mark.parametrize("order", ["schedule first", "by the loss"])
def test_a_schedule_that_cannot_wait_for_the_end_splits_the_step(order):
    def make():
        model = nn.Linear(3, 2)
        update = torch.optim.SGD(model.parameters(), lr=1.0)
        halved = torch.optim.lr_scheduler.ExponentialLR(update, 0.5)
        watching = torch.optim.lr_scheduler.ReduceLROnPlateau(update, patience=0)

        def step(x):
            update.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            if order == "schedule first":
                halved.step()
            update.step()
            if order == "by the loss":
                watching.step(loss)

        return (
            step,
            lambda i: (torch.randn(5, 3),),
            lambda: [*[p.detach().clone() for p in model.parameters()], update.param_groups[0]["lr"]],
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both(make, recordings=0)


def test_a_learning_rate_that_is_set_counts_at_once():
    model = nn.Linear(2, 1)
    update = torch.optim.SGD(model.parameters(), lr=1.0)

    @torch.compile
    def step(x):
        update.zero_grad()
        model(x).sum().backward()
        update.step()

    for _ in range(3):
        step(torch.ones(1, 2))
    before = model.bias.item()
    update.param_groups[0]["lr"] = 0.5
    step(torch.ones(1, 2))
    assert model.bias.item() == before - 0.5
    assert len(step.recordings.all) == 1


def test_a_model_trained_between_calls_is_seen():
    model = nn.Linear(2, 1)
    fast = torch.compile(model)
    fast(torch.ones(1, 2))
    with torch.no_grad():
        model.weight.fill_(2.0)
        model.bias.fill_(1.0)
    assert fast(torch.ones(1, 2)).item() == 5.0


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g


def of_parameters(make_model, loss, **options):
    """A step of AdamW on a model; the state is its parameters."""

    def make():
        model = make_model()
        update = torch.optim.AdamW(model.parameters(), lr=0.1)

        def step(x):
            update.zero_grad()
            y = loss(model, x)
            y.backward()
            update.step()
            return y

        return step, lambda i: (torch.randn(4, 3),), lambda: [p.detach().clone() for p in model.parameters()]

    return make


def in_bfloat16(model, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return model(x).float().square().mean()


def hooked():
    model = nn.Linear(3, 2)
    model.weight.register_hook(lambda g: g * 2)
    model.register_forward_hook(lambda module, given, y: y * 3)
    return model


STEPS = {
    "a custom function": (lambda: nn.Linear(3, 2), lambda model, x: Square.apply(model(x)).sum()),
    "autocast": (lambda: nn.Linear(3, 2), in_bfloat16),
    "hooks": (hooked, lambda model, x: model(x).mean()),
    "a transformer": (lambda: nn.TransformerEncoderLayer(3, 1, 8), lambda model, x: model(x).square().mean()),
    "an LSTM": (lambda: nn.LSTM(3, 4), lambda model, x: model(x)[0].square().mean()),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_one_recording_with(name):
    both(of_parameters(*STEPS[name]))


def test_an_average_of_the_parameters_is_kept():
    def make():
        model = nn.Linear(3, 2)
        average = [p.detach().clone() for p in model.parameters()]

        def step(x):
            model(x).square().mean().backward()
            with torch.no_grad():
                for kept, p in zip(average, model.parameters()):
                    p -= 0.1 * p.grad
                    p.grad = None
                    kept.mul_(0.9).add_(p, alpha=0.1)

        return step, lambda i: (torch.randn(4, 3),), lambda: average

    both(make)


def test_gradients_of_leaves_that_are_operands():
    def make():
        leaves = [torch.ones(3, requires_grad=True) for _ in range(3)]

        def function(x, w):
            y = (x * w).sum()
            y.backward()
            return y.detach(), w.grad

        return function, lambda i: (torch.randn(3), leaves[i % 3]), lambda: [w.grad for w in leaves]

    both(make, calls=9, recordings=4)


def test_several_threads_may_call_it():
    fast, x = torch.compile(lambda x: (x @ x).relu().sum()), torch.randn(100, 100)
    expected, wrong = fast(x).item(), []

    def work():
        wrong.extend(i for i in range(50) if fast(x).item() != expected)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ---------------------------------------------------------------- functions with a history
def test_gradients_flow_through_a_compiled_model():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 3), nn.Dropout(0.2))
    fast = torch.compile(model)

    def gradients(function, x):
        torch.manual_seed(3)
        x = x.clone().requires_grad_()
        y = function(x)
        return [y.detach(), *torch.autograd.grad(y.pow(2).sum(), [x, *model.parameters()])]

    for _ in range(4):
        x = torch.randn(5, 4)
        assert same(gradients(model, x), gradients(fast, x))


def test_backward_twice_needs_retain_graph():
    fast = torch.compile(lambda x: (x * x).sum())
    for _ in range(2):
        y = fast(torch.ones(3, requires_grad=True))
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()


def test_a_saved_operand_that_is_changed_is_noticed():
    fast = torch.compile(lambda x, w: x * w)
    w = torch.ones(3, requires_grad=True)
    for _ in range(2):
        x = torch.ones(3)
        y = fast(x, w).sum()
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


# ---------------------------------------------------------------- mutation, views, aliases
def test_operands_and_state_are_changed_in_place():
    def make():
        total = torch.zeros(3)

        def add(x):
            total.add_(x)
            x[1:].mul_(2)
            return total * 2, x

        return add, lambda i: (torch.randn(3),), lambda: [total, total._version]

    both(make)


def test_results_that_are_views_of_operands_share_their_memory():
    fast = torch.compile(lambda x: (x.t(), x[0], x))
    for _ in range(3):
        x = torch.zeros(2, 3)
        turned, first, itself = fast(x)
        x[0, 1] = 5.0
        assert turned[1, 0] == 5.0 and first[1] == 5.0 and itself is x


def test_results_kept_from_an_earlier_call_stay_as_they_are():
    fast = torch.compile(lambda x: x + 1)
    kept = [fast(torch.full((3,), float(i))) for i in range(5)]
    assert [y[0].item() for y in kept] == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_gradients_kept_from_an_earlier_call_stay_as_they_are():
    w = torch.ones(2, requires_grad=True)

    @torch.compile
    def step(x):
        w.grad = None
        (w * x).sum().backward()

    kept = []
    for i in range(5):
        step(torch.full((2,), float(i)))
        kept.append(w.grad)
    assert [g[0].item() for g in kept] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_operands_that_share_memory_are_another_call():
    fast = torch.compile(lambda x, y: x.add_(1) + y)
    for _ in range(3):
        assert fast(torch.zeros(2), torch.zeros(2)).tolist() == [1.0, 1.0]
    x = torch.zeros(2)
    assert fast(x, x).tolist() == [2.0, 2.0]


def test_constants_made_inside_are_the_same_in_every_call():
    def make():
        def add(x):
            t = torch.tensor([1.0, 2.0, 3.0])
            t += x
            return t * torch.arange(3)

        return add, lambda i: (torch.full((3,), float(i)),), nothing

    both(make)


# ---------------------------------------------------------------- random numbers
def test_random_numbers_are_those_of_eager_call_after_call():
    def make():
        return (
            lambda x: (x + torch.rand(3), torch.randn_like(x), torch.randperm(5)),
            lambda i: (torch.ones(3),),
            torch.rand,
        )

    def make_with_state():
        function, arguments, _ = make()
        return function, arguments, lambda: torch.rand(2)

    both(make_with_state)


# ---------------------------------------------------------------- guards
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_a_checkpoint_draws_its_numbers_a_second_time(use_reentrant):
    def make():
        model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.Tanh())
        x = torch.randn(4, 3, requires_grad=True)

        def step():
            x.grad = None
            torch.utils.checkpoint.checkpoint(model, x, use_reentrant=use_reentrant).sum().backward()
            return x.grad.clone(), torch.rand(2)

        return step, lambda i: (), lambda: [p.grad.clone() for p in model.parameters()]

    both(make, recordings=2)


def states_kept_and_set():
    before = torch.get_rng_state()
    x = torch.rand(2)
    torch.set_rng_state(before)
    return x, torch.rand(2), before


def seeded_anew():
    torch.manual_seed(torch.initial_seed() + 1)
    return torch.rand(2)


def seeded_inside():
    x = torch.ones(3) * 2
    with torch.random.fork_rng():
        torch.manual_seed(0)
        y = torch.rand(3)
    return x * y + torch.rand(3)


@pytest.mark.parametrize("function", [states_kept_and_set, seeded_anew, seeded_inside])
def test_what_python_does_to_a_generator_happens_in_each_call(function):
    found = []
    for call in (function, torch.compile(function)):
        torch.manual_seed(0)
        found.append([call() for _ in range(5)])
    assert same(*found)


def test_training_and_evaluation_are_two_recordings():
    def make():
        model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5))

        def arguments(i):
            model.train(i % 3 != 0)
            return (torch.ones(2, 4),)

        return lambda x: model(x), arguments, nothing

    both(make, calls=12, recordings=2)


def test_what_a_function_closes_over_is_guarded():
    def make():
        settings = {"scale": 1}

        def arguments(i):
            settings["scale"] = i // 4
            return (torch.ones(2),)

        return lambda x: x * settings["scale"], arguments, nothing

    both(make, calls=12, recordings=3)


def test_items_and_lengths_of_lists_are_guarded_natively():
    weights, scales = [torch.ones(2), torch.ones(2) * 2], [2.5, {"more": 1}]

    @torch.compile
    def function(x):
        for w in weights:
            x = x + w * scales[0]
        return x

    x = torch.zeros(2)
    assert [function(x).tolist() for _ in range(3)] == [[7.5, 7.5]] * 3
    (recording,) = function.recordings.all
    assert recording.direct is recording.program.replay
    scales[0] = float("2.5")  # equal, though another object
    assert function(x).tolist() == [7.5, 7.5]
    assert function.recordings.all == [recording]
    weights[1] = torch.ones(2)
    assert function(x).tolist() == [5.0, 5.0]
    weights.append(torch.ones(2))
    assert function(x).tolist() == [7.5, 7.5]
    del weights[1:]
    assert function(x).tolist() == [2.5, 2.5]


def test_grad_mode_is_guarded():
    fast = torch.compile(lambda x: x * 2)
    x = torch.ones(2, requires_grad=True)
    assert fast(x).requires_grad
    with torch.no_grad():
        assert not fast(x).requires_grad
    assert fast(x).requires_grad


def test_settings_are_guarded():
    model = nn.Linear(3, 2)
    fast, made = torch.compile(lambda x: model(x)), torch.compile(lambda: torch.ones(2) * 0.5)
    x = torch.randn(2, 3)
    for _ in range(2):
        assert fast(x).dtype is torch.float32
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert fast(x).dtype is torch.bfloat16
        assert made().dtype is torch.float32
        torch.set_default_dtype(torch.float64)
        try:
            assert made().dtype is torch.float64
        finally:
            torch.set_default_dtype(torch.float32)


def test_casts_of_parameters_are_those_of_the_present_ones():
    model = nn.Linear(1, 1, bias=False)
    fast, x = torch.compile(lambda x: model(x)), torch.ones(1, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(x)
        fast(x)
    with torch.no_grad():
        model.weight.fill_(2.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert fast(x).item() == 2.0


def test_keywords_and_structures_are_arguments_and_results():
    def make():
        def function(x, *, scale=2.0, names=("a",)):
            return {"y": x[0] * scale + x[1]["b"], "names": names}

        return function, lambda i: ([torch.ones(2), {"b": torch.full((2,), float(i))}],), nothing

    both(make)


def test_a_sequence_that_grows_is_recorded_a_few_times_only():
    fast = torch.compile(lambda x: x.sum(), dynamic=False)
    with pytest.warns(
        UserWarning, match="was recorded 3 times, at last because argument `x` was a torch.float32 tensor"
    ):
        for n in range(1, 60):
            assert fast(torch.ones(n)).item() == n
    assert len(fast.recordings.all) == 3


def test_a_result_and_its_detached_twin_are_two_tensors():
    def function(x):
        y = x * 2
        return y, y.detach(), y

    fast = torch.compile(function)
    for _ in range(3):
        y, twin, again = fast(torch.ones(3, requires_grad=True))
        assert y is again and y.requires_grad and not twin.requires_grad
        assert twin.data_ptr() == y.data_ptr()
        twin.add_(1)
        assert y.tolist() == [3.0, 3.0, 3.0]


def test_a_function_of_which_nothing_is_recorded_says_why():
    with pytest.warns(
        UserWarning, match=r"runs as written: .*test_compile.py, line \d+: .* reads a tensor's value in Python"
    ):
        torch.compile(lambda x: x.tolist())(torch.ones(2))


def test_kinds_of_calls_that_come_again_are_recorded_up_to_a_limit():
    fast = torch.compile(lambda x: x.sum(), dynamic=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n in [*range(1, 30)] * 3:
            assert fast(torch.ones(n)).item() == n
    assert len(fast.recordings.all) == 8
    (warning,) = caught
    assert "argument `x` was a torch.float32 tensor" in str(warning.message)


# ---------------------------------------------------------------- regions
def test_a_step_that_prints_its_loss_is_compiled_around_it():
    def make():
        model, log = nn.Linear(3, 2), []
        update = torch.optim.SGD(model.parameters(), lr=0.1)

        def step(x):
            update.zero_grad()
            loss = model(x).pow(2).mean()
            log.append(loss.item())
            loss.backward()
            update.step()
            return loss.item()

        return step, lambda i: (torch.randn(5, 3),), lambda: [*[p.detach().clone() for p in model.parameters()], *log]

    both(make, recordings=0)


def test_a_branch_on_a_value_takes_the_right_way_each_time():
    def make():
        def function(x):
            y = x * 2
            y = y + 1 if y.sum() > 0 else y - 1
            return y * 3

        return function, lambda i: (torch.ones(3) * (-1) ** i,), nothing

    both(make, recordings=0)


def test_fullgraph_names_the_line_that_cannot_be_recorded():
    def function(x):
        y = x * 2
        return y * y.sum().item()

    state = torch.get_rng_state()
    with pytest.raises(RuntimeError, match=r"test_compile.py, line \d+.*item\(\)"):
        torch.compile(function, fullgraph=True)(torch.ones(3))
    assert torch.equal(state, torch.get_rng_state())


# ---------------------------------------------------------------- errors
def test_an_index_out_of_range_leaves_all_state_as_it_was():
    model, rows = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)), nn.Embedding(5, 6)
    fast = torch.compile(lambda x, i: model(x) + torch.rand(3, 6) + rows(i))
    for _ in range(3):
        fast(torch.randn(3, 4), torch.tensor([0, 1, 2]))
    x = torch.randn(3, 4)
    before, state = [b.clone() for b in model.buffers()], torch.get_rng_state()
    with pytest.raises(IndexError, match="index 9"):
        fast(x, torch.tensor([0, 1, 9]))
    assert same(before, list(model.buffers()))
    assert torch.equal(state, torch.get_rng_state())


def test_an_error_while_recording_leaves_all_state_as_it_was():
    model = nn.BatchNorm1d(4)
    update = torch.optim.SGD(model.parameters(), lr=0.1)

    @torch.compile
    def step(x, w):
        update.zero_grad()
        model(x).sum().backward()
        update.step()
        return x @ w

    state = [t.clone() for t in (*model.parameters(), *model.buffers())]
    with pytest.raises(RuntimeError, match="matmul"):
        step(torch.randn(3, 4), torch.ones(5, 2))
    assert same(state, [t.clone() for t in (*model.parameters(), *model.buffers())])
    assert all(p.grad is None for p in model.parameters())
    assert not step.recordings.all


# ---------------------------------------------------------------- memory
def test_many_calls_take_no_more_memory():
    fast = torch.compile(lambda x: (x * 2).relu().sum())
    x = torch.randn(64, requires_grad=True)
    for _ in range(10):
        fast(x).backward()
    gc.collect()
    before = memory.statistics()["live"]
    for _ in range(10_000):
        fast(x).backward()
    gc.collect()
    assert memory.statistics()["live"] <= before


# ---------------------------------------------------------------- modules
def test_a_compiled_module_keeps_parameters_and_mode_of_the_module():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    fast = torch.compile(model)
    assert list(fast.state_dict()) == ["_orig_mod.0.weight", "_orig_mod.0.bias"]
    fast.eval()
    assert not model.training
    assert getattr(fast, "0") is model[0]


@pytest.mark.parametrize("twice", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_copies_of_a_compiled_module_compute_the_same(twice):
    fast, x = torch.compile(nn.Linear(2, 2)), torch.ones(1, 2)
    expected = fast(x)
    assert same([expected] * 2, [twice(fast)(x) for _ in range(2)])


def test_module_compile_compiles_its_calls():
    model = nn.Linear(2, 2)
    x = torch.ones(1, 2)
    expected = model(x)
    model.compile()
    assert same([expected] * 3, [model(x) for _ in range(3)])


def test_compile_is_a_decorator_with_and_without_arguments():
    @torch.compile
    def double(x):
        return x * 2

    @torch.compile(fullgraph=True, dynamic=False, mode="reduce-overhead")
    def triple(x):
        return double(x) + x

    assert [triple(torch.ones(1)).item() for _ in range(3)] == [3.0] * 3


def test_is_compiling_inside_only():
    seen = []

    def function(x):
        seen.append(torch.compiler.is_compiling())
        return x

    torch.compile(function)(torch.ones(1))
    assert seen == [True] and not torch.compiler.is_compiling()


def test_the_trail_can_be_printed():
    text = "import mashal as torch; torch.compile(lambda x: x.exp() + 1)(torch.ones(3))"
    shown = subprocess.run(
        [sys.executable, "-c", text], env=os.environ | {"MASHAL_SHOW": "trail"}, capture_output=True, text=True
    )
    assert re.search(r"b1\[0:\]\(3,\) = exp\(b0\[0:\]\(3,\)\)\n.* = add\(b1", shown.stderr)


def test_a_function_is_recorded_once_no_profiler_runs():
    double = torch.compile(lambda x: x * 2, fullgraph=True)
    profiler = cProfile.Profile()
    profiler.enable()
    double(torch.ones(2))
    profiler.disable()
    assert bool(double.recordings.all) == (sys.version_info >= (3, 12))  # whose profilers are in nobody's way
    for _ in range(3):
        assert double(torch.ones(2)).tolist() == [2, 2]
    assert len(double.recordings.all) == 1


def test_what_another_thread_computes_is_none_of_a_recordings():
    begun, done, moved = threading.Event(), threading.Event(), []

    def compute():
        begun.wait()
        layer = nn.Linear(2, 1)
        update = torch.optim.SGD(layer.parameters(), lr=1.0)
        before = layer.weight.detach().clone()
        layer(torch.ones(1, 2)).sum().backward()
        update.step()
        moved.append(torch.equal(layer.weight, before - 1))
        done.set()

    def wait(x):
        begun.set()
        done.wait()
        return x * 2

    double = torch.compile(wait)
    thread = threading.Thread(target=compute)
    thread.start()
    double(torch.ones(2))
    thread.join()
    assert moved == [True]


def test_a_sparse_argument_is_not_taken_for_the_one_before():
    function = torch.compile(lambda s, x: s @ x)
    x = torch.ones(2, 1)
    with pytest.warns(UserWarning, match="an argument is a SparseTensor"):
        found = [function((torch.eye(2) * k).to_sparse(), x).tolist() for k in (1, 2, 3)]
    assert found == [[[k], [k]] for k in (1, 2, 3)]


def test_a_compiled_function_under_vmap_runs_on_each():
    function = torch.compile(lambda x: x * 2 + 1)
    for k in (1.0, 10.0):
        assert torch.vmap(lambda v: function(v))(torch.arange(3.0) * k).tolist() == [1, 1 + 2 * k, 1 + 4 * k]
    assert function(torch.ones(2)).tolist() == [3, 3]


@pytest.mark.parametrize("width", range(2, 12))
def test_states_that_the_recorded_call_made_are_those_that_replays_move(width):
    """They are made unrecorded, perhaps where a tensor of the call has been before."""
    model = nn.Sequential(nn.Embedding(11, width), nn.LayerNorm(width), nn.Linear(width, 11))
    optimizer = torch.optim.AdamW(model.parameters())

    @torch.compile
    def step(tokens):
        optimizer.zero_grad()
        F.cross_entropy(model(tokens), tokens).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    for _ in range(4):
        step(torch.arange(9))
    assert {float(optimizer.state[p]["step"]) for p in model.parameters()} == {4.0}


def test_an_interrupt_leaves_the_modes_as_they_were():
    """It may come when a `with no_grad()` is about to be left."""

    @torch.compile
    def interrupted(x):
        torch.set_grad_enabled(False)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted(torch.ones(2))
    assert torch.is_grad_enabled() and sys.gettrace() is None and sys.getprofile() is None and gc.isenabled()


def test_an_interrupt_when_a_recording_ends_leaves_nothing_behind(monkeypatch):
    enable, calls = gc.enable, []

    def interrupted():
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        enable()

    weight = torch.ones(2)

    @torch.compile
    def grow():
        weight.add_(1)

    monkeypatch.setattr(gc, "enable", interrupted)
    with pytest.raises(KeyboardInterrupt):
        grow()
    monkeypatch.undo()
    assert gc.isenabled() and sys.gettrace() is None and weight.tolist() == [1, 1]
    grow()
    assert weight.tolist() == [2, 2]
