"""Attention in several heads, and Transformers."""

import pytest

import mashal as torch
from mashal import nn


def test_weights_add_up_to_one_and_masked_keys_get_none():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(3, 5, 8)
    padding = torch.zeros(3, 5, dtype=torch.bool)
    padding[1, 3:] = True
    output, weights = attention(x, x, x, key_padding_mask=padding)
    assert output.shape == (3, 5, 8) and torch.allclose(weights.sum(-1), torch.ones(3, 5))
    assert not weights[1, :, 3:].any()


def test_results_are_the_same_with_and_without_weights():
    attention, x = nn.MultiheadAttention(8, 2), torch.randn(5, 3, 8)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    with_weights, _ = attention(x, x, x, attn_mask=mask)
    without, nothing = attention(x, x, x, attn_mask=mask, is_causal=True, need_weights=False)
    assert nothing is None and torch.allclose(with_weights, without, atol=1e-6)


def test_a_batch_of_one_is_none():
    attention, x = nn.MultiheadAttention(8, 2, kdim=3, vdim=4), torch.randn(5, 8)
    key, value = torch.randn(6, 3), torch.randn(6, 4)
    alone, _ = attention(x, key, value)
    batch, _ = attention(x.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1))
    assert torch.allclose(alone, batch.squeeze(1), atol=1e-6)


@pytest.mark.parametrize(
    ("sizes", "masks", "error"),
    [
        (((4, 3, 8), (5, 3, 8), (6, 3, 8)), {}, "does not match value shape"),
        (((4, 3, 6), (5, 3, 6), (5, 3, 6)), {}, "expecting embedding dimension of 8, but got 6"),
        (((3, 8), (5, 3, 8), (5, 3, 8)), {}, "for 2-D query"),
        (((4, 3, 8), (5, 3, 8), (5, 3, 8)), {"key_padding_mask": torch.zeros(3)}, "must be 2-D but it is 1-D"),
        (((4, 3, 8), (5, 3, 8), (5, 3, 8)), {"attn_mask": torch.zeros(4, 4, dtype=torch.int64)}, "bool and floating"),
    ],
)
def test_what_does_not_go_together_is_an_error(sizes, masks, error):
    with pytest.raises(AssertionError, match=error):
        nn.MultiheadAttention(8, 2)(*(torch.ones(size) for size in sizes), **masks)


def test_a_mask_of_another_size_is_an_error():
    x = torch.ones(4, 3, 8)
    with pytest.raises(RuntimeError, match=r"2D attn_mask is \(5, 4\), but should be \(4, 4\)"):
        nn.MultiheadAttention(8, 2)(x, x, x, attn_mask=torch.zeros(5, 4))


def test_later_steps_are_not_seen_under_the_causal_mask():
    layer = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    x, y = torch.randn(1, 5, 8), torch.randn(1, 5, 8)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    y[:, :3] = x[:, :3]
    assert torch.allclose(layer(x, mask)[:, :3], layer(y, mask)[:, :3], atol=1e-6)


def test_padded_steps_come_out_as_zero_where_nothing_is_learnt():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1).eval()
    x, padding = torch.randn(2, 4, 8), torch.tensor([[False] * 4, [False, False, True, True]])
    with torch.no_grad():
        output = encoder(x, src_key_padding_mask=padding)
    assert not output[1, 2:].any() and torch.allclose(output[1, :2], encoder(x, src_key_padding_mask=padding)[1, :2])
    assert encoder(x, src_key_padding_mask=padding)[1, 2:].all()


def test_a_transformer_learns_to_copy():
    torch.manual_seed(0)
    model = nn.Transformer(16, 2, 1, 1, 32, dropout=0.0, batch_first=True)
    source = torch.randn(4, 5, 16)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(source, source), source)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3


def test_sizes_that_do_not_fit_a_transformer_are_errors():
    model = nn.Transformer(8, 2, 1, 1, 16)
    with pytest.raises(RuntimeError, match="batch number of src and tgt must be equal"):
        model(torch.ones(4, 3, 8), torch.ones(4, 2, 8))
    with pytest.raises(RuntimeError, match="must be equal to d_model 8"):
        model(torch.ones(4, 3, 6), torch.ones(4, 3, 6))
    with pytest.raises(RuntimeError, match="activation should be relu/gelu, not tanh"):
        nn.TransformerEncoderLayer(8, 2, activation="tanh")
