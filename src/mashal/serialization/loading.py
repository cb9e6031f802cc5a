"""`load`: an object from a file that `save`, or PyTorch, wrote.

What kind of file it is shows at its first bytes: the zip format, or the two older ones (`legacy`, `tar`). The pickle is
read by the restricted unpickler, or with weights_only=False by Python's own, which may run anything. Storages of the zip
format are read straight into their memory, many at once by several threads, or are the mapped file itself.

Stands on restricted, rebuild, zipread, legacy, tar.
"""

from __future__ import annotations

import io
import mmap as mapping
import os
import pickle
import sys
import warnings
from collections.abc import Callable
from typing import IO, Any

from mashal.core.dtypes import dtype
from mashal.core.storage import UntypedStorage
from mashal.serialization import settings
from mashal.serialization.legacy import LegacyReader, decoded
from mashal.serialization.locations import is_meta, restorer, stays_in_memory
from mashal.serialization.memory import StorageType, TypedStorage, allocated, bytes_of, byteswap, over
from mashal.serialization.names import DTYPES, STORAGE_CLASSES, meaning_of, storage_class
from mashal.serialization.restricted import Names, RestrictedUnpickler
from mashal.serialization.safe import ALLOWED, added, added_by_name
from mashal.serialization.settings import LoadEndianness
from mashal.serialization.sources import source_of
from mashal.serialization.tar import is_tar, load_tar
from mashal.serialization.zipread import STORED, ZipReader, broken

__all__ = ["get_unsafe_globals_in_checkpoint", "load"]

READING = (b"conj", b"neg", b"_rebuild_device")  # in a pickle: tensors whose data is computed with as they are made
File = str | os.PathLike[str] | IO[bytes]
UNSAFE = (
    "The file may also be loaded with weights_only=False, which runs whatever code it names: do so only if you "
    "trust where it comes from."
)


