"""Layers: what they print, keep and refuse. Their numbers are held against PyTorch in parity."""

import pytest

import mashal as torch
from mashal import nn
from mashal.nn import functional as F

PRINTED = [
    (lambda: nn.Identity(), "Identity()"),
    (lambda: nn.Linear(2, 3), "Linear(in_features=2, out_features=3, bias=True)"),
    (lambda: nn.Linear(2, 3, bias=False), "Linear(in_features=2, out_features=3, bias=False)"),
    (lambda: nn.Bilinear(1, 2, 3), "Bilinear(in1_features=1, in2_features=2, out_features=3, bias=True)"),
    (lambda: nn.Flatten(), "Flatten(start_dim=1, end_dim=-1)"),
    (lambda: nn.Unflatten(1, (2, 3)), "Unflatten(dim=1, unflattened_size=(2, 3))"),
    (lambda: nn.Dropout(0.2), "Dropout(p=0.2, inplace=False)"),
    (lambda: nn.Dropout2d(inplace=True), "Dropout2d(p=0.5, inplace=True)"),
    (lambda: nn.Embedding(3, 2), "Embedding(3, 2)"),
    (lambda: nn.Embedding(3, 2, padding_idx=-1, max_norm=1.0), "Embedding(3, 2, padding_idx=2, max_norm=1.0)"),
    (
        lambda: nn.Embedding(3, 2, norm_type=1.0, scale_grad_by_freq=True, sparse=True),
        "Embedding(3, 2, norm_type=1.0, scale_grad_by_freq=True, sparse=True)",
    ),
    (lambda: nn.LayerNorm(3), "LayerNorm((3,), eps=1e-05, elementwise_affine=True, bias=True)"),
    (lambda: nn.LayerNorm((2, 3), bias=False), "LayerNorm((2, 3), eps=1e-05, elementwise_affine=True, bias=False)"),
    (lambda: nn.RMSNorm(3), "RMSNorm((3,), eps=None, elementwise_affine=True)"),
    (lambda: nn.GroupNorm(1, 3), "GroupNorm(1, 3, eps=1e-05, affine=True, bias=True)"),
    (lambda: nn.LocalResponseNorm(2), "LocalResponseNorm(2, alpha=0.0001, beta=0.75, k=1.0)"),
    (
        lambda: nn.BatchNorm1d(3),
        "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)",
    ),
    (
        lambda: nn.InstanceNorm2d(3),
        "InstanceNorm2d(3, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=False)",
    ),
    (lambda: nn.ReLU(), "ReLU()"),
    (lambda: nn.ReLU(inplace=True), "ReLU(inplace=True)"),
    (lambda: nn.ReLU6(True), "ReLU6(inplace=True)"),
    (lambda: nn.RReLU(0.1, 0.2, True), "RReLU(lower=0.1, upper=0.2, inplace=True)"),
    (lambda: nn.Hardtanh(-2, 3, True), "Hardtanh(min_val=-2, max_val=3, inplace=True)"),
    (lambda: nn.ELU(2.0, True), "ELU(alpha=2.0, inplace=True)"),
    (lambda: nn.CELU(), "CELU(alpha=1.0)"),
    (lambda: nn.SELU(), "SELU()"),
    (lambda: nn.GELU("tanh"), "GELU(approximate='tanh')"),
    (lambda: nn.GLU(), "GLU(dim=-1)"),
    (lambda: nn.Hardshrink(), "Hardshrink(0.5)"),
    (lambda: nn.Softshrink(), "Softshrink(0.5)"),
    (lambda: nn.Hardsigmoid(True), "Hardsigmoid()"),
    (lambda: nn.Hardswish(), "Hardswish()"),
    (lambda: nn.LeakyReLU(0.2, True), "LeakyReLU(negative_slope=0.2, inplace=True)"),
    (lambda: nn.LogSigmoid(), "LogSigmoid()"),
    (lambda: nn.Softmax(1), "Softmax(dim=1)"),
    (lambda: nn.LogSoftmax(), "LogSoftmax(dim=None)"),
    (lambda: nn.Softmin(0), "Softmin(dim=0)"),
    (lambda: nn.Softmax2d(), "Softmax2d()"),
    (lambda: nn.Mish(True), "Mish(inplace=True)"),
    (lambda: nn.SiLU(), "SiLU()"),
    (lambda: nn.PReLU(3), "PReLU(num_parameters=3)"),
    (lambda: nn.Softplus(), "Softplus(beta=1.0, threshold=20.0)"),
    (lambda: nn.Threshold(1, 2), "Threshold(threshold=1, value=2)"),
    (lambda: nn.CrossEntropyLoss(weight=torch.ones(2)), "CrossEntropyLoss()"),
    (
        lambda: nn.TripletMarginWithDistanceLoss(),
        "TripletMarginWithDistanceLoss(\n  (distance_function): PairwiseDistance()\n)",
    ),
]


