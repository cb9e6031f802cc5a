"""The whole stack in seconds: if this fails, look here first."""

import copy
import pickle

import pytest

import mashal as torch
from mashal import nn
from mashal.nn import functional as F
from mashal.utils.data import DataLoader, TensorDataset


def test_a_plus_b(device):
    a = torch.tensor([1.0, 2.0, 3.0], device=device)
    assert (a + a).tolist() == [2.0, 4.0, 6.0]


def test_broadcasting_and_promotion(device):
    x = torch.arange(3, device=device) + torch.ones(2, 1, device=device)
    assert x.shape == (2, 3)
    assert x.dtype == torch.float32
    assert x.tolist() == [[1.0, 2.0, 3.0]] * 2


def test_a_product_of_matrices(device):
    a = torch.arange(6.0, device=device).reshape(2, 3)
    assert (a @ a.T).tolist() == [[5.0, 14.0], [14.0, 50.0]]


def test_views_share_their_numbers(device):
    x = torch.zeros(2, 3, device=device)
    x.T[1] = 5
    assert x.tolist() == [[0.0, 5.0, 0.0]] * 2


def test_gradients_and_gradients_of_gradients(device):
    x = torch.tensor(3.0, requires_grad=True, device=device)
    (first,) = torch.autograd.grad(x**3, x, create_graph=True)
    (second,) = torch.autograd.grad(first, x)
    assert (first.item(), second.item()) == (27.0, 18.0)


def test_a_sum_over_many_elements(device):
    x = torch.ones(1_000_003, device=device)
    assert x.sum().item() == 1_000_003.0


def test_empty_and_zero_dimensional(device):
    assert torch.empty(0, 3, device=device).sum().item() == 0.0
    assert (torch.tensor(2, device=device) * 3).shape == ()


def test_seeds_give_pytorchs_numbers():
    torch.manual_seed(123)
    assert str(torch.rand(3)) == "tensor([0.2961, 0.5166, 0.2517])"


def test_training_learns_and_a_file_brings_the_model_back(tmp_path):
    torch.manual_seed(0)
    x = torch.randn(64, 2)
    y = (x[:, 0] > x[:, 1]).long()
    model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(20):
        for features, labels in DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True):
            loss = F.cross_entropy(model(features), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert (model(x).argmax(dim=1) == y).sum().item() >= 62

    torch.save(model.state_dict(), tmp_path / "model.pth")
    fresh = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
    fresh.load_state_dict(torch.load(tmp_path / "model.pth"))
    assert torch.equal(fresh(x), model(x))


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"])
def test_a_tensor_can_be_copied_and_pickled(again):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = again(x)
    assert y.requires_grad
    assert torch.equal(x, y)


def test_numpy_shares_memory_both_ways():
    x = torch.zeros(3)
    array = x.numpy()
    array[1] = 7
    torch.from_numpy(array)[2] = 9
    assert x.tolist() == [0.0, 7.0, 9.0]


def test_a_wrong_shape_is_told_with_both_shapes():
    with pytest.raises(RuntimeError, match=r"\(2, 3\).*\(4, 5\)|2, 3.*4, 5|3.*5"):
        torch.ones(2, 3) + torch.ones(4, 5)
