"""The generator and the kernels that draw from it, held against numbers that PyTorch 2.13 gave."""

import copy
import hashlib
import json
import math
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from mashal.core.generator import Generator
from mashal.ops import filling

VECTORS = json.loads((Path(__file__).parent.parent / "data" / "random_vectors.json").read_text())["vectors"]
NUMPY = {"bfloat16": np.uint16, "bool": np.uint8}


def filled(draw, g, n, *numbers, dtype="float32", contiguous=True):
    """The n elements that a draw makes, and proof that it writes nothing behind them."""
    memory = np.full(n + 16, 93, NUMPY.get(dtype) or dtype)
    filling.at_address(memory.ctypes.data, dtype, n, draw, g, *numbers, contiguous=contiguous)
    assert (memory[n:] == 93).all()
    if dtype == "bfloat16":
        return (memory[:n].astype(np.uint32) << 16).view(np.float32)
    return memory[:n]


def uniform(g, n, dtype="float32", a=0.0, b=1.0):
    return filled(filling.uniform, g, n, float(a), float(b), dtype=dtype)


def normal(g, n, dtype="float32", mean=0.0, std=1.0, contiguous=True):
    return filled(filling.normal, g, n, float(mean), float(std), dtype=dtype, contiguous=contiguous)


def complex_normal(g, n, dtype="complex64"):
    part = "float32" if dtype == "complex64" else "float64"
    return normal(g, 2 * n, part, std=1 / math.sqrt(2))


def random_from_to(g, n, lo, hi, dtype="int64"):
    return filled(filling.integers, g, n, lo, hi, dtype=dtype)


def random_full(g, n, dtype="int64"):
    return filled(filling.any_integers, g, n, dtype=dtype)


def random_64bit(g, n, dtype="int64"):
    return filled(filling.integers_from, g, n, -(2**63), dtype=dtype)


def randperm(g, n):
    return filled(filling.permutation, g, n, dtype="int64")


def bernoulli_scalar(g, n, p):
    return filled(filling.bernoulli, g, n, float(p))


def bernoulli_tensor(g, p, p_dtype="float32"):
    chances = np.array(p, p_dtype)
    return filled(filling.bernoulli_each, g, len(p), chances.ctypes.data, p_dtype)


def exponential(g, n, lambd=1.0, dtype="float32"):
    return filled(filling.exponential, g, n, float(lambd), dtype=dtype)


def geometric(g, n, p, dtype="float32"):
    return filled(filling.geometric, g, n, float(p), dtype=dtype)


def cauchy(g, n, median=0.0, sigma=1.0, dtype="float32"):
    return filled(filling.cauchy, g, n, float(median), float(sigma), dtype=dtype)


def log_normal(g, n, mean=1.0, std=2.0, dtype="float32"):
    return filled(filling.log_normal, g, n, float(mean), float(std), dtype=dtype)


def poisson(g, rates):
    rates = np.array(rates, np.float32)
    return filled(filling.poisson, g, len(rates), rates.ctypes.data)


def standard_gamma(g, alpha, dtype="float32"):
    alpha = np.array(alpha, dtype)
    return filled(filling.gamma, g, len(alpha), alpha.ctypes.data, dtype=dtype)


def binomial(g, count, prob, n, dtype="float32"):
    counts, chances = np.full(n, count, dtype), np.full(n, prob, dtype)
    return filled(filling.binomial, g, n, counts.ctypes.data, chances.ctypes.data, dtype=dtype)


def with_replacement(g, weights, samples):
    rows, categories = weights.shape
    room = np.empty(categories)
    sizes = str(weights.dtype), rows, categories
    return filled(filling.multinomial, g, rows * samples, weights.ctypes.data, room.ctypes.data, *sizes, dtype="int64")


def multinomial(g, p, num_samples, replacement=False, dtype="float32"):
    weights = np.atleast_2d(np.array(p, dtype))
    if replacement and num_samples > 1:
        return with_replacement(g, weights, num_samples)
    waits = exponential(g, weights.size, dtype=dtype).reshape(weights.shape)
    return np.argsort(-weights / waits, axis=1, kind="stable")[:, :num_samples]


def manual_seed(g, seed):
    g.manual_seed(seed)
    return []


def initial_seed(g):
    return [g.initial_seed()]


def state_sha256(g):
    return [hashlib.sha256(g.state_bytes()).hexdigest()]


def in_memory_order(g, shape, strides, fill, **options):
    """A strided tensor's values in C order, filled from the largest stride to the smallest."""
    dims = sorted((d for d in range(len(shape)) if shape[d] != 1), key=lambda d: -strides[d])
    order = [d for d in range(len(shape)) if d not in dims] + dims
    places = np.arange(math.prod(shape)).reshape(shape).transpose(order).ravel()
    out = np.empty(len(places))
    out[places] = CALLS[fill](g, len(places), **options)
    return out


CALLS = {name: value for name, value in globals().items() if callable(value)} | {"filled": in_memory_order}