@pytest.mark.parametrize(("make", "text"), PRINTED, ids=[text.split("\n")[0] for _, text in PRINTED])
def test_a_layer_prints(make, text):
    assert repr(make()) == text


@pytest.mark.parametrize(
    ("make", "keys"),
    [
        (lambda: nn.Linear(2, 3, bias=False), ["weight"]),
        (lambda: nn.LayerNorm(3, bias=False), ["weight"]),
        (lambda: nn.LayerNorm(3, elementwise_affine=False), []),
        (lambda: nn.RMSNorm(3), ["weight"]),
        (lambda: nn.GroupNorm(1, 3, affine=False), []),
        (lambda: nn.BatchNorm1d(3, affine=False), ["running_mean", "running_var", "num_batches_tracked"]),
        (lambda: nn.BatchNorm1d(3, track_running_stats=False), ["weight", "bias"]),
        (lambda: nn.BatchNorm1d(3, bias=False, track_running_stats=False), ["weight"]),
        (lambda: nn.InstanceNorm1d(3), []),
        (lambda: nn.PReLU(), ["weight"]),
        (lambda: nn.CrossEntropyLoss(weight=torch.ones(2)), ["weight"]),
        (lambda: nn.CrossEntropyLoss(), []),
        (lambda: nn.BCEWithLogitsLoss(pos_weight=torch.ones(2)), ["pos_weight"]),
    ],
)
def test_a_layer_saves(make, keys):
    assert list(make().state_dict()) == keys


# ---------------------------------------------------------------- what they compute
def test_linear():
    layer = nn.Linear(2, 3)
    layer.load_state_dict({"weight": torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), "bias": torch.ones(3)})
    assert layer(torch.tensor([[2.0, 3.0]])).tolist() == [[3.0, 4.0, 6.0]]


def test_the_draws_of_linear_stay_inside_their_bound():
    layer = nn.Linear(100, 50)
    assert layer.weight.abs().max().item() <= 0.1
    assert layer.bias.abs().max().item() <= 0.1


def test_layers_take_device_and_dtype():
    layer = nn.Linear(2, 3, device="cpu", dtype=torch.float64)
    assert layer.weight.dtype == layer.bias.dtype == torch.float64
    assert nn.BatchNorm1d(2, dtype=torch.float64).running_mean.dtype == torch.float64


def test_flatten_and_unflatten():
    assert nn.Flatten()(torch.ones(2, 3, 4)).shape == (2, 12)
    assert nn.Unflatten(1, (3, -1))(torch.ones(2, 12)).shape == (2, 3, 4)


def test_dropout_does_nothing_in_evaluation():
    assert nn.Dropout(0.9).eval()(torch.ones(5)).tolist() == [1.0] * 5


def test_dropout_scales_what_it_keeps():
    assert set(nn.Dropout(0.5)(torch.ones(100)).tolist()) == {0.0, 2.0}


