"""Storages: bytes, sharing, resizing, files."""

import copy
import gc
import pickle

import pytest

import mashal
from mashal.core import dtypes
from mashal.core.elements import to_list
from mashal.core.interop import to_numpy
from mashal.core.nested import from_list
from mashal.core.storage import UntypedStorage
from mashal.core.typed_storage import TypedStorage, typed_storage
from mashal.machine.memory import statistics
from mashal.multiprocessing.memory import block_of


def test_a_storage_has_as_many_bytes_as_asked_for():
    s = UntypedStorage(5)
    assert (s.nbytes(), s.size(), len(s), s.device.type) == (5, 5, 5, "cpu")


def test_a_storage_of_ints_has_these_bytes():
    assert UntypedStorage([1, 255]).tolist() == [1, 255]


@pytest.mark.parametrize("wrong", ["ab", [256], [-1], 1.5])
def test_a_storage_is_made_of_a_size_or_bytes(wrong):
    with pytest.raises(TypeError, match="UntypedStorage: a size or a sequence of ints"):
        UntypedStorage(wrong)


def test_a_storage_on_meta_has_a_size_and_no_data():
    s = UntypedStorage(7, device="meta")
    assert (s.nbytes(), s.capsule, s.data_ptr()) == (7, None, 0)
    with pytest.raises(NotImplementedError, match="no data"):
        s.tolist()


def test_a_storage_on_cuda_is_refused():
    with pytest.raises(AssertionError, match="CUDA"):
        UntypedStorage(1).cuda()


def test_bytes_are_read_and_written_by_index():
    s = UntypedStorage([1, 2, 3])
    s[-1] = 9
    s[0:2] = 5
    assert (s[0], s[-1]) == (5, 9)


def test_an_index_outside_is_an_error():
    with pytest.raises(IndexError, match="index 3 is out of range for storage of size 3"):
        UntypedStorage([1, 2, 3])[3]


def test_a_slice_is_the_same_memory():
    s = UntypedStorage([1, 2, 3])
    part = s[1:]
    part[0] = 7
    del part
    assert s.tolist() == [1, 7, 3]


def test_from_buffer_is_the_buffers_memory_and_keeps_it():
    memory = bytearray(b"abc")
    s = UntypedStorage.from_buffer(memory)
    s[0] = ord("x")
    assert memory == b"xbc"
    with pytest.raises(BufferError):
        memory.append(1)
    del s
    gc.collect()
    memory.append(1)


def test_buffer_keeps_the_storage_alive():
    view = UntypedStorage([4, 5]).buffer()
    view[0] = 9
    gc.collect()
    assert bytes(view) == b"\x09\x05"


def test_resizing_keeps_bytes_and_is_seen_by_all_tensors():
    x = from_list([1.0, 2.0])
    x.untyped_storage().resize_(1 << 20)
    assert x.untyped_storage().nbytes() == 1 << 20
    assert to_list(x) == [1.0, 2.0]


def test_memory_that_an_array_sees_is_not_resized():
    x = from_list([1.0])
    array = to_numpy(x)
    with pytest.raises(RuntimeError, match="not resizable"):
        x.untyped_storage().resize_(100)
    assert array[0] == 1


def test_memory_of_somebody_else_is_not_resized():
    with pytest.raises(RuntimeError, match="not resizable"):
        UntypedStorage.from_buffer(bytearray(8)).resize_(100)


def test_a_block_that_was_pinned_is_free_in_its_next_life():
    UntypedStorage(1000).buffer()
    gc.collect()
    assert UntypedStorage(1000).resize_(2000).nbytes() == 2000


def test_copies_are_other_memory():
    s = UntypedStorage([1, 2])
    for other in (s.clone(), copy.copy(s), copy.deepcopy(s), UntypedStorage(2).copy_(s)):
        assert other.tolist() == [1, 2]
        assert other != s


def test_copying_needs_equal_sizes():
    with pytest.raises(RuntimeError, match="copy_"):
        UntypedStorage(2).copy_(UntypedStorage(3))


def test_handles_of_one_storage_are_equal():
    x = from_list([1, 2])
    assert x.untyped_storage() == x.untyped_storage()
    assert hash(x.untyped_storage()) == hash(x.untyped_storage())


