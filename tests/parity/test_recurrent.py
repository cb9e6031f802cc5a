"""Recurrent layers held against PyTorch: first values, outputs, states, gradients, and the gradients' gradients."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import mashal  # noqa: E402

KINDS = {"LSTM": {}, "LSTM projected": {"proj_size": 3}, "GRU": {}, "RNN": {}, "RNN relu": {"nonlinearity": "relu"}}


def ours(x):
    return mashal.from_numpy(x.detach().numpy().copy())


def assert_same(theirs, mine):
    np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-9, atol=1e-10)


def as_list(state):
    return list(state) if isinstance(state, tuple) else [state]


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize(("kind", "layers", "both"), list(itertools.product(KINDS, [1, 2], [False, True])))
def test_a_recurrent_layer_is_pytorchs(kind, layers, both, packed):
    options = {"num_layers": layers, "bidirectional": both, "batch_first": both, **KINDS[kind]}
    torch.manual_seed(3), mashal.manual_seed(3)
    theirs = getattr(torch.nn, kind.split()[0])(4, 5, dtype=torch.float64, **options)
    mine = getattr(mashal.nn, kind.split()[0])(4, 5, dtype=mashal.float64, **options)
    assert repr(mine) == repr(theirs)
    for (name, a), (other, b) in zip(theirs.named_parameters(), mine.named_parameters(), strict=True):
        assert name == other and np.array_equal(a.detach().numpy(), b.detach().numpy())
    x = torch.randn((3, 6, 4) if both else (6, 3, 4), dtype=torch.float64)
    results = []
    for framework, layer, input in ((torch, theirs, x.clone()), (mashal, mine, ours(x))):
        input.requires_grad_()
        given = input
        if packed:
            rnn = framework.nn.utils.rnn
            given = rnn.pack_padded_sequence(input, [4, 6, 2], batch_first=both, enforce_sorted=False)
        output, state = layer(given)
        if packed:
            output, _ = rnn.pad_packed_sequence(output, batch_first=both)
        found = [output, *as_list(state)]
        loss = sum((y * y).sum() for y in found)
        leaves = [input, *layer.parameters()]
        grads = framework.autograd.grad(loss, leaves, create_graph=True)
        again = framework.autograd.grad(sum((g * g).sum() for g in grads), leaves)
        results.append([*found, *grads, *again])
    for a, b in zip(*results, strict=True):
        assert_same(a, b)


@pytest.mark.parametrize(
    ("make", "sizes"),
    [(lambda nn: nn.LSTM(3, 4, 2), [(2, 1, 3)]), (lambda nn: nn.Transformer(8, 2, 1, 1, 16), [(2, 1, 8), (2, 1, 8)])],
    ids=["LSTM", "Transformer"],
)
@pytest.mark.filterwarnings("ignore")
def test_whole_modules_in_files_are_read_by_the_other(make, sizes, tmp_path):
    for writer, reader in ((torch, mashal), (mashal, torch)):
        writer.save(make(writer.nn).eval(), tmp_path / "a.pt")
        written, found = (framework.load(tmp_path / "a.pt", weights_only=False) for framework in (writer, reader))
        outputs = [
            module(*(framework.ones(size) for size in sizes))
            for framework, module in ((writer, written), (reader, found))
        ]
        a, b = (output[0] if isinstance(output, tuple) else output for output in outputs)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-5)
