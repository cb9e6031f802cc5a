"""cat, stack and their relatives."""

import numpy as np
import pytest

import mashal as torch

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(3,), (4, 5), (2, 3, 4)])
@pytest.mark.parametrize("n", [1, 2, 70])
def test_cat_of_different_sizes(shape, n):
    for dim in range(len(shape)):
        parts = [
            RNG.random([int(RNG.integers(0, 4)) if d == dim else m for d, m in enumerate(shape)]) for _ in range(n)
        ]
        assert (torch.cat([torch.from_numpy(p) for p in parts], dim).numpy() == np.concatenate(parts, dim)).all()


@pytest.mark.parametrize("shape", [(), (3,), (4, 5)])
@pytest.mark.parametrize("n", [1, 2, 70])
def test_stack_along_every_dimension(shape, n):
    parts = [RNG.random((*shape, 1))[..., 0] for _ in range(n)]
    for dim in range(len(shape) + 1):
        assert (torch.stack([torch.tensor(p) for p in parts], dim).numpy() == np.stack(parts, dim)).all()


def test_strided_operands_and_mixed_dtypes():
    x = torch.arange(6).reshape(2, 3)
    joined = torch.cat([x.t(), torch.ones(3, 2)], 1)
    assert joined.dtype == torch.float32
    assert joined.tolist() == [[0, 3, 1, 1], [1, 4, 1, 1], [2, 5, 1, 1]]


def test_large_tensors_are_joined_in_pieces():
    x = torch.arange(1_500_000.0)
    assert (torch.cat([x, x]) == x.repeat(2)).all()


def test_an_empty_vector_is_skipped():
    assert torch.cat([torch.zeros(0), torch.ones(2, 2)]).shape == (2, 2)


@pytest.mark.parametrize("name", ["hstack", "vstack", "dstack", "column_stack"])
def test_by_name_of_the_direction(name):
    for shape in [(3,), (3, 2)]:
        a, b = RNG.random(shape), RNG.random(shape)
        ours = getattr(torch, name)([torch.from_numpy(a), torch.from_numpy(b)]).numpy()
        assert (ours == getattr(np, name)([a, b])).all()


def test_gradients_go_to_their_parts():
    x, y = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    (torch.cat([x, y]) * torch.arange(5.0)).sum().backward()
    assert x.grad.tolist() == [0, 1] and y.grad.tolist() == [2, 3, 4]
    assert "CatBackward0" in str(torch.cat([x, y]).grad_fn) and "StackBackward0" in str(torch.stack([x, x]).grad_fn)


def test_a_mismatch_names_both_shapes():
    with pytest.raises(
        RuntimeError, match=r"cat: tensor 1 is \(2, 4\); except in dim 0 it must match tensor 0, \(2, 3\)"
    ):
        torch.cat([torch.zeros(2, 3), torch.zeros(2, 4)])
    with pytest.raises(RuntimeError, match="equal size"):
        torch.stack([torch.zeros(2), torch.zeros(3)])
    with pytest.raises(TypeError):
        torch.cat(torch.zeros(2))


# ---------------------------------------------------------------- many alike, in one call
@pytest.mark.parametrize("dim", [0, 1, 2, -1])
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "complex128", "bfloat16"])
def test_rows_of_one_tensor_are_stacked_and_joined(dim, dtype):
    whole = torch.arange(60).reshape(5, 3, 4).to(getattr(torch, dtype))
    parts, expected = list(whole), whole.to(torch.complex128).numpy()
    assert (torch.stack(parts, dim).to(torch.complex128).numpy() == np.stack(list(expected), dim)).all()
    joined = torch.cat(parts, min(dim, 1))
    assert (joined.to(torch.complex128).numpy() == np.concatenate(list(expected), min(dim, 1))).all()
    assert joined.dtype is whole.dtype


def test_a_part_of_another_class_dtype_or_layout_goes_the_general_way():
    x = torch.arange(4.0).reshape(2, 2)
    for other in (torch.nn.Parameter(x), x.double(), x.t().contiguous().t()):
        assert torch.stack([x, other]).tolist() == [x.tolist(), x.tolist()]
        assert torch.cat([x, other]).tolist() == x.tolist() * 2


def test_parts_alike_pass_their_gradients():
    a, b = torch.ones(2, requires_grad=True), torch.ones(2)
    (torch.stack([a, b, a]) * torch.tensor([[1.0], [2.0], [4.0]])).sum().backward()
    (torch.cat([b, a]) * torch.arange(4.0)).sum().backward()
    assert a.grad.tolist() == [7, 8]
    assert not torch.stack([b, b]).requires_grad
