"""Compiled kernels on disk: a folder that several processes share, and that nobody else can plant code in.

An entry is MAGIC, the sha256 of the rest, the key, then the object file; its name is the key. It is read only
if the folder and the file belong to this user and nobody else may write them, and if every byte is as it was
written. Writing goes to a new file that replaces the old in one step, so two processes may write the
same entry at once. A folder that cannot be made or written is no error: kernels are then compiled every time.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time

from mashal.switches import CACHE, CACHE_LIMIT

MAGIC = b"MASHAL01"
_HEAD = len(MAGIC) + 32
_KEY = 64
_SWEEP = 64  # how many entries are written between two looks at the folder's size
_KEPT = 3 / 4  # of the limit, when it was exceeded: so that not every look finds it exceeded
SETTINGS = {"force_disable_caches": False}
"""What a program may set of it (torch.compiler.config): True: nothing is read or kept."""
_DAY = 24 * 3600  # seconds after which an entry that is read counts as young again


def default_folder() -> str:
    """$XDG_CACHE_HOME/mashal, by default ~/.cache/mashal (~/Library/Caches on a Mac follows the same variable)."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "mashal")


def _is_ours(status: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & 0o022)


class ObjectCache:
    """Object files by key. `limit` bounds the folder's bytes: the entries not used for longest go first."""

    def __init__(self, folder: str, limit: int):
        self.folder, self.limit = folder, limit
        self.hits = self.misses = self.refused = 0
        self._until_sweep = 1 + os.urandom(1)[0] % _SWEEP  # short processes look, too, some of them
        self.usable = False
        if folder:
            try:
                os.makedirs(folder, 0o700, exist_ok=True)
                self.usable = _is_ours(os.stat(folder))
            except OSError:
                pass

    def load(self, key: str) -> bytes | None:
        """The object of this key, or None if there is none that can be trusted."""
        if not self.usable or SETTINGS["force_disable_caches"]:
            return None
        try:
            data = _read(os.path.join(self.folder, key))
        except OSError:
            self.misses += 1
            return None
        intact = data[: len(MAGIC)] == MAGIC and hashlib.sha256(data[_HEAD:]).digest() == data[len(MAGIC) : _HEAD]
        if not intact or data[_HEAD : _HEAD + _KEY] != key.encode():
            self.refused += 1
            return None
        self.hits += 1
        return data[_HEAD + _KEY :]

    def save(self, key: str, code: bytes) -> None:
        """Keeps an object; failing to (a full disk, a read-only folder) is no error."""
        if not self.usable or SETTINGS["force_disable_caches"]:
            return
        body = key.encode() + code
        try:
            temporary = os.path.join(self.folder, f".new-{os.urandom(8).hex()}")
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
            try:
                with open(handle, "wb") as file:
                    file.write(MAGIC + hashlib.sha256(body).digest() + body)
                os.replace(temporary, os.path.join(self.folder, key))
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError:
            return
        self._until_sweep -= 1
        if self._until_sweep == 0:
            self._sweep()
            self._until_sweep = _SWEEP

    def _sweep(self) -> None:
        """Where the folder exceeds its limit: deletes the oldest entries until there is some room."""
        try:
            with os.scandir(self.folder) as entries:
                files = sorted((e.stat().st_mtime, e.stat().st_size, e.path) for e in entries if e.is_file())
        except OSError:
            return
        total = sum(size for _, size, _ in files)
        if total <= self.limit:
            return
        for _, size, path in files:
            if total <= _KEPT * self.limit:
                return
            total -= size
            try:
                os.unlink(path)
            except OSError:
                pass


_QUIETLY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def _read(path: str) -> bytes:
    """The bytes of a file that nobody else may have written; none of anything else that has its name (a link, a folder, a pipe)."""
    handle = os.open(path, os.O_RDONLY | _QUIETLY)
    try:
        status = os.fstat(handle)  # of what was opened, not of what the name is now
        if not stat.S_ISREG(status.st_mode) or not _is_ours(status):
            return b""
        if status.st_mtime < time.time() - _DAY:
            _touch(handle)
        with open(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def _touch(handle: int) -> None:
    """Makes a file young; that it can't be is no error."""
    try:
        os.utime(handle)
    except OSError:
        pass


OBJECTS = ObjectCache("" if CACHE.value == "off" else CACHE.value or default_folder(), CACHE_LIMIT.value)
"""The cache that MASHAL_CACHE names."""
