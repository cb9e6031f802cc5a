"""Layers that bring each channel to mean 0 and variance 1, over a batch or over each example.

In training with the statistics of what comes in, which move the running ones along; in evaluation with the running
ones, if they are kept.
"""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import int64
from mashal.core.tensor import Tensor
from mashal.machine.observing import number
from mashal.nn import functional as F
from mashal.nn import init
from mashal.nn.module import Module
from mashal.nn.parameter import Parameter
from mashal.ops import empty, ones, tensor, zeros


class _NormBase(Module):
    """Parameters, running statistics and their loading: what all of them have."""

    _version = 2  # 2 added num_batches_tracked
    __constants__ = ["track_running_stats", "momentum", "eps", "num_features", "affine"]
    num_features: int
    eps: float
    momentum: float | None
    affine: bool
    track_running_stats: bool

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        options = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(empty(num_features, **options)) if affine else None)
        self.register_parameter("bias", Parameter(empty(num_features, **options)) if affine and bias else None)
        kept = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **options) if kept else None)
        self.register_buffer("running_var", ones(num_features, **options) if kept else None)
        self.register_buffer("num_batches_tracked", tensor(0, dtype=int64, device=device) if kept else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Begin anew with mean 0 and variance 1, of no batches."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Set weight to 1, bias to 0, and the running statistics to where they begin."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        """ValueError unless input has one of the numbers of dimensions this layer is for."""
        allowed = self._dimensions
        if input.dim() not in allowed:
            counts = " or ".join(f"{n}D" for n in allowed)
            raise ValueError(
                f"{type(self).__name__}: expected {counts} input (got {input.dim()}D input {tuple(input.shape)})"
            )

    _dimensions: tuple[int, ...] = ()

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        key = prefix + "num_batches_tracked"
        if local_metadata.get("version", 1) < 2 and self.track_running_stats and key not in state_dict:
            tracked = self.num_batches_tracked
            known = tracked is not None and tracked.device.type != "meta"
            state_dict[key] = tracked if known else tensor(0, dtype=int64)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


class _BatchNorm(_NormBase):
    """Over a batch: the forward that the layers for 1, 2 and 3 spatial dimensions share."""

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        momentum: Any = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            before = self.num_batches_tracked
            if self.momentum is None:  # the running statistics are the mean of all batches'
                momentum = number(lambda: 1.0 / (float(before) + 1), before)
            self.num_batches_tracked.add_(1)
        of_the_batch = self.training or (self.running_mean is None and self.running_var is None)
        keep = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if keep else None,
            self.running_var if keep else None,
            self.weight,
            self.bias,
            of_the_batch,
            momentum,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """For (batch, features) or (batch, features, length), each feature over the batch (and length).

    momentum: by how much the running statistics move towards a batch's; None: they are the mean of all batches'.
    affine: with a weight and, unless bias=False, a bias for each feature. track_running_stats=False: none are kept,
    and evaluation uses the batch's as well.

    >>> nn.BatchNorm1d(3)
    BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    _dimensions = (2, 3)


class BatchNorm2d(_BatchNorm):
    """For (batch, channels, height, width), each channel over the batch, height and width."""

    _dimensions = (4,)


class BatchNorm3d(_BatchNorm):
    """For (batch, channels, depth, height, width), each channel over all but the channels."""

    _dimensions = (5,)


class _InstanceNorm(_NormBase):
    """Over each example by itself; by default without parameters and running statistics."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        single = input.dim() == min(self._dimensions)
        channels = input.size(0 if single else 1)
        if channels != self.num_features and self.affine:
            raise ValueError(
                f"{type(self).__name__}: input {tuple(input.shape)} has {channels} channels, "
                f"num_features is {self.num_features}"
            )
        result = F.instance_norm(
            input.unsqueeze(0) if single else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return result.squeeze(0) if single else result


class InstanceNorm1d(_InstanceNorm):
    """For (batch, channels, length) or (channels, length), each channel of each example over the length."""

    _dimensions = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """For (batch, channels, height, width), or the same without batch."""

    _dimensions = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """For (batch, channels, depth, height, width), or the same without batch."""

    _dimensions = (4, 5)


class SyncBatchNorm(_BatchNorm):
    """A batch norm whose statistics are those of all processes of a group; of a process alone they are its own.

    >>> nn.SyncBatchNorm(3)(torch.ones(2, 3, 4)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
                 track_running_stats: bool = True, process_group: Any = None, device: Any = None, dtype: Any = None, *,
                 bias: bool = True) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"SyncBatchNorm: expected at least 2D input (got {input.dim()}D input)")

    @classmethod
    def convert_sync_batchnorm(cls, module: Any, process_group: Any = None) -> Any:
        """A module with every batch norm within made a SyncBatchNorm; the others stay the same objects.

        >>> nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.BatchNorm1d(2)))[0].num_features
        2
        """
        made = module
        if isinstance(module, _BatchNorm):
            made = cls(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
            )
            for name in ("weight", "bias"):
                setattr(made, name, getattr(module, name))
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                setattr(made, name, getattr(module, name))
            made.training = module.training
        for name, child in module.named_children():
            made.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return made
