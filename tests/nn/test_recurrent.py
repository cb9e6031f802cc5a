"""Recurrent layers and packed sequences; that the numbers are PyTorch's is tests/parity/test_recurrent.py's."""

import pytest

import mashal as torch
from mashal import nn
from mashal.nn.utils import rnn


def test_a_layer_reads_what_its_cell_reads_step_by_step():
    layer, cell = nn.GRU(3, 4), nn.GRUCell(3, 4)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x, h = torch.randn(5, 2, 3), torch.zeros(2, 4)
    output, last = layer(x)
    for t in range(5):
        h = cell(x[t], h)
        assert torch.allclose(output[t], h, atol=1e-6)
    assert torch.allclose(last[0], h, atol=1e-6)


def test_packed_sequences_end_where_they_end():
    layer = nn.LSTM(3, 4, bidirectional=True)
    x = torch.randn(5, 3, 3)
    packed = rnn.pack_padded_sequence(x, [5, 2, 3], enforce_sorted=False)
    output, lengths = rnn.pad_packed_sequence(layer(packed)[0])
    alone, _ = layer(x[:2, 1])
    assert lengths.tolist() == [5, 2, 3]
    assert torch.allclose(output[:2, 1], alone, atol=1e-6) and not output[2:, 1].any()


def test_gradients_of_gradients_go_through_a_recurrent_layer():
    layer = nn.LSTM(2, 3, dtype=torch.float64)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layer(x)[0], (x,))


def test_dropout_stands_between_layers_while_training():
    layer = nn.RNN(3, 4, 2, dropout=1.0)
    x = torch.randn(5, 2, 3)
    torch.manual_seed(0)
    assert torch.equal(layer(x)[0], layer(x * 2)[0])  # the second layer sees zeros
    assert not torch.equal(layer.eval()(x)[0], layer(x * 2)[0])


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_what_does_not_fit_is_an_error(kind):
    layer = getattr(nn, kind)(3, 4)
    with pytest.raises(RuntimeError, match=f"{kind}: input.size.-1. must be equal to input_size. Expected 3, got 5"):
        layer(torch.ones(2, 1, 5))
    with pytest.raises(ValueError, match="Expected input to be 2D or 3D, got 1D"):
        layer(torch.ones(3))
    with pytest.raises(ValueError, match="dtype"):
        layer(torch.ones(2, 1, 3, dtype=torch.float64))
    state = torch.ones(1, 7, 4)
    with pytest.raises(RuntimeError, match=r"Expected hidden.* size \(1, 2, 4\), got \[1, 7, 4\]"):
        layer(torch.ones(5, 2, 3), (state, state) if kind == "LSTM" else state)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"hidden_size": 0}, "hidden_size must be greater than zero"),
        ({"num_layers": 0}, "num_layers must be greater than zero"),
        ({"dropout": 1.5}, "dropout should be a number in range"),
        ({"proj_size": 9}, "proj_size must be 0 or"),
    ],
)
def test_sizes_that_cannot_be_are_errors(options, error):
    with pytest.raises(ValueError, match=error):
        nn.LSTM(3, **{"hidden_size": 4, **options})


def test_a_cell_names_both_sizes():
    with pytest.raises(RuntimeError, match="LSTMCell: input has inconsistent input_size: got 5 expected 3"):
        nn.LSTMCell(3, 4)(torch.ones(2, 5))
    with pytest.raises(RuntimeError, match="Input batch size 2 doesn't match hidden0 batch size 3"):
        nn.GRUCell(3, 4)(torch.ones(2, 3), torch.ones(3, 4))


@pytest.mark.parametrize(
    ("lengths", "error"),
    [
        ([2, 3], "sorted in decreasing order"),
        ([3, 0], "greater than 0"),
        ([3], r"equal to batch_size 2"),
        ([9, 1], "fit"),
    ],
)
def test_lengths_that_do_not_fit_are_errors(lengths, error):
    with pytest.raises(RuntimeError, match=error):
        rnn.pack_padded_sequence(torch.ones(4, 2, 1), lengths)


def test_packed_sequences_change_their_dtype():
    packed = rnn.pack_sequence([torch.ones(1), torch.ones(3)], enforce_sorted=False)
    assert packed.double().data.dtype == torch.float64 and packed.to(torch.float32) is packed
    assert [s.tolist() for s in rnn.unpack_sequence(packed)] == [[1.0], [1.0, 1.0, 1.0]]