def test_embedding_looks_up_rows():
    layer = nn.Embedding.from_pretrained(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert layer(torch.tensor([[1, 0]])).tolist() == [[[3.0, 4.0], [1.0, 2.0]]]
    assert not layer.weight.requires_grad


def test_the_padding_row_is_zero_and_gets_no_gradient():
    layer = nn.Embedding(3, 2, padding_idx=1)
    assert layer.weight[1].tolist() == [0.0, 0.0]
    layer(torch.tensor([0, 1])).sum().backward()
    assert layer.weight.grad.tolist() == [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]


def test_max_norm_shortens_the_rows_looked_up():
    layer = nn.Embedding.from_pretrained(torch.tensor([[3.0, 4.0], [6.0, 8.0]]), max_norm=1.0)
    row = layer(torch.tensor([0]))[0].tolist()
    assert row == pytest.approx([0.6, 0.8])
    assert layer.weight[1].tolist() == [6.0, 8.0]


def test_batch_norm_keeps_running_statistics():
    layer = nn.BatchNorm1d(1, momentum=0.5)
    layer(torch.tensor([[1.0], [3.0]]))
    assert layer.running_mean.tolist() == [1.0]
    assert layer.running_var.tolist() == [1.5]
    assert layer.num_batches_tracked.item() == 1


def test_batch_norm_without_momentum_averages_all_batches():
    layer = nn.BatchNorm1d(1, momentum=None)
    layer(torch.tensor([[1.0], [3.0]]))
    layer(torch.tensor([[5.0], [7.0]]))
    assert layer.running_mean.tolist() == [4.0]


def test_batch_norm_in_evaluation_uses_them():
    layer = nn.BatchNorm1d(1, eps=3.0).eval()
    assert layer(torch.tensor([[2.0]])).tolist() == [[1.0]]
    assert layer.num_batches_tracked.item() == 0


def test_layer_norm_has_mean_zero():
    assert abs(nn.LayerNorm(4)(torch.tensor([1.0, 2.0, 3.0, 4.0])).mean().item()) < 1e-6


def test_an_inplace_activation_writes_over_its_input():
    x = torch.tensor([-1.0, 1.0])
    assert nn.ReLU(inplace=True)(x) is x
    assert x.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    "layer",
    [nn.ReLU6, nn.Hardtanh, nn.ELU, nn.CELU, nn.SELU, nn.LeakyReLU, nn.RReLU, nn.Hardsigmoid, nn.Hardswish, nn.SiLU, nn.Mish,
     lambda inplace: nn.Threshold(0.1, 0.0, inplace)],
)  # fmt: skip
def test_an_inplace_activation_has_the_gradient_of_a_new_one(layer):
    w = torch.tensor([-1.5, 0.5, 2.0], requires_grad=True)
    for inplace in (False, True):
        layer(inplace=inplace).eval()(w * 2).sum().backward()
    once = torch.autograd.grad(layer(inplace=False).eval()(w * 2).sum(), w)[0]
    assert w.grad.tolist() == (once * 2).tolist()


def test_softmax_over_channels():
    y = nn.Softmax2d()(torch.ones(1, 2, 3, 3))
    assert y[0, :, 0, 0].tolist() == [0.5, 0.5]


def test_softmax_without_dim_warns():
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax"):
        assert nn.Softmax()(torch.ones(1, 2)).tolist() == [[0.5, 0.5]]


def test_old_spellings_of_reduction_warn():
    with pytest.warns(UserWarning, match="please use reduction='sum' instead"):
        assert nn.MSELoss(size_average=False).reduction == "sum"
    with pytest.warns(UserWarning, match="reduction='none'"):
        assert nn.MSELoss(reduce=False).reduction == "none"


# ---------------------------------------------------------------- losses by hand
def test_cross_entropy_of_equal_logits():
    loss = nn.CrossEntropyLoss()(torch.zeros(2, 4), torch.tensor([0, 3]))
    assert loss.item() == pytest.approx(1.3862944)


@pytest.mark.parametrize(("reduction", "value"), [("mean", 2.5), ("sum", 5.0), ("none", [1.0, 4.0])])
def test_reductions(reduction, value):
    assert nn.MSELoss(reduction=reduction)(torch.zeros(2), torch.tensor([1.0, 2.0])).tolist() == value


def test_a_weighted_mean_divides_by_the_weights():
    loss = F.mse_loss(torch.zeros(2), torch.tensor([1.0, 2.0]), weight=torch.tensor([3.0, 1.0]))
    assert loss.item() == 7.0 / 4.0


def test_smooth_l1_with_beta_zero_is_l1():
    assert F.smooth_l1_loss(torch.zeros(2), torch.tensor([1.0, 3.0]), beta=0.0).item() == 2.0


