"""Small things around tensors."""

import warnings

import pytest

import mashal as torch
from mashal import nn
from mashal.testing import make_tensor
from mashal.utils import _pytree as pytree
from mashal.utils.benchmark import Compare, Timer
from mashal.utils.hooks import BackwardHook, unserializable_hook, warn_if_has_hooks


@pytest.mark.parametrize("d", [torch.float32, torch.bfloat16, torch.int8, torch.uint8, torch.bool, torch.complex64])
def test_made_tensors_have_dtype_and_shape(d):
    x = make_tensor(3, 4, dtype=d, device="cpu")
    assert x.dtype is d and x.shape == (3, 4)


def test_made_tensors_may_be_noncontiguous_and_without_zeros():
    x = make_tensor((5, 6), dtype=torch.int64, device="cpu", low=0, high=2, noncontiguous=True, exclude_zero=True)
    assert not x.is_contiguous() and (x == 1).all()


def test_bounds_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="low 2 must be less than high 1"):
        make_tensor(1, dtype=torch.float32, device="cpu", low=2, high=1)


def test_tensors_swap_all_they_are():
    a, b = nn.Parameter(torch.ones(2)), torch.zeros(3, dtype=torch.int64)
    torch.utils.swap_tensors(a, b)
    assert isinstance(b, nn.Parameter) and b.requires_grad and b.tolist() == [1, 1]
    assert type(a) is torch.Tensor and not a.requires_grad and a.dtype is torch.int64
    (b * 2).sum().backward()
    assert b.grad.tolist() == [2, 2]


def test_tensors_with_a_history_are_not_swapped():
    x = torch.ones(1, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="history"):
        torch.utils.swap_tensors(x, torch.ones(1))


def test_a_class_of_ones_own_is_part_of_nests():
    class Pair:
        def __init__(self, a, b):
            self.a, self.b = a, b

    pytree.register_pytree_node(Pair, lambda p: ([p.a, p.b], None), lambda items, _: Pair(*items))
    made = pytree.tree_map(lambda x: x + 1, {"x": Pair(1, [2])})
    assert (made["x"].a, made["x"].b) == (2, [3])
    with pytest.raises(ValueError, match="already registered"):
        pytree.register_pytree_node(Pair, None, None)


def test_times_of_a_statement():
    measured = Timer("x + 1", globals={"x": torch.ones(3)}, label="add", description="small").blocked_autorange(
        min_run_time=0.01
    )
    assert 0 < measured.median < 1
    assert "add: small" in repr(measured)
    assert "Times are in" in str(Compare([measured]))


def test_hooks_that_would_be_lost_are_warned_of():
    x = torch.ones(1, requires_grad=True)
    x.register_hook(unserializable_hook(lambda g: g))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_has_hooks(x)
    x.register_hook(lambda g: g)
    with pytest.warns(UserWarning, match="will not be serialized"):
        warn_if_has_hooks(x)


def test_a_backward_hook_sees_both_gradients():
    seen = []
    hook = BackwardHook("module", [lambda m, inputs, outputs: seen.append((m, inputs, outputs))], [])
    x = torch.tensor([3.0], requires_grad=True)
    (given,) = hook.setup_input_hook((x,))
    hook.setup_output_hook((given * 2,))[0].backward()
    assert seen == [("module", (torch.tensor([2.0]),), (torch.tensor([1.0]),))]


def test_sobol_points_are_even():
    points = torch.quasirandom.SobolEngine(4, scramble=True, seed=3).draw(256)
    assert (points.mean(0) - 0.5).abs().max() < 0.01
    engine = torch.quasirandom.SobolEngine(2)
    whole = engine.draw(9)
    assert torch.equal(engine.reset().fast_forward(4).draw(5), whole[4:])


def test_generators_of_the_cpu_do_not_count():
    with pytest.raises(RuntimeError, match="does not use offset"):
        torch.Generator().get_offset()
