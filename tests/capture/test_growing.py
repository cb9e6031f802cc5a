"""Sizes that change from call to call: one replay for many of them, with eager's bits, and nothing generalised that must not be."""

import math
import random
import threading
import warnings

import pytest

import mashal as torch
from mashal import nn
from mashal.machine.observing import watch
from mashal.nn import functional as F

pytestmark = pytest.mark.filterwarnings("ignore:compile")


def attention(x):
    return torch.softmax(x @ x.transpose(-1, -2) / 4, -1) @ x


def positions(x):
    return x + torch.arange(x.shape[0]).unsqueeze(1) / x.shape[1]


FUNCTIONS = {
    "pointwise": (lambda x: (x * 2 + 1).tanh() * x, lambda n: (torch.randn(n, 5),)),
    "reduction": (lambda x: (x.exp().sum(-1), x.amax(0)), lambda n: (torch.randn(n, 7),)),
    "row length": (lambda x: torch.softmax(x, -1) + x.sum(-1, keepdim=True), lambda n: (torch.randn(6, n),)),
    "two dimensions": (lambda x: x + x.T, lambda n: (torch.randn(n, n),)),
    "attention": (attention, lambda n: (torch.randn(2, n, 16),)),
    "positions": (positions, lambda n: (torch.randn(n, 3),)),
    "two operands": (lambda a, b: a @ b, lambda n: (torch.randn(3, n), torch.randn(n, 2 * n + 1))),
    "views": (lambda x: x[1:].reshape(-1, 2) * 2, lambda n: (torch.randn(n + 1, 4),)),
    "a list": (lambda xs: torch.cat(xs, 1) * 2, lambda n: ([torch.randn(2, n), torch.randn(2, 3)],)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_size_that_grows_is_recorded_a_few_times(name):
    function, arguments = FUNCTIONS[name]
    compiled = torch.compile(function)
    torch.manual_seed(0)
    for n in [*range(2, 60), 200, 17, 33]:
        given = arguments(n)
        wanted, found = function(*given), compiled(*given)
        for a, b in zip(wanted, found) if isinstance(wanted, tuple) else [(wanted, found)]:
            assert a.shape == b.shape and a.stride() == b.stride() and torch.equal(a, b), n
    known = compiled.recordings
    assert len(known.growing) >= 2 and len(known.all) <= 5


def test_views_of_a_text_of_many_lengths():
    """The usual step of a language model: text and text one on are views, and the loss is returned."""
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 20)) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())

    def step_of(model):
        optimizer = torch.optim.AdamW(model.parameters())

        def step(x, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
            loss.backward()
            optimizer.step()
            return loss

        return step

    eager, compiled = step_of(models[0]), torch.compile(step_of(models[1]))
    sizes = random.Random(0)
    for _ in range(60):
        text = torch.randint(20, (2, sizes.randrange(40, 200)))
        x, y = text[:, :-1], text[:, 1:]
        torch.testing.assert_close(compiled(x, y), eager(x, y))
    assert compiled.recordings.growing and len(compiled.recordings.all) <= 8


def test_dynamic_says_when():
    for dynamic, sizes, count in ((True, 2, 1), (None, 2, 0), (None, 3, 1), (False, 9, 0)):
        compiled = torch.compile(lambda x: x * 2 + 1, dynamic=dynamic)
        for n in range(5, 5 + sizes):
            compiled(torch.randn(n))
        assert len(compiled.recordings.growing) == count, (dynamic, sizes)


def test_explain_shows_the_replay_for_many_sizes():
    compiled = torch.compile(lambda x: (x * 2 + 1).relu())
    for n in range(5, 9):
        compiled(torch.randn(n))
    (region,) = torch.explain(compiled, torch.randn(8)).regions
    assert "for sizes 7 to 56" in region.name and len(region.kernels) == 1
    assert torch.equal(compiled(torch.full((9,), -0.25)), torch.full((9,), 0.5))


def test_results_of_earlier_sizes_stay():
    compiled = torch.compile(lambda x: x * 2)
    given = [torch.randn(n) for n in range(5, 40)]
    results = [compiled(x) for x in given]
    assert compiled.recordings.growing
    assert all(torch.equal(y, x * 2) for x, y in zip(given, results))


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_training_on_sequences_of_many_lengths(optimizer):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.norm = nn.Embedding(11, 8), nn.LayerNorm(8)
            self.mix, self.out = nn.Linear(8, 8), nn.Linear(8, 11)

        def forward(self, tokens):
            x = self.embedding(tokens)
            return self.out(self.norm(x + attention(self.mix(x))))

    def trained(wrap):
        torch.manual_seed(1)
        model = Model()
        made = getattr(torch.optim, optimizer)(model.parameters(), lr=0.01)

        def step(tokens, following):
            made.zero_grad()
            loss = F.cross_entropy(model(tokens).flatten(0, 1), following.flatten())
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            made.step()
            return loss.detach()

        call = wrap(step)
        losses = []
        for n in [9, 14, 11, 18, 30, 13, 25, 16, 9, 40, 22, 12, 28, 35]:
            tokens = torch.randint(0, 11, (2, n + 1))
            losses.append(call(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()).item())
        return losses, [p.detach() for p in model.parameters()], call

    losses, parameters, _ = trained(lambda f: f)
    found, others, call = trained(torch.compile)
    assert call.recordings.growing
    torch.testing.assert_close(torch.tensor(found), torch.tensor(losses), rtol=1e-6, atol=1e-6)
    for a, b in zip(others, parameters):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_a_cache_that_grows_with_a_number():
    keys = torch.randn(64, 4)

    def step(x, place):
        return torch.softmax(x @ keys[:place].T, -1) @ keys[:place]

    compiled = torch.compile(step)
    x = torch.randn(1, 4)
    assert all(torch.equal(step(x, n), compiled(x, n)) for n in range(1, 60))


def test_a_number_and_a_size_that_grow_together():
    compiled = torch.compile(lambda x, n: x[: n - 1] * n)
    for n in range(3, 40):
        x = torch.randn(n)
        assert torch.equal(compiled(x, n), x[: n - 1] * n)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * 2 if x.shape[0] % 2 else x + 1,
        lambda x: x * 2 if x.shape[0] == 13 else x + 1,
        lambda x: x * 2 if x.shape[0] & 4 else x + 1,
        lambda x: x * 2 if x.shape[0] in (13, 21) else x + 1,
        lambda x: x * 2 if x.shape[0] - 13 else x + 1,
    ],
)
def test_what_does_not_change_at_thresholds_is_not_generalised(function):
    compiled = torch.compile(function)
    for n in range(2, 50):
        x = torch.randn(n)
        assert torch.equal(compiled(x), function(x)), n
    assert not compiled.recordings.growing


