"""Calls that are found again by the operands' forms and the options' values (ops.remembered)."""

import pytest

import mashal as torch
import mashal.nn.functional as F


def test_a_float_is_not_the_integer_that_equals_it():
    x = torch.ones(1, 1, 4, 4)
    F.max_pool2d(x, 2)
    with pytest.raises(TypeError):
        F.max_pool2d(x, 2.0)
    torch.tril(x, 1)
    with pytest.raises(TypeError):
        torch.tril(x, 1.0)


def test_an_option_that_is_a_tensor_is_looked_at_each_time():
    x, diagonal = torch.ones(2, 2), torch.tensor(0)
    assert torch.tril(x, diagonal).sum() == 3
    diagonal += 1
    assert torch.tril(x, diagonal).sum() == 4


def test_options_may_be_lists():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    for _ in range(2):
        assert F.avg_pool2d(x, [2, 2]).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]


def test_wrong_operands_are_refused_after_right_ones():
    x = torch.ones(1, 1, 4, 4)
    F.avg_pool2d(x, 2)
    with pytest.raises(TypeError):
        F.avg_pool2d([1.0], 2)
    with pytest.raises(RuntimeError):
        F.avg_pool2d(x[0, 0, :1], 2)


def test_gradients_of_gradients_go_by_operations():
    x = torch.randn(3, 3, requires_grad=True)
    (g,) = torch.autograd.grad(torch.tril(x).pow(2).sum(), x, create_graph=True)
    g.sum().backward()
    assert x.grad.tolist() == torch.tril(torch.full((3, 3), 2.0)).tolist()


def test_a_triangle_in_another_triangle_s_memory_order_is_contiguous():
    assert torch.arange(6.0).reshape(2, 3).T.tril().is_contiguous()


def test_whoever_wants_to_see_a_call_still_does():
    class Seen(torch.Tensor):
        names = []

        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            cls.names.append(function.__name__)
            return super().__torch_function__(function, types, args, kwargs or {})

    torch.tril(torch.ones(2, 2))
    assert type(torch.tril(torch.ones(2, 2).as_subclass(Seen))) is Seen
    assert Seen.names == ["tril"]


def test_a_compiled_triangle_gives_the_same():
    f = torch.compile(lambda x: torch.tril(x * 2, 1))
    for seed in range(3):
        x = torch.full((4, 5), float(seed))
        assert torch.equal(f(x), torch.tril(x * 2, 1))


def test_padding_with_minus_zero_is_not_padding_with_zero():
    x = torch.ones(1)
    F.pad(x, (1, 0), value=0.0)
    assert (1 / F.pad(x, (1, 0), value=-0.0)[0]).item() == float("-inf")


def test_padding_may_cut_at_one_end_what_it_adds_at_the_other():
    x = torch.arange(4.0, requires_grad=True)
    y = F.pad(x, (1, -1), value=7)
    assert y.tolist() == [7.0, 0.0, 1.0, 2.0]
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 1.0, 0.0]


def test_gradients_of_many_samples_follow_those_of_one():
    x = torch.randn(1, 1, 4, 4, requires_grad=True)
    w = torch.randn(1, 1, 2, 2, requires_grad=True)
    for y in (F.conv2d(x, w), F.max_pool2d(x, 2), F.softmax(x, -1), F.pad(x, (1, 1))):
        g = torch.randn(3, *y.shape)
        one = [torch.autograd.grad(y, x, each, retain_graph=True)[0] for each in g]
        (many,) = torch.autograd.grad(y, x, g, is_grads_batched=True, retain_graph=True)
        assert torch.allclose(many, torch.stack(one), atol=1e-6)


@pytest.mark.parametrize("equation", ["ij,kj->ik", "ij,kj->ki", "ij,ij->i", "bij,bkj->kib", "i,j->ij", "bij,jb->ib"])
def test_einsum_of_two_operands_and_its_gradients_are_those_of_sums(equation):
    left, output = equation.split("->")
    sizes = {"i": 2, "j": 3, "k": 4, "b": 5}
    x, y = (torch.randn([sizes[n] for n in term], dtype=torch.float64, requires_grad=True) for term in left.split(","))
    z = torch.einsum(equation, x, y)
    assert z.shape == tuple(sizes[n] for n in output)
    assert torch.autograd.gradgradcheck(lambda x, y: torch.einsum(equation, x, y), (x, y))
    one = torch.einsum(f"{left},->{output}", x, y, torch.ones((), dtype=torch.float64))
    assert torch.allclose(z, one)


def test_whole_numbers_that_equal_floats_make_other_numbers():
    assert torch.arange(0, 4, 2).dtype is torch.int64
    assert torch.arange(0, 4, 2.0).dtype is torch.float32
    assert torch.eye(2, 3, dtype=torch.bool).tolist() == [[True, False, False], [False, True, False]]
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.eye(2).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.eye(2).dtype is torch.float32


def test_batch_norm_follows_the_statistics_that_there_are():
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    for mean, variance in ((torch.zeros(2), torch.ones(2)), (torch.zeros(2), None), (None, torch.ones(2))):
        torch.batch_norm(x, mean, variance, training=True, momentum=0.5)
        assert mean is None or mean.tolist() == [1.0, 2.0]
        assert variance is None or variance.tolist() == [1.5, 4.5]
        assert all(each is None or each._version == 1 for each in (mean, variance))


def test_batch_norm_with_another_momentum_is_no_other_plan():
    x, mean = torch.ones(2, 1), torch.zeros(1)
    for momentum in (0.5, 1, torch.tensor(0.25)):
        torch.batch_norm(x, mean, None, training=True, momentum=momentum)
    assert mean.tolist() == [1.0]


def test_a_list_among_the_options_is_no_trouble(capfd):
    x = torch.arange(6.0).view(2, 3)
    assert x.roll([1, 1], [0, 1]).tolist() == [[5, 3, 4], [2, 0, 1]]
    assert capfd.readouterr().err == ""
