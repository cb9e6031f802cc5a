"""Rows of a table by index."""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import int64
from mashal.core.forms import Form, form
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.blocks import STRICT, put_blocks, take_blocks, take_plan, whole
from mashal.ops.copying import check_tensor, converted, zeros_of
from mashal.ops.define import RecordedNode, recorded, spelled
from mashal.ops.masks import masked_fill, scalar_of
from mashal.ops.remembered import door, remembered
from mashal.ops.run import Plan
from mashal.ops.sparse import sparse_of
from mashal.ops.views import reshape, unsqueeze


def _outside(which: int, value: int, dim: int, size: int, place: tuple[int, ...]) -> Exception:
    return IndexError(
        f"embedding: index {value} at position {place} is outside the {size} rows of weight: index out of range in self"
    )


STRICT.add(_outside)


@remembered("EmbeddingBackward0", 2, gradients=1, kept=(1,))
def _embedding(weight: Form, indices: Form, padding: int, by_frequency: bool) -> Plan:
    return take_plan(weight, (indices,), 0, _outside)


@_embedding.backward
def _(node: Any, g: Tensor) -> tuple:
    return (embedding_gradient(g, node.entry.forms[0], *node.kept()),)


@recorded("EmbeddingDenseBackwardBackward0")
def embedding_gradient(g: Tensor, f: Any, indices: Tensor, padding: int, by_frequency: bool) -> tuple[Tensor, tuple]:
    """The gradient of the table: g's rows added up by index; none for the row `padding`."""
    whole_table = zeros_of(form(g.form.dtype, f.device, f.shape))
    rows = g
    if padding >= 0:
        rows = masked_fill(rows, unsqueeze(indices == padding, -1), 0)  # type: ignore[arg-type]
    if by_frequency and indices.form.numel:
        counts = zeros_of(form(g.form.dtype, f.device, f.shape[:1]))
        put_blocks(counts, scalar_of("embedding", 1, g.form), 0, (indices,), add=True)
        rows = rows / unsqueeze(take_blocks(counts, 0, (indices,)), -1)  # type: ignore[operator]
    put_blocks(whole_table, rows, 0, (indices,), add=True)
    return whole_table, (indices, padding)


@embedding_gradient.backward
def _(node: Any, g: Tensor) -> tuple:
    indices, padding = node.kept()
    rows = _embedding(g, indices, padding, False)
    return (masked_fill(rows, unsqueeze(indices == padding, -1), 0) if padding >= 0 else rows,)  # type: ignore[arg-type]


@recorded("EmbeddingBackward0")
def _embedding_with_sparse_gradient(weight: Tensor, indices: Tensor, padding: int, by_frequency: bool) -> Any:
    if by_frequency:
        raise RuntimeError(
            message("embedding", "scale_grad_by_freq is not supported with sparse gradients", "leave one out")
        )
    return _embedding(weight, indices, padding, False), (indices, weight.form, padding)


@_embedding_with_sparse_gradient.backward
def _(node: RecordedNode, g: Tensor) -> tuple:
    indices, of, padding = node.kept()
    places, rows = reshape(indices, (-1,)), reshape(g, (-1, of.shape[1]))
    if padding >= 0:
        kept = places != padding
        places, rows = places[kept], rows[kept]  # type: ignore[index]
    return (sparse_of(unsqueeze(converted(places, int64), 0), rows, tuple(of.shape), False),)


@spelled(where=("torch",))
def embedding(
    weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Tensor:
    """The rows of weight (rows, size) at indices (*), as (*, size). padding_idx: a row that gets no gradient, -1 for none.

    >>> torch.embedding(torch.tensor([[0.0, 1.0], [2.0, 3.0]]), torch.tensor([1, 1]))
    tensor([[2., 3.],
            [2., 3.]])
    """
    return _embedding_of.find(weight, indices, padding_idx, scale_grad_by_freq, sparse)


@door(2)
def _embedding_of(weight: Tensor, indices: Tensor, padding_idx: int, scale_grad_by_freq: bool, sparse: bool) -> Any:
    check_tensor("embedding", weight, "weight", 1)
    check_tensor("embedding", indices, "indices", 2)
    if weight.form.rank != 2:
        raise RuntimeError(message("embedding", f"weight {tuple(weight.shape)} must be 2-D, one row an index"))
    if indices.form.dtype.name not in ("int64", "int32"):
        raise RuntimeError(
            f"embedding: argument 'indices' must have one of the scalar types Long, Int; got {indices.dtype}"
        )
    rows = whole(indices)
    if sparse and weight.node is not None:
        return _embedding_with_sparse_gradient(weight, rows, padding_idx, scale_grad_by_freq)
    if rows is indices and not sparse:
        return _embedding.known(weight, indices, padding_idx, scale_grad_by_freq)
    return _embedding(weight, rows, padding_idx, scale_grad_by_freq)