def test_a_threshold_of_the_programs_own():
    def function(x):
        return x * 2 if x.shape[0] > 20 else x + 1

    compiled = torch.compile(function)
    for n in range(2, 50):
        x = torch.randn(n)
        assert torch.equal(compiled(x), function(x)), n
    assert compiled.recordings.growing


def test_the_size_itself_as_a_number():
    def function(x):
        return x * x.shape[0] + x.sum() / x.shape[0]

    compiled = torch.compile(function)
    for n in range(2, 50):
        x = torch.randn(n)
        assert torch.equal(compiled(x), function(x)), n


def test_rehearsals_leave_nothing_behind():
    def drawn(wrap):
        torch.manual_seed(3)
        seen = torch.zeros(1)

        def function(x):
            seen.add_(1)
            return x + torch.rand(x.shape[0])

        call = wrap(function)
        results = [call(torch.zeros(n)) for n in range(4, 20)]
        return results, seen, torch.rand(3)

    results, seen, after = drawn(lambda f: f)
    others, count, rest = drawn(torch.compile)
    assert all(torch.equal(a, b) for a, b in zip(results, others))
    assert torch.equal(seen, count) and torch.equal(after, rest)


def test_sizes_that_the_program_does_not_take():
    table = torch.randn(30, 4)

    def function(x):
        return x + table[torch.arange(x.shape[0])]

    compiled = torch.compile(function)
    for n in range(4, 31):
        x = torch.randn(n, 4)
        assert torch.equal(compiled(x), function(x)), n
    with pytest.raises((IndexError, RuntimeError)):
        compiled(torch.randn(31, 4))


def test_an_index_out_of_range_at_another_size():
    weight = torch.randn(10, 3)
    compiled = torch.compile(lambda i: F.embedding(i, weight) * 2)
    for n in range(3, 12):
        compiled(torch.randint(0, 10, (n,)))
    assert compiled.recordings.growing
    with pytest.raises(IndexError):
        compiled(torch.tensor([1, 2, 3, 4, 5, 10, 1]))
    i = torch.tensor([1, 2, 3, 4, 5, 9, 1])
    assert torch.equal(compiled(i), F.embedding(i, weight) * 2)


