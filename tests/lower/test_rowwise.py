"""Rowwise nests as kernels: along, across and in pieces, every dtype, ties and nan."""

import numpy as np
import pytest

import mashal as torch
from mashal.lower.rowwise import PIECE

rng = np.random.default_rng(6)
SHAPES = [(1, 1), (3, 7), (7, 3), (16, 16), (5, 129), (129, 5), (2, 1000)]


def tensor(array, name="float64"):
    return torch.from_numpy(np.asarray(array, np.float64)).to(getattr(torch, name))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("turned", [False, True])
def test_sums_along_and_across(shape, dim, turned):
    a = rng.uniform(-1, 1, shape)
    x = tensor(a.T).t() if turned else tensor(a)
    np.testing.assert_allclose(x.sum(dim).numpy(), a.sum(dim), rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(x.amax(dim if dim is not None else ()).numpy(), a.max(dim))


@pytest.mark.parametrize("n", [PIECE * 4 - 1, PIECE * 4, PIECE * 4 + 1, PIECE * 9 + 5])
def test_long_rows_in_pieces(n):
    a = rng.uniform(-1, 1, n)
    x = tensor(a)
    np.testing.assert_allclose(x.sum().item(), a.sum(), rtol=1e-11, atol=1e-11)
    assert (x.max().item(), x.min().item()) == (a.max(), a.min())
    np.testing.assert_allclose(x.var().item(), a.var(ddof=1), rtol=1e-11)


def test_a_sum_does_not_depend_on_the_number_of_threads():
    x = tensor(rng.uniform(-1, 1, PIECE * 20 + 3), "float32")
    before = torch.get_num_threads()
    sums = []
    for n in (1, 2):
        torch.set_num_threads(n)
        sums.append(x.sum().item())
    torch.set_num_threads(before)
    assert sums[0] == sums[1]


@pytest.mark.parametrize("dims", [(0,), (1,), (2,), (0, 2), (0, 1), (1, 2), (0, 1, 2), (1, 3), (0, 3)])
def test_several_dimensions(dims):
    a = rng.uniform(-1, 1, (3, 4, 5, 2))
    np.testing.assert_allclose(tensor(a).sum(dims).numpy(), a.sum(dims), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(
        tensor(a).permute(3, 1, 0, 2).mean(dims).numpy(), a.transpose(3, 1, 0, 2).mean(dims), rtol=1e-11, atol=1e-13
    )


def test_broadcast_and_strided_operands():
    a = rng.uniform(-1, 1, (4, 6))
    np.testing.assert_allclose(tensor(a)[:, :1].expand(4, 100).sum(1).numpy(), a[:, 0] * 100, rtol=1e-12)
    np.testing.assert_allclose(tensor(a)[::2, 1::2].sum(0).numpy(), a[::2, 1::2].sum(0), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_half_types_are_summed_in_float32(name):
    x = torch.ones(5000, dtype=getattr(torch, name))
    assert x.sum().float().item() == (5000 if name == "float16" else 4992)
    assert (x * 1e-2).sum().float().item() == pytest.approx(50, rel=8e-3)


@pytest.mark.parametrize("name", ["complex64", "complex128"])
def test_complex_sums(name):
    a = (rng.uniform(-1, 1, (5, 33)) + 1j * rng.uniform(-1, 1, (5, 33))).astype(name)
    for dim in (0, 1):
        np.testing.assert_allclose(
            torch.from_numpy(a).sum(dim).numpy(), a.sum(dim), rtol=1e-4 if name == "complex64" else 1e-12
        )
    np.testing.assert_allclose(torch.from_numpy(a[:, :4]).prod(1).numpy(), a[:, :4].prod(1), rtol=1e-4)


@pytest.mark.parametrize("name", "int8 int16 int32 int64 uint8 bool".split())
def test_whole_numbers_are_summed_as_int64(name):
    a = rng.integers(0, 2 if name == "bool" else 100, (6, 50)).astype(name)
    x = torch.from_numpy(a)
    assert x.sum().dtype is torch.int64
    np.testing.assert_array_equal(x.sum(0).numpy(), a.sum(0, dtype=np.int64))
    np.testing.assert_array_equal(x.amin(1).numpy(), a.min(1))


@pytest.mark.parametrize("n", [1, 5, 16, 17, 40, 1000])
def test_argmax_is_the_first_of_equal_ones(n):
    a = np.zeros((3, n))
    a[1, n // 2 :] = 1
    a[2, -1] = 2
    for x in (tensor(a), tensor(a, "float32"), tensor(a.T).t()):
        np.testing.assert_array_equal(x.argmax(1).numpy(), a.argmax(1))
        np.testing.assert_array_equal(x.argmin(1).numpy(), a.argmin(1))


@pytest.mark.parametrize("place", [0, 3, 16, 36])
def test_nan_is_the_largest_and_the_smallest(place):
    a = rng.uniform(-1, 1, (2, 37))
    a[1, place] = np.nan
    for x in (tensor(a), tensor(a, "float32"), tensor(a.T).t()):
        assert x.argmax(1)[1].item() == x.argmin(1)[1].item() == place
        assert np.isnan(x.amax(1)[1].item()) and np.isnan(x.amin(1)[1].item())
        assert not np.isnan(x.amax(1)[0].item())


def test_infinities_and_empty_rows():
    assert tensor([np.inf, -np.inf]).sum().isnan().item()
    assert torch.zeros(3, 0).sum(1).tolist() == [0, 0, 0]
    assert torch.zeros(0, 3).prod(0).tolist() == [1, 1, 1]
    with pytest.raises((RuntimeError, IndexError)):
        torch.zeros(3, 0).amax(1)


@pytest.mark.parametrize("shape, dim", [((3, 1000), 1), ((1000, 3), 0), ((2, 7, 5), 1)])
def test_softmax_of_rows_of_every_layout(shape, dim):
    a = rng.uniform(-80, 80, shape)
    e = np.exp(a - a.max(dim, keepdims=True))
    np.testing.assert_allclose(tensor(a).softmax(dim).numpy(), e / e.sum(dim, keepdims=True), rtol=1e-12, atol=1e-300)
