"""Files that PyTorch 2.13 wrote (tests/files/recorded) are read, safely and not, mapped and not."""

import collections
from pathlib import Path

import pytest

import mashal
from mashal import serialization as files
from mashal.core.devices import device
from mashal.nn.parameter import Parameter
from mashal.serialization.names import DTYPES
from tensors_of_bytes import dtypes, elements, tensor_of

RECORDED = Path(__file__).parent / "recorded"
WAYS = {
    "zip": ("zip.pt", {}),
    "zip-mapped": ("zip.pt", {"mmap": True}),
    "zip-everything": ("zip.pt", {"weights_only": False}),
    "legacy": ("legacy.pt", {}),
    "legacy-everything": ("legacy.pt", {"weights_only": False}),
}


@pytest.fixture(params=WAYS, scope="module")
def recorded(request):
    name, options = WAYS[request.param]
    return files.load(RECORDED / name, **options)


def test_every_dtype(recorded):
    for name, x in recorded["every"].items():
        assert x.dtype is DTYPES[name]
        assert tuple(x.shape) == (2, 3)
    assert elements(recorded["every"]["int32"]) == bytes(4 * 6)[:0] + b"".join(
        n.to_bytes(4, "little") for n in range(6)
    )
    assert elements(recorded["every"]["bfloat16"]) == bytes.fromhex("0000 803f 0040 4040 8040 a040")
    assert elements(recorded["every"]["bool"]) == b"\0\1\1\1\1\1"


def test_views_share_their_memory(recorded):
    shared = recorded["shared"]
    start = shared["base"].data_ptr()
    assert shared["rows"].data_ptr() == start + 16
    assert shared["last"].data_ptr() == start + 44
    assert tuple(shared["turned"].shape) == (4, 3)
    assert tuple(shared["turned"].stride()) == (1, 4)
    assert elements(shared["last"]) == bytes.fromhex("0000 3041")


def test_a_state_dict(recorded):
    state = recorded["state"]
    assert type(state) is collections.OrderedDict
    assert state._metadata == {"": {"version": 1}}
    assert type(state["weight"]) is Parameter
    assert state["weight"].requires_grad
    assert state["bias"].requires_grad


def test_plain_data(recorded):
    plain = recorded["plain"]
    assert plain["numbers"] == [0, -1, 2**31, -(2**63), 1 << 80, 0.5, float("inf")]
    assert plain["text"] == "سلام"
    assert (plain["bytes"], plain["bytearray"]) == (b"\0\xff", bytearray(b"ab"))
    assert (plain["set"], plain["complex"], plain["counter"]) == ({1, 2}, 1 + 2j, collections.Counter("aab"))
    assert plain["dtype"] is dtypes.bfloat16
    assert repr(plain["size"]) == "torch.Size([2, 3])"
    assert plain["device"] == device("cuda", 1)


def test_an_empty_tensor(recorded):
    assert tuple(recorded["empty"].shape) == (0, 3)


def test_an_optimizers_state_and_a_meta_tensor():
    whole = files.load(RECORDED / "zip.pt")
    assert whole["optimizer"]["param_groups"][0]["betas"] == (0.9, 0.999)
    assert tuple(whole["optimizer"]["state"][0]["exp_avg"].shape) == (1, 2)
    assert whole["meta"].device.type == "meta"


def test_a_conjugate_is_carried_out():
    assert elements(files.load(RECORDED / "zip.pt")["conj"]) == bytes.fromhex("0000 803f 0000 00c0")


def test_a_whole_module_needs_trust():
    with pytest.raises(
        files.loading.pickle.UnpicklingError, match=r"torch.nn.modules.container.Sequential was not an allowed"
    ):
        files.load(RECORDED / "module.pt")
    assert files.get_unsafe_globals_in_checkpoint(RECORDED / "module.pt") == [
        "torch.nn.modules.activation.ReLU",
        "torch.nn.modules.container.Sequential",
        "torch.nn.modules.linear.Linear",
    ]


@pytest.mark.skipif(not hasattr(mashal.nn, "Sequential"), reason="there are no modules yet")
def test_a_whole_module_is_read_when_trusted():
    model = files.load(RECORDED / "module.pt", weights_only=False)
    assert tuple(model(tensor_of(bytes(8), shape=(1, 2))).shape) == (1, 1)
