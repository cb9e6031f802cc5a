"""Methods as functions, channels in another order, and a file's bytes as a tensor."""

from __future__ import annotations

from typing import Any

from mashal.core.devices import CPU
from mashal.core.dtypes import get_default_dtype, int64
from mashal.core.forms import form
from mashal.core.shapes import contiguous_strides
from mashal.core.storage import UntypedStorage
from mashal.core.tensor import Tensor, make
from mashal.errors import message
from mashal.ops.assigning import assigned
from mashal.ops.define import spelled
from mashal.ops.dropouts import rrelu

# The methods of tensors are attached above this floor: what is written with them here is checked by tests, not types.
# pyright: reportAttributeAccessIssue=false


@spelled(("torch",))
def detach(input: Tensor) -> Tensor:
    """The same data without history.

    >>> torch.detach(torch.ones(1, requires_grad=True)).requires_grad
    False
    """
    return input.detach()


_rrelu_in_place = assigned(rrelu)


@spelled(("torch",))
def rrelu_(input: Tensor, *arguments: Any, **options: Any) -> Tensor:
    """rrelu, written into the tensor itself."""
    return _rrelu_in_place(input, *arguments, **options)


@spelled(("torch",))
def native_channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """(batch, channels, *): the first channel of every group, then the second of every group, and so on.

    >>> torch.native_channel_shuffle(torch.arange(4).reshape(1, 4, 1), 2).flatten()
    tensor([0, 2, 1, 3])
    """
    if input.form.rank < 3:
        raise RuntimeError(
            message("native_channel_shuffle", f"input needs more than 2 dimensions, it is {tuple(input.shape)}")
        )
    batch, channels, *window = input.form.shape
    if groups < 1 or channels % groups:
        raise RuntimeError(message("native_channel_shuffle", f"{channels} channels do not fall into {groups} groups"))
    return input.reshape(batch, groups, channels // groups, *window).transpose(1, 2).reshape(input.shape)


@spelled(("torch",))
def _shape_as_tensor(input: Tensor) -> Tensor:
    """The shape as a tensor of int64."""
    return input.new_tensor(list(input.shape), dtype=int64)


@spelled(("torch",))
def from_file(filename: str, shared: bool | None = None, size: int | None = 0, *, dtype: Any = None, layout: Any = None,
              device: Any = None, pin_memory: bool = False) -> Tensor:  # fmt: skip
    """A file's bytes as a tensor of `size` elements, mapped and not read.

    shared: what is written into the tensor is written to the file, which is made if need be; else the file stays as it is.
    """
    d = dtype or get_default_dtype()
    n = int(size or 0)
    storage = UntypedStorage.from_file(filename, bool(shared), n * d.itemsize)
    return make(storage.capsule, 0, form(d, CPU, (n,), contiguous_strides((n,))))


@spelled(("torch",))
def detach_(input: Tensor) -> Tensor:
    """Takes a tensor out of its history; returns it."""
    return input.detach_()
