"""Losses with more inside than a formula: CTCLoss, LinearCrossEntropyLoss, AdaptiveLogSoftmaxWithLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.nn import functional as F
from mashal.nn.containers import ModuleList, Sequential
from mashal.nn.linear import Linear
from mashal.nn.loss import _Loss, _WeightedLoss
from mashal.nn.module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss", "CTCLoss", "LinearCrossEntropyLoss", "LinearCrossEntropyOptions"]


class CTCLoss(_Loss):
    """Connectionist temporal classification: -log of how likely a sequence of labels is, however it is spread over the steps.

    forward(log_probs, targets, input_lengths, target_lengths), as F.ctc_loss.

    >>> even = torch.full((2, 1, 3), 1 / 3).log()
    >>> nn.CTCLoss()(even, torch.tensor([[1]]), [2], [1])
    tensor(1.0986)
    """

    __constants__ = ["blank", "reduction"]
    blank: int
    zero_infinity: bool

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(self, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any) -> Tensor:
        return F.ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )


# ---------------------------------------------------------------- linear and cross entropy
@dataclass(frozen=True)
class LinearCrossEntropyOptions:
    """How PyTorch cuts the work of linear_cross_entropy; taken and kept, without an effect on the numbers.

    ValueError: an option that can't be.
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: Any = None

    def __post_init__(self) -> None:
        ways = self.chunking_method
        if ways is not None and ways != "auto" and ways.partition(":")[0] != "aspect_ratio":
            raise ValueError(f"LinearCrossEntropyOptions: invalid chunking_method: {ways!r}")
        if self.acc_policy not in ("accurate", "balanced", "compact", "auto"):
            raise ValueError(f"LinearCrossEntropyOptions: invalid acc_policy: {self.acc_policy!r}")
        if self.batch_chunk_size is not None and self.batch_chunk_size <= 0:
            raise ValueError(
                f"LinearCrossEntropyOptions: batch_chunk_size must be positive int or None, got {self.batch_chunk_size}"
            )
        if self.acc_dtype is not None and not self.acc_dtype.is_floating_point:
            raise ValueError(
                f"LinearCrossEntropyOptions: acc_dtype must be a floating dtype or None, got {self.acc_dtype}"
            )


class LinearCrossEntropyLoss(_WeightedLoss):
    """A linear layer to num_classes (for each of out_features places) and the cross entropy of its result.

    >>> nn.LinearCrossEntropyLoss(2, 3)(torch.ones(4, 2), torch.tensor([0, 1, 2, 0])).shape
    torch.Size([])
    """

    __constants__ = ["num_classes", "out_features", "reduction", "ignore_index", "label_smoothing"]

    def __init__(self, in_features: int, num_classes: int, *, out_features: tuple[int, ...] = (), bias: bool = False, device: Any = None,
                 dtype: Any = None, reduction: str = "mean", weight: Tensor | None = None, ignore_index: int | None = None,
                 label_smoothing: float = 0.0, options: LinearCrossEntropyOptions | None = None) -> None:  # fmt: skip
        if weight is not None and tuple(weight.shape) != (num_classes,):
            raise RuntimeError(
                f"LinearCrossEntropyLoss: expected weight shape to be {(num_classes,)}, got {tuple(weight.shape)}"
            )
        if not 0 <= label_smoothing <= 1:
            raise RuntimeError(
                f"LinearCrossEntropyLoss: expected label_smoothing to be in range [0, 1], got {label_smoothing}"
            )
        super().__init__(weight=weight, reduction=reduction)
        self.num_classes, self.out_features, self.ignore_index = num_classes, out_features, ignore_index
        self.label_smoothing = label_smoothing
        self.linear = Linear(
            in_features, math.prod(out_features, start=num_classes), bias=bias, device=device, dtype=dtype
        )
        self.options = options

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        shape = self.num_classes, *self.out_features
        weight: Any = self.linear.weight
        bias = None if self.linear.bias is None else self.linear.bias.reshape(shape)
        return F.linear_cross_entropy(
            input, weight.reshape(*shape, self.linear.in_features), target, linear_bias=bias, weight=self.weight,
            reduction=self.reduction, ignore_index=self.ignore_index, label_smoothing=self.label_smoothing, options=self.options,
        )  # fmt: skip

    def extra_repr(self) -> str:
        shown = {
            "in_features": self.linear.in_features,
            "num_classes": self.num_classes,
            "out_features": self.out_features,
        }
        shown |= {"bias": self.linear.bias is not None, "reduction": self.reduction, "ignore_index": self.ignore_index}
        shown |= {"label_smoothing": self.label_smoothing, "options": self.options}
        return ", ".join(f"{name}={value}" for name, value in shown.items())


