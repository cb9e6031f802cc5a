"""The format of PyTorch 0.1 is read: a tar, made here as that version made it."""

import io
import pickle
import struct
import tarfile

import pytest

from mashal import serialization as files
from mashal.serialization import memory
from mashal.serialization.names import DTYPES
from mashal.serialization.pickling import PyTorchPickler
from tensors_of_bytes import elements

DATA = bytes(range(16))


def pickled(thing, identify=lambda thing: None):
    file = io.BytesIO()
    PyTorchPickler(file, 2, identify).dump(thing)
    return file.getvalue()


@pytest.fixture
def old(tmp_path):
    """A file with a tensor of four floats, and the last two of them as another."""
    kind = memory.StorageType("FloatStorage", DTYPES["float32"])
    storages = pickled(1) + pickled((7, "cpu", kind)) + struct.pack("<q", 4) + DATA + pickled([(8, 7, 2, 2)])
    tensors = pickled(2)
    tensors += pickled((1, 7, kind)) + struct.pack("<ii2q2qq", 2, 0, 2, 2, 2, 1, 0)
    tensors += pickled((2, 8, kind)) + struct.pack("<iiqqq", 1, 0, 2, 1, 0)

    class Reference:
        def __init__(self, key):
            self.key = key

    both = {"whole": Reference("1"), "part": Reference("2")}
    main = pickled(both, lambda thing: thing.key if isinstance(thing, Reference) else None)
    path = tmp_path / "old.pt"
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as tar:
        for name, data in (("storages", storages), ("tensors", tensors), ("pickle", main)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_tensors_and_parts_of_storages_are_read(old):
    loaded = files.load(old, weights_only=False)
    assert elements(loaded["whole"]) == DATA
    assert tuple(loaded["whole"].shape) == (2, 2)
    assert elements(loaded["part"]) == DATA[8:]
    assert loaded["part"].data_ptr() == loaded["whole"].data_ptr() + 8


def test_weights_only_refuses_it(old):
    with pytest.raises(RuntimeError, match="weights_only=True cannot read"):
        files.load(old)


def test_a_tar_that_is_cut_or_something_else_says_so(old):
    data = old.read_bytes()
    with pytest.raises(RuntimeError, match="load: the"):
        files.load(io.BytesIO(data[:700]), weights_only=False)
    with pytest.raises(RuntimeError, match="the tar has no 'tensors'"):
        files.load(io.BytesIO(data.replace(b"tensors\0", b"others\0\0")), weights_only=False)
    with pytest.raises((RuntimeError, pickle.UnpicklingError)):
        files.load(
            io.BytesIO(data.replace(struct.pack("<ii2q", 2, 0, 2, 2), struct.pack("<ii2q", 2, 0, 9, 2))),
            weights_only=False,
        )
