"""assert_close: what can be compared, and what is said of the rest."""

import numpy as np
import pytest

import mashal as torch
from mashal.testing import assert_close

ONES = torch.ones(2)

ALIKE = {
    "a tensor and a parameter": (torch.nn.Parameter(ONES), ONES),
    "arrays": (np.ones(2), np.ones(2)),
    "numbers": (1.0, np.float64(1)),
    "a tuple and a list": ((1, ONES), [1, ONES]),
    "mappings": ({"a": ONES}, {"a": ONES}),
    "sparse tensors": (ONES.to_sparse(), ONES.to_sparse()),
    "nothing": (None, None),
}


@pytest.mark.parametrize("name", ALIKE)
def test_things_of_a_kind_are_compared(name):
    assert_close(*ALIKE[name])


UNLIKE = {
    "an array and a tensor": (np.ones(2), ONES),
    "a tensor and an array": (ONES, np.ones(2)),
    "in a list": ([np.ones(2)], [ONES]),
    "a number and a tensor": (1.0, torch.tensor(1.0)),
    "a list and an array": ([1.0], np.ones(1)),
    "texts": ("a", "a"),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_things_of_two_kinds_are_refused(name):
    with pytest.raises(TypeError, match="No comparison pair was able to handle inputs of type"):
        assert_close(*UNLIKE[name])


def test_subclasses_are_refused_where_they_are_not_allowed():
    with pytest.raises(TypeError, match="No comparison pair"):
        assert_close(torch.nn.Parameter(ONES), ONES, allow_subclasses=False)
    assert_close(ONES, ONES, allow_subclasses=False)


def test_layouts_are_compared_unless_told_otherwise():
    with pytest.raises(AssertionError, match="layout"):
        assert_close(ONES.to_sparse(), ONES)
    assert_close(ONES.to_sparse(), ONES, check_layout=False)
    with pytest.raises(AssertionError, match="Tensor-likes are not close"):
        assert_close(ONES.to_sparse(), ONES.to_sparse() * 2)