def load(
    f: File,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Reads an object from a file that `save`, or PyTorch's, wrote.

    f: a path, or a file object that can read, readline, seek and tell.
    map_location: where tensors go: None (where they were), "cpu", a device, a dict from locations to
    locations, or a function of (storage, location) that returns a storage or None.
    weights_only: True, the default, builds tensors and plain data only, and what `add_safe_globals` allows. False
    builds everything, and runs whatever code the file names.
    mmap: True makes the tensors' memory the file itself, read when it is used; f must be a path.
    pickle_module, pickle_load_args: for weights_only=False, what unpickles, and its arguments.

    FileNotFoundError: there is no such file. EOFError: it is empty. UnpicklingError: it wants to run what is not
    allowed, or its pickle is damaged. RuntimeError: it is cut short, is damaged, or is no file of save's.

    >>> import io
    >>> file = io.BytesIO()
    >>> torch.save([torch.arange(3), "three"], file)
    >>> load(io.BytesIO(file.getvalue()))
    [tensor([0, 1, 2]), 'three']
    """
    restricted = pickle_module is None if weights_only is None else bool(weights_only)
    if restricted and pickle_module is not None:
        raise RuntimeError("load: with weights_only=True the pickle is read by mashal itself; leave out pickle_module")
    if restricted and pickle_load_args:
        warnings.warn("load: pickle_load_args are used with weights_only=False only", stacklevel=2)
    pickle_load_args.setdefault("encoding", "utf-8")
    mapped = settings.load.mmap if mmap is None else mmap
    path = os.fspath(f) if isinstance(f, (str, os.PathLike)) else None
    if mapped and path is None:
        raise ValueError("load: mmap=True maps a file by its path; f is a file object")
    file: Any = open(path, "rb") if path is not None else f  # noqa: SIM115
    try:
        unpickler = unpicklers(restricted, pickle_module or pickle, pickle_load_args)
        return dispatch(file, path if mapped else None, map_location, restricted, unpickler)
    except pickle.UnpicklingError as error:
        if not restricted:
            raise
        raise pickle.UnpicklingError(f"Weights only load failed. {error}\n{UNSAFE}") from None
    finally:
        if path is not None:
            file.close()


def dispatch(file: Any, mapped: str | None, map_location: Any, restricted: bool, unpickler: Any) -> Any:
    """Loads from an open file by what it is."""
    head = peek(file)
    if head.startswith(b"PK\3\4"):
        return Loader(file, map_location, unpickler, mapped, restricted and not added).load()
    if mapped is not None:
        raise RuntimeError("load: mmap=True needs a file in the zip format; save it again with save's defaults")
    if is_tar(head):
        if restricted:
            raise RuntimeError(f"load: the file is a tar of PyTorch 0.1, which weights_only=True cannot read. {UNSAFE}")
        return load_tar(file, unpickler, restorer(map_location))
    return LegacyReader(file, unpickler, restorer(map_location)).load()


def peek(file: Any) -> bytes:
    """The first bytes of a file, which stays where it was; UnsupportedOperation if it cannot go back."""
    try:
        start = file.tell()
        head = file.read(512)
        file.seek(start)
    except (AttributeError, io.UnsupportedOperation) as error:
        raise type(error)(
            f"load: {type(file).__name__} cannot seek ({error}); read it whole first: load(io.BytesIO(f.read()))"
        ) from None
    return head


def unpicklers(restricted: bool, module: Any, arguments: dict[str, Any]) -> Callable[[Any], Any]:
    """A function that makes an unpickler of a file: the restricted one, or one of a pickle module."""
    if restricted:
        return lambda file: RestrictedUnpickler(file, encoding=arguments["encoding"])

    class Unpickler(module.Unpickler):
        """The module's unpickler, names of torch standing for mashal's."""

        def find_class(self, module: str, name: str) -> Any:
            if module.split(".")[0] != "torch":
                return super().find_class(module, name)
            if module == "torch" and name in STORAGE_CLASSES:
                return storage_class(name)
            return meaning_of(module, name)

    return lambda file: Unpickler(file, **arguments)


class Loader:
    """Loads one archive.

    mapped: the path to map, or None to read. harmless: whether nothing but our own functions runs while the pickle is read,
    so that the storages' bytes may be read after it, all together.
    """

    def __init__(self, file: Any, map_location: Any, unpickler: Any, mapped: str | None, harmless: bool):
        self.source = source_of(file)
        self.archive = ZipReader(self.source)
        self.map_location = map_location
        self.restore = restorer(map_location)
        self.unpickler = unpickler
        self.harmless = harmless
        self.storages: dict[str, UntypedStorage] = {}
        self.later: list[tuple[int, memoryview, dtype]] = []
        self.map = mapped_file(mapped) if mapped is not None else None

    def load(self) -> Any:
        """The object in the archive."""
        archive = self.archive
        if archive.has("constants.pkl"):
            raise RuntimeError("load: the file is a TorchScript archive; such programs cannot be loaded")
        self.swapped = byteorder(archive) != sys.byteorder
        data = archive.read("data.pkl")
        self.harmless = self.harmless and not any(word in data for word in READING)
        unpickler = self.unpickler(io.BytesIO(data))
        unpickler.persistent_load = self.persistent_load
        try:
            result = unpickler.load()
        except (pickle.UnpicklingError, EOFError) as error:
            if archive.damaged("data.pkl"):
                raise broken(f"is damaged: its data.pkl differs from its checksum ({error})") from error
            raise
        self.source.read_all([(start, target) for start, target, _ in self.later])
        for _, target, kind in self.later if self.swapped else ():
            byteswap(target, kind)
        return result

    def persistent_load(self, said: Any) -> TypedStorage | UntypedStorage:
        """The storage that a persistent id names."""
        if type(said) is not tuple or len(said) != 5 or decoded(said[0]) != "storage":
            raise pickle.UnpicklingError("load: the file refers to a storage in a way that this format doesn't have")
        _, storage_type, key, location, elements = said
        untyped = storage_type is UntypedStorage
        if not untyped and not isinstance(storage_type, StorageType):
            raise pickle.UnpicklingError(f"load: the file has a storage of an unknown class, {storage_type!r}")
        kind = DTYPES["uint8"] if untyped else storage_type.dtype
        if type(key) is not str or type(elements) is not int or elements < 0:
            raise pickle.UnpicklingError(f"load: the file says storage {key!r} has {elements!r} elements")
        if key not in self.storages:
            self.storages[key] = self.storage(f"data/{key}", elements * kind.itemsize, kind, decoded(location))
        storage = self.storages[key]
        return storage if untyped else TypedStorage(storage, kind)

    def storage(self, name: str, size: int, kind: dtype, location: str) -> UntypedStorage:
        """The storage of a record, where map_location wants it."""
        record = self.archive.record(name)
        if record.size != size:
            raise broken(f"says record {name!r} has {size} bytes in one place and {record.size} in another")
        if is_meta(self.map_location):
            return UntypedStorage(size, device="meta")
        if settings.state.skip_data:
            return self.restore(allocated(size), location)
        start = self.archive.offset(name)
        if self.map is not None and record.method == STORED and size:
            target = memoryview(self.map)[start : start + size]
            storage = over(target)
        else:
            storage = allocated(size)
            target = bytes_of(storage)
            if record.method != STORED:
                target[:] = self.archive.read(name)
            elif self.harmless and stays_in_memory(self.map_location, location):
                self.later.append((start, target, kind))
                return storage
            else:
                self.source.read_into(start, target)
        if self.swapped:
            byteswap(target, kind)
        return self.restore(storage, location)


def mapped_file(path: str) -> mapping.mmap:
    """A file's bytes as memory; writing to it leaves the file alone, unless set_default_mmap_options says otherwise."""
    flags = settings.get_default_mmap_options()
    shared = flags is not None and flags == settings.MAP_SHARED
    with open(path, "r+b" if shared else "rb") as file:
        return mapping.mmap(file.fileno(), 0, access=mapping.ACCESS_WRITE if shared else mapping.ACCESS_COPY)


def byteorder(archive: ZipReader) -> str:
    """The byte order of an archive's storages: what it says, else what is set for those that don't."""
    if archive.has("byteorder"):
        order = archive.read("byteorder").decode("ascii", "replace")
        if order not in ("little", "big"):
            raise ValueError(f"load: the file says its byte order is {order!r}; it must be little or big")
        return order
    assumed = settings.get_default_load_endianness()
    if assumed is LoadEndianness.NATIVE:
        return sys.byteorder
    return "big" if assumed is LoadEndianness.BIG else "little"


def get_unsafe_globals_in_checkpoint(f: File) -> list[str]:
    """The names in a file that weights_only=True would not allow; nothing of the file is run.

    ValueError: the file is not in save's zip format.

    >>> import io
    >>> file = io.BytesIO()
    >>> torch.save({"kind": dict}, file)
    >>> get_unsafe_globals_in_checkpoint(io.BytesIO(file.getvalue()))
    ['builtins.dict']
    """
    path = os.fspath(f) if isinstance(f, (str, os.PathLike)) else None
    file: Any = open(path, "rb") if path is not None else f  # noqa: SIM115
    try:
        if not peek(file).startswith(b"PK\3\4"):
            raise ValueError("get_unsafe_globals_in_checkpoint: the file is not in the zip format of save")
        archive = ZipReader(source_of(file))
        if archive.has("constants.pkl"):
            raise ValueError("get_unsafe_globals_in_checkpoint: the file is a TorchScript archive, not one of save's")
        names = Names(archive.read("data.pkl"))
        names.load()
        return sorted(names.names - ALLOWED.keys() - added_by_name().keys())
    finally:
        if path is not None:
            file.close()
