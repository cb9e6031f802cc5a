"""Distances and lengths along a dim."""

from __future__ import annotations

from mashal import ops
from mashal.core.tensor import Tensor


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    """x divided by its p-norm along dim, which is taken to be at least eps.

    >>> F.normalize(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    length = input.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(input)
    return input / length if out is None else out.copy_(input / length)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dim."""
    return (x1 - x2 + eps).norm(p, -1, keepdim=keepdim)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between x1 and x2 along dim; their lengths are taken to be at least eps.

    >>> F.cosine_similarity(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    tensor([1.])
    """
    if not ops.result_type(x1, x2).is_floating_point:
        raise RuntimeError(
            f"cosine_similarity: expected common dtype to be floating point, yet it is {ops.result_type(x1, x2)}"
        )
    x1, x2 = ops.broadcast_tensors(x1, x2)
    return (_unit(x1, dim, eps) * _unit(x2, dim, eps)).sum(dim)


def _unit(x: Tensor, dim: int, eps: float) -> Tensor:
    return x / x.norm(2, dim, keepdim=True).clamp_min(eps)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norm distances of every two rows of (n, size): of the first to the others, of the second to those after it, ….

    >>> F.pdist(torch.tensor([[0.0], [1.0], [3.0]]))
    tensor([1., 3., 2.])
    """
    if input.dim() != 2:
        raise RuntimeError(f"pdist: only supports 2D tensors, got {input.dim()}D: {tuple(input.shape)}")
    if not input.is_floating_point():
        raise RuntimeError(f"pdist: only supports floating-point dtypes, got {input.dtype}")
    if p < 0:
        raise RuntimeError(f"pdist: only supports non-negative p values, got {p}")
    n = input.size(0)
    one, other = ops.triu_indices(n, n, 1).unbind(0)
    return ops.vector_norm(input.index_select(0, one) - input.index_select(0, other), p, -1)
