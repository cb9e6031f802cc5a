"""Layers that learn their input's size."""

import copy

import pytest

import mashal as torch
from mashal import nn

LAYERS = {
    "LazyLinear": (lambda: nn.LazyLinear(3), (2, 5)),
    "LazyConv2d": (lambda: nn.LazyConv2d(4, 3, groups=2), (1, 2, 5, 5)),
    "LazyConvTranspose1d": (lambda: nn.LazyConvTranspose1d(4, 3), (1, 2, 5)),
    "LazyBatchNorm1d": (nn.LazyBatchNorm1d, (4, 3)),
    "LazyInstanceNorm2d": (lambda: nn.LazyInstanceNorm2d(affine=True, track_running_stats=True), (2, 3, 4, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_lazy_layer_becomes_the_ordinary_one(name):
    make, shape = LAYERS[name]
    layer = make().double()
    copied, x = copy.deepcopy(layer), torch.ones(shape, dtype=torch.float64)
    assert layer.has_uninitialized_params()
    y = layer(x)
    assert type(layer).__name__ == name.removeprefix("Lazy") and y.dtype == torch.float64
    assert all(type(p) is nn.Parameter for p in layer.parameters())
    copied.load_state_dict(layer.state_dict())
    assert torch.equal(copied(x), layer(x))


def test_first_values_are_drawn_as_the_ordinary_layers():
    torch.manual_seed(0)
    lazy = nn.LazyLinear(3)
    lazy(torch.ones(2, 5))
    torch.manual_seed(0)
    assert torch.equal(lazy.weight, nn.Linear(5, 3).weight)


def test_what_has_no_shape_says_so():
    parameter = nn.LazyLinear(3).weight
    with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter"):
        parameter.shape
    with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter in add"):
        parameter + 1


def test_an_input_of_another_rank_is_an_error():
    with pytest.raises(RuntimeError, match=r"Expected 3D .unbatched. or 4D .batched. input to LazyConv2d"):
        nn.LazyConv2d(4, 3)(torch.ones(2, 3))
    with pytest.raises(ValueError, match="in_channels must be divisible by groups: 3 by 2"):
        nn.LazyConv2d(4, 3, groups=2)(torch.ones(1, 3, 5, 5))
