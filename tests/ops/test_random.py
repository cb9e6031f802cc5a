"""Random tensors: shapes, dtypes, orders of memory, generators, and what is refused."""

import ctypes
import math

import numpy as np
import pytest

from mashal import random as seeds
from mashal.core import dtypes
from mashal.core.devices import CPU, META
from mashal.core.forms import form
from mashal.core.generator import Generator, default_generator
from mashal.core.tensor import empty, version_of
from mashal.machine import threads
from mashal.ops import random as ops
from mashal.ops import random_factories as make

FLOATING = ["float64", "float32", "float16"]


def array(x):
    """A tensor's elements as numpy sees them, without mashal's own conversions."""
    data = np.frombuffer(ctypes.string_at(x.data_ptr(), x.form.extent * x.itemsize), x.dtype.numpy_name)
    return np.lib.stride_tricks.as_strided(data, x.shape, [step * x.itemsize for step in x.stride()])


def strided(shape, strides, dtype="float32"):
    return empty(form(getattr(dtypes, dtype), CPU, shape, strides))


@pytest.fixture(autouse=True)
def seeded():
    seeds.manual_seed(123)


@pytest.mark.parametrize(
    "seed, normal, integers, order",
    [
        (0, [0.364338, 0.134396, 0.164216], [66, 56, 99, 78, 76], [1, 0, 4, 2, 3]),
        (123, [-2.316571, -0.123174, 0.77618], [21, 66, 21, 12, 49], [4, 0, 3, 2, 1]),
    ],
)
def test_first_numbers_of_known_seeds(seed, normal, integers, order):
    seeds.manual_seed(seed)
    make.rand(3)
    assert array(make.randn(3)).tolist() == pytest.approx(normal, abs=1e-6)
    assert array(make.randint(0, 100, (5,))).tolist() == integers
    assert array(make.randperm(5)).tolist() == order


@pytest.mark.parametrize("size", [(2, 3), ((2, 3),), ([2, 3],), (np.int64(2), 3)])
def test_sizes_come_singly_or_in_a_sequence(size):
    assert make.rand(*size).shape == (2, 3)


@pytest.mark.parametrize(
    "fill", [ops.uniform_, ops.normal_, ops.exponential_, ops.cauchy_, ops.log_normal_, ops.random_]
)
@pytest.mark.parametrize("dtype", FLOATING)
def test_a_transposed_tensor_is_filled_in_memory_order(fill, dtype):
    plain, transposed = strided((2, 6), (6, 1), dtype), strided((6, 2), (1, 6), dtype)
    fill(plain, generator=Generator())
    fill(transposed, generator=Generator())
    assert array(transposed).T.tolist() == array(plain).tolist()


def test_sixteen_normal_numbers_depend_on_contiguity():
    plain, transposed = strided((4, 5), (5, 1)), strided((5, 4), (1, 5))
    ops.normal_(plain, generator=Generator())
    ops.normal_(transposed, generator=Generator())
    assert array(transposed).T.tolist() != array(plain).tolist()


@pytest.mark.parametrize("fill", [ops.uniform_, ops.normal_, ops.bernoulli_, ops.random_, ops.exponential_])
def test_results_do_not_depend_on_the_number_of_threads(fill):
    before, drawn = threads.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            drawn.append(array(fill(strided((100_003,), (1,)), generator=Generator())))
    finally:
        threads.set_num_threads(before)
    assert (drawn[0] == drawn[1]).all() and (drawn[0] == drawn[2]).all()


def test_threads_that_share_a_generator_draw_each_word_once():
    from threading import Thread

    together, alone = Generator(), Generator()
    drawn = [strided((200_000,), (1,), "int64") for _ in range(4)]
    workers = [Thread(target=ops.random_, args=(x,), kwargs={"generator": together}) for x in drawn]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    expected = array(ops.random_(strided((800_000,), (1,), "int64"), generator=alone))
    assert (np.sort(np.concatenate([array(x) for x in drawn])) == np.sort(expected)).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda x, g: ops.random_(x, 2, 9, generator=g),
        lambda x, g: ops.random_(x, 2, to=9, generator=g),
        lambda x, g: ops.random_(x, **{"from": 2, "to": 9}, generator=g),
    ],
)
def test_bounds_have_names(call):
    expected = ops.random_(strided((30,), (1,)), 2, 9, generator=Generator())
    assert array(call(strided((30,), (1,)), Generator())).tolist() == array(expected).tolist()


def test_filling_counts_as_a_change():
    x = strided((3,), (1,))
    before = version_of(x)
    ops.uniform_(x)
    assert version_of(x) == before + 1


def test_a_template_gives_strides_and_dtype():
    x = strided((4, 5), (1, 4), "float64")
    y = make.rand_like(x)
    assert (y.stride(), y.dtype, y.shape) == ((1, 4), dtypes.float64, (4, 5))
    assert make.rand_like(x, dtype=dtypes.float32).dtype is dtypes.float32


def test_a_tensor_without_data_draws_nothing():
    before = default_generator.state_bytes()
    assert make.rand(3, device="meta").device is META
    assert make.randn(0, 4).shape == (0, 4)
    assert default_generator.state_bytes() == before


def test_another_generator_leaves_the_default_one_alone():
    before = default_generator.state_bytes()
    make.rand(3, generator=Generator())
    make.randperm(10, generator=Generator())
    assert default_generator.state_bytes() == before


