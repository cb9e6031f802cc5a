"""Reading and writing by index: as NumPy does, with gradients, every index checked."""

import numpy as np
import pytest

import mashal as torch
from mashal.autograd import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)
A = RNG.standard_normal((4, 5, 6))
I = np.array([0, 2, -1])
M1, M2, M3 = RNG.random(4) > 0.4, RNG.random((4, 5)) > 0.5, RNG.random((4, 5, 6)) > 0.5
ALL = slice(None)
INDICES = [
    0, -1, (0, 1), (0, slice(1, 3)), slice(0, 1), (..., 0), None, (ALL, None, slice(None, None, 2)), ..., (1, 2, 3),
    I, (I, I), (ALL, I), (I, ALL, I), (..., I), (I, None), (None, I), ([0, 1], [1, 2]), M3, M2, (M2, slice(1, 3)), M1,
    (ALL, ALL, np.array([[0, 1], [2, 3]])), (0, I), (I, 0), (I, slice(1, 3), 2), (I[:, None], I), (M2, 0), True, False,
    np.zeros((0,), "int64"), I.astype("int32"),
]  # fmt: skip


def as_index(index):
    if isinstance(index, np.ndarray):
        return torch.from_numpy(index.copy())
    return tuple(map(as_index, index)) if isinstance(index, tuple) else index


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_reading_is_numpys(index):
    found = torch.from_numpy(A.copy())[as_index(index)].numpy()
    assert found.shape == A[index].shape
    assert (found == A[index]).all()


@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("whole", [True, False])
def test_writing_is_numpys(index, whole):
    a, x = A.copy(), torch.from_numpy(A.copy())
    value = RNG.standard_normal(A[index].shape) if whole else 7.0
    a[index] = value
    x[as_index(index)] = torch.tensor(value) if whole else value
    assert (x.numpy() == a).all()


@pytest.mark.parametrize("index", [0, (ALL, 1), I, (I[:2], I[:2]), M2, M3, (ALL, I[:2], slice(1, 3))], ids=str)
def test_gradients_of_reading_and_writing(index):
    x = torch.from_numpy(A.copy()).requires_grad_()

    def read(x):
        return x[as_index(index)] ** 2

    def written(x):
        y = x * 1
        y[as_index(index)] = (x * x)[as_index(index)]
        return y * x

    assert gradcheck(read, (x,)) and gradgradcheck(read, (x,))
    assert gradcheck(written, (x,))


@pytest.mark.parametrize(
    ("index", "error", "text"),
    [
        (5, IndexError, "index 5 is out of bounds for dimension 0 with size 4"),
        ((0, 9), IndexError, "index 9 is out of bounds for dimension 1 with size 5"),
        (np.array([0, 9]), IndexError, "index 9 is out of bounds for dimension 0 with size 4"),
        ((ALL, np.array([0, -7])), IndexError, "index -7 is out of bounds for dimension 1 with size 5"),
        ((0, 0, 0, 0), IndexError, "too many indices"),
        (np.zeros(3, bool), IndexError, "shape of the mask"),
        ((I, np.array([1, 2])), IndexError, "could not be broadcast"),
    ],
)
def test_an_index_outside_is_named(index, error, text):
    with pytest.raises(error, match=text):
        torch.from_numpy(A.copy())[as_index(index)]


OPERATIONS = {
    "index_select": lambda x: x.index_select(0, torch.tensor([2, 0, 2])) ** 2,
    "gather": lambda x: x.gather(1, torch.tensor([[0, 1], [1, 1], [2, 3]])) ** 2,
    "scatter": lambda x: x.scatter(0, torch.tensor([[0, 1, 2, 0]]), x * x),
    "scatter_add": lambda x: x.scatter_add(0, torch.tensor([[0, 0, 0, 0]]), x * x),
    "index_add": lambda x: x.index_add(0, torch.tensor([0, 2, 0]), x * x),
    "index_copy": lambda x: x.index_copy(0, torch.tensor([2, 0]), x[:2] ** 2),
    "index_fill": lambda x: x.index_fill(0, torch.tensor([1]), 2.0) ** 2,
    "masked_fill": lambda x: x.masked_fill(x > 0.5, 0.0) ** 2,
    "masked_scatter": lambda x: x.masked_scatter(x > 0.5, x * x),
    "masked_select": lambda x: x.masked_select(x > 0.5) ** 2,
    "embedding": lambda x: torch.embedding(x, torch.tensor([[0, 2], [2, 2]])) ** 2,
    "take": lambda x: x.take(torch.tensor([0, 5, 5])) ** 2,
    "put": lambda x: x.put(torch.tensor([0, 5]), x[0, :2] ** 2),
    "index_put": lambda x: x.index_put((torch.tensor([2, 0]),), x[:2] ** 2, accumulate=True),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradients_of_both_orders(name):
    x = (torch.arange(12.0, dtype=torch.float64).reshape(3, 4) / 11).requires_grad_()
    assert gradcheck(OPERATIONS[name], (x,))
    assert gradgradcheck(OPERATIONS[name], (x,))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: x.gather(0, torch.tensor([[3]])), RuntimeError),
        (lambda x: x.gather(0, torch.tensor([3])), RuntimeError),
        (lambda x: x.scatter(0, torch.tensor([[-1]]), 1.0), RuntimeError),
        (lambda x: x.index_select(0, torch.tensor([-1])), IndexError),
        (lambda x: x.index_select(0, torch.tensor([1.0])), IndexError),
        (lambda x: x.take(torch.tensor([12])), IndexError),
        (lambda x: x.masked_fill(torch.tensor([1, 0, 1, 0]), 0), RuntimeError),
        (lambda x: x.masked_scatter(x >= 0, torch.zeros(3)), RuntimeError),
    ],
)
def test_every_index_is_checked(call, error):
    with pytest.raises(error):
        call(torch.zeros(3, 4))


