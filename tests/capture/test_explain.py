"""explain: what was captured, where it was cut and why, which operations share a kernel, and what each costs."""

import gc
import random
import re
import weakref
from xml.etree import ElementTree

import pytest

import mashal as torch
import mashal.nn.functional as F
from mashal import nn


def test_operations_of_one_kernel_stand_together():
    text = str(torch.explain(lambda x: (x * 2 + 1).relu(), torch.ones(30)))
    assert "3 operations in 1 kernel" in text
    assert "mul + add + relu" in text


def test_bytes_and_arithmetic_follow_from_shapes():
    (region,) = torch.explain(lambda a, b: a @ b, torch.ones(8, 16), torch.ones(16, 4)).regions
    (kernel,) = region.kernels
    assert (kernel.read, kernel.written) == (4 * (8 * 16 + 16 * 4), 4 * 8 * 4)
    assert kernel.arithmetic == 2 * 8 * 16 * 4
    assert kernel.time > 0


def test_a_cut_has_its_line_and_its_reason():
    def function(x):
        y = x * 2
        if y.sum() > 0:
            return y + 1
        return y

    text = str(torch.explain(function, torch.ones(3)))
    assert re.search(r"cut at .*test_explain.py, line \d+: .*reads a tensor's value", text)


def test_a_training_step_has_its_backward_and_its_update():
    model = nn.Linear(4, 2)
    update = torch.optim.AdamW(model.parameters())

    def step(x, y):
        update.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        update.step()
        return loss

    torch.manual_seed(0)
    x, y = torch.randn(5, 4), torch.tensor([0, 1, 1, 0, 1])
    names = [name for region in torch.explain(step, x, y).regions for k in region.kernels for name in k.operations]
    assert {"linear", "cross_entropy", "linear backward: grad of weight", "AdamW"} <= set(names)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("at", [0, 1, 4])
def test_training_goes_on_as_if_nobody_had_looked(compiled, at):
    def losses(looks):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 2))
        update = torch.optim.AdamW(model.parameters())
        schedule = torch.optim.lr_scheduler.StepLR(update, 2)
        calls = []

        def step(x):
            update.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            update.step()
            schedule.step()
            return loss

        def counting(x):
            calls.append(len(calls))
            return step(x)

        step_ = torch.compile(step) if compiled else counting
        x, found = torch.randn(6, 4), []
        for i in range(6):
            if looks and i == at:
                torch.explain(step_, x)
            found.append(step_(x).item())
        return found, calls, update.state_dict()["param_groups"], torch.get_rng_state().tolist()

    assert losses(True) == losses(False)


def test_what_a_call_keeps_in_python_is_put_back():
    kept, numbers, memory = {"calls": 0}, [3], torch.zeros(2)

    class Counter:
        calls = 0

    counter = Counter()

    def function(x):
        kept["calls"] += 1
        numbers.append(random.random())
        counter.calls += 1
        memory.add_(x)
        return memory * torch.rand(2)

    state, drawn, version = random.getstate(), torch.get_rng_state(), memory._version
    torch.explain(function, torch.ones(2))
    assert (kept, numbers, counter.calls, memory.tolist()) == ({"calls": 0}, [3], 0, [0, 0])
    assert random.getstate() == state
    assert torch.equal(torch.get_rng_state(), drawn)
    assert memory._version == version


def test_gradients_are_the_ones_there_were():
    w = torch.ones(2, requires_grad=True)
    (w * 3).sum().backward()
    before = w.grad

    def function(x):
        loss = (w * x).sum()
        loss.backward()
        return loss

    torch.explain(function, torch.ones(2))
    assert w.grad is before
    assert w.grad.tolist() == [3, 3]


def names_of(found):
    return [k.name for region in found.regions for k in region.kernels]


def test_operations_made_of_others_say_of_which():
    model = nn.Linear(3, 3)

    def step(x):
        loss = F.dropout(model(x)).sum()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        return loss

    names = " ".join(names_of(torch.explain(step, torch.ones(2, 3))))
    assert "dropout" in names
    assert "clip_grad_norm_: norm" in names
    assert "Backward0" not in names
    assert "call" not in names


def test_each_kernel_has_its_line():
    def function(x):
        y = x @ x
        return y.exp()

    (region,) = torch.explain(function, torch.ones(4, 4)).regions
    first = function.__code__.co_firstlineno
    lines = [line for k in region.kernels for _, line in k.places]
    assert lines == [first + 1, first + 2]


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_map_and_its_gradients_count_two_for_each_product(bias):
    layer = nn.Linear(5, 7, bias=bias)
    names = ("linear", "linear backward: grad of input", "linear backward: grad of weight")
    regions = torch.explain(layer, torch.ones(3, 5, requires_grad=True)).regions
    counted = {k.name: k.arithmetic for region in regions for k in region.kernels}
    assert [counted[name] for name in names] == [2 * 3 * 5 * 7] * 3


def test_a_convolution_counts_as_its_products():
    layer = nn.Conv2d(2, 6, 3, bias=False)
    regions = torch.explain(layer, torch.ones(4, 2, 8, 8)).regions
    counted = {k.name: k.arithmetic for region in regions for k in region.kernels}
    assert counted["conv2d"] == 2 * (4 * 6 * 6 * 6) * (2 * 9)
    assert counted["conv2d backward: grad of weight"] == counted["conv2d"]


