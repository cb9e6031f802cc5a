"""Programs as people write them: compiled functions inside one another, Python's state, objects given and returned."""

import collections
import contextvars
import copy
import dataclasses
import operator
import os
import threading
import types

import numpy as np
import pytest

import mashal as torch
from mashal import nn
from mashal.capture.program import Program


def calls(function, *many):
    """What a function answers to calls with these arguments, each a tuple."""
    return [function(*arguments) for arguments in many]


# ---------------------------------------------------------------- compiled functions inside one another
def test_a_compiled_function_inside_another_is_recorded_with_it():
    inner = torch.compile(lambda x: x * 2)
    calls(inner, (torch.ones(2),), (torch.ones(2),))
    outer = torch.compile(lambda x: inner(x + 1) + 1)
    assert [y[0].item() for y in calls(outer, *[(torch.full((2,), float(i)),) for i in range(4)])] == [3, 5, 7, 9]


def test_a_compiled_function_may_call_itself():
    @torch.compile
    def doubled(x, times):
        return x if times == 0 else doubled(x * 2, times - 1)

    assert [doubled(torch.ones(1), n).item() for n in (0, 1, 2, 0, 1, 2)] == [1, 2, 4, 1, 2, 4]


def test_a_compiled_backward_that_goes_into_a_compiled_forward_has_its_gradients():
    w = torch.ones(2, requires_grad=True)
    forward = torch.compile(lambda x: (x * w).sum())

    @torch.compile
    def backward(loss):
        w.grad = None
        loss.backward()
        return w.grad * 2

    assert [backward(forward(torch.full((2,), float(i)))).tolist() for i in range(4)] == [[2 * i] * 2 for i in range(4)]


def test_anomaly_mode_may_begin_between_a_compiled_forward_and_its_backward():
    w = torch.ones(2, requires_grad=True)
    loss = torch.compile(lambda x: (x * w).sum())
    calls(loss, (torch.ones(2),), (torch.ones(2),))
    found = loss(torch.ones(2))
    with torch.autograd.set_detect_anomaly(True):
        found.backward()
    assert w.grad.tolist() == [1, 1]


# ---------------------------------------------------------------- what Python holds
def follows(function, change, times=6):
    """Whether a compiled function answers like its original while `change(i)` changes what it reads; by calls of both."""
    compiled = torch.compile(function)
    for i in range(times):
        change(i)
        x = torch.ones(3)
        assert compiled(x).tolist() == function(x).tolist(), i