def test_targets_of_another_shape_warn():
    with pytest.warns(UserWarning, match=r"target \(3,\) has another shape than input \(2, 3\)"):
        F.mse_loss(torch.ones(2, 3), torch.ones(3))


# ---------------------------------------------------------------- bad input
REFUSED = [
    (lambda: nn.Dropout(1.5), ValueError, "has to be between 0 and 1, but got 1.5"),
    (lambda: F.dropout(torch.ones(1), -0.5), ValueError, "dropout: dropout probability has to be between 0 and 1"),
    (lambda: F.dropout1d(torch.ones(1)), RuntimeError, r"dropout1d: input \(1,\) has 1 dimensions"),
    (lambda: nn.Embedding(3, 2, padding_idx=3), AssertionError, "padding_idx 3 is outside the 3 rows"),
    (lambda: nn.Embedding(3, 2, _weight=torch.ones(2, 2)), AssertionError, r"the table given is \(2, 2\)"),
    (lambda: nn.GroupNorm(2, 3), ValueError, r"num_channels \(3\) must be divisible by num_groups \(2\)"),
    (lambda: nn.BatchNorm1d(3)(torch.ones(3)), ValueError, r"expected 2D or 3D input \(got 1D input"),
    (lambda: nn.BatchNorm2d(3)(torch.ones(3, 3)), ValueError, r"expected 4D input \(got 2D input"),
    (lambda: nn.BatchNorm1d(3)(torch.ones(1, 3)), ValueError, "more than 1 value per channel when training"),
    (lambda: nn.Unflatten(1, 3), TypeError, "must be a tuple of integers, not a int"),
    (lambda: nn.Unflatten(1, (1.0,)), TypeError, "at position 0 is a float"),
    (lambda: nn.Hardtanh(1, -1), AssertionError, "max_val -1 must be greater than min_val 1"),
    (lambda: nn.Softmax2d()(torch.ones(2, 3)), ValueError, "expected input to be 3D or 4D"),
    (lambda: nn.Bilinear(0, 1, 1), ValueError, "in1_features must be > 0, but got 0"),
    (lambda: nn.MultiMarginLoss(p=3), ValueError, "p must be 1 or 2, not 3"),
    (lambda: nn.TripletMarginLoss(margin=0), ValueError, "margin must be greater than 0, got 0"),
    (
        lambda: F.mse_loss(torch.ones(1), torch.ones(1), reduction="x"),
        ValueError,
        "x is not a valid value for reduction",
    ),
    (lambda: F.mse_loss(torch.ones(2), torch.ones(2), weight=torch.ones(1)), ValueError, r"weight \(1,\) must have"),
    (lambda: F.binary_cross_entropy(torch.ones(2), torch.ones(3)), ValueError, r"target \(3,\) must have the shape"),
    (lambda: F.huber_loss(torch.ones(1), torch.ones(1), delta=0.0), RuntimeError, "delta must be positive; it is 0.0"),
    (lambda: F.smooth_l1_loss(torch.ones(1), torch.ones(1), beta=-1.0), RuntimeError, "must not be negative"),
    (lambda: nn.PixelShuffle(2)(torch.ones(1, 3, 2, 2)), RuntimeError, "square of upscale_factor, 4"),
    (lambda: nn.utils.rnn.pad_sequence([]), RuntimeError, "empty list of sequences"),
    (
        lambda: nn.utils.rnn.pad_sequence([torch.ones(2, 3), torch.ones(3, 2)]),
        RuntimeError,
        r"sequence 1 is \(3, 2\); except in dim 0 it must match sequence 0, \(2, 3\)",
    ),
    (
        lambda: F.gaussian_nll_loss(torch.ones(2), torch.ones(2), -torch.ones(2)),
        ValueError,
        "var has negative entries",
    ),
    (
        lambda: F.embedding(torch.tensor([0]), torch.ones(2, 2), padding_idx=5),
        AssertionError,
        "padding_idx 5 is outside the 2 rows",
    ),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSED, ids=[text for _, _, text in REFUSED])
def test_bad_input_is_named(call, error, text):
    with pytest.raises(error, match=text):
        call()


# ---------------------------------------------------------------- utils
def parameter(*gradient):
    p = nn.Parameter(torch.zeros(len(gradient)))
    p.grad = torch.tensor(gradient)
    return p


