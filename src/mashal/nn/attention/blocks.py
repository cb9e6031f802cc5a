"""Masks of attention, by blocks: which blocks of queries and keys are looked at in part, which as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal import ops
from mashal.core.dtypes import int32
from mashal.core.tensor import Tensor

__all__ = ["BlockMask", "and_masks", "create_block_mask", "create_mask", "noop_mask", "or_masks"]

MaskFunction = Callable[[Any, Any, Any, Any], Any]
BLOCK = 128


def noop_mask(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """The mask that lets every query see every key."""
    return ops.ones_like(batch, dtype=None) == 1  # type: ignore[return-value]


def and_masks(*mask_mods: MaskFunction) -> MaskFunction:
    """The mask that all masks together allow."""

    def together(b: Any, h: Any, q: Any, k: Any) -> Any:
        found = mask_mods[0](b, h, q, k)
        for mask in mask_mods[1:]:
            found = found & mask(b, h, q, k)
        return found

    return together


def or_masks(*mask_mods: MaskFunction) -> MaskFunction:
    """The mask that any of some masks allows."""

    def either(b: Any, h: Any, q: Any, k: Any) -> Any:
        found = mask_mods[0](b, h, q, k)
        for mask in mask_mods[1:]:
            found = found | mask(b, h, q, k)
        return found

    return either


def places(b: int, h: int, q: int, k: int, device: Any = None) -> list[Any]:
    """Numbers of batch, head, query and key, as tensors that broadcast to (b, h, q, k)."""
    shapes = [(-1, 1, 1, 1), (-1, 1, 1), (-1, 1), (-1,)]
    return [ops.arange(n, device=device).view(shape) for n, shape in zip((b, h, q, k), shapes)]  # type: ignore[attr-defined]


def create_mask(
    mod_fn: MaskFunction, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = "cpu"
) -> Any:
    """A mask function's values: bool, (B, H, Q_LEN, KV_LEN).

    >>> from mashal.nn.attention.flex_attention import create_mask
    >>> create_mask(lambda b, h, q, k: q >= k, 1, 1, 2, 2)
    tensor([[[[ True, False],
              [ True,  True]]]])
    """
    sizes = (B or 1, H or 1, Q_LEN, KV_LEN)
    return mod_fn(*places(*sizes, device=device)).expand(sizes)


class BlockMask:
    """A mask of attention and which of its blocks are empty, partly or wholly seen.

    kv_num_blocks (B, H, rows), kv_indices (B, H, rows, columns): how many partly seen blocks a row of blocks has, and which; full_…: wholly
    seen ones. mask_mod: who is seen within partly seen ones. Made by create_block_mask, or of these tables by from_kv_blocks.
    """

    def __init__(self, seq_lengths: tuple[int, int], kv_num_blocks: Any, kv_indices: Any, full_kv_num_blocks: Any, full_kv_indices: Any,
                 BLOCK_SIZE: tuple[int, int], mask_mod: MaskFunction) -> None:  # fmt: skip
        self.seq_lengths, self.BLOCK_SIZE, self.mask_mod = seq_lengths, BLOCK_SIZE, mask_mod
        self.kv_num_blocks, self.kv_indices = kv_num_blocks, kv_indices
        self.full_kv_num_blocks, self.full_kv_indices = full_kv_num_blocks, full_kv_indices

    @classmethod
    def from_kv_blocks(cls, kv_num_blocks: Any, kv_indices: Any, full_kv_num_blocks: Any = None, full_kv_indices: Any = None,
                       BLOCK_SIZE: Any = BLOCK, mask_mod: MaskFunction | None = None, seq_lengths: Any = None,
                       compute_q_blocks: bool = True) -> BlockMask:  # fmt: skip
        """A mask of tables of blocks. RuntimeError: kv_indices has less than two dimensions, or one full table is missing."""
        if kv_indices.dim() < 2:
            raise RuntimeError(
                f"BlockMask must have at least 2 dimensions, but kv_indices is {tuple(kv_indices.shape)}"
            )
        if (full_kv_num_blocks is None) != (full_kv_indices is None):
            raise AssertionError("BlockMask: full_kv_num_blocks and full_kv_indices must be both provided or omitted")
        size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
        rows, columns = kv_indices.shape[-2:]
        lengths = (rows * size[0], columns * size[1]) if seq_lengths is None else tuple(seq_lengths)
        return cls(lengths, kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices, size, mask_mod or noop_mask)

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, H, queries, keys)."""
        return (*self.kv_indices.shape[:-2], *self.seq_lengths)

    def numel(self) -> int:
        """How many pairs of query and key there are."""
        total = 1
        for n in self.shape:
            total *= n
        return total

    def to_dense(self) -> Any:
        """1 for each block that is seen, 0 for the others: (B, H, rows, columns)."""
        partly = _dense(self.kv_num_blocks, self.kv_indices)
        return (
            partly if self.full_kv_indices is None else partly + _dense(self.full_kv_num_blocks, self.full_kv_indices)
        )

    def sparsity(self) -> float:
        """How much of the mask is not seen, in percent, block by block."""
        dense = self.to_dense()
        return 100 * (1 - float(dense.sum()) / max(dense.numel(), 1))

    def to(self, device: Any) -> BlockMask:
        """The same with its tables on a device."""
        moved = [
            None if x is None else x.to(device)
            for x in (self.kv_num_blocks, self.kv_indices, self.full_kv_num_blocks, self.full_kv_indices)
        ]
        return BlockMask(self.seq_lengths, *moved, self.BLOCK_SIZE, self.mask_mod)  # type: ignore[arg-type]

    def seen(self, b: int, h: int, q: int, k: int, device: Any) -> Any:
        """Who is seen: bool, broadcasts to (b, h, q, k)."""
        found = self.mask_mod(*places(b, h, q, k, device)) & self._spread(self.kv_num_blocks, self.kv_indices, q, k)
        if self.full_kv_indices is not None:
            found = found | self._spread(self.full_kv_num_blocks, self.full_kv_indices, q, k)
        return found

    def _spread(self, counts: Any, indices: Any, q: int, k: int) -> Any:
        blocks = _dense(counts, indices) == 1
        rows, columns = self.BLOCK_SIZE
        return blocks.repeat_interleave(rows, -2).repeat_interleave(columns, -1)[..., :q, :k]

    def __repr__(self) -> str:
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%)"