def test_a_parameter_that_changes_between_sizes():
    layer = nn.Linear(4, 3)
    compiled = torch.compile(lambda x: layer(x) * 2)
    with torch.no_grad():
        for n in range(3, 30):
            x = torch.randn(n, 4)
            assert torch.equal(compiled(x), layer(x) * 2)
            layer.weight.mul_(0.9)
        layer.weight = nn.Parameter(torch.ones(3, 4))
        x = torch.randn(8, 4)
        assert torch.equal(compiled(x), layer(x) * 2)


def test_no_warning_while_sizes_are_generalised():
    compiled = torch.compile(lambda x: x * 2 + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(3, 200):
            compiled(torch.randn(n))


def test_threads_with_sizes_of_their_own():
    compiled = torch.compile(lambda x: torch.softmax(x * 2 + 1, 0) + x.sum())
    for n in range(600, 610):
        compiled(torch.randn(n))
    assert compiled.recordings.growing
    wrong = []

    def work(seed):
        sizes = random.Random(seed)
        for _ in range(200):
            x = torch.linspace(-1, 1, sizes.randrange(610, 3000))
            if not torch.equal(compiled(x), torch.softmax(x * 2 + 1, 0) + x.sum()):
                wrong.append(x.shape)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert watch.recorder is None  # whoever computed while another thread recorded has left nothing behind


def test_sizes_that_grow_while_others_shrink():
    compiled = torch.compile(attention)
    for batch, time in [(2, 3), (3, 4), (1, 6), (2, 9), (7, 7), (3, 3), (5, 2)]:
        x = torch.randn(batch, time, 4)
        torch.testing.assert_close(compiled(x), attention(x))


def test_a_rehearsal_has_no_effects(capsys):
    """Sizes that nobody asked for are tried; what the program does in Python at such sizes does not happen."""
    counts, seen = {"long": 0}, []

    def counted(x):
        if x.shape[0] > 20:
            counts["long"] += 1
            seen.append(x.shape[0])
            print("long")
        return x.softmax(-1) * 2

    def printed(x):
        if x.shape[0] > 20:
            print("long")
        return x.softmax(-1) * 2

    for function in (counted, printed):
        compiled = torch.compile(function)
        for n in range(3, 9):
            compiled(torch.randn(n, 4))
        assert compiled.recordings.growing
    assert counts == {"long": 0} and not seen and not capsys.readouterr().out


def test_a_position_that_grows():
    """The keys of a cache are filled one by one; the position is an int, and no tensor's size changes."""

    def step(x, keys, at):
        keys[:, at : at + 1] = x
        return (x @ keys[:, : at + 1].transpose(1, 2)).softmax(-1)

    compiled = torch.compile(step)
    keys, wanted = torch.zeros(2, 64, 8), torch.zeros(2, 64, 8)
    for at in range(60):
        x = torch.randn(2, 1, 8)
        torch.testing.assert_close(compiled(x, keys, at), step(x, wanted, at))
    assert torch.equal(keys, wanted) and len(compiled.recordings.all) <= 4


ONES_AND_FIVE = (1.0, 1, 1, 1, 1, 5, *[1.0] * 40)


@pytest.mark.parametrize("lookup", [
    lambda x, n: x * ONES_AND_FIVE[n],
    lambda x, n: x * ONES_AND_FIVE[n + 1],
    lambda x, n: x * [1.0, 1, 1, 1, 1, 5, *[1.0] * 40][n + 1],
    lambda x, n: x * {5: 2.0}.get(n, 1.0),
    lambda x, n: x * 3 if n == 5 else x,
    lambda x, n: x * 3 if n in (5, 7) else x,
    lambda x, n: x * 3 if (n + 1) % 5 else x,
    lambda x, n: x * (n ^ 3),
    lambda x, n: x * math.sqrt(n),
])  # fmt: skip
def test_what_depends_on_a_number_otherwise_is_not_generalised(lookup):
    compiled = torch.compile(lookup)
    for n in range(20):
        x = torch.randn(3)
        assert torch.equal(compiled(x, n), lookup(x, n))
    assert not compiled.recordings.growing


def test_a_branch_on_whether_a_number_is_zero_is_not_generalised():
    def function(x, n):
        rest = n - 9
        return x + 1 if rest else x * 2

    compiled = torch.compile(function)
    for n in range(20):
        assert torch.equal(compiled(torch.ones(3), n), function(torch.ones(3), n))


def test_a_backward_of_many_sizes():
    """Forwards of several sizes may wait for their backwards."""
    torch.manual_seed(0)
    layer = nn.Linear(8, 4)
    compiled = torch.compile(layer)
    for n in (*range(16, 40), 64, 20):
        given = [torch.randn(m, 8, requires_grad=m % 2 == 0) for m in (n, n + 1)]
        gradients = []
        for function in (layer, compiled):
            layer.zero_grad()
            results = [function(x) for x in given]
            for y in results:
                y.square().sum().backward()
            gradients.append([layer.weight.grad, *(x.grad for x in given if x.requires_grad)])
            for x in given:
                x.grad = None
        for a, b in zip(*gradients):
            torch.testing.assert_close(a, b)
    known = compiled.forward.recordings
    assert len(known.growing) >= 2 and len(known.all) <= 5


def test_sizes_and_views_among_the_results():
    def function(x):
        return x.shape, x.shape[0], x[1:], x.t(), (x * 2)[1:]

    compiled = torch.compile(function)
    for n in range(2, 30):
        x = torch.randn(n, 3)
        size, rows, rest, turned, doubled = compiled(x)
        assert type(size) is torch.Size and size == (n, 3) and type(rows) is int and rows == n
        assert torch.equal(doubled, x[1:] * 2) and torch.equal(turned, x.t())
        rest.zero_()
        assert not x[1:].any()
    assert compiled.recordings.growing and len(compiled.recordings.all) <= 4


def test_remainders_of_tensors_are_no_remainders_of_sizes():
    def function(x):
        rest = x % 3
        return rest == 1

    compiled = torch.compile(function)
    for n in range(2, 20):
        assert compiled(torch.arange(n)).tolist() == [k % 3 == 1 for k in range(n)]
    assert compiled.recordings.growing


def test_a_part_of_a_tensor_that_is_compared_is_a_tensor():
    """The mask of nanoGPT."""
    below = torch.tril(torch.ones(64, 64))

    def attend(x):
        n = x.shape[1]
        return (x @ x.mT).masked_fill(below[:n, :n] == 0, -torch.inf).softmax(-1) @ x

    compiled = torch.compile(attend)
    for n in range(4, 40):
        x = torch.randn(2, n, 8)
        assert torch.equal(compiled(x), attend(x)), n
    assert compiled.recordings.growing


def test_there_is_no_warning_while_larger_sizes_may_be_generalised():
    """Products of the first few sizes have kernels of their own."""
    layer = nn.Linear(8, 17)
    compiled = torch.compile(lambda x: layer(x).argmax(-1))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error")
        for n in range(1, 40):
            x = torch.randn(2, n, 8)
            assert torch.equal(compiled(x), layer(x).argmax(-1))
    assert compiled.recordings.growing


def images(train):
    torch.manual_seed(0)
    head = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    rest = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return nn.Sequential(head, rest, nn.Linear(64, 10)).train(train)


def test_images_in_batches_of_many_sizes():
    model = images(False)
    compiled = torch.compile(model)
    with torch.no_grad():
        for n in (4, 3, *range(7, 40), 2, 8, 16, 5):
            x = torch.randn(n, 3, 16, 16)
            assert torch.equal(compiled(x), model(x)), n
    known = compiled.forward.recordings
    assert known.growing and len(known.all) <= 4


def test_training_on_images_in_batches_of_many_sizes():
    """The running variance takes n / (n - 1) into account, which is no polynomial: the kernel is given n."""

    def trained(wrap):
        model = images(True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

        def step(x, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        call = wrap(step)
        losses = [call(torch.randn(n, 3, 16, 16), torch.randint(0, 10, (n,))) for n in (32, 31, 40, 33, 64, 50, 45, 39)]
        return [*losses, *(x.detach() for x in model.state_dict().values())], call

    wanted, _ = trained(lambda f: f)
    found, call = trained(torch.compile)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted))
    assert call.recordings.growing and len(call.recordings.all) <= 3


def test_tables_that_operations_keep_for_a_size_are_those_of_the_call():
    """Whoever calls an operation first has it make its tables (here: which rows a flip takes, which column a triangle begins at)."""

    def function(x):
        return x.flip(1).tril() + x.roll(1, 1)

    compiled = torch.compile(function)
    for n in (5, 6, 9, 12, 7, 8, 10, 11):
        x = torch.randn(n, 4, 6)
        assert torch.equal(function(x), compiled(x))
    assert compiled.recordings.growing and len(compiled.recordings.all) <= 2


# ---------------------------------------------------------------- two sizes
def twice(function, arguments, sizes):
    """A function compiled, after each of the sizes has been found to give eager's bits."""
    compiled = torch.compile(function)
    for size in sizes:
        given = arguments(*size)
        wanted, found = function(*given), compiled(*given)
        assert wanted.shape == found.shape and wanted.stride() == found.stride() and torch.equal(wanted, found), size
    return compiled.recordings


def sizes_of(seed, count, *ranges):
    chosen = random.Random(seed)
    return [tuple(chosen.randrange(*each) for each in ranges) for _ in range(count)]


TWO = {
    "pointwise": (lambda x, y: (x * y + 1).tanh(), lambda n, m: (torch.randn(n, m), torch.randn(m))),
    "rows": (lambda x: x.softmax(-1) + x.sum(0), lambda n, m: (torch.randn(n, m),)),
    "a product": (lambda a, b: a @ b, lambda n, m: (torch.randn(n, 24), torch.randn(24, m))),
    "batches": (attention, lambda n, m: (torch.randn(n, m, 16),)),
    "a number": (lambda x, k: x[:, :k] * k, lambda n, m: (torch.randn(n, 99), m)),
    "images": (lambda x: F.avg_pool2d(x.relu(), 3), lambda n, m: (torch.randn(1, 2, 3 * n, 3 * m),)),
}


@pytest.mark.parametrize("name", TWO)
def test_two_sizes_that_vary_have_a_replay_in_common(name):
    known = twice(*TWO[name], sizes_of(0, 40, (14, 60), (20, 90)))
    assert known.growing and len(known.all) <= 3


def language_model():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(20, 16), nn.Linear(16, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 20))
    optimizer = torch.optim.AdamW(model.parameters())

    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        loss.backward()
        optimizer.step()
        return loss

    return model, step


