"""A save replaces a file only when the new one is complete."""

import errno
import io
import os
import stat

import pytest

from mashal import serialization as files
from mashal.serialization import saving
from mashal.serialization.memory import rebuild_tensor
from mashal.serialization.saving import archive_name
from tensors_of_bytes import dtypes, elements, tensor_of

OLD, NEW = bytes(range(16)), bytes(range(16, 32))


@pytest.fixture
def path(tmp_path):
    """A saved file, alone in its folder."""
    files.save(tensor_of(OLD), tmp_path / "a.pt")
    return tmp_path / "a.pt"


class Interrupted:
    """Cannot be pickled, for the reason given."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, TypeError])
def test_an_interrupted_save_leaves_the_old_file_and_nothing_else(path, zipped, error):
    with pytest.raises(error):
        files.save([tensor_of(NEW), Interrupted(error)], path, _use_new_zipfile_serialization=zipped)
    assert elements(files.load(path)) == OLD
    assert os.listdir(path.parent) == ["a.pt"]


def test_a_disk_that_fills_leaves_the_old_file_and_says_so(path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(saving.ZipWriter, "put", full)
    with pytest.raises(RuntimeError, match=r"a.pt' could not be written: No space left on device"):
        files.save(tensor_of(NEW), path)
    assert elements(files.load(path)) == OLD
    assert os.listdir(path.parent) == ["a.pt"]


def test_space_that_cannot_be_reserved_is_known_before_anything_is_written(path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(RuntimeError, match="No space left"):
        files.save(tensor_of(bytes(1 << 21)), path)
    assert elements(files.load(path)) == OLD


def test_what_was_reserved_too_much_is_cut_off(path):
    x = tensor_of(os.urandom(1 << 21))
    files.save(x, path)
    file = io.BytesIO()
    files.save(x, file)
    assert abs(path.stat().st_size - len(file.getvalue())) < 1000  # the folder's name in it differs
    assert elements(files.load(path)) == elements(x)


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_permissions_stay_and_new_files_get_the_usual_ones(path):
    path.chmod(0o640)
    files.save(tensor_of(NEW), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    usual = path.with_name("usual")
    usual.write_bytes(b"")
    files.save(tensor_of(NEW), path.with_name("new.pt"))
    assert path.with_name("new.pt").stat().st_mode == usual.stat().st_mode


@pytest.mark.skipif(os.name != "posix", reason="links are POSIX's")
def test_a_link_stays_a_link(path):
    link = path.with_name("link.pt")
    link.symlink_to(path)
    files.save(tensor_of(NEW), link)
    assert link.is_symlink()
    assert elements(files.load(path)) == NEW


def test_a_reader_of_the_old_file_keeps_it(path):
    mapped = files.load(path, mmap=True)
    files.save(tensor_of(NEW), path)
    assert elements(mapped) == OLD
    assert elements(files.load(path)) == NEW


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="there is no /dev/null")
def test_what_is_no_plain_file_is_written_to():
    files.save(tensor_of(NEW), "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_paths_that_cannot_be_written_say_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"folder .*missing' does not exist"):
        files.save(1, tmp_path / "missing" / "a.pt")
    with pytest.raises(RuntimeError, match="could not be written: Is a directory"):
        files.save(1, tmp_path)
    with pytest.raises(RuntimeError, match="has no name before its ending"):
        files.save(1, tmp_path / ".pt")


def test_what_is_neither_path_nor_file_is_refused():
    with pytest.raises(AttributeError, match="f is int; it must be a path"):
        files.save(1, 3)


def test_two_dtypes_over_one_memory_cannot_be_said():
    x = tensor_of(OLD)
    whole = rebuild_tensor(x.untyped_storage(), dtypes.int32, 0, (4,), (1,), False)
    with pytest.raises(RuntimeError, match="the same memory as float32 and as int32"):
        files.save([x, whole], io.BytesIO())


def test_archive_names_are_those_of_pytorch():
    names = ["a.pt", "x/a.b.pt", "noext", "sp ace.pth", "é.pt"]
    assert [archive_name(name) for name in names] == ["a", "a.b", "noext", "sp ace", "archive"]
