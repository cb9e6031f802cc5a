"""Hooks: when they run, what they see, what they may change."""

import pytest

import mashal as torch
from mashal import autograd
from mashal.autograd import graph


def leaf(*values):
    return torch.tensor(values, requires_grad=True)


def test_a_hook_sees_the_whole_gradient_of_a_leaf_once():
    x, seen = leaf(3.0), []
    x.register_hook(lambda g: seen.append(g.tolist()))
    (x * 2 + x * 3).sum().backward()
    assert seen == [[5.0]]


def test_what_a_hook_returns_replaces_the_gradient():
    x = leaf(3.0)
    h = x * 2
    h.register_hook(lambda g: g * 10)
    h.sum().backward()
    assert x.grad.tolist() == [20.0]


def test_a_removed_hook_is_not_called():
    x = leaf(3.0)
    with x.register_hook(lambda g: g * 10):
        x.sum().backward()
    x.sum().backward()
    assert x.grad.tolist() == [11.0]


def test_a_hook_may_not_change_the_shape():
    x = leaf(3.0, 4.0)
    x.register_hook(lambda g: g.sum())
    with pytest.raises(RuntimeError, match=r"hook: it returned a gradient \(\); the gradient it was given is \(2,\)"):
        x.sum().backward()


def test_a_tensor_without_gradient_takes_no_hook():
    with pytest.raises(RuntimeError, match="register_hook"):
        torch.ones(2).register_hook(print)


def test_retain_grad_keeps_the_gradient_after_the_hooks():
    x = leaf(3.0)
    h = x * 2
    h.retain_grad()
    h.register_hook(lambda g: g * 10)
    h.sum().backward()
    assert h.retains_grad
    assert h.grad.tolist() == [10.0]


def test_hooks_of_a_node_see_gradients_before_and_after_it():
    x, seen = leaf(3.0), []
    h = x * 2
    h.grad_fn.register_prehook(lambda outputs: seen.append(len(outputs)))
    h.grad_fn.register_hook(lambda inputs, outputs: seen.append((inputs[0].tolist(), outputs[0].tolist())))
    h.sum().backward()
    assert seen == [1, ([2.0], [1.0])]


def test_a_hook_after_accumulation_sees_the_leaf():
    x, seen = leaf(3.0), []
    x.register_post_accumulate_grad_hook(lambda leaf: seen.append(leaf.grad.tolist()))
    (x * 2 + x * 3).sum().backward()
    assert seen == [[5.0]]


def test_a_hook_of_several_waits_for_those_that_backward_reaches():
    x, seen = leaf(3.0), []
    a, b = x * 2, x * 3
    graph.register_multi_grad_hook([a, b], lambda gradients: seen.append([g is not None for g in gradients]))
    (a + b).sum().backward(retain_graph=True)
    a.sum().backward()
    assert seen == [[True, True], [True, False]]


def test_a_hook_of_any_runs_once_a_backward():
    x, seen = leaf(3.0), []
    a, b = x * 2, x * 3
    graph.register_multi_grad_hook([a, b], seen.append, mode="any")
    (a + b).sum().backward()
    assert len(seen) == 1


def test_what_is_saved_goes_through_the_hooks_on_it():
    x, packed = leaf(3.0), []

    def pack(t):
        packed.append(t.tolist())
        return t.tolist()

    with graph.saved_tensors_hooks(pack, torch.tensor):
        y = x * x
    y.sum().backward()
    assert packed == [[3.0], [3.0]]
    assert x.grad.tolist() == [6.0]


def test_hooks_on_what_is_saved_keep_gradients_of_gradients():
    x = leaf(3.0)
    with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        y = x.exp()
    (first,) = autograd.grad(y.sum(), x, create_graph=True)
    assert torch.autograd.grad(first.sum(), x)[0].tolist() == y.tolist()


def test_save_on_cpu_changes_no_gradient():
    x = leaf(3.0)
    with graph.save_on_cpu():
        y = x * x
    y.sum().backward()
    assert x.grad.tolist() == [6.0]


def test_hooks_on_what_is_saved_can_be_forbidden():
    nothing = graph.saved_tensors_hooks(lambda t: t, lambda t: t)
    with graph.disable_saved_tensors_hooks("not here"), pytest.raises(RuntimeError, match="not here"), nothing:
        pass


def hooked(make):
    """The lists of what hooks are given to pack and to unpack, and what `make` gives under them."""
    packed, unpacked = [], []

    def pack(t):
        packed.append(t.tolist())
        return t.detach()

    def unpack(t):
        unpacked.append(t.tolist())
        return t

    with graph.saved_tensors_hooks(pack, unpack):
        return packed, unpacked, make()


CALLS = {
    "a product": lambda x, y: x * y,
    "a power": lambda x, y: x**y,
    "a product of matrices": lambda x, y: x.view(1, 1) @ y.view(1, 1),
    "a function of its result": lambda x, y: x.exp() + y.sigmoid(),
    "a row": lambda x, y: torch.softmax(x, 0) * y.var(correction=0),
    "a loss": lambda x, y: torch.nn.functional.mse_loss(x, y),
    "rows with weights": lambda x, y: torch.nn.functional.layer_norm(x, (1,), y, y),
}


@pytest.mark.parametrize("name", CALLS)
def test_each_backward_unpacks_once_what_was_packed(name):
    packed, unpacked, y = hooked(lambda: CALLS[name](leaf(3.0), leaf(2.0)))
    y.sum().backward(retain_graph=True)
    assert sorted(map(str, unpacked)) == sorted(map(str, packed))
    y.sum().backward()
    assert len(unpacked) == 2 * len(packed)


def test_hooks_are_given_other_before_self():
    packed, unpacked, y = hooked(lambda: leaf(3.0) * leaf(2.0))
    y.sum().backward()
    assert packed == unpacked == [[2.0], [3.0]]


def test_what_backward_needs_may_be_changed_in_place_where_that_is_allowed():
    x, w = leaf(3.0), leaf(2.0)
    with graph.allow_mutation_on_saved_tensors() as kept:
        h = x.clone()
        y = h * w + h.exp()
        assert len(kept.copies) == 3  # h, w, the exponential
        h.zero_()
        y.sum().backward()
    assert x.grad.item() == pytest.approx(2 + 2.718281828**3) and w.grad.tolist() == [3.0]
    assert not kept.copies


def test_a_graph_of_that_block_is_walked_inside_it():
    with graph.allow_mutation_on_saved_tensors():
        y = leaf(3.0).exp()
        with pytest.raises(RuntimeError, match="nested"), graph.allow_mutation_on_saved_tensors():
            pass
    with pytest.raises(RuntimeError, match="backward outside"):
        y.sum().backward()


def test_handles_of_several_hooks_are_named_as_pytorchs():
    handle = graph.register_multi_grad_hook([leaf(1.0)], lambda gradients: None)
    assert repr(handle).startswith("<mashal.autograd.graph._MultiHandle object at ")
