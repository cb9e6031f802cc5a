"""Sparse tensors in coordinates."""

import pytest

import mashal as torch


def test_text():
    assert str(torch.eye(2).to_sparse()) == (
        "tensor(indices=tensor([[0, 1],\n                       [0, 1]]),\n       values=tensor([1., 1.]),\n"
        "       size=(2, 2), nnz=2, layout=torch.sparse_coo)"
    )


def test_there_and_back():
    x = torch.tensor([[[0.0, 1.0], [0.0, 0.0]], [[2.0, 0.0], [3.0, 4.0]]])
    for leading, kept in (None, 4), (1, 2), (2, 3), (3, 4):
        s = x.to_sparse(leading)
        assert s._nnz() == kept and s.is_sparse and s.layout is torch.sparse_coo and s.is_coalesced()
        assert (s.sparse_dim(), s.dense_dim()) == (leading or 3, 3 - (leading or 3))
        assert s.shape == x.shape and s.to_dense().tolist() == x.tolist()
    assert not x.is_sparse and x.to_dense() is x
    assert torch.zeros(2, 2).to_sparse().to_dense().tolist() == [[0, 0], [0, 0]]


def test_the_same_place_twice():
    s = torch.sparse_coo_tensor([[1, 0, 1], [2, 0, 2]], torch.tensor([1, 2, 3]))
    assert s.shape == (2, 3) and not s.is_coalesced()
    with pytest.raises(RuntimeError, match="uncoalesced"):
        s.indices()
    c = s.coalesce()
    assert c.indices().tolist() == [[0, 1], [0, 2]] and c.values().tolist() == [2, 4]
    assert s.to_dense().tolist() == c.to_dense().tolist() == [[2, 0, 0], [0, 0, 4]]


def test_products():
    s = torch.sparse_coo_tensor([[1, 0, 1], [2, 0, 2]], [1.0, 2.0, 3.0])
    dense = torch.arange(6.0).reshape(3, 2)
    assert (s @ dense).tolist() == (s.to_dense() @ dense).tolist()
    assert (s @ dense[:, 0]).tolist() == (s.to_dense() @ dense[:, 0]).tolist()
    assert s.t().to_dense().tolist() == s.to_dense().t().tolist()
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        s @ torch.ones(2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([[0, 5]], [1.0, 2.0], (3,)), "size is inconsistent"),
        (([[0, -1]], [1.0, 2.0], (3,)), "negative index"),
        (([[0, 1]], [1.0], (3,)), "must be"),
        (([[0, 1]], [1.0, 2.0], (3, 3)), "sparse dimensions"),
    ],
)
def test_bad_parts(arguments, says):
    with pytest.raises(RuntimeError, match=says):
        torch.sparse_coo_tensor(*arguments)


def test_what_is_not_there_says_so():
    s = torch.eye(2).to_sparse()
    for bad in (
        lambda: s + 1,
        lambda: s.sum(),
        lambda: s[0],
        s.tolist,
        s.item,
        lambda: torch.relu(s),
        lambda: s.add_(1),
    ):
        with pytest.raises(NotImplementedError, match="to_dense"):
            bad()
