"""Convolutions and their transposes, against sums written out in numpy."""

from itertools import product

import numpy as np
import pytest

import mashal as torch
from mashal.nn import functional as F

RNG = np.random.default_rng(0)
FUNCTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSES = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def correlated(x, w, stride, padding, dilation, groups):
    """The definition, one window after the other; stride, padding, dilation: one number for all dimensions."""
    n, _, *space = x.shape
    outputs, own, *kernel = w.shape
    padded = np.pad(x, [(0, 0), (0, 0), *[(padding, padding)] * len(kernel)])
    out = [(m + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for m, k in zip(space, kernel)]
    y = np.zeros((n, outputs, *out))
    for o, place in product(range(outputs), product(*map(range, out))):
        first = o // (outputs // groups) * own
        window = [slice(p * stride, p * stride + dilation * (k - 1) + 1, dilation) for p, k in zip(place, kernel)]
        part = padded[(slice(None), slice(first, first + own), *window)]
        y[(slice(None), o, *place)] = (part * w[o]).reshape(n, -1).sum(1)
    return y


CASES = [(1, 0, 1, 1), (2, 1, 1, 1), (1, 2, 2, 1), (3, 1, 2, 2), (1, 0, 1, 4)]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), CASES)
def test_values(rank, stride, padding, dilation, groups):
    x = RNG.standard_normal((2, 4, *(7, 6, 5)[:rank]))
    w = RNG.standard_normal((8, 4 // groups, *(3, 2, 3)[:rank]))
    b = RNG.standard_normal(8)
    expected = correlated(x, w, stride, padding, dilation, groups) + b.reshape(8, *[1] * rank)
    arguments = torch.tensor(w), torch.tensor(b), stride, padding, dilation, groups
    assert np.allclose(FUNCTIONS[rank](torch.tensor(x), *arguments).numpy(), expected)
    assert np.allclose(FUNCTIONS[rank](torch.tensor(x[0]), *arguments).numpy(), expected[0])
    swapped = torch.tensor(x.swapaxes(0, -1).copy()).transpose(0, -1)
    assert np.allclose(FUNCTIONS[rank](swapped, *arguments).numpy(), expected)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), CASES)
