"""The graph as text."""

import pytest

import mashal as torch
from mashal.autograd.graph import draw


def test_a_node_is_drawn_once_and_named_again():
    x = torch.ones(2, requires_grad=True)
    h = x.tanh()
    assert draw(h * h).splitlines() == [
        "MulBackward0",
        "├─ TanhBackward0",
        "│  └─ AccumulateGrad (2,)",
        "└─ TanhBackward0 …",
    ]


def test_a_long_chain_is_cut():
    y = torch.ones(2, requires_grad=True)
    for _ in range(2000):
        y = y.tanh()
    assert len(draw(y).splitlines()) == 501


def test_a_tensor_without_gradient_has_no_graph():
    with pytest.raises(RuntimeError, match="draw: the tensor does not require grad"):
        draw(torch.ones(2))
