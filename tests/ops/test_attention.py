"""Attention as one kernel: values and gradients against the formula in doubles, whatever the blocks."""

import math

import numpy as np
import pytest

import mashal as torch
from mashal.autograd import gradcheck, gradgradcheck
from mashal.nn import functional as F

CASES = [  # lead, queries, keys, width, depth, causal, scale
    ((), 1, 1, 1, 1, False, None),
    ((3,), 5, 7, 8, 6, False, None),
    ((2, 3), 50, 50, 16, 16, True, None),
    ((2, 2), 49, 600, 33, 40, False, 0.3),  # two blocks of keys, rows and columns that fill no tile
    ((1, 2), 1100, 1100, 8, 8, True, None),  # three
    ((2, 1), 100, 30, 16, 4, True, -0.2),  # more queries than keys
    ((2, 1, 2), 17, 64, 80, 64, False, None),
]


def formula(q, k, v, g, causal, scale):
    """(result, gradients of q, k and v) in doubles."""
    q, k, v, g = (x.detach().numpy().astype(np.float64) for x in (q, k, v, g))
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = q @ np.swapaxes(k, -1, -2) * scale
    if causal:
        scores = np.where(np.arange(q.shape[-2])[:, None] >= np.arange(k.shape[-2]), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    slopes = g @ np.swapaxes(v, -1, -2)
    slopes = weights * (slopes - (slopes * weights).sum(-1, keepdims=True)) * scale
    return weights @ v, slopes @ k, np.swapaxes(slopes, -1, -2) @ q, np.swapaxes(weights, -1, -2) @ g


@pytest.mark.parametrize("dtype, digits", [(torch.float32, 3e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("lead, queries, keys, width, depth, causal, scale", CASES)
def test_attention_is_the_formula(lead, queries, keys, width, depth, causal, scale, dtype, digits):
    q, k, v, g = (
        torch.randn(*lead, *size, dtype=dtype)
        for size in ((queries, width), (keys, width), (keys, depth), (queries, depth))
    )
    q, k, v = (x.requires_grad_() for x in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale)
    found = y, *torch.autograd.grad(y, (q, k, v), g)
    for got, want in zip(found, formula(q, k, v, g, causal, scale)):
        np.testing.assert_allclose(got.detach().numpy(), want, rtol=digits, atol=digits * max(1, np.abs(want).max()))


def test_heads_may_lie_between_rows():
    q, k, v = torch.randn(3, 2, 20, 4, 8, dtype=torch.float64).transpose(2, 3).unbind(0)
    assert q.stride() == (640, 8, 32, 1)
    apart = [x.contiguous() for x in (q, k, v)]
    assert torch.equal(F.scaled_dot_product_attention(q, k, v), F.scaled_dot_product_attention(*apart))


def test_gradients_of_gradients():
    q, k, v = (torch.randn(2, 3, 4, dtype=torch.float64).requires_grad_() for _ in range(3))
    for causal in (False, True):
        call = lambda *x, causal=causal: F.scaled_dot_product_attention(*x, is_causal=causal)
        assert gradcheck(call, (q, k, v))
        assert gradgradcheck(call, (q, k, v))


def test_only_the_gradients_that_are_wanted():
    q, k, v = torch.randn(1, 2, 5, 4), torch.randn(1, 2, 5, 4).requires_grad_(), torch.randn(1, 2, 5, 4)
    F.scaled_dot_product_attention(q, k, v).sum().backward()
    assert k.grad is not None and q.grad is None


def test_an_operand_changed_in_place_is_noticed():
    q, k, v = (torch.randn(1, 1, 4, 4).requires_grad_() * 1 for _ in range(3))
    y = F.scaled_dot_product_attention(q, k, v)
    k.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_results_do_not_depend_on_the_number_of_threads():
    q, k, v = (torch.randn(4, 3, 130, 16) for _ in range(3))
    before = torch.get_num_threads()
    found = []
    for threads in (1, 3, before):
        torch.set_num_threads(threads)
        x = q.clone().requires_grad_()
        y = F.scaled_dot_product_attention(x, k, v, is_causal=True)
        found.append((y.detach(), *torch.autograd.grad(y.sum(), x)))
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other))


def test_nan_stays_in_its_rows():
    q, k, v = (torch.ones(1, 1, 3, 4) for _ in range(3))
    q[0, 0, 1] = math.nan
    y = F.scaled_dot_product_attention(q, k, v)
    assert y.isnan().any(-1).tolist() == [[[False, True, False]]]


def test_a_long_sequence_needs_no_matrix_of_scores():
    n = 60_000  # whose scores would be 14 GB
    q = torch.randn(1, 1, n, 4)
    y = F.scaled_dot_product_attention(q[:, :, :8], q, q)
    assert y.shape == (1, 1, 8, 4)
    whole = torch.softmax(q[0, 0, :8] @ q[0, 0].T / 2, -1) @ q[0, 0]
    torch.testing.assert_close(y[0, 0], whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "order, strides", [("bthd", (384, 16, 48, 1)), ("bhtd", (384, 128, 16, 1)), ("hbtd", (128, 256, 16, 1))]
)
def test_the_result_lies_like_the_queries(order, strides):
    sizes = {"b": 2, "h": 3, "t": 8, "d": 16}
    q = torch.randn(*(sizes[d] for d in order)).permute(*(order.index(d) for d in "bhtd"))
    assert F.scaled_dot_product_attention(q, q, q).stride() == strides


def test_heads_are_brought_together_without_a_copy():
    q, k, v = (x.view(2, 8, 3, 16).transpose(1, 2) for x in torch.randn(2, 8, 144).split(48, 2))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
    assert y.is_contiguous()
