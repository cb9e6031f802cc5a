"""Covariances, cross products, slices scaled down."""

from __future__ import annotations

from typing import Any

from mashal.core.shapes import wrap_dim
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.assigning import assigned
from mashal.ops.contraction import matmul
from mashal.ops.define import spelled, write_out
from mashal.ops.keeping import granted
from mashal.ops.norms import matrix_norm, vector_norm
from mashal.ops.promotion import floating
from mashal.ops.reducing import in_dtype
from mashal.ops.reductions import sum_

# The methods of tensors are attached above this floor: what is written with them here is checked by tests, not types.
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportIndexIssue=false, reportArgumentType=false


@spelled(where=(), aliases=("linalg.norm",))
def linalg_norm(input: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None,
                out: Tensor | None = None) -> Tensor:  # fmt: skip
    """The norm of a vector, or of matrices if dim names two dimensions (or the input has two and ord is given)."""
    dims = (dim,) if isinstance(dim, int) else dim
    if ord is None:
        return vector_norm(input, 2, dims, keepdim, dtype=dtype, out=out)
    if isinstance(ord, str) or (dims is not None and len(dims) == 2) or (dims is None and input.form.rank == 2):
        return matrix_norm(input, ord, (-2, -1) if dims is None else dims, keepdim, dtype=dtype, out=out)
    return vector_norm(input, ord, dims, keepdim, dtype=dtype, out=out)


@spelled()
def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """The covariances of variables (rows) over observations (columns).

    >>> torch.cov(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    if input.form.rank > 2:
        raise RuntimeError(message("cov", f"expected input to have two or fewer dimensions but got {input.form.rank}"))
    x = in_dtype(input, floating(input.form.dtype))
    x = x if x.form.rank == 2 else x.reshape(1, -1)
    n = x.form.shape[1]
    weights = None
    for word, w, kinds in (("fweights", fweights, "iu"), ("aweights", aweights, "f")):
        if w is not None:
            _check_weights(word, w, kinds, n)
            weights = w if weights is None else weights * w
    if weights is None:
        total, mean = n, x.mean(1, keepdim=True)
    else:
        total = weights.sum()
        mean = (x * weights).sum(1, keepdim=True) / total
    away = x - mean
    scaled = away if weights is None else away * weights
    freedom = total - correction
    if aweights is not None:
        freedom = total - correction * (weights * aweights).sum() / total
    other = scaled.t()
    y = matmul(away, other.conj() if x.form.dtype.is_complex else other)
    y = y / (freedom.clamp_min(0) if isinstance(freedom, Tensor) else max(freedom, 0))
    return y.squeeze()


def _check_weights(word: str, w: Tensor, kinds: str, n: int) -> None:
    if w.form.rank > 1 or w.form.numel != n:
        wrong = f"expected {word} to have one dimension with the same {n} observations as input"
        raise RuntimeError(message("cov", wrong, f"it is {tuple(w.form.shape)}"))
    if w.form.dtype.kind not in kinds:
        right = "integral" if kinds == "iu" else "floating point"
        raise RuntimeError(message("cov", f"expected {word} to have {right} dtype", f"it is {w.form.dtype}"))
    if granted((w < 0).any()):
        raise RuntimeError(message("cov", f"{word} cannot be negative"))


@spelled()
def corrcoef(input: Tensor) -> Tensor:
    """The correlations of variables (rows) over observations (columns)."""
    c = cov(input)
    if not c.form.rank:
        return c / c
    deviation = c.diagonal().real.sqrt() if c.form.dtype.is_complex else c.diagonal().sqrt()
    y = c / deviation.unsqueeze(1) / deviation
    return y if y.form.dtype.is_complex else y.clamp(-1, 1)


@spelled()
def cross(input: Tensor, other: Tensor, dim: int | None = None, *, out: Tensor | None = None) -> Tensor:
    """The vector perpendicular to two of size 3, along dim (by default the first dimension of size 3).

    >>> torch.cross(torch.tensor([1, 0, 0]), torch.tensor([0, 1, 0]))
    tensor([0, 0, 1])
    """
    if dim is None:
        dim = next((d for d, n in enumerate(input.form.shape) if n == 3), -1)
    return linalg_cross(input, other, dim=dim, out=out)


@spelled(where=(), aliases=("linalg.cross",))
def linalg_cross(input: Tensor, other: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """The vectors perpendicular to two of size 3 along dim; other dimensions are broadcast."""
    x, z = input, other
    if x.form.rank != z.form.rank:
        wrong = "inputs must have the same number of dimensions"
        raise RuntimeError(message("linalg.cross", wrong, f"they have {x.form.rank} and {z.form.rank}"))
    d = wrap_dim("linalg.cross", dim, x.form.rank)
    if x.form.shape[d] != 3 or z.form.shape[d] != 3:
        shapes = f"they are {tuple(x.form.shape)} and {tuple(z.form.shape)}"
        raise RuntimeError(message("linalg.cross", f"inputs dimension {dim} must have length 3", shapes))
    y = x.roll(-1, d) * z.roll(-2, d) - x.roll(-2, d) * z.roll(-1, d)
    return y if out is None else write_out("cross", out, y)


def renorm(input: Tensor, p: float, dim: int, maxnorm: float, *, out: Tensor | None = None) -> Tensor:
    """Slices along dim scaled down to a p-norm of at most maxnorm."""
    if input.form.rank < 2:
        raise RuntimeError(message("renorm", f"input needs at least 2 dimensions, got {input.form.rank} dimensions"))
    if not p > 0:
        raise RuntimeError(message("renorm", f"non-positive-norm not supported: p is {p}"))
    if maxnorm < 0:
        raise RuntimeError(message("renorm", f"expected maxnorm to be >= 0 but got {maxnorm}"))
    d = wrap_dim("renorm", dim, input.form.rank)
    others = tuple(i for i in range(input.form.rank) if i != d)
    norms = vector_norm(input, p, others, True)
    y = input * (maxnorm / (norms + 1e-7)).where(norms > maxnorm, 1.0)
    return y if out is None else write_out("renorm", out, y)


spelled(("torch", "method", "in_place"), in_place=assigned(renorm))(renorm)


@spelled(where=("method",))
def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """The sum over the dimensions in which a tensor of this size would have to be expanded to the input's shape."""
    shape = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size
    lead = input.form.rank - len(shape)
    fits = lead >= 0 and all(n in (1, m) for n, m in zip(shape, input.form.shape[lead:]))
    if not fits:
        raise RuntimeError(
            message("sum_to_size", f"size {list(shape)} is not expandable to size {list(input.form.shape)}")
        )
    if input.form.shape == shape and shape:
        return input
    dims = [d for d, n in enumerate(input.form.shape) if d < lead or (shape[d - lead] == 1 and n != 1)]
    if not dims and input.form.dtype.kind not in "iub":
        return input
    return (sum_(input, dims, True) if dims else input.long()).reshape(shape)