def test_a_file_is_mapped(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(b"abcd")
    s = UntypedStorage.from_file(path, shared=False)
    s[0] = ord("x")
    assert bytes(s.buffer()) == b"xbcd"
    assert path.read_bytes() == b"abcd"


def test_a_shared_file_is_made_and_written(tmp_path):
    path = tmp_path / "bytes"
    s = UntypedStorage.from_file(path, shared=True, nbytes=4)
    s.fill_(65)
    del s
    gc.collect()
    assert path.read_bytes() == b"AAAA"


def test_a_file_that_is_too_short_is_an_error(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(b"ab")
    with pytest.raises(RuntimeError, match="has 2 bytes, not 3"):
        UntypedStorage.from_file(path, nbytes=3)


def test_a_shared_storage_moves_with_all_its_tensors():
    x = from_list([1.0, 2.0])
    storage = x.untyped_storage()
    assert not storage.is_shared()
    assert storage.share_memory_().is_shared()
    assert block_of(x).address == x.data_ptr()
    assert to_list(x) == [1.0, 2.0]


def test_memory_that_an_array_sees_is_not_moved():
    x = from_list([1.0])
    array = to_numpy(x)
    with pytest.raises(RuntimeError, match="share_memory_"):
        x.untyped_storage().share_memory_()
    assert array[0] == 1


def test_memory_comes_back():
    gc.collect()
    before = statistics()["live"]
    s = UntypedStorage(1 << 16)
    s.resize_(1 << 18)
    s.buffer()
    del s
    gc.collect()
    assert statistics()["live"] == before


def test_a_typed_storage_has_elements():
    s = TypedStorage([1, 2, 3], dtype=dtypes.int32)
    s[1] = 7
    assert (s.tolist(), s[1], len(s), s.nbytes(), s.element_size()) == ([1, 7, 3], 7, 3, 12, 4)


def test_a_tensors_typed_storage_is_its_memory():
    x = from_list([1.0, 2.0])
    typed_storage(x).fill_(5)
    assert to_list(x) == [5.0, 5.0]
    assert typed_storage(x).data_ptr() == x.data_ptr()


def test_storages_print_their_elements():
    assert repr(UntypedStorage([1, 2])) == " 1\n 2\n[torch.storage.UntypedStorage(device=cpu) of size 2]"
    assert (
        str(TypedStorage([1, 2]))
        == " 1.0\n 2.0\n[torch.storage.TypedStorage(dtype=torch.float32, device=cpu) of size 2]"
    )


def test_a_tensors_storage_has_all_elements_and_warns_that_it_is_of_old():
    x = mashal.tensor([[1, 2], [3, 4]])
    with pytest.warns(UserWarning, match="untyped_storage"):
        s = x[1].storage()
    assert (s.tolist(), s.type(), isinstance(s, mashal.LongStorage)) == ([1, 2, 3, 4], "torch.LongStorage", True)
    assert x.storage_type() is mashal.LongStorage


def test_a_typed_storage_becomes_another_dtypes():
    s = mashal.FloatStorage([1.5, -2.5])
    assert (s.int().tolist(), s.double().tolist(), s.type("torch.LongStorage").tolist()) == (
        [1, -2],
        [1.5, -2.5],
        [1, -2],
    )
    with pytest.raises(ValueError, match="type: 'Float' is no storage class"):
        s.type("Float")


def test_a_typed_storage_is_copied_and_pickled():
    s = mashal.ShortStorage([1, 2])
    copied = [copy.copy(s), copy.deepcopy(s), pickle.loads(pickle.dumps(s))]
    assert [(c.tolist(), c.dtype, c == s) for c in copied] == [([1, 2], dtypes.int16, False)] * 3


def test_bytes_become_a_typed_storage_in_either_order():
    assert mashal.ShortStorage.from_buffer(b"\0\1\0\2", "big").tolist() == [1, 2]
    assert mashal.ShortStorage.from_buffer(b"\1\0\2\0", "little").tolist() == [1, 2]


@pytest.mark.parametrize("wrong", [("ab",), (1.5,), (1, 2)])
def test_a_typed_storage_is_made_of_a_size_or_numbers(wrong):
    with pytest.raises((TypeError, RuntimeError), match="a size or a sequence"):
        mashal.FloatStorage(*wrong)