def test_the_transpose_is_the_transpose(rank, stride, padding, dilation, groups):
    x = torch.tensor(RNG.standard_normal((2, 4, *(7, 6, 5)[:rank])))
    w = torch.tensor(RNG.standard_normal((8, 4 // groups, *(3, 2, 3)[:rank])))
    y = FUNCTIONS[rank](x, w, None, stride, padding, dilation, groups)
    g = torch.tensor(RNG.standard_normal(tuple(y.shape)))
    reach = [(n - 1) * stride - 2 * padding + dilation * (k - 1) + 1 for n, k in zip(y.shape[2:], w.shape[2:])]
    more = [n - r for n, r in zip(x.shape[2:], reach)]
    back = TRANSPOSES[rank](g, w, None, stride, padding, more, groups, dilation)
    assert back.shape == x.shape
    assert np.isclose((y * g).sum().item(), (x * back).sum().item())


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), CASES)
def test_derivatives(stride, padding, dilation, groups):
    x = torch.tensor(RNG.standard_normal((2, 4, 6)), requires_grad=True)
    w = torch.tensor(RNG.standard_normal((4, 4 // groups, 3)), requires_grad=True)
    b = torch.tensor(RNG.standard_normal(4), requires_grad=True)

    def forward(x, w, b):
        return F.conv1d(x, w, b, stride, padding, dilation, groups)

    def backward(x, w, b):
        return F.conv_transpose1d(x, w, b.repeat(4 // groups)[: w.shape[1] * groups], stride, 0, 0, groups, dilation)

    for function in forward, backward:
        assert torch.autograd.gradcheck(function, (x, w, b))
        assert torch.autograd.gradgradcheck(function, (x, w, b))


def test_padding_by_name():
    x, w = torch.tensor(RNG.standard_normal((1, 2, 6))), torch.tensor(RNG.standard_normal((3, 2, 4)))
    same = F.conv1d(x, w, padding="same")
    assert same.shape == (1, 3, 6)
    assert np.allclose(same.numpy(), F.conv1d(F.pad(x, (1, 2)), w).numpy())
    assert F.conv1d(x, w, padding="valid").shape == (1, 3, 3)
    with pytest.raises(RuntimeError, match="strided"):
        F.conv1d(x, w, padding="same", stride=2)


def test_nothing_in_the_batch():
    w = torch.ones(3, 2, 2, requires_grad=True)
    y = F.conv1d(torch.ones(0, 2, 5), w, torch.ones(3))
    assert y.shape == (0, 3, 4)
    y.sum().backward()
    assert w.grad.tolist() == torch.zeros(3, 2, 2).tolist()


def test_half_precision_and_integers():
    assert F.conv1d(torch.ones(1, 3, 4).half(), torch.ones(1, 3, 2).half()).tolist() == [[[6.0] * 3]]
    assert F.conv1d(torch.ones(1, 3, 4).long(), torch.ones(1, 3, 2).long()).tolist() == [[[6] * 3]]


def test_the_name_of_the_node():
    x, w = torch.ones(1, 1, 4, 4), torch.ones(1, 1, 2, 2, requires_grad=True)
    assert type(F.conv2d(x, w).grad_fn).__name__ == "ConvolutionBackward0"
    assert type(F.conv_transpose2d(x, w, torch.ones(1)).grad_fn).__name__ == "ConvolutionBackward0"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([2, 3, 5], [4, 2, 3]), "expected input.* to have 2 channels, but got 3"),
        (([2, 3, 2], [4, 3, 3]), "Kernel size can't be greater"),
        (([3], [4, 3, 3]), "Expected 2D .unbatched. or 3D"),
        (([2, 3, 5], [4, 3]), "must be 3-D"),
        (([2, 3, 5], [4, 3, 3], [3]), "expected bias to be 1-dimensional with 4 elements"),
        (([2, 3, 5], [4, 3, 3], None, 0), "non-positive stride"),
        (([2, 3, 5], [4, 3, 3], None, 1, -1), "negative padding"),
        (([2, 3, 5], [4, 3, 3], None, (1, 1)), "2 values"),
        (([2, 3, 5], [4, 3, 3], None, 1, "all"), "'same', 'valid'"),
        (([2, 3, 5], [4, 3, 3], None, 1, 0, 1, 3), "divisible by groups"),
    ],
)
def test_bad_input(arguments, says):
    tensors = [torch.ones(a) if isinstance(a, list) else a for a in arguments]
    with pytest.raises(RuntimeError, match=says):
        F.conv1d(*tensors)


def test_dtypes_must_agree():
    with pytest.raises(RuntimeError, match="same dtype"):
        F.conv1d(torch.ones(1, 1, 3), torch.ones(1, 1, 2).double())
    with pytest.raises(TypeError):
        F.conv1d([1.0], torch.ones(1, 1, 2))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_layers_with_values_around(mode):
    layer = torch.nn.Conv1d(1, 1, 3, padding=1, padding_mode=mode, bias=False)
    x = torch.arange(5.0).reshape(1, 1, 5)
    assert np.allclose(layer(x).detach().numpy(), F.conv1d(F.pad(x, (1, 1), mode=mode), layer.weight).detach().numpy())


def test_texts_of_layers():
    nn = torch.nn
    assert repr(nn.Conv2d(3, 6, 5)) == "Conv2d(3, 6, kernel_size=(5, 5), stride=(1, 1))"
    assert repr(nn.Conv1d(2, 4, 3, 2, 1, 2, 2, False, "circular")) == (
        "Conv1d(2, 4, kernel_size=(3,), stride=(2,), padding=(1,), dilation=(2,), groups=2, bias=False, padding_mode=circular)"
    )
    assert repr(nn.Conv1d(2, 4, 3, padding="same")) == "Conv1d(2, 4, kernel_size=(3,), stride=(1,), padding=same)"
    assert repr(nn.ConvTranspose1d(2, 4, 3, 2, output_padding=1)) == (
        "ConvTranspose1d(2, 4, kernel_size=(3,), stride=(2,), output_padding=(1,))"
    )


def test_the_size_a_transpose_should_have():
    layer = torch.nn.ConvTranspose1d(1, 1, 3, stride=2)
    assert [layer(torch.ones(1, 1, 4), output_size=[n]).shape[-1] for n in (9, 10)] == [9, 10]
    with pytest.raises(ValueError, match="valid sizes"):
        layer(torch.ones(1, 1, 4), output_size=[11])
