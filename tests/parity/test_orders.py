"""Short sums, dot products, small matrix products and scaled additions have PyTorch's bits."""

import numpy as np
import pytest

import mashal

pytestmark = pytest.mark.parity
pytorch = pytest.importorskip("torch")

CALLS = {
    "sum": (lambda t, x: x.sum(), (100,)),
    "mean": (lambda t, x: x.mean(), (6, 5)),
    "mse_loss": (lambda t, x, y: t.nn.functional.mse_loss(x, y), (8, 4), (8, 4)),
    "l1_loss": (lambda t, x, y: t.nn.functional.l1_loss(x, y), (7,), (7,)),
    "add": (lambda t, x, y: t.add(x, y, alpha=0.37), (37,), (37,)),
    "add_": (lambda t, x, y: x.add_(y, alpha=-1e-3), (3, 4), (3, 4)),
    "sub": (lambda t, x, y: t.sub(x, y, alpha=0.37), (37,), (37,)),
    "addcmul": (lambda t, x, y, z: t.addcmul(x, y, z, value=0.37), (37,), (37,), (37,)),
    "addcdiv": (lambda t, x, y, z: t.addcdiv(x, y, z, value=0.37), (37,), (37,), (37,)),
    "lerp": (lambda t, x, y: t.lerp(x, y, 0.9), (37,), (37,)),
    "linear, wide": (lambda t, x, w, b: t.nn.functional.linear(x, w, b), (16, 20), (30, 20), (30,)),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_bits_are_pytorchs(name):
    call, *shapes = CALLS[name]
    for seed in range(50):
        rng = np.random.default_rng(seed)
        arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
        ours, theirs = (
            np.asarray(call(t, *(t.from_numpy(a.copy()) for a in arrays)).numpy()) for t in (mashal, pytorch)
        )
        np.testing.assert_array_equal(ours.view(np.int32), theirs.view(np.int32))
