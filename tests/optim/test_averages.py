"""Averages of models."""

import pytest

import mashal
from mashal import nn
from mashal.optim import swa_utils


def models(values, **arguments):
    model = nn.Linear(2, 1)
    averaged = swa_utils.AveragedModel(model, **arguments)
    for value in values:
        with mashal.no_grad():
            for p in model.parameters():
                p.fill_(value)
        averaged.update_parameters(model)
    return averaged.module.weight.tolist()[0]


def test_the_mean_of_all():
    assert models([1.0, 2.0, 6.0]) == [3.0, 3.0]


def test_the_exponential_average():
    assert models([1.0, 3.0], avg_fn=swa_utils.get_ema_avg_fn(0.5)) == [2.0, 2.0]
    assert models([1.0, 3.0], multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.5)) == [2.0, 2.0]


def test_statistics_of_batch_norms_are_computed_anew():
    norm = nn.BatchNorm1d(1)
    swa_utils.update_bn([mashal.tensor([[1.0], [3.0]]), [mashal.tensor([[5.0], [7.0]]), None]], norm)
    assert norm.running_mean.tolist() == [4.0]
    assert norm.momentum == 0.1


def test_a_decay_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"decay is 2\.0"):
        swa_utils.get_ema_avg_fn(2.0)
