"""Looking up rows of a table by index, and one-hot vectors."""

from __future__ import annotations

from mashal import ops
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of weight at the indices of input: (*, ) integers and (rows, size) give (*, size).

    padding_idx: a row that gets no gradient; negative ones count from the end. max_norm: rows looked up that are
    longer than this in the norm_type-norm are first shortened to it, in weight itself. scale_grad_by_freq: a row's
    gradient is divided by how often it was looked up.

    >>> F.embedding(torch.tensor([1]), torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
    tensor([[2., 3.]])
    """
    padding = -1 if padding_idx is None else _place(padding_idx, weight)  # -1 is the operation's word for none
    if max_norm is not None:
        shorten_rows(weight, input, max_norm, norm_type)
    return ops.embedding(weight, input, padding, scale_grad_by_freq, sparse)  # pyright: ignore[reportCallIssue]


def _place(padding_idx: int, weight: Tensor) -> int:
    """Which row gets no gradient, counted from the first."""
    if weight.dim() != 2:
        raise RuntimeError(f"embedding: weight {tuple(weight.shape)} must be 2-D, one row an index")
    rows = weight.size(0)
    if not -rows <= padding_idx < rows:
        raise AssertionError(f"embedding: padding_idx {padding_idx} is outside the {rows} rows of weight")
    return padding_idx % rows


def shorten_rows(weight: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> None:
    """Shorten, in place, those of the rows at `indices` that are longer than max_norm."""
    with no_grad():
        touched = indices.reshape(-1).unique()
        rows = weight[touched]
        lengths = rows.norm(norm_type, 1, keepdim=True)
        weight[touched] = ops.where(lengths > max_norm, rows * (max_norm / (lengths + 1e-7)), rows)
