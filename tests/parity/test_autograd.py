"""Random programs with views and changes in place: gradients, second ones, and refusals, as PyTorch has them."""

import random

import numpy as np
import pytest

import mashal

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")


def change(x, view, how):
    """x after a change in place of a view of it; leaves stay as they are."""
    if x.is_leaf:
        raise RuntimeError("a leaf")
    how(view(x))
    return x


STEPS = [
    lambda a, b: a * b,
    lambda a, b: a + b,
    lambda a, b: a @ b.t(),
    lambda a, b: a.tanh(),
    lambda a, b: a[:, :2],
    lambda a, b: a.t(),
    lambda a, b: a.sum(0, keepdim=True),
    lambda a, b: a.softmax(-1),
    lambda a, b: a.reshape(-1)[:2].expand(3, 2),
    lambda a, b: change(a, lambda x: x, lambda x: x.mul_(0.5)),
    lambda a, b: change(a, lambda x: x[0], lambda x: x.mul_(b[0])),
    lambda a, b: change(a, lambda x: x.t()[0], lambda x: x.add_(1.0)),
    lambda a, b: change(a, lambda x: x[:1], lambda x: x.exp_()),
]


def run(library, seed):
    """Which steps succeeded, and the gradients and second gradients; None instead of them if backward was refused."""
    choices = random.Random(seed)
    x = library.tensor([[0.5, -1.2, 2.0], [0.3, 0.7, -0.4]], requires_grad=True)
    w = library.tensor([[1.0, 0.5], [-0.3, 0.2], [0.8, -0.6]], requires_grad=True)
    pool, succeeded = [x, w, x @ w], []
    for _ in range(10):
        step, a, b = choices.choice(STEPS), choices.choice(pool), choices.choice(pool)
        try:
            pool.append(step(a, b))
            succeeded.append(True)
        except (RuntimeError, IndexError):
            succeeded.append(False)
    out = sum((p * p).mean() for p in pool)
    try:
        first = library.autograd.grad(out, [x, w], create_graph=True)
        second = library.autograd.grad(sum((g * g).sum() for g in first), [x, w])
    except RuntimeError:
        return succeeded, None
    return succeeded, [g.detach().numpy() for g in (*first, *second)]


@pytest.mark.parametrize("seed", range(100))
def test_a_random_program_has_pytorchs_gradients(seed):
    (expected_steps, expected), (steps, found) = run(torch, seed), run(mashal, seed)
    assert steps == expected_steps
    assert (found is None) == (expected is None)
    for ours, theirs in zip(found or [], expected or []):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-4 * max(1, abs(theirs).max()))
