"""x[t] in a compiled function, t a tensor of one integer: a kernel finds the part, where that means the same."""

from __future__ import annotations

import pytest

import mashal as torch
from mashal import nn

BATCHES = [torch.randn(6, 4, generator=torch.Generator().manual_seed(i)) for i in range(8)]


def changed_view(x, t):
    y = x[t]
    y.add_(1)
    return x * 2


def changed_base(x, t):
    y = x[t]
    x.mul_(2)
    return y + 1


def added(x, t):
    x[t] += 1
    return x.sum()


def returned(x, t):
    return x[t]


def part_of_view(x, t):
    x[t][1:] = 5.0
    return x + 0


def doubled(x, t):
    return x[t] * 2


def negative(x, t):
    return x[-t - 1] + 1


def several(x, t):
    return x[t, t % 4] + x[None, :, t % 4, ...].sum()


def largest(x, t):
    return x[x.sum(1).argmax()] * 2


def read_and_written(x, t):
    x[t] = x[t] * 2
    return x + 0


def column(x, t):
    x[:, t % 4] = torch.arange(6.0)
    return x + 0


def with_new_dimensions(x, t):
    x[None, ..., t % 4] = 3
    x[t, ..., None] = torch.ones(4, 1) * 2
    return x + 0


def changed_after(x, t):
    y = x[t] + 1
    x.mul_(2)
    return y + x


def gradient(x, t):
    x = x.clone().requires_grad_()
    (x[t] ** 2).sum().backward()
    return x.grad + 0


RECORDED = [doubled, negative, several, largest, read_and_written, column, with_new_dimensions, changed_after, gradient]
CUT = [changed_view, changed_base, added, returned, part_of_view]


def run(function):
    found = []
    for i, batch in enumerate(BATCHES):
        x = batch.clone()
        answer = function(x, torch.tensor(i % 6))
        found += [answer.clone(), x]
    return found


@pytest.mark.parametrize("function", RECORDED, ids=lambda f: f.__name__)
def test_a_kernel_finds_the_part(function):
    compiled = torch.compile(function)
    assert all(map(torch.equal, run(compiled), run(function)))
    assert not compiled.recordings.refusal
    assert len(compiled.recordings.all) == 1


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("function", CUT, ids=lambda f: f.__name__)
def test_where_a_copy_would_not_be_the_view_that_it_is_the_function_is_cut(function):
    compiled = torch.compile(function)
    assert all(map(torch.equal, run(compiled), run(function)))
    assert compiled.recordings.refusal


def test_an_index_out_of_range_is_an_error():
    compiled = torch.compile(doubled)
    run(compiled)
    with pytest.raises(IndexError, match="index 6 is out of bounds for dimension 0 with size 6"):
        compiled(BATCHES[0], torch.tensor(6))
    assert torch.equal(compiled(BATCHES[0], torch.tensor(5)), BATCHES[0][5] * 2)


def test_one_graph_may_have_such_an_index():
    compiled = torch.compile(doubled, fullgraph=True)
    assert all(map(torch.equal, run(compiled), run(doubled)))


def test_a_cache_is_written_where_a_tensor_says():
    def trained(compile):
        cache = torch.zeros(2, 8, 4)

        def step(x, t):
            cache[:, t] = x[:2]
            return (cache * (torch.arange(8) <= t).view(1, -1, 1)).sum(1)

        return run(compile(step)), cache

    (found, cache), (expected, eager) = trained(torch.compile), trained(lambda step: step)
    assert all(map(torch.equal, found, expected))
    assert torch.equal(cache, eager)


def test_rows_of_a_parameter_are_trained():
    def trained(compile):
        weight = nn.Parameter(torch.linspace(-1, 1, 24).reshape(6, 4))
        optimizer = torch.optim.Adam([weight])

        def step(x, t):
            optimizer.zero_grad()
            loss = (weight[t] * x).square().sum()
            loss.backward()
            optimizer.step()
            return loss

        step = compile(step)
        return run(step), weight.detach(), step

    found, weight, step = trained(torch.compile)
    expected, eager, _ = trained(lambda step: step)
    assert all(map(torch.equal, found, expected))
    assert torch.equal(weight, eager)
    assert not step.recordings.refusal


def test_regions_have_such_indices(capsys):
    def told(x, t):
        y = x[t] * 2
        print("now")
        return y + 1

    compiled = torch.compile(told)
    assert all(map(torch.equal, run(compiled), run(told)))
    assert not any(region.refusal for region in compiled.recordings.regions)
