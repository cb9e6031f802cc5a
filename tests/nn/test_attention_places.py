"""nn.attention, nn.modules, nn.parallel, SyncBatchNorm: what programs reach for by name."""

import importlib

import pytest

import mashal as torch
from mashal import nn
from mashal.nn.attention import SDPBackend, sdpa_kernel
from mashal.nn.attention.flex_attention import and_masks, create_block_mask, flex_attention, or_masks


def test_attention_by_blocks_is_attention_under_the_mask():
    q, k, v = (torch.randn(2, 3, 10, 4) for _ in range(3))
    mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, 10, 10, BLOCK_SIZE=4)
    expected = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.allclose(flex_attention(q, k, v, block_mask=mask), expected, atol=1e-6)
    assert mask.to_dense().tolist() == [[[[1, 0, 0], [1, 1, 0], [1, 1, 1]]]]


def test_scores_are_changed_by_places():
    q = torch.randn(1, 2, 5, 4)
    slopes = torch.tensor([0.5, 0.25])
    found = flex_attention(q, q, q, lambda score, b, h, i, j: score + slopes[h] * (j - i))
    bias = slopes.view(2, 1, 1) * (torch.arange(5) - torch.arange(5).view(5, 1))
    assert torch.allclose(
        found, nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=bias.unsqueeze(0)), atol=1e-5
    )


def test_masks_are_joined():
    causal, near = (lambda b, h, i, j: i >= j), (lambda b, h, i, j: i - j < 2)
    both, either = (
        create_block_mask(join(causal, near), None, None, 4, 4, BLOCK_SIZE=1).to_dense()[0, 0]
        for join in (and_masks, or_masks)
    )
    assert both.sum() == 7 and either.sum() == 16


def test_heads_that_do_not_fit_are_errors():
    with pytest.raises(ValueError, match="pass enable_gqa=True"):
        flex_attention(torch.ones(1, 4, 2, 2), torch.ones(1, 2, 2, 2), torch.ones(1, 2, 2, 2))
    assert flex_attention(
        torch.ones(1, 4, 2, 2), torch.ones(1, 2, 2, 2), torch.ones(1, 2, 2, 2), enable_gqa=True
    ).shape == (1, 4, 2, 2)


def test_implementations_are_named():
    with sdpa_kernel([SDPBackend.MATH, SDPBackend.FLASH_ATTENTION]):
        pass
    with pytest.raises(AssertionError, match="instance of SDPBackend"), sdpa_kernel("math"):
        pass


@pytest.mark.parametrize(
    ("place", "name"),
    [("utils", "_pair"), ("rnn", "LSTMCell"), ("conv", "_ConvNd"), ("loss", "_Loss"), ("activation", "MultiheadAttention"),
     ("batchnorm", "_BatchNorm"), ("lazy", "LazyModuleMixin"), ("container", "ParameterList")],
)  # fmt: skip
def test_pytorchs_places_can_be_imported(place, name):
    assert hasattr(importlib.import_module(f"mashal.nn.modules.{place}"), name)


def test_batch_norms_are_converted_with_what_they_have():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3)).eval()
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert type(converted[0]) is nn.SyncBatchNorm and not converted[0].training and converted[1] is model[1]
    x = torch.randn(4, 3)
    assert torch.equal(converted(x), model(x))


def test_a_data_parallel_module_is_the_module_on_the_cpu():
    model = nn.DataParallel(nn.Linear(2, 3))
    x = torch.randn(4, 2)
    assert torch.equal(model(x), model.module(x)) and list(model.state_dict()) == ["module.weight", "module.bias"]
    assert nn.parallel.gather([{"a": x}, {"a": x}], "cpu")["a"].shape == (8, 2)
    assert [y.shape for y in nn.parallel.scatter(x, ["cpu", "cpu"])] == [(2, 2), (2, 2)]
    with pytest.raises(AssertionError, match="CUDA"):
        nn.parallel.scatter(x, [0])


def test_neighbouring_channels_are_normalized_as_of_old():
    x = torch.randn(2, 5, 3, 3)
    expected = nn.functional.local_response_norm(x, 3, 1e-2, 0.75, 2.0)
    assert torch.allclose(nn.CrossMapLRN2d(3, 1e-2, 0.75, 2.0)(x), expected)


def test_implementations_of_others_are_put_in_place_and_taken_away():
    attention, events = nn.attention, []

    class Handle:
        def remove(self):
            events.append("removed")

    attention.register_flash_attention_impl("theirs", register_fn=lambda: events.append("placed") or Handle())
    attention.activate_flash_attention_impl("theirs")
    assert attention.current_flash_attention_impl() == "theirs" and "theirs" in attention.list_flash_attention_impls()
    attention.restore_flash_attention_impl()
    assert attention.current_flash_attention_impl() is None and events == ["placed", "removed"]
    with pytest.raises(ValueError, match="Unknown flash attention impl 'nobody'"):
        attention.activate_flash_attention_impl("nobody")
