"""Memory that several processes see: unnamed files, mapped; and tensors upon it.

A block has no name anywhere: the kernel frees it when the last process that maps it is gone, however it went.
Descriptors are closed as soon as both sides have mapped, so thousands of blocks take none. This file alone knows how
a tensor is made over given memory.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import secrets
import weakref
from collections.abc import Sequence
from typing import Any

from mashal.core.devices import device
from mashal.core.dtypes import dtype
from mashal.core.forms import dense_strides, form
from mashal.core.storage import share_with
from mashal.core.tensor import Tensor, make
from mashal.machine.memory import address_of, foreign_storage

try:
    import _posixshmem
except ImportError:  # not a POSIX system
    _posixshmem = None

_libc: Any = None
if os.name == "posix":
    _libc = ctypes.CDLL(None, use_errno=True)
    _libc.mmap.restype = ctypes.c_void_p
    _libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64)
    _libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_FAILED = ctypes.c_void_p(-1).value


class SharedBlock:
    """A piece of memory that other processes can map too; it goes when nobody holds it.

    `descriptor` is what to send to another process; `close_descriptor` when it has been sent.
    """

    __slots__ = ("__weakref__", "_array", "address", "descriptor", "size")

    def __init__(self, size: int, descriptor: int | None = None) -> None:
        """A new block of size bytes (all zero), or the one behind a descriptor that another process has sent."""
        self.address = 0  # 0: not mapped
        self.size = size
        self.descriptor: int | None = None
        self.descriptor = _unnamed_file(size) if descriptor is None else descriptor
        address = _libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, self.descriptor, 0)
        if address == _FAILED:
            reason = os.strerror(ctypes.get_errno())
            self.close_descriptor()
            raise RuntimeError(f"shared memory: {size} bytes could not be mapped ({reason})")
        self.address = address
        self._array = ctypes.c_char * size

    def view(self) -> ctypes.Array:
        """The memory as a buffer; as long as it lives, so does the block."""
        array: Any = self._array.from_address(self.address)
        array.block = self
        return array

    def close_descriptor(self) -> None:
        """Give the descriptor up; the memory stays."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def __del__(self, _unmap=_libc and _libc.munmap) -> None:
        if self.address:
            _unmap(self.address, self.size)
            self.address = 0
        if self.descriptor is not None:
            self.close_descriptor()


def _unnamed_file(size: int) -> int:
    """The descriptor of a file in memory that has no name (any more)."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("mashal", os.MFD_CLOEXEC)
    elif _posixshmem is None:
        raise RuntimeError("shared memory: this system has no POSIX shared memory; load with num_workers=0")
    else:  # macOS and others: a name for as long as it takes to open it
        name = f"/mashal-{secrets.token_hex(8)}"
        descriptor = _posixshmem.shm_open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode=0o600)
        _posixshmem.shm_unlink(name)
    try:
        os.ftruncate(descriptor, size)
    except OSError as error:
        os.close(descriptor)
        raise RuntimeError(f"shared memory: {size} bytes could not be had ({error.strerror})") from None
    return descriptor


def tensor_over(
    buffer: ctypes.Array, offset: int, dtype: dtype, shape: Sequence[int], strides: Sequence[int]
) -> Tensor:
    """A tensor whose elements are the buffer's bytes from offset on; it keeps the buffer alive.

    strides: in elements, none negative. Its storage is the part of the buffer that its elements span.
    """
    kind = form(dtype, _CPU, tuple(shape), tuple(strides))
    size = kind.extent * dtype.itemsize
    if offset < 0 or offset + size > len(buffer):
        raise RuntimeError(f"shared memory: {size} bytes from {offset} on are not in a buffer of {len(buffer)}")
    return make(foreign_storage(ctypes.addressof(buffer) + offset, size, buffer), 0, kind)


def tensor_in(block: SharedBlock, offset: int, dtype: dtype, shape: Sequence[int], strides: Sequence[int]) -> Tensor:
    """A tensor whose storage is a whole block; offset in elements."""
    kind = form(dtype, _CPU, tuple(shape), tuple(strides))
    if offset < 0 or (offset + kind.extent) * dtype.itemsize > block.size:
        raise RuntimeError(f"shared memory: {kind.extent} elements from {offset} on are not in {block.size} bytes")
    _blocks[block.address] = block
    return make(foreign_storage(block.address, block.size, block), offset, kind)


def block_of(tensor: Tensor) -> SharedBlock | None:
    """The block that is a tensor's storage; None for a tensor in this process's own memory."""
    return _blocks.get(address_of(tensor.capsule))


def move_to_shared(tensor: Any) -> SharedBlock:
    """Move a tensor's data into a new block, in place. Other tensors upon the same data stay where they are."""
    strides = dense_strides(tensor.shape, tensor.stride())
    block = SharedBlock(max(tensor.nbytes, 1))
    twin: Any = tensor_in(block, 0, tensor.dtype, tensor.shape, strides)
    if tensor.numel():
        twin.copy_(tensor.detach())
    tensor.capsule, tensor.offset, tensor.form, tensor.base = twin.capsule, 0, twin.form, None
    return block


def share_memory_(tensor: Any) -> Any:
    """Move a tensor's data into shared memory, in place, unless it is there; gives the tensor back."""
    if block_of(tensor) is None:
        move_to_shared(tensor)
    return tensor


def is_shared(tensor: Any) -> bool:
    """Whether a tensor's data has been moved into shared memory, or was received from another process."""
    return block_of(tensor) is not None


def _shared_memory(nbytes: int) -> tuple[int, SharedBlock]:
    """What a storage moves into."""
    block = SharedBlock(nbytes)
    _blocks[block.address] = block
    return block.address, block


_blocks: weakref.WeakValueDictionary[int, SharedBlock] = weakref.WeakValueDictionary()  # by address
_CPU = device("cpu")
setattr(Tensor, "share_memory_", share_memory_)  # noqa: B010  methods of tensors, attached here: methods.py stands below
setattr(Tensor, "is_shared", is_shared)  # noqa: B010
share_with(_shared_memory, _blocks.__contains__)
