"""The object cache: what is never loaded, and what never goes wrong for other processes."""

import os
import subprocess
import sys
import time

import pytest

from mashal.machine.cache import MAGIC, ObjectCache

KEY = "ab" * 32
OTHER = "cd" * 32


@pytest.fixture
def cache(tmp_path):
    return ObjectCache(str(tmp_path / "kernels"), limit=1 << 20)


@pytest.fixture
def entry(cache):
    cache.save(KEY, b"machine code" * 100)
    return os.path.join(cache.folder, KEY)


def test_what_was_saved_is_loaded(cache, entry):
    assert cache.load(KEY) == b"machine code" * 100


def test_the_folder_is_its_users_alone(cache):
    assert os.stat(cache.folder).st_mode & 0o777 == 0o700


def test_a_key_that_was_never_saved_gives_nothing(cache):
    assert cache.load(OTHER) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda good: good[:200] + bytes([good[200] ^ 1]) + good[201:],
        lambda good: good[:-10],
        lambda good: b"",
        lambda good: good[: len(MAGIC)],
        lambda good: b"OTHERFMT" + good[8:],
        lambda good: b"\x7fELF" + good[4:],
    ],
    ids=["bit flipped", "cut short", "empty", "head only", "other format", "an object file"],
)
def test_a_damaged_or_foreign_file_is_refused(cache, entry, damage):
    with open(entry, "rb") as file:
        good = file.read()
    with open(entry, "wb") as file:
        file.write(damage(good))
    assert cache.load(KEY) is None


def test_an_entry_under_another_name_is_refused(cache, entry):
    os.rename(entry, os.path.join(cache.folder, OTHER))
    assert cache.load(OTHER) is None


def test_a_file_that_others_may_write_is_refused(cache, entry):
    os.chmod(entry, 0o666)
    assert cache.load(KEY) is None


def test_a_link_is_refused(cache, entry):
    os.rename(entry, entry + ".real")
    os.symlink(entry + ".real", entry)
    assert cache.load(KEY) is None


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("make", [os.mkdir, getattr(os, "mkfifo", os.mkdir)], ids=["a folder", "a pipe"])
def test_what_is_no_file_is_no_entry(cache, entry, make):
    os.unlink(entry)
    make(entry)
    assert cache.load(KEY) is None
    cache.save(KEY, b"anew")  # into the place of a pipe; a folder stays
    assert cache.load(KEY) in (b"anew", None)


def test_a_file_of_another_user_is_refused(cache, entry):
    os.chown(entry, 12345, -1)
    assert cache.load(KEY) is None


def test_a_folder_that_others_may_write_is_not_used(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert not ObjectCache(str(shared), 1 << 20).usable


def test_a_folder_that_cannot_be_made_means_no_cache(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = ObjectCache(str(tmp_path / "file" / "kernels"), 1 << 20)
    cache.save(KEY, b"x")
    assert cache.load(KEY) is None


def test_a_folder_that_is_taken_away_is_no_error(cache):
    os.rmdir(cache.folder)
    cache.save(KEY, b"x")
    assert cache.load(KEY) is None


def test_a_save_leaves_no_temporary_file(cache, entry):
    assert os.listdir(cache.folder) == [KEY]


def test_the_oldest_entries_go_when_the_folder_is_full(tmp_path):
    cache = ObjectCache(str(tmp_path / "kernels"), limit=3000)
    for age in range(8):
        name = f"{age:064d}"
        cache._until_sweep = 9  # no look at the size yet
        cache.save(name, bytes(900))
        os.utime(os.path.join(cache.folder, name), (age, age))
    cache._until_sweep = 1
    cache.save(KEY, bytes(900))
    left = sorted(os.listdir(cache.folder))
    assert KEY in left and f"{0:064d}" not in left
    assert sum(os.path.getsize(os.path.join(cache.folder, name)) for name in left) <= 3000


def test_what_is_read_is_young_again(cache, entry):
    os.utime(entry, (1000, 1000))
    assert cache.load(KEY) is not None
    assert os.path.getmtime(entry) > time.time() - 60


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, timeout=120
    )


TRAIN = """
import mashal as torch
x = torch.ones(4, 3)
print((x * 2 + 1).sum().item(), torch.tanh(x).shape)
"""


def test_processes_that_start_together_share_a_new_cache(tmp_path):
    folder = str(tmp_path / "kernels")
    environment = {**os.environ, "MASHAL_CACHE": folder}
    started = [
        subprocess.Popen([sys.executable, "-c", TRAIN], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(3)
    ]
    shown = [process.communicate(timeout=120)[0] for process in started]
    assert len(set(shown)) == 1 and shown[0].startswith("36.0")
    assert not [name for name in os.listdir(folder) if name.startswith(".new-")]


def test_a_corrupted_cache_is_rebuilt(tmp_path):
    folder = str(tmp_path / "kernels")
    first = run(TRAIN, MASHAL_CACHE=folder)
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "r+b") as file:
            file.truncate(100)
    second = run(TRAIN, MASHAL_CACHE=folder)
    assert second.stdout == first.stdout != ""


def test_without_a_cache_everything_works(tmp_path):
    assert run(TRAIN, MASHAL_CACHE="off").stdout.startswith("36.0")


def test_with_a_home_that_cannot_be_written_everything_works(tmp_path):
    environment = {"HOME": "/nonexistent/home", "XDG_CACHE_HOME": "/proc/nowhere"}
    assert run(TRAIN, **environment).stdout.startswith("36.0")
