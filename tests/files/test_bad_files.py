"""Files that are cut short, damaged, foreign or lying: a clear error each, no crash, no endless memory."""

import io
import pickle
import random
import struct
import tracemalloc
import zipfile
import zlib

import pytest

from mashal import serialization as files
from tensors_of_bytes import tensor_of

CLEAR = (RuntimeError, pickle.UnpicklingError, EOFError)


@pytest.fixture(scope="module")
def saved():
    """The bytes of a good file in each format."""
    thing = {"a": tensor_of(bytes(range(64))), "b": [1, "two", tensor_of(bytes(8))]}

    def data(zipped):
        file = io.BytesIO()
        files.save(thing, file, _use_new_zipfile_serialization=zipped)
        return file.getvalue()

    return {"zip": data(True), "legacy": data(False)}


@pytest.mark.parametrize("kind", ["zip", "legacy"])
@pytest.mark.parametrize("weights_only", [True, False])
def test_a_file_cut_anywhere_gives_a_clear_error(saved, kind, weights_only):
    data = saved[kind]
    for end in range(0, len(data), 7):
        with pytest.raises(CLEAR):
            files.load(io.BytesIO(data[:end]), weights_only=weights_only)


def test_a_cut_zip_says_that_it_is_cut(saved):
    with pytest.raises(RuntimeError, match="has no directory at its end; it is cut short"):
        files.load(io.BytesIO(saved["zip"][:-100]))


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_a_file_with_any_bytes_changed_loads_or_gives_a_clear_error(saved, kind):
    dice = random.Random(0)
    for _ in range(1500):
        data = bytearray(saved[kind])
        for _ in range(dice.choice([1, 1, 3])):
            data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            files.load(io.BytesIO(data))
        except (*CLEAR, ValueError):
            pass


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (b"", EOFError, "the file is empty"),
        (b"hello world", pickle.UnpicklingError, "is not one of save's: its first bytes are no pickle"),
        (b"PK\3\4 not a zip", RuntimeError, "has no directory at its end"),
        (b"\x80\2K\1.", RuntimeError, "doesn't begin as save's files do"),
        (b"\x89PNG\r\n", pickle.UnpicklingError, "Weights only load failed"),
    ],
)
def test_a_foreign_file_is_named_as_such(data, error, text):
    with pytest.raises(error, match=text):
        files.load(io.BytesIO(data))


def test_a_zip_of_something_else_has_no_data_pkl():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/readme.txt", "hello")
    file.seek(0)
    with pytest.raises(RuntimeError, match=r"has no record 'data.pkl'"):
        files.load(file)


def test_a_missing_tensor_is_named(saved):
    data = saved["zip"].replace(b"archive/data/1", b"archive/data/9")
    with pytest.raises(RuntimeError, match=r"has no record 'data/1'"):
        files.load(io.BytesIO(data))


def test_a_damaged_pickle_is_told_from_a_foreign_one_by_its_checksum(saved):
    data = bytearray(saved["zip"])
    data[data.index(b"\x80\x02}")] = 0xFF
    with pytest.raises(RuntimeError, match=r"data.pkl differs from its checksum"):
        files.load(io.BytesIO(data))


def test_there_is_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.load(tmp_path / "missing.pt")


def directory_with(data, **changes):
    """The file with the directory's entry of data/0 changed: size, stored or header."""
    at = data.rindex(b"archive/data/0") - 46
    places = {"method": (10, "<H"), "stored": (20, "<I"), "size": (24, "<I"), "header": (42, "<I")}
    data = bytearray(data)
    for name, value in changes.items():
        place, form = places[name]
        struct.pack_into(form, data, at + place, value)
    return bytes(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 1 << 30, "stored": 1 << 30},
        {"size": 1 << 30},
        {"header": 1 << 30},
        {"size": 1 << 30, "method": 8},
        {"size": 32, "stored": 32},
        {"method": 12},
        {"header": 3},
    ],
    ids=str,
)
def test_a_record_that_lies_about_itself_is_refused_without_taking_memory(saved, changes):
    tracemalloc.start()
    with pytest.raises(RuntimeError, match="load: the file"):
        files.load(io.BytesIO(directory_with(saved["zip"], **changes)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 22


def test_a_deflated_record_that_expands_further_than_it_says_is_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(1 << 24))
    data = file.getvalue()
    size = data.rindex(b"PK\1\2") + 24
    data = data[:size] + struct.pack("<I", 100) + data[size + 4 :]
    with pytest.raises(RuntimeError, match="has 100 bytes, but it expands to 101 or more"):
        files.load(io.BytesIO(data))


def test_records_that_overlap_are_refused():
    entry = struct.Struct("<4sHHHHHHIIIHHHHHII")
    body = b"PK\3\4" + bytes(26) + zlib.compress(bytes(100)) + bytes(5000)
    names = [b"a/data/%d" % n for n in range(100)]
    listing = b"".join(
        entry.pack(b"PK\1\2", 0, 0, 0, 0, 0, 0, 0, 5000, 5000, len(n), 0, 0, 0, 0, 0, 0) + n for n in names
    )
    data = body + listing + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 100, 100, len(listing), len(body), 0)
    with pytest.raises(RuntimeError, match="which the file doesn't hold"):
        files.load(io.BytesIO(data))


def test_an_unknown_byte_order_is_a_value_error(saved):
    with pytest.raises(ValueError, match="byte order is 'listen'"):
        files.load(io.BytesIO(saved["zip"].replace(b"little", b"listen")))


def test_a_mapped_file_must_be_a_zip_at_a_path(saved, tmp_path):
    (tmp_path / "old.pt").write_bytes(saved["legacy"])
    with pytest.raises(RuntimeError, match="needs a file in the zip format"):
        files.load(tmp_path / "old.pt", mmap=True)
    with pytest.raises(ValueError, match="maps a file by its path"):
        files.load(io.BytesIO(saved["zip"]), mmap=True)


def test_a_pipe_cannot_be_loaded_from():
    class Pipe(io.RawIOBase):
        def tell(self):
            raise io.UnsupportedOperation("underlying stream is not seekable")

    with pytest.raises(io.UnsupportedOperation, match=r"read it whole first: load\(io.BytesIO\(f.read\(\)\)\)"):
        files.load(Pipe())


def test_a_pickle_module_is_for_everything_only(saved):
    with pytest.raises(RuntimeError, match="leave out pickle_module"):
        files.load(io.BytesIO(saved["zip"]), weights_only=True, pickle_module=pickle)
    files.load(io.BytesIO(saved["zip"]), pickle_module=pickle)
    with pytest.warns(UserWarning, match="weights_only=False only"):
        files.load(io.BytesIO(saved["zip"]), encoding="latin1")


def test_a_torchscript_archive_is_told_apart():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", "")
        archive.writestr("a/constants.pkl", "")
    file.seek(0)
    with pytest.raises(RuntimeError, match="TorchScript"):
        files.load(file)
