"""What users get wrong: PyTorch's exception class, and a message with the operation, the values and the rule."""

import io
import os
import pickle

import pytest

import mashal as torch
import mashal.nn.functional as F
from mashal import nn
from mashal.utils.data import DataLoader, TensorDataset

A = torch.ones(2, 3)
B = torch.ones(4, 5)
WORDS = torch.rand(10, 4)


# ---------------------------------------------------------------- shapes
@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: A + B, r"add.*\(2, 3\).*\(4, 5\)"),
        (lambda: A @ B, r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 4x5\)"),
        (
            lambda: F.linear(torch.ones(2, 5), torch.ones(4, 3)),
            r"linear: input \(2, 5\) has 5 features, weight \(4, 3\)",
        ),
        (lambda: torch.cat([torch.ones(2, 3), torch.ones(2, 4)]), r"cat.*\(2, 4\)"),
        (lambda: A.view(4), r"view.*shape '\[4\]' is invalid for input of size 6"),
        (lambda: A.expand(5, 3), r"expand"),
        (lambda: torch.bmm(A, A), r"bmm"),
        (lambda: torch.stack([torch.ones(2), torch.ones(3)]), r"stack"),
        (lambda: A.backward(), r"backward.*(does not require grad|scalar)"),
        (lambda: (A.clone().requires_grad_() * 2).backward(), r"backward.*scalar.*\(2, 3\)"),
    ],
)
def test_shapes_that_do_not_fit_are_runtime_errors(call, text):
    with pytest.raises(RuntimeError, match=text):
        call()


def test_a_negative_size_is_named():
    with pytest.raises(RuntimeError, match="-1"):
        torch.zeros(2, -1)


# ---------------------------------------------------------------- dtypes and devices
def test_a_result_that_does_not_fit_its_place_is_refused():
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        torch.ones(2, dtype=torch.int64).add_(1.5)


def test_operands_of_products_must_share_a_dtype():
    with pytest.raises(RuntimeError, match=r"torch\.float32 and torch\.float64"):
        A @ torch.ones(3, 2, dtype=torch.float64)


def test_integers_cannot_require_gradients():
    with pytest.raises(RuntimeError, match=r"torch\.int64"):
        torch.ones(2, dtype=torch.int64, requires_grad=True)


def test_cuda_without_cuda_says_so():
    assert not torch.cuda.is_available()
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        torch.ones(2, device="cuda")
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        A.to("cuda")


def test_a_device_that_does_not_exist_is_named():
    with pytest.raises(RuntimeError, match="gpu"):
        torch.device("gpu")


# ---------------------------------------------------------------- indices
@pytest.mark.parametrize("index", [2, -3, 5])
def test_an_index_out_of_range_names_dimension_and_size(index):
    with pytest.raises(IndexError, match=rf"index {index} is out of bounds for dimension 0 with size 2"):
        A[index]


def test_an_index_out_of_range_in_the_second_dimension():
    with pytest.raises(IndexError, match="index 3 is out of bounds for dimension 1 with size 3"):
        A[0, 3]


def test_too_many_indices():
    with pytest.raises(IndexError, match="too many indices"):
        A[0, 0, 0]


@pytest.mark.parametrize(
    "call",
    [
        lambda i: WORDS[i],
        lambda i: F.embedding(i, WORDS),
        lambda i: WORDS.index_select(0, i),
        lambda i: torch.take(WORDS, i * 4),
        lambda i: WORDS.gather(0, i.view(-1, 1)),
        lambda i: WORDS.clone().index_add_(0, i, torch.ones(3, 4)),
        lambda i: WORDS.clone().scatter_(0, i.view(-1, 1), torch.ones(3, 1)),
    ],
    ids=["indexing", "embedding", "index_select", "take", "gather", "index_add_", "scatter_"],
)
def test_every_index_of_a_tensor_is_checked(call):
    with pytest.raises((IndexError, RuntimeError), match=r"1[01]|4[04]"):
        call(torch.tensor([0, 11, 3]))


@pytest.mark.parametrize(
    "call", [lambda: A.sum(2), lambda: A.softmax(-3), lambda: A.squeeze(5), lambda: A.transpose(0, 2)]
)
def test_a_dim_out_of_range_is_an_index_error(call):
    with pytest.raises(IndexError, match=r"Dimension out of range \(expected to be in range of \[-2, 1\], but got"):
        call()


# ---------------------------------------------------------------- losses, data, models
@pytest.mark.parametrize("label", [3, -1, 100])
def test_a_label_outside_the_classes_is_named(label):
    with pytest.raises(IndexError, match=f"Target {label} is out of bounds"):
        F.cross_entropy(torch.ones(2, 3), torch.tensor([0, label]))


def test_an_empty_dataset_cannot_be_shuffled():
    with pytest.raises(ValueError, match="num_samples must be a positive integer, not 0"):
        DataLoader(TensorDataset(torch.ones(0, 2)), shuffle=True)


def test_an_empty_loader_gives_no_batch():
    assert list(DataLoader(TensorDataset(torch.ones(0, 2)))) == []


def test_every_wrong_key_of_a_state_dict_is_listed_at_once():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    state = model.state_dict()
    del state["0.bias"], state["1.weight"]
    state["extra"] = torch.ones(1)
    state["other"] = torch.ones(1)
    state["0.weight"] = torch.ones(5, 2)
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(state)
    for part in ("0.bias", "1.weight", "extra", "other", "0.weight", "[5, 2]", "[3, 2]"):
        assert part in str(caught.value)


# ---------------------------------------------------------------- files
def saved():
    file = io.BytesIO()
    torch.save({"w": torch.arange(1000.0)}, file)
    return file.getvalue()


@pytest.mark.parametrize("keep", [0, 1, 10, 100, 1000, -1])
def test_a_truncated_file_is_refused(keep):
    with pytest.raises((RuntimeError, EOFError, pickle.UnpicklingError)):
        torch.load(io.BytesIO(saved()[:keep]))


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04" + bytes(50), b"\x80\x02}." * 3, bytes(1000)])
def test_a_foreign_file_is_refused(content):
    with pytest.raises((RuntimeError, EOFError, pickle.UnpicklingError)):
        torch.load(io.BytesIO(content))


class Attack:
    def __reduce__(self):
        return os.system, ("echo attacked",)


def test_a_pickle_that_wants_to_run_code_does_not(capfd):
    file = io.BytesIO()
    torch.save({"w": Attack()}, file)
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="system"):
        torch.load(file)
    assert "attacked" not in capfd.readouterr().out


# ---------------------------------------------------------------- memory and history
def test_memory_that_is_not_there_is_a_runtime_error_with_the_size():
    with pytest.raises(RuntimeError, match=str(4 << 50)):
        torch.empty(1 << 50)


def test_a_size_that_no_memory_has_is_refused():
    with pytest.raises(RuntimeError, match="overflow"):
        torch.empty(1 << 62)


def test_backward_twice_says_how():
    x = torch.ones(2, requires_grad=True)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()


def test_a_saved_tensor_changed_in_place_is_noticed():
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    z = (y * y).sum()
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()


def test_a_leaf_cannot_be_changed_in_place_while_recording():
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        torch.ones(2, requires_grad=True).add_(1)


@pytest.mark.parametrize("operand", ["text", None, [1], object()])
def test_operands_that_are_no_numbers_are_type_errors(operand):
    with pytest.raises(TypeError):
        A + operand
