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
        lambda: torch.exp(s),
        lambda: s.argmax(),
        lambda: s[0:1],
        s.tolist,
        s.item,
        lambda: torch.cos(s),
        lambda: s.exp_(),
        lambda: s.add_(1),
    ):
        with pytest.raises(NotImplementedError, match="to_dense"):
            bad()


# ---------------------------------------------------------------- operations, gradients, compressed rows and columns
X = torch.tensor([[0.0, 1.0, 0.0], [2.0, 0.0, 3.0]])
OPERATIONS = {
    "negated": lambda s: -s,
    "doubled": lambda s: s * 2,
    "halved": lambda s: s / 2,
    "added": lambda s: s + s,
    "taken away": lambda s: s - s * 2,
    "times dense": lambda s: s * torch.arange(6.0).view(2, 3),
    "times sparse": lambda s: s * s,
    "root": lambda s: s.sqrt(),
    "power": lambda s: s**2,
    "transposed": lambda s: s.t(),
    "joined": lambda s: torch.cat([s, s], 1),
    "picked": lambda s: s[1],
    "selected": lambda s: s.index_select(0, torch.tensor([1, 1])),
    "summed": lambda s: s.sum(),
    "summed along": lambda s: torch.sum(s, 0),
    "product": lambda s: s @ torch.ones(3, 2),
    "product from the left": lambda s: torch.ones(4, 2) @ s,
    "added to dense": lambda s: torch.ones(2, 3) + s,
    "double": lambda s: s.double(),
    "addmm": lambda s: torch.addmm(torch.ones(2, 2), s, torch.ones(3, 2), beta=2),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_give_what_they_give_for_all_elements(name):
    sparse, dense = OPERATIONS[name](X.to_sparse()), OPERATIONS[name](X)
    assert sparse.to_dense().tolist() == dense.tolist()
    assert sparse.dtype is dense.dtype


@pytest.mark.parametrize("name", ["doubled", "times dense", "product", "summed", "addmm", "transposed"])
def test_gradients_reach_values_at_their_places(name):
    s, x = X.to_sparse().requires_grad_(), X.clone().requires_grad_()
    for y in (OPERATIONS[name](s), OPERATIONS[name](x)):
        whole = y.to_dense()
        (whole * torch.arange(whole.numel()).view(whole.shape)).sum().backward()
    assert s.grad.is_sparse
    assert s.grad.to_dense().tolist() == (x.grad * (X != 0)).tolist()


def test_gradients_of_a_product_reach_both():
    s, d = X.to_sparse().requires_grad_(), torch.ones(3, 2, requires_grad=True)
    torch.sparse.mm(s, d).sum().backward()
    assert s.grad.to_dense().tolist() == [[0, 2, 0], [2, 0, 2]]
    assert d.grad.tolist() == [[2, 2], [1, 1], [3, 3]]


def test_changes_in_place():
    s = X.to_sparse()
    s.mul_(2)
    s += s
    assert s.to_dense().tolist() == (4 * X).tolist()
    d = torch.ones(2, 3)
    d.add_(X.to_sparse(), alpha=2)
    assert d.tolist() == (1 + 2 * X).tolist()


def test_compressed_rows_and_columns():
    r, c = X.to_sparse_csr(), X.to_sparse_csc()
    assert r.layout is torch.sparse_csr and r.is_sparse_csr and not r.is_sparse
    assert (r.crow_indices().tolist(), r.col_indices().tolist(), r.values().tolist()) == (
        [0, 1, 3],
        [1, 0, 2],
        [1, 2, 3],
    )
    assert (c.ccol_indices().tolist(), c.row_indices().tolist(), c.values().tolist()) == (
        [0, 1, 2, 3],
        [1, 0, 1],
        [2, 1, 3],
    )
    for s in (r, c, r.to_sparse_csc(), c.to_sparse_csr(), r.to_sparse_coo(), r + r - r, r * 1):
        assert s.to_dense().tolist() == X.tolist()
    assert (r @ torch.ones(3)).tolist() == [1, 5]


def test_compressed_matrices_from_their_parts():
    r = torch.sparse_csr_tensor([0, 1, 3], [1, 0, 2], [1.0, 2.0, 3.0], (2, 3))
    c = torch.sparse_csc_tensor([0, 1, 2, 3], [1, 0, 1], [2.0, 1.0, 3.0])
    assert r.to_dense().tolist() == c.to_dense().tolist() == X.tolist()
    assert repr(r).startswith("tensor(crow_indices=tensor([0, 1, 3]),\n       col_indices=")


@pytest.mark.parametrize("parts", [([0, 2, 1], [0, 1]), ([1, 1, 2], [0, 1]), ([0, 1, 3], [0, 1]), ([0, 1, 2], [0, -1])])
def test_bad_compressed_parts(parts):
    with pytest.raises(RuntimeError, match="sparse_csr_tensor"):
        torch.sparse_csr_tensor(*parts, [1.0, 2.0], (2, 2))


def test_elements_at_the_places_of_a_mask():
    assert torch.ones(2, 3).sparse_mask(X.to_sparse()).to_dense().tolist() == (X != 0).float().tolist()


def test_sparse_functions():
    s = X.to_sparse()
    assert torch.sparse.sum(s) == 6
    assert torch.sparse.sum(s, 0).to_dense().tolist() == [2, 1, 3]
    assert torch.sparse.softmax(s, 1).to_dense()[0].tolist() == [0, 1, 0]
    assert torch.sparse.spdiags(torch.ones(3), torch.tensor([-1]), (3, 3)).to_dense().tolist() == [
        [0, 0, 0],
        [1, 0, 0],
        [0, 1, 0],
    ]
    assert torch.sparse.FloatTensor(torch.tensor([[0]]), torch.ones(1), (2,)).to_dense().tolist() == [1, 0]


def test_strided_tensors_have_no_sparse_parts():
    for name in ("coalesce", "crow_indices", "indices"):
        with pytest.raises(RuntimeError, match="strided"):
            getattr(torch.ones(2), name)()


def test_tables_with_sparse_gradients():
    table = torch.nn.Embedding(5, 2, sparse=True, padding_idx=3)
    for _ in range(2):
        table(torch.tensor([1, 1, 3, 4])).sum().backward()
    assert table.weight.grad.is_sparse
    assert table.weight.grad.to_dense().tolist() == [[0, 0], [4, 4], [0, 0], [0, 0], [2, 2]]


def test_sgd_changes_only_the_rows_of_a_sparse_gradient():
    table = torch.nn.Embedding(3, 2, sparse=True)
    before = table.weight.detach().clone()
    optimizer = torch.optim.SGD([table.weight, torch.nn.Parameter(torch.ones(1))], lr=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        table(torch.tensor([1])).sum().backward()
        optimizer.step()
    torch.testing.assert_close(table.weight.detach(), before - torch.tensor([[0.0], [1.0], [0.0]]))
    with pytest.raises(RuntimeError, match="sparse"):
        torch.optim.SGD([table.weight], lr=0.5, momentum=0.9).step()


# ---------------------------------------------------------------- layouts
def test_text_of_compressed_rows_names_the_dtype_once():
    assert str(X.double().to_sparse_csr()) == (
        "tensor(crow_indices=tensor([0, 1, 3]),\n       col_indices=tensor([1, 0, 2]),\n"
        "       values=tensor([1., 2., 3.]), size=(2, 3), nnz=3, dtype=torch.float64,\n       layout=torch.sparse_csr)"
    )
    assert str(X.to_sparse_csc()).endswith("size=(2, 3), nnz=3,\n       layout=torch.sparse_csc)")


LAYOUTS = [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc]


@pytest.mark.parametrize("to", LAYOUTS)
@pytest.mark.parametrize("of", [torch.strided, *LAYOUTS])
def test_every_layout_becomes_every_sparse_one(of, to):
    x = X if of is torch.strided else X.to_sparse(layout=of)
    assert x.layout is of
    assert x.to_sparse(layout=to).layout is to
    assert x.to_sparse(layout=to).to_dense().tolist() == X.tolist()


def test_to_sparse_gives_coordinates_unless_told_otherwise():
    assert X.to_sparse_csr().to_sparse().layout is torch.sparse_coo


def test_blocks_name_what_is_nearest():
    with pytest.raises(NotImplementedError, match="sparse_csr"):
        X.to_sparse(layout=torch.sparse_bsr)
    with pytest.raises(NotImplementedError, match=r"nearest is torch\.sparse_csc"):
        torch.sparse_compressed_tensor([0, 1], [0], [[[1.0]]], layout=torch.sparse_bsc)


def test_elements_of_compressed_rows_may_have_dimensions():
    x = torch.eye(3)[:, :, None].expand(3, 3, 2).contiguous()
    s = x.to_sparse_csr(dense_dim=1)
    assert s.values().shape == (3, 2) and s.to_dense().tolist() == x.tolist()


def test_the_transpose_of_compressed_rows_is_in_compressed_columns():
    s = X.to_sparse_csr().t()
    assert s.layout is torch.sparse_csc and s.to_dense().tolist() == X.t().tolist()
    assert s.t().layout is torch.sparse_csr and s.t().crow_indices().tolist() == [0, 1, 3]


@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_csc])
def test_compressed_matrices_of_a_layout(layout):
    s = torch.sparse_compressed_tensor([0, 2, 4], [0, 1, 0, 1], [1, 2, 3, 4], dtype=torch.float64, layout=layout)
    whole = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert s.layout is layout and s.dtype is torch.float64
    assert s.to_dense().tolist() == (whole if layout is torch.sparse_csr else whole.t()).tolist()


