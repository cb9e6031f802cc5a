"""Storages: the bytes that tensors see, as objects of their own.

A tensor holds a capsule of `machine.memory`; an `UntypedStorage` is a handle upon such a capsule, made when somebody asks.
So two handles can be the same storage: they are equal if their data has the same address. A storage that is resized
or moved to shared memory stays the same capsule, and all tensors upon it see the change.

The surprise: memory whose address somebody outside has (an array, a memoryview) can no longer be resized.
Stands on machine and devices.
"""

from __future__ import annotations

import copyreg
import ctypes
import importlib
import mmap
import os
from collections.abc import Callable, Iterator
from typing import Any

from mashal.core import devices
from mashal.core.devices import CPU, device, usable
from mashal.core.lending import allocate, lent, lent_address
from mashal.errors import message
from mashal.machine import memory

__all__ = ["UntypedStorage", "share_with"]


class _Sharing:
    """What multiprocessing knows of memory that several processes see."""

    make: Callable[[int], tuple[int, object]] | None = None
    knows: Callable[[int], bool] = staticmethod(lambda address: False)


def share_with(make: Callable[[int], tuple[int, object]], knows: Callable[[int], bool]) -> None:
    """Tells storages how memory is shared; multiprocessing does.

    make(nbytes): address and owner of new shared memory. knows(address): whether shared memory begins there.
    """
    _Sharing.make, _Sharing.knows = make, staticmethod(knows)  # type: ignore[assignment]


