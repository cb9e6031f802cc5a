"""Calls of compiled functions that follow each other: backward through them, and operands that were not there before."""

import pytest

import mashal as torch
from mashal import nn


def gradients(function, *values):
    """The gradients of the leaves after function(*leaves) and backward."""
    leaves = [x.clone().requires_grad_() for x in values]
    function(*leaves).sum().backward()
    return [x.grad.tolist() for x in leaves]


def test_an_operand_that_was_computed_from_another_gets_its_own_gradient_only():
    def both(x, y):
        a = x + y
        return a, a * 3

    def twice(function):
        def run(x, y):
            _, b = function(x, y)
            c, d = function(x, b)
            return c + d

        return run

    compiled = torch.compile(both)
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    for _ in range(3):
        assert gradients(twice(compiled), x, y) == gradients(twice(both), x, y)


def test_a_backward_that_would_fail_fails_only_if_it_is_asked_for():
    def function(x):
        y = x.clone()
        y.mul_(y.detach())
        return y

    compiled = torch.compile(function)
    for _ in range(3):
        x = torch.ones(2).requires_grad_()
        assert compiled(x).tolist() == [1.0, 1.0]


def test_results_of_operands_without_a_history_have_none_whatever_came_before():
    compiled = torch.compile(lambda x: x * 2)
    x = torch.ones(2).requires_grad_()
    assert [compiled(v).requires_grad for v in (x * 1, x * 2, torch.ones(2), x, x * 3)] == [
        True,
        True,
        False,
        True,
        True,
    ]


def test_what_no_gradient_comes_to_has_none():
    compiled = torch.compile(lambda x, y: (x * 2, x * y, y + 1))
    for used, there in ((0, [True, False]), (1, [True, True]), (2, [False, True])):
        for _ in range(2):
            leaves = torch.ones(2).requires_grad_(), torch.ones(2).requires_grad_()
            compiled(*leaves)[used].sum().backward()
            assert [x.grad is not None for x in leaves] == there


def test_operands_that_are_one_tensor_or_share_memory_are_another_recording():
    def function(x, y):
        return x * 2 - y

    compiled = torch.compile(function)
    x, y = torch.ones(3), torch.arange(3.0)
    for a, b in [(y, y), (x, y), (x, x), (y, x), (x[1:], x[:2]), (y[:2], y[1:]), (y[1:], y[:2]), (x, y)]:
        assert compiled(a, b).tolist() == function(a, b).tolist()


def test_views_of_new_memory_are_the_same_call():
    compiled = torch.compile(lambda x, y: x * 2 - y)
    for i in range(20):
        text = torch.arange(12.0).view(2, 6) + i
        x, y = text[:, :-1], text[:, 1:]
        assert torch.equal(compiled(x, y), x * 2 - y)
    assert len(compiled.recordings.all) == 1


def test_what_is_written_to_one_view_is_seen_in_the_other():
    def function(x, y):
        x += 1
        return y * 2

    def fresh(apart):
        base = torch.zeros(5)
        return (torch.zeros(4), torch.zeros(4)) if apart else (base[:4], base[1:])

    compiled = torch.compile(function)
    for apart in (False, False, True, False, True):
        a, b = fresh(apart), fresh(apart)
        assert torch.equal(compiled(*a), function(*b))
        assert torch.equal(a[1], b[1]) and a[0]._version == b[0]._version
    assert len(compiled.recordings.all) == 2


def test_whether_there_is_a_gradient_is_asked_in_each_call():
    w = torch.ones(2).requires_grad_()

    def add_up():
        return w.sum() if w.grad is None else w.grad.sum()

    compiled = torch.compile(add_up)
    assert [compiled().item(), compiled().item()] == [2.0, 2.0]
    (w * 3).sum().backward()
    assert [compiled().item(), compiled().item()] == [6.0, 6.0]
    w.grad = None
    assert compiled().item() == 2.0


def test_zero_grad_of_a_module_forgets_what_came_since():
    layer = torch.nn.Linear(2, 2)
    compiled = torch.compile(lambda x: (layer.zero_grad(), x * 2)[1])
    for _ in range(3):
        compiled(torch.ones(2))
        assert layer.weight.grad is None
        layer(torch.ones(2)).sum().backward()


def test_an_operand_that_the_call_changes_itself_does_not_fail_backward():
    def function(x, y):
        y.mul_(2)
        return x * y

    compiled = torch.compile(function)
    for _ in range(3):
        x, y = torch.ones(2).requires_grad_(), torch.ones(2)
        compiled(x, y).sum().backward()
        assert x.grad.tolist() == [2.0, 2.0]


def test_a_schedule_that_changes_momentum_is_followed():
    def weights(wrap):
        w = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20)

        def step(x):
            optimizer.zero_grad()
            (w * x - 1).square().sum().backward()
            optimizer.step()
            scheduler.step()

        step = wrap(step)
        return [(step(torch.tensor([1.0, 2.0])), w.tolist())[1] for _ in range(6)]

    assert weights(torch.compile) == weights(lambda function: function)


def test_backward_of_one_result_does_not_mind_what_only_another_needs():
    def function(x, y, w):
        return x * y, x * w

    compiled = torch.compile(function)
    for _ in range(3):
        x, y, w = torch.ones(2).requires_grad_(), torch.full((2,), 3.0), torch.ones(2)
        first, second = compiled(x, y, w)
        w.add_(1)
        first.sum().backward(retain_graph=True)
        assert x.grad.tolist() == [3.0, 3.0]
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            second.sum().backward()


def test_hooks_on_what_was_there_before_are_called_once():
    model, found = nn.Linear(3, 2), []
    for call in (model, torch.compile(model)):
        torch.manual_seed(0)
        for _ in range(4):
            x = torch.randn(4, 3, requires_grad=True)
            y, seen = x * 2, []
            y.register_hook(lambda g, seen=seen: (seen.append("y"), g * 3)[1])
            y.retain_grad()
            hooks = (
                model.weight.register_hook(lambda g: g * 2),
                model.bias.register_post_accumulate_grad_hook(lambda p, seen=seen: seen.append("bias")),
            )
            model.zero_grad()
            call(y).sum().backward()
            for hook in hooks:
                hook.remove()
            found.append((x.grad.tolist(), y.grad.tolist(), model.weight.grad.tolist(), sorted(seen)))
    assert found[:4] == found[4:]


def test_a_result_without_a_gradient_has_no_part_in_backward():
    def two(x):
        return x * 2, x.exp()

    compiled = torch.compile(two)
    for _ in range(3):
        x = torch.tensor([1.0, 1000.0], requires_grad=True)
        y, _ = compiled(x)  # the gradient of the other, 0, times its slope, inf, would be nan
        y.sum().backward()
        assert x.grad.tolist() == [2, 2]
        _, z = compiled(x)
        z[0].backward()
        assert x.grad[0] == 2 + x.detach()[0].exp()
        sum(map(torch.sum, compiled(x))).backward()


def test_backward_of_one_result_computes_nothing_for_the_others():
    layer = torch.nn.Linear(4, 4)

    @torch.compile
    def step(x, y):
        logits = layer(x)
        return (logits - y).square().mean(), logits

    x, y = torch.randn(2, 4), torch.randn(2, 4)
    for _ in range(3):
        step(x, y)
    (recording,) = step.recordings.all
    whole, (loss, logits) = recording.after[0].program, recording.after[0].alone
    names = lambda backward: " ".join(step.name for step in backward.program.plan.trail.steps)
    assert "sum of gradients" in names(whole)
    assert "sum of gradients" not in names(loss)
    assert "mse" not in names(logits)
