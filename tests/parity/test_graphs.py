"""Random small graphs of operations: values and gradients of every leaf, against PyTorch's."""

import numpy as np
import pytest

import mashal

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

ONE = [
    lambda m, x: m.exp(x * 0.3), lambda m, x: m.sin(x), lambda m, x: m.tanh(x), lambda m, x: m.sigmoid(x) * x,
    lambda m, x: m.relu(x), lambda m, x: (x * x + 1).log(), lambda m, x: (x * x + 0.5).sqrt(), lambda m, x: -x,
    lambda m, x: x.t().contiguous().t(), lambda m, x: x.reshape(-1).reshape(x.shape), lambda m, x: x.flip(0),
    lambda m, x: x - x.mean(0, keepdim=True), lambda m, x: x.softmax(-1), lambda m, x: x.cumsum(1), lambda m, x: x.abs(),
    lambda m, x: x / (x.std(1, keepdim=True) + 1), lambda m, x: x.clamp(-1, 1), lambda m, x: x.logsumexp(1, keepdim=True) + x,
    lambda m, x: m.nn.functional.gelu(x), lambda m, x: m.nn.functional.layer_norm(x, x.shape[-1:]), lambda m, x: x.clone().mul_(2),
    lambda m, x: m.where(x > 0, x, x * 0.1), lambda m, x: x.amax(1, keepdim=True) * x, lambda m, x: x.sort(1)[0],
    lambda m, x: x[m.tensor([2, 0, 1])], lambda m, x: x.masked_fill(x > 1, 0.5), lambda m, x: x.prod(1, keepdim=True) + x,
]  # fmt: skip
TWO = [
    lambda m, x, y: x + y, lambda m, x, y: x - 2 * y, lambda m, x, y: x * y, lambda m, x, y: x / (y * y + 1),
    lambda m, x, y: m.maximum(x, y),
    lambda m, x, y: x @ y.t() @ x, lambda m, x, y: m.cat([x, y], 1)[:, 1:5], lambda m, x, y: m.stack([x, y]).mean(0),
    lambda m, x, y: m.atan2(x, y * y + 1), lambda m, x, y: x + y[0], lambda m, x, y: x * y[:, :1],
    lambda m, x, y: m.lerp(x, y, 0.3),
]  # fmt: skip


def graph(m, leaves, steps):
    """The steps carried out with a library's functions; steps: (which function, which of the values so far)."""
    values = list(leaves)
    for two, which, a, b in steps:
        x, y = values[a % len(values)], values[b % len(values)]
        values.append(TWO[which % len(TWO)](m, x, y) if two else ONE[which % len(ONE)](m, x))
    return (values[-1] * values[-2]).sum() + values[-3].mean()


@pytest.mark.parametrize("seed", range(60))
def test_a_random_graph_has_the_same_gradients(seed):
    rng = np.random.default_rng(seed)
    arrays = [rng.uniform(-1.5, 1.5, (3, 4)) for _ in range(3)]
    steps = [
        (rng.random() < 0.4, int(rng.integers(1000)), int(rng.integers(1000)), int(rng.integers(1000)))
        for _ in range(7)
    ]
    found = []
    for m in (mashal, torch):
        leaves = [m.from_numpy(a.copy()).requires_grad_() for a in arrays]
        y = graph(m, leaves, steps)
        first = m.autograd.grad(y, leaves, create_graph=True, allow_unused=True)
        norm = sum((g * g).sum() for g in first if g is not None)
        second = m.autograd.grad(norm, leaves, allow_unused=True) if norm.requires_grad else [None] * 3
        found.append([y, *first, *second])
    for a, b in zip(*found):
        a = np.zeros((3, 4)) if a is None else a.detach().numpy()
        b = np.zeros((3, 4)) if b is None else b.detach().numpy()
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)
