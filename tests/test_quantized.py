"""Quantized tensors: rounded to even, cut off at the ends, moved around, turned back."""

import pytest

import mashal as torch


def test_numbers_are_rounded_to_even_and_cut_off():
    x = torch.tensor([0.05, 0.15, 0.25, -0.05])
    assert torch.quantize_per_tensor(x, 0.1, 0, torch.qint32).int_repr().tolist() == [0, 2, 2, 0]
    assert torch.quantize_per_tensor(torch.tensor([200.0, -200.0]), 1.0, 0, torch.qint8).int_repr().tolist() == [
        127,
        -128,
    ]


def test_scale_and_zero_point_are_kept_where_it_is_moved():
    q = torch.quantize_per_tensor(torch.arange(6.0).reshape(2, 3), 0.5, 3, torch.quint8)
    moved = q.t()[1]
    assert (moved.q_scale(), moved.q_zero_point(), moved.qscheme()) == (0.5, 3, torch.per_tensor_affine)
    assert moved.dequantize().tolist() == [1, 4]


def test_channels_have_scales_of_their_own():
    scales, zeros = torch.tensor([0.1, 0.5]), torch.tensor([0, 1])
    q = torch.quantize_per_channel(torch.ones(2, 2), scales, zeros, 1, torch.qint8)
    assert q.int_repr().tolist() == [[10, 3], [10, 3]]
    assert torch.allclose(q.dequantize(), torch.ones(2, 2))
    with pytest.raises(RuntimeError, match="one for each channel"):
        q.q_scale()


def test_nothing_is_computed_in_them():
    q = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8)
    with pytest.raises(NotImplementedError, match=r"dequantize\(\) gives a floating tensor"):
        q + q
    with pytest.raises(RuntimeError, match="dequantize"):
        q.float()


def test_other_tensors_have_no_scale():
    with pytest.raises(NotImplementedError, match="not quantized"):
        torch.ones(1).q_scale()
    assert torch.ones(1, dtype=torch.int32).dequantize().dtype is torch.float32


def test_faked_gradients_pass_where_nothing_was_cut_off():
    x = torch.tensor([0.26, 9.0], requires_grad=True)
    y = torch.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 50)
    assert torch.allclose(y, torch.tensor([0.3, 5.0]))
    y.sum().backward()
    assert x.grad.tolist() == [1, 0]