def test_a_row_outside_the_table_is_named_with_its_place():
    with pytest.raises(IndexError, match=r"embedding: index 11 at position \(1, 0\) is outside the 10 rows of weight"):
        torch.embedding(torch.zeros(10, 3), torch.tensor([[0], [11]]))


def test_the_padding_row_gets_no_gradient():
    weight = torch.ones(3, 2, requires_grad=True)
    torch.embedding(weight, torch.tensor([0, 1, 1]), 0).sum().backward()
    assert weight.grad.tolist() == [[0, 0], [2, 2], [0, 0]]


def test_nonzero_of_many():
    mask = RNG.random((70, 33)) > 0.7
    x = torch.from_numpy(mask.copy())
    assert (x.nonzero().numpy() == np.argwhere(mask)).all()
    for ours, numpys in zip(x.nonzero(as_tuple=True), mask.nonzero()):
        assert (ours.numpy() == numpys).all()


def test_large_scatters_do_not_depend_on_threads():
    index = RNG.integers(0, 100, (50_000,))
    x = torch.zeros(100, 32)
    x.index_add_(0, torch.from_numpy(index), torch.ones(50_000, 32))
    assert (x[:, 0].numpy() == np.bincount(index, minlength=100)).all()
    assert (x == x[:, :1]).all()


def test_what_is_no_index_is_an_index_error_and_a_text_a_type_error():
    with pytest.raises(IndexError, match="valid indices"):
        torch.ones(3)[1.5]
    with pytest.raises(TypeError, match="valid indices"):
        torch.ones(3)["a"]


def test_a_second_ellipsis_stands_for_nothing():
    x = torch.arange(6).reshape(2, 3)
    assert torch.equal(x[..., 0, ...], x[..., 0])


def test_a_mask_takes_one_value_of_any_dtype():
    x = torch.zeros(3)
    x[torch.tensor([True, False, True])] = torch.tensor([2])
    assert x.tolist() == [2, 0, 2]


@pytest.mark.parametrize(
    ("index", "names"),
    [
        (slice(1, 3), ["SliceBackward0"]),
        ((ALL, 0), ["SelectBackward0"]),
        ((..., slice(0, 2)), ["SliceBackward0"]),
        ((None, ...), ["UnsqueezeBackward0"]),
        ((ALL, ALL), ["AliasBackward0"]),
        ((0, slice(1, 3)), ["SliceBackward0", "SelectBackward0"]),
    ],
    ids=str,
)
def test_a_view_has_the_nodes_of_its_steps(index, names):
    x = torch.zeros(4, 5, 6, requires_grad=True)
    for _ in range(2):
        node, found = x[index].grad_fn, []
        while node is not None and node.name() != "torch::autograd::AccumulateGrad" and node.next_functions:
            found.append(node.name())
            node = node.next_functions[0][0]
        assert found == names


def test_a_float_is_no_bound_though_the_integer_was_one():
    x = torch.zeros(4)
    assert x[1:2].shape == (1,)
    with pytest.raises(TypeError):
        x[1.0:2]


def test_a_bool_is_not_the_number_that_equals_it():
    x = torch.arange(4)
    assert x[1, ...].shape == () and x[True, ...].shape == (1, 4)


def test_the_next_mask_has_other_places():
    x = torch.arange(6)
    for k in range(4):
        mask = x > k
        assert x[mask].tolist() == x.masked_select(mask).tolist() == list(range(k + 1, 6))
        assert mask.nonzero().tolist() == [[i] for i in range(k + 1, 6)]


def test_a_mask_of_rows_is_written_and_read():
    x = torch.zeros(3, 2)
    x[torch.tensor([True, False, True])] = torch.tensor([1.0, 2.0])
    assert x.tolist() == [[1, 2], [0, 0], [1, 2]]
    assert x[torch.tensor([False, True, True])].tolist() == [[0, 0], [1, 2]]


def test_a_value_over_the_same_data_is_read_before_it_is_written():
    for _ in range(2):
        x = torch.arange(4)
        x[torch.tensor([1, 2, 3])] = x[:3]
        assert x.tolist() == [0, 0, 1, 2]
