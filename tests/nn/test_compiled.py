"""Every layer compiled: the same results, gradients and buffers as eagerly, in training and in evaluation."""

import pytest

import mashal as torch
from mashal import nn

WIDE = (3, 6)
IMAGE = (2, 4, 8, 8)
LAYERS = {
    "Linear": (lambda: nn.Linear(6, 4), WIDE),
    "Bilinear": (lambda: nn.Bilinear(6, 6, 3), (WIDE, WIDE)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(6), WIDE),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), IMAGE),
    "LayerNorm": (lambda: nn.LayerNorm(6), WIDE),
    "RMSNorm": (lambda: nn.RMSNorm(6), WIDE),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), IMAGE),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True), IMAGE),
    "Conv1d": (lambda: nn.Conv1d(4, 3, 3, padding=1), (2, 4, 9)),
    "Conv2d": (lambda: nn.Conv2d(4, 3, 3, stride=2, padding=1), IMAGE),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 3, 3), IMAGE),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), IMAGE),
    "AvgPool2d": (lambda: nn.AvgPool2d(2), IMAGE),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d(3), IMAGE),
    "Upsample": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), IMAGE),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), IMAGE),
    "Dropout": (lambda: nn.Dropout(0.4), WIDE),
    "Dropout2d": (lambda: nn.Dropout2d(0.4), IMAGE),
    "AlphaDropout": (lambda: nn.AlphaDropout(0.4), WIDE),
    "RReLU": (lambda: nn.RReLU(), WIDE),
    "PReLU": (lambda: nn.PReLU(), WIDE),
    "GLU": (lambda: nn.GLU(), WIDE),
    "Flatten": (lambda: nn.Flatten(), IMAGE),
    "RNN": (lambda: nn.RNN(6, 5, 2, batch_first=True), (2, 3, 6)),
    "LSTM": (lambda: nn.LSTM(6, 5, 2, bidirectional=True, dropout=0.2), (3, 2, 6)),
    "GRU": (lambda: nn.GRU(6, 5), (3, 2, 6)),
    "MultiheadAttention": (lambda: nn.MultiheadAttention(6, 2, dropout=0.1), ((3, 2, 6),) * 3),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(6, 2, 12), (3, 2, 6)),
} | {
    name: (getattr(nn, name), WIDE)
    for name in (
        "CELU ELU GELU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid Mish ReLU ReLU6 SELU SiLU Sigmoid Softplus "
        "Softshrink Softsign Tanh Tanhshrink Identity"
    ).split()
}  # fmt: skip
"""name -> (makes the layer, shape of its operand or shapes of its operands)"""


def tensors(result):
    return (
        [x for part in result for x in tensors(part)]
        if isinstance(result, tuple)
        else []
        if result is None
        else [result]
    )


def calls(layer, function, shapes):
    """Results, gradients and buffers of four calls, two of them in evaluation."""
    torch.manual_seed(5)
    seen = []
    for i in range(6):
        layer.train(i % 3 != 2)
        operands = [torch.randn(shape, requires_grad=True) for shape in shapes]
        results = tensors(function(*operands))
        wanted = [*operands, *layer.parameters()]
        total = [y for y in results if y.requires_grad]
        given = [torch.randn(y.shape) for y in total]
        seen += [y.detach() for y in results]
        seen += [g for g in torch.autograd.grad(total, wanted, given, allow_unused=True) if g is not None]
        seen += [b.clone() for b in layer.buffers()]
    return seen


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_a_compiled_layer_is_the_layer(name):
    make, shapes = LAYERS[name]
    shapes = shapes if isinstance(shapes[0], tuple) else (shapes,)
    torch.manual_seed(1)
    layer = make()
    torch.manual_seed(1)
    twin = make()
    fast = torch.compile(twin)
    expected, found = calls(layer, layer, shapes), calls(twin, fast, shapes)
    assert len(expected) == len(found)
    for a, b in zip(expected, found):
        torch.testing.assert_close(a, b, rtol=3e-7, atol=1e-7)  # within 2 ulp where a sum is made in another order
    known = fast.forward.recordings
    assert known.all, known.refusal
