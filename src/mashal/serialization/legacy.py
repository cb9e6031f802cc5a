"""The format of before PyTorch 1.6: five pickles one after another, then the storages' bytes.

The pickles are a magic number, the protocol's version, the writer's sizes of short, int and long, the object (with
storages left out as persistent ids), and the storages' keys in the order in which their bytes follow: for each, the
number of elements as 8 bytes, then the elements, little-endian. A storage's view of another is a third kind of
reference that PyTorch wrote before 0.4.

Stands on memory, pickling.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
from collections.abc import Callable
from typing import IO, Any

from mashal.core.storage import UntypedStorage
from mashal.serialization.memory import StorageType, TypedStorage, allocated, bytes_of, byteswap, over
from mashal.serialization.names import DTYPES
from mashal.serialization.pickling import Storages, pickler
from mashal.serialization.settings import state

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
SIZES = {"short": struct.calcsize("=h"), "int": struct.calcsize("=i"), "long": struct.calcsize("=l")}


# ---------------------------------------------------------------- writing
class LegacyStorages(Storages):
    """Storages as this format refers to them: with a place for a view, which is no longer used."""

    def persistent_id(self, thing: Any) -> tuple[Any, ...] | None:
        said = super().persistent_id(thing)
        if said is None:
            return None
        kind = said[1]
        if kind is UntypedStorage:  # this format's readers know storages of a dtype only
            kind = self.kind(StorageType("ByteStorage", DTYPES["uint8"]))
        return ("storage", kind, *said[2:], None)


def save_legacy(obj: object, file: IO[bytes], pickle_module: Any, protocol: int) -> None:
    """Writes an object in this format."""
    system = {"protocol_version": PROTOCOL_VERSION, "little_endian": sys.byteorder == "little", "type_sizes": SIZES}
    for head in (MAGIC_NUMBER, PROTOCOL_VERSION, system):
        pickle_module.dump(head, file, protocol=protocol)
    storages = LegacyStorages()
    pickler(pickle_module, file, protocol, storages.persistent_id).dump(obj)
    kept = {str(number): storage for number, storage in enumerate(storages.in_order())}
    keys = sorted(kept)
    pickle_module.dump(keys, file, protocol=protocol)
    for key in keys:
        storage = kept[key]
        dtype = DTYPES[storages.dtype_of(key)]
        data = bytes_of(storage if storage.device.type == "cpu" else storage.cpu())
        file.write(struct.pack("<q", len(data) // dtype.itemsize))
        if sys.byteorder == "big":
            data = memoryview(bytearray(data))
            byteswap(data, dtype)
        file.write(data)


# ---------------------------------------------------------------- reading
class LegacyReader:
    """Reads one file of this format.

    file: stands at its beginning. unpickler(file): one of the two unpicklers. restore(storage, location): where a
    storage goes. RuntimeError or UnpicklingError: the file is not of this format, or is damaged.
    """

    def __init__(self, file: IO[bytes], unpickler: Callable[[Any], Any], restore: Callable[[Any, str], Any]):
        self.file = file
        self.unpickler = unpickler
        self.restore = restore
        self.storages: dict[str, TypedStorage] = {}
        self.raw: dict[str, UntypedStorage] = {}
        self.views: dict[str, TypedStorage] = {}
        self.room = remaining(file)

    def load(self) -> Any:
        """The object in the file."""
        if self.first() != MAGIC_NUMBER:
            raise RuntimeError(
                "load: the file doesn't begin as save's files do; it is damaged, or was not written by save"
            )
        version = self.unpickler(self.file).load()
        if version != PROTOCOL_VERSION:
            raise RuntimeError(f"load: the file has protocol version {version!r}; only {PROTOCOL_VERSION} can be read")
        self.unpickler(self.file).load()
        unpickler = self.unpickler(self.file)
        unpickler.persistent_load = self.persistent_load
        result = unpickler.load()
        keys = self.unpickler(self.file).load()
        if type(keys) is not list or sorted(map(repr, keys)) != sorted(map(repr, self.storages)):
            raise RuntimeError("load: the file lists other storages than its tensors have; it is damaged")
        if not state.skip_data:
            for key in keys:
                self.fill(key)
        return result

    def first(self) -> Any:
        """The first pickle of the file. Whatever goes wrong there says that the file is none of save's."""
        try:
            return self.unpickler(self.file).load()
        except (pickle.UnpicklingError, LookupError, ValueError, TypeError, AttributeError, ImportError) as error:
            raise pickle.UnpicklingError(
                f"load: the file is not one of save's: its first bytes are no pickle ({error})"
            ) from None

    def persistent_load(self, said: Any) -> Any:
        """What a persistent id stands for: a module's class, or a storage whose bytes will follow."""
        kind = decoded(said[0])
        if kind == "module":
            return said[1]
        if kind != "storage" or len(said) != 6 or not isinstance(said[1], StorageType):
            raise pickle.UnpicklingError(f"load: the file refers to {kind!r} in a way that this format doesn't have")
        _, storage_type, key, location, elements, view = said
        dtype = storage_type.dtype
        if type(key) not in (str, bytes):
            raise pickle.UnpicklingError("load: the file has a storage whose key is no text; it is damaged")
        if key not in self.storages:
            self.storages[key] = TypedStorage(self.allocate(key, elements, dtype, decoded(location)), dtype)
        whole = self.storages[key]
        return TypedStorage(whole.storage, dtype) if view is None else self.view(whole, view)

    def allocate(self, key: str, elements: Any, dtype: Any, location: str) -> UntypedStorage:
        """Memory for a storage, if the file can hold that many bytes."""
        size = elements * dtype.itemsize if type(elements) is int else -1
        if size < 0 or (self.room is not None and size > self.room):
            raise pickle.UnpicklingError(
                f"load: the file says a storage has {elements!r} elements, and is too short to hold them; it was cut short"
            )
        if self.room is not None:
            self.room -= size
        self.raw[key] = allocated(size)
        return self.restore(self.raw[key], location)

    def view(self, whole: TypedStorage, view: Any) -> TypedStorage:
        """A part of a storage, as a storage."""
        key, start, elements = view
        if key not in self.views:
            size = whole.dtype.itemsize
            if start < 0 or elements < 0 or (start + elements) * size > whole.storage.nbytes():
                raise pickle.UnpicklingError("load: the file says that a storage sees past the end of another")
            part = bytes_of(whole.storage)[start * size : (start + elements) * size]
            self.views[key] = TypedStorage(over(part), whole.dtype)
        return self.views[key]

    def fill(self, key: str) -> None:
        """Reads a storage's bytes, which come next in the file."""
        typed, raw = self.storages[key], self.raw[key]
        target = bytes_of(raw)
        (elements,) = struct.unpack("<q", exactly(self.file, 8))
        if elements * typed.dtype.itemsize != len(target):
            raise RuntimeError(
                f"load: the file has {elements} elements for a storage of {len(target) // typed.dtype.itemsize}; it is damaged"
            )
        read_into(self.file, target)
        if sys.byteorder == "big":
            byteswap(target, typed.dtype)
        if typed.storage is not raw and typed.storage.device.type != "meta":
            typed.storage.copy_(raw)


def decoded(text: Any) -> Any:
    """Python 2's strings, which may come as bytes, as text."""
    return text.decode("ascii") if isinstance(text, bytes) else text


def remaining(file: IO[bytes]) -> int | None:
    """How many bytes of a file are left, if it can say."""
    here = file.tell()
    try:
        end = file.seek(0, io.SEEK_END)
    except (ValueError, OSError):
        return None
    file.seek(here)
    return end - here


def exactly(file: IO[bytes], size: int) -> bytes:
    """The next bytes of a file, all of them; RuntimeError if there are fewer."""
    data = file.read(size)
    if len(data) != size:
        raise RuntimeError("load: the file ends in the middle of a storage; it was cut short")
    return data


def read_into(file: Any, target: memoryview) -> None:
    """Fills memory with the next bytes of a file."""
    if not hasattr(file, "readinto"):
        target[:] = exactly(file, len(target))
        return
    done = 0
    while done < len(target):
        got = file.readinto(target[done : done + (1 << 30)])
        if not got:
            raise RuntimeError("load: the file ends in the middle of a storage; it was cut short")
        done += got