def test_clipping_by_norm_scales_all_gradients_together():
    p, q = parameter(3.0), parameter(4.0)
    assert nn.utils.clip_grad_norm_([p, q], 1.0).item() == 5.0
    assert p.grad.item() == pytest.approx(0.6)
    assert q.grad.item() == pytest.approx(0.8)


def test_clipping_leaves_small_gradients():
    p = parameter(0.25, 0.5)
    nn.utils.clip_grad_norm_(p, 10.0)
    assert p.grad.tolist() == [0.25, 0.5]


def test_the_largest_magnitude_is_a_norm():
    assert nn.utils.clip_grad_norm_([parameter(1.0, -7.0)], 100.0, norm_type=float("inf")).item() == 7.0


def test_clipping_nothing_warns_and_is_zero():
    with pytest.warns(UserWarning, match="no gradient clipping will occur"):
        assert nn.utils.clip_grad_norm_([], 1.0).item() == 0.0


def test_a_norm_that_is_not_finite_is_an_error_if_asked_for():
    with pytest.raises(RuntimeError, match="error_if_nonfinite=False"):
        nn.utils.clip_grad_norm_([parameter(float("inf"))], 1.0, error_if_nonfinite=True)


def test_clipping_by_value():
    p = parameter(-3.0, 0.5)
    nn.utils.clip_grad_value_([p], 1.0)
    assert p.grad.tolist() == [-1.0, 0.5]


def test_parameters_as_a_vector_and_back():
    layer = nn.Linear(2, 1)
    vector = nn.utils.parameters_to_vector(layer.parameters())
    assert vector.shape == (3,)
    nn.utils.vector_to_parameters(torch.tensor([1.0, 2.0, 3.0]), layer.parameters())
    assert layer.weight.tolist() == [[1.0, 2.0]]
    assert layer.bias.tolist() == [3.0]


@pytest.mark.parametrize(("layer", "shape", "result"), [
    (nn.MaxPool1d(2), (1, 2, 6), (1, 2, 3)),
    (nn.MaxPool2d(3, 2, 1), (1, 2, 9, 9), (1, 2, 5, 5)),
    (nn.MaxPool3d(2), (2, 4, 4, 4), (2, 2, 2, 2)),
    (nn.AvgPool1d(2), (1, 2, 6), (1, 2, 3)),
    (nn.AvgPool2d(2, ceil_mode=True), (1, 2, 5, 5), (1, 2, 3, 3)),
    (nn.AdaptiveAvgPool2d((1, None)), (1, 2, 5, 6), (1, 2, 1, 6)),
    (nn.AdaptiveMaxPool2d(3), (1, 2, 5, 6), (1, 2, 3, 3)),
    (nn.LPPool2d(2, 2), (1, 2, 4, 4), (1, 2, 2, 2)),
    (nn.FractionalMaxPool2d(2, output_ratio=0.5), (1, 2, 8, 8), (1, 2, 4, 4)),
    (nn.Upsample(scale_factor=2, mode="bilinear"), (1, 2, 3, 3), (1, 2, 6, 6)),
    (nn.UpsamplingNearest2d(size=5), (1, 2, 3, 3), (1, 2, 5, 5)),
    (nn.Unfold(2), (1, 2, 3, 3), (1, 8, 4)),
    (nn.Fold((3, 3), 2), (1, 8, 4), (1, 2, 3, 3)),
    (nn.ReflectionPad2d((1, 0, 2, 1)), (1, 2, 4, 4), (1, 2, 7, 5)),
    (nn.ZeroPad1d(1), (1, 2, 4), (1, 2, 6)),
    (nn.CircularPad3d(1), (1, 1, 2, 2, 2), (1, 1, 4, 4, 4)),
])  # fmt: skip
def test_layers_over_space_give_these_shapes(layer, shape, result):
    assert tuple(layer(torch.ones(shape)).shape) == result


def test_what_was_pooled_is_put_back_where_it_was():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    y, places = nn.MaxPool2d(2, return_indices=True)(x)
    assert nn.MaxUnpool2d(2)(y, places)[0, 0].tolist() == [[0, 0, 0, 0], [0, 5, 0, 7], [0, 0, 0, 0], [0, 13, 0, 15]]
