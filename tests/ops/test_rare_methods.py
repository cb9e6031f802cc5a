"""Methods that few programs use."""

import pytest

import mashal as torch


def test_apply_calls_a_function_for_each_element():
    assert torch.tensor([1, 2]).apply_(lambda x: x + 1.5).tolist() == [2, 3]


def test_apply_refuses_what_requires_grad():
    with pytest.raises(RuntimeError, match="detach"):
        torch.ones(1, requires_grad=True).apply_(lambda x: x)


def test_map_takes_a_tensor_that_broadcasts():
    assert torch.ones(2, 2).map_(torch.tensor([1.0, 2.0]), lambda x, y: x + y).tolist() == [[2, 3], [2, 3]]


def test_diagonal_of_a_tall_matrix_wraps():
    x = torch.zeros(7, 3).fill_diagonal_(1, wrap=True)
    assert x.sum(1).tolist() == [1, 1, 1, 0, 1, 1, 1]


def test_diagonal_of_a_cube():
    assert torch.zeros(3, 3, 3).fill_diagonal_(2).nonzero().tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]


def test_diagonal_of_a_vector_is_refused():
    with pytest.raises(RuntimeError, match="larger than 1"):
        torch.zeros(3).fill_diagonal_(1)


def test_dim_order_follows_memory():
    assert torch.zeros(2, 3, 4).permute(2, 0, 1).dim_order() == (1, 2, 0)


def test_elements_cannot_be_deleted():
    x = torch.zeros(3)
    with pytest.raises(TypeError, match="deleting"):
        del x[0]


@pytest.mark.parametrize("name", ["xpu", "ipu", "mtia"])
def test_other_devices_say_that_they_are_not_there(name):
    with pytest.raises((AssertionError, RuntimeError)):
        getattr(torch.zeros(1), name)()


def test_a_name_that_is_not_there_names_the_nearest():
    with pytest.raises(AttributeError, match="the nearest it has: ones_like"):
        torch.one_likes
    with pytest.raises(
        AttributeError, match=r"module 'mashal.nn.functional' has no attribute 'crossentropy'.*cross_entropy"
    ):
        torch.nn.functional.crossentropy
