"""topk of long rows, where only elements that can be among those kept are sorted."""

import pytest

import mashal as torch


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.int16, torch.uint8, torch.bfloat16])
@pytest.mark.parametrize("largest", [True, False])
def test_topk_of_a_long_row_is_the_begin_of_the_sorted_row(dtype, largest):
    x = (torch.randn(3, 5003) * 100).to(dtype)
    values, places = x.topk(20, largest=largest)
    assert torch.equal(values, x.sort(descending=largest).values[:, :20])
    assert torch.equal(values, x.gather(1, places))


def test_topk_of_equal_elements_takes_the_first():
    assert torch.equal(torch.ones(4000).topk(3).indices, torch.arange(3))


def test_nan_is_the_largest_in_a_long_row():
    x = torch.zeros(4000)
    x[1234], x[77] = float("nan"), float("inf")
    assert x.topk(2).indices.tolist() == [1234, 77]
