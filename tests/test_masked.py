"""Masked operations look at what the mask lets through only."""

import pytest

import mashal as torch
from mashal import masked
from mashal.testing import assert_close

DATA = torch.tensor([[1.0, 5.0, 3.0], [4.0, 2.0, 6.0]])
MASK = torch.tensor([[True, False, True], [False, False, False]])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("sum", [4.0, 0.0]), ("prod", [3.0, 1.0]), ("amax", [3.0, -float("inf")]), ("amin", [1.0, float("inf")]),
     ("mean", [2.0, float("nan")]), ("var", [2.0, float("nan")]), ("median", [1.0, float("nan")]), ("argmax", [2.0, 0.0])],
)  # fmt: skip
def test_reductions_and_what_stands_for_nothing(name, wanted):
    assert_close(getattr(masked, name)(DATA, 1, mask=MASK), torch.tensor(wanted), equal_nan=True)


def test_gradients_do_not_reach_what_is_masked_out():
    x = DATA.clone().requires_grad_()
    masked.mean(x, mask=MASK).backward()
    assert_close(x.grad, MASK * 0.5)


def test_a_mask_broadcasts():
    assert masked.sum(DATA, 1, mask=torch.tensor([True, False, False])).tolist() == [1, 4]


def test_means_of_integers_need_a_dtype():
    with pytest.raises(ValueError, match="say dtype="):
        masked.mean(DATA.int())
    assert masked.mean(DATA.int(), dtype=torch.float32).item() == 3.5


def test_a_masked_tensor_adds_and_sums():
    x = masked.masked_tensor(DATA, MASK)
    y = (x + x).sum(1)
    assert y.get_mask().tolist() == [True, False]
    assert y.to_tensor(0.0).tolist() == [8, 0]


def test_masked_tensors_of_different_masks_do_not_mix():
    with pytest.raises(ValueError, match="different masks"):
        masked.masked_tensor(DATA, MASK) + masked.masked_tensor(DATA, ~MASK)


def test_a_masked_tensor_prints_what_is_there():
    assert "--" in repr(masked.masked_tensor(DATA, MASK))
