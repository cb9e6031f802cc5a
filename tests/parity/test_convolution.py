"""Convolutions held against PyTorch: values and first derivatives."""

import pytest
import torch as pytorch

import mashal

pytestmark = pytest.mark.parity

CASES = [
    ("conv1d", (2, 4, 9), (6, 2, 3), {"stride": 2, "padding": 1, "groups": 2}),
    ("conv2d", (2, 3, 7, 6), (4, 3, 3, 2), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}),
    ("conv2d", (3, 7, 6), (4, 3, 4, 2), {"padding": "same"}),
    ("conv3d", (1, 2, 4, 5, 3), (3, 2, 2, 3, 2), {}),
    ("conv_transpose1d", (2, 4, 5), (4, 3, 3), {"stride": 2, "output_padding": 1, "groups": 2}),
    ("conv_transpose2d", (1, 2, 4, 3), (2, 3, 2, 3), {"stride": 2, "padding": 1, "dilation": 2}),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "shape", "weight", "options"), CASES)
def test_values_and_gradients(name, shape, weight, options):
    pytorch.manual_seed(0)
    outputs = weight[1] * options.get("groups", 1) if "transpose" in name else weight[0]
    theirs = [pytorch.randn(s, dtype=pytorch.float64, requires_grad=True) for s in (shape, weight, (outputs,))]
    mine = [mashal.tensor(x.tolist(), dtype=mashal.float64, requires_grad=True) for x in theirs]
    y = getattr(pytorch.nn.functional, name)(*theirs, **options)
    z = getattr(mashal.nn.functional, name)(*mine, **options)
    y.sin().sum().backward()
    z.sin().sum().backward()
    for a, b in zip((y, *[x.grad for x in theirs]), (z, *[x.grad for x in mine])):
        assert tuple(a.shape) == tuple(b.shape)
        assert pytorch.allclose(a.detach(), pytorch.tensor(b.tolist(), dtype=pytorch.float64))
