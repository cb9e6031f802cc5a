"""New tensors of data, of one value, and of numbers in a row."""

import numpy as np
import pytest

import mashal as torch

DTYPES = ["uint8", "int8", "int16", "int32", "int64", "float32", "float64", "bool", "complex64", "complex128"]


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize(("make", "value"), [(torch.zeros, 0), (torch.ones, 1)], ids=["zeros", "ones"])
def test_one_value_in_every_dtype(make, value, name):
    x = make(3, 5, dtype=getattr(torch, name))
    assert (x.numpy() == np.full((3, 5), value, name)).all()
    assert x.numpy().dtype == name


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_half_precisions_hold_what_they_can(name):
    assert torch.full((3,), 1.5, dtype=getattr(torch, name)).tolist() == [1.5] * 3


def test_many_elements_are_all_filled():
    assert torch.full((1_000_003,), 2.0).sum().item() == 2_000_006


def test_sizes_are_given_one_by_one_or_together():
    assert torch.zeros(2, 3).shape == torch.zeros((2, 3)).shape == torch.zeros(size=[2, 3]).shape == (2, 3)


@pytest.mark.parametrize("size", [2.5, "a", None, [1.5]])
def test_what_is_no_size_is_a_type_error(size):
    with pytest.raises(TypeError, match="zeros"):
        torch.zeros(size)


def test_an_unknown_option_is_named():
    with pytest.raises(TypeError, match="'colour'"):
        torch.ones(2, colour="red")


def test_full_takes_the_dtype_of_its_number():
    dtypes = [torch.full((1,), value).dtype for value in (True, 1, 1.0, 1j)]
    assert dtypes == [torch.bool, torch.int64, torch.float32, torch.complex64]


@pytest.mark.parametrize(
    ("value", "name"), [(300, "uint8"), (2**40, "int32"), (float("inf"), "int64"), (float("nan"), "int8")]
)
def test_full_refuses_a_number_that_does_not_fit(value, name):
    with pytest.raises(RuntimeError, match="overflow"):
        torch.full((2,), value, dtype=getattr(torch, name))


@pytest.mark.parametrize("arguments", [(5,), (1, 9), (10, 0, -3), (0, 1, 0.1), (-5, 5, 0.01), (0.5, 7)])
def test_arange_counts_as_numpy_does(arguments):
    mine, theirs = torch.arange(*arguments).numpy(), np.arange(*arguments)
    assert mine.shape == theirs.shape
    np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n", [0, 1, 7, 100, 40_000])
def test_linspace_has_both_ends(n):
    x = torch.linspace(-2, 5, n, dtype=torch.float64).numpy()
    np.testing.assert_allclose(x, np.linspace(-2, 5, n), rtol=1e-12)


def test_eye_out_of_shape():
    assert torch.eye(2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert torch.eye(3, 2, dtype=torch.int64).tolist() == [[1, 0], [0, 1], [0, 0]]


def test_like_keeps_the_order_of_dimensions():
    x = torch.ones(2, 3, 4).permute(2, 0, 1)
    assert torch.zeros_like(x).stride() == x.stride()
    assert torch.zeros_like(x, memory_format=torch.contiguous_format).stride() == (6, 3, 1)


def test_new_takes_dtype_and_device_of_the_tensor():
    x = torch.zeros(1, dtype=torch.int16)
    assert [
        y.dtype for y in (x.new_zeros(2), x.new_ones((2,)), x.new_full((2,), 3), x.new_empty(2), x.new_tensor([1]))
    ] == [torch.int16] * 5


def test_out_is_written_and_returned():
    out = torch.empty(3)
    assert torch.arange(3, out=out) is out
    assert out.tolist() == [0.0, 1.0, 2.0]


def test_the_default_device_is_taken():
    with torch.device("meta"):
        assert torch.zeros(2).device.type == torch.tensor([1.0]).device.type == torch.arange(3).device.type == "meta"
    assert torch.zeros(2).device.type == "cpu"


def test_triangles_and_their_gradient():
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    assert x.tril().tolist() == np.tril(x.detach().numpy()).tolist()
    assert x.triu(1).tolist() == np.triu(x.detach().numpy(), 1).tolist()
    x.tril().sum().backward()
    assert x.grad.tolist() == [[1, 0, 0], [1, 1, 0]]
    assert torch.ones(2, 2, dtype=torch.bool).tril().dtype == torch.bool


def test_arrays_share_memory_where_they_can():
    array = np.zeros(3, "float32")
    torch.as_tensor(array)[1] = 5
    torch.asarray(array)[2] = 7
    torch.tensor(array)[0] = 9
    assert array.tolist() == [0, 5, 7]


def test_asarray_keeps_history_unless_told_otherwise():
    x = torch.ones(2, requires_grad=True) * 2
    assert torch.asarray(x) is x
    assert torch.asarray(x, requires_grad=True) is x
    assert torch.asarray(x, requires_grad=False).grad_fn is None
    assert not torch.asarray([1.0]).requires_grad