def _dense(counts: Any, indices: Any) -> Any:
    """Tables of blocks as ones and zeros."""
    columns = indices.size(-1)
    valid = ops.arange(columns, device=indices.device) < counts.unsqueeze(-1)  # type: ignore[operator]
    made = indices.new_zeros((*indices.shape[:-1], columns + 1))
    where = ops.where(valid, indices, columns).long()  # type: ignore[attr-defined]
    return made.scatter_(-1, where, 1)[..., :columns]


def _table(blocks: Any) -> tuple[Any, Any]:
    """Ones and zeros as tables of blocks."""
    return blocks.sum(-1).to(int32), ops.argsort(blocks.to(int32), dim=-1, descending=True, stable=True).to(int32)  # type: ignore[attr-defined]


def create_block_mask(mask_mod: MaskFunction, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None,
                      BLOCK_SIZE: Any = BLOCK, _compile: bool = False) -> BlockMask:  # fmt: skip
    """The block mask of a mask function: mask_mod(batch, head, query, key) -> bool, of numbers as tensors that broadcast.

    B, H: None where the mask is the same for all.

    >>> from mashal.nn.attention.flex_attention import create_block_mask
    >>> create_block_mask(lambda b, h, q, k: q >= k, None, None, 256, 256)
    BlockMask(shape=(1, 1, 256, 256), sparsity=25.00%)
    """
    rows, columns = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else BLOCK_SIZE
    mask = create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device)
    more = (-KV_LEN % columns, -Q_LEN % rows)
    padded = ops.pad(mask, (0, more[0], 0, more[1]))  # the rest of the last blocks counts as unseen
    b, h, q, k = padded.shape
    counts = padded.view(b, h, q // rows, rows, k // columns, columns).sum((3, 5))  # type: ignore[attr-defined]
    full = counts == rows * columns
    partly = (counts > 0) & ~full
    return BlockMask((Q_LEN, KV_LEN), *_table(partly), *_table(full), (rows, columns), mask_mod)
