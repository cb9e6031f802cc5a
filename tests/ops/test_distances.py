"""Distances between rows, and histograms of points."""

import numpy as np
import pytest

import mashal as torch


@pytest.mark.parametrize("rows", [3, 40])
@pytest.mark.parametrize(
    "mode", ["use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"]
)
def test_distances_are_the_same_by_products(rows, mode):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, rows, 5)), rng.standard_normal((4, 5))
    got = torch.cdist(torch.from_numpy(x), torch.from_numpy(y), compute_mode=mode)
    expected = np.sqrt(((x[:, :, None] - y) ** 2).sum(-1))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-10)


def test_gradients_of_distances_by_products():
    torch.manual_seed(0)
    x, y = (torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (30, 2))
    assert torch.autograd.gradcheck(torch.cdist, (x, y))


def test_a_row_has_no_slope_towards_itself():
    x = torch.ones(30, 3, dtype=torch.float64, requires_grad=True)
    torch.cdist(x, x).sum().backward()
    assert x.grad.abs().max() == 0


def test_refused_distances():
    with pytest.raises(RuntimeError, match="same number of columns"):
        torch.cdist(torch.ones(2, 3), torch.ones(2, 4))
    with pytest.raises(RuntimeError, match="non-negative p"):
        torch.cdist(torch.ones(2, 3), torch.ones(2, 3), p=-1)
    with pytest.raises(ValueError, match="compute_mode"):
        torch.cdist(torch.ones(2, 3), torch.ones(2, 3), compute_mode="fast")
    with pytest.raises(RuntimeError, match="only supports 2D"):
        torch.pdist(torch.ones(2))


def test_pairs_are_in_order():
    assert torch.pdist(torch.tensor([[0.0], [1.0], [3.0], [7.0]])).tolist() == [1.0, 3.0, 7.0, 2.0, 6.0, 4.0]


@pytest.mark.parametrize("density", [False, True])
def test_points_are_counted_as_numpy_counts_them(density):
    x = np.random.default_rng(1).standard_normal((50, 3))
    got = torch.histogramdd(torch.from_numpy(x), bins=[3, 4, 2], density=density)
    expected, edges = np.histogramdd(x, bins=[3, 4, 2], density=density)
    np.testing.assert_allclose(got.hist.numpy(), expected)
    for a, b in zip(got.bin_edges, edges):
        np.testing.assert_allclose(a.numpy(), b)


def test_bins_must_be_given_for_every_dimension():
    with pytest.raises(RuntimeError, match="size of bins must be equal"):
        torch.histogramdd(torch.ones(3, 2), bins=[1])


def test_the_default_dims_of_cross_products():
    x = torch.arange(18.0).reshape(3, 2, 3)
    y = torch.ones(3, 2, 3)
    assert torch.equal(torch.linalg.cross(x, y), torch.cross(x, y, dim=2))
    assert torch.equal(torch.cross(x, y), torch.cross(x, y, dim=0))
