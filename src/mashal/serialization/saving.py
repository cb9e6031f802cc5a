"""`save`: an object into a file, in PyTorch's format.

The object is pickled with its storages left out (each becomes a persistent id that names a record) and its names
written as PyTorch's; then the storages follow as records of the archive. A file that is there already is replaced in
one step when the new one is complete, so that an interrupted save leaves the old one.

Stands on rebuild, names, zipwrite.
"""

from __future__ import annotations

import errno
import io
import os
import pickle
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from mashal.core.storage import UntypedStorage
from mashal.serialization import settings
from mashal.serialization.legacy import save_legacy
from mashal.serialization.memory import bytes_of
from mashal.serialization.pickling import Storages, pickler
from mashal.serialization.zipwrite import ZipWriter

__all__ = ["DEFAULT_PROTOCOL", "save"]

DEFAULT_PROTOCOL = 2
ROOM = 512  # bytes that a record takes beside its data, at most; its names are short
WORTH_RESERVING = 1 << 20  # bytes


def save(
    obj: object,
    f: str | os.PathLike[str] | IO[bytes],
    pickle_module: Any = pickle,
    pickle_protocol: int = DEFAULT_PROTOCOL,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Writes an object to a file that `load`, and PyTorch, can read.

    obj: tensors, parameters, dicts and lists of them, state_dicts, modules, and all else that can be pickled. Tensors that share
    memory share it when loaded; a view brings its whole storage along.
    f: a path, or a file object to write bytes to. A path is replaced only when the new file is complete.
    pickle_module, pickle_protocol: what pickles everything but the tensors' data.
    _use_new_zipfile_serialization: False writes the format of before PyTorch 1.6.

    RuntimeError: the file cannot be opened or written. AttributeError: f is no path and has no `write`.
    PicklingError or TypeError: something in obj cannot be pickled.

    >>> import io
    >>> file = io.BytesIO()
    >>> save({"weight": torch.ones(2)}, file)
    >>> torch.load(io.BytesIO(file.getvalue()))
    {'weight': tensor([1., 1.])}
    """
    path = os.fspath(f) if isinstance(f, (str, os.PathLike)) else None
    if path is None and not callable(getattr(f, "write", None)):
        raise AttributeError(
            f"save: f is {type(f).__name__}; it must be a path, or a file object with a 'write' method"
        )
    if not _use_new_zipfile_serialization:
        if settings.state.skip_data:
            raise RuntimeError("save: skip_data needs the zip format; leave out _use_new_zipfile_serialization=False")

        def write(file: IO[bytes]) -> None:
            save_legacy(obj, file, pickle_module, pickle_protocol)

    else:
        name = "archive" if path is None else archive_name(path)

        def write(file: IO[bytes]) -> None:
            save_zip(obj, file, name, pickle_module, pickle_protocol, not _disable_byteorder_record)

    if path is None:
        write(f)  # type: ignore[arg-type]
        flush = getattr(f, "flush", None)
        if flush is not None:
            flush()
        return
    try:
        replace(path, write)
    except OSError as error:
        raise RuntimeError(f"save: {path!r} could not be written: {error.strerror or error}") from error


def archive_name(path: str) -> str:
    """The folder that the records of a file are in: its name without the ending, as PyTorch has it.

    >>> archive_name("models/best.model.pt"), archive_name("مدل.pt")
    ('best.model', 'archive')
    """
    last = path.replace("\\", "/").rpartition("/")[2]
    name = last.rpartition(".")[0] if "." in last else last
    if not name:
        raise RuntimeError(f"save: {path!r} has no name before its ending; name the file")
    return name if path.isascii() else "archive"


def save_zip(obj: object, file: IO[bytes], name: str, pickle_module: Any, protocol: int, byteorder: bool) -> None:
    """Writes the archive of an object into an open file."""
    storages = Storages()
    data = io.BytesIO()
    pickler(pickle_module, data, protocol, storages.persistent_id).dump(obj)
    archive = ZipWriter(file, name, settings.save.compute_crc32, settings.save.storage_alignment)
    archive.write("data.pkl", data.getbuffer())
    archive.write(".format_version", b"1")
    archive.write(".storage_alignment", str(settings.save.storage_alignment).encode())
    if byteorder:
        archive.write("byteorder", sys.byteorder.encode())
    kept = storages.in_order()
    reserve(file, sum(storage.nbytes() + ROOM for storage in kept) + ROOM)
    names = [f"data/{number}" for number in range(len(kept))]
    if settings.state.skip_data:
        for record, storage in zip(names, kept, strict=True):
            archive.write_hole(record, storage.nbytes())
    else:
        archive.write_many(names, [bytes_on_cpu(storage) for storage in kept])
    archive.close()


def reserve(file: IO[bytes], size: int) -> None:
    """Takes the disk's space for a new file at once: a full disk shows early, and writing costs half as much.

    Without it, replacing an old file waits on ext4 for the new one's blocks (400 MB: 0.15 s beside 0.04 for writing).
    Only for the files that `beside` makes, which cuts off what was too much.
    """
    if size < WORTH_RESERVING or not isinstance(file, NewFile) or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.fileno(), 0, file.tell() + size)  # from 0: one block left out, and the wait is back
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise


def bytes_on_cpu(storage: UntypedStorage) -> memoryview:
    """A storage's bytes; copied to the CPU first if it is elsewhere."""
    return bytes_of(storage if storage.device.type == "cpu" else storage.cpu())


# ---------------------------------------------------------------- replacing a file in one step
def replace(path: str, write: Callable[[IO[bytes]], None]) -> None:
    """Lets `write` fill a new file beside `path`, which then takes its place, with the old one's permissions.

    What is not a plain file (a pipe, /dev/null), and a file whose folder takes no new ones, is written directly.
    """
    path = os.path.realpath(path)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise RuntimeError(f"save: the folder {folder!r} does not exist; make it first")
    try:
        mode: int | None = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and (not stat.S_ISREG(mode) or not os.access(folder, os.W_OK)):
        with open(path, "wb") as file:
            write(file)
        return
    if mode is not None and not os.access(path, os.W_OK):
        raise PermissionError(13, "Permission denied", path)
    with beside(path, mode) as file:
        write(file)


class NewFile(io.BufferedWriter):
    """A file that `beside` has made."""


@contextmanager
def beside(path: str, mode: int | None) -> Iterator[IO[bytes]]:
    """A new file in the same folder; it takes the place of `path` at the end, and is deleted if something goes wrong."""
    folder, name = os.path.split(path)
    new = os.path.join(folder, f".{name[:200]}.{os.getpid()}.{os.urandom(4).hex()}.part")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with NewFile(io.FileIO(descriptor, "wb"), 1 << 16) as file:
            if mode is not None:
                os.chmod(new, stat.S_IMODE(mode))
            yield file
            file.truncate()
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise
