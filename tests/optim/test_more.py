"""Adafactor, Muon and SparseAdam."""

import pytest

import mashal as torch


def test_adafactor_keeps_rows_and_columns_of_matrices_only():
    matrix, vector = torch.ones(3, 4, requires_grad=True), torch.ones(5, requires_grad=True)
    optimizer = torch.optim.Adafactor([matrix, vector])
    (matrix.sum() + vector.sum()).backward()
    optimizer.step()
    assert {name: tuple(x.shape) for name, x in optimizer.state[matrix].items()} == {
        "step": (), "row_var": (3, 1), "col_var": (1, 4),
    }  # fmt: skip
    assert set(optimizer.state[vector]) == {"step", "variance"}


def test_muon_steps_are_almost_orthogonal():
    torch.manual_seed(0)
    w = torch.zeros(4, 8, requires_grad=True)
    optimizer = torch.optim.Muon([w], lr=1.0, weight_decay=0.0)
    (w * torch.randn(4, 8)).sum().backward()
    optimizer.step()
    values = torch.linalg.svdvals(w.detach())
    assert values.min() > 0.5 and values.max() < 1.5


def test_muon_is_for_matrices():
    with pytest.raises(ValueError, match=r"Muon: a parameter is \(3,\); all must have 2 dimensions"):
        torch.optim.Muon([torch.ones(3, requires_grad=True)])


def test_sparse_adam_changes_what_has_a_gradient():
    w, dense = torch.ones(3, 2, requires_grad=True), torch.ones(1, 2, requires_grad=True)
    sparse, adam = torch.optim.SparseAdam([w], lr=0.1), torch.optim.Adam([dense], lr=0.1)
    for value in (2.0, -1.0):
        w.grad = torch.sparse_coo_tensor([[1]], [[value, value]], (3, 2))
        dense.grad = torch.full((1, 2), value)
        sparse.step(), adam.step()
    assert w[0].tolist() == [1.0, 1.0] and torch.allclose(w[1], dense[0])


def test_gradients_that_do_not_fit_are_errors():
    w = torch.ones(2, 2, requires_grad=True)
    w.grad = torch.ones(2, 2)
    with pytest.raises(RuntimeError, match="SparseAdam does not support dense gradients"):
        torch.optim.SparseAdam([w]).step()
    w.grad = torch.sparse_coo_tensor([[1]], [[1.0, 1.0]], (2, 2))
    for kind in (torch.optim.Adafactor, torch.optim.Muon):
        with pytest.raises(RuntimeError, match=f"{kind.__name__} does not support sparse gradients"):
            kind([w]).step()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Adafactor", {"beta2_decay": 0.1}),
        ("Adafactor", {"d": 0.5}),
        ("Muon", {"adjust_lr_fn": "other"}),
        ("SparseAdam", {"lr": 0.0}),
    ],
)
def test_options_that_cannot_be_are_errors(kind, options):
    with pytest.raises(ValueError, match=f"{kind}: {next(iter(options))} is"):
        getattr(torch.optim, kind)([torch.ones(2, 2, requires_grad=True)], **options)