# ---------------------------------------------------------------- handles
class UntypedStorage:
    """The bytes that tensors see.

    `UntypedStorage(5)` has 5 bytes, not set; `UntypedStorage([1, 2])` has these. device: "cpu", or "meta" for none at all.

    >>> UntypedStorage([1, 2, 3]).tolist()
    [1, 2, 3]
    """

    __slots__ = ("__weakref__", "_nbytes", "capsule", "device")
    is_cuda = is_sparse = is_sparse_csr = is_hpu = False
    capsule: Any
    device: device

    def __init__(self, data: Any = 0, *, device: Any = "cpu"):
        self.device = usable(devices.device(device))
        values = None
        if not isinstance(data, int):
            try:
                values = bytes(data)
            except (TypeError, ValueError):
                raise TypeError(
                    message(
                        "UntypedStorage", f"a size or a sequence of ints from 0 to 255 is expected, not {data!r:.60}"
                    )
                ) from None
        elif data < 0:
            raise RuntimeError(message("UntypedStorage", f"{data} is no number of bytes"))
        self._nbytes = data if values is None else len(values)
        self.capsule = allocate(self._nbytes) if self.device is CPU else None
        if values and self.capsule is not None:
            ctypes.memmove(self.data_ptr(), values, len(values))

    @classmethod
    def over(cls, capsule: Any, device: device = CPU, nbytes: int = 0) -> UntypedStorage:
        """The storage of a capsule; for None, on meta, of so many bytes."""
        made = object.__new__(cls)
        made.capsule, made.device, made._nbytes = capsule, device, nbytes
        return made

    @classmethod
    def from_buffer(cls, buffer: Any) -> UntypedStorage:
        """The storage that is a buffer's memory, without a copy; it keeps the buffer alive.

        The memory should be writable: nothing keeps tensors upon it from writing there.
        """
        view = memoryview(buffer)
        if not view.contiguous:
            raise ValueError(message("from_buffer", "the buffer's bytes do not lie one behind the other"))
        return cls.over(lent(lent_address(view), view.nbytes, view))

    @classmethod
    def from_file(cls, filename: Any, shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """The storage that is a file's bytes, mapped: they are read when they are used.

        shared: what is written goes to the file, which is made, or made longer, if need be; otherwise it stays here.
        nbytes: how many; 0: all there are.
        """
        flags = os.O_RDWR | os.O_CREAT if shared else os.O_RDONLY
        file = os.open(filename, flags, 0o666)
        try:
            length = os.fstat(file).st_size
            if nbytes > length:
                if not shared:
                    raise RuntimeError(message("from_file", f"{filename} has {length} bytes, not {nbytes}"))
                os.ftruncate(file, nbytes)
            nbytes = nbytes or length
            if not nbytes:
                return cls(0)
            access = mmap.ACCESS_WRITE if shared else mmap.ACCESS_COPY
            return cls.from_buffer(mmap.mmap(file, nbytes, access=access))
        finally:
            os.close(file)

    # ------------------------------------------------------------ what it is
    def nbytes(self) -> int:
        """How many bytes it has."""
        return self._nbytes if self.capsule is None else memory.bytes_of(self.capsule)

    size = __len__ = nbytes

    def element_size(self) -> int:
        """Bytes of an element: 1."""
        return 1

    def data_ptr(self) -> int:
        """The address of its first byte; 0 if it has none."""
        return 0 if self.capsule is None or not memory.bytes_of(self.capsule) else memory.address_of(self.capsule)

    def get_device(self) -> int:
        """The index of its device; -1 on the cpu."""
        return -1 if self.device.type == "cpu" else self.device.index or 0

    is_cpu = property(lambda self: self.device.type == "cpu")
    is_meta = property(lambda self: self.device.type == "meta")

    def buffer(self) -> memoryview:
        """Its bytes as a memoryview that can be written, and that keeps them where they are."""
        n = self.nbytes()
        array: Any = (ctypes.c_ubyte * n).from_address(memory.address_of(self._data("buffer")))
        array.storage = self.capsule
        memory.pin(self.capsule)
        return memoryview(array).cast("B")

    def resizable(self) -> bool:
        """Whether `resize_` may change its size."""
        return self.capsule is not None and memory.movable(self.capsule)

    def is_pinned(self, device: Any = "cuda") -> bool:
        """Whether a device may read it where it is; no."""
        return False

    def _data(self, operation: str) -> Any:
        if self.capsule is None:
            raise NotImplementedError(message(operation, "a storage on meta has no data"))
        return self.capsule

    # ------------------------------------------------------------ its bytes
    def _view(self, operation: str) -> memoryview:
        """Its bytes for a moment; the view must not outlive the call."""
        address = memory.address_of(self._data(operation))
        return memoryview((ctypes.c_ubyte * self.nbytes()).from_address(address)).cast("B")

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            if index.step not in (None, 1):
                raise RuntimeError(message("storage", f"a slice must have step 1, not {index.step}"))
            start, stop, _ = index.indices(self.nbytes())
            whole = self._data("storage")
            memory.pin(whole)
            return UntypedStorage.over(lent(memory.address_of(whole) + start, max(stop - start, 0), whole))
        return self._view("storage")[self._place(index)]

    def __setitem__(self, index: Any, value: int) -> None:
        view = self._view("storage")
        try:
            if isinstance(index, slice):
                for i in range(*index.indices(len(view))):
                    view[i] = value & 255
            else:
                view[self._place(index)] = value & 255
        except TypeError:
            raise TypeError(message("storage", f"a byte is an int, not {type(value).__name__}")) from None

    def _place(self, index: Any) -> int:
        if not isinstance(index, int):
            raise TypeError(message("storage", f"can't index a storage with {type(index).__name__}"))
        n = self.nbytes()
        if not -n <= index < n:
            raise IndexError(message("storage", f"index {index} is out of range for storage of size {n}"))
        return index

    def __iter__(self) -> Iterator[int]:
        return iter(self.tolist())

    def tolist(self) -> list[int]:
        """Its bytes as ints."""
        return self._view("tolist").tolist()

    def fill_(self, value: int) -> UntypedStorage:
        """Sets every byte."""
        ctypes.memset(memory.address_of(self._data("fill_")), value & 255, self.nbytes())
        return self

    def copy_(self, source: Any, non_blocking: bool = False) -> UntypedStorage:
        """Copies another storage's bytes here; both have as many."""
        if source.nbytes() != self.nbytes():
            raise RuntimeError(message("copy_", f"a storage of {source.nbytes()} bytes is no copy for {self.nbytes()}"))
        if self.capsule is not None and self.nbytes():
            if source.device.type != "cpu":
                raise NotImplementedError(message("copy_", f"no data can be copied from {source.device}"))
            ctypes.memmove(self.data_ptr(), source.data_ptr(), self.nbytes())
        return self

    def clone(self) -> UntypedStorage:
        """A copy."""
        return UntypedStorage(self.nbytes(), device=self.device).copy_(self)

    def new(self) -> UntypedStorage:
        """A storage on the same device, without bytes."""
        return UntypedStorage(0, device=self.device)

    def resize_(self, nbytes: int) -> UntypedStorage:
        """Gives it another number of bytes; those that remain keep their values, and tensors upon it see them.

        RuntimeError: its memory is somebody else's, or an array or a memoryview sees it.
        """
        if nbytes < 0:
            raise RuntimeError(message("resize_", f"{nbytes} is no number of bytes"))
        if self.capsule is None:
            self._nbytes = nbytes
            return self
        if not memory.movable(self.capsule):
            raise RuntimeError(message("resize_", "Trying to resize storage that is not resizable"))
        capsule = allocate(nbytes)
        ctypes.memmove(memory.address_of(capsule), memory.address_of(self.capsule), min(nbytes, self.nbytes()))
        memory.exchange(self.capsule, capsule)
        return self

    # ------------------------------------------------------------ places
    def cpu(self) -> UntypedStorage:
        """Itself, if it is on the cpu."""
        if self.capsule is None:
            raise NotImplementedError(message("cpu", "a storage on meta has no data to copy"))
        return self

    def cuda(self, device: Any = None, non_blocking: bool = False) -> UntypedStorage:
        """A copy on a CUDA device; AssertionError, for this build has none."""
        usable(devices.device("cuda"))
        raise AssertionError

    def to(self, *, device: Any, non_blocking: bool = False) -> UntypedStorage:
        """The storage on a device; itself if it is there."""
        place = usable(devices.device(device))
        return self if place is self.device else UntypedStorage(self.nbytes(), device=place).copy_(self)

    def is_shared(self) -> bool:
        """Whether other processes can see it."""
        return self.capsule is not None and _Sharing.knows(memory.address_of(self.capsule))

    def share_memory_(self) -> UntypedStorage:
        """Moves it to memory that other processes can see, with all tensors upon it."""
        if not self.is_shared() and self.capsule is not None:
            if _Sharing.make is None:
                importlib.import_module("mashal.multiprocessing")
            assert _Sharing.make is not None
            if not memory.movable(self.capsule):
                raise RuntimeError(
                    message("share_memory_", "somebody else has the memory's address; clone() the storage first")
                )
            address, owner = _Sharing.make(max(self.nbytes(), 1))
            ctypes.memmove(address, memory.address_of(self.capsule), self.nbytes())
            memory.exchange(self.capsule, lent(address, self.nbytes(), owner))
        return self

    # ------------------------------------------------------------ Python's protocols
    def untyped(self) -> UntypedStorage:
        """Itself."""
        return self

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, UntypedStorage):
            return NotImplemented
        if self.capsule is None or other.capsule is None:
            return self is other
        return memory.address_of(self.capsule) == memory.address_of(other.capsule)

    def __hash__(self) -> int:
        return id(self) if self.capsule is None else memory.address_of(self.capsule)

    def __reduce_ex__(self, protocol: Any) -> Any:
        importlib.import_module("mashal.serialization")  # which tells pickle its own way
        return copyreg.dispatch_table[UntypedStorage](self)

    def __copy__(self) -> UntypedStorage:
        return self.clone()

    def __deepcopy__(self, memo: dict) -> UntypedStorage:
        done = memo.setdefault("storages", {})
        key = self if self.capsule is not None else id(self)
        if key not in done:
            done[key] = self.clone()
        return done[key]

    def __repr__(self) -> str:
        shown = "...\n" if self.capsule is None else "".join(f" {byte}\n" for byte in self.tolist())
        return f"{shown}[torch.storage.UntypedStorage(device={self.device}) of size {self.nbytes()}]"