def test_an_array_that_is_closed_over_counts_as_it_is_now():
    array = np.zeros(3)
    follows(lambda x: x * torch.tensor(array * 2), lambda i: array.__setitem__(0, i // 2))


def test_an_array_that_is_an_argument_counts_as_it_is_now():
    array = np.zeros(3)
    double = torch.compile(lambda a: torch.tensor(a) * 2)
    for i in range(4):
        array[:] = i
        assert double(array).tolist() == [2.0 * i] * 3


def test_containers_in_containers_count_as_they_are_now():
    nested = {"a": [1.0, [2.0, ({"b": 3.0},)]]}
    follows(
        lambda x: x * torch.tensor(nested["a"][1][0]) + len(str(nested)),
        lambda i: nested["a"][1].__setitem__(0, 10.0**i),
    )


def test_long_lists_and_dictionaries_count_as_they_are_now():
    numbers, table = [1.0] * 200, dict.fromkeys(range(200), 1.0)

    def change(i):
        numbers[150] = table[170] = float(i // 2)

    follows(lambda x: x * sum(numbers) + sum(table.values()), change)


def test_a_deque_counts_as_it_is_now():
    recent = collections.deque([1.0], maxlen=3)
    follows(lambda x: x * sum(recent), lambda i: recent.append(float(i)))


def test_an_object_given_to_the_library_counts_as_it_is_now():
    config = types.SimpleNamespace(rate=1.0)
    follows(lambda x: x * copy.copy(config).rate, lambda i: setattr(config, "rate", float(i // 2)))


def test_what_a_getter_gets_counts_as_it_is_now():
    config = types.SimpleNamespace(rate=1.0)
    follows(lambda x: x * operator.attrgetter("rate")(config), lambda i: setattr(config, "rate", float(i // 2)))


def test_attributes_of_a_dictionary_that_gives_its_items_count_as_they_are_now():
    class Options(dict):
        __getattr__ = dict.__getitem__

    options = Options(rate=1.0)
    follows(lambda x: x * options.rate, lambda i: options.__setitem__("rate", float(i // 2)))


def test_an_environment_variable_counts_as_it_is_now(monkeypatch):
    follows(lambda x: x * int(os.environ.get("RATE", "7")), lambda i: monkeypatch.setenv("RATE", str(i // 2)))


def test_context_variables_and_those_of_a_thread_count_as_they_are_now():
    context, local = contextvars.ContextVar("context", default=1), threading.local()

    def change(i):
        context.set(i // 2)
        local.rate = i // 3

    local.rate = 0
    follows(lambda x: x * context.get() + local.rate, change)


def test_a_method_that_is_replaced_counts_at_once():
    class Scale:
        def scaled(self, x):
            return x * 2

    scale = Scale()
    follows(lambda x: scale.scaled(x), lambda i: setattr(Scale, "scaled", lambda self, x: x * (i // 2)))


def test_a_list_that_a_default_dictionary_makes_gets_what_every_call_appends():
    history = collections.defaultdict(list)

    @torch.compile
    def noted(x):
        y = x * 2
        history["y"].append(y)
        return y

    calls(noted, *[(torch.full((1,), float(i)),) for i in range(5)])
    assert [y.item() for y in history["y"]] == [0, 2, 4, 6, 8]


def test_attributes_of_tensors_are_read_and_set_in_every_call():
    weight = torch.ones(3)
    weight.rate = 1.0
    follows(lambda x: x * weight.rate, lambda i: setattr(weight, "rate", float(i // 2)))

    @torch.compile
    def named(x):
        y = x * 2
        y.note = "doubled"
        return y

    assert [y.note for y in calls(named, *[(torch.ones(1),)] * 3)] == ["doubled"] * 3


# ---------------------------------------------------------------- modules that do more than computing
class Block(nn.Module):
    def __init__(self, talks=False):
        super().__init__()
        self.layer, self.calls, self.talks = nn.Linear(3, 3), 0, talks

    def forward(self, x):
        self.calls += 1
        y = self.layer(x).relu() * 2
        if self.talks:
            print("mean", y.mean().item() > 0)
        return y + x


def recorded(function):
    """The lines of what is compiled of a function, inwards, with how often each was recorded."""
    known = getattr(vars(function).get("forward", function), "recordings", None)
    found, stack = {}, [known]
    while stack:
        known = stack.pop()
        if known.all:
            found[known.name] = found.get(known.name, 0) + len(known.all)
        stack += known.regions
    return found


def test_a_module_that_counts_its_calls_is_compiled_around_that():
    block = Block()
    compiled = torch.compile(block)
    answers = calls(compiled, *[(torch.full((1, 3), float(i)),) for i in range(5)])
    assert block.calls == 5
    assert set(recorded(compiled).values()) == {1}
    assert all(torch.equal(y, block(torch.full((1, 3), float(i)))) for i, y in enumerate(answers))


def test_a_module_inside_that_prints_is_compiled_around_that(capsys):
    net = nn.Sequential(nn.Linear(3, 3), Block(), Block(talks=True), nn.Linear(3, 1))
    compiled = torch.compile(net)
    answers = calls(compiled, *[(torch.full((1, 3), float(i)),) for i in range(5)])
    assert capsys.readouterr().out.count("mean") == 5
    assert set(recorded(compiled).values()) <= {1, 2} and len(recorded(compiled)) > 2
    assert all(torch.equal(y, net(torch.full((1, 3), float(i)))) for i, y in enumerate(answers))


def test_hooks_of_a_compiled_module_run_in_every_call():
    seen = []
    layer = nn.Linear(3, 1)
    layer.register_forward_hook(lambda module, given, output: seen.append(output.item()))
    compiled = torch.compile(layer)
    answers = calls(compiled, *[(torch.full((1, 3), float(i)),) for i in range(5)])
    assert seen == [y.item() for y in answers] and recorded(compiled)


def test_backward_hooks_of_a_compiled_module_see_the_true_gradients_alone():
    seen = []
    layer = nn.Linear(3, 1)
    layer.register_full_backward_hook(lambda module, inputs, outputs: seen.append(outputs[0].item()))
    compiled = torch.compile(layer)
    for i in range(4):
        (compiled(torch.ones(1, 3)) * i).sum().backward()
    assert seen == [0, 1, 2, 3]


def test_a_cache_that_the_first_calls_fill_is_no_reason_to_cut():
    tables = {}

    @torch.compile
    def masked(x):
        if len(x) not in tables:
            tables[len(x)] = torch.tril(torch.ones(len(x), len(x)))
        return x * tables[len(x)]

    for n in (2, 3, 2, 3, 2, 3):
        assert masked(torch.ones(n, n)).sum() == n * (n + 1) / 2
    assert list(recorded(masked).values()) == [2]


def test_the_value_that_is_stored_outside_is_compiled():
    state = {}

    @torch.compile
    def keep(x):
        state["last"] = (x * 2).exp() + 1

    calls(keep, *[(torch.full((1,), float(i)),) for i in range(4)])
    assert torch.equal(state["last"], (torch.full((1,), 3.0) * 2).exp() + 1) and recorded(keep)


# ---------------------------------------------------------------- objects given and returned
@dataclasses.dataclass
class Pair:
    x: torch.Tensor
    rate: float = 2.0


def test_objects_made_in_a_call_are_returned_anew_by_each():
    @torch.compile
    def made(x):
        pair = Pair(x * 2)
        return pair, [pair], {1, 2}, collections.OrderedDict(pair=pair)

    for i in range(4):
        pair, listed, numbers, named = made(torch.full((1,), float(i)))
        assert pair.x.item() == 2 * i and listed[0] is pair and named["pair"] is pair
        numbers.add(i)
        pair.rate = None
    assert list(recorded(made).values()) == [1]


def test_containers_that_were_there_before_are_returned_themselves():
    history, settings = [1], {"rate": 1}
    seen = torch.compile(lambda x: (history, settings, x * 2))
    for _ in range(4):
        found = seen(torch.ones(1))
        assert found[0] is history and found[1] is settings


def test_a_container_that_is_returned_twice_is_one():
    def twice(x):
        parts = [x * 2]
        return parts, parts

    twice = torch.compile(twice)
    for _ in range(3):
        first, second = twice(torch.ones(1))
        assert first is second


def test_a_container_that_was_given_is_returned_itself():
    same = torch.compile(lambda parts: parts)
    for _ in range(3):
        parts = [torch.ones(1)]
        assert same(parts) is parts


def test_a_distribution_is_made_of_the_present_numbers():
    normal = torch.compile(lambda x: torch.distributions.Normal(x, x + 1, validate_args=False))
    assert [normal(torch.full((1,), float(i))).mean.item() for i in range(4)] == [0, 1, 2, 3]


def test_dataclasses_and_dictionaries_as_arguments_are_what_they_hold():
    step = torch.compile(lambda pair, batch: pair.x * pair.rate + batch["x"])
    batch = {}
    for i in range(6):
        batch["x"] = torch.full((1,), float(i))
        assert step(Pair(torch.ones(1)), batch).item() == 2 + i
    assert list(recorded(step).values()) == [1]


def test_a_lambda_is_compiled_around_what_it_reads():
    total = torch.compile(lambda x: (x * 2).exp().sum().item())
    assert calls(total, (torch.zeros(2),), (torch.zeros(3),), (torch.zeros(3),)) == [2, 3, 3]
    assert recorded(total)


# ---------------------------------------------------------------- tensors that are others from call to call
def test_a_tensor_that_is_held_outside_is_an_input():
    held = types.SimpleNamespace(x=None)
    table = {}

    @torch.compile
    def total(x):
        return x + held.x * table["x"]

    for i in range(12):
        held.x, table["x"] = torch.full((1,), float(i)), torch.full((1,), 2.0)
        assert total(torch.ones(1)).item() == 1 + 2 * i
    assert list(recorded(total).values()) == [1]


def test_state_that_a_module_rebinds_in_every_call_is_an_input():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(1))
            self.hidden = torch.zeros(1)

        def forward(self, x):
            self.hidden = torch.tanh(self.hidden + x)
            self.seen = self.seen + 1
            return self.hidden * self.seen

    eager, module = Recurrent(), Recurrent()
    compiled = torch.compile(module)
    for i in range(12):
        x = torch.full((1,), i / 10)
        assert torch.equal(compiled(x), eager(x))
    assert set(recorded(compiled).values()) == {1}


def test_a_held_tensor_of_another_shape_or_none_is_recorded_again():
    held = types.SimpleNamespace(x=torch.ones(2))
    total = torch.compile(lambda x: x if held.x is None else x + held.x.sum())
    for other in (torch.ones(2), torch.ones(3), None, torch.ones(4), None, torch.ones(2)):
        held.x = other
        assert total(torch.zeros(1)).item() == (0 if other is None else len(other))


def test_a_cache_that_grows_on_a_module_takes_a_handful_of_recordings():
    class Cached(nn.Module):
        def __init__(self):
            super().__init__()
            self.keys = torch.zeros(1, 4)

        def forward(self, x):
            self.keys = torch.cat([self.keys, x])
            return torch.softmax(x @ self.keys.t(), -1) @ self.keys

    eager, module = Cached(), Cached()
    compiled = torch.compile(module)
    for i in range(20):
        x = torch.full((1, 4), i / 10)
        assert torch.equal(compiled(x), eager(x))
    assert max(recorded(compiled).values()) <= 5 and torch.equal(module.keys, eager.keys)


def test_a_loop_that_may_bind_a_variable_is_a_part_of_a_region():
    def accumulated(x, n):
        print(end="")
        y = x * 2
        for k in range(n):
            loss = (y * (k + 1)).sum()
            y = y + 1
        print(end="")
        return loss * y

    compiled = torch.compile(accumulated)
    for n in (2, 3, 2, 3):
        assert torch.equal(compiled(torch.ones(2), n), accumulated(torch.ones(2), n))
    assert len(compiled.recordings.regions) == 2
    with pytest.raises(UnboundLocalError, match="loss"):
        compiled(torch.ones(2), 0)


def test_a_step_that_is_cut_and_counts_its_calls_is_compiled():
    def step(x, i):
        y = (x * 2).sin()
        print(end="")
        return y.exp() * 2, i

    compiled = torch.compile(step)
    for i in range(8):
        compiled(torch.ones(2), i)
    assert [len(region.all) for region in compiled.recordings.regions] == [1, 1]


def test_nothing_is_set_right_for_a_batch_that_is_a_dictionary(monkeypatch):
    compiled = torch.compile(lambda batch: batch["x"] * batch["y"][0])
    batch = lambda i: {"x": torch.full((2,), float(i)), "y": (torch.ones(2),)}
    calls(compiled, (batch(0),), (batch(1),))
    monkeypatch.setattr(Program, "adapt", lambda self: pytest.fail("the replay looked at its guards once more"))
    assert compiled(batch(3)).tolist() == [3, 3]


def test_calls_that_no_recording_fits_soon_ask_none():
    count = types.SimpleNamespace(n=0)
    compiled = torch.compile(lambda x: x * count.n)
    for count.n in range(60):
        assert compiled(torch.ones(2)).tolist() == [count.n] * 2
    assert compiled.recordings.rest > 16


def test_what_a_sum_runs_over_is_made_in_a_region():
    def step(x):
        losses = [(x * k).exp().sum() for k in range(3)]
        total = sum(weight * loss for weight, loss in zip((1, 2, 3), losses))
        total.backward()
        return [loss.item() for loss in losses]

    compiled = torch.compile(step)
    for i in range(4):
        x, y = (torch.full((2,), i / 2, requires_grad=True) for _ in range(2))
        assert compiled(x) == step(y)
        assert torch.equal(x.grad, y.grad)
    assert len(compiled.recordings.regions) == 1


def test_a_number_of_numpy_counts_by_its_value():
    compiled = torch.compile(lambda x, n, scale: x[: n + 1] * float(scale))
    for n in (1, 2, 1, 2, 1):
        assert compiled(torch.ones(4), np.int64(n), np.float32(n)).tolist() == [n] * (n + 1)
    assert len(compiled.recordings.all) == 2
