"""Attention and Transformers held against PyTorch: first values, dropout's draws, outputs, gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import mashal  # noqa: E402


def ours(x):
    return mashal.from_numpy(x.detach().numpy().copy())


def assert_same(theirs, mine):
    np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-4, atol=1e-5)


def both(make):
    torch.manual_seed(1), mashal.manual_seed(1)
    theirs, mine = make(torch), make(mashal)
    assert repr(mine) == repr(theirs)
    for (name, a), (other, b) in zip(theirs.named_parameters(), mine.named_parameters(), strict=True):
        assert name == other and np.array_equal(a.detach().numpy(), b.detach().numpy())
    return theirs, mine


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize(
    "options",
    [{}, {"kdim": 5, "vdim": 6}, {"add_bias_kv": True, "add_zero_attn": True}, {"bias": False, "dropout": 0.3}],
)
def test_multihead_attention_is_pytorchs(options, need_weights):
    theirs, mine = both(lambda framework: framework.nn.MultiheadAttention(8, 2, **options))
    shapes = (4, 3, 8), (5, 3, options.get("kdim", 8)), (5, 3, options.get("vdim", 8))
    inputs = [torch.randn(shape) for shape in shapes]
    [mashal.randn(shape) for shape in shapes]  # the same draws, so that dropout's are the same
    (a, v), (b, w) = theirs(*inputs, need_weights=need_weights), mine(*map(ours, inputs), need_weights=need_weights)
    assert_same(a, b)
    if need_weights:
        assert_same(v, w)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("norm_first", [False, True])
def test_a_transformer_is_pytorchs(norm_first):
    def make(framework):
        return framework.nn.Transformer(16, 4, 2, 2, 32, batch_first=True, norm_first=norm_first)

    theirs, mine = both(make)
    source, target = torch.randn(3, 5, 16), torch.randn(3, 4, 16)
    mashal.randn(3, 5, 16), mashal.randn(3, 4, 16)
    mask, padding = (
        theirs.generate_square_subsequent_mask(4),
        torch.tensor([[False] * 5, [False] * 3 + [True] * 2, [False] * 5]),
    )
    a = theirs(source, target, tgt_mask=mask, src_key_padding_mask=padding)
    b = mine(ours(source), ours(target), tgt_mask=ours(mask), src_key_padding_mask=ours(padding))
    assert_same(a, b)
    a.sum().backward(), b.sum().backward()
    for p, q in zip(theirs.parameters(), mine.parameters(), strict=True):
        assert_same(p.grad, q.grad)
