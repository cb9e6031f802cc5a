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


@pytest.mark.parametrize("formats", [[torch.contiguous_format], [torch.contiguous_format, torch.channels_last]])
def test_dim_order_is_that_of_the_one_format_that_fits(formats):
    assert torch.empty(1, 2, 3, 4).dim_order(ambiguity_check=formats) == (0, 1, 2, 3)


def test_dim_order_refuses_what_is_not_unique():
    with pytest.raises(RuntimeError, match="does not have unique dim order"):
        torch.empty(1, 2, 3, 4).dim_order(ambiguity_check=True)
    with pytest.raises(RuntimeError, match="does not have unique dim order"):
        torch.empty(2, 1, 3, 4).dim_order(ambiguity_check=[torch.contiguous_format])
    with pytest.raises(TypeError, match="memory formats"):
        torch.empty(2, 3).dim_order(ambiguity_check="any")


def test_dim_order_puts_sizes_of_one_where_strides_say():
    assert torch.empty(2, 1, 3, 4, memory_format=torch.channels_last).dim_order() == (0, 2, 3, 1)


# ---------------------------------------------------------------- grad_dtype
def test_a_gradient_comes_in_the_dtype_that_was_asked_for():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    x.grad_dtype = torch.float16
    for _ in range(2):
        (x * 2).sum().backward()
    assert x.grad.dtype is torch.float16 and x.grad.tolist() == [4, 4]
    assert torch.autograd.grad((x * 2).sum(), x)[0].dtype is torch.float16


def test_the_dtype_of_a_gradient_is_checked_where_it_is_assigned():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    x.grad_dtype = None
    x.grad = torch.ones(2, dtype=torch.float16)
    with pytest.raises(RuntimeError, match="already a gradient"):
        x.grad_dtype = torch.float64
    x.grad, x.grad_dtype = None, torch.float64
    with pytest.raises(RuntimeError, match="different type"):
        x.grad = torch.ones(2)


def test_only_leaves_have_a_dtype_of_gradients():
    y = torch.ones(2, requires_grad=True) * 2
    for ask in (lambda: y.grad_dtype, lambda: setattr(y, "grad_dtype", torch.float16)):
        with pytest.raises(RuntimeError, match="leaf"):
            ask()