def test_diagonals_lie_one_after_the_other():
    s = torch.sparse.spdiags(torch.arange(6).view(2, 3), torch.tensor([0, -1]), (3, 3))
    assert not s.is_coalesced()
    assert s._indices().tolist() == [[0, 1, 2, 1, 2], [0, 1, 2, 0, 1]] and s._values().tolist() == [0, 1, 2, 3, 4]
    rows = torch.sparse.spdiags(torch.arange(3), torch.tensor([1]), (3, 3), torch.sparse_csr)
    assert rows.crow_indices().tolist() == [0, 1, 2, 2]
    with pytest.raises(RuntimeError, match="sparse_csc"):
        torch.sparse.spdiags(torch.arange(3), torch.tensor([1]), (3, 3), torch.strided)


# ---------------------------------------------------------------- products
REDUCED = {
    "sum": [[3.0, 4.0], [17.0, 22.0]],
    "mean": [[3.0, 4.0], [8.5, 11.0]],
    "amax": [[3.0, 4.0], [15.0, 18.0]],
    "max": [[3.0, 4.0], [15.0, 18.0]],
    "amin": [[3.0, 4.0], [2.0, 4.0]],
}


@pytest.mark.parametrize("reduce", REDUCED)
def test_products_of_a_row_joined_in_other_ways(reduce):
    s, y = X.to_sparse_csr().requires_grad_(), torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)
    z = torch.sparse.mm(s, y, reduce)
    assert z.tolist() == REDUCED[reduce]
    z.sum().backward()
    assert s.grad.values()[0] == 7 and y.grad[1].tolist() == [1, 1]