# ---------------------------------------------------------------- many classes
class _Output(NamedTuple):
    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """log_softmax over many classes of which the first are frequent: the rare ones share clusters with smaller layers.

    cutoffs: where each cluster begins; classes are ordered by how frequent they are. div_value: by how much each cluster's layer is
    smaller than the one before. forward(input, target) gives (the target's log-probability, the mean loss).

    >>> layer = nn.AdaptiveLogSoftmaxWithLoss(8, 20, cutoffs=[4, 10])
    >>> layer(torch.ones(3, 8), torch.tensor([0, 5, 19])).output.shape, layer.log_prob(torch.ones(3, 8)).shape
    (torch.Size([3]), torch.Size([3, 20]))
    """

    in_features: int
    n_classes: int
    cutoffs: list[int]
    div_value: float
    head_bias: bool

    def __init__(self, in_features: int, n_classes: int, cutoffs: Sequence[int], div_value: float = 4.0, head_bias: bool = False,
                 device: Any = None, dtype: Any = None) -> None:  # fmt: skip
        super().__init__()
        made, cuts = {"device": device, "dtype": dtype}, list(cutoffs)
        if not cuts:
            raise ValueError("AdaptiveLogSoftmaxWithLoss: cutoffs should be a sequence of length larger than 0")
        rising = cuts == sorted(set(cuts)) and all(int(c) == c for c in cuts)
        if not rising or cuts[0] <= 0 or cuts[-1] > n_classes - 1:
            raise ValueError(
                "AdaptiveLogSoftmaxWithLoss: cutoffs should be a sequence of unique, positive integers sorted in an increasing order, "
                f"where each value is between 1 and n_classes-1 = {n_classes - 1}, not {cuts}"
            )
        self.in_features, self.n_classes, self.cutoffs = in_features, n_classes, [*cuts, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = cuts[0], len(cuts)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, **made)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            hidden = int(in_features // div_value ** (i + 1))
            size = self.cutoffs[i + 1] - self.cutoffs[i]
            self.tail.append(
                Sequential(Linear(in_features, hidden, bias=False, **made), Linear(hidden, size, bias=False, **made))
            )

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.head.reset_parameters()
        for first, second in self.tail:
            first.reset_parameters()
            second.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> _Output:
        batched = target_.dim() == 1
        if target_.dim() > 1:
            raise RuntimeError(
                "AdaptiveLogSoftmaxWithLoss: 0D or 1D target tensor expected, multi-target not supported"
            )
        if input_.dim() != target_.dim() + 1 or (batched and input_.size(0) != target_.size(0)):
            raise RuntimeError(
                "AdaptiveLogSoftmaxWithLoss: Input and target should have the same size in the batch dimension; input is "
                f"{tuple(input_.shape)}, target {tuple(target_.shape)}"
            )
        x: Any = input_ if batched else input_.unsqueeze(0)  # type: ignore[attr-defined]
        target: Any = target_ if batched else target_.unsqueeze(0)  # type: ignore[attr-defined]
        if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < self.n_classes:
            raise RuntimeError(
                f"AdaptiveLogSoftmaxWithLoss: Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{target.min().item()}, {target.max().item()}] were found."
            )
        output, head = x.new_zeros(target.size(0)), ops.where(target < self.shortlist_size, target, 0)
        for i, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:])):
            rows = ((target >= low) & (target < high)).nonzero().squeeze(1)
            if rows.numel():
                found = F.log_softmax(self.tail[i](x.index_select(0, rows)), dim=1)
                own = found.gather(1, (target.index_select(0, rows) - low).unsqueeze(1)).squeeze(1)
                output = output.index_copy(0, rows, own)
                head = head.index_fill(0, rows, self.shortlist_size + i)  # type: ignore[attr-defined]
        chances = F.log_softmax(self.head(x), dim=1)
        output = output + chances.gather(1, head.unsqueeze(1)).squeeze(1)  # type: ignore[attr-defined]
        return _Output(output if batched else output.squeeze(0), (-output).mean())

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes: (batch, n_classes)."""
        return self._all(input, self.head(input))

    def _all(self, input: Tensor, head: Tensor) -> Tensor:
        chances = F.log_softmax(head, dim=1)
        parts = [chances[:, : self.shortlist_size]]
        for i in range(self.n_clusters):
            entered = chances[:, self.shortlist_size + i].unsqueeze(1)
            parts.append(F.log_softmax(self.tail[i](input), dim=1) + entered)
        return ops.cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The most likely class of each example."""
        head = self.head(input)
        best = ops.argmax(head, 1)
        rare = best >= self.shortlist_size
        if rare.any():
            best[rare] = ops.argmax(self._all(input[rare], head[rare]), 1)
        return best