def test_requires_grad_is_an_option():
    assert make.rand(2, requires_grad=True).requires_grad and not make.rand(2).requires_grad


def test_the_standard_deviation_of_complex_numbers_is_that_of_the_whole():
    z = array(make.randn(20_000, dtype=dtypes.complex64))
    assert abs(np.abs(z).std() ** 2 + np.abs(z).mean() ** 2 - 1) < 0.05


def test_states_continue_the_stream():
    state = seeds.get_rng_state()
    first = array(make.rand(5)).tolist()
    seeds.set_rng_state(state)
    assert array(make.rand(5)).tolist() == first


def test_fork_rng_restores_the_stream_even_after_an_error():
    before = default_generator.state_bytes()
    with pytest.raises(KeyError), seeds.fork_rng():
        make.rand(10)
        raise KeyError
    assert default_generator.state_bytes() == before


REFUSED = [
    (
        lambda x: ops.uniform_(x, 2, 1),
        RuntimeError,
        r"uniform_ expects to return a \[from, to\) range, but found from=2 > to=1",
    ),
    (lambda x: ops.uniform_(x, until=3), TypeError, r"uniform_\(\) got an unexpected keyword argument 'until'"),
    (lambda x: ops.random_(x, until=3), TypeError, r"random_\(\) got an unexpected keyword argument 'until'"),
    (lambda x: ops.uniform_(x, 0, 1e39), RuntimeError, "to is out of bounds for torch.float32"),
    (lambda x: ops.uniform_(x, math.nan, 1), RuntimeError, "uniform_ expects"),
    (lambda x: ops.uniform_(x, -3e38, 3e38), RuntimeError, "a range of torch.float32 is at most 3.40282e"),
    (lambda x: ops.normal_(x, 0, -1), RuntimeError, "normal expects std >= 0.0, but found std -1"),
    (lambda x: ops.normal_(x, 0, math.nan), RuntimeError, "normal expects std >= 0.0, but found std nan"),
    (lambda x: ops.random_(x, 5, 2), RuntimeError, "expects 'from' to be less than 'to', but got from=5 >= to=2"),
    (lambda x: ops.random_(x, 0), RuntimeError, "expects 'from' to be less than 'to', but got from=0 >= to=0"),
    (lambda x: ops.random_(x, 0.5, 2), TypeError, "a bound is a float; it must be an int"),
    (lambda x: ops.bernoulli_(x, 1.5), RuntimeError, r"bernoulli_ expects p to be in \[0, 1\], but got p=1.5"),
    (lambda x: ops.exponential_(x, -1), RuntimeError, "exponential_ expects lambda > 0.0, but found lambda=-1"),
    (lambda x: ops.geometric_(x, 1.0), RuntimeError, r"geometric_ expects p to be in \(0, 1\), but got p=1"),
    (lambda x: ops.log_normal_(x, 0, 0), RuntimeError, "log_normal_ expects std > 0.0, but found std=0"),
    (lambda x: ops.cauchy_(x, 0, -1), RuntimeError, "cauchy_ expects sigma > 0.0, but found sigma=-1"),
    (lambda x: ops.uniform_(x, generator=3), TypeError, "generator is a int; it must be a torch.Generator"),
    (lambda x: make.rand(2.0), TypeError, "argument 'size' .* must be tuple of ints, not float"),
    (lambda x: make.rand(-1), RuntimeError, "negative dimension -1"),
    (lambda x: make.rand(2, names=("a",)), TypeError, r"rand\(\) got an unexpected keyword argument 'names'"),
    (lambda x: make.rand(2, pin_memory=True), RuntimeError, "pin_memory=True needs an accelerator"),
    (
        lambda x: make.rand(2, dtype=dtypes.int64),
        NotImplementedError,
        "dtype is torch.int64; it must be floating or complex",
    ),
    (
        lambda x: make.randn(2, dtype=dtypes.bool),
        NotImplementedError,
        "dtype is torch.bool; it must be floating or complex",
    ),
    (lambda x: make.randint(5), TypeError, "no size was given"),
    (lambda x: make.randint(5, 5, (2,)), RuntimeError, "'from' to be less than 'to'"),
    (lambda x: make.randint(0, 300, (2,), dtype=dtypes.uint8), RuntimeError, "to - 1 is out of bounds for torch.uint8"),
    (lambda x: make.randint(-1, 3, (2,), dtype=dtypes.uint8), RuntimeError, "from is out of bounds for torch.uint8"),
    (lambda x: make.randperm(-1), RuntimeError, "negative dimension -1"),
    (lambda x: make.randperm(5.0), TypeError, "must be int, not float"),
    (lambda x: make.randperm(3000, dtype=dtypes.float16), RuntimeError, "n = 3000 is too large for torch.float16"),
    (lambda x: make.normal(0.0, 1.0), TypeError, "no size was given"),
    (lambda x: ops.uniform_(strided((3,), (0,))), RuntimeError, "more than one element of the written-to tensor"),
    (lambda x: ops.exponential_(strided((3,), (1,), "int64")), RuntimeError, "continuous probability distribution"),
    (lambda x: ops.normal_(x.requires_grad_()), RuntimeError, "a leaf Variable that requires grad"),
]


@pytest.mark.parametrize("call, error, text", REFUSED, ids=[text for _, _, text in REFUSED])
def test_what_is_refused_is_said(call, error, text):
    before = default_generator.state_bytes()
    with pytest.raises(error, match=text):
        call(strided((3,), (1,)))
    assert default_generator.state_bytes() == before
