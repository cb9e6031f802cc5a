"""A batch as a message: the bytes of its tensors and arrays in one shared block, the rest pickled.

The worker keeps a shelf of blocks. A block that the parent has mapped once is used again when the consumer has dropped
every tensor upon it: then a batch costs neither a system call for memory nor a page fault. Tensors are sent by value:
two that overlap in the worker no longer do in the parent.
"""

from __future__ import annotations

import ctypes
import pickle
import struct
import threading
from io import BytesIO
from typing import Any

from mashal.core import dtypes
from mashal.core.forms import dense_strides
from mashal.core.tensor import Tensor
from mashal.multiprocessing.memory import SharedBlock, tensor_over

_ALIGNED = 64  # a tensor starts at a cache line
_GRAIN = 1 << 16  # a block's size is a multiple
_SMALL = 1 << 15  # a pickle up to this size goes through the socket, a larger one into the block
_HEADER = struct.Struct("<BqqqIII")  # kind, epoch, block, its size, new, buffers, discarded
_PAIR = struct.Struct("<qq")  # where a buffer lies in the block: offset, length
_NONE = -1

BATCH, ERROR, EXHAUSTED = range(3)
_NOTHING = (ctypes.c_char * 1)()  # what tensors without elements lie in, where a parcel has no block
_opened = threading.local()


class Shelf:
    """The worker's blocks: which are free, and which the parent should forget."""

    def __init__(self, keep: int) -> None:
        """keep: how many free blocks to hold on to."""
        self.keep = keep
        self.blocks: dict[int, SharedBlock] = {}
        self.free: list[int] = []
        self.discarded: list[int] = []
        self._count = 0

    def take(self, size: int) -> tuple[int, SharedBlock, bool]:
        """A block of at least size bytes: its number, itself, and whether it is new (its descriptor still open)."""
        fitting = [number for number in self.free if self.blocks[number].size >= size]
        if fitting:
            number = min(fitting, key=lambda number: self.blocks[number].size)
            self.free.remove(number)
            return number, self.blocks[number], False
        for number in self.free:  # all too small: batches have grown
            self._discard(number)
        self.free.clear()
        self._count += 1
        block = SharedBlock(-(-size // _GRAIN) * _GRAIN)
        self.blocks[self._count] = block
        return self._count, block, True

    def put_back(self, returned: list[int], dropped: list[int]) -> None:
        """Blocks that the consumer no longer uses, and blocks that must not be used again."""
        for number in dropped:
            del self.blocks[number]
        self.free += returned
        self.free.sort(key=lambda number: self.blocks[number].size)
        while len(self.free) > self.keep:
            self._discard(self.free.pop(0))

    def _discard(self, number: int) -> None:
        del self.blocks[number]
        self.discarded.append(number)


class _Packer(pickle.Pickler):
    """Pickles a batch but for its tensors' bytes, and notes where in a block those shall lie."""

    def __init__(self, file: BytesIO) -> None:
        super().__init__(file, protocol=5, buffer_callback=self._place_buffer)
        self.end = 0
        self.tensors: list[tuple[int, Any, tuple[int, ...]]] = []
        self.buffers: list[tuple[int, memoryview]] = []

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is not Tensor or obj.device.type != "cpu":
            return NotImplemented  # a subclass knows itself how it is pickled
        if obj.requires_grad and not obj.is_leaf:
            raise RuntimeError(
                "DataLoader: a worker made a tensor that requires grad and has a history; histories do not go from "
                "process to process, so detach() it in the dataset or in collate_fn"
            )
        strides = tuple(dense_strides(obj.shape, obj.stride()))
        offset = self._place(obj.numel() * obj.element_size())
        self.tensors.append((offset, obj, strides))
        name = str(obj.dtype).rpartition(".")[2]
        return _open_tensor, (offset, name, tuple(obj.shape), strides, obj.requires_grad)

    def _place(self, size: int) -> int:
        offset = self.end
        self.end += -(-size // _ALIGNED) * _ALIGNED
        return offset

    def _place_buffer(self, buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # no contiguous memory: pickled in the ordinary way
            return True
        self.buffers.append((self._place(raw.nbytes), raw))
        return False

    def fill(self, block: SharedBlock) -> None:
        """Copy the tensors' and buffers' bytes to their places."""
        view = block.view()
        for offset, tensor, strides in self.tensors:
            if tensor.numel():
                place: Any = tensor_over(view, offset, tensor.dtype, tensor.shape, strides)
                place.copy_(tensor.detach())
        flat = memoryview(view).cast("B")
        for offset, raw in self.buffers:
            flat[offset : offset + raw.nbytes] = raw


def pack(batch: Any, epoch: int, shelf: Shelf) -> tuple[bytes, SharedBlock | None]:
    """A batch as a message, and the block whose descriptor must go with it (where the parent hasn't got it yet)."""
    file = BytesIO()
    packer = _Packer(file)
    packer.dump(batch)
    body = file.getvalue()
    if len(body) > _SMALL:
        packer.buffers.append((packer._place(len(body)), memoryview(body)))
        body = b""
    number, size, new, block = _NONE, 0, False, None
    if packer.end:
        number, block, new = shelf.take(packer.end)
        size = block.size
        packer.fill(block)
    places = b"".join(_PAIR.pack(offset, raw.nbytes) for offset, raw in packer.buffers)
    discarded = struct.pack(f"<{len(shelf.discarded)}q", *shelf.discarded)
    header = _HEADER.pack(BATCH, epoch, number, size, new, len(packer.buffers), len(shelf.discarded))
    shelf.discarded.clear()
    return header + places + discarded + body, block if new else None


def pack_note(kind: int, epoch: int, body: bytes = b"") -> bytes:
    """A message without a batch: an error, or that the dataset is exhausted."""
    return _HEADER.pack(kind, epoch, _NONE, 0, False, 0, 0) + body


class Parcel:
    """A message from a worker, taken apart but for its pickle."""

    __slots__ = ("block", "body", "discarded", "epoch", "kind", "new", "places", "size")

    def __init__(self, message: bytes) -> None:
        self.kind, self.epoch, self.block, self.size, self.new, places, discarded = _HEADER.unpack_from(message)
        start = _HEADER.size
        stop = start + places * _PAIR.size
        self.places = list(_PAIR.iter_unpack(message[start:stop])) if places else []
        self.discarded = struct.unpack_from(f"<{discarded}q", message, stop) if discarded else ()
        self.body = message[stop + 8 * discarded :]


def unpack(parcel: Parcel, view: Any) -> Any:
    """The batch of a parcel; its tensors and arrays lie in the block's view, without a copy."""
    buffers: list[Any] = []
    if parcel.places:
        flat = memoryview(view).cast("B")
        buffers = [flat[offset : offset + size] for offset, size in parcel.places]
    body = parcel.body or buffers.pop()
    _opened.view = view
    try:
        return pickle.loads(body, buffers=buffers)
    finally:
        _opened.view = None


def _open_tensor(offset: int, dtype: str, shape: tuple, strides: tuple, requires_grad: bool) -> Any:
    """A tensor of the parcel that is being opened in this thread."""
    tensor = tensor_over(_opened.view or _NOTHING, offset, getattr(dtypes, dtype), shape, strides)
    return tensor.requires_grad_() if requires_grad else tensor
