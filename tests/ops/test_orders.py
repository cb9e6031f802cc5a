"""In which order short sums and products are added up, and where they are rounded: as PyTorch does it, to the bit."""

import math

import numpy as np
import pytest

import mashal as torch


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def rounded_once(a, b, c):
    """a · b + c: doubles hold the products of floats exactly, and differ from one rounding only where there is a tie."""
    return (np.float64(a) * np.float64(b) + np.float64(c)).astype(np.float32)


def same_bits(got, want):
    np.testing.assert_array_equal(np.asarray(got).view(np.int32), np.asarray(want, np.float32).view(np.int32))


def sum_in_order(x):
    """Eight lanes, four accumulators; what fills no vector by itself before them."""
    if len(x) < 8:
        return in_order([x[0], *x[4:], *x[1:4]]) if len(x) > 3 else in_order(x)
    vectors = x[: len(x) // 8 * 8].reshape(-1, 8)
    steps = len(vectors) // 4 * 4
    parts = [np.zeros(8, np.float32)] * 4
    for i in range(0, steps, 4):
        parts = [p + v for p, v in zip(parts, vectors[i : i + 4])]
    for v in vectors[steps:]:
        parts[0] = parts[0] + v
    return in_order([*x[len(vectors) * 8 :], *(((parts[0] + parts[1]) + parts[2]) + parts[3])])


def in_order(x):
    total = np.float32(0)
    for v in x:
        total = np.float32(total + v)
    return total


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 8, 12, 16, 31, 33, 40, 63, 100, 257, 511, 512])
def test_a_short_sum_is_added_up_in_pytorchs_order(n):
    x = numbers(n, seed=n)
    same_bits(torch.tensor(x).sum(), sum_in_order(x))
    y = numbers(n, seed=n + 1)
    same_bits(
        torch.nn.functional.mse_loss(torch.tensor(x), torch.tensor(y)), sum_in_order((x - y) ** 2) / np.float32(n)
    )


@pytest.mark.parametrize("shape", [(4, 0), (0,)])
def test_the_sum_of_nothing_is_0(shape):
    assert torch.zeros(shape).sum().item() == 0


def test_a_short_sum_of_doubles_and_of_strided_elements():
    x = np.random.default_rng(0).standard_normal(100)
    assert torch.tensor(x).sum().item() == pytest.approx(math.fsum(x), rel=1e-14)
    assert torch.tensor(x)[::3].sum().item() == pytest.approx(math.fsum(x[::3]), rel=1e-14)


@pytest.mark.parametrize("n", [1, 4, 16, 20, 24, 64, 160, 1000, 4096, 5000])
def test_a_dot_product_is_added_up_by_four_accumulators(n):
    x, y = numbers(n, seed=n), numbers(n, seed=n + 1)
    got = torch.tensor(x).dot(torch.tensor(y))
    if n > 4096:
        assert got.item() == pytest.approx(math.fsum(x * y), abs=1e-3)
        return
    products = np.zeros(-(-n // 16) * 16, np.float32)
    products[:n] = x * y
    total = np.zeros(16, np.float32)
    for v in products.reshape(-1, 16):
        total = total + v
    a, b, c, d = total.reshape(4, 4)
    w = ((a + b) + c) + d
    same_bits(got, (w[0] + w[2]) + (w[1] + w[3]))


@pytest.mark.parametrize("m, k, n", [(8, 3, 4), (1, 5, 11), (5, 20, 2), (3, 8, 4), (11, 4, 11)])
def test_tiny_products_round_each_product(m, k, n):
    x, y = numbers(m, k), numbers(k, n, seed=1)
    want = x[:, :1] * y[:1]
    for i in range(1, k):
        want = want + x[:, i : i + 1] * y[i : i + 1]
    same_bits(torch.tensor(x) @ torch.tensor(y), want)
    same_bits(torch.tensor(np.ascontiguousarray(x.T)).T @ torch.tensor(y), want)


def test_other_products_round_each_sum():
    x, y = numbers(8, 5), numbers(5, 16, seed=1)
    want = np.zeros((8, 16), np.float32)
    for i in range(5):
        want = rounded_once(x[:, i : i + 1], y[i : i + 1], want)
    same_bits(torch.tensor(x) @ torch.tensor(y), want)


def test_scaled_additions_are_rounded_once():
    a, b, c = numbers(100), numbers(100, seed=1), numbers(100, seed=2)
    x, y, z = map(torch.tensor, (a, b, c))
    factor = np.float32(0.37)
    same_bits(torch.add(x, y, alpha=0.37), rounded_once(b, factor, a))
    same_bits(torch.sub(x, y, alpha=0.37), rounded_once(b, -factor, a))
    same_bits(torch.rsub(x, y, alpha=0.37), rounded_once(a, -factor, b))
    same_bits(x.clone().add_(y, alpha=0.37), rounded_once(b, factor, a))
    same_bits(torch.addcmul(x, y, z, value=0.37), rounded_once(factor * b, c, a))
    same_bits(torch.addcdiv(x, y, z, value=0.37), a + factor * b / c)
    same_bits(torch.lerp(x, y, 0.25), rounded_once(b - a, np.float32(0.25), a))
    same_bits(torch.lerp(x, y, 0.75), rounded_once(b - a, np.float32(-0.25), b))
    assert torch.add(torch.tensor([1]), torch.tensor([2]), alpha=3).item() == 7
    assert (
        torch.sub(torch.tensor([250], dtype=torch.uint8), torch.tensor([2], dtype=torch.uint8), alpha=3).item() == 244
    )


def test_equal_medians_share_the_gradient():
    x = torch.tensor([1.0, 2.0, 2.0, 3.0], requires_grad=True)
    x.median().backward()
    assert x.grad.tolist() == [0, 0.5, 0.5, 0]


def test_the_median_of_all_is_nan_if_one_is():
    assert torch.tensor([[1.0, float("nan")], [2.0, 0.0]]).T.median().isnan()
