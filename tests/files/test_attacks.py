"""Pickles that want to run code, take memory or break the process are refused, with advice."""

import io
import os
import pickle
import struct
import time

import pytest

from mashal import serialization as files
from mashal.serialization.restricted import RestrictedUnpickler
from mashal.serialization.zipwrite import ZipWriter
from tensors_of_bytes import elements, tensor_of


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Trusted:
    """A class of the user's."""

    def __init__(self):
        self.x = 1


def archive_of(data, **records):
    """An archive with this data.pkl."""
    file = io.BytesIO()
    archive = ZipWriter(file, "archive")
    archive.write("data.pkl", data)
    archive.write("byteorder", b"little")
    for name, record in records.items():
        archive.write(f"data/{name[1:]}", record)
    archive.close()
    file.seek(0)
    return file


def load_pickle(data):
    return files.load(archive_of(data))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_wants_to_run_a_command_is_refused(tmp_path, zipped, protocol):
    command = Calls(os.system, f"touch {tmp_path}/ran")
    files.save(command, tmp_path / "a.pt", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    with pytest.raises(pickle.UnpicklingError, match=r"Weights only load failed.*system.*blocked"):
        files.load(tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("function", [eval, exec, getattr, open, __import__, print])
def test_functions_of_python_are_refused_by_name(function):
    with pytest.raises(
        pickle.UnpicklingError, match=rf"GLOBAL (_?io\.)?{function.__name__} was not an allowed global by default"
    ):
        load_pickle(pickle.dumps(Calls(function, "1"), 2))


def test_blocked_modules_stay_blocked_when_added():
    with files.safe_globals([os.system]), pytest.raises(pickle.UnpicklingError, match="blocked, whatever is added"):
        load_pickle(pickle.dumps(Calls(os.system, "true"), 2))


def test_a_class_is_loaded_once_it_is_trusted():
    file = io.BytesIO()
    files.save(Trusted(), file)
    name = f"{Trusted.__module__}.Trusted"
    assert files.get_unsafe_globals_in_checkpoint(io.BytesIO(file.getvalue())) == [name]
    with pytest.raises(pickle.UnpicklingError, match=rf"add_safe_globals\(\[{name}\]\)"):
        files.load(io.BytesIO(file.getvalue()))
    with files.safe_globals([Trusted]):
        assert files.get_safe_globals() == [Trusted]
        assert files.get_unsafe_globals_in_checkpoint(io.BytesIO(file.getvalue())) == []
        assert files.load(io.BytesIO(file.getvalue())).x == 1
    assert files.get_safe_globals() == []
    files.add_safe_globals([(Trusted, name)])
    assert files.load(io.BytesIO(file.getvalue())).x == 1
    files.clear_safe_globals()
    assert files.get_safe_globals() == []


def test_what_is_added_must_be_a_pair_with_a_name():
    with pytest.raises(ValueError, match="has 3 parts"):
        files.add_safe_globals([(Trusted, "a", "b")])
    with pytest.raises(TypeError, match="must be a str"):
        files.add_safe_globals([(Trusted, 3)])


REFUSED = {
    "calling a list": b"\x80\x02](K\x01tR.",
    "calling a dtype": b"\x80\x02ctorch\nfloat32\n(K\x01tR.",
    "calling a storage class": b"\x80\x02ctorch\nFloatStorage\n(K\x01tR.",
    "allocating a storage": b"\x80\x02ctorch\nUntypedStorage\n(J\xff\xff\xff\x7ftR.",
    "allocating a tensor": b"\x80\x02ctorch\nTensor\n(J\xff\xff\xff\x7ftR.",
    "allocating bytes": b"\x80\x02c__builtin__\nbytearray\n(J\xff\xff\xff\x7ftR.",
    "a codec": b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\4\0\0\0zlib\x86R.",
    "setting the state of a class": b"\x80\x02ctorch\nTensor\n}X\1\0\0\0aK\1sb.",
    "setting the state of a list": b"\x80\x02]}X\1\0\0\0aK\1sb.",
    "appending to a dict": b"\x80\x02}K\1a.",
    "setting an item of a list": b"\x80\x02]K\0K\1s.",
    "making a tensor of nothing": b"\x80\x02ctorch\nTensor\n)\x81.",
    "an attribute of a module": b"\x80\x02ctorch\nnn.Module.__init__\n.",
    "the old way to make objects": b"(ios\nsystem\n.",
    "an id that is no storage": b"\x80\x02X\3\0\0\0abcQ.",
    "an unknown instruction": b"\x80\x02\xff.",
    "more taken than there is": b"\x80\x0200.",
    "a memory that is not there": b"\x80\x02h\x07.",
    "a string of 4 GB": b"\x80\x02X\xff\xff\xff\xffabc.",
    "a string of 2^63 bytes": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
    "text that is no text": b"\x80\x02X\1\0\0\0\xff.",
    "no end": b"\x80\x02]",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_plain_data_does_not_need_is_refused(data):
    with pytest.raises(pickle.UnpicklingError):
        RestrictedUnpickler(io.BytesIO(data)).load()


def test_nested_tuples_that_would_be_hashed_for_ever_are_refused():
    doubled = b"\x80\x02)" + b"q\0h\0\x86" * 60
    deep = b"\x80\x02)" + b"\x85" * 200_000
    start = time.perf_counter()
    for key in (doubled, deep):
        for ending in (b"q\1}h\1Ns.", b"q\1c__builtin__\nset\n](h\1e\x85R."):
            with pytest.raises(pickle.UnpicklingError, match="too deeply"):
                RestrictedUnpickler(io.BytesIO(key + ending)).load()
    assert time.perf_counter() - start < 10


def test_a_pickle_that_copies_a_string_endlessly_is_refused():
    text = b"X" + struct.pack("<I", 1 << 16) + b"a" * (1 << 16)
    data = b"\x80\x02c_codecs\nencode\nq\0" + text + b"q\1](" + b"h\0h\1\x85R" * 100_000 + b"e."
    with pytest.raises(pickle.UnpicklingError, match="far more data than it holds"):
        RestrictedUnpickler(io.BytesIO(data)).load()


def storage(elements, key="0", kind="FloatStorage"):
    """The instructions that refer to a storage."""
    count = b"\x8a\x08" + struct.pack("<q", elements)
    text = key.encode()
    return (
        b"(X\7\0\0\0storagectorch\n"
        + kind.encode()
        + b"\nX"
        + struct.pack("<I", len(text))
        + text
        + b"X\3\0\0\0cpu"
        + count
        + b"tQ"
    )


def tensor(elements, offset, shape, strides):
    """The pickle of a tensor."""
    numbers = [b"\x8a\x08" + struct.pack("<q", n) for n in (offset, *shape, *strides)]
    sizes, steps = b"".join(numbers[1 : 1 + len(shape)]), b"".join(numbers[1 + len(shape) :])
    body = storage(elements) + numbers[0] + b"(" + sizes + b"t(" + steps + b"t\x89Nt"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + body + b"R."


def test_the_pickles_of_this_file_are_right():
    assert elements(files.load(archive_of(tensor(4, 1, (3,), (1,)), _0=bytes(range(16))))) == bytes(range(4, 16))


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(1, (4,), (1,)), (-1, (2,), (1,)), (0, (2, 2), (3, 1)), (0, (2,), (-1,)), (0, (1 << 62,), (1,)), (0, (2,), (1, 1)), (0, (-1,), (1,))],
)  # fmt: skip
def test_a_tensor_that_would_see_past_its_storage_is_refused(offset, shape, strides):
    with pytest.raises((RuntimeError, pickle.UnpicklingError), match="load: a tensor"):
        files.load(archive_of(tensor(4, offset, shape, strides), _0=bytes(16)))


@pytest.mark.parametrize("count", [5, 3, -4, 1 << 60])
def test_a_storage_of_another_size_than_its_record_is_refused(count):
    with pytest.raises((RuntimeError, pickle.UnpicklingError), match="load"):
        files.load(archive_of(tensor(count, 0, (1,), (1,)), _0=bytes(16)))


def test_a_tensor_cannot_be_given_another_shape_as_an_attribute():
    x = tensor_of(bytes(16))
    x.note = 1
    file = io.BytesIO()
    files.save(x, file)
    data = file.getvalue().replace(b"X\4\0\0\0note", b"X\4\0\0\0form")
    with pytest.raises(RuntimeError, match="sets 'form' of a tensor"):
        files.load(io.BytesIO(data))


def test_reading_the_names_of_a_file_runs_nothing(tmp_path):
    files.save([Calls(os.system, f"touch {tmp_path}/ran")], tmp_path / "a.pt")
    assert files.get_unsafe_globals_in_checkpoint(tmp_path / "a.pt") == [f"{os.system.__module__}.system"]
    assert not (tmp_path / "ran").exists()
