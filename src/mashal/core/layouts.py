"""Names of layouts and of memory formats: `strided`, `channels_last`, `preserve_format` …

Every tensor here is strided. A memory format says in which order the dimensions of a new tensor lie in memory.
"""

from __future__ import annotations

from typing import Any

from mashal.errors import message

__all__ = ["channels_last", "channels_last_3d", "contiguous_format", "jagged", "layout", "memory_format", "per_channel_affine",
           "per_channel_affine_float_qparams", "per_channel_symmetric", "per_tensor_affine", "per_tensor_symmetric", "preserve_format",
           "qscheme",
           "sparse_bsc", "sparse_bsr", "sparse_coo", "sparse_csc", "sparse_csr", "strided"]  # fmt: skip


class _Name:
    """A name that is one object for ever."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self


class layout(_Name):
    """How a tensor's elements are kept: `strided` (in their place in memory) or one of the sparse ways."""

    __slots__ = ()


class memory_format(_Name):
    """In which order a tensor's dimensions lie in memory."""

    __slots__ = ()


class qscheme(_Name):
    """How numbers become small integers: by one scale for all, or one for each channel."""

    __slots__ = ()


jagged = layout("jagged")
per_tensor_affine, per_tensor_symmetric = qscheme("per_tensor_affine"), qscheme("per_tensor_symmetric")
per_channel_affine, per_channel_symmetric = qscheme("per_channel_affine"), qscheme("per_channel_symmetric")
per_channel_affine_float_qparams = qscheme("per_channel_affine_float_qparams")
strided, sparse_coo, sparse_csr = layout("strided"), layout("sparse_coo"), layout("sparse_csr")
sparse_csc, sparse_bsr, sparse_bsc = layout("sparse_csc"), layout("sparse_bsr"), layout("sparse_bsc")
contiguous_format, preserve_format = memory_format("contiguous_format"), memory_format("preserve_format")
channels_last, channels_last_3d = memory_format("channels_last"), memory_format("channels_last_3d")


def format_strides(operation: str, shape: tuple[int, ...], order: memory_format) -> tuple[int, ...] | None:
    """The strides of a dense tensor in a memory format; None for the contiguous one.

    RuntimeError: channels_last of other than 4 dimensions, channels_last_3d of other than 5.
    """
    if order is contiguous_format or order is preserve_format:
        return None
    rank = {channels_last: 4, channels_last_3d: 5}.get(order)
    if rank is None:
        raise TypeError(message(operation, f"memory_format is {order!r}", "it must be a torch.memory_format"))
    if len(shape) != rank:
        raise RuntimeError(
            message(operation, f"required rank {rank} tensor to use {order.name} format, got {len(shape)} dimensions")
        )
    strides, step = [0] * rank, 1
    for d in (1, *range(rank - 1, 1, -1), 0):
        strides[d] = step
        step *= max(shape[d], 1)
    return tuple(strides)