def agrees(values, expected):
    values = np.ravel(np.asarray(values, dtype=object)).tolist()
    if isinstance(expected, dict):
        digest = hashlib.sha256(struct.pack(f"<{len(values)}d", *map(float, values))).hexdigest()
        return len(values) == expected["n"] and digest == expected["sha256"]
    expected = np.ravel(np.array(expected, dtype=object)).tolist()
    return len(values) == len(expected) and all(
        x == y if isinstance(y, (str, int)) else struct.pack("<d", x) == struct.pack("<d", float(y))
        for x, y in zip(values, expected)
    )


def next_word(g):
    """The word that the stream gives next: the high half of the next double word."""
    return int(random_64bit(g.clone_state(), 1)[0]) % 2**64 >> 32


def waiting(g):
    """The normal number that waits in the generator, or None."""
    value, _, valid = struct.unpack_from("<ddi", g.state_bytes(), 5024)
    return value if valid else None


@pytest.mark.parametrize("vector", VECTORS, ids=[v["id"] for v in VECTORS])
def test_numbers_are_pytorchs(vector):
    g = Generator().manual_seed(vector["seed"])
    for step in vector["steps"]:
        assert agrees(CALLS[step["op"]](g, **step["args"]), step["values"]), step
    assert next_word(g) == vector["next_word"]
    assert waiting(g) == vector["cache"]


def test_a_new_generator_has_pytorchs_default_seed():
    assert Generator().initial_seed() == 67280421310721


def test_seeds_wrap_to_64_bits_and_32_choose_the_stream():
    assert Generator().manual_seed(-1).initial_seed() == 2**64 - 1
    assert uniform(Generator().manual_seed(2**32 + 5), 3).tolist() == uniform(Generator().manual_seed(5), 3).tolist()


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match="Overflow when unpacking long long"):
        Generator().manual_seed(seed)


def test_a_seed_must_be_whole():
    with pytest.raises(RuntimeError, match="manual_seed expected a long, but got float"):
        Generator().manual_seed(1.5)


def test_only_the_cpu_has_a_generator():
    with pytest.raises(RuntimeError, match="no random generator for device cuda"):
        Generator("cuda")


def test_seed_takes_64_random_bits():
    g = Generator()
    assert g.seed() == g.initial_seed() != Generator().seed()


def test_a_state_of_another_size_is_refused():
    with pytest.raises(RuntimeError, match="of size 5056 but found the input RNG state size to be 10"):
        Generator().set_state_bytes(bytes(10))


def test_a_state_that_cannot_be_is_refused():
    with pytest.raises(RuntimeError, match="Invalid mt19937 state"):
        Generator().set_state_bytes(bytes(5056))


@pytest.mark.parametrize("used", [0, 1, 3, 623, 624, 625, 2000])
@pytest.mark.parametrize("copied", [copy.deepcopy, Generator.clone_state, lambda g: pickle.loads(pickle.dumps(g))])
def test_copies_continue_alike_and_apart(used, copied):
    g = Generator().manual_seed(7)
    uniform(g, used)
    normal(g, 3)
    twin = copied(g)
    assert twin.state_bytes() == g.state_bytes()
    expected = normal(g, 700).tolist()
    assert normal(twin, 700).tolist() == expected


def test_nothing_is_drawn_for_an_empty_tensor():
    g = Generator().manual_seed(3)
    before = g.state_bytes()
    for fill in (uniform, normal, random_full, randperm, exponential):
        fill(g, 0)
    assert g.state_bytes() == before


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_uniform_numbers_stay_below_their_upper_bound(dtype):
    x = uniform(Generator().manual_seed(1), 100_000, dtype, 1.0, 1.0 + 2.0**-6)
    assert x.min() >= 1.0 and x.max() < 1.0 + 2.0**-6


def test_a_draw_across_many_blocks_equals_many_small_ones():
    whole, parts = Generator().manual_seed(11), Generator().manual_seed(11)
    expected = uniform(whole, 60_000)
    sizes = [1, 622, 1, 1, 623, 624, 625, 17, 40_000, 16_486, 1000]
    got = np.concatenate([uniform(parts, n) for n in sizes])
    assert got.tolist() == expected.tolist()


def refused(call):
    with pytest.raises(filling.Refused) as caught:
        call()
    return caught.value.position


def test_wrong_chances_are_found_by_position():
    assert refused(lambda: bernoulli_tensor(Generator(), [0.5, 1.0, 1.5, 0.0, float("nan")])) == 2


@pytest.mark.parametrize("rows, position", [([[1, 2], [-1, 3]], 2), ([[1, 2], [0, 0]], 5), ([[1, np.inf], [0, 1]], 1)])
def test_wrong_weights_are_found_by_position(rows, position):
    assert refused(lambda: with_replacement(Generator(), np.array(rows, np.float32), 4)) == position


def test_wrong_rates_are_found_by_position_and_leave_the_generator_free():
    g = Generator()
    assert refused(lambda: poisson(g, [1.0, -1.0])) == 1
    assert len(poisson(g, [1.0])) == 1


def test_a_gamma_number_of_an_impossible_shape_is_nan():
    assert np.isnan(standard_gamma(Generator(), [float("nan"), -1.0, -0.5])).all()
