"""Losses that ask for a margin between what is right and what is wrong, for classes, pairs and triplets."""

from __future__ import annotations

from collections.abc import Callable

from mashal import ops
from mashal.core.dtypes import get_default_dtype
from mashal.core.tensor import Tensor
from mashal.nn.functions.distances import cosine_similarity, pairwise_distance
from mashal.nn.functions.reduction import check_reduction, reduced, reduction_from


# ---------------------------------------------------------------- classes
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-t·x)) for targets of 1 and -1."""
    reduction = reduction_from(size_average, reduce, reduction)
    return reduced((-target * input).exp().log1p(), reduction, "soft_margin_loss")


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over classes (the last dim) of binary_cross_entropy_with_logits."""
    reduction = reduction_from(size_average, reduce, reduction)
    losses = -(target * ops.logsigmoid(input) + (1 - target) * ops.logsigmoid(-input))
    losses = losses if weight is None else losses * weight
    return reduced(losses.mean(-1), reduction, "multilabel_soft_margin_loss")


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over the wrong classes of max(0, margin - x[right] + x[wrong])^p; p is 1 or 2."""
    reduction = reduction_from(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: p must be 1 or 2, not {p}")
    if weight is not None and weight.dim() != 1:
        raise ValueError(f"multi_margin_loss: weight must have 1 dimension, not {weight.dim()}")
    check_reduction(reduction, "multi_margin_loss")
    rows = input if input.dim() == 2 else input.reshape(1, -1)
    classes = target.reshape(-1, 1)
    excess = (margin - rows.gather(1, classes) + rows).clamp_min(0)
    excess = excess if p == 1 else excess * excess
    excess = excess if weight is None else excess * weight[classes]
    losses = excess.scatter(1, classes, 0.0).sum(1) / rows.size(1)
    return reduced(losses if input.dim() == 2 else losses.squeeze(0), reduction, "multi_margin_loss")


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The sum over right and wrong classes of max(0, 1 - x[right] + x[wrong]), divided by the number of classes.

    target: of input's shape; a row lists the right classes, up to the first -1.
    """
    reduction = reduction_from(size_average, reduce, reduction)
    check_reduction(reduction, "multilabel_margin_loss")
    if input.dim() > 2 or not (input.shape[-1] if input.dim() else 1):
        wrong = f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(input.shape)}"
        raise RuntimeError(f"multilabel_margin_loss: {wrong}")
    if target.shape != input.shape:
        wrong = f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}"
        raise RuntimeError(f"multilabel_margin_loss: {wrong}")
    rows, lists = (input, target) if input.dim() == 2 else (input.reshape(1, -1), target.reshape(1, -1))
    listed = (lists < 0).cumsum(1) == 0  # (batch, classes): before the first -1
    where_to = ops.where(listed, lists, 0)
    right = ops.zeros_like(lists).scatter_add_(1, where_to, listed.to(lists.dtype)) > 0
    excess = (1 - rows.gather(1, where_to).unsqueeze(2) + rows.unsqueeze(1)).clamp_min(0)  # (batch, right, wrong)
    counted = listed.unsqueeze(2) & ~right.unsqueeze(1)
    losses = ops.where(counted, excess, 0.0).sum((1, 2)) / rows.size(1)
    return reduced(losses if input.dim() == 2 else losses.squeeze(0), reduction, "multilabel_margin_loss")


# ---------------------------------------------------------------- pairs and triplets
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin - t·(x1 - x2)): x1 should be above x2 where t is 1, below where it is -1."""
    reduction = reduction_from(size_average, reduce, reduction)
    if not input1.dim() == input2.dim() == target.dim():
        raise RuntimeError(
            f"margin_ranking_loss: input1 {tuple(input1.shape)}, input2 {tuple(input2.shape)} and target "
            f"{tuple(target.shape)} must have the same number of dimensions"
        )
    return reduced((-target * (input1 - input2) + margin).clamp_min(0), reduction, "margin_ranking_loss")


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """x where t is 1, max(0, margin - x) where it is -1; x is a distance."""
    reduction = reduction_from(size_average, reduce, reduction)
    near = ops.where(target == -1, 0.0, input)
    far = ops.where(target == 1, 0.0, (margin - input).clamp_min(0))
    return reduced(near + far, reduction, "hinge_embedding_loss")


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(x1, x2) where t is 1, max(0, cos(x1, x2) - margin) where it is -1."""
    reduction = reduction_from(size_average, reduce, reduction)
    dims = target.dim() + 1
    if target.dim() > 1 or input1.dim() != dims or input2.dim() != dims:
        raise RuntimeError(
            f"cosine_embedding_loss: inputs {tuple(input1.shape)} and {tuple(input2.shape)} must be (batch, size) "
            f"with a target (batch,), or (size,) with a target (); the target is {tuple(target.shape)}"
        )
    cosine = cosine_similarity(_floating(input1), _floating(input2), -1, 1e-12)
    near = ops.where(target == 1, 1 - cosine, 0.0)
    far = ops.where(target == -1, (cosine - margin).clamp_min(0), 0.0)
    return reduced(near + far, reduction, "cosine_embedding_loss")


def _floating(x: Tensor) -> Tensor:
    return x if x.is_floating_point() else x.to(get_default_dtype())


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) with the p-norm; see the next one for swap."""
    reduction = reduction_from(size_average, reduce, reduction)

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return pairwise_distance(x, y, p, eps)

    return triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=distance, margin=margin, swap=swap, reduction=reduction
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) with any distance; the 2-norm if none is given.

    swap: take the smaller of the negative's distances from anchor and from positive.
    """
    distance = pairwise_distance if distance_function is None else distance_function
    if margin <= 0:
        raise ValueError(f"triplet loss: margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            f"triplet loss: anchor {tuple(anchor.shape)}, positive {tuple(positive.shape)} and negative "
            f"{tuple(negative.shape)} must have the same number of dimensions"
        )
    far = distance(anchor, negative)
    if swap:
        far = ops.minimum(far, distance(positive, negative))
    near = distance(anchor, positive)
    return reduced((near - far + margin).clamp_min(0), reduction, "triplet_margin_loss")
