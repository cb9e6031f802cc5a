"""What is saved comes back: dtypes, sharing, plain data, file objects, options."""

import collections
import io
import mmap
import os
import pickle
import struct
import zipfile
from types import SimpleNamespace

import pytest

from mashal import serialization as files
from mashal.core.devices import device
from mashal.core.shapes import Size
from mashal.core.tensor import Tensor, as_subclass
from mashal.nn.parameter import Parameter
from mashal.serialization import settings
from mashal.serialization.memory import bytes_of, byteswap
from mashal.serialization.names import DTYPES, UNTYPED
from tensors_of_bytes import dtypes, elements, meta_tensor, same, tensor_of, view_of

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
SAFELY = pytest.mark.parametrize("weights_only", [True, False], ids=["weights_only", "everything"])
DATA = bytes(range(96))


def through(thing, zipped=True, protocol=2, **options):
    file = io.BytesIO()
    files.save(thing, file, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    file.seek(0)
    return files.load(file, **options)


@FORMATS
@SAFELY
@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_comes_back(name, zipped, weights_only):
    if not zipped and name in UNTYPED:
        pytest.skip("the legacy format has no such storages")
    x = tensor_of(DATA, DTYPES[name])
    assert same(through(x, zipped, weights_only=weights_only), x)


@FORMATS
@SAFELY
def test_tensors_that_share_memory_share_it_after_loading(zipped, weights_only):
    x = tensor_of(DATA)
    rows = view_of(x, 4, (2, 4), (4, 1))
    turned = view_of(x, 0, (4, 3), (1, 4))
    a, b, c = through([x, rows, turned], zipped, weights_only=weights_only)
    assert same(b, rows)
    assert same(c, turned)
    assert tuple(c.stride()) == (1, 4)
    assert a.data_ptr() + 16 == b.data_ptr()
    assert a.data_ptr() == c.data_ptr()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_comes_back_by_every_protocol(protocol):
    plain = {
        "numbers": [0, 1, 255, 256, 65536, -1, 1 << 31, -(1 << 63), 1 << 80, 0.5, float("inf"), True, None],
        "long": [*range(1000), 0.5, None, True],
        "text": ["سلام", "", "a\nb"],
        "bytes": [b"", b"\0\xff", bytearray(b"ab")],
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "sets": [{1, "a"}, frozenset((1, (2, 3)))],
        "complex": 1 - 2j,
        "counter": collections.Counter("aab"),
        "ordered": collections.OrderedDict(a=1, b=[2]),
        "dtype": dtypes.bfloat16,
        "size": Size([2, 3]),
        "devices": [device("cpu"), device("cuda", 1)],
    }
    again = through(plain, protocol=protocol)
    assert again == plain
    assert type(again["size"]) is Size
    assert type(again["counter"]) is collections.Counter
    assert again["dtype"] is dtypes.bfloat16


def test_the_same_list_twice_is_one_list_after_loading():
    items = list(range(100))
    a, b = through((items, items))
    assert a is b


def test_a_state_dict_keeps_its_metadata():
    state = collections.OrderedDict(w=tensor_of(DATA))
    state._metadata = {"": {"version": 2}}
    assert through(state)._metadata == state._metadata


@FORMATS
def test_parameters_and_requires_grad_come_back(zipped):
    x = tensor_of(DATA)
    x.requires_grad = True
    parameter, frozen, leaf = through([Parameter(x), Parameter(x, requires_grad=False), x], zipped)
    assert type(parameter) is Parameter
    assert parameter.requires_grad
    assert type(frozen) is Parameter
    assert not frozen.requires_grad
    assert leaf.requires_grad
    assert leaf.is_leaf


def test_attributes_of_tensors_and_parameters_come_back():
    x, p = tensor_of(DATA), Parameter(tensor_of(DATA))
    x.note, p.note = "of the tensor", "of the parameter"
    a, b = through([x, p])
    assert (a.note, b.note) == ("of the tensor", "of the parameter")


def test_meta_and_empty_tensors_come_back():
    meta, empty = through([meta_tensor((2, 3)), tensor_of(b"", shape=(0, 3))])
    assert meta.device.type == "meta"
    assert tuple(meta.shape) == (2, 3)
    assert tuple(empty.shape) == (0, 3)


def test_a_plain_pickle_of_a_tensor_works():
    x = view_of(tensor_of(DATA), 4, (2, 4), (4, 1))
    for protocol in range(2, 6):
        assert same(pickle.loads(pickle.dumps(x, protocol)), x)


def test_a_storage_comes_back_and_is_the_tensors():
    x = tensor_of(DATA, DTYPES["uint16"])
    storage, again = through([x.untyped_storage(), x])
    assert bytes(bytes_of(storage)) == DATA
    assert storage.data_ptr() == again.data_ptr()


class Marked(Tensor):
    """A subclass with an attribute of its class and one of its own."""

    unit = "m"


def test_a_subclass_of_tensor_comes_back_when_it_is_trusted():
    x = as_subclass(Marked, tensor_of(DATA))
    x.unit = "km"
    again = through(x, weights_only=False)
    assert type(again) is Marked
    assert again.unit == "km"
    with files.safe_globals([Marked]):
        assert type(through(x)) is Marked
    with pytest.raises(pickle.UnpicklingError, match=r"Marked was not an allowed global"):
        through(x)


@pytest.mark.parametrize("kind", [pickle.Pickler, pickle._Pickler], ids=["c", "python"])
@FORMATS
def test_another_pickle_module_does_the_pickling(kind, zipped):
    module = SimpleNamespace(
        Pickler=kind, Unpickler=pickle.Unpickler, dump=pickle.dump, load=pickle.load, __name__="other"
    )
    x = tensor_of(DATA)
    file = io.BytesIO()
    files.save({"x": x, "d": x.dtype}, file, pickle_module=module, _use_new_zipfile_serialization=zipped)
    file.seek(0)
    again = files.load(file, pickle_module=module)
    assert same(again["x"], x)
    assert again["d"] is x.dtype


def test_what_cannot_be_found_by_name_cannot_be_saved():
    with pytest.raises(pickle.PicklingError, match="only what a module defines by name can be saved"):
        files.save(lambda: None, io.BytesIO())


def test_paths_of_all_kinds(tmp_path):
    x = tensor_of(DATA)
    for path in (tmp_path / "a.pt", str(tmp_path / "b"), str(tmp_path / "پرونده.pt")):
        files.save(x, path)
        assert same(files.load(path), x)


def test_a_file_object_may_stand_anywhere(tmp_path):
    file = io.BytesIO()
    files.save(tensor_of(DATA), file)
    path = tmp_path / "two"
    path.write_bytes(b"before" + file.getvalue())
    with open(path, "rb") as real:
        real.seek(6)
        assert elements(files.load(real)) == DATA


def test_a_file_object_without_readinto_is_read():
    class Only:
        def __init__(self, file):
            self.read, self.readline, self.seek, self.tell = file.read, file.readline, file.seek, file.tell

    for zipped in (True, False):
        file = io.BytesIO()
        files.save(tensor_of(DATA), file, _use_new_zipfile_serialization=zipped)
        file.seek(0)
        assert elements(files.load(Only(file))) == DATA


def test_large_files_are_read_by_several_threads_and_written_with_checksums(tmp_path):
    tensors = [tensor_of(os.urandom(1 << 20)) for _ in range(6)]
    files.save(tensors, tmp_path / "large.pt")
    assert zipfile.ZipFile(tmp_path / "large.pt").testzip() is None
    assert all(map(same, files.load(tmp_path / "large.pt"), tensors))


def test_records_are_stored_and_aligned(tmp_path):
    files.save([tensor_of(DATA), tensor_of(DATA[:7], dtypes.uint8), tensor_of(DATA)], tmp_path / "a.pt")
    archive = zipfile.ZipFile(tmp_path / "a.pt")
    data = (tmp_path / "a.pt").read_bytes()
    for record in archive.infolist():
        name, extra = struct.unpack_from("<HH", data, record.header_offset + 26)
        assert record.compress_type == zipfile.ZIP_STORED
        assert (record.header_offset + 30 + name + extra) % 64 == 0
    assert archive.namelist() == [
        "a/data.pkl", "a/.format_version", "a/.storage_alignment", "a/byteorder",
        "a/data/0", "a/data/1", "a/data/2", "a/version", "a/.data/serialization_id",
    ]  # fmt: skip


def test_a_deflated_archive_is_read(tmp_path):
    files.save(tensor_of(DATA * 100), tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as old,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    for mapped in (False, True):
        assert elements(files.load(tmp_path / "b.pt", mmap=mapped)) == DATA * 100


def test_a_mapped_tensor_is_the_file_and_writing_leaves_the_file_alone(tmp_path):
    path = tmp_path / "a.pt"
    files.save([tensor_of(DATA), tensor_of(b"", shape=(0,))], path)
    before = path.read_bytes()
    x, empty = files.load(path, mmap=True)
    assert elements(x) == DATA
    assert empty.numel() == 0
    bytes_of(x.untyped_storage())[:4] = b"\1\2\3\4"
    assert elements(x)[:4] == b"\1\2\3\4"
    assert path.read_bytes() == before


@pytest.mark.skipif(not hasattr(mmap, "MAP_SHARED"), reason="this system maps files in one way only")
def test_a_shared_mapping_changes_the_file(tmp_path):
    path = tmp_path / "a.pt"
    files.save(tensor_of(DATA), path)
    with files.set_default_mmap_options(mmap.MAP_SHARED):
        x = files.load(path, mmap=True)
    bytes_of(x.untyped_storage())[:4] = b"\1\2\3\4"
    assert elements(files.load(path))[:4] == b"\1\2\3\4"
    assert files.get_default_mmap_options() == mmap.MAP_PRIVATE


def test_skip_data_leaves_room_and_reads_nothing(tmp_path):
    path = tmp_path / "a.pt"
    with files.skip_data():
        files.save(tensor_of(DATA), path)
    assert elements(files.load(path)) == bytes(len(DATA))
    with files.skip_data():
        assert tuple(files.load(path).shape) == (24,)


def test_a_file_of_the_other_byte_order_is_turned_around(tmp_path, monkeypatch):
    x = [tensor_of(DATA, DTYPES[name]) for name in ("float64", "int16", "uint8", "complex64")]
    swapped = [tensor_of(DATA, t.dtype) for t in x]
    for t in swapped:
        byteswap(bytes_of(t.untyped_storage()), t.dtype)
    monkeypatch.setattr("sys.byteorder", "big")
    files.save(swapped, tmp_path / "big.pt")
    monkeypatch.undo()
    for mapped in (False, True):
        assert all(map(same, files.load(tmp_path / "big.pt", mmap=mapped), x))


def test_a_file_without_a_byte_order_is_little_unless_set(tmp_path):
    path = tmp_path / "a.pt"
    files.save(tensor_of(b"\0\1", dtypes.int16), path, _disable_byteorder_record=True)
    assert elements(files.load(path)) == b"\0\1"
    files.set_default_load_endianness(files.LoadEndianness.BIG)
    try:
        assert elements(files.load(path)) == b"\1\0"
    finally:
        files.set_default_load_endianness(None)


def test_checksums_can_be_left_out(tmp_path):
    files.set_crc32_options(False)
    try:
        files.save(tensor_of(DATA), tmp_path / "a.pt")
    finally:
        files.set_crc32_options(True)
    assert {record.CRC for record in zipfile.ZipFile(tmp_path / "a.pt").infolist()} == {0}
    assert elements(files.load(tmp_path / "a.pt")) == DATA


def test_mapping_can_be_the_default(tmp_path, monkeypatch):
    files.save(tensor_of(DATA), tmp_path / "a.pt")
    monkeypatch.setattr(settings.load, "mmap", True)
    assert elements(files.load(tmp_path / "a.pt")) == DATA
