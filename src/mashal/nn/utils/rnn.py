"""Sequences of different lengths as one padded tensor, and back; packed: without padding."""

from __future__ import annotations

from collections.abc import Iterable

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.nearest import nearest
from mashal.nn.utils.packed import PackedSequence, invert_permutation, pack_padded_sequence, pad_packed_sequence

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


def pad_sequence(
    sequences: Tensor | list[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (length, *) side by side: (longest, batch, *), or (batch, longest, *) with batch_first.

    padding_value fills what is missing, on padding_side "right" or "left". The sizes after the first must agree.

    >>> nn.utils.rnn.pad_sequence([torch.ones(1), torch.ones(2)], batch_first=True)
    tensor([[1., 0.],
            [1., 1.]])
    """
    if not isinstance(sequences, (Tensor, Iterable)):
        raise RuntimeError(f"pad_sequence: expected a list of tensors, got a {type(sequences).__name__}")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"pad_sequence: padding_side must be 'left' or 'right', not {padding_side!r}")
    several = list(sequences.unbind(0) if isinstance(sequences, Tensor) else sequences)
    if not several:
        raise RuntimeError("pad_sequence: received an empty list of sequences; it needs at least one")
    longest = max(sequence.size(0) for sequence in several)
    rest = several[0].shape[1:]
    for number, sequence in enumerate(several):
        if sequence.shape[1:] != rest:
            raise RuntimeError(
                f"pad_sequence: sequence {number} is {tuple(sequence.shape)}; except in dim 0 it must match "
                f"sequence 0, {tuple(several[0].shape)}"
            )
    rows = []
    for sequence in several:
        missing = sequence.new_full((longest - sequence.size(0), *rest), padding_value)
        rows.append(ops.cat([sequence, missing] if padding_side == "right" else [missing, sequence]))
    return ops.stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences that pad_sequence put side by side, by their lengths (padding on the right)."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[:length] for row, length in zip(rows.unbind(0), lengths.tolist(), strict=True)]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (length, *) packed; enforce_sorted: the longest come first, otherwise they are sorted here.

    >>> nn.utils.rnn.pack_sequence([torch.tensor([1, 2]), torch.tensor([3])]).data
    tensor([1, 3, 2])
    """
    lengths = [sequence.size(0) for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences that were packed, in their first order."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


__getattr__ = nearest(__name__)
