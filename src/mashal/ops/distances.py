"""Distances between all rows of matrices.

Euclidean distances of many rows go by a product of matrices, |x|² + |y|² - 2·x·y: faster, and without a tensor of all
differences; nearly equal rows lose digits so, which PyTorch accepts too (compute_mode says otherwise).
"""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.arithmetic import mul, sub
from mashal.ops.broadcast import sum_to
from mashal.ops.contraction import adjointed, matmul
from mashal.ops.define import recorded, spelled
from mashal.ops.norms import vector_norm
from mashal.ops.powers import sqrt
from mashal.ops.reductions import sum_
from mashal.ops.selection import clamp
from mashal.ops.views import unsqueeze

MANY = 25
"""From how many rows on products of matrices are used, unless compute_mode says otherwise: PyTorch's number."""
_MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")


@recorded("CdistBackward0", tensors=2)
def _euclidean(x: Tensor, y: Tensor) -> tuple[Tensor, tuple]:
    lengths = sum_(mul(x, x), -1, True) + adjointed(sum_(mul(y, y), -1, True))
    squares = lengths - mul(matmul(x, adjointed(y)), 2)
    d = sqrt(clamp(squares, 0))
    return d, (x, y, d)


@_euclidean.backward
def _(node: Any, g: Tensor) -> tuple:
    x, y, d = node.kept()
    ratio = (g / d).masked_fill(d == 0, 0.0)
    of_x = of_y = None
    if node.wants(0):
        of_x = sum_to(mul(x, sum_(ratio, -1, True)) - matmul(ratio, y), x.form.shape)
    if node.wants(1):
        turned = adjointed(ratio)
        of_y = sum_to(mul(y, sum_(turned, -1, True)) - matmul(turned, x), y.form.shape)
    return of_x, of_y


@spelled(where=("torch",))
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: Any = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The p-norm distances of each row of x1 (*, n, size) to each row of x2 (*, m, size): (*, n, m).

    compute_mode: whether Euclidean distances go by products of matrices; by default those of more than 25 rows.

    >>> torch.cdist(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    if x1.form.rank < 2 or x2.form.rank < 2:
        wrong = f"X1 and X2 need at least 2 dimensions, they have {x1.form.rank} and {x2.form.rank}"
        raise RuntimeError(message("cdist", wrong))
    if x1.form.shape[-1] != x2.form.shape[-1]:
        shapes = f"they are {tuple(x1.form.shape)} and {tuple(x2.form.shape)}"
        raise RuntimeError(message("cdist", "X1 and X2 must have the same number of columns", shapes))
    if p < 0:
        raise RuntimeError(message("cdist", f"only supports non-negative p values, got {p}"))
    mode = _MODES[compute_mode] if isinstance(compute_mode, int) else compute_mode
    if mode not in _MODES:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    many = x1.form.shape[-2] > MANY or x2.form.shape[-2] > MANY
    if p == 2 and (mode == _MODES[1] or (mode == _MODES[0] and many)) and x1.form.dtype is x2.form.dtype:
        return _euclidean(x1, x2)
    return vector_norm(sub(unsqueeze(x1, -2), unsqueeze(x2, -3)), p, -1)
