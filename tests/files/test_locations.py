"""Where tensors go: map_location in all its kinds, and locations that others register."""

import io

import pytest

from mashal import serialization as files
from mashal.core.devices import device
from mashal.serialization import locations
from tensors_of_bytes import elements, tensor_of

DATA = bytes(range(16))


@pytest.fixture
def of_cuda():
    """A file whose tensor was on cuda:1."""
    file = io.BytesIO()
    files.save(tensor_of(DATA), file)
    data = file.getvalue().replace(b"X\3\0\0\0cpu", b"X\3\0\0\0gpu")
    return io.BytesIO(data)


@pytest.mark.parametrize(
    "map_location",
    ["cpu", b"cpu", device("cpu"), {"gpu": "cpu"}, lambda storage, location: storage],
    ids=["name", "bytes", "device", "dict", "function"],
)
def test_every_kind_of_map_location(of_cuda, map_location):
    x = files.load(of_cuda, map_location=map_location)
    assert elements(x) == DATA
    assert x.device.type == "cpu"


def test_an_unknown_location_names_itself(of_cuda):
    with pytest.raises(RuntimeError, match="'gpu'; pass map_location='cpu'"):
        files.load(of_cuda)
    with pytest.raises(RuntimeError, match="'gpu'"):
        of_cuda.seek(0)
        files.load(of_cuda, map_location=lambda storage, location: None)


def test_a_function_sees_the_data_and_the_location(of_cuda):
    seen = []
    files.load(of_cuda, map_location=lambda storage, location: seen.append(location) or storage)
    assert seen == ["gpu"]


def test_cuda_without_cuda_says_so():
    file = io.BytesIO()
    files.save(tensor_of(DATA), file)
    file.seek(0)
    with pytest.raises(
        RuntimeError, match=r"torch.cuda.is_available\(\) is False; pass map_location=torch.device\('cpu'\)"
    ):
        files.load(file, map_location="cuda:0")


def test_meta_reads_no_data():
    file = io.BytesIO()
    files.save(tensor_of(DATA), file)
    file.seek(0)
    x = files.load(file, map_location="meta")
    assert x.device.type == "meta"
    assert tuple(x.shape) == (4,)


def test_a_registered_location_is_asked_by_priority(of_cuda, monkeypatch):
    monkeypatch.setattr(locations, "PACKAGES", list(locations.PACKAGES))
    files.register_package(30, lambda storage: None, lambda storage, location: storage if location == "gpu" else None)
    assert elements(files.load(of_cuda)) == DATA


def test_map_location_of_a_wrong_type_is_a_type_error(of_cuda):
    with pytest.raises(TypeError, match="map_location is int"):
        files.load(of_cuda, map_location=3)
