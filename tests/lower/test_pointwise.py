"""Pointwise nests as kernels: every layout, tail and dtype gives what NumPy gives."""

import numpy as np
import pytest

import mashal as torch
from mashal.lang import expression as e
from mashal.lower.schedule import collapse, mode

FLOATS = {"float32": 2e-7, "float64": 1e-15, "float16": 1e-3, "bfloat16": 8e-3}
rng = np.random.default_rng(5)


def tensor(array, name):
    return torch.from_numpy(np.asarray(array, np.float64)).to(getattr(torch, name))


def numbers(x):
    return x.double().numpy()


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("n", [1, 2, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 129, 1000])
def test_tails_of_every_length(n, name):
    a, b = (tensor(rng.uniform(1, 2, n), name) for _ in range(2))
    np.testing.assert_allclose(numbers(a * b + a), numbers(a) * numbers(b) + numbers(a), rtol=2 * FLOATS[name])


LAYOUTS = {
    "as it is": lambda x: x, "transposed": lambda x: x.t().contiguous().t(), "a column": lambda x: x[:, :1],
    "a row": lambda x: x[:1], "every second": lambda x: x.repeat_interleave(2, 1)[:, ::2], "expanded": lambda x: x[:, :1].expand(9, 21),
    "from the middle": lambda x: torch.cat([x, x, x], 1)[:, 21:42], "one number": lambda x: x[0, 0],
}  # fmt: skip


@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("right", LAYOUTS)
def test_every_pair_of_layouts(left, right):
    a, b = (
        LAYOUTS[left](tensor(rng.uniform(1, 2, (9, 21)), "float32")),
        LAYOUTS[right](tensor(rng.uniform(1, 2, (9, 21)), "float32")),
    )
    np.testing.assert_array_equal((a - b).numpy(), a.numpy() - b.numpy())


@pytest.mark.parametrize("dims", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0), (0, 2, 1)])
def test_dimensions_in_any_order(dims):
    a = torch.from_numpy(rng.uniform(-1, 1, (4, 5, 6)))
    b = torch.from_numpy(rng.uniform(-1, 1, (4, 5, 6))).permute(dims).contiguous().permute(*np.argsort(dims).tolist())
    np.testing.assert_array_equal((a * b).numpy(), a.numpy() * b.numpy())


@pytest.mark.parametrize("name", "int8 int16 int32 int64 uint8 uint16 uint32 uint64".split())
def test_integers_wrap_around(name):
    d = getattr(np, name)
    a = np.array([np.iinfo(d).max, np.iinfo(d).min, 5, 100], d)
    x = torch.from_numpy(a)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal((x * x).numpy(), a * a)
        np.testing.assert_array_equal((x + x).numpy(), a + a)


@pytest.mark.parametrize("name", ["complex64", "complex128"])
def test_complex_numbers(name):
    a, b = ((rng.uniform(-1, 1, 37) + 1j * rng.uniform(-1, 1, 37)).astype(name) for _ in range(2))
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    for got, expected in ((x * y, a * b), (x / y, a / b), (x - y, a - b), (abs(x), np.abs(a))):
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5 if name == "complex64" else 1e-13)


def test_bools_are_one_byte_of_0_or_1():
    x = torch.arange(100) % 3 == 0
    assert (x & ~x).sum().item() == 0 and (x | ~x).all().item()
    assert (x.numpy().view(np.uint8) <= 1).all()


def test_mixed_dtypes_are_read_where_they_lie():
    a, b = rng.uniform(-1, 1, 50).astype(np.float32), rng.integers(-9, 9, 50).astype(np.int16)
    got = torch.from_numpy(a) * torch.from_numpy(b)
    assert got.dtype is torch.float32
    np.testing.assert_allclose(got.numpy(), a * b, rtol=1e-7)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_half_types_round_to_even(name):
    x = torch.from_numpy(np.linspace(0.1, 3000, 257, dtype=np.float32))
    y = x.to(getattr(torch, name))
    bits = x.numpy().view(np.uint32).astype(np.uint64)
    if name == "bfloat16":
        expected = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)
    else:
        expected = x.numpy().astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(y.float().numpy(), expected)


def test_results_do_not_depend_on_the_number_of_threads():
    x = torch.from_numpy(rng.uniform(-3, 3, 200_001).astype(np.float32))
    before = torch.get_num_threads()
    found = []
    for n in (1, 2):
        torch.set_num_threads(n)
        found.append(torch.exp(x).numpy().copy())
    torch.set_num_threads(before)
    np.testing.assert_array_equal(*found)


def test_dimensions_that_lie_one_behind_the_other_are_one():
    assert collapse((3, 4, 5), [(20, 5, 1), (20, 5, 1)]) == ([60], [[1], [1]])
    sizes, strides = collapse((3, 4), [(4, 1), (0, 1)])
    assert (sizes, strides) == ([3, 4], [[4, 1], [0, 1]])


def test_modes_follow_from_strides():
    assert [mode(s) for s in (1, 0, 2)] == ["unit", "zero", "any"]


def test_formulas_of_places_are_not_pointwise():
    assert e.place().dtype is torch.int64
