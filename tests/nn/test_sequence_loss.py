"""CTCLoss, AdaptiveLogSoftmaxWithLoss, LinearCrossEntropyLoss, EmbeddingBag: what is particular to them."""

import itertools
import math

import pytest

import mashal as torch
from mashal import nn
from mashal.nn import functional as F


def spread(target, steps, blank=0):
    """All ways to spread labels over steps, by trying every sequence."""
    for path in itertools.product(range(3), repeat=steps):
        merged = [label for i, label in enumerate(path) if (i == 0 or label != path[i - 1]) and label != blank]
        if merged == target:
            yield path


@pytest.mark.parametrize("target", [[1], [1, 2], [1, 1], []])
def test_ctc_sums_over_all_ways(target):
    chances = torch.randn(4, 1, 3, dtype=torch.float64).softmax(-1)
    total = sum(math.prod(chances[t, 0, label].item() for t, label in enumerate(path)) for path in spread(target, 4))
    loss = F.ctc_loss(chances.log(), torch.tensor([target], dtype=torch.int64), [4], [len(target)], reduction="sum")
    assert loss.item() == pytest.approx(-math.log(total))


def test_a_target_that_is_too_long_is_infinitely_unlikely():
    x = torch.zeros(2, 1, 3, requires_grad=True)
    arguments = x.log_softmax(-1), torch.tensor([[1, 2, 1]]), [2], [3]
    assert F.ctc_loss(*arguments).item() == math.inf
    loss = F.ctc_loss(*arguments, zero_infinity=True)
    loss.backward()
    assert loss.item() == 0 and not x.grad.any()


@pytest.mark.parametrize(
    ("lengths", "blank", "error"),
    [
        (([5], [1]), 0, "at most 2"),
        (([2, 2], [1]), 0, "size batch_size 1, not 2"),
        (([2], [9]), 0, "at least 9"),
        (([2], [1]), 3, "label range"),
    ],
)
def test_lengths_and_labels_outside_are_errors(lengths, blank, error):
    with pytest.raises(RuntimeError, match=error):
        F.ctc_loss(torch.zeros(2, 1, 3), torch.tensor([[1, 2]]), *lengths, blank=blank)


def test_adaptive_log_softmax_is_a_distribution_and_its_own_loss():
    layer = nn.AdaptiveLogSoftmaxWithLoss(8, 20, cutoffs=[4, 10], div_value=2.0)
    x, target = torch.randn(30, 8), torch.arange(30) % 20
    everything = layer.log_prob(x)
    assert torch.allclose(everything.exp().sum(1), torch.ones(30), atol=1e-5)
    found = layer(x, target)
    assert torch.allclose(found.output, everything.gather(1, target.unsqueeze(1)).squeeze(1), atol=1e-5)
    assert torch.allclose(found.loss, -found.output.mean()) and torch.equal(layer.predict(x), everything.argmax(1))
    with pytest.raises(RuntimeError, match=r"Target values should be in \[0, 19\]"):
        layer(x[:1], torch.tensor([20]))
    with pytest.raises(ValueError, match="unique, positive"):
        nn.AdaptiveLogSoftmaxWithLoss(8, 20, cutoffs=[10, 4])


def test_linear_cross_entropy_is_both_in_turn():
    layer = nn.LinearCrossEntropyLoss(4, 3, out_features=(2,), bias=True)
    x, target = torch.randn(5, 4), torch.randint(0, 3, (5, 2))
    expected = F.cross_entropy(layer.linear(x).view(5, 3, 2), target)
    assert torch.allclose(layer(x, target), expected)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_of_a_row_and_with_offsets_are_the_same(mode):
    bag = nn.EmbeddingBag(10, 3, mode=mode, padding_idx=2)
    rows = torch.tensor([[1, 2, 4], [4, 3, 2]])
    a, b = bag(rows), bag(rows.flatten(), torch.tensor([0, 3]))
    c = bag(torch.cat([rows.flatten(), torch.tensor([7])]), torch.tensor([0, 3, 6]), None)
    assert torch.equal(a, b) and torch.equal(a, c[:2])
    assert torch.equal(bag(torch.tensor([2, 2, 1]), torch.tensor([0, 0, 2]))[:2], torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((torch.tensor([1, 2]), None), ValueError, "offsets has to be a 1D Tensor but got None"),
        ((torch.tensor([[1, 2]]), torch.tensor([0])), ValueError, "if input is 2D, then offsets has to be None"),
        ((torch.tensor([1, 2]), torch.tensor([1])), RuntimeError, r"offsets\[0\] has to be 0"),
        ((torch.tensor([1, 2]), torch.tensor([0, 5])), RuntimeError, "can not be greater than input's length 2"),
        ((torch.tensor([1, 99]), torch.tensor([0])), IndexError, "index 99 at position"),
    ],
)
def test_bags_that_cannot_be_are_errors(arguments, error, text):
    with pytest.raises(error, match=text):
        nn.EmbeddingBag(10, 3)(*arguments)
