"""Sequences of different lengths without padding: what recurrent layers read step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from mashal.core.dtypes import int64
from mashal.core.tensor import Tensor
from mashal.ops import arange, argsort, cat, empty_like, tensor, zeros_like

__all__ = ["PackedSequence", "invert_permutation", "pack_padded_sequence", "pad_packed_sequence"]


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes one; None for None.

    >>> nn.utils.rnn.invert_permutation(torch.tensor([2, 0, 1]))
    tensor([1, 2, 0])
    """
    if permutation is None:
        return None
    places = arange(permutation.numel(), device=permutation.device)
    return empty_like(permutation).scatter_(0, permutation, places)  # type: ignore[attr-defined]


class PackedSequence(_Packed):
    """Sequences, the longest first, step after step: data has the first elements of all, then the second ones …

    data: (rows, *). batch_sizes: how many sequences each step has, on the cpu. sorted_indices: which sequence came where
    when they were sorted by length, unsorted_indices: the way back; None if they were sorted already. Made by
    pack_padded_sequence and pack_sequence.
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            data, batch_sizes = data
        if batch_sizes is not None and batch_sizes.device.type != "cpu":
            raise ValueError(
                f"PackedSequence: batch_sizes should always be on CPU, but they are on {batch_sizes.device}; use .cpu()"
            )
        assert batch_sizes is not None
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    # ------------------------------------------------------------ other dtypes and devices
    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with data (and indices, where a device is named) as Tensor.to makes them."""
        data = self.data.to(*args, **kwargs)  # type: ignore[attr-defined]
        if data is self.data:
            return self
        indices = [
            None if x is None else x.to(data.device)  # type: ignore[attr-defined]
            for x in (self.sorted_indices, self.unsorted_indices)
        ]
        return type(self)(data, self.batch_sizes, *indices)

    def _as(self, name: str) -> PackedSequence:
        return self.to(dtype=getattr(self.data, name)().dtype)

    def double(self) -> PackedSequence:
        """With data of float64."""
        return self._as("double")

    def float(self) -> PackedSequence:
        """With data of float32."""
        return self._as("float")

    def half(self) -> PackedSequence:
        """With data of float16."""
        return self._as("half")

    def long(self) -> PackedSequence:
        """With data of int64."""
        return self._as("long")

    def int(self) -> PackedSequence:
        """With data of int32."""
        return self._as("int")

    def short(self) -> PackedSequence:
        """With data of int16."""
        return self._as("short")

    def char(self) -> PackedSequence:
        """With data of int8."""
        return self._as("char")

    def byte(self) -> PackedSequence:
        """With data of uint8."""
        return self._as("byte")

    def cpu(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """On the cpu."""
        return self.to("cpu", *args, **kwargs)

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """On a CUDA device; AssertionError where there is none."""
        return self.to("cuda", *args, **kwargs)

    def pin_memory(self) -> PackedSequence:
        """In memory that a device may read; RuntimeError where there is no device."""
        return type(self)(self.data.pin_memory(), self.batch_sizes, self.sorted_indices, self.unsorted_indices)  # type: ignore[attr-defined]

    @property
    def is_cuda(self) -> bool:
        """Whether its data lies on a CUDA device."""
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """Whether a device may read its data where it is."""
        return self.data.is_pinned()  # type: ignore[attr-defined]


def pack_padded_sequence(
    input: Tensor, lengths: Tensor | Sequence, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Padded sequences (longest, batch, *), or (batch, longest, *) with batch_first, without their padding.

    lengths: of each sequence, on the cpu. enforce_sorted: they never grow; otherwise the sequences are sorted here.
    ValueError: a length is not positive. RuntimeError: not sorted though they should be, or not one for each sequence.

    >>> packed = nn.utils.rnn.pack_padded_sequence(torch.tensor([[1, 2], [3, 0]]), [2, 1], batch_first=True)
    >>> packed.data, packed.batch_sizes
    (tensor([1, 3, 2]), tensor([2, 1]))
    """
    length = tensor(lengths, dtype=int64) if not isinstance(lengths, Tensor) else lengths.to(dtype=int64)  # type: ignore[attr-defined]
    if length.device.type != "cpu":
        raise RuntimeError(f"pack_padded_sequence: lengths must be on the cpu, but they are on {length.device}")
    if length.dim() != 1:
        raise RuntimeError(f"pack_padded_sequence: lengths must have 1 dimension, not {length.dim()}")
    if not input.numel():
        raise RuntimeError("pack_padded_sequence: Cannot pack empty tensors.")
    order = None
    if not enforce_sorted:
        order = argsort(length, descending=True, stable=True)
        length = length[order]
        input = input.index_select(0 if batch_first else 1, order.to(input.device))  # type: ignore[attr-defined]
    steps = input.transpose(0, 1) if batch_first else input  # type: ignore[attr-defined]
    sizes = _batch_sizes(length.tolist(), steps.size(1))  # type: ignore[attr-defined]
    if len(sizes) > steps.size(0):
        raise RuntimeError(
            f"pack_padded_sequence: Expected `len(lengths)` to fit the input: a sequence of {len(sizes)} steps in {steps.size(0)}"
        )
    data = cat([steps[t, :n] for t, n in enumerate(sizes)])
    return PackedSequence(data, tensor(sizes, dtype=int64), order)


def _batch_sizes(lengths: list[int], batch: int) -> list[int]:
    if len(lengths) != batch:
        raise RuntimeError(
            f"pack_padded_sequence: Expected `len(lengths)` to be equal to batch_size {batch}, but got {len(lengths)}"
        )
    if lengths != sorted(lengths, reverse=True):
        raise RuntimeError(
            "pack_padded_sequence: `lengths` array must be sorted in decreasing order when `enforce_sorted` is True; "
            "pass enforce_sorted=False to have them sorted here"
        )
    if lengths[-1] <= 0:
        raise RuntimeError(
            f"pack_padded_sequence: Length of all samples has to be greater than 0, but found {lengths[-1]}"
        )
    sizes, there = [], len(lengths)
    for t in range(lengths[0]):
        while lengths[there - 1] <= t:
            there -= 1
        sizes.append(there)
    return sizes


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """Packed sequences side by side with padding, in their first order; and their lengths.

    total_length: how many steps there are to be, at least as many as the longest has; ValueError otherwise.
    """
    sizes = sequence.batch_sizes.tolist()  # type: ignore[attr-defined]
    longest = len(sizes)
    if total_length is not None:
        if total_length < longest:
            raise ValueError(
                "pad_packed_sequence: Expected total_length to be at least the length of the longest sequence in input, but "
                f"got total_length={total_length} and max sequence length being {longest}"
            )
        longest = total_length
    data, batch = sequence.data, sizes[0]
    rest = tuple(data.shape[1:])
    pieces, start = [], 0
    for n in sizes:
        pieces.append(data[start : start + n])
        if n < batch:
            pieces.append(data.new_full((batch - n, *rest), padding_value))  # type: ignore[attr-defined]
        start += n
    if longest > len(sizes):
        pieces.append(data.new_full(((longest - len(sizes)) * batch, *rest), padding_value))  # type: ignore[attr-defined]
    padded = cat(pieces).view(longest, batch, *rest)  # type: ignore[attr-defined]
    lengths = zeros_like(sequence.batch_sizes, dtype=int64).new_tensor(
        [sum(n > i for n in sizes) for i in range(batch)]
    )  # type: ignore[attr-defined]
    padded = padded.transpose(0, 1) if batch_first else padded
    back = sequence.unsorted_indices
    if back is not None:
        padded = padded.index_select(0 if batch_first else 1, back)
        lengths = lengths[back.cpu()]  # type: ignore[attr-defined]
    return padded, lengths
