"""The device of tensors that are not told one."""

import numpy as np
import pytest

import mashal as torch

MAKERS = {
    "ones": lambda: torch.ones(2),
    "empty": lambda: torch.empty(2),
    "eye": lambda: torch.eye(2),
    "arange": lambda: torch.arange(2),
    "tensor": lambda: torch.tensor([1.0]),
    "randn": lambda: torch.randn(2),
    "asarray": lambda: torch.asarray(np.ones(2)),
    "as_tensor": lambda: torch.as_tensor(torch.ones(2, device="cpu")),
    "tril_indices": lambda: torch.tril_indices(2, 2),
    "hann_window": lambda: torch.hann_window(3),
    "Linear": lambda: torch.nn.Linear(1, 1).weight,
}


@pytest.fixture
def default_device():
    yield torch.set_default_device
    torch.set_default_device(None)


@pytest.mark.parametrize("name", MAKERS)
def test_no_tensor_is_made_on_a_device_that_is_absent(default_device, name):
    default_device("cuda:1")
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        MAKERS[name]()


@pytest.mark.parametrize("name", MAKERS)
def test_tensors_are_made_on_the_default_device(default_device, name):
    default_device("meta")
    assert MAKERS[name]().device.type == "meta"


def test_constructors_of_old_stay_in_main_memory(default_device):
    default_device("meta")
    assert torch.Tensor(2, 2).device.type == torch.FloatTensor([1.0]).device.type == "cpu"


def test_which_of_the_absent_devices_cannot_be_said(default_device):
    default_device("cuda")
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        torch.get_default_device()
    default_device("cuda:1")
    assert torch.get_default_device() == torch.device("cuda:1")


def test_a_block_on_an_absent_device_makes_nothing_elsewhere():
    with torch.device("cuda"), pytest.raises(AssertionError, match="CUDA"):
        torch.zeros(1)
    assert torch.zeros(1).device.type == torch.get_default_device().type == "cpu"
