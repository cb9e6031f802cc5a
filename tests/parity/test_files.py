"""Files travel both ways: PyTorch reads what mashal wrote, mashal what PyTorch wrote, byte for byte the same."""

import collections
import io
import zipfile

import pytest
import torch

from mashal import serialization as files
from mashal.core.shapes import Size
from mashal.nn.parameter import Parameter
from mashal.serialization.names import DTYPES, name_of
from tensors_of_bytes import elements, tensor_of, view_of

pytestmark = pytest.mark.parity
ZIPPED = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
DATA = bytes(range(96))


def torchs(x):
    """A mashal tensor as PyTorch's."""
    kind = getattr(torch, name_of(x.dtype))
    return torch.frombuffer(bytearray(elements(x)), dtype=torch.uint8).view(kind).reshape(tuple(x.shape))


def bits(x):
    """The bytes of a PyTorch tensor's elements."""
    return bytes(x.detach().contiguous().reshape(-1).view(torch.uint8).tolist())


@ZIPPED
@pytest.mark.parametrize("weights_only", [True, False], ids=["weights_only", "everything"])
@pytest.mark.parametrize("name", [name for name in DTYPES if name != "complex32"])
def test_every_dtype_travels_both_ways(name, zipped, weights_only):
    if not zipped and name in ("uint16", "uint32", "uint64", "float8_e5m2", "float8_e4m3fn"):
        pytest.skip("the legacy format has no such storages")
    x = tensor_of(DATA, DTYPES[name]) if name != "bool" else tensor_of(b"\0\1\1\0", DTYPES[name])
    file = io.BytesIO()
    files.save(x, file, _use_new_zipfile_serialization=zipped)
    file.seek(0)
    y = torch.load(file, weights_only=weights_only)
    assert y.dtype is getattr(torch, name)
    assert bits(y) == elements(x)
    back = io.BytesIO()
    torch.save(y, back, _use_new_zipfile_serialization=zipped)
    back.seek(0)
    z = files.load(back, weights_only=weights_only)
    assert z.dtype is x.dtype
    assert elements(z) == elements(x)


@ZIPPED
def test_sharing_parameters_and_plain_data_travel(zipped):
    x = tensor_of(DATA)
    state = collections.OrderedDict(x=x, rows=view_of(x, 4, (2, 4), (4, 1)), p=Parameter(tensor_of(DATA[:8])))
    state._metadata = {"": {"version": 1}}
    plain = [1, 1 << 70, "متن", b"\0\xff", b"", {1, 2}, 1j, collections.Counter("aab"), *range(200)]
    file = io.BytesIO()
    files.save({"state": state, "plain": plain, "size": Size([2])}, file, _use_new_zipfile_serialization=zipped)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert loaded["state"]["rows"].data_ptr() == loaded["state"]["x"].data_ptr() + 16
    assert type(loaded["state"]["p"]) is torch.nn.Parameter
    assert loaded["state"]._metadata == state._metadata
    assert loaded["plain"] == plain
    assert type(loaded["size"]) is torch.Size


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_pickle_is_byte_for_byte_pytorchs(tmp_path, protocol):
    def thing(x, rows, parameter, size, dtype):
        numbers = [0, 1.5, None, True, 300, 70000, -1, *range(100)]
        state = collections.OrderedDict(x=x, rows=rows, p=parameter)
        return {"state": state, "l": numbers, "t": ("a", (1, 2)), "size": size, "d": dtype, "s": {3}, "c": 2j}

    x = tensor_of(DATA)
    files.save(
        thing(x, view_of(x, 4, (2, 4), (4, 1)), Parameter(tensor_of(DATA)), Size([2, 3]), DTYPES["float16"]),
        tmp_path / "a.pt",
        pickle_protocol=protocol,
    )
    y = torchs(x)
    (tmp_path / "torch").mkdir()
    torch.save(
        thing(y, y[4:12].view(2, 4), torch.nn.Parameter(torchs(x)), torch.Size([2, 3]), torch.float16),
        tmp_path / "torch" / "a.pt",
        pickle_protocol=protocol,
    )
    ours, theirs = (tmp_path / "a.pt").read_bytes(), (tmp_path / "torch" / "a.pt").read_bytes()
    end = theirs.index(b"serialization_id")
    assert ours[:end] == theirs[:end]
    names = [[i.filename, i.header_offset] for i in zipfile.ZipFile(tmp_path / "a.pt").infolist()]
    assert names == [[i.filename, i.header_offset] for i in zipfile.ZipFile(tmp_path / "torch" / "a.pt").infolist()]


def test_pytorch_maps_a_file_of_ours(tmp_path):
    files.save([tensor_of(DATA), tensor_of(b"", shape=(0,)), tensor_of(DATA)], tmp_path / "a.pt")
    a, _, b = torch.load(tmp_path / "a.pt", mmap=True)
    assert bits(a) == bits(b) == DATA


def test_an_optimizer_of_pytorchs_goes_there_and_back(tmp_path):
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    torch.save({"optimizer": optimizer.state_dict(), "random": torch.get_rng_state()}, tmp_path / "a.pt")
    files.save(files.load(tmp_path / "a.pt"), tmp_path / "b.pt")
    again = torch.load(tmp_path / "b.pt")
    assert again["optimizer"]["param_groups"] == optimizer.state_dict()["param_groups"]
    assert torch.equal(again["optimizer"]["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])
    assert torch.equal(again["random"], torch.load(tmp_path / "a.pt")["random"])


def test_a_whole_module_of_pytorchs_needs_trust_and_says_which_names(tmp_path):
    torch.save(torch.nn.Sequential(torch.nn.Linear(1, 1)), tmp_path / "a.pt")
    assert files.get_unsafe_globals_in_checkpoint(tmp_path / "a.pt") == sorted(
        torch.serialization.get_unsafe_globals_in_checkpoint(tmp_path / "a.pt")
    )
