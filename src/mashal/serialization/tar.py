"""The format of PyTorch 0.1: a tar of three files, `storages`, `tensors` and `pickle`.

In each of the first two stands a number, and that many entries: a pickle that says what it is, then its bytes. The third is
the object's pickle, in which a tensor is a persistent id, the key of its entry.

Stands on memory and legacy.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any

from mashal.serialization.legacy import decoded, exactly, remaining
from mashal.serialization.memory import StorageType, TypedStorage, allocated, bytes_of, byteswap, over, tensor_over

BLOCK = 512


def is_tar(head: bytes) -> bool:
    """Whether a file's first block is the header of a tar."""
    return head[257:262] == b"ustar"


def members(file: Any) -> dict[str, bytes]:
    """The files in a tar, by name; RuntimeError if it is damaged."""
    found: dict[str, bytes] = {}
    while True:
        header = file.read(BLOCK)
        if len(header) < BLOCK or not header.strip(b"\0"):
            return found
        try:
            size = int(header[124:136].strip(b" \0") or b"0", 8)
        except ValueError:
            raise RuntimeError("load: the tar has a damaged header") from None
        left = remaining(file)
        if size < 0 or (left is not None and size > left):
            raise RuntimeError("load: the tar ends in the middle of a file; it was cut short")
        name = header[:100].rstrip(b"\0").decode("utf-8", "replace")
        found[name.removeprefix("./")] = exactly(file, size)
        file.seek(-size % BLOCK, io.SEEK_CUR)


class TarReader:
    """Reads the three files."""

    def __init__(self, files: dict[str, bytes], unpickler: Callable[[Any], Any], restore: Callable[[Any, str], Any]):
        self.files = files
        self.unpickler = unpickler
        self.restore = restore
        self.known: dict[Any, Any] = {}

    def load(self) -> Any:
        """The object in the tar."""
        self.read_storages(io.BytesIO(self.files["storages"]))
        self.read_tensors(io.BytesIO(self.files["tensors"]))
        unpickler = self.unpickler(io.BytesIO(self.files["pickle"]))
        unpickler.persistent_load = lambda said: said[0] if isinstance(said, tuple) else self.known[int(said)]
        return unpickler.load()

    def next(self, file: Any) -> Any:
        return self.unpickler(file).load()

    def read_storages(self, file: Any) -> None:
        """Storages, each a pickle of (key, location, class), its number of elements and its bytes; then parts of them."""
        for _ in range(self.next(file)):
            key, location, kind = self.next(file)
            if not isinstance(kind, StorageType):
                raise pickle.UnpicklingError(f"load: the tar has a storage of an unknown class, {kind!r}")
            (elements,) = struct.unpack("<q", exactly(file, 8))
            data = exactly(file, elements * kind.dtype.itemsize) if elements > 0 else b""
            storage = allocated(len(data))
            target = bytes_of(storage)
            target[:] = data
            if struct.pack("=h", 1) != struct.pack("<h", 1):
                byteswap(target, kind.dtype)
            self.known[key] = TypedStorage(self.restore(storage, decoded(location)), kind.dtype)
        for key, root, start, elements in self.next(file):
            whole = self.known[root]
            size = whole.dtype.itemsize
            part = bytes_of(whole.storage)[start * size : (start + elements) * size]
            self.known[key] = TypedStorage(over(part), whole.dtype)

    def read_tensors(self, file: Any) -> None:
        """Tensors, each a pickle of (key, key of its storage, class), then dimensions, shape, strides and offset."""
        for _ in range(self.next(file)):
            key, storage, _ = self.next(file)
            (dimensions,) = struct.unpack("<i4x", exactly(file, 8))
            shape = struct.unpack(f"<{dimensions}q", exactly(file, 8 * dimensions))
            strides = struct.unpack(f"<{dimensions}q", exactly(file, 8 * dimensions))
            (offset,) = struct.unpack("<q", exactly(file, 8))
            self.known[key] = tensor_over(self.known[storage], offset, shape, strides, False)


def load_tar(file: Any, unpickler: Callable[[Any], Any], restore: Callable[[Any, str], Any]) -> Any:
    """The object in a tar of PyTorch 0.1; RuntimeError if a part is missing or damaged."""
    files = members(file)
    missing = [name for name in ("storages", "tensors", "pickle") if name not in files]
    if missing:
        raise RuntimeError(f"load: the tar has no {missing[0]!r}; it was not written by save")
    return TarReader(files, unpickler, restore).load()