def test_what_repeats_counts_once_in_memory():
    x, row = torch.ones(10, 20), torch.ones(20)
    ((kernel,),) = (region.kernels for region in torch.explain(lambda: x * x + row).regions)
    assert (kernel.read, kernel.written) == (4 * (200 + 20), 4 * 200)


def test_rows_of_an_embedding_are_all_that_is_read():
    table, which = torch.ones(1000, 8), torch.tensor([1, 5])
    ((kernel,),) = (region.kernels for region in torch.explain(lambda: F.embedding(which, table)).regions)
    assert (kernel.read, kernel.written) == (2 * 8 + 2 * 8 * 4, 2 * 8 * 4)


def test_layers_that_repeat_are_said_once():
    model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(12)])
    with torch.no_grad():
        found = torch.explain(model, torch.ones(2, 4))
    assert "12 times these 1" in str(found)
    assert str(found).count("linear") == 1
    assert len(found.regions[0].kernels) == 12


def test_a_function_that_computes_nothing_says_so():
    assert "no kernels" in str(torch.explain(lambda n: n + 1, 3))


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match=r"explain: a function or a module is expected, .* not int"):
        torch.explain(3)


def test_modules_are_called_by_their_class_however_they_were_compiled():
    model = nn.Linear(2, 2)
    x = torch.ones(1, 2)
    assert [str(torch.explain(m, x)).partition(":")[0] for m in (model, torch.compile(model))] == ["Linear"] * 2
    model.compile()
    assert str(torch.explain(model, x)).startswith("Linear: ")


def test_a_function_that_runs_as_written_says_why():
    def numbers(x):
        yield x * 2

    with pytest.warns(UserWarning, match="runs as written"):
        found = torch.explain(numbers, torch.ones(2))
    assert "runs as it is written: it returns a generator" in str(found)


def test_regions_are_called_by_their_lines():
    def function(x):
        y = x * 2
        print(end="")
        return y + 1

    first = function.__code__.co_firstlineno
    found = torch.explain(function, torch.ones(3))
    assert [region.name.partition(", ")[2] for region in found.regions] == [f"line {first + 1}", f"line {first + 3}"]


def test_the_picture_has_a_bar_for_each_kernel(tmp_path):
    found = torch.explain(lambda x: (x.exp(), x @ x), torch.ones(4, 4))
    path = tmp_path / "kernels.svg"
    found.save(path)
    assert path.read_text().count("<rect") == sum(len(region.kernels) for region in found.regions)
    assert found._repr_svg_().startswith("<svg")


def test_the_picture_is_valid_whatever_names_are():
    def function(x):
        return x * 2

    function.__qualname__ = "<a & \x00 'b'>" * 40
    picture = ElementTree.fromstring(torch.explain(function, torch.ones(3)).svg())
    assert picture.find("{*}title").text.startswith("<a & ")
    assert picture.find("{*}desc") is not None


def test_a_file_of_text_gets_the_text(tmp_path):
    found = torch.explain(lambda x: x * 2, torch.ones(3))
    found.save(tmp_path / "kernels.txt")
    assert (tmp_path / "kernels.txt").read_text(encoding="utf-8") == f"{found}\n"


def test_what_is_cut_inside_what_is_called_is_shown_where_it_is():
    def helper(x):
        y = x * 2
        print(end="")
        return y + 1

    def function(x):
        z = x.exp()
        z = helper(z)
        return z * 3

    found = torch.explain(function, torch.ones(3))
    assert names_of(found) == ["exp", "mul", "mul", "add"]
    ((place, _),) = found.cuts
    assert place.endswith(f"line {helper.__code__.co_firstlineno + 2}")


def test_a_module_is_cut_like_a_function():
    class Model(nn.Module):
        def forward(self, x):
            y = x * 2
            print(end="")
            return y + 1

    assert names_of(torch.explain(Model(), torch.ones(3))) == ["mul", "add"]


def test_a_call_that_raises_leaves_everything_as_it_was():
    total, calls = torch.zeros(2), []

    def function(x):
        total.add_(x)
        calls.append(1)
        raise KeyError("no")

    with pytest.raises(KeyError):
        torch.explain(function, torch.ones(2))
    assert total.tolist() == [0, 0]
    assert calls == []


def test_what_hides_and_what_goes_round_in_circles_is_put_back_too():
    class Slots:
        __slots__ = ("kept", "total")

        def __init__(self):
            self.kept, self.total = 0, torch.zeros(2)

    slots, circle = Slots(), []
    circle.append(circle)

    def function(x):
        slots.kept += 1
        slots.total.add_(x)
        circle.append(x)
        return x * 2

    torch.explain(function, torch.ones(2))
    assert (slots.kept, slots.total.tolist(), len(circle)) == (0, [0, 0], 1)


def test_a_model_that_was_explained_goes_with_its_last_user():
    model = nn.Linear(3, 3)
    alive = weakref.ref(model)
    torch.explain(model, torch.ones(1, 3))
    del model
    gc.collect()
    assert alive() is None
