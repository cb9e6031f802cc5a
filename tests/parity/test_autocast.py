"""autocast against PyTorch: which dtype every function gives, which it computes in, and what gradients parameters get."""

import numpy as np
import pytest

import mashal

pytestmark = pytest.mark.parity
pytorch = pytest.importorskip("torch")

EXPRESSIONS = """
a @ b
torch.mm(a, b)
torch.matmul(a, b[:, 0])
torch.mv(a, b[:, 0])
torch.bmm(a[None], b[None])
torch.addmm(b, a, b)
torch.baddbmm(b[None], a[None], b[None])
torch.einsum("ij,jk->ik", a, b)
torch.tensordot(a, b, 1)
F.linear(a, b)
F.linear(a, b, b[0])
F.conv2d(i, k)
F.conv1d(i[:, :, 0], k[:, :, 0])
F.conv_transpose2d(i, k.transpose(0, 1))
F.scaled_dot_product_attention(i, i, i)
a + b
(a @ b) + b
(a @ b).sum()
torch.cat([a @ b, b])
torch.cat([a @ b, a @ b])
torch.stack([a @ b, b])
F.softmax(a @ b, -1)
F.layer_norm(a @ b, (4,))
F.gelu(a @ b)
F.relu(a @ b)
F.mse_loss(a @ b, b)
F.cross_entropy(a @ b, torch.tensor([0, 1, 2, 3]))
F.binary_cross_entropy_with_logits(a @ b, b.sigmoid())
F.l1_loss(a @ b, b)
torch.cdist(a @ b, b)
(a @ b).prod()
(a @ b).trace()
a.double() @ b.double()
a.long() @ b.long()
torch.linalg.inv(a @ b + 5 * torch.eye(4))
F.max_pool2d(F.conv2d(i, k), 2)
F.batch_norm(F.conv2d(i, k), None, None, training=True)
F.dropout(a @ b, 0.0)
(a @ b).exp()
(a @ b).pow(2)
torch.outer(a[0], b[0])
torch.dot(a[0], b[0])
(a @ b).norm()
(a @ b).mean()
(a @ b).cumsum(0)
F.embedding(torch.tensor([1]), a)
"""


def made(torch):
    rng = np.random.default_rng(0)
    make = lambda *shape: torch.tensor(rng.standard_normal(shape).astype("float32"))
    names = {"torch": torch, "F": torch.nn.functional, "a": make(4, 4), "b": make(4, 4)}
    return names | {"i": make(2, 3, 6, 6), "k": make(3, 3, 3, 3)}


@pytest.mark.parametrize("expression", EXPRESSIONS.strip().splitlines())
def test_inside_autocast_dtypes_are_pytorchs(expression):
    results = []
    for torch in (mashal, pytorch):
        with torch.autocast("cpu"):
            results.append(eval(expression, made(torch)))
    ours, theirs = results
    assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
    np.testing.assert_allclose(ours.double().numpy(), theirs.double().numpy(), rtol=0.03, atol=0.03)


def step(torch):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    x = torch.randn(5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = torch.nn.functional.cross_entropy(model(x), torch.tensor([0, 1, 2, 0, 1]))
    loss.backward()
    return [loss, *(p.grad for p in model.parameters())]


def test_a_training_step_inside_autocast_gives_pytorchs_gradients():
    for ours, theirs in zip(step(mashal), step(pytorch)):
        assert ours.dtype is mashal.float32
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=0.05, atol=0.01)