def test_a_step_on_batches_and_lengths_that_vary_is_recorded_twice():
    (model, step), (other, same) = language_model(), language_model()
    compiled = torch.compile(same)
    for n, m in sizes_of(1, 40, (8, 20), (10, 60)):
        text = torch.randint(20, (n, m + 1))
        assert torch.equal(step(text[:, :-1], text[:, 1:]), compiled(text[:, :-1], text[:, 1:])), (n, m)
    assert all(map(torch.equal, model.parameters(), other.parameters()))
    assert len(compiled.recordings.all) == 2


def test_what_shrinks_by_halves_is_replayed_for_sizes_with_halves():
    layers = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(), nn.MaxPool2d(2))
    with torch.no_grad():
        known = twice(
            lambda x: layers(x), lambda n: (torch.randn(2, 2, n, n),), [(8 * n,) for n in (3, 5, 4, 6, 9, 7, 10, 8)]
        )
    assert len(known.all) <= 3 and known.growing[0].laws[0].pitch == (8,)


def test_sizes_between_those_that_were_rehearsed_have_room():
    """The blocks in which a long product is cut are longest for sizes in the middle."""

    def step(x, y):
        w = torch.ones(6, 6, requires_grad=True)
        (x.reshape(-1, 6) @ w).sum().backward()
        return w.grad + y.sum()

    def arguments(n, m):
        return torch.randn(n, m, 6), torch.randn(m)

    assert twice(step, arguments, [(18, 160), (25, 150), (32, 112), *sizes_of(2, 30, (20, 40), (100, 200))]).growing


