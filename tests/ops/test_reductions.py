"""Reductions, softmax, norms, losses, order: values against NumPy, gradients by directions, and what is particular."""

import numpy as np
import pytest

import mashal as torch
import mashal.nn.functional as F

SHAPES = [(3, 4), (2, 5, 7), (40,), (), (300, 65)]


def sample(shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).standard_normal(shape).astype("float32"))


def close(a, b, tolerance=1e-5):
    np.testing.assert_allclose(a.detach().numpy(), b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["sum", "mean", "prod", "amax", "amin", "argmax", "argmin"])
def test_reductions_of_all_elements_and_along_each_dim(name, shape):
    x = sample(shape)
    numpy = getattr(np, {"amax": "max", "amin": "min"}.get(name, name))
    close(getattr(x, name)(), numpy(x.numpy()), 1e-4)
    for dim in range(len(shape)):
        close(getattr(x, name)(dim), numpy(x.numpy(), axis=dim), 1e-4)
        close(getattr(x, name)(dim, keepdim=True), numpy(x.numpy(), axis=dim, keepdims=True), 1e-4)


@pytest.mark.parametrize("name", ["sum", "var", "std", "amax", "mean"])
def test_reductions_of_a_transposed_tensor(name):
    x = sample((17, 33)).t()
    numpy = {
        "amax": np.max,
        "var": lambda a, axis: np.var(a, axis=axis, ddof=1),
        "std": lambda a, axis: np.std(a, axis=axis, ddof=1),
    }
    for dim in (0, 1):
        close(getattr(x, name)(dim), numpy.get(name, getattr(np, name))(x.numpy(), axis=dim), 1e-4)


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "var", "std", "amax", "logsumexp", "softmax", "log_softmax", "cumsum", "cumprod",
                                  "logcumsumexp", "sort", "median", "norm", "topk"])  # fmt: skip
def test_gradients_agree_with_differences(name):
    arguments = {"norm": (3, 0), "topk": (2, 0)}.get(name, (0,))

    def f(x):
        y = getattr(x, name)(*arguments)
        y = y[0] if isinstance(y, tuple) else y
        return (y * torch.arange(1, y.numel() + 1, dtype=y.dtype).reshape(y.shape)).sum()

    x = sample((4, 3), 3).double().requires_grad_()
    f(x).backward()
    direction = sample((4, 3), 1).double()
    step = 1e-6
    with torch.no_grad():
        difference = (f(x + direction * step) - f(x - direction * step)) / (2 * step)
    close((x.grad * direction).sum(), difference.numpy(), 1e-5)


def test_the_sum_of_integers_and_bools_is_int64():
    assert torch.tensor([200, 100], dtype=torch.uint8).sum().dtype is torch.int64
    assert torch.tensor([True, True]).sum().item() == 2


def test_the_mean_of_integers_is_refused():
    with pytest.raises(RuntimeError, match="could not infer output dtype"):
        torch.tensor([1, 2]).mean()


def test_argmax_of_equal_elements_is_the_first():
    assert torch.tensor([1.0, 3.0, 3.0]).argmax().item() == 1


def test_nan_is_the_largest_and_the_smallest():
    x = torch.tensor([1.0, float("nan"), 2.0])
    assert np.isnan(x.max().item()) and np.isnan(x.min().item()) and x.argmax().item() == 1


def test_max_along_a_dim_prints_its_names():
    assert (
        repr(torch.tensor([[1.0, 2.0]]).max(1)) == "torch.return_types.max(\nvalues=tensor([2.]),\nindices=tensor([1]))"
    )


def test_empty_rows_have_a_sum_and_no_maximum():
    x = torch.zeros(0)
    assert x.sum().item() == 0 and x.prod().item() == 1 and np.isnan(x.mean().item())
    with pytest.raises(RuntimeError, match="Specify the reduction dim with the 'dim' argument"):
        x.max()


def test_softmax_of_equal_values_is_uniform():
    close(torch.full((3, 5), 1e4).softmax(-1), np.full((3, 5), 0.2))


def test_cross_entropy_is_the_loss_of_log_softmax():
    x, labels = sample((6, 9)).requires_grad_(), torch.tensor([0, 8, 3, -100, 1, 2])
    loss = F.cross_entropy(x, labels)
    loss.backward()
    same = sample((6, 9)).requires_grad_()
    other = F.nll_loss(same.log_softmax(1), labels)
    other.backward()
    close(loss, other.item())
    close(x.grad, same.grad.numpy())


def test_a_class_that_there_is_not_is_named():
    with pytest.raises(IndexError, match=r"Target 7 is out of bounds: at \(1,\) of 3 classes"):
        F.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 7]))


def test_layer_norm_brings_rows_to_mean_0_and_variance_1():
    y = F.layer_norm(sample((5, 64)) * 3 + 2, (64,))
    close(y.mean(1), np.zeros(5), 1e-5)
    close(y.var(1, unbiased=False), np.ones(5), 1e-4)


def test_batch_norm_moves_running_statistics():
    x, mean, variance = sample((8, 3, 5)), torch.zeros(3), torch.ones(3)
    F.batch_norm(x, mean, variance, training=True, momentum=0.5)
    close(mean, 0.5 * x.numpy().mean((0, 2)))
    close(variance, 0.5 + 0.5 * x.numpy().var((0, 2), ddof=1))


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "int64", "int16", "uint8", "bool"])
@pytest.mark.parametrize("n", [1, 7, 300, 5000])
def test_sort_is_stable_for_every_dtype(kind, n):
    x = torch.tensor((np.random.default_rng(n).standard_normal((3, n)) * 5).astype("int8")).to(getattr(torch, kind))
    values, places = x.sort(dim=1)
    expected = np.argsort(x.numpy(), axis=1, kind="stable")
    np.testing.assert_array_equal(places.numpy(), expected)
    np.testing.assert_array_equal(values.numpy(), np.take_along_axis(x.numpy(), expected, 1))


def test_topk_of_a_long_row_is_the_end_of_the_sorted_one():
    x = sample((2, 3000))
    close(x.topk(5).values, np.sort(x.numpy(), axis=1)[:, :-6:-1])


def test_unique_with_inverse_and_counts():
    values, inverse, counts = torch.tensor([3, 1, 3, 2]).unique(return_inverse=True, return_counts=True)
    assert (values.tolist(), inverse.tolist(), counts.tolist()) == ([1, 2, 3], [2, 0, 2, 1], [1, 1, 2])
