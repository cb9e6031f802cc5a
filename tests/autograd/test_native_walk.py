"""What native code records and walks: it must be what Python would have recorded and walked."""

import gc
import threading

import pytest

import mashal as torch
from mashal.machine import memory

F = torch.nn.functional
CHANGED = "has been modified by an inplace operation"


def leaf(*numbers):
    return torch.tensor(numbers, requires_grad=True)


# ---------------------------------------------------------------- what is kept
def test_an_operand_changed_in_place_is_noticed():
    x, y = leaf(1.0, 2.0), torch.tensor([3.0, 4.0])
    z = x * y
    y.add_(1)
    with pytest.raises(RuntimeError, match=CHANGED):
        z.sum().backward()


@pytest.mark.parametrize("change", [lambda y: y.add_(1), lambda y: y[0].zero_(), lambda y: y.detach().mul_(2)])
def test_a_result_that_its_node_keeps_is_noticed_when_it_changes(change):
    x = leaf(1.0, 2.0)
    y = x.exp()
    z = y.sum()
    with torch.no_grad():
        change(y)
    with pytest.raises(RuntimeError, match=CHANGED):
        z.backward()


def test_a_result_taken_out_of_the_graph_is_still_noticed():
    x = leaf(1.0, 2.0)
    y = torch.sigmoid(x)
    z = y.sum()
    y.detach_().add_(1)
    with pytest.raises(RuntimeError, match=CHANGED):
        z.backward()


def test_a_result_that_nobody_changed_serves_after_its_data_was_shared():
    x = leaf(0.0, 1.0)
    y = x.tanh()
    y.view(2, 1), y.detach()
    y.sum().backward()
    assert torch.allclose(x.grad, 1 - torch.tanh(x.detach()) ** 2)


def test_what_a_result_keeps_of_itself_is_no_cycle():
    gc.collect()
    gc.disable()
    try:
        before = memory.statistics()["live"]
        x = torch.ones(1000, requires_grad=True)
        y = x.exp().tanh()
        del x, y
        assert memory.statistics()["live"] == before
    finally:
        gc.enable()


def test_a_graph_that_was_freed_says_so():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()


def test_a_graph_that_is_retained_is_walked_again():
    x = leaf(2.0)
    y = (x.exp() * 3).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert torch.allclose(x.grad, 6 * x.detach().exp())


def test_nothing_is_left_after_many_steps():
    model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    x, y = torch.randn(4, 3), torch.tensor([0, 1, 1, 0])

    def step():
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()

    step()
    step()
    gc.collect()
    objects, live = len(gc.get_objects()), memory.statistics()["live"]
    for _ in range(50):
        step()
    assert memory.statistics()["live"] == live
    assert len(gc.get_objects()) - objects < 20


# ---------------------------------------------------------------- where the line forks and joins
def test_a_node_reached_over_both_operands_gets_the_sum():
    x = leaf(3.0)
    y = x * 2
    (y * y).sum().backward()
    assert x.grad.tolist() == [24.0]


def test_a_residual_line_joins_before_it_goes_on():
    x = leaf(1.0, -2.0)
    y = x * 3
    z = y + torch.relu(y) + y.exp()
    z.sum().backward()
    expected = 3 * (1 + (y.detach() > 0).float() + y.detach().exp())
    assert torch.allclose(x.grad, expected)


def test_a_leaf_used_twice_gets_the_sum():
    x, y = leaf(1.0), leaf(5.0)
    ((x * y) * x).sum().backward()
    assert (x.grad.item(), y.grad.item()) == (10.0, 1.0)


def test_a_gradient_that_goes_to_two_leaves_is_no_shared_grad():
    x, y = leaf(1.0), leaf(2.0)
    (x + y).sum().backward()
    x.grad.zero_()
    assert y.grad.item() == 1.0


def test_a_second_backward_adds_to_the_grad_in_place():
    x = leaf(1.0, 2.0)
    (x * 2).sum().backward()
    grad = x.grad
    (x * 3).sum().backward()
    assert x.grad is grad
    assert grad.tolist() == [5.0, 5.0]


def test_operands_that_were_broadcast_get_sums():
    x, row, number = torch.ones(3, 2, requires_grad=True), leaf(1.0, 2.0), leaf(4.0)
    (x * row + number).sum().backward()
    assert x.grad.tolist() == [[1.0, 2.0]] * 3
    assert row.grad.tolist() == [3.0, 3.0]
    assert number.grad.tolist() == [6.0]


# ---------------------------------------------------------------- what is not usual
def test_hooks_in_the_midst_of_a_line_are_called():
    x = leaf(1.0, 2.0)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.retain_grad()
    y.exp().sum().backward()
    assert seen == [y.grad.tolist()]
    assert torch.allclose(x.grad, 2 * y.grad)


def test_another_operand_that_wants_its_gradient_later_gets_it():
    x, y = leaf(2.0), torch.tensor([5.0])
    for wants in (False, True):
        y.requires_grad_(wants)
        x.grad = None
        (x * y).sum().backward()
        assert x.grad.item() == 5.0
    assert y.grad.item() == 2.0


def test_modes_hold_for_their_thread_alone():
    x = leaf(1.0)
    recorded = []
    with torch.no_grad():
        thread = threading.Thread(target=lambda: recorded.append((x * 2).requires_grad))
        thread.start()
        thread.join()
        recorded.append((x * 2).requires_grad)
    assert recorded == [True, False]


def test_saved_tensor_hooks_see_operands_and_results():
    x = leaf(1.0, 2.0)
    packed = []

    def pack(t):
        packed.append(t.tolist())
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        y = (x * x.detach()).exp()
    y.sum().backward()
    assert packed == [[1.0, 2.0], torch.tensor([1.0, 4.0]).exp().tolist()] or len(packed) == 3


def test_a_new_form_of_gradient_is_learned_once_more():
    x = torch.randn(4, 3, requires_grad=True)
    w = torch.randn(2, 3, requires_grad=True)
    for _ in range(2):
        for g in (torch.ones(4, 2), torch.ones(2, 4).t(), torch.ones(4, 2)[:, :1].expand(4, 2)):
            x.grad = w.grad = None
            F.linear(x, w).backward(g)
            assert torch.allclose(x.grad, g @ w.detach())
            assert torch.allclose(w.grad, g.t() @ x.detach())


@pytest.mark.parametrize("operation", [F.softmax, F.log_softmax])
def test_second_derivatives_go_through_results_that_are_kept(operation):
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda t: operation(t, -1), x)


def test_each_part_of_a_split_gets_its_own_gradient_however_often():
    for _ in range(3):
        x = torch.zeros(2, 6, requires_grad=True)
        first, second = x.split(3, dim=1)
        (first.unsqueeze(0).sum() + 2 * second.unsqueeze(0).sum()).backward()
        assert x.grad.tolist() == [[1, 1, 1, 2, 2, 2]] * 2


def test_two_threads_may_walk_one_graph():
    x = torch.ones(300, 300, requires_grad=True)
    y = (x @ x).exp().sum() * 0
    failures = []

    def walk():
        try:
            for _ in range(5):
                y.backward(retain_graph=True)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=walk) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
