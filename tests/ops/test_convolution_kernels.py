"""Kernels of convolutions against the sums they stand for: every way a size, a stride or a group can make them go."""

import pytest

import mashal as torch
from mashal.nn import functional as F

CASES = [  # n, channels, outputs, space, kernel, stride, padding, dilation, groups
    (2, 3, 5, (40,), (3,), 1, 1, 1, 1),
    (1, 4, 6, (9, 70), (3, 5), (1, 2), (1, 2), (1, 2), 2),
    (2, 8, 13, (7, 9), (1, 1), 1, 0, 1, 1),
    (2, 8, 13, (8, 9), (1, 1), 2, 0, 1, 1),
    (5, 16, 40, (4, 4), (3, 3), 1, 1, 1, 1),
    (3, 16, 30, (8, 8), (3, 3), 1, 1, 1, 1),
    (2, 6, 6, (20, 33), (3, 3), 1, 1, 1, 6),
    (2, 6, 12, (20, 33), (3, 3), 2, 1, 2, 6),
    (1, 5, 5, (6, 70), (2, 2), 1, 0, 1, 5),
    (1, 2, 3, (5, 6, 7), (2, 3, 2), (1, 2, 1), (1, 0, 1), 1, 1),
    (1, 2, 3, (11, 11), (2, 2), 3, 0, 1, 1),
    (2, 64, 96, (14, 14), (3, 3), 2, 1, 1, 1),
]  # fmt: skip


def by_windows(x, w, stride, padding, dilation, groups):
    """The definition: slices of a padded copy, times the kernel's elements, added up (float64)."""
    rank, (outputs, own, *kernel) = x.dim() - 2, w.shape
    three = lambda v: v if isinstance(v, tuple) else (v,) * rank
    stride, padding, dilation = three(stride), three(padding), three(dilation)
    x = F.pad(x.double(), [p for n in reversed(padding) for p in (n, n)])
    sizes = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation)]
    total = torch.zeros(x.shape[0], outputs, *sizes, dtype=torch.float64)
    for place in torch.cartesian_prod(*[torch.arange(k) for k in kernel]).reshape(-1, rank).tolist():
        at = tuple(slice(k * d, k * d + (m - 1) * s + 1, s) for k, d, m, s in zip(place, dilation, sizes, stride))
        seen = x[(slice(None), slice(None), *at)].reshape(x.shape[0], groups, own, *sizes)
        each = w[(slice(None), slice(None), *place)].double().reshape(groups, outputs // groups, own)
        total += torch.einsum("goc,ngcs->ngos", each, seen.flatten(3)).reshape(total.shape)
    return total


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("dtype", "digits"), [(torch.float32, 1e-4), (torch.float64, 1e-10), (torch.bfloat16, 3e-1)])
def test_convolution_is_the_sum_over_windows(case, dtype, digits):
    n, channels, outputs, space, kernel, stride, padding, dilation, groups = case
    x = torch.randn(n, channels, *space).to(dtype)
    w, b = torch.randn(outputs, channels // groups, *kernel).to(dtype), torch.randn(outputs).to(dtype)
    conv = (F.conv1d, F.conv2d, F.conv3d)[len(space) - 1]
    expected = by_windows(x, w, stride, padding, dilation, groups) + b.double().reshape(-1, *[1] * len(space))
    assert torch.allclose(
        conv(x, w, b, stride, padding, dilation, groups).double(), expected, rtol=digits / 10, atol=digits
    )


@pytest.mark.parametrize("case", CASES)
def test_its_gradients_are_those_of_the_sum(case):
    n, channels, outputs, space, kernel, stride, padding, dilation, groups = case
    x = torch.randn(n, channels, *space, dtype=torch.float64, requires_grad=True)
    w = torch.randn(outputs, channels // groups, *kernel, dtype=torch.float64, requires_grad=True)
    conv = (F.conv1d, F.conv2d, F.conv3d)[len(space) - 1]
    y = conv(x, w, None, stride, padding, dilation, groups)
    g = torch.randn(y.shape, dtype=torch.float64)
    expected = torch.autograd.grad(by_windows(x, w, stride, padding, dilation, groups), [x, w], g)
    for mine, other in zip(torch.autograd.grad(y, [x, w], g), expected):
        assert torch.allclose(mine, other, atol=1e-9)


def test_results_do_not_depend_on_the_number_of_threads():
    x, w = torch.randn(3, 20, 30, 30, requires_grad=True), torch.randn(40, 20, 3, 3, requires_grad=True)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        y = F.conv2d(x, w, None, 1, 1)
        found.append([y, *torch.autograd.grad(y.sum(), [x, w])])
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found))


def test_a_channels_last_image_gives_what_a_contiguous_one_gives():
    x, w = torch.randn(2, 6, 9, 9), torch.randn(5, 6, 3, 3)
    last = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert torch.allclose(F.conv2d(last, w, None, 2, 1), F.conv2d(x, w, None, 2, 1), atol=1e-5)


def test_places_that_no_window_reaches_have_no_gradient():
    x, w = torch.randn(40, 3, 9, 9, requires_grad=True), torch.randn(20, 3, 2, 2)
    (g,) = torch.autograd.grad(F.conv2d(x, w, None, 3).sum(), x)
    assert (g[:, :, 2::3] == 0).all()
    assert (g[:, :, :, 2::3] == 0).all()


def test_channels_stay_last_through_convolution_and_pooling():
    x = torch.randn(2, 6, 9, 9).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = F.max_pool2d(F.conv2d(x, torch.randn(5, 6, 3, 3), None, 1, 1), 2)
    assert y.is_contiguous(memory_format=torch.channels_last)
    y.sum().backward()
    assert x.grad.is_contiguous(memory_format=torch.channels_last)
