"""nn.init: first values, their bounds and their errors; the exact draws are held against PyTorch in parity."""

import math

import pytest

import mashal as torch
from mashal import nn
from mashal.nn import init


@pytest.mark.parametrize(
    ("name", "gain"),
    [("linear", 1), ("conv_transpose3d", 1), ("sigmoid", 1), ("tanh", 5 / 3), ("relu", math.sqrt(2)), ("selu", 0.75)],
)
def test_gains(name, gain):
    assert init.calculate_gain(name) == gain


def test_the_gain_of_leaky_relu_depends_on_its_slope():
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / (1 + 0.01**2))
    assert init.calculate_gain("leaky_relu", 1) == 1.0
    with pytest.raises(ValueError, match="slope must be a number, not True"):
        init.calculate_gain("leaky_relu", True)


def test_an_unknown_nonlinearity_is_refused():
    with pytest.raises(ValueError, match="no gain is known for 'what'"):
        init.calculate_gain("what")


def test_constants():
    x = torch.empty(2, 3)
    assert init.ones_(x).tolist() == [[1.0] * 3] * 2
    assert init.zeros_(x).tolist() == [[0.0] * 3] * 2
    assert init.constant_(x, 0.5).tolist() == [[0.5] * 3] * 2
    assert init.eye_(x).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def test_dirac_passes_channels_through():
    weight = init.dirac_(torch.empty(4, 2, 3), groups=2)
    assert weight.nonzero().tolist() == [[0, 0, 1], [1, 1, 1], [2, 0, 1], [3, 1, 1]]


@pytest.mark.parametrize(
    ("function", "bound"),
    [(init.xavier_uniform_, math.sqrt(6 / (30 + 20))), (init.kaiming_uniform_, math.sqrt(6 / 30))],
)
def test_uniform_draws_stay_inside_their_bounds(function, bound):
    x = function(torch.empty(20, 30))
    assert 0.8 * bound < float(x.abs().max()) <= bound


@pytest.mark.parametrize(
    ("function", "deviation"),
    [(init.xavier_normal_, math.sqrt(2 / 500)), (init.kaiming_normal_, math.sqrt(2 / 300))],
)
def test_normal_draws_have_their_deviation(function, deviation):
    x = function(torch.empty(200, 300))
    assert abs(float(x.std()) / deviation - 1) < 0.05


def test_fan_out_is_what_goes_back():
    x = init.kaiming_normal_(torch.empty(400, 100), mode="fan_out", nonlinearity="relu")
    assert abs(float(x.std()) / math.sqrt(2 / 400) - 1) < 0.05


@pytest.mark.parametrize("bounds", [(-2, 2), (-0.1, 0.1), (3, 4)])
def test_truncated_draws_stay_inside(bounds):
    x = init.trunc_normal_(torch.empty(1000), a=bounds[0], b=bounds[1])
    assert bounds[0] <= float(x.min()) <= float(x.max()) <= bounds[1]


@pytest.mark.parametrize("shape", [(5, 7), (7, 5), (4, 2, 3)])
def test_orthogonal_rows_or_columns(shape):
    x = init.orthogonal_(torch.empty(shape), gain=2).reshape(shape[0], -1)
    product = x @ x.T if x.shape[0] < x.shape[1] else x.T @ x
    assert float((product - 4 * torch.eye(len(product))).abs().max()) < 1e-5


def test_sparse_columns_have_their_zeros():
    assert (init.sparse_(torch.empty(10, 4), 0.25) == 0).sum(0).tolist() == [3, 3, 3, 3]


def test_nothing_is_recorded():
    p = nn.Parameter(torch.empty(3, 3))
    for fill in (init.xavier_uniform_, init.orthogonal_, init.trunc_normal_, init.eye_, init.ones_):
        assert fill(p) is p
        assert p.is_leaf
        assert p.requires_grad


def test_the_same_seed_gives_the_same_values():
    first = init.xavier_normal_(torch.empty(3, 4), generator=torch.Generator().manual_seed(5))
    again = init.xavier_normal_(torch.empty(3, 4), generator=torch.Generator().manual_seed(5))
    assert first.tolist() == again.tolist()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: init.xavier_uniform_(torch.empty(3)), r"at least 2 dimensions; this tensor is \(3,\)"),
        (lambda: init.kaiming_uniform_(torch.empty(3, 3), mode="in"), "'fan_in' or 'fan_out', not 'in'"),
        (lambda: init.eye_(torch.empty(3)), r"must have 2 dimensions; it is \(3,\)"),
        (lambda: init.dirac_(torch.empty(3, 3)), "must have 3 or 4 or 5 dimensions"),
        (lambda: init.dirac_(torch.empty(3, 3, 3), groups=2), "3 output channels cannot be divided into 2 groups"),
        (lambda: init.orthogonal_(torch.empty(3)), "at least 2 dimensions"),
        (lambda: init.sparse_(torch.empty(3), 0.1), "must have 2 dimensions"),
        (lambda: init.trunc_normal_(torch.empty(3), std=0), "std must be positive"),
    ],
)
def test_bad_arguments_are_named(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_a_layer_without_weights_warns():
    with pytest.warns(UserWarning, match="zero-element"):
        nn.Linear(2, 0)


def test_old_names_warn():
    with pytest.warns(FutureWarning, match="nn.init.uniform is now nn.init.uniform_"):
        init.uniform(torch.empty(2))