def test_products_that_differ_in_their_form_only_are_rehearsed_alike():
    """Below and above the sizes from which an operand is packed."""
    known = twice(
        lambda a, b: (a @ b).relu(),
        lambda n: (torch.randn(n, 512), torch.randn(512, 32)),
        [(400,), (420,), (500,), (600,)],
    )
    assert len(known.all) == 2 and len(known.growing) == 1


def shown(size):
    """The mask of PyTorch's tutorials."""
    mask = (torch.triu(torch.ones(size, size)) == 1).transpose(0, 1)
    return mask.float().masked_fill(mask == 0, float("-inf")).masked_fill(mask == 1, 0.0)


def test_masks_that_are_made_in_the_call_by_comparing():
    known = twice(
        lambda x: (x @ x.T + shown(x.shape[0])).softmax(-1),
        lambda n: (torch.randn(n, 8),),
        [(n,) for n in range(14, 40)],
    )
    assert len(known.all) == 2 and len(known.growing) == 1


def test_what_compares_numbers_that_functions_of_the_program_return_is_not_generalised():
    def rest(x):
        return x.shape[0] % 8

    known = twice(lambda x: x * 2 if rest(x) == 3 else x, lambda n: (torch.randn(n),), [(n,) for n in range(14, 40)])
    assert not known.growing
