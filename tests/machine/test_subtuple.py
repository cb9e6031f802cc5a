"""Items of sizes, which are asked for natively (machine.subtuple)."""

import pickle

import pytest

import mashal as torch


def test_a_slice_of_a_size_is_a_size():
    shape = torch.zeros(2, 3, 4).shape
    assert type(shape[1:]) is torch.Size and shape[1:] == (3, 4) and shape[::-1].numel() == 24


def test_an_item_of_a_size_is_a_number():
    shape = torch.zeros(2, 3, 4).shape
    assert (shape[0], shape[-1], shape[True]) == (2, 4, 3)


@pytest.mark.parametrize(("key", "error"), [(3, IndexError), ("a", TypeError), (1.0, TypeError)])
def test_what_is_no_index_of_a_size_is_refused(key, error):
    with pytest.raises(error):
        torch.zeros(2, 3, 4).shape[key]


def test_sizes_are_pickled():
    shape = torch.zeros(2, 3).shape
    assert pickle.loads(pickle.dumps(shape))[:1] == torch.Size([2])