def test_a_row_without_elements_gives_zero():
    s = torch.tensor([[0.0, 0.0], [0.0, -1.0]]).to_sparse_csr()
    for reduce in REDUCED:
        assert torch.sparse.mm(s, torch.ones(2, 1), reduce).tolist() == [[0.0], [-1.0]]


NAMES = {
    "SparseAddmmBackward0": lambda s, b: torch.sparse.mm(s, b),
    "MmBackward0": lambda s, b: s @ b,
    "MvBackward0": lambda s, b: s @ b[:, 0],
    "AddmmBackward0": lambda s, b: torch.addmm(torch.ones(2, 2), s, b, alpha=2),
}


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_products_have_pytorchs_names(name):
    s, b = X.double().to_sparse().requires_grad_(), torch.rand(3, 2, dtype=torch.float64, requires_grad=True)
    assert NAMES[name](s, b).grad_fn.name() == name
    of_values = lambda v, b: NAMES[name](torch.sparse_coo_tensor(s.indices(), v, (2, 3)), b)
    values = s.values().detach().requires_grad_()
    assert torch.autograd.gradcheck(of_values, (values, b)) and torch.autograd.gradgradcheck(of_values, (values, b))


def test_a_piece_along_a_dimension():
    x = torch.arange(24.0).reshape(2, 3, 4) % 5
    for leading in (None, 2, 1):
        s = x.to_sparse(leading)
        for dim, start, length in ((0, 1, 1), (1, 1, 2), (2, -2, 2), (1, 3, 0)):
            at = start + x.shape[dim] if start < 0 else start
            found = torch.narrow_copy(s, dim, start, length)
            assert found.is_coalesced() and found.to_dense().equal(x.narrow(dim, at, length))
    with pytest.raises(RuntimeError, match="narrow_copy"):
        torch.narrow_copy(x.to_sparse(), 0, 1, 2)


def test_gradients_of_functions_of_sparse_tensors_are_checked():
    check = torch.sparse.as_sparse_gradcheck(torch.autograd.gradcheck)
    x = X.double().to_sparse().requires_grad_()
    y = torch.rand(3, 2, dtype=torch.float64, requires_grad=True)
    assert check(lambda x: x.to_sparse_csr(), x)
    assert check(lambda x, y: (torch.sparse.mm(x, y), x * x), (x, y))
    with pytest.raises(RuntimeError, match="mismatch"):
        check(lambda x: x * x.detach(), x)
